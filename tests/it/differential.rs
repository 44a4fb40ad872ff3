//! If the gate reads a request differently from the server behind it, it judges one request and forwards another. So these
//! tests ask the parsers of real frameworks. They send random mutations of valid requests through the gate to small
//! applications (`tests/servers/echoes/`) that report what their framework read. Either the gate refuses the request, or the
//! framework reads what the gate judged.
//!
//! Each of these guards was removed once to see that the tests fail without it: `client[id` and `code[challenge` in PHP
//! (`oauth::params::folding::foldings`); `x;code_challenge=evil` in Rack and Plack (`folded_collision` behind a `;`); an
//! authorization request by GET with a charset in Django (`gateway/authorize.rs` removes the Content-Type); `?code=...` next to
//! a form with its verifier in all frameworks (`gateway/elsewhere.rs`, which reads query and body together). These tests found
//! all four, the last one with another seed.
//!
//! Every run uses the same mutations. `DIFFERENTIAL_SEED` selects others, and `DIFFERENTIAL_COUNT` their number.

mod draft;
mod echo;
mod mutation;
mod oracle;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;

use pkce_gate::parts::{PROTECTED_AT_AUTHORIZATION, PROTECTED_AT_TOKEN};

use crate::support::client::Authorization;
use crate::support::gate::Gate;
use crate::support::http::Response;
use crate::support::params::{Params, unguessable};
use crate::support::raw::Connection;
use crate::support::rig::{HOST, REDIRECT_URI, cookie_of};

use crate::support::dice::{Dice, setting};
use draft::Draft;
use echo::{Echo, Reading};
use mutation::{Means, mutate};

/// Mutations for each framework and each kind of code.
const COUNT: u64 = 400;
const SEED: u64 = 7636;
/// Attempts with one code: a code that is refused too often is burnt.
const TRIES: usize = 20;

/// A code, and the sign-in from which it came.
#[derive(Debug)]
struct SignIn {
    authorization: Authorization,
    code: String,
    /// The upstream's own code.
    raw: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Redemption,
    Fresh,
    Continuation,
    Elsewhere,
}

/// One request, as it was sent.
#[derive(Debug)]
struct Case {
    kind: Kind,
    handles: bool,
    sign_in: Rc<SignIn>,
    draft: Draft,
    /// Whether the request is unchanged, and so must pass.
    untouched: bool,
    status: u16,
}

/// A gate in front of an application that reports what it read.
struct Bench {
    _gate: Gate,
    address: SocketAddr,
    handles: bool,
    seed: u64,
    sign_in: Rc<SignIn>,
    tries: usize,
}

impl Bench {
    fn new(echo: &Echo, handles: bool, seed: u64) -> Self {
        let codes = if handles { "handle" } else { "upstream" };
        let mut gate = Gate::start(&config(&echo.url, codes));
        let address = gate.address("server");
        Self {
            _gate: gate,
            address,
            handles,
            seed,
            sign_in: Rc::new(sign_in(address, handles)),
            tries: 0,
        }
    }

    /// Sends one mutation, or no request if this kind of code leaves nothing to mutate.
    fn attempt(&mut self, number: u64) -> Case {
        let kind = match number % 10 {
            0..=3 => Kind::Redemption,
            6 if self.handles => Kind::Continuation,
            4..=6 => Kind::Fresh,
            _ => Kind::Elsewhere,
        };
        self.tries += 1;
        if self.tries > TRIES {
            self.renew();
        }
        let untouched = number < 7;
        let mut dice = Dice::new(self.seed.wrapping_add(number)); // independent of the mutations before it
        let mut draft = self.draft(kind, &mut dice);
        if !untouched {
            let sign_in = Rc::clone(&self.sign_in);
            let means = Means {
                names: match kind {
                    Kind::Redemption | Kind::Elsewhere => &PROTECTED_AT_TOKEN,
                    Kind::Fresh | Kind::Continuation => &PROTECTED_AT_AUTHORIZATION,
                },
                code: &sign_in.raw,
            };
            mutate(&mut draft, &mut dice, &means);
        }
        let status = self.send(&draft, &number.to_string());
        let case = Case {
            kind,
            handles: self.handles,
            sign_in: Rc::clone(&self.sign_in),
            draft,
            untouched,
            status,
        };
        if kind == Kind::Redemption && status != 503 {
            self.tries += TRIES / 10; // the request may have had a wrong verifier
        }
        case
    }

