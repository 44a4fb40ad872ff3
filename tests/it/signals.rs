//! What operators can learn about a request from the log: its client, its redirect origin, and the number of similar requests.

use serde_json::Value;

use crate::support::client::assert_token;
use crate::support::params::{s256, unguessable};
use crate::support::raw::Connection;
use crate::support::rig::{Config, REDIRECT_URI, Rig, request, target};

/// The log lines of one event.
fn events(log: &str, event: &str) -> Vec<Value> {
    let lines = log.lines();
    let lines = lines.filter_map(|line| serde_json::from_str(line).ok());
    lines
        .filter(|line: &Value| line["event"] == event)
        .collect()
}

#[track_caller]
fn last_decision(rig: &Rig, so_many: usize) -> Value {
    let log = rig
        .gate
        .log_until(|log| events(log, "decision").len() >= so_many);
    let mut decisions = events(&log, "decision");
    assert_eq!(decisions.len(), so_many, "{log}");
    decisions.pop().expect("a decision")
}

#[test]
fn a_decision_names_the_peer_and_only_the_origin_of_the_redirect_uri() {
    let rig = Rig::new();
    let secret = unguessable();
    let path = format!("/{secret}");
    let redirect_uri = format!("https://app.test:8443{path}?{}", unguessable());
    let authorization = rig.authorization();
    let with_secrets = authorization.clone().with("redirect_uri", &redirect_uri);
    let twice = format!("{}&scope=a&scope=b", target(&with_secrets));
    let mut so_many = 0;
    let mut decided = |decision: &str, origin: Option<&str>| {
        so_many += 1;
        let line = last_decision(&rig, so_many);
        assert_eq!(line["decision"], decision, "{line}");
        assert_eq!(line["redirect_origin"].as_str(), origin, "{line}");
        assert_eq!(line["peer"], "127.0.0.1", "{line}");
    };
    rig.enter(&with_secrets);
    decided("allowed", Some("https://app.test:8443"));
    rig.enter(&with_secrets.clone().without("code_challenge"));
    decided("refused", Some("https://app.test:8443"));
    // A request that cannot be parsed names them as well.
    rig.get(&twice);
    decided("refused", Some("https://app.test:8443"));
    rig.get(&format!("{twice}&redirect_uri=https%3A%2F%2Fother.test"));
    decided("refused", None);
    rig.enter(
        &authorization
            .clone()
            .without("redirect_uri")
            .without("code_challenge"),
    );
    decided("refused", None);
    rig.enter(&with_secrets.with(
        "redirect_uri",
        &format!("https://user:{}@app.test", unguessable()),
    ));
    decided("allowed", None);

    let code = rig.code_for(&authorization);
    decided("allowed", Some("https://client.test"));
    let wrong = format!("https://wrong.test{path}");
    rig.token(&authorization.redemption(&code).with("redirect_uri", &wrong));
    decided("refused", Some("https://wrong.test"));
    assert_token(&rig.redeem(&authorization, &code));
    decided("allowed", Some("https://client.test"));
    rig.post("/other", &[], &authorization.redemption(&code).encoded());
    decided("refused", Some("https://client.test"));

    let log = rig.gate.log();
    for secret in [secret.as_str(), "user", "/cb", REDIRECT_URI] {
        let decisions = events(&log, "decision");
        assert!(
            decisions
                .iter()
                .all(|line| !line.to_string().contains(secret)),
            "{secret}: {log}"
        );
    }
}

#[test]
fn behind_a_trusted_proxy_the_peer_is_the_forwarded_client() {
    let said = |server: &str, fields: &[(&str, &str)]| {
        let rig = Rig::with(Config {
            server,
            ..Config::default()
        });
        rig.get_with("/authorize?client_id=pub", fields);
        let line = last_decision(&rig, 1);
        line["peer"].as_str().expect("a peer").to_owned()
    };
    let trusted = "trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]";
    let chain = ("X-Forwarded-For", "6.6.6.6, 192.0.2.7, 10.1.2.3");
    assert_eq!(said(trusted, &[chain]), "192.0.2.7");
    let two = [
        ("X-Forwarded-For", "6.6.6.6, 192.0.2.7"),
        ("X-Forwarded-For", "10.1.2.3"),
    ];
    assert_eq!(said(trusted, &two), "192.0.2.7");
    let forwarded = (
        "Forwarded",
        "for=6.6.6.6, for=\"[2001:db8::7]:4711\";proto=https",
    );
    assert_eq!(said(trusted, &[forwarded]), "2001:db8::7");
    assert_eq!(said(trusted, &[]), "127.0.0.1");
    assert_eq!(
        said(trusted, &[("X-Forwarded-For", "\"injected\":1")]),
        "127.0.0.1"
    );
    // Any client can send this field.
    assert_eq!(said("", &[chain, forwarded]), "127.0.0.1");
}

