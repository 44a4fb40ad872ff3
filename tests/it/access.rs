//! The access log: at `debug` each request has one line, which says how it ended.

use serde_json::Value;

use crate::support::gate::Gate;
use crate::support::rig::{Config, Rig, request};
use crate::support::scripted::{Act, Then, reply};

const PICTURE: (&str, &str) = ("Content-Type", "image/png");

fn logging(limits: &str, upstream: &str) -> Rig {
    Rig::with(Config {
        log: "level = \"debug\"",
        server: "workers = 1",
        limits,
        upstream,
        ..Config::default()
    })
}

fn rig() -> Rig {
    logging("", "")
}

/// What the log says about the requests, as soon as it has `so_many` lines.
#[track_caller]
fn lines(gate: &Gate, so_many: usize) -> Vec<Value> {
    let answered = |log: &str| -> Vec<Value> {
        let lines = log.lines();
        let lines = lines.filter_map(|line| serde_json::from_str(line).ok());
        lines
            .filter(|line: &Value| line["event"] == "answered")
            .collect()
    };
    let log = gate.log_until(|log| answered(log).len() >= so_many);
    let lines = answered(&log);
    assert_eq!(lines.len(), so_many, "{log}");
    lines
}

/// The status, end and number of bytes in the one line.
#[track_caller]
fn told(rig: &Rig) -> (Value, Value, Value) {
    let [line] = lines(&rig.gate, 1).try_into().expect("one line");
    assert!(line["micros"].is_u64(), "{line}");
    assert_eq!(line["peer"], "127.0.0.1", "{line}");
    (
        line["status"].clone(),
        line["bytes"].clone(),
        line["ended"].clone(),
    )
}

/// An answer with an image of a hundred bytes, of which only the first `come` arrive.
fn picture(come: usize) -> Vec<u8> {
    let mut picture = reply("200 OK", &[PICTURE], &[b'x'; 100]);
    picture.truncate(picture.len() - 100 + come);
    picture
}

#[test]
fn a_request_that_is_answered_is_complete() {
    let rig = rig();
    rig.upstream
        .on("/login", Act::Say(picture(100), Then::GoOn));
    let mut client = rig.connect();
    client.send(&request("GET", "/login?secret", &[], None));
    client.response();
    client.send(&request("HEAD", "/login", &[], None));
    client.response_to_head().expect("a head");
    client.send(&request("PURGE", "/login/secret", &[], None));
    client.response();
    let lines = lines(&rig.gate, 3);
    for (line, method, path, bytes) in [
        (&lines[0], "GET", "/login", 100),
        (&lines[1], "HEAD", "/login", 0),
        (&lines[2], "other", "/login/*", 100),
    ] {
        assert_eq!(line["method"], method, "{line}");
        assert_eq!(line["path"], path, "{line}");
        assert_eq!(line["status"], 200, "{line}");
        assert_eq!(line["ended"], "complete", "{line}");
        assert_eq!(line["endpoint"], "other", "{line}");
        assert!(line.get("client").is_none(), "{line}");
        if method != "other" {
            assert_eq!(line["bytes"], bytes, "{line}");
        }
    }
}

#[test]
fn a_sign_in_names_its_client_and_its_endpoints() {
    let rig = rig();
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    assert_eq!(rig.redeem(&authorization, &code).status, 200);
    let lines = lines(&rig.gate, 3);
    let short: Vec<_> = lines
        .iter()
        .map(|line| {
            let word = |name: &str| line[name].as_str().unwrap_or_default();
            let words = ["method", "path", "endpoint", "client", "ended"].map(word);
            format!("{} {}", words.join(" "), line["status"])
        })
        .collect();
    assert_eq!(
        short,
        [
            "GET /authorize authorization pub complete 303",
            "GET /authorize authorization pub complete 302",
            "POST /token token pub complete 200",
        ]
    );
}

#[test]
fn an_upstream_that_breaks_off_is_logged() {
    let rig = rig();
    rig.upstream
        .on("/login", Act::Say(picture(40), Then::Close));
    let mut client = rig.connect();
    client.send(&request("GET", "/login", &[], None));
    assert!(client.try_response().is_err());
    assert_eq!(told(&rig), (200.into(), 40.into(), "upstream".into()));
}

#[test]
fn an_upstream_that_falls_silent_is_logged() {
    let rig = logging("", "response = \"1s\"");
    rig.upstream
        .on("/login", Act::Say(picture(40), Then::Stall));
    let mut client = rig.connect();
    client.send(&request("GET", "/login", &[], None));
    assert!(client.try_response().is_err());
    assert_eq!(
        told(&rig),
        (200.into(), 40.into(), "upstream_timeout".into())
    );
}

#[test]
fn a_client_that_goes_away_is_logged() {
    let rig = rig();
    rig.upstream
        .on("/login", Act::Say(picture(40), Then::Stall));
    let mut client = rig.connect();
    client.send(&request("GET", "/login", &[], None));
    client.read_until(|came| came.ends_with(&[b'x'; 40]));
    drop(client);
    assert_eq!(told(&rig), (200.into(), 40.into(), "client".into()));
}

#[test]
fn a_client_that_goes_away_before_its_answer_is_logged() {
    let rig = rig();
    rig.upstream.on("/login", Act::Say(Vec::new(), Then::Stall));
    let mut client = rig.connect();
    client.send(&request("GET", "/login", &[], None));
    rig.upstream.wait_until(|ledger| !ledger.is_empty());
    drop(client);
    assert_eq!(told(&rig), (Value::Null, 0.into(), "client".into()));
}

#[test]
fn a_client_that_is_too_slow_is_logged() {
    let rig = logging("body_read = \"300ms\"", "");
    let mut client = rig.connect();
    let fields = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Content-Length", "100"),
    ];
    client.send(&request("POST", "/token", &fields, None));
    assert!(client.try_response().is_err());
    assert_eq!(told(&rig), (Value::Null, 0.into(), "client_timeout".into()));
}

#[test]
fn a_request_that_a_shutdown_cuts_off_is_logged() {
    let mut rig = rig();
    rig.upstream
        .on("/login", Act::Say(picture(40), Then::Stall));
    let mut client = rig.connect();
    client.send(&request("GET", "/login", &[], None));
    client.read_until(|came| came.ends_with(&[b'x'; 40]));
    rig.gate.signal("TERM");
    rig.gate.signal("TERM");
    assert_eq!(rig.gate.wait_for_end().code(), Some(0));
    assert_eq!(told(&rig), (200.into(), 40.into(), "gate".into()));
}

/// The metrics count each answer when its head is complete; the log has no line.
#[test]
fn at_info_requests_are_not_logged() {
    let mut rig = Rig::new();
    rig.get("/page");
    let counted =
        "pkce_gate_requests_total{upstream=\"scripted\",endpoint=\"other\",status=\"2xx\"}";
    assert_eq!(rig.gate.metric(counted), 1);
    assert!(!rig.gate.stop().contains("answered"));
}
