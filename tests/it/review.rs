//! The review of a running gate: what it counts, and how it is shown.

mod document;
mod page;
mod promotion;
mod replicas;
mod seen;

use serde_json::Value;

use crate::support::client::Authorization;
use crate::support::gate::{self, Gate};
use crate::support::http::Response;
use crate::support::params::{Params, s256, unguessable};
use crate::support::rig::{Config, Rig, authorization_response, target};

const REPORT: &str = "mode = \"report\"";

fn rig() -> Rig {
    Rig::pkce(REPORT).unguarded()
}

fn review(rig: &mut Rig) -> Value {
    rig.gate.admin("/review.json").json()["upstreams"][0].clone()
}

fn client<'r>(review: &'r Value, id: &str) -> &'r Value {
    let clients = review["clients"].as_array().expect("clients");
    let found = clients.iter().find(|client| client["client_id"] == *id);
    found.unwrap_or_else(|| panic!("no {id}: {review:#}"))
}

/// Whether an authorization request is refused: by a page, or at the client.
fn is_refused(response: &Response) -> bool {
    let location = response.header("location").unwrap_or_default();
    response.status == 400 || location.contains("error=invalid_request")
}

/// A whole sign-in of an observed client, whatever it sends.
fn signs_in(rig: &Rig, authorization: &Authorization, redemption: impl Fn(&str) -> Params) {
    let response = rig.get(&target(authorization));
    let found = authorization_response(&response, authorization);
    let found = found.unwrap_or_else(|| panic!("{response}"));
    let answer = rig.token(&redemption(found.code()));
    assert_eq!(answer.status, 200, "{answer}");
}

/// Six kinds of clients, as they are found in report mode.
fn all_kinds(rig: &Rig) {
    for _ in 0..3 {
        let good = rig.authorization();
        rig.vouch(&good);
        signs_in(rig, &good, |code| good.redemption(code));
    }
    let named = |name: &str| rig.authorization().with("client_id", name);
    let none = named("none").without_challenge();
    signs_in(rig, &none, |code| {
        none.redemption(code)
            .with("client_id", "none")
            .without("code_verifier")
    });
    let plain = named("plain");
    let verifier = plain.verifier.clone();
    let plain = plain
        .with("code_challenge", &verifier)
        .with("code_challenge_method", "plain");
    signs_in(rig, &plain, |code| {
        plain.redemption(code).with("client_id", "plain")
    });
    let hex = named("hex").with("code_challenge", &"0123456789abcdef".repeat(4));
    signs_in(rig, &hex, |code| {
        hex.redemption(code).with("client_id", "hex")
    });
    let wrong = named("wrong").with("code_challenge", &s256(&unguessable()));
    signs_in(rig, &wrong, |code| {
        wrong.redemption(code).with("client_id", "wrong")
    });
}

#[test]
fn the_review_counts_what_each_client_sent_and_says_who_would_break() {
    let mut rig = rig();
    all_kinds(&rig);
    let review = review(&mut rig);
    for (id, verdict, challenges, verified) in [
        ("pub", "ready", [3, 0, 0, 0], 3),
        ("none", "would_break", [0, 0, 0, 1], 0),
        ("plain", "would_break", [0, 1, 0, 0], 0),
        ("hex", "would_break", [0, 0, 1, 0], 0),
        ("wrong", "would_break", [1, 0, 0, 0], 0),
    ] {
        let client = client(&review, id);
        assert_eq!(client["verdict"], verdict, "{client:#}");
        let kinds = ["s256", "plain", "malformed", "none"];
        let counted = kinds.map(|kind| client["authorization"][kind].as_u64().unwrap());
        assert_eq!(counted, challenges, "{client:#}");
        assert_eq!(client["redemption"]["verified"], verified, "{client:#}");
        assert_eq!(client["mode"], "report");
        let hints = client["hints"].as_array().unwrap();
        assert_eq!(
            hints.contains(&"hex_challenge".into()),
            id == "hex",
            "{client:#}"
        );
    }
    let headline = &review["headline"];
    assert_eq!(headline["would_break"], 4, "{headline:#}");
    assert_eq!(headline["sign_ins"], 7, "{headline:#}");
    assert_eq!(headline["failing"], 4, "{headline:#}");
    assert_eq!(headline["failed"], 0, "{headline:#}");
    assert_eq!(review["control"]["state"], "not_met");
}

