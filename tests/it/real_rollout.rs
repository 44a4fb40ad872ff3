//! A rollout at a real server, as the manual tells it: `init`, report mode, the review, the change of the one client that would
//! break, promotion, and enforcement by a reload.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::agent::Place;
use crate::support::client::{Authorization, assert_token};
use crate::support::gate;
use crate::support::http::Response;
use crate::support::servers::OIDC_PROVIDER;
use crate::support::stage::Stage;

/// Two that send PKCE, a public and a confidential one.
const GOOD: [&str; 2] = ["pub", "post"];
/// The one that would break.
const CLIENT: &str = "spa";

/// What `init` leaves to the operator, as it is in the file.
const SNAPSHOT: &str = "# [review]\n# snapshot = \"/var/lib/pkce-gate/review.json\"\n";
const PROMOTE: &str = "# promote = \"propose after 7d\"";
const MODE: &str = "mode = \"report\"";

struct Rollout {
    stage: Stage,
    /// The configuration in force.
    config: String,
    /// Where the counts are kept.
    folder: PathBuf,
}

impl Drop for Rollout {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

impl Rollout {
    /// Runs with the file of `init`, unedited.
    fn begin() -> Self {
        let mut config = String::new();
        let stage = Stage::with_text(&OIDC_PROVIDER, |server, admin| {
            let (public, admin) = (server.public_url(), format!("127.0.0.1:{admin}"));
            let options = ["--public-url", &public, "--admin", &admin];
            let arguments = ["init", "--from", &server.url, "--output", "-"];
            config = printed(&[&arguments[..], &options].concat());
            config.clone()
        });
        Self {
            stage: stage.with_own_codes(), // in report mode
            config,
            folder: gate::scratch(),
        }
    }

    /// Replaces a part of the configuration, which has to be there once.
    #[track_caller]
    fn edit(&mut self, from: &str, to: &str) {
        assert_eq!(self.config.matches(from).count(), 1, "{}", self.config);
        self.config = self.config.replace(from, to);
    }

    fn reload(&mut self) {
        let config = self.config.clone();
        self.stage.gate().reload(&config);
    }

    fn snapshot(&self) -> PathBuf {
        self.folder.join("review.json")
    }

    /// The members of the review for programs.
    fn review(&mut self) -> Value {
        self.stage.gate().admin("/review.json").json()["upstreams"][0].clone()
    }

    /// The member of the review about a client.
    #[track_caller]
    fn client(&mut self, id: &str) -> Value {
        let review = self.review();
        let clients = review["clients"].as_array().expect("clients");
        let found = clients.iter().find(|client| client["client_id"] == *id);
        found.unwrap_or_else(|| panic!("{review:#}")).clone()
    }

    /// The names of the clients that would break.
    fn would_break(&mut self) -> Vec<String> {
        let review = self.review();
        let clients = review["clients"].as_array().expect("clients").iter();
        let broken = clients.filter(|client| client["verdict"] == "would_break");
        broken
            .map(|client| client["client_id"].as_str().expect("a name").to_owned())
            .collect()
    }

    /// What `review` prints in a terminal.
    fn printed_review(&mut self) -> String {
        let admin = self.stage.admin();
        printed(&["review", "--admin", &admin])
    }

