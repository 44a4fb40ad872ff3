//! A gate in front of a [`Scripted`] upstream, and its client. When the rig is dropped, it checks that the upstream saw no
//! redemption that the test did not announce, and searches everything that clients received and the gate logged for the
//! upstream's codes.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;

use super::agent::{AuthorizationResponse, Carrier};
use super::client::Authorization;
use super::gate::Gate;
use super::html::forms;
use super::http::Response;
use super::params::{Params, encode, unguessable};
use super::raw::Connection;
use super::scripted::Scripted;

/// The gate's host name for clients.
pub(crate) const HOST: &str = "gate.test";
/// Never resolved: no test follows a redirect to it.
pub(crate) const REDIRECT_URI: &str = "https://client.test/cb";

/// Additions to a minimal configuration, as lines of its sections.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Config<'a> {
    pub(crate) server: &'a str,
    pub(crate) limits: &'a str,
    pub(crate) store: &'a str,
    pub(crate) log: &'a str,
    pub(crate) upstream: &'a str,
    pub(crate) endpoints: &'a str,
    pub(crate) pkce: &'a str,
    pub(crate) metadata: &'a str,
    /// Complete tables: `[[upstream.client]]`, and further upstreams.
    pub(crate) tables: &'a str,
}

pub(crate) struct Rig {
    pub(crate) upstream: Scripted,
    pub(crate) gate: Gate,
    address: SocketAddr,
    received: RefCell<Vec<u8>>,
    /// Secrets that must not appear in the log.
    secrets: RefCell<Vec<String>>,
    /// Whether redemptions without PKCE, and upstream codes at clients, make the test fail.
    guarded: Cell<bool>,
}

