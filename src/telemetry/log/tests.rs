use super::*;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use crate::telemetry::{EndpointKind, Metrics, RequestId};

/// Keeps what is written.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    pub(super) fn text(&self) -> String {
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

impl<'a> MakeWriter<'a> for Kept {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// What the log says of one event of each level.
fn said(level: Level, format: Format) -> String {
    let kept = Kept::default();
    let (lines, end) = Lines::to(kept.clone(), |_| {});
    let metrics = Metrics::new();
    let upstream = metrics.upstream("legacy");
    let request = RequestId(0xfeed_0000_0000_0042);
    let tell = || {
        write(
            &Event::UpstreamFailed {
                request,
                upstream: &upstream,
                fault: "connect",
                cause: "cannot connect: connection refused",
            },
            0,
        );
        write(
            &Event::OtherBrowser {
                request,
                upstream: &upstream,
            },
            0,
        );
        write(
            &Event::Listening {
                what: "server",
                address: SocketAddr::from(([127, 0, 0, 1], 8080)),
            },
            0,
        );
        write(
            &Event::Answered {
                request,
                upstream: &upstream,
                endpoint: EndpointKind::Other,
                status: 204,
                took: Duration::from_millis(3),
            },
            0,
        );
        // What a library may have to say of a request.
        error!(target: "hyper::proto", secret = 1);
    };
    dispatcher::with_default(&dispatch(Settings { level, format }, lines), tell);
    drop(end);
    kept.text()
}

#[test]
fn the_level_decides_what_is_written_and_libraries_are_silent() {
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
fn both_formats_say_the_same() {
    let json = said(Level::Debug, Format::Json);
    let last = json.lines().last().unwrap();
    assert!(
        last.ends_with(
            "Z\",\"level\":\"DEBUG\",\"event\":\"answered\",\"request\":\"feed000000000042\",\
             \"upstream\":\"legacy\",\"endpoint\":\"other\",\"status\":204,\"micros\":3000}"
        ),
        "{last}"
    );
    let text = said(Level::Debug, Format::Text);
    let last = text.lines().last().unwrap();
    assert!(
        last.ends_with(
            "Z DEBUG event=\"answered\" request=feed000000000042 upstream=\"legacy\" endpoint=\"other\" \
             status=204 micros=3000"
        ),
        "{last}"
    );
}

#[test]
fn a_long_client_is_cut() {
    assert_eq!(shown("portal"), "portal");
    for character in ["x", "ä"] {
        let longest = character.repeat(CLIENT_CHARACTERS);
        assert_eq!(shown(&longest), longest);
        assert_eq!(shown(&format!("{longest}x")), format!("{longest}…"));
        assert_eq!(shown(&longest.repeat(500)), format!("{longest}…"));
    }
}

/// Each event, with everything that it may tell.
fn tell_all() {
    let metrics = Metrics::new();
    let upstream = &metrics.upstream("legacy");
    let request = RequestId(1);
    let peer = SocketAddr::from(([192, 0, 2, 1], 4711));
    let missing = Violation::MethodNotAllowed { by_omission: true };
    let events = [
        Event::Decision {
            request,
            upstream,
            endpoint: EndpointKind::Authorization,
            decided: Decided::Refused,
            violation: Some(&missing),
            client: Some("portal"),
            redirect_origin: Some("https://app.example"),
            peer: "192.0.2.1",
        },
        Event::Answered {
            request,
            upstream,
            endpoint: EndpointKind::Other,
            status: 204,
            took: Duration::ZERO,
        },
        Event::Misdirected {
            request,
            host: Some("login.example"),
            reason: "unknown",
            status: 421,
        },
        Event::UpstreamFailed {
            request,
            upstream,
            fault: "connect",
            cause: "refused",
        },
        Event::OtherBrowser { request, upstream },
        Event::UpstreamOriginInBody { request, upstream },
        Event::Overloaded { request, upstream },
        Event::Panicked,
        Event::ConnectionTimedOut { peer },
        Event::ConnectionSpared { peer },
        Event::MalformedHead { peer, reason: "a" },
        Event::Listening {
            what: "server",
            address: peer,
        },
        Event::FewDescriptors {
            limit: 4,
            needed: 3,
            connections: 2,
            in_flight: 1,
        },
        Event::ClockInDoubt(Doubt {
            shows: 0,
            holds: Some(1),
        }),
        Event::SignalIgnored { signal: "SIGHUP" },
        Event::Draining {
            limit: Duration::ZERO,
        },
        Event::Stopped { cut_off: 0 },
    ];
    for event in &events {
        write(event, 0);
    }
}

#[test]
fn the_manual_lists_the_events_and_their_fields() {
    let kept = Kept::default();
    let (lines, end) = Lines::to(kept.clone(), |_| {});
    let settings = Settings {
        level: Level::Trace,
        format: Format::Json,
    };
    dispatcher::with_default(&dispatch(settings, lines), tell_all);
    drop(end);
    let told: BTreeMap<String, String> = kept
        .text()
        .lines()
        .map(|line| {
            let line: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(line).unwrap();
            let fields: Vec<&str> = line.keys().skip(3).map(String::as_str).collect();
            let event = line["event"].as_str().unwrap();
            (event.to_owned(), fields.join(" "))
        })
        .collect();
    let page = include_str!("../../../docs/src/operations.md");
    let (_, table) = page.split_once("| `event` | level | fields |\n").unwrap();
    let rows = table.lines().skip(1).take_while(|row| row.starts_with('|'));
    let mut listed = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let fields = cells[3].split('`').nth(1).unwrap_or_default();
        for event in cells[1].split('`').skip(1).step_by(2) {
            listed.insert(event.to_owned(), fields.to_owned());
        }
    }
    // It is no event of a request, and told by the hook of the process.
    assert_eq!(listed.remove("panic").as_deref(), Some("place"));
    assert_eq!(listed, told);
}
