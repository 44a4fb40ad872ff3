//! `min_replicas`: what a gate acted on survives a failover, and without replicas it does not act.

use std::time::Duration;

use super::stores::{assert_nothing_is_violated, gates, in_redis, sealed_with_claims, with_key};
use crate::support::client::{Authorization, assert_refused, assert_token};
use crate::support::gate::run;
use crate::support::http::Response;
use crate::support::ledger::{Kind, Place};
use crate::support::redis::sentinel::{NAME, Sentinel};
use crate::support::redis::{Options, Redis};
use crate::support::rig::{Config, Rig};

const CODE: &str = "the-code-of-a-victim";

fn url(sentinel: &Sentinel) -> String {
    let addresses = sentinel.addresses();
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    format!("redis+sentinel://{}/{NAME}", addresses.join(","))
}

/// A gate that requires so many of the two replicas.
fn requiring(sentinel: &Sentinel, min_replicas: u32) -> Rig {
    let store = format!(
        "{}\nmin_replicas = {min_replicas}",
        with_key(&in_redis(&url(sentinel)))
    );
    let mut rig = Rig::with(Config {
        store: &store,
        ..Config::default()
    });
    rig.gate.wait_for_store();
    rig.unguarded()
}

fn replicas(sentinel: &Sentinel) -> impl Iterator<Item = &Redis> {
    let master = sentinel.master().address();
    let nodes = sentinel.nodes().iter();
    nodes.filter(move |node| node.address() != master)
}

/// The upstream issues the victim's code to this sign-in.
fn answer_with_the_code(rig: &Rig, authorization: &Authorization) -> Response {
    let entry = rig.entry(authorization);
    rig.upstream.issue(CODE);
    rig.get(&entry)
}

#[track_caller]
fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    for _ in 0..1500 {
        if let Some(found) = attempt() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("still not: {what}");
}

/// Begins sign-ins until one is answered; the store may be about to recover.
fn after_recovery(rig: &Rig) -> Authorization {
    until("a sign-in begins", || {
        let authorization = rig.authorization();
        (rig.enter(&authorization).status == 303).then_some(authorization)
    })
}

#[test]
fn a_failover_after_a_code_was_bound_keeps_what_it_was_bound_to() {
    let sentinel = Sentinel::three();
    let rig = requiring(&sentinel, 2);
    let (victim, thief) = (rig.authorization(), rig.authorization());
    assert_eq!(answer_with_the_code(&rig, &victim).status, 302);
    let old = sentinel.kill_master();
    sentinel.wait();
    // With the third server there are two replicas again.
    old.restart();
    sentinel.wait();
    after_recovery(&rig);
    let answer = answer_with_the_code(&rig, &thief);
    assert_eq!(answer.status, 502, "it stays bound to the victim: {answer}");
    assert_refused(&rig.token(&thief.redemption(CODE)), "invalid_grant");
    assert_eq!(rig.forwarded(), 0);
}

#[test]
fn a_code_whose_binding_the_replicas_lack_is_not_given_to_its_client() {
    for (min_replicas, is_given) in [(1, false), (0, true)] {
        let sentinel = Sentinel::three();
        let rig = requiring(&sentinel, min_replicas);
        let (victim, thief) = (rig.authorization(), rig.authorization());
        let entry = rig.entry(&victim);
        let stopped: Vec<_> = replicas(&sentinel).collect();
        for replica in &stopped {
            replica.stop();
        }
        // Otherwise they read from their sockets, once they go on, what the master wrote meanwhile.
        sentinel.command(&["CLIENT", "KILL", "TYPE", "replica"]);
        rig.upstream.issue(CODE);
        let answer = rig.get(&entry);
        assert_eq!(answer.status == 302, is_given, "{min_replicas}: {answer}");
        sentinel.kill_master();
        for replica in stopped {
            replica.cont();
        }
        sentinel.wait();
        after_recovery(&rig);
        // The binding is lost, which matters only if the victim got the code.
        let again = answer_with_the_code(&rig, &thief);
        assert_eq!(again.status, 302, "{again}");
    }
}

#[test]
fn without_its_replica_the_gate_refuses_and_recovers() {
    let sentinel = Sentinel::three();
    let mut rig = requiring(&sentinel, 2);
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    let replica = replicas(&sentinel).next().expect("there are two");
    replica.stop();
    for _ in 0..10 {
        let refused = rig.enter(&rig.authorization());
        assert_eq!(refused.status, 503, "{refused}");
    }
    let refused = rig.redeem(&authorization, &code);
    assert_eq!(refused.status, 503, "{refused}");
    let result = "result=\"too_few_replicas\"";
    let counted = ["hold", "redeem"].map(|verb| {
        let name = "pkce_gate_store_calls_total{upstream=\"scripted\",verb=";
        rig.gate.metric(&format!("{name}\"{verb}\",{result}}}"))
    });
    assert_eq!(counted, [10, 1]);
    let lost = "fewer than 2 of 2 replicas confirm";
    rig.gate.log_until(|log| log.contains(lost));
    assert_eq!(rig.get("/elsewhere").status, 200, "it needs no store");

    replica.cont();
    let authorization = after_recovery(&rig);
    let code = rig.code_for(&authorization);
    assert_token(&rig.redeem(&authorization, &code));
    rig.gate.log_until(|log| log.contains("store_back"));
}

#[test]
fn failovers_violate_nothing_with_replicas() {
    for store in [in_redis, sealed_with_claims] {
        let sentinel = Sentinel::three();
        let store = format!("{}\nmin_replicas = 1", store(&url(&sentinel)));
        let report = gates(2, &store).run(&Kind::mix(120), |harness| {
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
fn check_asks_the_servers() {
    let redis = Redis::start(Options::default().maxmemory(8 << 20, "allkeys-lru"));
    let directory = crate::support::gate::scratch();
    let checked = |at: &str| {
        let store = format!("{}\nmin_replicas = 1", with_key(&in_redis(at)));
        let text = format!(
            "[store]\n{store}\n[[upstream]]\nurl = \"http://127.0.0.1:9\"\n[upstream.endpoints]\n\
             authorization = [\"/authorize\"]\ntoken = [\"/token\"]\n"
        );
        let file = crate::support::gate::file(&directory, "config.toml", &text);
        let output = run(&["check", "--config", file.to_str().expect("UTF-8")]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    let shown = checked(&format!("redis://{}", redis.address()));
    for told in [
        "the maxmemory-policy of Redis is allkeys-lru",
        "only 0 of 1 replicas are connected",
    ] {
        assert!(shown.contains(told), "{shown}");
    }
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    let shown = checked(&format!("redis://{}", redis.address()));
    assert!(!shown.contains("maxmemory-policy"), "{shown}");
    redis.command(&["CONFIG", "SET", "requirepass", "sekrit"]);
    let shown = checked(&format!("redis://{}", redis.address()));
    assert!(
        shown.contains("cannot be asked from here: the server refuses: NOAUTH"),
        "{shown}"
    );
    redis.kill();
    let shown = checked(&format!("redis://{}", redis.address()));
    assert!(shown.contains("cannot be asked from here"), "{shown}");
    std::fs::remove_dir_all(directory).ok();
}
