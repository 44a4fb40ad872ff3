//! `to_upstream = "replace"` in front of oidc-provider, which demands PKCE of every client: also of one that cannot send it.

use crate::support::client::{Authorization, assert_refused, assert_token};
use crate::support::params::{Params, unguessable};
use crate::support::servers::OIDC_PROVIDER_WITH_PKCE;
use crate::support::stage::Stage;

/// The client `post` cannot send PKCE, and has an exception.
fn stage() -> Stage {
    Stage::configured(
        &OIDC_PROVIDER_WITH_PKCE,
        "[upstream.pkce]\nto_upstream = \"replace\"\n[[upstream.client]]\nid = \"post\"\nmode = \"report\"\n\
         until = \"2999-01-01\"\nowner = \"a@example.com\"\nreason = \"it cannot send PKCE\"\n",
    )
}

fn redemption(authorization: &Authorization, code: &str) -> Params {
    let request = authorization.redemption(code).without("code_verifier");
    request
        .with("client_id", "post")
        .with("client_secret", "sekrit")
}

#[test]
fn a_client_without_pkce_signs_in_at_a_server_that_demands_it() {
    let stage = stage();
    let authorization = stage
        .authorization()
        .with("client_id", "post")
        .without_challenge();
    let code = stage.code_for(&authorization);
    assert_token(&stage.token(&redemption(&authorization, &code)));
    let sent = stage.ledger().token.remove(0).body;
    assert!(sent.contains("code_verifier="), "{sent}");
}

#[test]
fn the_server_refuses_that_client_without_the_gates_own_pair() {
    let stage = Stage::configured(
        &OIDC_PROVIDER_WITH_PKCE,
        "[[upstream.client]]\nid = \"post\"\nmode = \"report\"\nuntil = \"2999-01-01\"\n\
         owner = \"a@example.com\"\nreason = \"it cannot send PKCE\"\n",
    );
    let authorization = stage
        .authorization()
        .with("client_id", "post")
        .without_challenge();
    let response = stage.user().open(&stage.url(&authorization)).client();
    assert_eq!(
        response.params.get("error"),
        Some("invalid_request"),
        "{response:?}"
    );
}

#[test]
fn a_client_with_pkce_is_checked_by_the_gate_and_not_by_the_server() {
    let stage = stage();
    let authorization = stage.authorization();
    let code = stage.code_for(&authorization);
    let other = stage.authorization();
    let right = authorization.redemption(&code);
    for wrong in [
        right.clone().without("code_verifier"),
        right.clone().with("code_verifier", &unguessable()),
        right.clone().with("code_verifier", &other.verifier),
        // A lax client does not help.
        redemption(&authorization, &code),
    ] {
        assert_refused(&stage.token(&wrong), "invalid_grant");
    }
    assert!(
        stage.ledger().token.is_empty(),
        "nothing reached the server"
    );
    assert_token(&stage.token(&right));
    let ledger = stage.ledger();
    let sent = &ledger.token[0].body;
    assert!(sent.contains("code_verifier="), "{sent}");
    assert!(!sent.contains(&authorization.verifier), "{sent}");
    assert_refused(&stage.token(&right), "invalid_grant");
}