/// Its owner sees that the change was enough before the day of doubt is over.
#[test]
fn a_client_that_was_mended_waits_for_a_day() {
    let mut rig = rig();
    let none = rig.authorization().without_challenge();
    signs_in(&rig, &none, |code| {
        none.redemption(code).without("code_verifier")
    });
    let before = review(&mut rig);
    let before = client(&before, "pub");
    assert_eq!(before["why"], "missing_challenge (2)", "{before:#}");
    assert_eq!(before["waits_until"], Value::Null, "{before:#}");
    // A sign-in of the same second would not follow the bad one for certain.
    let answer = loop {
        let good = rig.authorization();
        signs_in(&rig, &good, |code| good.redemption(code));
        let answer = review(&mut rig);
        if client(&answer, "pub")["waits_until"].is_string() {
            break answer;
        }
    };
    let mended = client(&answer, "pub");
    assert_eq!(mended["verdict"], "would_break", "{mended:#}");
    let why = mended["why"].as_str().unwrap();
    assert!(
        why.starts_with("missing_challenge (2); 1 good sign-in since 20"),
        "{why}"
    );
    assert!(why.ends_with(" UTC on if no bad one follows"), "{why}");
    assert!(mended["mended_since"].is_string(), "{mended:#}");
}

/// The log, the metrics and the review are made of the same events.
#[test]
fn the_review_agrees_with_the_log_and_the_metrics() {
    let mut rig = rig();
    all_kinds(&rig);
    let review = review(&mut rig);
    // The log is written by a thread of its own.
    let log = rig
        .gate
        .log_until(|log| log.matches("\"client\":\"wrong\"").count() == 2);
    let lines: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["event"] == "decision")
        .collect();
    let counted = |step: &str, decision: &str| {
        let lines = lines.iter();
        lines
            .filter(|line| line["step"] == *step && line["decision"] == *decision)
            .count()
    };
    let sum = |of: &dyn Fn(&Value) -> u64| {
        let clients = review["clients"].as_array().unwrap().iter();
        usize::try_from(clients.map(of).sum::<u64>()).unwrap()
    };
    let began = |client: &Value| {
        let all = ["s256", "plain", "malformed", "none"].into_iter();
        all.map(|kind| client["authorization"][kind].as_u64().unwrap())
            .sum()
    };
    let begins = counted("begins", "allowed") + counted("begins", "reported");
    assert_eq!(sum(&began), begins);
    let verified = |client: &Value| client["redemption"]["verified"].as_u64().unwrap();
    assert_eq!(sum(&verified), counted("redeems", "allowed"));
    let violations = |client: &Value| {
        let all = client["redemption"]["violations"].as_object().unwrap();
        all.values().map(|number| number.as_u64().unwrap()).sum()
    };
    let reported = counted("begins", "reported") + counted("redeems", "reported");
    assert_eq!(sum(&violations), reported);
    let metrics = rig.gate.admin("/metrics");
    let of_metrics: usize = metrics
        .text()
        .lines()
        .filter(|line| line.starts_with("pkce_gate_decisions_total{") && line.contains("reported"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap())
        .sum();
    assert_eq!(of_metrics, reported);
}

#[test]
fn the_control_is_met_when_every_client_is_enforced() {
    for (pkce, tables, state) in [
        ("", "", "met"),
        ("require = \"public\"", "", "met"),
        (
            "require = \"public\"",
            "[[upstream.client]]\nid = \"conf\"\ntype = \"confidential\"",
            "partly",
        ),
        (
            "",
            "[[upstream.client]]\nid = \"old\"\nmode = \"report\"\nuntil = \"2999-01-01\"\nowner = \"o\"\nreason = \"r\"",
            "partly",
        ),
        (REPORT, "", "not_met"),
    ] {
        let mut rig = Rig::with(Config {
            pkce,
            tables,
            ..Default::default()
        });
        let review = review(&mut rig);
        assert_eq!(review["control"]["state"], state, "{review:#}");
        if tables.contains("old") {
            let old = client(&review, "old");
            assert_eq!(old["verdict"], "exempt");
            assert_eq!(old["exception"]["owner"], "o");
            assert_eq!(old["exception"]["until"], "2999-01-01");
        }
    }
}

