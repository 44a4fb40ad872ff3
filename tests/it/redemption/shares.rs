//! The share of the store for one network, and what is removed to make room for others.

use super::assert_page;
use crate::support::client::{Authorization, assert_token};
use crate::support::http::Response;
use crate::support::rig::{Config, Rig, authorization_response, request, target};
use crate::support::scripted::{Act, Then, reply};

/// Proxies on loopback that report the client's address.
const BEHIND_A_PROXY: &str = "trusted_proxies = [\"127.0.0.0/8\"]";

/// 1,000 records is the smallest capacity that can be configured. Only the memory store has a record for each sign-in.
const SMALL: &str = "kind = \"memory\"\ncapacity = 1000\nper_client = 1.0\nnetwork_rate = 1000000";

fn enter_from(rig: &Rig, authorization: &Authorization, client: &str) -> Response {
    rig.get_with(&target(authorization), &[("X-Forwarded-For", client)])
}

/// Starts sign-ins from one network until one is refused. Returns the number of accepted ones.
fn flood(rig: &Rig, from: impl Fn(usize) -> String, follow: bool) -> (usize, Option<Response>) {
    let first = rig.authorization();
    let mut connection = rig.connect();
    for at in 0..1100 {
        let authorization = first.clone().with("nonce", &format!("flood-{at}"));
        let from = from(at);
        let fields = [("X-Forwarded-For", from.as_str())];
        connection.send(&request("GET", &target(&authorization), &fields, None));
        let entry = connection.response();
        if entry.status != 303 {
            return (at, Some(entry));
        }
        if follow {
            let location = entry.header("location").expect("a redirect has a Location");
            connection.send(&request("GET", location, &fields, None));
            connection.response();
        }
    }
    (1100, None)
}

#[track_caller]
fn completes(rig: &Rig, first: &Authorization, entry: &Response) {
    let location = entry.header("location").expect("a redirect has a Location");
    let answer = authorization_response(&rig.get(location), first).expect("an answer");
    assert_token(&rig.redeem(first, answer.code()));
}

#[test]
fn one_network_has_a_share_of_the_store_and_others_can_sign_in() {
    let rig = Rig::with(Config {
        server: BEHIND_A_PROXY,
        store: SMALL,
        ..Config::default()
    });
    let (before, refused) = flood(&rig, |at| format!("192.0.2.{}", at % 200), true);
    let refused = refused.expect("its share is used up at some point");
    assert_page(&refused, 429, "too_many_sign_ins");
    // An eighth; each sign-in has two records.
    assert!((60..=125).contains(&before), "{before}");
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!(
        (1..=300).contains(&seconds),
        "when the first code is over: {refused}"
    );
    for elsewhere in ["198.51.100.1", "2001:db8::1", "unknown"] {
        let authorization = rig.authorization();
        let entry = enter_from(&rig, &authorization, elsewhere);
        assert_eq!(entry.status, 303, "{elsewhere}: {entry}");
        completes(&rig, &authorization, &entry);
    }
}

#[test]
fn a_claimed_address_gives_a_client_no_other_share() {
    let rig = Rig::with(Config {
        store: SMALL,
        ..Config::default()
    });
    let (before, refused) = flood(&rig, |at| format!("10.0.{}.1", at % 250), true);
    assert_page(&refused.expect("a share"), 429, "too_many_sign_ins");
    assert!((60..=125).contains(&before), "{before}");
}

#[test]
fn sign_ins_per_second_are_limited_for_each_network() {
    let rig = Rig::with(Config {
        store: "network_rate = 1",
        ..Config::default()
    });
    let (before, refused) = flood(&rig, |_| String::new(), false);
    let refused = refused.expect("it is too fast");
    // Ten at once, and one more for each second of the test.
    assert!(before >= 10, "{before}");
    assert_page(&refused, 429, "too_many_sign_ins");
    assert_eq!(refused.header("retry-after"), Some("1"));
}

/// With a full store of sign-ins that have continued, from many networks, new ones are refused with `Retry-After`.
#[test]
fn with_a_full_store_new_sign_ins_are_refused_and_others_continue() {
    let rig = Rig::with(Config {
        server: BEHIND_A_PROXY,
        store: SMALL,
        ..Config::default()
    });
    let first = rig.authorization();
    let entry = enter_from(&rig, &first, "198.51.100.1");
    // This sign-in has continued: its user is typing a password.
    rig.upstream.once(
        "/authorize",
        Act::Say(reply("200 OK", &[], b"a login"), Then::GoOn),
    );
    let location = entry.header("location").expect("a redirect has a Location");
    rig.get(location);
    let (_, full) = flood(&rig, |at| format!("10.{}.{}.1", at / 200, at % 200), true);
    let full = full.expect("the store is full at some point");
    assert_page(&full, 503, "store_unavailable");
    let seconds: u64 = full.header("retry-after").unwrap().parse().unwrap();
    assert!(
        (1..=300).contains(&seconds),
        "when the first code is over: {full}"
    );
    completes(&rig, &first, &entry);
}

#[test]
fn a_flood_that_follows_no_redirect_is_evicted_first() {
    let mut rig = Rig::with(Config {
        server: BEHIND_A_PROXY,
        store: SMALL,
        ..Config::default()
    });
    let first = rig.authorization();
    let entry = enter_from(&rig, &first, "198.51.100.1");
    let location = entry.header("location").expect("a redirect has a Location");
    rig.get(location);
    let (begun, refused) = flood(&rig, |at| format!("10.{}.{}.1", at / 200, at % 200), false);
    assert_eq!(begun, 1100, "{refused:?}");
    completes(&rig, &first, &entry);
    let last = rig.authorization();
    let entry = enter_from(&rig, &last, "198.51.100.2");
    completes(&rig, &last, &entry);
    let evicted = rig
        .gate
        .metric("pkce_gate_store_evicted_total{upstream=\"scripted\"}");
    assert!(evicted > 100, "{evicted}");
}

#[test]
fn a_code_of_more_than_four_kilobytes_is_not_delivered() {
    let rig = Rig::new();
    for (length, leaves) in [(4096, true), (4097, false)] {
        let authorization = rig.authorization();
        rig.upstream.issue(&"c".repeat(length));
        let answer = rig.enter(&authorization);
        let location = answer.header("location").expect("an entry").to_owned();
        let answer = rig.get(&location);
        if leaves {
            let answer = authorization_response(&answer, &authorization).expect("an answer");
            assert_token(&rig.redeem(&authorization, answer.code()));
        } else {
            assert_page(&answer, 502, "unbound_code_in_response");
        }
    }
}
