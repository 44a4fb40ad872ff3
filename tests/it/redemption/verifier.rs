//! The verifier: right, wrong and missing ones, and the number of attempts.

use crate::support::client::{Authorization, assert_refused, assert_token};
use crate::support::params::{s256, unguessable};
use crate::support::rig::{Config, Rig};

/// A token request with another verifier, or without one.
#[track_caller]
fn try_with(rig: &Rig, authorization: &Authorization, code: &str, verifier: Option<&str>) {
    let right = authorization.redemption(code);
    let request = match verifier {
        Some(verifier) => right.with("code_verifier", verifier),
        None => right.without("code_verifier"),
    };
    let before = rig.forwarded();
    assert_refused(&rig.token(&request), "invalid_grant");
    assert_eq!(rig.forwarded(), before, "no request reached the upstream");
}

#[test]
fn three_wrong_verifiers_burn_the_code() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    for _ in 0..3 {
        try_with(&rig, &authorization, &code, Some(&unguessable()));
    }
    try_with(&rig, &authorization, &code, Some(&authorization.verifier));
}

#[test]
fn after_two_wrong_verifiers_the_right_one_works() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    for _ in 0..2 {
        try_with(&rig, &authorization, &code, Some(&unguessable()));
    }
    assert_token(&rig.redeem(&authorization, &code));
    assert_eq!(rig.forwarded(), 1);
}

#[test]
fn the_number_of_attempts_is_configurable() {
    let rig = Rig::with(Config {
        store: "attempts = 1",
        ..Config::default()
    });
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    try_with(&rig, &authorization, &code, Some(&unguessable()));
    try_with(&rig, &authorization, &code, Some(&authorization.verifier));
}

#[test]
fn attempts_are_counted_per_code() {
    let rig = Rig::new();
    let (one, other) = (rig.authorization(), rig.authorization());
    let (code, untouched) = (rig.code_for(&one), rig.code_for(&other));
    for _ in 0..3 {
        try_with(&rig, &one, &code, Some(&unguessable()));
    }
    assert_token(&rig.redeem(&other, &untouched));
}

#[test]
fn a_missing_verifier_is_refused_before_and_after_a_wrong_one() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    try_with(&rig, &authorization, &code, None);
    try_with(&rig, &authorization, &code, Some(&unguessable()));
    try_with(&rig, &authorization, &code, None);
    try_with(&rig, &authorization, &code, Some(""));
    assert_token(&rig.redeem(&authorization, &code));
}

#[test]
fn a_malformed_verifier_is_refused_and_costs_no_attempt() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    let right = &authorization.verifier;
    let short = right.get(..42).expect("43 characters");
    for wrong in [
        short.to_owned(),
        "a".repeat(129),
        format!("{right}="),
        format!("{right} "),
        format!(" {right}"),
        format!("{short}+"),
        format!("{short}é"),
    ] {
        try_with(&rig, &authorization, &code, Some(&wrong));
    }
    assert_token(&rig.redeem(&authorization, &code));
}

#[test]
fn neither_the_challenge_nor_another_verifier_redeems_a_code() {
    let rig = Rig::new();
    let (authorization, other) = (rig.authorization(), rig.authorization());
    let code = rig.code_for(&authorization);
    rig.code_for(&other);
    let challenge = s256(&authorization.verifier);
    try_with(&rig, &authorization, &code, Some(&challenge));
    try_with(&rig, &authorization, &code, Some(&other.verifier));
    assert_token(&rig.redeem(&authorization, &code));
}

#[test]
fn a_challenge_in_the_token_request_changes_nothing() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    let mine = unguessable();
    let request = authorization
        .redemption(&code)
        .with("code_challenge", &s256(&mine))
        .with("code_challenge_method", "S256")
        .with("code_verifier", &mine);
    assert_refused(&rig.token(&request), "invalid_grant");
    assert_eq!(rig.forwarded(), 0);
}
