//! Two gates that share sign-ins: by sealed handles, and by Redis. The steps of a flow reach different gates.

use std::thread::sleep;
use std::time::Duration;

use crate::support::fault::{Direction, Fault, FaultProxy};
use crate::support::ledger::harness::Harness;
use crate::support::ledger::{End, Kind, Output, Place, Report};
use crate::support::params::encode;
use crate::support::redis::cluster::Cluster;
use crate::support::redis::contents::Garbage;
use crate::support::redis::sentinel::{NAME, Sentinel};
use crate::support::redis::{Engine, Options, Redis};
use crate::support::rig::{Config, REDIRECT_URI, Rig};
use crate::support::store::seal_key;
use crate::support::tree::read;

pub(super) fn gates(count: usize, store: &str) -> Harness {
    let store = with_key(store);
    Harness::start(
        count,
        Config {
            store: &store,
            ..Config::default()
        },
    )
}

/// The same for two gates behind `HAProxy`.
pub(super) fn balanced(store: &str) -> Harness {
    let store = with_key(store);
    Harness::balanced(Config {
        store: &store,
        ..Config::default()
    })
}

pub(super) fn with_key(store: &str) -> String {
    let key = seal_key();
    let key = key.display();
    format!("{store}\nkeys = [{{ id = \"test\", file = \"{key}\" }}]")
}

/// With a deadline that a busy machine keeps, unless a fault is meant to exceed it.
pub(super) fn in_redis(url: &str) -> String {
    format!("kind = \"redis\"\nurl = \"{url}\"\ndeadline = \"2s\"")
}

pub(super) fn sealed_with_claims(url: &str) -> String {
    format!("kind = \"sealed\"\nclaims = \"redis\"\nurl = \"{url}\"\ndeadline = \"2s\"")
}

pub(super) fn url(redis: &Redis) -> String {
    format!("redis://{}", redis.address())
}

#[track_caller]
pub(super) fn assert_nothing_is_violated(report: &Report) {
    let violations = report.check();
    assert!(violations.is_empty(), "{violations:#?}");
}

fn failed(report: &Report) -> usize {
    let flows = report.flows.iter();
    flows
        .filter(|flow| matches!(flow.end, End::Error(_)))
        .count()
}

#[test]
fn two_gates_with_redis_are_one() {
    for (store, engine) in [
        (in_redis as fn(&str) -> String, Engine::Redis),
        (sealed_with_claims, Engine::Valkey),
        (in_redis, Engine::Valkey),
    ] {
        let redis = Redis::start(Options::engine(engine));
        let mut report = gates(2, &store(&url(&redis))).run(&Kind::mix(100), |_| {});
        let tokens = report
            .flows
            .iter()
            .filter(|it| it.kind != Kind::NoChallenge);
        assert_eq!(report.tokens(), tokens.count());
        report.outputs.push(Output {
            name: "redis".to_owned(),
            bytes: redis
                .dump()
                .into_iter()
                .flat_map(|(key, values)| [vec![key], values].concat())
                .flatten()
                .collect(),
        });
        assert_nothing_is_violated(&report);
    }
}

/// A release or a claim that one gate makes is not seen by the other, so only flows without an attack.
#[test]
fn two_gates_with_sealed_handles_finish_each_others_sign_ins() {
    let report = gates(2, "kind = \"sealed\"").run(&[Kind::Honest; 60], |_| {});
    assert_eq!(report.tokens(), 60);
    assert_nothing_is_violated(&report);
}

#[test]
fn a_restart_of_a_gate_with_sealed_handles_ends_no_sign_in() {
    let report = gates(2, "kind = \"sealed\"").run(&[Kind::Honest; 60], |harness| {
        for gate in [0, 1] {
            harness.wait_for(8);
            harness.disturb(Place::Gate, || {
                harness.kill(gate);
                harness.restart(gate);
            });
        }
    });
    assert_nothing_is_violated(&report);
}

#[test]
fn redis_out_of_reach_is_refused_and_never_passed() {
    for store in [in_redis, sealed_with_claims] {
        let redis = Redis::single();
        let proxy = FaultProxy::to(redis.address());
        let harness = gates(2, &store(&format!("redis://{}", proxy.address())));
        let report = harness.run(&Kind::mix(150), |harness| {
            for fault in [
                Fault::Reset,
                Fault::Refuse,
                Fault::BlackHole,
                Fault::HalfClose,
            ] {
                harness.wait_for(6);
                harness.disturb(Place::Store, || {
                    proxy.set(fault);
                    harness.wait_for(8);
                    proxy.heal();
                    proxy.cut();
                    harness.wait_for_stores();
                });
            }
            harness.wait_for(6);
            harness.disturb(Place::Store, || {
                // Carried out, but the answers are lost.
                proxy.set_on(Direction::ToClient, Fault::BlackHole);
                harness.wait_for(8);
                proxy.heal();
                proxy.cut();
                harness.wait_for_stores();
            });
        });
        assert_nothing_is_violated(&report);
        assert!(failed(&report) > 20, "the faults reach flows");
    }
}