#[test]
fn a_request_for_an_unknown_host_is_logged_with_the_host() {
    let rig = Rig::with(Config {
        upstream: "hosts = [\"gate.test\"]",
        ..Config::default()
    });
    let longest = format!("{}.test", "a".repeat(5000));
    let cut = "a".repeat(128);
    let ask =
        |host: &str| rig.send(format!("GET /page HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
    for (host, shown) in [("other.test:8080", "other.test:8080"), (&longest, &cut)] {
        assert_eq!(ask(host).status, 421, "{host}");
        let is_told = |log: &str| {
            let lines = events(log, "misdirected");
            lines
                .iter()
                .any(|line| line["host"] == shown && line["status"] == 421)
        };
        rig.gate.log_until(is_told);
    }
    // An invalid `Host` is not logged.
    for host in ["gate.test:+80", "a word", "user:secret@gate.test", "\"x\""] {
        assert_eq!(ask(host).status, 400, "{host}");
    }
    let log = rig
        .gate
        .log_until(|log| events(log, "misdirected").len() == 6);
    let wrong = events(&log, "misdirected").split_off(2);
    assert!(wrong.iter().all(|line| line.get("host").is_none()), "{log}");
    assert_eq!(rig.get("/page").status, 200);
}

/// Fails without `telemetry::sampler`.
#[test]
fn a_flood_of_refusals_logs_few_lines_and_is_counted() {
    const FLOOD: usize = 2000;
    let mut rig = Rig::new();
    let mut client = Connection::open(rig.address());
    for _ in 0..FLOOD {
        let target = "/authorize?client_id=busy&response_type=code";
        client.send(&request("GET", target, &[], None));
        assert_eq!(client.response().status, 400);
    }
    // Another client and another kind are sampled separately.
    let malformed = format!("/authorize?client_id=busy&code_challenge={}=", s256("x"));
    for target in ["/authorize?client_id=rare&response_type=code", &malformed] {
        client.send(&request("GET", target, &[], None));
        client.response();
    }
    let log = rig
        .gate
        .log_until(|log| log.contains("missing_response_type"));
    let decisions = events(&log, "decision");
    assert!((100..300).contains(&decisions.len()), "{}", decisions.len());
    let rare = decisions.iter().filter(|line| line["client"] == "rare");
    assert_eq!(rare.count(), 1, "{log}");
    let counted = "pkce_gate_decisions_total{upstream=\"scripted\",endpoint=\"authorization\",\
                   decision=\"refused\",violation=\"missing_challenge\"}";
    assert_eq!(rig.gate.metric(counted), FLOOD + 1);
}

#[test]
fn a_decision_names_the_challenge_method_and_the_client_even_if_only_the_sign_in_names_it() {
    let rig = Rig::tables(
        "[[upstream.client]]\nid = \"old\"\nmethods = [\"S256\", \"plain\"]\nuntil = \"2999-12-31\"\nowner = \"o\"\nreason = \"r\"\n",
    );
    let plain = "p".repeat(43);
    let old = rig
        .authorization()
        .with("client_id", "old")
        .with("code_challenge", &plain)
        .with("code_challenge_method", "plain");
    rig.enter(&old);
    assert_eq!(last_decision(&rig, 1)["method"], "plain");
    let new = rig.authorization();
    let code = rig.code_for(&new);
    assert_eq!(last_decision(&rig, 2)["method"], "S256");
    // The request names no client; its code belongs to one of the client's sign-ins.
    let wrong = new
        .redemption(&code)
        .without("client_id")
        .with("code_verifier", &unguessable().repeat(2));
    rig.token(&wrong);
    let line = last_decision(&rig, 3);
    assert_eq!(line["decision"], "refused", "{line}");
    assert_eq!(
        (line["client"].as_str(), line["method"].as_str()),
        (Some("pub"), Some("S256")),
        "{line}"
    );
    rig.enter(&new.clone().without("code_challenge"));
    assert_eq!(last_decision(&rig, 4)["method"].as_str(), None);
}
