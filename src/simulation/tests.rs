use std::collections::BTreeMap;

use super::world::{Broken, Kind};
use super::*;
use crate::store::{Mutation, SignIns};

/// All stores: one gate and several.
const KINDS: [(&str, Kind); 9] = [
    ("memory", Kind::Memory),
    ("sealed", Kind::Sealed(1)),
    ("sealed-3", Kind::Sealed(3)),
    ("redis", Kind::Redis(SignIns::InRedis, 1)),
    ("redis-3", Kind::Redis(SignIns::InRedis, 3)),
    ("handles", Kind::Redis(SignIns::InHandles, 1)),
    ("handles-4", Kind::Redis(SignIns::InHandles, 4)),
    ("replicated-3", Kind::Replicated(SignIns::InRedis, 3)),
    (
        "handles-replicated-3",
        Kind::Replicated(SignIns::InHandles, 3),
    ),
];

fn plan(seed: u64, flows: u64, kind: Kind) -> Plan {
    Plan {
        seed,
        flows,
        kind,
        is_lax: seed % 2 == 1,
        troubles: 15,
        late: 30,
        errors: 200,
        attacks: 4_000,
        broken: None,
        watched: None,
    }
}

/// A plan in which everything goes wrong often.
fn stressed(seed: u64, flows: u64, kind: Kind) -> Plan {
    Plan {
        is_lax: true,
        troubles: 30,
        late: 1_500,
        errors: 1_000,
        attacks: 10_000,
        ..plan(seed, flows, kind)
    }
}

/// Runs a plan without breaches.
fn holds(plan: Plan) -> Report {
    let report = run(plan);
    assert!(report.breaches.is_empty(), "{}", explained(plan, &report));
    let promised = |why: &&&str| !may_excuse(plan).contains(*why);
    let unexpected = report.excused.keys().find(promised);
    assert_eq!(unexpected, None, "{plan:?}");
    report
}

/// The answers of every store.
const ANSWERS: [&str; 30] = [
    "a code of another sign-in",
    "bind: bound",
    "bind: elsewhere",
    "bind: too many",
    "bind: unknown",
    "burnt_code",
    "claimed",
    "client_mismatch",
    "expired_code",
    "flow: token",
    "hold: again",
    "hold: conflict",
    "hold: handle",
    "hold: new",
    "malformed_challenge",
    "malformed_verifier",
    "method_not_allowed",
    "missing_challenge",
    "missing_client",
    "missing_response_type",
    "missing_verifier",
    "pending: conflict",
    "redirect_mismatch",
    "replayed_code",
    "request_object_refused",
    "response_type_not_allowed",
    "store: no room",
    "token",
    "unknown_code",
    "verifier_mismatch",
];

/// Answers that only some stores give.
fn own_answers(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Memory => &["pending: expired"],
        Kind::Sealed(_) => &["pending: expired", "restart"],
        Kind::Redis(..) => &[
            "failover",
            "pending: unknown",
            "store: deadline",
            "store: unreachable",
        ],
        Kind::Replicated(..) => &[
            "failover",
            "pending: unknown",
            "store: deadline",
            "store: too few replicas",
            "store: unreachable",
        ],
    }
}

/// What a store does not promise. With an upstream that redeems a code once, I2 always holds.
fn may_excuse(plan: Plan) -> Vec<&'static str> {
    // The trace of a code is not known to another process, and a failover can lose it.
    let i1 = "I1: bound again where the first binding is not known";
    let i2 = "I2: bound again where the first binding is not known";
    let local = "I2: claimed where the first claim is not known";
    match (plan.kind, plan.is_lax) {
        // With `min_replicas`, a failover loses nothing on which a gate has acted.
        (Kind::Memory | Kind::Replicated(..), _) => vec![],
        (Kind::Sealed(_) | Kind::Redis(..), false) => vec![i1],
        (Kind::Sealed(_), true) => vec![i1, i2, local],
        (Kind::Redis(..), true) => vec![i1, i2],
    }
}

fn i1_and_i2_hold_and_every_answer_is_reached(kind: Kind) {
    let mut counts = BTreeMap::new();
    for seed in [1, 2] {
        let report = holds(plan(seed, 800, kind));
        for (name, count) in report.counts {
            *counts.entry(name).or_insert(0) += count;
        }
    }
    let expected = ANSWERS.iter().chain(own_answers(kind));
    let missing: Vec<_> = expected
        .filter(|name| !counts.contains_key(*name))
        .collect();
    assert!(
        missing.is_empty(),
        "{kind:?} never: {missing:?} in {counts:#?}"
    );
}

#[test]
fn i1_and_i2_hold_in_memory() {
    i1_and_i2_hold_and_every_answer_is_reached(Kind::Memory);
}

#[test]
fn i1_and_i2_hold_in_handles() {
    i1_and_i2_hold_and_every_answer_is_reached(Kind::Sealed(1));
    i1_and_i2_hold_and_every_answer_is_reached(Kind::Sealed(3));
}

