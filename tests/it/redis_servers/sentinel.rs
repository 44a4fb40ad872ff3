//! A master and two replicas with three sentinels.

use crate::support::redis::contents::Garbage;
use crate::support::redis::resp::Reply;
use crate::support::redis::sentinel::Sentinel;
use crate::support::redis::{Engine, Options};

#[test]
fn replicas_have_what_the_master_has() {
    let sentinel = Sentinel::three();
    assert_eq!(sentinel.nodes().len(), 3);
    assert_eq!(sentinel.addresses().len(), 3);
    sentinel.command(&["SET", "k", "v"]);
    assert_eq!(sentinel.command(&["WAIT", "2", "20000"]), Reply::Integer(2));
    assert_eq!(sentinel.keys(), [b"k".to_vec()]);
    for dump in sentinel.dump() {
        assert_eq!(dump[&b"k"[..]], [b"v".to_vec()]);
    }
    assert_eq!(sentinel.garbage("k", Garbage::SameType), 1);
    assert_ne!(sentinel.command(&["GET", "k"]), Reply::Bytes(b"v".to_vec()));
}

#[test]
fn a_failover_moves_the_master_and_demotes_the_old_one() {
    let sentinel = Sentinel::three();
    sentinel.command(&["SET", "k", "v"]);
    assert_eq!(sentinel.command(&["WAIT", "2", "20000"]), Reply::Integer(2));
    let old = sentinel.master();
    sentinel.failover();
    assert_ne!(sentinel.master().address(), old.address());
    assert_eq!(sentinel.command(&["GET", "k"]), Reply::Bytes(b"v".to_vec()));
    sentinel.wait();
    assert!(old.command(&["SET", "k", "w"]).is_error("READONLY"));
}

#[test]
fn a_killed_master_is_replaced_and_comes_back_as_a_replica() {
    replaced_and_back(Engine::Redis);
}

#[test]
fn a_killed_master_of_valkey_is_replaced_and_comes_back_as_a_replica() {
    replaced_and_back(Engine::Valkey);
}

fn replaced_and_back(engine: Engine) {
    let sentinel = Sentinel::of(&Options::engine(engine).password("sekrit"));
    sentinel.command(&["SET", "k", "v"]);
    assert_eq!(sentinel.command(&["WAIT", "2", "20000"]), Reply::Integer(2));
    let old = sentinel.kill_master();
    assert_ne!(sentinel.master().address(), old.address());
    assert_eq!(sentinel.command(&["GET", "k"]), Reply::Bytes(b"v".to_vec()));
    old.restart();
    sentinel.wait();
    assert_eq!(old.info("role"), "slave");
}

#[test]
fn two_sentinels_replace_a_master() {
    let users = Options::default().user("gate", "sekrit", "~* +@all");
    let sentinel = Sentinel::of(&users);
    sentinel.sentinels()[0].kill();
    let old = sentinel.kill_master();
    assert_ne!(sentinel.master().address(), old.address());
}
