mod manual;

use super::*;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::oauth::{CodeChallengeMethod, Endpoint};
use crate::policy::Violation;
use crate::telemetry::{Decided, Ended, RequestId, Step, Telemetry, Upstream, libraries};

/// A writer that keeps its output.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The output for the events that `tell` passes.
fn written(level: Level, format: Format, tell: impl FnOnce(&Telemetry)) -> String {
    let kept = Kept::default();
    let (log, end) = Log::to(kept.clone(), Settings { level, format }, |_| {});
    tell(&Telemetry::logging(&log));
    drop(end);
    kept.text()
}

/// The JSON output, at every level.
fn json(tell: impl FnOnce(&Telemetry)) -> String {
    written(Level::Trace, Format::Json, tell)
}

fn answered(upstream: &Upstream) -> Event<'_> {
    Event::Answered {
        request: RequestId(0xfeed_0000_0000_0042),
        upstream,
        endpoint: Endpoint::Other,
        method: "GET",
        path: "/page/*",
        status: Some(204),
        bytes: 7,
        ended: Ended::Complete,
        took: Duration::from_millis(3),
        client: Some("portal"),
        peer: "192.0.2.1",
    }
}

/// The output for one event of each level.
fn said(level: Level, format: Format) -> String {
    written(level, format, |telemetry| {
        let upstream = telemetry.metrics().upstream("legacy");
        let request = RequestId(0xfeed_0000_0000_0042);
        for event in [
            Event::UpstreamFailed {
                request,
                upstream: &upstream,
                fault: "connect",
                cause: "cannot connect: connection refused",
            },
            Event::OtherBrowser {
                request,
                upstream: &upstream,
            },
            Event::Listening {
                what: "server",
                address: SocketAddr::from(([127, 0, 0, 1], 8080)),
            },
            answered(&upstream),
        ] {
            telemetry.tell(&event);
        }
    })
}

#[test]
fn the_level_selects_the_events() {
    for format in [Format::Json, Format::Text] {
        for (level, events) in [
            (Level::Error, &["upstream_failed"][..]),
            (Level::Warn, &["upstream_failed", "other_browser"]),
            (
                Level::Info,
                &["upstream_failed", "other_browser", "listening"],
            ),
            (
                Level::Debug,
                &["upstream_failed", "other_browser", "listening", "answered"],
            ),
            (
                Level::Trace,
                &["upstream_failed", "other_browser", "listening", "answered"],
            ),
        ] {
            let said = said(level, format);
            assert_eq!(said.lines().count(), events.len(), "{level:?}: {said}");
            for (line, event) in said.lines().zip(events) {
                assert!(line.contains(&format!("\"{event}\"")), "{level:?}: {line}");
            }
        }
    }
}

#[test]
fn both_formats_have_the_same_fields() {
    let json = said(Level::Debug, Format::Json);
    let last = json.lines().last().unwrap();
    assert!(
        last.ends_with(
            "Z\",\"level\":\"DEBUG\",\"event\":\"answered\",\"request\":\"feed000000000042\",\
             \"upstream\":\"legacy\",\"endpoint\":\"other\",\"method\":\"GET\",\"path\":\"/page/*\",\"status\":204,\"bytes\":7,\
             \"ended\":\"complete\",\"micros\":3000,\"client\":\"portal\",\"peer\":\"192.0.2.1\"}"
        ),
        "{last}"
    );
    let text = said(Level::Debug, Format::Text);
    let last = text.lines().last().unwrap();
    assert!(
        last.ends_with(
            "Z DEBUG event=\"answered\" request=feed000000000042 upstream=\"legacy\" endpoint=\"other\" \
             method=\"GET\" path=\"/page/*\" status=204 bytes=7 ended=\"complete\" micros=3000 client=\"portal\" \
             peer=\"192.0.2.1\""
        ),
        "{last}"
    );
}