#[test]
fn redis_killed_stopped_or_with_garbage_violates_nothing() {
    for store in [in_redis, sealed_with_claims] {
        let redis = Redis::single();
        let report = gates(2, &store(&url(&redis))).run(&Kind::mix(150), |harness| {
            harness.wait_for(6);
            harness.disturb(Place::Store, || {
                redis.kill();
                harness.wait_for(8);
                redis.restart();
                harness.wait_for_stores();
            });
            harness.wait_for(6);
            harness.disturb(Place::Store, || {
                redis.stop();
                harness.wait_for(8);
                redis.cont();
                harness.wait_for_stores();
            });
            for by in [Garbage::SameType, Garbage::OtherType] {
                harness.wait_for(6);
                harness.disturb(Place::Store, || {
                    redis.garbage("*", by);
                    harness.wait_for(8);
                    redis.command(&["FLUSHALL"]);
                    harness.wait_for_stores();
                });
            }
        });
        assert_nothing_is_violated(&report);
    }
}

#[test]
fn a_failover_violates_nothing() {
    for store in [in_redis, sealed_with_claims] {
        let sentinel = Sentinel::three();
        let addresses: Vec<_> = sentinel
            .addresses()
            .iter()
            .map(ToString::to_string)
            .collect();
        let url = format!("redis+sentinel://{}/{}", addresses.join(","), NAME);
        let report = gates(2, &store(&url)).run(&Kind::mix(150), |harness| {
            harness.wait_for(10);
            harness.disturb(Place::Store, || {
                sentinel.failover();
                harness.wait_for(10);
            });
            harness.disturb(Place::Store, || {
                sentinel.kill_master();
                sentinel.wait();
                harness.wait_for_stores();
            });
        });
        assert_nothing_is_violated(&report);
    }
}

#[test]
fn a_full_redis_refuses_and_recovers() {
    let redis = Redis::start(Options::default().maxmemory(8 << 20, "noeviction"));
    let report = gates(2, &in_redis(&url(&redis))).run(&Kind::mix(80), |harness| {
        harness.wait_for(6);
        harness.disturb(Place::Store, || {
            assert!(redis.fill());
            harness.wait_for(8);
            redis.command(&["FLUSHALL"]);
        });
    });
    assert_nothing_is_violated(&report);
    assert!(failed(&report) > 4, "the fault reaches flows");
}

#[test]
fn a_cluster_that_loses_a_master_violates_nothing() {
    for store in [in_redis, sealed_with_claims] {
        let cluster = Cluster::six();
        let addresses: Vec<_> = cluster
            .addresses()
            .iter()
            .map(ToString::to_string)
            .collect();
        let url = format!("redis+cluster://{}", addresses.join(","));
        let report = gates(2, &store(&url)).run(&Kind::mix(120), |harness| {
            harness.wait_for(10);
            harness.disturb(Place::Store, || {
                // The one that has the keys of the upstream.
                let slot = cluster.slot(b"{pkce-gate:scripted}:s:0");
                cluster.kill(slot);
                cluster.wait();
                harness.wait_for_stores();
            });
        });
        assert_nothing_is_violated(&report);
    }
}

#[test]
fn an_error_goes_to_the_redirect_uri_that_another_gate_has_learned() {
    let (redis, key) = (Redis::single(), seal_key());
    let store = format!(
        "{}\nkeys = [{{ id = \"test\", file = \"{}\" }}]",
        in_redis(&url(&redis)),
        key.display()
    );
    let config = Config {
        store: &store,
        ..Config::default()
    };
    let [one, other] = [Rig::with(config), Rig::with(config)];
    // No challenge, so the gate refuses it.
    let ask = |rig: &Rig| {
        let redirect_uri = encode(REDIRECT_URI);
        let target = format!(
            "/authorize?response_type=code&client_id=pub&redirect_uri={redirect_uri}&state=s"
        );
        let response = rig.get(&target);
        (
            response.status,
            response.header("location").unwrap_or_default().to_owned(),
        )
    };
    assert_eq!(
        ask(&other).0,
        400,
        "a page: the redirect URI may be an attacker's"
    );
    let authorization = one.authorization();
    one.code_for(&authorization);
    // It is written after the answer.
    let is_learned = || {
        redis
            .keys()
            .iter()
            .any(|key| key.windows(3).any(|part| part == b":r:"))
    };
    let tries = (0..1000).find(|_| {
        is_learned() || {
            sleep(Duration::from_millis(10));
            false
        }
    });
    assert!(tries.is_some(), "{:?}", redis.keys());
    let (status, location) = ask(&other);
    assert_eq!(status, 303);
    assert!(
        location.starts_with(&format!("{REDIRECT_URI}?error=invalid_request")),
        "{location}"
    );
    let elsewhere = other.get("/authorize?response_type=code&client_id=pub&redirect_uri=https%3A%2F%2Fevil.test%2F&state=s");
    assert_eq!(elsewhere.status, 400);
    // Another gate knows it without Redis from now on.
    redis.kill();
    assert_eq!(ask(&other).0, 303);
}

#[test]
fn the_rights_in_the_manual_suffice() {
    let manual = read("docs/src/stores.md");
    let rights: Vec<&str> = manual
        .split('`')
        .filter(|code| code.starts_with("+hget") || code.starts_with("~{pkce-gate:"))
        .collect();
    let rights = rights.join(" ");
    assert!(rights.starts_with("~{pkce-gate:* +hget"), "{rights}");
    let redis = Redis::start(Options::default().user("gate", "secret", &rights));
    let url = format!("redis://gate:secret@{}", redis.address());
    let report = gates(2, &in_redis(&url)).run(&Kind::mix(40), |_| {});
    assert_nothing_is_violated(&report);
    assert!(report.tokens() > 30);
}
