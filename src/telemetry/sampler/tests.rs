use std::time::Duration;

use super::*;
use crate::clock::ManualClock;
use crate::oauth::Endpoint;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::{RequestId, Step, Upstream};

struct Flood {
    sampler: Sampler,
    hand: ManualClock,
    upstream: Upstream,
}

impl Flood {
    fn new() -> Self {
        let (clock, hand) = Clock::manual();
        let sampler = Sampler::new(clock);
        let upstream = Metrics::new().upstream("legacy");
        Self {
            sampler,
            hand,
            upstream,
        }
    }

    /// Passes the event so many times. Returns, for each line, the number of events before it that got none.
    fn of(&self, event: &Event<'_>, times: usize) -> Vec<u64> {
        (0..times)
            .filter_map(|_| self.sampler.line(event))
            .collect()
    }

    fn decision<'e>(
        &'e self,
        decided: Decided,
        violation: Option<&'e Violation>,
        client: Option<&'e str>,
    ) -> Event<'e> {
        Event::Decision {
            request: RequestId(1),
            upstream: &self.upstream,
            endpoint: Endpoint::Token,
            step: Step::Other,
            decided,
            violation,
            client,
            method: None,
            redirect_origin: None,
            is_uncertain: false,
            codes: None,
            hint: None,
            peer: "192.0.2.1",
        }
    }

    fn refused<'e>(&'e self, violation: &'e Violation, client: Option<&'e str>) -> Event<'e> {
        self.decision(Decided::Refused, Some(violation), client)
    }

    fn pass(&self, seconds: u64) {
        self.hand.advance(Duration::from_secs(seconds));
    }
}

const SPARED: Event<'_> = Event::ConnectionSpared {
    peer: std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1),
};

#[test]
fn a_flood_gets_a_burst_and_then_a_line_every_ten_seconds() {
    let flood = Flood::new();
    assert_eq!(flood.of(&SPARED, 1_000_000), [0; 100]);
    flood.pass(9);
    assert!(flood.of(&SPARED, 1).is_empty());
    flood.pass(1);
    assert_eq!(flood.of(&SPARED, 5), [999_901]);
    flood.pass(30);
    assert_eq!(flood.of(&SPARED, 5), [4, 0, 0]);
    flood.pass(3600);
    assert_eq!(flood.of(&SPARED, 200).len(), 100, "the burst is limited");
}

#[test]
fn each_kind_of_event_that_clients_can_cause_has_its_own_budget() {
    let flood = Flood::new();
    let (upstream, request) = (&flood.upstream, RequestId(1));
    let peer = ([192, 0, 2, 1], 1).into();
    let unknown = Violation::UnknownCode;
    let replayed = Violation::ReplayedCode;
    let kinds = [
        SPARED,
        Event::ConnectionTimedOut { peer },
        Event::MalformedHead { peer, reason: "a" },
        Event::MalformedHead { peer, reason: "b" },
        Event::Panicked,
        Event::Overloaded { request, upstream },
        Event::OtherBrowser { request, upstream },
        Event::UpstreamOriginInBody { request, upstream },
        Event::UpstreamFailed {
            request,
            upstream,
            fault: "connect",
            cause: "",
        },
        Event::UpstreamFailed {
            request,
            upstream,
            fault: "broken",
            cause: "",
        },
        Event::Misdirected {
            request,
            host: None,
            reason: "a",
            status: 421,
        },
        flood.refused(&unknown, None),
        flood.refused(&replayed, None),
        flood.decision(Decided::Reported, Some(&unknown), None),
    ];
    for kind in &kinds {
        assert_eq!(flood.of(kind, 1000).len(), 100, "{kind:?}");
    }
}

/// Allowed requests are the record of sign-ins: with a hundred per second no line is left out.
#[test]
fn allowed_requests_have_a_larger_but_limited_budget() {
    let flood = Flood::new();
    let allowed = flood.decision(Decided::Allowed, None, Some("portal"));
    assert_eq!(flood.of(&allowed, 10_000).len(), 10_000);
    for _ in 0..100 {
        flood.pass(1);
        assert_eq!(flood.of(&allowed, 100), [0; 100]);
    }
    assert!(flood.of(&allowed, 100_000).is_empty());
}

#[test]
fn events_that_clients_cannot_cause_are_always_written() {
    let flood = Flood::new();
    for event in [
        Event::Stopped { cut_off: 0 },
        Event::SignalIgnored { signal: "SIGHUP" },
    ] {
        assert_eq!(flood.of(&event, 10_000).len(), 10_000, "{event:?}");
    }
}

#[test]
fn a_client_that_fails_constantly_does_not_hide_another_one() {
    let flood = Flood::new();
    let missing = Violation::MissingChallenge;
    let busy = flood.refused(&missing, Some("busy"));
    assert_eq!(flood.of(&busy, 5000).len(), 100);
    let rare = flood.refused(&missing, Some("rare"));
    assert_eq!(flood.of(&rare, 3), [0; 3]);
    flood.pass(10);
    assert_eq!(
        flood.of(&busy, 1),
        [4900],
        "the client's own events are counted"
    );
    assert_eq!(flood.of(&rare, 1), [0]);
}

#[test]
fn invented_clients_share_one_budget_separate_from_known_clients() {
    let flood = Flood::new();
    let missing = Violation::MissingChallenge;
    let known = flood.refused(&missing, Some("known"));
    assert_eq!(flood.of(&known, 1), [0]);
    let names = (0..20_000).map(|name| format!("made-up-{name}"));
    let lines = names.filter_map(|name| {
        let event = flood.refused(&missing, Some(&name));
        flood.sampler.line(&event)
    });
    assert_eq!(lines.count(), 99);
    assert_eq!(flood.of(&known, 1), [0]);
    flood.pass(10);
    let next = flood.refused(&missing, Some("made-up"));
    assert_eq!(flood.of(&next, 1), [19_901], "they are counted together");
}

#[test]
fn the_number_of_clients_is_limited_and_unused_entries_are_removed() {
    let flood = Flood::new();
    let missing = Violation::MissingChallenge;
    let first = flood.refused(&missing, Some("0"));
    for name in 0..2 * CLIENTS {
        let name = name.to_string();
        // Slowly, so that each gets one of the kind's lines.
        flood.pass(10);
        assert_eq!(flood.of(&flood.refused(&missing, Some(&name)), 1), [0]);
        let clients = flood.sampler.lines.lock().unwrap().clients.len();
        assert!(clients <= CLIENTS, "{clients}");
    }
    assert_eq!(flood.of(&first, 1000).len(), 100, "its entry was removed");
}
