use super::*;
use tracing_subscriber::layer::SubscriberExt as _;

use super::super::tests::Kept;
use crate::policy::Violation;
use crate::telemetry::{Decided, EndpointKind, Event, Metrics, RequestId};

/// As the log writes it.
fn ours(tell: impl FnOnce()) -> String {
    let kept = Kept::default();
    let (lines, end) = Lines::to(kept.clone(), |_| {});
    tracing::subscriber::with_default(tracing_subscriber::registry().with(Json(lines)), tell);
    drop(end);
    kept.text()
}

/// As the subscriber's own formatter does.
fn theirs(tell: impl FnOnce()) -> String {
    let kept = Kept::default();
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_writer(kept.clone());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), tell);
    kept.text()
}

/// Without their time, which is checked to be one.
fn timeless(lines: &str) -> String {
    let start = "{\"timestamp\":\"";
    let end = "\",\"level\":";
    let mut left = String::new();
    for line in lines.lines() {
        let (time, rest) = line.strip_prefix(start).unwrap().split_once(end).unwrap();
        assert_eq!(time.len(), "2026-11-22T11:55:30.047669Z".len(), "{line}");
        assert!(time.starts_with("20") && time.ends_with('Z'), "{line}");
        left.push_str(rest);
        left.push('\n');
    }
    left
}

fn decision(client: Option<&str>, violation: Option<&Violation>) {
    let metrics = Metrics::new();
    super::super::write(
        &Event::Decision {
            request: RequestId(0xfeed_0000_0000_0042),
            upstream: &metrics.upstream("legacy"),
            endpoint: EndpointKind::Token,
            decided: if violation.is_none() {
                Decided::Allowed
            } else {
                Decided::Refused
            },
            violation,
            client,
            method: None,
            redirect_origin: violation.map(|_| "https://app.example"),
            peer: "192.0.2.1",
        },
        u64::from(violation.is_some()),
    );
}

/// What a client may call itself.
const CLIENTS: [&str; 12] = [
    "portal",
    "",
    "a\nb\r\n{\"level\":\"INFO\"}",
    "\"},{\"",
    "\\\",\\u0022",
    "\0\u{1}\u{8}\t\u{b}\u{c}\u{1b}[31m\u{1f}\u{7f}",
    "\u{80}\u{9b}\u{a0}\u{ad}",
    "\u{2028}\u{2029}\u{feff}\u{202e}",
    "Gr\u{fc}\u{df}e",
    "\u{1f510}\u{10ffff}",
    "<script>&'/",
    "\u{ffff}\u{fffd}",
];

#[test]
fn a_line_is_as_stable_as_its_readers_need() {
    let allowed = ours(|| decision(Some("portal"), None));
    assert_eq!(
        timeless(&allowed),
        "\"INFO\",\"event\":\"decision\",\"request\":\"feed000000000042\",\"upstream\":\"legacy\",\
         \"endpoint\":\"token\",\"decision\":\"allowed\",\"client\":\"portal\",\"peer\":\"192.0.2.1\"}\n"
    );
    let refused = ours(|| decision(Some("a\n\"\u{1f510}"), Some(&Violation::UnknownCode)));
    assert_eq!(
        timeless(&refused),
        "\"WARN\",\"event\":\"decision\",\"request\":\"feed000000000042\",\"upstream\":\"legacy\",\
         \"endpoint\":\"token\",\"decision\":\"refused\",\"violation\":\"unknown_code\",\
         \"client\":\"a\\n\\\"\u{1f510}\",\
         \"redirect_origin\":\"https://app.example\",\"peer\":\"192.0.2.1\",\"unlogged\":1}\n"
    );
}

#[test]
fn it_writes_what_the_usual_formatter_writes() {
    let tell = || {
        for client in CLIENTS {
            decision(Some(client), None);
            decision(Some(&client.repeat(200)), Some(&Violation::UnknownCode));
        }
        decision(None, None);
        tracing::error!(
            event = "panic",
            place = String::from("a\"b"),
            none = None::<&str>
        );
        tracing::warn!(
            big = u64::MAX,
            small = i64::MIN,
            yes = true,
            "with a {}",
            "\"message\""
        );
        tracing::trace!(debug = ?CLIENTS, display = %"line\nbreak");
    };
    let (ours, theirs) = (ours(tell), theirs(tell));
    assert_eq!(timeless(&ours), timeless(&theirs));
    assert_eq!(ours.lines().count(), 2 * CLIENTS.len() + 4);
}

#[test]
fn whatever_a_client_calls_itself_is_one_member_of_one_object() {
    for client in CLIENTS {
        let line = ours(|| decision(Some(client), None));
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        let object: serde_json::Map<_, _> = serde_json::from_str(&line).unwrap();
        assert_eq!(object["client"], client);
        let names: Vec<_> = object.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "timestamp",
                "level",
                "event",
                "request",
                "upstream",
                "endpoint",
                "decision",
                "client",
                "peer"
            ]
        );
    }
}