/// The text of a library may contain parts of a request, so only its origin is logged.
#[test]
fn libraries_are_logged_from_warn_on_without_their_text() {
    for format in [Format::Json, Format::Text] {
        let said = written(Level::Trace, format, |telemetry| {
            let libraries = libraries::dispatch(telemetry.clone());
            tracing::dispatcher::with_default(&libraries, || {
                tracing::error!(target: "hyper::proto", secret = 1, "secret {}", 2);
                tracing::warn!(target: "tower", secret = "3");
                tracing::info!(target: "tower", "secret");
            });
        });
        let [error, warn] = said.lines().collect::<Vec<_>>().try_into().unwrap();
        assert!(
            error.contains("ERROR") && error.contains("\"hyper::proto\""),
            "{said}"
        );
        assert!(
            warn.contains("WARN") && warn.contains("\"tower\""),
            "{said}"
        );
        assert!(!said.contains("secret"), "{said}");
    }
    let errors = written(Level::Error, Format::Json, |telemetry| {
        let libraries = libraries::dispatch(telemetry.clone());
        tracing::dispatcher::with_default(&libraries, || {
            tracing::warn!("one");
            tracing::error!("two");
        });
    });
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

/// Removes the timestamps after checking their form.
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

fn decision(telemetry: &Telemetry, client: Option<&str>, violation: Option<&Violation>) {
    let upstream = &telemetry.metrics().upstream("legacy");
    let event = Event::Decision {
        request: RequestId(0xfeed_0000_0000_0042),
        upstream,
        endpoint: Endpoint::Token,
        step: Step::Other,
        decided: if violation.is_none() {
            Decided::Allowed
        } else {
            Decided::Refused
        },
        violation,
        client,
        method: None,
        redirect_origin: violation.map(|_| "https://app.example"),
        is_uncertain: false,
        codes: None,
        hint: None,
        peer: "192.0.2.1",
    };
    let log = telemetry.log().unwrap();
    log.write(&event, u64::from(violation.is_some()));
}

/// Client identifiers that an attacker might choose.
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
fn the_form_of_a_line_is_stable() {
    let allowed = json(|telemetry| decision(telemetry, Some("portal"), None));
    assert_eq!(
        timeless(&allowed),
        "\"INFO\",\"event\":\"decision\",\"request\":\"feed000000000042\",\"upstream\":\"legacy\",\
         \"endpoint\":\"token\",\"decision\":\"allowed\",\"client\":\"portal\",\"peer\":\"192.0.2.1\"}\n"
    );
    let refused = json(|telemetry| {
        decision(
            telemetry,
            Some("a\n\"\u{1f510}"),
            Some(&Violation::UnknownCode),
        );
    });
    assert_eq!(
        timeless(&refused),
        "\"WARN\",\"event\":\"decision\",\"request\":\"feed000000000042\",\"upstream\":\"legacy\",\
         \"endpoint\":\"token\",\"decision\":\"refused\",\"violation\":\"unknown_code\",\
         \"client\":\"a\\n\\\"\u{1f510}\",\
         \"redirect_origin\":\"https://app.example\",\"peer\":\"192.0.2.1\",\"unlogged\":1}\n"
    );
}

#[test]
fn a_value_is_read_back_as_it_was() {
    for client in CLIENTS {
        for (violation, client) in [
            (None, client.to_owned()),
            (Some(&Violation::UnknownCode), client.repeat(4)),
        ] {
            let line = json(|telemetry| decision(telemetry, Some(&client), violation));
            let read: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(read["client"], client.as_str(), "{line}");
        }
    }
}

/// The text format is also for terminals: characters that would control one, or change the direction of text, are
/// escaped.
#[test]
fn text_lines_contain_no_control_characters() {
    for client in CLIENTS {
        let line = written(Level::Trace, Format::Text, |telemetry| {
            decision(telemetry, Some(client), Some(&Violation::UnknownCode));
        });
        let (line, rest) = line.split_once('\n').unwrap();
        assert_eq!(rest, "", "{line}");
        assert!(line.contains(&format!("client={client:?} ")), "{line}");
        let acts = |character: char| {
            character.is_control()
                || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202e}' | '\u{feff}')
        };
        assert!(!line.contains(acts), "{}", line.escape_debug());
    }
}

#[test]
fn times_are_formatted_correctly() {
    let shown = |micros| {
        let time = Timestamp::from_microsecond(micros).unwrap();
        let mut text = Vec::new();
        rfc3339(&time, &mut serde_json::Serializer::new(&mut text)).unwrap();
        String::from_utf8(text).unwrap()
    };
    for (micros, text) in [
        (0, "1970-01-01T00:00:00.000000Z"),
        (-1, "1970-01-01T00:00:00.000000Z"),
        (86_399_999_999, "1970-01-01T23:59:59.999999Z"),
        (86_399_000_040, "1970-01-01T23:59:59.000040Z"),
        (951_782_400_000_007, "2000-02-29T00:00:00.000007Z"),
        (1_709_164_799_000_000, "2024-02-28T23:59:59.000000Z"),
        (1_732_294_425_047_669, "2024-11-22T16:53:45.047669Z"),
        (1_732_294_425_900_000, "2024-11-22T16:53:45.900000Z"),
        (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
    ] {
        assert_eq!(shown(micros), format!("\"{text}\""));
    }
}

/// The timestamp lies between two other readings of the clock.
#[test]
fn a_line_has_the_time_of_day() {
    #[expect(clippy::disallowed_methods, reason = "the same clock is read")]
    let now = || Timestamp::try_from(SystemTime::now()).unwrap();
    let before = now();
    let line = json(|telemetry| decision(telemetry, None, None));
    let line: Value = serde_json::from_str(&line).unwrap();
    let told: Timestamp = line["timestamp"].as_str().unwrap().parse().unwrap();
    let micros = |time: Timestamp| time.as_microsecond();
    assert!(
        (micros(before)..=micros(now())).contains(&micros(told)),
        "{line}"
    );
}

#[test]
fn any_client_identifier_is_one_member_of_one_json_object() {
    for client in CLIENTS {
        let line = json(|telemetry| decision(telemetry, Some(client), None));
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

#[test]
fn characters_that_a_terminal_acts_on_are_escaped() {
    let hidden = "a\u{7f}\u{85}\u{9b}\u{200f}\u{2028}\u{202e}\u{feff}\u{e0001}\u{e9}\u{1f511}";
    let written = serde_json::to_vec(hidden).unwrap();
    let shown = String::from_utf8(visible(written)).unwrap();
    assert_eq!(
        shown,
        "\"a\\u007f\\u0085\\u009b\\u200f\\u2028\\u202e\\ufeff\\udb40\\udc01\u{e9}\u{1f511}\""
    );
    assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), hidden);
}
