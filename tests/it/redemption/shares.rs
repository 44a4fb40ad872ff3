//! How much of the store one network may have, and what makes room for others.

use super::assert_page;
use crate::support::client::{Authorization, assert_token};
use crate::support::http::Response;
use crate::support::rig::{Config, Rig, authorization_response, request, target};
use crate::support::scripted::{Act, Then, reply};

/// Proxies on loopback that say who the client is.
const BEHIND_A_PROXY: &str = "trusted_proxies = [\"127.0.0.0/8\"]";

/// A thousand records are the fewest that may be configured.
const SMALL: &str = "capacity = 1000\nper_client = 1.0\nnetwork_rate = 1000000";

fn enter_from(rig: &Rig, authorization: &Authorization, client: &str) -> Response {
    rig.get_with(&target(authorization), &[("X-Forwarded-For", client)])
}

/// Signs in at once, from one network, until that is refused; how often it was not.
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
            let location = entry.header("location").expect("it leads somewhere");
            connection.send(&request("GET", location, &fields, None));
            connection.response();
        }
    }
    (1100, None)
}

#[track_caller]
fn completes(rig: &Rig, first: &Authorization, entry: &Response) {
    let location = entry.header("location").expect("it leads somewhere");
    let answer = authorization_response(&rig.get(location), first).expect("an answer");
    assert_token(&rig.redeem(first, answer.code()));
}

#[test]
fn one_network_has_its_share_of_the_store_and_the_others_sign_in() {
    let rig = Rig::with(Config {
        server: BEHIND_A_PROXY,
        store: SMALL,
        ..Config::default()
    });
    let (before, refused) = flood(&rig, |at| format!("192.0.2.{}", at % 200), true);
    let refused = refused.expect("its share is used up at some point");
    assert_page(&refused, 429, "too_many_sign_ins");
    // An eighth, and each sign-in has two records.
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
fn what_a_stranger_says_of_its_address_gives_it_no_other_share() {
    let rig = Rig::with(Config {
        store: SMALL,
        ..Config::default()
    });
    let (before, refused) = flood(&rig, |at| format!("10.0.{}.1", at % 250), true);
    assert_page(&refused.expect("a share"), 429, "too_many_sign_ins");
    assert!((60..=125).contains(&before), "{before}");
}

#[test]
fn the_sign_ins_of_a_network_are_limited_per_second() {
    let rig = Rig::with(Config {
        store: "network_rate = 1",
        ..Config::default()
    });
    let (before, refused) = flood(&rig, |_| String::new(), false);
    let refused = refused.expect("it is too fast");
    // Ten at once, and one for each second that it takes.
    assert!(before >= 10, "{before}");
    assert_page(&refused, 429, "too_many_sign_ins");
    assert_eq!(refused.header("retry-after"), Some("1"));
}

/// Of one that goes on, from everywhere, new ones are refused and say until when.
#[test]
fn without_room_in_the_store_new_sign_ins_wait_and_old_ones_go_on() {
    let rig = Rig::with(Config {
        server: BEHIND_A_PROXY,
        store: SMALL,
        ..Config::default()
    });
    let first = rig.authorization();
    let entry = enter_from(&rig, &first, "198.51.100.1");
    // It has gone on, and is where somebody types a password.
    rig.upstream.once(
        "/authorize",
        Act::Say(reply("200 OK", &[], b"a login"), Then::GoOn),
    );
    let location = entry.header("location").expect("it leads somewhere");
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
fn a_flood_that_follows_no_redirect_makes_room_itself() {
    let mut rig = Rig::with(Config {
        server: BEHIND_A_PROXY,
        store: SMALL,
        ..Config::default()
    });
    let first = rig.authorization();
    let entry = enter_from(&rig, &first, "198.51.100.1");
    let location = entry.header("location").expect("it leads somewhere");
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
fn a_code_of_more_than_four_kilobytes_does_not_leave() {
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