#[test]
fn the_page_has_the_same_rows_and_nothing_that_a_client_could_inject() {
    let mut rig = rig();
    all_kinds(&rig);
    let evil = "<script>alert(1)</script>\"'&";
    let named = rig.authorization().with("client_id", evil);
    rig.get(&target(&named));
    let page = rig.gate.admin("/review");
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    let text = page.text();
    assert!(!text.contains("<script"), "{text}");
    assert!(text.contains("&lt;script&gt;"), "{text}");
    assert!(text.contains("4 of 6 clients would break"), "{text}");
    for id in ["pub", "none", "plain", "hex", "wrong"] {
        assert!(text.contains(&format!("<bdi>{id}</bdi>")), "{id}");
    }
    let filtered = rig.gate.admin("/review?verdict=would_break&sort=name");
    assert!(!filtered.text().contains("<bdi>pub</bdi>"));
    let before = filtered.text().find("<bdi>hex</bdi>");
    assert!(before < filtered.text().find("<bdi>wrong</bdi>"));
    // What no link has counts for nothing.
    let odd = rig
        .gate
        .admin("/review?verdict=%00&page=999999999999999999999&sort=%FF");
    assert_eq!(odd.status, 200);
}

#[test]
fn the_command_prints_the_review_in_every_format() {
    let mut rig = rig();
    all_kinds(&rig);
    let admin = rig.gate.address("admin").to_string();
    let printed = |format: &str| {
        let out = gate::run(&["review", "--admin", &admin, "--format", format]);
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout).unwrap()
    };
    let text = printed("text");
    assert!(text.contains("4 of 5 clients would break"), "{text}");
    assert!(text.contains("would break       hex"), "{text}");
    let markdown = printed("md");
    assert!(
        markdown.contains("| hex | would break | 1 | 1 |"),
        "{markdown}"
    );
    for told in [&text, &markdown] {
        assert!(told.contains("pkce-gate explain CODE"), "{told}");
    }
    let json: Value = serde_json::from_str(&printed("json")).unwrap();
    assert_eq!(json["upstreams"][0]["headline"]["would_break"], 4);
    let sarif: Value = serde_json::from_str(&printed("sarif")).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 5, "{sarif:#}");
}

fn ends(gate: &mut Gate) {
    gate.signal("TERM");
    assert!(gate.wait_for_end().success());
}

/// A gate with the same configuration, after the first one has stopped.
fn again(rig: &mut Rig) -> Gate {
    let config = std::fs::read_to_string(rig.gate.config_file()).unwrap();
    ends(&mut rig.gate);
    Gate::start(&config)
}

#[test]
fn the_counts_survive_a_restart_in_their_file() {
    let folder = gate::scratch();
    let file = folder.join("review.json");
    let tables = format!("[review]\nsnapshot = {file:?}");
    let mut rig = Rig::with(Config {
        server: "drain = \"10ms\"",
        // In Redis, the counts are there.
        store: "kind = \"memory\"",
        pkce: REPORT,
        tables: &tables,
        ..Config::default()
    })
    .unguarded();
    all_kinds(&rig);
    let before = review(&mut rig);
    let mut next = again(&mut rig);
    let after = next.admin("/review.json").json()["upstreams"][0].clone();
    for member in ["headline", "clients", "days"] {
        assert_eq!(after[member], before[member], "{member}");
    }
    // One that is not a snapshot stays as it is, and the gate serves.
    ends(&mut next);
    std::fs::write(&file, "{\"version\": 1, \"upstreams\": [").unwrap();
    let config = std::fs::read_to_string(next.config_file()).unwrap();
    let mut last = Gate::start(&config);
    last.log_until(|log| log.contains("review_snapshot_unreadable"));
    assert_eq!(
        last.admin("/review.json").json()["upstreams"][0]["headline"]["sign_ins"],
        0
    );
    ends(&mut last);
    let left = std::fs::read_to_string(&file).unwrap();
    assert_eq!(left, "{\"version\": 1, \"upstreams\": [");
    std::fs::remove_dir_all(folder).unwrap();
}