    /// What `explain` prints about a URL, by the configuration of the gate.
    fn explained(&mut self, authorization: &Authorization) -> String {
        let url = self.stage.url(authorization);
        let file = self.stage.gate().config_file();
        let config = file.to_str().expect("UTF-8");
        let output = gate::run(&["explain", "--config", config, &url]);
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// A request of the client with S256.
    fn right(&self, id: &str) -> Authorization {
        self.stage.authorization().with("client_id", id)
    }

    /// As the client was before the rollout.
    fn without_pkce(&self) -> Authorization {
        self.right(CLIENT).without_challenge()
    }

    /// As its developer changed it at first: the hash in the wrong encoding.
    fn in_hex(&self) -> Authorization {
        let right = self.right(CLIENT);
        let hex = "0123456789abcdef".repeat(4);
        right.with("code_challenge", &hex)
    }

    /// Signs a user in, and returns the answer to the token request.
    #[track_caller]
    fn sign_in(&self, authorization: &Authorization) -> Response {
        let id = authorization.params.get("client_id").expect("a client");
        let code = self.stage.code_for(authorization);
        let mut request = authorization.redemption(&code).with("client_id", id);
        if id == "post" {
            request = request.with("client_secret", "sekrit");
        }
        if authorization.params.get("code_challenge").is_none() {
            request = request.without("code_verifier");
        }
        self.stage.token(&request)
    }

    #[track_caller]
    fn all_sign_in(&self, clients: &[&str]) {
        for id in clients {
            assert_token(&self.sign_in(&self.right(id)));
        }
    }

    /// The request gets an error of the gate, and the server does not see it.
    #[track_caller]
    fn is_refused(&self, authorization: &Authorization, violation: &str) {
        let seen = self.stage.ledger().authorize.len();
        match self.stage.user().open(&self.stage.url(authorization)) {
            Place::Client(response) => {
                let error = response.params.get("error");
                assert_eq!(error, Some("invalid_request"), "{response:?}");
            }
            Place::Page(page) => {
                assert_eq!(page.response.status, 400, "{}", page.response);
                let text = page.response.text();
                assert!(text.contains(violation), "{violation}: {text}");
            }
        }
        let after = self.stage.ledger().authorize.len();
        assert_eq!(after, seen, "the server does not see the request");
    }
}

/// The standard output of a command that succeeds.
#[track_caller]
fn printed(arguments: &[&str]) -> String {
    let output = gate::run(arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Makes everything in the file two days older.
fn age(file: &Path) {
    let text = fs::read_to_string(file).expect("a file");
    let mut counts: Value = serde_json::from_str(&text).expect("JSON");
    let upstreams = counts["upstreams"].as_object_mut().expect("upstreams");
    let rows = upstreams.values_mut().filter_map(Value::as_array_mut);
    for row in rows.flatten().map(|row| &mut row[1]) {
        for time in ["first_seen", "last_seen", "last_good", "last_bad"] {
            earlier(&mut row[time], 2 * 86_400);
        }
        for day in row["days"].as_array_mut().expect("days") {
            earlier(&mut day["day"], 2);
        }
    }
    fs::write(file, counts.to_string()).expect("a file");
}

/// 0 stands for never.
fn earlier(time: &mut Value, by: u64) {
    let old = time.as_u64().expect("a number");
    *time = old.saturating_sub(by).into();
}

#[test]
fn the_review_leads_from_the_first_file_to_enforcement_without_breaking_a_client() {
    let mut rollout = Rollout::begin();
    one_client_would_break(&mut rollout);
    its_hint_mends_it(&mut rollout);
    two_days_later_every_client_is_ready(&mut rollout);
    what_the_review_proposes_enforces_them(&mut rollout);
    the_control_is_met(&mut rollout);
}

/// Monday: the file of `init` refuses nothing, and the review names the one client that would break.
fn one_client_would_break(rollout: &mut Rollout) {
    rollout.all_sign_in(&GOOD);
    let old = rollout.without_pkce();
    assert_token(&rollout.sign_in(&old)); // report mode refuses nothing
    let only = "the review names the one client without PKCE";
    assert_eq!(rollout.would_break(), [CLIENT], "{only}");
    let headline = "1 of 3 clients would break; enforcing every client would have failed 1 of 3 sign-ins of the last 7 days";
    assert_eq!(rollout.review()["headline"]["text"], headline);
    let state = rollout.review()["control"]["state"].clone();
    assert_eq!(state, "not_met", "nothing is enforced");
    let text = rollout.printed_review();
    for said in [
        headline,
        "missing_challenge (2)",
        "tell the owner of the client below that would break what to change",
        "what to change in the client: pkce-gate explain CODE",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let what = printed(&["explain", "missing_challenge"]);
    let change = "Send code_challenge and code_challenge_method=S256";
    assert!(what.contains(change), "{what}");
    let explained = rollout.explained(&old);
    assert!(
        explained.contains("\n  reported: missing_challenge"),
        "{explained}"
    );
}

/// The developer of the client makes a common mistake at first. The review has the hint for it, and then says that it is mended.
fn its_hint_mends_it(rollout: &mut Rollout) {
    let kept = format!("[review]\nsnapshot = {:?}\n", rollout.snapshot());
    rollout.edit(SNAPSHOT, &kept);
    // Only so that a stop takes no time, and that the counts are in the file whatever STORE is.
    let store = "[store]\nkind = \"memory\"\n\n[server]\ndrain = \"10ms\"\n";
    rollout.edit("[server]\n", store);
    let config = rollout.config.clone();
    rollout.stage.restart(|| config);

    rollout.all_sign_in(&GOOD);
    let refused = rollout.sign_in(&rollout.in_hex());
    rollout.stage.sent_back(1);
    assert_eq!(refused.status, 400, "by the server itself: {refused}");
    let only = "the review names the one client in hex";
    assert_eq!(rollout.would_break(), [CLIENT], "{only}");
    let hints = rollout.client(CLIENT)["hints"].clone();
    let hint = serde_json::json!(["hex_challenge"]);
    assert_eq!(hints, hint, "it has the hint for the mistake");
    let hint = printed(&["explain", "hex_challenge"]);
    assert!(
        hint.contains("Encode the bytes of the hash, not its hexadecimal text"),
        "{hint}"
    );

    let is_mended = |rollout: &mut Rollout| {
        let why = rollout.client(CLIENT)["why"].clone();
        why.as_str()
            .is_some_and(|why| why.contains(" good sign-in"))
    };
    // The times are whole seconds: at first, both sign-ins may have the same one.
    for _ in 0..100 {
        rollout.all_sign_in(&[CLIENT]);
        if is_mended(rollout) {
            break;
        }
    }
    assert!(is_mended(rollout), "{:#}", rollout.client(CLIENT));
    assert_eq!(
        rollout.would_break(),
        [CLIENT],
        "it stays so for a day, because another instance of it may be old"
    );
}

fn two_days_later_every_client_is_ready(rollout: &mut Rollout) {
    let (config, file) = (rollout.config.clone(), rollout.snapshot());
    rollout.stage.restart(|| {
        age(&file);
        config
    });
    let broken = rollout.would_break();
    assert!(broken.is_empty(), "after a good day: {broken:?}");
    for id in [CLIENT].iter().chain(&GOOD) {
        assert_eq!(rollout.client(id)["verdict"], "ready", "{id}");
    }
    let text = rollout.printed_review();
    assert!(text.contains("no client below would break"), "{text}");
}

fn what_the_review_proposes_enforces_them(rollout: &mut Rollout) {
    rollout.all_sign_in(&[CLIENT]);
    rollout.all_sign_in(&GOOD);
    rollout.edit(PROMOTE, "promote = \"propose after 1d\"");
    rollout.reload();
    rollout
        .stage
        .log_until(|log| log.matches("\"promotion_proposed\"").count() == 3);
    assert_token(&rollout.sign_in(&rollout.right(CLIENT)));

    let review = rollout.review();
    let toml = review["promotion"]["to_paste"].as_str().expect("a text");
    let text = rollout.printed_review();
    assert!(text.contains(toml.trim_end()), "the same TOML: {text}");
    let place = "paste this below the last line of the [[upstream]]";
    assert!(text.contains(place), "{text}");
    rollout.config = format!("{}\n{toml}", rollout.config);
    rollout.reload();
    rollout.all_sign_in(&[CLIENT]);
    rollout.all_sign_in(&GOOD);
    rollout.is_refused(&rollout.without_pkce(), "missing_challenge");
    let control = rollout.review()["control"].clone();
    assert_eq!(control["state"], "not_met", "new clients are only observed");
    let before = "enforced before the others: 3 clients, 0 of them by promotion";
    let evidence = control["evidence"].as_array().expect("a list");
    assert!(evidence.contains(&before.into()), "{evidence:#?}");
}

fn the_control_is_met(rollout: &mut Rollout) {
    rollout.edit(
        "promote = \"propose after 1d\"",
        "# promote = \"propose after 1d\"",
    );
    rollout.edit(MODE, "mode = \"enforce\"");
    rollout.reload();
    rollout.is_refused(&rollout.without_pkce(), "missing_challenge");
    rollout.is_refused(&rollout.in_hex(), "malformed_challenge");
    // A client that the configuration does not name.
    let unnamed = rollout.right("basic").without_challenge();
    rollout.is_refused(&unnamed, "missing_challenge");
    rollout.all_sign_in(&[CLIENT]);
    rollout.all_sign_in(&GOOD);
    let code = rollout.stage.code_for(&rollout.right(CLIENT));
    assert!(
        !rollout.stage.ledger().codes.contains(&code),
        "a client gets no code of the server any more"
    );

    let control = rollout.review()["control"].clone();
    assert_eq!(control["state"], "met", "{control:#}");
    let clauses = control["clauses"].as_array().expect("a list");
    let is_met = clauses.iter().all(|clause| clause["is_met"] == true);
    assert!(is_met, "every clause is met: {control:#}");
    let page = rollout.stage.gate().admin("/review");
    let state = "<span class=\"state met\">met</span>";
    assert!(page.text().contains(state), "{page}");
    let text = rollout.printed_review();
    assert!(
        text.contains("every authorization flow that can carry it: met\n"),
        "{text}"
    );
}
