//! Exceptions for single clients, and their end.

use super::assert_page;
use crate::support::client::{Authorization, assert_refused, assert_token};
use crate::support::params::s256;
use crate::support::rig::Rig;

const ACCOUNTED: &str = "owner = \"team@example.com\"\nreason = \"a test\"";
const FUTURE: &str = "until = \"2999-12-31\"";
const PAST: &str = "until = \"2020-02-29\"";

/// The client `pub` with this exception.
fn with_exception(keys: &str, until: &str) -> Rig {
    Rig::tables(&format!(
        "[[upstream.client]]\nid = \"pub\"\n{ACCOUNTED}\n{until}\n{keys}"
    ))
}

/// A request with `plain`, explicitly or by omitting the method.
fn plain(authorization: Authorization, in_words: bool) -> Authorization {
    let verifier = authorization.verifier.clone();
    let plain = authorization.with("code_challenge", &verifier);
    if in_words {
        plain.with("code_challenge_method", "plain")
    } else {
        plain.without("code_challenge_method")
    }
}

#[test]
fn plain_is_allowed_only_for_the_client_with_the_exception() {
    let rig = with_exception("methods = [\"S256\", \"plain\"]", FUTURE);
    for in_words in [true, false] {
        let authorization = plain(rig.authorization(), in_words);
        let code = rig.code_for(&authorization);
        let wrong = authorization
            .redemption(&code)
            .with("code_verifier", &rig.authorization().verifier);
        assert_refused(&rig.token(&wrong), "invalid_grant");
        assert_token(&rig.redeem(&authorization, &code));
        let seen = rig
            .upstream
            .requests_to("/authorize")
            .pop()
            .expect("a request");
        assert_eq!(
            seen.query_params().get("code_challenge_method"),
            Some("plain")
        );

        let other = plain(rig.authorization(), in_words).with("client_id", "other");
        assert_page(&rig.enter(&other), 400, "method_not_allowed");
    }
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    assert_token(&rig.redeem(&authorization, &code));
}

#[test]
fn an_exception_that_has_ended_does_not_apply() {
    for keys in [
        "methods = [\"S256\", \"plain\"]",
        "mode = \"report\"",
        "mode = \"off\"",
    ] {
        let rig = with_exception(keys, PAST);
        assert_page(
            &rig.enter(&plain(rig.authorization(), true)),
            400,
            "method_not_allowed",
        );
        assert_page(
            &rig.enter(&rig.authorization().without_challenge()),
            400,
            "missing_challenge",
        );
        let authorization = rig.authorization();
        let code = rig.code_for(&authorization);
        assert_token(&rig.redeem(&authorization, &code));
    }
}

#[test]
fn a_client_in_report_mode_signs_in_without_pkce_and_others_do_not() {
    let rig = with_exception("mode = \"report\"", FUTURE);
    let authorization = rig.authorization().without_challenge();
    let code = rig.code_for(&authorization);
    assert!(
        code.starts_with("pgc"),
        "its codes are worthless outside, too"
    );
    let request = authorization.redemption(&code).without("code_verifier");
    rig.vouch(&authorization);
    assert_token(&rig.token(&request));
    let log = rig.gate.log_until(|log| log.contains("missing_challenge"));
    assert!(log.contains("\"decision\":\"reported\""), "{log}");
    // The request is not refused, but the code is worthless: the upstream never issued it in this form.
    assert_eq!(rig.token(&request).status, 400);

    let other = rig
        .authorization()
        .without_challenge()
        .with("client_id", "other");
    assert_page(&rig.enter(&other), 400, "missing_challenge");
}

#[test]
fn a_client_in_mode_off_is_served_as_without_a_gate_and_others_are_not() {
    let rig = with_exception("mode = \"off\"", FUTURE).unguarded();
    let authorization = rig.authorization().without_challenge();
    let code = rig.code_for(&authorization);
    assert_eq!(code, rig.upstream.codes()[0]);
    assert_token(&rig.token(&authorization.redemption(&code).without("code_verifier")));

    let other = rig
        .authorization()
        .without_challenge()
        .with("client_id", "other");
    assert_page(&rig.enter(&other), 400, "missing_challenge");
    let mine = rig.authorization().with("client_id", "other");
    let code = rig.code_for(&mine);
    assert!(code.starts_with("pgc"), "{code}");
}

#[test]
fn an_exception_does_not_help_with_codes_of_other_clients() {
    let rig = with_exception("mode = \"off\"", FUTURE);
    let authorization = rig.authorization().with("client_id", "other");
    let code = rig.code_for(&authorization);
    let mine = authorization.redemption(&code).with("client_id", "other");
    // Naming the lax client, or none, does not help an attacker who stole the code.
    for stolen in [
        mine.clone()
            .with("client_id", "pub")
            .without("code_verifier"),
        mine.clone().with("client_id", "pub"),
        mine.clone().without("client_id").without("code_verifier"),
        mine.clone().without("code_verifier"),
    ] {
        assert_refused(&rig.token(&stolen), "invalid_grant");
    }
    assert_eq!(rig.forwarded(), 0);
    rig.vouch(&authorization);
    assert_token(&rig.token(&mine));
}

#[test]
fn response_types_and_modes_of_a_client_apply_to_it_alone() {
    let rig = with_exception(
        "response_types = [\"code\", \"code id_token\"]\nresponse_modes = [\"fragment\"]",
        FUTURE,
    )
    .unguarded();
    let hybrid = |authorization: Authorization| {
        authorization
            .with("response_type", "id_token code")
            .with("response_mode", "fragment")
    };
    let answer = rig.sign_in(&hybrid(rig.authorization()));
    assert!(answer.params.get("id_token").is_some(), "{answer:?}");
    let query = rig.authorization().with("response_mode", "query");
    let refused = rig.enter(&query);
    let location = refused
        .header("location")
        .expect("the redirect URI is known by now");
    assert!(location.contains("error=invalid_request"), "{refused}");
    let other = hybrid(rig.authorization()).with("client_id", "other");
    assert_page(&rig.enter(&other), 400, "response_type_not_allowed");
}

#[test]
fn a_method_may_be_assumed_for_a_client_that_omits_it() {
    let rig = Rig::tables("[[upstream.client]]\nid = \"pub\"\nassume_method = \"S256\"");
    let authorization = rig.authorization().without("code_challenge_method");
    let code = rig.code_for(&authorization);
    assert_token(&rig.redeem(&authorization, &code));
    let seen = rig.upstream.requests_to("/authorize").remove(0);
    assert_eq!(
        seen.query_params().get("code_challenge_method"),
        Some("S256")
    );
}

#[test]
fn a_verifier_may_be_longer_for_a_client_with_verifier_max() {
    let rig = Rig::tables("[[upstream.client]]\nid = \"pub\"\nverifier_max = 256");
    let mut authorization = rig.authorization();
    authorization.verifier = "v".repeat(200);
    let challenge = s256(&authorization.verifier);
    let authorization = authorization.with("code_challenge", &challenge);
    let code = rig.code_for(&authorization);
    assert_token(&rig.redeem(&authorization, &code));
}
