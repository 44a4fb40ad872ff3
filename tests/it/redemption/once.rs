//! A code is redeemed once, however often and however fast it is tried.

use std::sync::{Arc, Barrier};
use std::thread::spawn;

use crate::support::client::{access_token, assert_refused, assert_token};
use crate::support::raw::Connection;
use crate::support::rig::{Rig, handle_of, request};
use crate::support::scripted::{Act, Then};

const CLIENTS: usize = 200;

#[test]
fn of_two_hundred_redemptions_at_once_one_reaches_the_upstream() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    for round in 1..=3 {
        let code = rig.code_for(&authorization);
        rig.vouch(&authorization);
        let body = authorization.redemption(&code).encoded();
        let bytes = request("POST", "/token", &[], Some(&body));

        let barrier = Arc::new(Barrier::new(CLIENTS));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (mut connection, bytes) = (rig.connect(), bytes.clone());
                let barrier = Arc::clone(&barrier);
                spawn(move || {
                    barrier.wait();
                    connection.send(&bytes);
                    connection.response()
                })
            })
            .collect();
        let responses = clients
            .into_iter()
            .map(|client| client.join().expect("an answer"));
        let (granted, refused): (Vec<_>, Vec<_>) =
            responses.partition(|response| access_token(response).is_some());

        assert_eq!(granted.len(), 1);
        assert_eq!(refused.len(), CLIENTS - 1);
        for response in &refused {
            assert_refused(response, "invalid_grant");
        }
        assert_eq!(rig.forwarded(), round);
    }
}

#[test]
fn a_code_that_was_redeemed_buys_nothing_more() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    assert_token(&rig.redeem(&authorization, &code));
    for _ in 0..3 {
        assert_refused(
            &rig.token(&authorization.redemption(&code)),
            "invalid_grant",
        );
    }
    assert_eq!(rig.forwarded(), 1);
}

#[test]
fn a_client_that_goes_away_in_the_middle_does_not_free_its_code() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    rig.upstream
        .once("/token", Act::Say(Vec::new(), Then::Stall));

    rig.vouch(&authorization);
    let body = authorization.redemption(&code).encoded();
    let mut client = Connection::open(rig.address());
    client.send(&request("POST", "/token", &[], Some(&body)));
    rig.upstream.wait_until(|ledger| {
        ledger
            .iter()
            .any(|seen| seen.path() == "/token" && seen.complete)
    });
    drop(client);

    for _ in 0..3 {
        assert_refused(
            &rig.token(&authorization.redemption(&code)),
            "invalid_grant",
        );
    }
    assert_eq!(rig.forwarded(), 1);
}

#[test]
fn what_stands_in_the_authorization_response_is_no_code_of_another_kind() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    let entry = rig.entry(&authorization);
    let handle = handle_of(&entry);
    let code = rig.code_for(&rig.authorization());
    for other in [
        &handle,
        &code.to_uppercase(),
        code.strip_suffix(|_| true).expect("a last character"),
        &format!("{code}A"),
        &format!(" {code}"),
        "up-never-issued",
        "pgc",
    ] {
        let response = rig.token(&authorization.redemption(other));
        assert_refused(&response, "invalid_grant");
    }
    assert_eq!(rig.forwarded(), 0);
}

#[test]
fn the_upstreams_own_code_buys_nothing() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    rig.code_for(&authorization);
    let raw = rig.upstream.codes().remove(0);
    let response = rig.token(&authorization.redemption(&raw));
    assert_refused(&response, "invalid_grant");
    assert_eq!(rig.forwarded(), 0);
}