    fn renew(&mut self) {
        self.tries = 0;
        self.sign_in = Rc::new(sign_in(self.address, self.handles));
    }

    fn draft(&self, kind: Kind, dice: &mut Dice) -> Draft {
        let sign_in = Rc::clone(&self.sign_in);
        let whole = sign_in.authorization.redemption(&sign_in.code);
        match kind {
            Kind::Redemption => Draft::post("/token", &whole),
            Kind::Fresh => draft::authorization(&sign_in.authorization),
            Kind::Continuation => {
                let (target, cookie) = entry(self.address, &sign_in.authorization);
                let (path, query) = target.split_once('?').expect("a query");
                let params = Params::from_query(query);
                let draft = if dice.chance(50) {
                    Draft::get(path, &params)
                } else {
                    Draft::post(path, &params.with("decision", "allow"))
                };
                draft::with_cookie(draft, cookie.as_deref())
            }
            Kind::Elsewhere => {
                let login = Params::default()
                    .with("username", "a")
                    .with("password", "b");
                let form = if dice.chance(40) { login } else { whole };
                let path = dice.pick(&["/login", "/", "/api/session"]);
                if dice.chance(30) {
                    Draft::get(path, &form)
                } else {
                    Draft::post(path, &form)
                }
            }
        }
    }

    /// Returns the status, or 0 if the gate closes the connection without an answer. Follows the redirect of an entry.
    fn send(&self, draft: &Draft, case: &str) -> u16 {
        let mut connection = Connection::open(self.address);
        connection.try_send(&draft.bytes(case));
        let answer = if draft.method == "HEAD" {
            connection.response_to_head()
        } else {
            connection.try_response()
        };
        let Ok(answer) = answer else { return 0 };
        let is_entry = answer.status == 303
            && answer
                .header("location")
                .is_some_and(|location| location.starts_with('/'));
        if !is_entry {
            return answer.status;
        }
        follow(self.address, &answer, &[("X-Case", case)]).status
    }
}

fn config(url: &str, codes: &str) -> String {
    format!(
        r#"
[server]
listen = ["127.0.0.1:0"]
[admin]
listen = "127.0.0.1:0"
[[upstream]]
name = "echo"
url = "{url}"
public_url = "http://{HOST}"
[upstream.endpoints]
authorization = ["/authorize"]
token = ["/token"]
[upstream.pkce]
codes = "{codes}"
"#
    )
}

fn get(address: SocketAddr, target: &str, fields: &[(&str, &str)]) -> Response {
    let mut connection = Connection::open(address);
    connection.send(&crate::support::rig::request("GET", target, fields, None));
    connection.response()
}

fn follow(address: SocketAddr, answer: &Response, fields: &[(&str, &str)]) -> Response {
    let location = answer.header("location").expect("an entry has a Location");
    let cookie = cookie_of(answer).unwrap_or_default();
    let fields = [fields, &[("Cookie", cookie.as_str())]].concat();
    get(address, location, &fields)
}

/// The entry of a sign-in that waits for its user, and its cookie.
fn entry(address: SocketAddr, authorization: &Authorization) -> (String, Option<String>) {
    let target = crate::support::rig::target(authorization);
    let answer = get(address, &target, &[]);
    let location = answer.header("location").expect("an entry");
    (location.to_owned(), cookie_of(&answer))
}

