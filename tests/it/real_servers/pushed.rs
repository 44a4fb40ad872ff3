//! Pushed authorization requests (RFC 9126) at oidc-provider, which asks for no challenge in them.

use crate::support::client::{Authorization, assert_refused, assert_token};
use crate::support::http::Request;
use crate::support::params::{encode, unguessable};
use crate::support::servers::OIDC_PROVIDER;
use crate::support::stage::Stage;

fn stage() -> Stage {
    Stage::configured(
        &OIDC_PROVIDER,
        "pushed_authorization_request = [\"/request\"]\n",
    )
}

fn url(stage: &Stage, uri: &str) -> String {
    let path = OIDC_PROVIDER.profile.authorization[0];
    let uri = encode(uri);
    format!("{}{path}?client_id=pub&request_uri={uri}", stage.gate_url())
}

fn pushed(stage: &Stage, authorization: &Authorization) -> String {
    let answer = stage.post("/request", &authorization.params);
    assert_eq!(answer.status, 201, "{answer}");
    let answer = answer.json();
    answer["request_uri"]
        .as_str()
        .expect("a request_uri")
        .to_owned()
}

#[test]
fn the_code_of_a_pushed_request_needs_the_verifier_of_its_challenge() {
    let stage = stage();
    let (authorization, other) = (stage.authorization(), stage.authorization());
    let uri = pushed(&stage, &authorization);
    let of_other = pushed(&stage, &other);
    let response = stage.user().sign_in(&url(&stage, &uri)).client();
    assert_eq!(response.params.get("state"), authorization.state());
    let right = authorization.redemption(response.code());
    let wrong = [
        right.clone().without("code_verifier"),
        right.clone().with("code_verifier", &unguessable()),
        right.clone().with("code_verifier", &other.verifier),
    ];
    stage.redeems_only(&right, &wrong);
    // Used once; the other one still works.
    let again = Request::get(&url(&stage, &uri)).send();
    assert_eq!(again.status, 400, "{again}");
    let response = stage.user().sign_in(&url(&stage, &of_other)).client();
    assert_token(&stage.token(&other.redemption(response.code())));
}

/// The server itself would accept it.
#[test]
fn a_push_without_a_challenge_does_not_reach_the_server() {
    let stage = stage();
    let refused = stage.post(
        "/request",
        &stage.authorization().without_challenge().params,
    );
    assert_refused(&refused, "invalid_request");
}