#[test]
fn i1_and_i2_hold_in_redis() {
    i1_and_i2_hold_and_every_answer_is_reached(Kind::Redis(SignIns::InRedis, 1));
    i1_and_i2_hold_and_every_answer_is_reached(Kind::Redis(SignIns::InRedis, 3));
}

#[test]
fn i1_and_i2_hold_with_claims_in_redis() {
    i1_and_i2_hold_and_every_answer_is_reached(Kind::Redis(SignIns::InHandles, 4));
}

#[test]
fn i1_and_i2_hold_in_redis_with_replicas() {
    i1_and_i2_hold_and_every_answer_is_reached(Kind::Replicated(SignIns::InRedis, 3));
    i1_and_i2_hold_and_every_answer_is_reached(Kind::Replicated(SignIns::InHandles, 3));
}

#[test]
fn the_same_seed_makes_the_same_trace() {
    for (name, kind) in KINDS {
        let [one, again] = [(); 2].map(|()| run(plan(7, 100, kind)));
        assert_eq!(
            (one.trace, one.steps, one.took),
            (again.trace, again.steps, again.took),
            "{name}"
        );
        assert_ne!(one.trace, run(plan(8, 100, kind)).trace, "{name}");
    }
}

/// What a run with this mutation finds against an invariant, and that the same run without it finds nothing.
fn is_found(broken: Broken, kind: Kind, flows: u64, invariant: &str) {
    let whole = stressed(11, flows, kind);
    holds(whole);
    let plan = Plan {
        broken: Some(broken),
        ..whole
    };
    let report = run(plan);
    let is_of = |breach: &&ledger::Breach| breach.what.starts_with(invariant);
    let found = report.breaches.iter().filter(is_of).count();
    assert!(found > 0, "{broken:?} {kind:?}: {:?}", report.counts);
}

#[test]
fn a_release_after_a_token_is_found() {
    for kind in [
        Kind::Memory,
        Kind::Sealed(1),
        Kind::Redis(SignIns::InRedis, 2),
    ] {
        is_found(Broken::ReleasesAll, kind, 500, "I2");
    }
}

#[test]
fn a_claim_of_a_claimed_code_is_found() {
    let broken = Broken::Server(Mutation::ClaimWithoutNx);
    is_found(broken, Kind::Redis(SignIns::InRedis, 2), 500, "I2");
}

#[test]
fn a_release_of_the_claim_of_another_request_is_found() {
    let broken = Broken::Server(Mutation::ReleaseWithoutFence);
    is_found(broken, Kind::Redis(SignIns::InHandles, 2), 2_500, "I2");
}

#[test]
fn a_claim_on_another_server_run_is_found() {
    let broken = Broken::Server(Mutation::ClaimOnAnotherRun);
    is_found(broken, Kind::Redis(SignIns::InRedis, 3), 1_500, "I2");
}

#[test]
fn a_binding_without_a_trace_is_found() {
    let broken = Broken::Server(Mutation::BindWithoutTrace);
    is_found(broken, Kind::Redis(SignIns::InRedis, 1), 500, "I1");
}

#[test]
fn an_expired_code_that_is_bound_again_is_found() {
    let broken = Broken::Server(Mutation::BindExpired);
    is_found(broken, Kind::Replicated(SignIns::InRedis, 1), 1_500, "I2");
}

#[test]
fn a_write_that_is_confirmed_without_a_replica_is_found() {
    let broken = Broken::Server(Mutation::ConfirmWithoutReplica);
    is_found(broken, Kind::Replicated(SignIns::InRedis, 1), 1_500, "I1");
}

#[expect(
    clippy::disallowed_methods,
    reason = "the environment chooses the size of this test"
)]
fn asked(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// `SEED=1 FLOWS=1000000 STORES=memory,redis-3 cargo test --release --lib simulation::tests::as_many_flows_as_asked_for -- --nocapture`
#[test]
fn as_many_flows_as_asked_for() {
    let number = |name: &str, otherwise: u64| {
        asked(name).map_or(otherwise, |text| text.parse().expect("it is a number"))
    };
    let (seed, flows) = (number("SEED", 3), number("FLOWS", 50));
    let stores = asked("STORES");
    let is_asked = |name: &str| {
        let all = stores.as_ref();
        all.is_none_or(|stores| stores.split(',').any(|store| store == name))
    };
    for (name, kind) in KINDS.into_iter().filter(|(name, _)| is_asked(name)) {
        for is_lax in [true, false] {
            let plan = Plan {
                is_lax,
                ..plan(seed, flows, kind)
            };
            let report = holds(plan);
            println!(
                "{name} lax={is_lax} seed={seed} flows={flows}: {} steps in {:?}, trace {:016x}\n  {:?}\n  not promised: {:?}",
                report.steps, report.took, report.trace, report.counts, report.excused
            );
        }
    }
}
