//! Every event, and the table of them in the manual.

use super::*;

fn issuer_mismatch(upstream: &Upstream) -> Event<'_> {
    Event::IssuerMismatch {
        request: RequestId(1),
        upstream,
        issuer: "https://other.example",
        path: "/.well-known/openid-configuration",
    }
}

/// A decision with all optional fields.
fn full_decision(upstream: &Upstream) -> Event<'_> {
    Event::Decision {
        request: RequestId(1),
        upstream,
        endpoint: Endpoint::Authorization,
        step: Step::Begins,
        decided: Decided::Refused,
        violation: Some(&Violation::MethodNotAllowed { by_omission: true }),
        client: Some("portal"),
        method: Some(CodeChallengeMethod::S256),
        redirect_origin: Some("https://app.example"),
        is_uncertain: true,
        codes: Some("upstream"),
        hint: Some("missing_method"),
        peer: "192.0.2.1",
    }
}

fn unknown_code_accepted(upstream: &Upstream) -> Event<'_> {
    Event::UnknownCodeAccepted {
        request: RequestId(1),
        upstream,
        client: Some("portal"),
    }
}

fn report_mode_lasts(upstream: &Upstream) -> Event<'_> {
    Event::ReportModeLasts {
        upstream,
        days: 31,
        is_long: false,
        until: Some("2026-10-31"),
    }
}

/// All events, with all optional fields.
fn tell_all(telemetry: &Telemetry) {
    let upstream = &telemetry.metrics().upstream("legacy");
    let request = RequestId(1);
    let peer = SocketAddr::from(([192, 0, 2, 1], 4711));
    let events = [
        full_decision(upstream),
        answered(upstream),
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
        unknown_code_accepted(upstream),
        Event::UpstreamOriginInBody { request, upstream },
        issuer_mismatch(upstream),
        Event::Overloaded { request, upstream },
        Event::Panicked,
        Event::Panic { place: "a.rs:1" },
        Event::Library {
            level: Level::Warn,
            target: "hyper",
            line: Some(1),
        },
        Event::LogLinesLost { lines: 1 },
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
        Event::StoreLost {
            upstream,
            problem: String::new(),
        },
        Event::StoreBack { upstream },
        Event::StoreEvicts {
            upstream,
            policy: String::new(),
        },
        Event::ClocksDiffer { upstream },
        Event::ClockInDoubt {
            shows: "1970-01-01".to_owned(),
            holds: Some("1970-01-02".to_owned()),
        },
        Event::SignalIgnored { signal: "SIGHUP" },
        Event::Reloaded {
            sha256: "00",
            needs_restart: "server.listen",
        },
        Event::ReloadFailed { problem: "x" },
        Event::Draining { limit_seconds: 0 },
        Event::Stopped { cut_off: 0 },
    ];
    for event in events.iter().chain(&of_the_review(upstream)) {
        telemetry.tell(event);
    }
}

fn of_the_review(upstream: &Upstream) -> Vec<Event<'_>> {
    vec![
        report_mode_lasts(upstream),
        Event::PromotionProposed {
            upstream,
            client: "app",
            promote: "propose after 7d",
        },
        Event::ClientPromoted {
            upstream,
            client: "app",
            promote: "after 7d",
        },
        Event::ClientDowngraded {
            upstream,
            client: "app",
            enforced: true,
            since: "2026-11-29T00:00:00Z".to_owned(),
        },
        Event::ReviewSnapshotUnreadable {
            problem: "it cannot be read",
        },
        Event::ReviewUnshared {
            upstream,
            problem: "x".to_owned(),
        },
        Event::ReviewSnapshotUnwritten {
            problem: "it cannot be written",
        },
    ]
}

#[test]
fn the_manual_lists_the_events_and_their_fields() {
    let told: BTreeMap<String, String> = json(tell_all)
        .lines()
        .map(|line| {
            let line: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
            let fields: Vec<&str> = line.keys().skip(3).map(String::as_str).collect();
            let event = line["event"].as_str().unwrap();
            (event.to_owned(), fields.join(" "))
        })
        .collect();
    let page = include_str!("../../../../docs/src/operations.md");
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
    assert_eq!(listed, told);
}
