use super::world::{Broken, Kind};
use super::*;
use crate::store::{Mutation, SignIns};

const KINDS: [Kind; 6] = [
    Kind::Memory,
    Kind::Sealed(1),
    Kind::Sealed(3),
    Kind::Redis(SignIns::InRedis, 1),
    Kind::Redis(SignIns::InRedis, 3),
    Kind::Redis(SignIns::InHandles, 4),
];

fn plan(seed: u64, flows: u64, kind: Kind) -> Plan {
    Plan {
        seed,
        flows,
        kind,
        is_lax: true,
        troubles: 15,
        broken: None,
        watched: None,
    }
}

/// Runs a plan without breaches.
fn holds(plan: Plan) -> Report {
    let report = run(plan);
    assert!(report.breaches.is_empty(), "{}", explained(plan, &report));
    report
}

fn names(kind: Kind) -> Vec<&'static str> {
    let mut names = vec![
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
    match kind {
        Kind::Memory => names.push("pending: expired"),
        Kind::Sealed(_) => names.extend(["pending: expired", "restart"]),
        Kind::Redis(..) => {
            names.extend([
                "failover",
                "pending: unknown",
                "store: deadline",
                "store: unreachable",
            ]);
        }
    }
    names
}

#[test]
fn i1_and_i2_hold_with_every_store_and_every_answer_is_reached() {
    for kind in KINDS {
        let mut counts = std::collections::BTreeMap::new();
        for seed in [1, 2] {
            let is_lax = seed == 1;
            let plan = plan(seed, 3_000, kind);
            let report = holds(Plan { is_lax, ..plan });
            for (name, count) in report.counts {
                *counts.entry(name).or_insert(0) += count;
            }
            eprintln!(
                "{kind:?} {seed}: {} steps, {:?}, {:?}",
                report.steps, report.took, report.excused
            );
        }
        eprintln!("{counts:?}");
        let missing: Vec<_> = names(kind)
            .into_iter()
            .filter(|name| !counts.contains_key(name))
            .collect();
        assert!(
            missing.is_empty(),
            "{kind:?} never: {missing:?} in {counts:?}"
        );
    }
}
