//! Changed limits apply from the next request or connection on.

use crate::support::client::{assert_refused, assert_token};
use crate::support::http::Response;
use crate::support::params::unguessable;
use crate::support::raw::Connection;
use crate::support::rig::{Config, Rig, request};

/// Only the memory store has a record for each sign-in.
const MEMORY: &str = "kind = \"memory\"\n";

fn rig() -> Rig {
    Rig::with(Config {
        server: "workers = 1",
        store: MEMORY,
        ..Config::default()
    })
}

fn limited(rig: &Rig, limits: &str, store: &str) {
    let store = [MEMORY, store].concat();
    let config = Config {
        server: "workers = 1",
        limits,
        store: &store,
        ..Config::default()
    };
    rig.gate.reload(&config.render(&rig.upstream));
}

fn with_field(rig: &Rig, length: usize) -> Response {
    let mut client = rig.connect();
    client.send(&request(
        "GET",
        "/page",
        &[("X-Long", &"x".repeat(length))],
        None,
    ));
    client.response()
}

#[test]
fn limits_of_requests_change() {
    let rig = rig();
    let long = format!("/page?{}", "x".repeat(3000));
    assert_eq!(rig.get(&long).status, 200);
    assert_eq!(with_field(&rig, 12_000).status, 200);
    limited(&rig, "uri_bytes = \"2000B\"\nheader_bytes = \"8KiB\"", "");
    assert_eq!(rig.get(&long).status, 414);
    assert_eq!(with_field(&rig, 12_000).status, 431);
    limited(&rig, "", "");
    assert_eq!(rig.get(&long).status, 200);
    assert_eq!(with_field(&rig, 12_000).status, 200);
}

#[test]
fn with_a_lower_in_flight_limit_new_requests_are_refused_until_others_end() {
    let rig = rig();
    let feeds: Vec<_> = (0..4).map(|_| rig.upstream.feed("/slow")).collect();
    let mut clients: Vec<Connection> = (0..4).map(|_| rig.connect()).collect();
    for client in &mut clients {
        client.send(&request("GET", "/slow", &[], None));
    }
    rig.upstream.wait_until(|ledger| ledger.len() == 4);
    limited(&rig, "in_flight = 2", "");
    assert_eq!(rig.get("/page").status, 503);
    for feed in feeds {
        feed.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec())
            .expect("the feed is open");
    }
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
    drop(clients);
    assert_eq!(rig.get("/page").status, 200);
}

#[test]
fn with_a_lower_connection_limit_idle_connections_give_way() {
    let rig = rig();
    let mut clients: Vec<Connection> = (0..40).map(|_| rig.connect()).collect();
    for client in &mut clients {
        client.send(&request("GET", "/page", &[], None));
        assert_eq!(client.response().status, 200);
    }
    limited(&rig, "connections = 8\nconnections_per_peer = 8", "");
    // The connection waits for a free place.
    for _ in 0..3 {
        assert_eq!(rig.get("/page").status, 200);
    }
    limited(&rig, "", "");
    let mut more: Vec<Connection> = (0..40).map(|_| rig.connect()).collect();
    for client in &mut more {
        client.send(&request("GET", "/page", &[], None));
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn a_smaller_store_keeps_its_records_and_accepts_no_new_ones() {
    let rig = rig();
    // Each counts as eight records.
    let state = || unguessable().repeat(2000 / 43);
    let begun = (0..140).map(|_| rig.authorization().with("state", &state()));
    let begun: Vec<_> = begun.collect();
    let codes: Vec<_> = begun.iter().map(|one| rig.code_for(one)).collect();
    limited(
        &rig,
        "",
        "capacity = 1000\nper_network = 1.0\nper_client = 1.0",
    );
    let refused = rig.enter(&rig.authorization());
    assert_eq!(refused.status, 503, "{refused}");
    for (authorization, code) in begun.iter().zip(codes) {
        assert_token(&rig.redeem(authorization, &code));
    }
    limited(&rig, "", "");
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    assert_token(&rig.redeem(&authorization, &code));
}

#[test]
fn shares_of_networks_change_and_change_back() {
    let rig = rig();
    let sign_in = |rig: &Rig| rig.enter(&rig.authorization()).status;
    limited(&rig, "", "capacity = 1000\nper_network = 1.0");
    for _ in 0..20 {
        let authorization = rig.authorization();
        rig.code_for(&authorization);
    }
    // Sign-ins that began without a share count when there is a share again.
    limited(&rig, "", "capacity = 1000\nper_network = 0.01");
    assert_eq!(sign_in(&rig), 429);
    limited(&rig, "", "capacity = 1000\nper_network = 1.0");
    assert_eq!(sign_in(&rig), 303);
}

#[test]
fn a_shorter_lifetime_applies_to_new_sign_ins() {
    let rig = rig();
    let before = rig.authorization();
    let old = rig.code_for(&before);
    limited(&rig, "", "code = \"10s\"");
    let after = rig.authorization();
    let new = rig.code_for(&after);
    std::thread::sleep(std::time::Duration::from_millis(10_500));
    assert_refused(&rig.token(&after.redemption(&new)), "invalid_grant");
    assert_token(&rig.redeem(&before, &old));
}
