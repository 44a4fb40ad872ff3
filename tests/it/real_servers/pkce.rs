//! A code alone cannot be exchanged for a token.

use pkce_gate::parts::Purpose;

use super::on_every_server;
use crate::support::agent::Carrier;
use crate::support::client::{assert_refused, assert_token};
use crate::support::params::unguessable;
use crate::support::servers::Target;
use crate::support::stage::Stage;
use crate::support::store::is_handle;

on_every_server! {
    s256_buys_a_token,
    without_a_challenge_the_request_ends_on_a_page,
    without_a_challenge_a_configured_redirect_uri_gets_the_error,
    without_a_verifier_there_is_no_token,
    with_the_wrong_verifier_there_is_no_token,
    one_wrong_verifier_does_not_burn_the_code,
    a_code_is_redeemed_once,
    a_code_is_refused_for_another_client,
    a_code_is_bound_to_its_redirect_uri,
    a_code_that_was_never_issued_buys_nothing,
}

fn s256_buys_a_token(target: &'static Target) {
    let stage = Stage::new(target);
    let authorization = stage.authorization();

    let response = stage.user().sign_in(&stage.url(&authorization)).client();
    let expected = match target.response_mode {
        Some("fragment") => Carrier::Fragment,
        Some("form_post") => Carrier::FormPost,
        _ => Carrier::Query,
    };
    assert_eq!(response.carrier, expected);
    assert_eq!(response.params.get("state"), authorization.state());
    assert!(is_handle(Purpose::Code, response.code()), "{response:?}");

    assert_token(&stage.token(&authorization.redemption(response.code())));
}

fn without_a_challenge_the_request_ends_on_a_page(target: &'static Target) {
    let stage = Stage::new(target);
    let authorization = stage.authorization().without_challenge();

    let page = stage.user().open(&stage.url(&authorization)).page();
    assert_eq!(page.response.status, 400, "{}", page.response);
    assert!(
        page.response.text().contains("code_challenge"),
        "a developer is told what is missing: {}",
        page.response
    );
    assert!(
        stage.ledger().authorize.is_empty(),
        "no request reached the server"
    );
}

fn without_a_challenge_a_configured_redirect_uri_gets_the_error(target: &'static Target) {
    let stage = Stage::with_redirect_uri(target);
    let authorization = stage.authorization().without_challenge();

    let response = stage.user().open(&stage.url(&authorization)).client();
    assert_eq!(
        response.params.get("error"),
        Some("invalid_request"),
        "{response:?}"
    );
    assert_eq!(response.params.get("state"), authorization.state());
    assert_eq!(response.params.get("code"), None);
    assert!(
        stage.ledger().authorize.is_empty(),
        "no request reached the server"
    );
}

fn without_a_verifier_there_is_no_token(target: &'static Target) {
    let stage = Stage::new(target);
    let authorization = stage.authorization();
    let code = stage.code_for(&authorization);

    let request = authorization.redemption(&code).without("code_verifier");
    assert_refused(&stage.token(&request), "invalid_grant");
}

fn with_the_wrong_verifier_there_is_no_token(target: &'static Target) {
    let stage = Stage::new(target);
    let authorization = stage.authorization();
    let code = stage.code_for(&authorization);

    let request = authorization
        .redemption(&code)
        .with("code_verifier", &unguessable());
    assert_refused(&stage.token(&request), "invalid_grant");
}

fn one_wrong_verifier_does_not_burn_the_code(target: &'static Target) {
    let stage = Stage::new(target);
    let authorization = stage.authorization();
    let code = stage.code_for(&authorization);

    let right = authorization.redemption(&code);
    assert_refused(
        &stage.token(&right.clone().with("code_verifier", &unguessable())),
        "invalid_grant",
    );
    assert_token(&stage.token(&right));
}

fn a_code_is_redeemed_once(target: &'static Target) {
    let stage = Stage::new(target);
    let authorization = stage.authorization();
    let code = stage.code_for(&authorization);

    let request = authorization.redemption(&code);
    assert_token(&stage.token(&request));
    assert_refused(&stage.token(&request), "invalid_grant");
}

fn a_code_is_refused_for_another_client(target: &'static Target) {
    let stage = Stage::new(target);
    let authorization = stage.authorization();
    let code = stage.code_for(&authorization);

    let (client_id, client_secret) = target.profile.other_client;
    let request = authorization
        .redemption(&code)
        .with("client_id", client_id)
        .with("client_secret", client_secret);
    assert_refused(&stage.token(&request), "invalid_grant");
}

fn a_code_is_bound_to_its_redirect_uri(target: &'static Target) {
    let stage = Stage::new(target);
    let authorization = stage.authorization();
    let code = stage.code_for(&authorization);

    let request = authorization
        .redemption(&code)
        .with("redirect_uri", "http://127.0.0.1:9999/cb");
    assert_refused(&stage.token(&request), "invalid_grant");
}

fn a_code_that_was_never_issued_buys_nothing(target: &'static Target) {
    let stage = Stage::new(target);
    let authorization = stage.authorization();

    assert_refused(
        &stage.token(&authorization.redemption(&unguessable())),
        "invalid_grant",
    );
    assert!(
        stage.ledger().token.is_empty(),
        "no request reached the server"
    );
}
