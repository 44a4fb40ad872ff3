//! The harness finds gates that break a rule. Here operators break it, by a wrong configuration or a store that loses writes; the
//! tests of the checker forge the rest, and clients that go around the gate are in `memory.rs`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::stores::{gates, in_redis, sealed_with_claims, url};
use crate::support::ledger::{Kind, Report};
use crate::support::redis::Redis;

fn finds(report: &Report, invariant: &str) -> usize {
    let found = report.check();
    found.iter().filter(|it| it.invariant == invariant).count()
}

/// The steps of a flow reach both gates, and some only the lax one.
#[test]
fn i1_is_found_where_one_of_two_gates_only_reports() {
    let redis = Redis::single();
    let harness = gates(2, &in_redis(&url(&redis)));
    harness.reconfigure(0, |config| {
        config.replace("[upstream.pkce]\n", "[upstream.pkce]\nmode = \"report\"\n")
    });
    let report = harness.run(&Kind::mix(100), |_| {});
    assert!(finds(&report, "I1") > 0, "the harness sees nothing");
    assert!(finds(&report, "I7") > 0, "codes of the upstream at clients");
}

/// The claim of a code is gone as soon as it was written, as in a Redis that acknowledges writes and loses them.
#[test]
fn i2_is_found_where_redis_loses_claims() {
    for store in [in_redis, sealed_with_claims] {
        let redis = Redis::single();
        let harness = gates(2, &store(&url(&redis)));
        let is_over = AtomicBool::new(false);
        let lose = "for _, key in ipairs(redis.call('KEYS', '*:c:*')) do redis.call('HDEL', key, 'claim') end";
        let report = thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    redis.command(&["EVAL", lose, "0"]);
                }
            });
            let report = harness.run(&[Kind::Race(30); 20], |_| {});
            is_over.store(true, Ordering::SeqCst);
            report
        });
        assert!(finds(&report, "I2") > 0, "the harness sees nothing");
        assert_eq!(finds(&report, "I1"), 0, "every winner had the verifier");
    }
}

/// What `docs/src/stores.md` says about `claims = "local"`: the second redemption is left to the server, and this one allows it.
#[test]
fn i2_is_found_where_two_gates_with_local_claims_trust_a_server_without_single_use() {
    let report = gates(2, "kind = \"sealed\"").run(&[Kind::Replay; 40], |_| {});
    assert!(finds(&report, "I2") > 0, "the harness sees nothing");
    assert_eq!(finds(&report, "I1"), 0, "every winner had the verifier");
}
