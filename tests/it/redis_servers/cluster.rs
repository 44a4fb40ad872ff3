//! A cluster of six.

use crate::support::redis::cluster::Cluster;
use crate::support::redis::contents::Garbage;
use crate::support::redis::resp::Reply;
use crate::support::redis::{Engine, Options, Redis};

/// Keys of three slots at three masters.
const KEYS: [&str; 3] = ["a", "b", "c"];

#[test]
fn each_key_is_at_the_master_of_its_slot() {
    let cluster = Cluster::six();
    assert_eq!(cluster.addresses().len(), 6);
    for key in KEYS {
        let reply = cluster.command(key.as_bytes(), &["SET", key, "v"]);
        assert_eq!(reply, Reply::Text("OK".to_owned()));
    }
    let masters = KEYS.map(|key| cluster.master_of(cluster.slot(key.as_bytes())).address());
    assert!(masters[0] != masters[1] && masters[1] != masters[2] && masters[2] != masters[0]);
    assert_eq!(cluster.keys().len(), 3);
    assert!(
        cluster
            .dump()
            .values()
            .all(|value| value == &[b"v".to_vec()])
    );
    let elsewhere = cluster.master_of(cluster.slot(b"a"));
    assert!(elsewhere.command(&["GET", "b"]).is_error("MOVED"));
    assert_eq!(cluster.garbage("*", Garbage::OtherType), 3);
    assert!(
        cluster
            .dump()
            .values()
            .all(|value| value != &[b"v".to_vec()])
    );
}

#[test]
fn a_killed_master_is_replaced_by_its_replica() {
    replaced_by_its_replica(Engine::Redis);
}

#[test]
fn a_killed_master_of_valkey_is_replaced_by_its_replica() {
    replaced_by_its_replica(Engine::Valkey);
}

fn replaced_by_its_replica(engine: Engine) {
    let cluster = Cluster::of(&Options::engine(engine).password("sekrit"));
    cluster.command(b"a", &["SET", "a", "v"]);
    let copied = cluster.command(b"a", &["WAIT", "1", "20000"]);
    assert_eq!(copied, Reply::Integer(1));
    let slot = cluster.slot(b"a");
    let old = cluster.kill(slot);
    cluster.wait();
    assert_ne!(cluster.master_of(slot).address(), old.address());
    let found = cluster.command(b"a", &["GET", "a"]);
    assert_eq!(found, Reply::Bytes(b"v".to_vec()));
    old.restart();
    cluster.wait();
    assert_eq!(old.info("role"), "slave");
}

#[test]
fn a_failover_makes_the_old_master_redirect() {
    let cluster = Cluster::six();
    let slot = cluster.slot(b"a");
    let old = cluster.master_of(slot);
    cluster.failover(slot);
    assert_ne!(cluster.master_of(slot).address(), old.address());
    assert!(old.command(&["SET", "a", "v"]).is_error("MOVED"));
    assert!(cluster.nodes().iter().all(Redis::is_running));
}