impl Config<'_> {
    /// The complete configuration file for that upstream.
    pub(crate) fn render(&self, upstream: &Scripted) -> String {
        let Self {
            server,
            limits,
            store,
            log,
            upstream: keys,
            endpoints,
            pkce,
            metadata,
            tables,
        } = self;
        let url = upstream.url();
        let unless = |key: &str, default: String| {
            let given = keys
                .lines()
                .any(|line| line.starts_with(&format!("{key} =")));
            if given { String::new() } else { default }
        };
        let (url, public) = (
            unless("url", format!("url = \"{url}\"")),
            unless("public_url", format!("public_url = \"http://{HOST}\"")),
        );
        format!(
            r#"
[server]
listen = ["127.0.0.1:0"]
{server}
[admin]
listen = "127.0.0.1:0"
[limits]
{limits}
[store]
{store}
[log]
{log}
[[upstream]]
name = "scripted"
{url}
{public}
{keys}
[upstream.endpoints]
authorization = ["/authorize"]
token = ["/token"]
{endpoints}
[upstream.pkce]
{pkce}
[upstream.metadata]
{metadata}
{tables}
"#
        )
    }
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn pkce(pkce: &str) -> Self {
        Self::with(Config {
            pkce,
            ..Config::default()
        })
    }

    /// `tables` may name clients.
    pub(crate) fn tables(tables: &str) -> Self {
        Self::with(Config {
            tables,
            ..Config::default()
        })
    }

    pub(crate) fn with(config: Config<'_>) -> Self {
        Self::between(config, Scripted::start())
    }

    /// A gate with a limit of open files.
    pub(crate) fn with_descriptors(config: Config<'_>, limit: usize) -> Self {
        let upstream = Scripted::start();
        let gate = Gate::start_with_descriptors(&config.render(&upstream), limit);
        Self::of(gate, upstream)
    }

    pub(crate) fn between(config: Config<'_>, upstream: Scripted) -> Self {
        Self::of(Gate::start(&config.render(&upstream)), upstream)
    }

    /// Uses a gate that already runs.
    pub(crate) fn of(mut gate: Gate, upstream: Scripted) -> Self {
        Self {
            address: gate.address("server"),
            upstream,
            gate,
            received: RefCell::default(),
            secrets: RefCell::default(),
            guarded: Cell::new(true),
        }
    }

    /// Starts a gate with this configuration, in place of the one that has stopped.
    pub(crate) fn restart(&mut self, config: &str) {
        self.gate = Gate::start(config);
        self.address = self.gate.address("server");
    }

    /// For modes in which the gate refuses nothing, and for `codes = "upstream"`: the rig does not check redemptions and codes.
    pub(crate) fn unguarded(self) -> Self {
        self.guarded.set(false);
        self
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    /// Sends exactly these bytes on a separate connection, and returns the answer.
    #[track_caller]
    pub(crate) fn send(&self, bytes: &[u8]) -> Response {
        let mut connection = self.connect();
        connection.send(bytes);
        let response = connection.response();
        self.receive(&response);
        response
    }

    /// Records an answer that a client received in another way.
    pub(crate) fn receive(&self, response: &Response) {
        self.received.borrow_mut().extend_from_slice(&response.raw);
    }

    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Response {
        self.get_with(target, &[])
    }

    #[track_caller]
    pub(crate) fn get_with(&self, target: &str, fields: &[(&str, &str)]) -> Response {
        self.send(&request("GET", target, fields, None))
    }

    /// Posts a form.
    #[track_caller]
    pub(crate) fn post(&self, target: &str, fields: &[(&str, &str)], form: &str) -> Response {
        self.send(&request("POST", target, fields, Some(form)))
    }

    /// A complete and correct request of the client `pub`, with a `nonce` by which the upstream identifies it.
    pub(crate) fn authorization(&self) -> Authorization {
        let authorization = Authorization::new(REDIRECT_URI, None).with("nonce", &unguessable());
        let state = authorization.state().unwrap_or_default().to_owned();
        self.keep_out_of_the_log([state, authorization.verifier.clone()]);
        authorization
    }

    /// The answer to a new authorization request.
    #[track_caller]
    pub(crate) fn enter(&self, authorization: &Authorization) -> Response {
        self.get(&target(authorization))
    }

    /// The target of the redirect that answers a new authorization request.
    #[track_caller]
    pub(crate) fn entry(&self, authorization: &Authorization) -> String {
        loop {
            let response = self.enter(authorization);
            assert_eq!(response.status, 303, "{response}");
            let location = response.header("location").expect("a 303 has a Location");
            assert!(location.starts_with("/authorize?"), "{response}");
            // Tests write RAW in place of a code. By chance, one handle in ten thousand contains these letters.
            if !handle_of(location).contains("RAW") {
                return location.to_owned();
            }
        }
    }

    /// From the authorization request to the authorization response.
    #[track_caller]
    pub(crate) fn sign_in(&self, authorization: &Authorization) -> AuthorizationResponse {
        let mut response = self.enter(authorization);
        if response.status == 303 && response.header("location").is_some_and(is_entry) {
            let cookie = cookie_of(&response).unwrap_or_default();
            let location = response.header("location").unwrap_or_default().to_owned();
            response = self.get_with(&location, &[("Cookie", &cookie)]);
        }
        let found = authorization_response(&response, authorization);
        let found = found.unwrap_or_else(|| panic!("no authorization response: {response}"));
        self.keep_out_of_the_log(found.params.get("code").map(str::to_owned));
        found
    }

    /// Signs in and returns the handle that came as code.
    #[track_caller]
    pub(crate) fn code_for(&self, authorization: &Authorization) -> String {
        self.sign_in(authorization).code().to_owned()
    }

    /// Sends the one correct token request, which the upstream may redeem once.
    #[track_caller]
    pub(crate) fn redeem(&self, authorization: &Authorization, code: &str) -> Response {
        self.vouch(authorization);
        self.token(&authorization.redemption(code))
    }

    /// Announces that a correct token request is about to be sent.
    pub(crate) fn vouch(&self, authorization: &Authorization) {
        let nonce = authorization.params.get("nonce");
        self.upstream.vouch(nonce.expect("the request has a nonce"));
    }

    /// Sends a token request.
    #[track_caller]
    pub(crate) fn token(&self, form: &Params) -> Response {
        self.post("/token", &[], &form.encoded())
    }

    /// The number of token requests that the upstream received.
    pub(crate) fn forwarded(&self) -> usize {
        self.upstream.requests_to("/token").len()
    }

    pub(crate) fn keep_out_of_the_log(&self, secrets: impl IntoIterator<Item = String>) {
        self.secrets.borrow_mut().extend(secrets);
    }

    fn check(&self, log: &str) {
        let unverified = self.upstream.redemptions_without_verified_verifier();
        assert!(
            unverified.is_empty(),
            "redeemed unverified: {unverified:#?}"
        );
        let received = self.received.borrow();
        for code in self.upstream.codes() {
            let seen = received
                .windows(code.len())
                .any(|window| window == code.as_bytes());
            assert!(
                !seen,
                "the upstream's own code {code} left the trusted side"
            );
            assert!(
                !log.contains(&code),
                "the upstream's own code {code} is in the log"
            );
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let log = self.gate.stop();
        if std::thread::panicking() {
            println!("the gate's log:\n{log}");
            return;
        }
        for secret in self.secrets.borrow().iter() {
            let there = log.contains(secret) || log.contains(&encode(secret));
            assert!(!there, "{secret} is in the log: {log}");
        }
        if self.guarded.get() {
            self.check(&log);
        }
    }
}

/// The bytes of a request. With a body its media type is a form, unless the fields say otherwise.
pub(crate) fn request(
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
    body: Option<&str>,
) -> Vec<u8> {
    let mut lines = vec![
        format!("{method} {target} HTTP/1.1"),
        format!("Host: {HOST}"),
    ];
    lines.extend(
        fields
            .iter()
            .map(|(name, value)| format!("{name}: {value}")),
    );
    if let Some(body) = body {
        if !fields
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        {
            lines.push("Content-Type: application/x-www-form-urlencoded".to_owned());
        }
        lines.push(format!("Content-Length: {}", body.len()));
    }
    format!("{}\r\n\r\n{}", lines.join("\r\n"), body.unwrap_or_default()).into_bytes()
}

/// The request target of an authorization request.
pub(crate) fn target(authorization: &Authorization) -> String {
    format!("/authorize?{}", authorization.params.encoded())
}

/// The handle in the `state` of an entry's target.
pub(crate) fn handle_of(entry: &str) -> String {
    let (_, query) = entry.split_once('?').expect("a query");
    let params = Params::from_query(query);
    params.get("state").expect("a state").to_owned()
}

fn is_entry(location: &str) -> bool {
    location.starts_with('/')
}

/// `name=value` of the only cookie that a response sets.
pub(crate) fn cookie_of(response: &Response) -> Option<String> {
    let cookie = response.header("set-cookie")?;
    Some(cookie.split(';').next().unwrap_or_default().to_owned())
}

/// The cookies of a browser, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jar(pub(crate) Vec<(String, String)>);

impl Jar {
    /// Keeps the cookies that a response sets, and forgets those that it removes.
    pub(crate) fn keep(&mut self, response: &Response) {
        let fields = response.headers.iter();
        for (_, field) in fields.filter(|(name, _)| name == "set-cookie") {
            let pair = field.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').expect("a cookie has a name");
            self.0.retain(|(known, _)| known != name);
            if !field.contains("Max-Age=0;") {
                self.0.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    /// The value of the Cookie field.
    pub(crate) fn cookies(&self) -> String {
        let pairs = self.0.iter();
        let pairs: Vec<_> = pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("; ")
    }

    /// Sends a GET as this browser does.
    #[track_caller]
    pub(crate) fn get(&mut self, rig: &Rig, target: &str) -> Response {
        let response = rig.get_with(target, &[("Cookie", &self.cookies())]);
        self.keep(&response);
        response
    }
}

/// The authorization response in this answer, in any response mode.
pub(crate) fn authorization_response(
    response: &Response,
    authorization: &Authorization,
) -> Option<AuthorizationResponse> {
    let redirect_uri = authorization
        .params
        .get("redirect_uri")
        .unwrap_or(REDIRECT_URI);
    if response.status == 200 {
        let form = forms(response.text())
            .into_iter()
            .find(|form| form.action == redirect_uri)?;
        let fields = form.controls.into_iter();
        return Some(AuthorizationResponse {
            carrier: Carrier::FormPost,
            params: fields
                .map(|control| (control.name, control.value))
                .collect(),
        });
    }
    let rest = response.header("location")?.strip_prefix(redirect_uri)?;
    let (carrier, encoded) = match rest.strip_prefix('#') {
        Some(fragment) => (Carrier::Fragment, fragment),
        None => (Carrier::Query, rest.strip_prefix(['?', '&'])?),
    };
    Some(AuthorizationResponse {
        carrier,
        params: Params::from_query(encoded),
    })
}