/// From the authorization request to the code. The echo server issues the reversed `state` as code.
fn sign_in(address: SocketAddr, handles: bool) -> SignIn {
    let authorization = Authorization::new(REDIRECT_URI, None).with("nonce", &unguessable());
    let fields = [("X-Sign-In", "1"), ("X-Case", "sign-in")];
    let target = crate::support::rig::target(&authorization);
    let mut answer = get(address, &target, &fields);
    let mut state = authorization.state().unwrap_or_default().to_owned();
    if handles {
        let entry = answer.header("location").unwrap_or_default();
        state = crate::support::rig::handle_of(entry);
        answer = follow(address, &answer, &fields);
    }
    let location = answer.header("location");
    let (_, query) = location
        .and_then(|to| to.split_once('?'))
        .unwrap_or_else(|| {
            panic!("no authorization response: {answer}");
        });
    let code = Params::from_query(query).get("code").map(str::to_owned);
    SignIn {
        authorization,
        code: code.unwrap_or_else(|| panic!("no code: {answer}")),
        raw: state.chars().rev().collect(),
    }
}

/// All differences that the mutations of this seed reveal in the framework.
fn differs(file: &str, handles: bool, echo: &mut Echo) -> Vec<String> {
    let (seed, count) = (
        setting("DIFFERENTIAL_SEED", SEED),
        setting("DIFFERENTIAL_COUNT", COUNT),
    );
    let mut bench = Bench::new(echo, handles, seed);
    let cases: Vec<Case> = (0..count).map(|number| bench.attempt(number)).collect();
    let mut readings = echo.readings();
    readings.remove("sign-in");
    let mut found = Vec::new();
    let mut tally: BTreeMap<Kind, (usize, usize)> = BTreeMap::new();
    for (number, case) in cases.iter().enumerate() {
        let read = readings.remove(&number.to_string()).unwrap_or_default();
        let (forwarded, refused) = tally.entry(case.kind).or_default();
        *(if read.is_empty() { refused } else { forwarded }) += 1;
        if let Err(what) = verdict(case, &read) {
            let sent = case.draft.bytes(&number.to_string());
            found.push(format!(
                "{number}: {what}\n  sent {}\n  read {read:?}\n  answered {}\n",
                sent.escape_ascii(),
                case.status
            ));
        }
    }
    if !readings.is_empty() {
        found.push(format!("requests that nobody sent: {readings:?}"));
    }
    // A gate that refuses every request, or none, would make this test meaningless.
    for (kind, (forwarded, refused)) in &tally {
        let few = forwarded.min(refused) * 20 < forwarded + refused;
        assert!(!few, "{kind:?}: {forwarded} forwarded, {refused} refused");
    }
    println!(
        "{file}, handles {handles}, seed {seed}, {count} mutations, forwarded and refused: {tally:?}"
    );
    found
}

fn verdict(case: &Case, read: &[Reading]) -> Result<(), String> {
    match read {
        [] if case.untouched => Err("it was refused".to_owned()),
        [] => Ok(()),
        [reading] => oracle::judge(case, reading),
        _ => Err("one request became several".to_owned()),
    }
}

#[track_caller]
fn reads_what_was_judged(file: &str) {
    let mut echo = Echo::start(file);
    let found: Vec<_> = [true, false]
        .into_iter()
        .flat_map(|handles| differs(file, handles, &mut echo))
        .collect();
    assert!(
        found.is_empty(),
        "{} of them:\n{}",
        found.len(),
        found[..found.len().min(8)].join("\n")
    );
}

#[test]
fn django() {
    reads_what_was_judged("django_app.py");
}

#[test]
fn flask() {
    reads_what_was_judged("flask_app.py");
}

#[test]
fn tornado() {
    reads_what_was_judged("tornado_app.py");
}

#[test]
fn express() {
    reads_what_was_judged("express_app.cjs");
}

#[test]
fn php() {
    reads_what_was_judged("php_app.php");
}

#[test]
fn rack() {
    reads_what_was_judged("rack_app.rb");
}

#[test]
fn plack() {
    reads_what_was_judged("plack_app.pl");
}

#[test]
fn net_http() {
    reads_what_was_judged("net_http");
}
