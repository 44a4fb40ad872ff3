//! One gate with the memory store.

use std::time::Duration;

use crate::support::fault::Fault;
use crate::support::ledger::harness::Harness;
use crate::support::ledger::{End, Kind, Place, Report};
use crate::support::rig::Config;
use crate::support::scripted::{Act, Then};

fn gates(count: usize, upstream: &str) -> Harness {
    let config = Config {
        store: "kind = \"memory\"",
        upstream,
        ..Config::default()
    };
    Harness::start(count, config)
}

/// With timeouts that a test can wait for, and that a busy machine does not reach.
fn impatient() -> Harness {
    gates(1, "connect = \"5s\"\nresponse = \"5s\"")
}

#[track_caller]
fn assert_nothing_is_violated(report: &Report) {
    let violations = report.check();
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn without_faults_every_flow_ends_in_a_token() {
    let report = gates(1, "").run(&Kind::mix(100), |_| {});
    assert_nothing_is_violated(&report);
    let flows = report.flows.iter();
    let tokens = flows.filter(|it| it.kind != Kind::NoChallenge).count();
    assert_eq!(report.tokens(), tokens);
    assert_eq!(report.redeemed.len(), tokens);
    assert!(report.sends.len() > 500, "{}", report.sends.len());
}

/// The steps of a flow reach different gates, which do not know of each other. That is a failure, but not an unsafe one.
#[test]
fn gates_that_share_nothing_violate_liveness_only() {
    let report = gates(3, "").run(&Kind::mix(40), |_| {});
    let found = report.check();
    assert!(found.iter().all(|it| it.invariant == "I5"), "{found:#?}");
    assert!(found.len() > 10, "{found:#?}");
}

#[test]
fn clients_that_go_around_the_gate_violate_safety() {
    let report = Harness::bypassed().run(&Kind::mix(30), |_| {});
    let found = report.check();
    for what in ["verifier", "client", "redirect URI"] {
        let is_it = |what: &str| format!("got a token without the {what}");
        assert!(
            found
                .iter()
                .any(|it| it.invariant == "I1" && it.what.ends_with(&is_it(what))),
            "{what}: {found:#?}"
        );
    }
    for invariant in ["I2", "I5", "I7"] {
        assert!(
            found.iter().any(|it| it.invariant == invariant),
            "{invariant}: {found:#?}"
        );
    }
}

/// Every fault on the way to the upstream, one after the other.
#[test]
fn an_upstream_out_of_reach_violates_nothing() {
    let faults = [
        (Place::Behind, Fault::Reset),
        (Place::Behind, Fault::Refuse),
        (Place::Behind, Fault::Delay(Duration::from_millis(50))),
        (Place::Answers, Fault::Drip(40)),
        (Place::Behind, Fault::HalfClose),
        (Place::Behind, Fault::BlackHole),
    ];
    let kinds = Kind::mix(200);
    let report = impatient().run(&kinds, |harness| {
        for (place, fault) in faults {
            harness.wait_for(6);
            harness.disturb(place, || {
                harness.network().set(fault);
                harness.wait_for(8);
                harness.network().heal();
                harness.network().cut();
            });
        }
    });
    assert_nothing_is_violated(&report);
    let failed = report
        .flows
        .iter()
        .filter(|flow| matches!(flow.end, End::Error(_)));
    assert!(failed.count() > 22, "the faults reach flows");
}

/// The upstream has redeemed the codes, so the clients' second attempts must not reach it.
#[test]
fn codes_whose_answers_are_lost_are_not_redeemed_again() {
    let report = impatient().run(&[Kind::Replay; 30], |harness| {
        harness.disturb(Place::Behind, || {
            harness.lose_tokens(10);
            harness.wait_for(20);
        });
    });
    assert_nothing_is_violated(&report);
    assert_eq!(report.redeemed.len(), report.tokens() + 10);
}

/// Each of these answers once at each endpoint.
fn with_answers(place: Place, acts: &[Act]) -> Report {
    impatient().run(&Kind::mix(80), |harness| {
        for path in ["/authorize", "/token"] {
            harness.wait_for(5);
            harness.disturb(place, || {
                for act in acts {
                    harness.upstream().once(path, act.clone());
                }
                harness.wait_for(20);
            });
        }
    })
}

#[test]
fn an_upstream_that_does_not_answer_or_answers_nonsense_violates_nothing() {
    let acts = [
        Act::Say(b"nonsense\r\n\r\n".to_vec(), Then::Close),
        Act::Say(vec![], Then::Close),
        Act::Interrupt(vec![], Then::Reset),
        Act::Say(vec![], Then::Stall),
    ];
    assert_nothing_is_violated(&with_answers(Place::Behind, &acts));
}

#[test]
fn an_upstream_that_breaks_off_its_answers_violates_nothing() {
    let begin = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"access_token\":\"a".to_vec();
    let acts = [
        Act::Say(begin.clone(), Then::Reset),
        Act::Say(begin.clone(), Then::Close),
        Act::Say(begin, Then::Stall),
    ];
    assert_nothing_is_violated(&with_answers(Place::Answers, &acts));
}

#[test]
fn a_killed_gate_forgets_its_own_flows_only() {
    let report = gates(1, "").run(&Kind::mix(60), |harness| {
        harness.wait_for(10);
        harness.disturb(Place::Gate, || {
            harness.kill(0);
            harness.wait_for(4);
            harness.restart(0);
        });
    });
    assert_nothing_is_violated(&report);
}
