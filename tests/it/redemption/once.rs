//! A code is redeemed once, even if many requests try at the same time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread::spawn;

use crate::support::client::{Authorization, access_token, assert_refused, assert_token};
use crate::support::http::Response;
use crate::support::params::Params;
use crate::support::raw::Connection;
use crate::support::rig::{Rig, authorization_response, cookie_of, handle_of, request};
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

/// The number of the attacker's requests that are answered before the client sends its request.
const BEFORE: usize = 40;

/// An attacker has the handle and keeps sending requests that must fail, on many connections. The client redeems its code at
/// the first attempt, whatever the scheduling of threads.
#[track_caller]
fn assert_a_flood_blocks_no_redemption(spoil: impl Fn(Params) -> Params) {
    let rig = Rig::new();
    for round in 1..=10 {
        let authorization = rig.authorization();
        let code = rig.code_for(&authorization);
        let form = spoil(authorization.redemption(&code));
        let bytes = request("POST", "/token", &[], Some(&form.encoded()));
        let (answered, answers) = mpsc::channel();
        let enough = Arc::new(AtomicBool::new(false));
        let thieves: Vec<_> = (0..8)
            .map(|_| {
                let (mut connection, bytes) = (rig.connect(), bytes.clone());
                let (answered, enough) = (answered.clone(), Arc::clone(&enough));
                spawn(move || {
                    while !enough.load(Ordering::SeqCst) {
                        connection.send(&bytes);
                        assert_refused(&connection.response(), "invalid_grant");
                        answered.send(()).expect("the test goes on");
                    }
                })
            })
            .collect();
        for _ in 0..BEFORE {
            answers.recv().expect("thieves are answered");
        }
        let response = rig.redeem(&authorization, &code);
        enough.store(true, Ordering::SeqCst);
        for thief in thieves {
            thief.join().expect("answers");
        }
        assert_token(&response);
        assert_eq!(rig.forwarded(), round);
    }
}

#[test]
fn a_flood_of_requests_for_another_client_does_not_block_the_rightful_one() {
    assert_a_flood_blocks_no_redemption(|form| form.with("client_id", "another"));
}

#[test]
fn a_flood_of_requests_with_another_redirect_uri_does_not_block_the_rightful_one() {
    assert_a_flood_blocks_no_redemption(|form| form.with("redirect_uri", "https://thief.test/cb"));
}

#[test]
fn a_flood_of_requests_without_a_verifier_does_not_block_the_rightful_one() {
    assert_a_flood_blocks_no_redemption(|form| form.without("code_verifier"));
}

#[test]
fn a_flood_of_requests_with_malformed_verifiers_does_not_block_the_rightful_one() {
    assert_a_flood_blocks_no_redemption(|form| form.with("code_verifier", "too-short"));
}

#[test]
fn a_redeemed_code_buys_no_second_token() {
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
fn a_client_that_disconnects_does_not_release_its_code() {
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
fn only_the_exact_handle_of_a_code_is_accepted() {
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

/// An attacker who puts a victim's raw code into the answer to their own sign-in neither gets it bound to their own challenge
/// nor invalidates it.
#[test]
fn a_code_that_arrives_for_a_second_sign_in_stays_bound_to_the_first() {
    for codes in ["handle", "upstream"] {
        let rig = Rig::pkce(&format!("codes = \"{codes}\"")).unguarded();
        let (victim, thief) = (rig.authorization(), rig.authorization());
        rig.upstream.issue("the-code-of-a-victim");
        let code = rig.code_for(&victim);
        for _ in 0..2 {
            rig.upstream.issue("the-code-of-a-victim");
            let answer = follow(&rig, &thief);
            assert_eq!(answer.status, 502, "{codes}: {answer}");
        }
        for stolen in ["the-code-of-a-victim", &code] {
            let response = rig.token(&thief.redemption(stolen));
            assert_refused(&response, "invalid_grant");
        }
        assert_eq!(rig.forwarded(), 0);
        assert_token(&rig.redeem(&victim, &code));
    }
}

#[test]
fn a_code_that_arrives_again_for_the_same_sign_in_is_accepted_and_redeemed_once() {
    // The upstream's ledger cannot distinguish two codes with the same value.
    let rig = Rig::new().unguarded();
    let authorization = rig.authorization();
    let entry = rig.entry(&authorization);
    let answers: Vec<_> = (0..2)
        .map(|_| {
            rig.upstream.issue("the-code-of-a-reload");
            let answer = rig.get(&entry);
            authorization_response(&answer, &authorization).expect("an answer")
        })
        .collect();
    assert_token(&rig.redeem(&authorization, answers[1].code()));
    for answer in &answers {
        assert_refused(&rig.redeem(&authorization, answer.code()), "invalid_grant");
    }
    assert_eq!(rig.forwarded(), 1);
}

#[test]
fn the_upstreams_code_of_an_enforced_client_buys_no_token_for_a_lax_one() {
    let rig = Rig::tables(
        "[[upstream.client]]\nid = \"lax\"\nowner = \"a\"\nuntil = \"2999-12-31\"\nreason = \"a test\"\nmode = \"report\"",
    );
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    let raw = rig.upstream.codes().remove(0);
    for form in [
        authorization.redemption(&raw).with("client_id", "lax"),
        authorization
            .redemption(&raw)
            .with("client_id", "lax")
            .without("code_verifier"),
    ] {
        assert_refused(&rig.token(&form), "invalid_grant");
    }
    assert_eq!(rig.forwarded(), 0);
    assert_token(&rig.redeem(&authorization, &code));
}

/// The answer at the end of a sign-in.
fn follow(rig: &Rig, authorization: &Authorization) -> Response {
    let response = rig.enter(authorization);
    match response.header("location") {
        Some(entry) if response.status == 303 => {
            let cookie = cookie_of(&response).unwrap_or_default();
            rig.get_with(entry, &[("Cookie", &cookie)])
        }
        Some(_) | None => response,
    }
}
