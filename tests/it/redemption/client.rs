//! A code belongs to the client and the redirect URI of its authorization request, however the client names itself.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::support::client::{Authorization, assert_refused, assert_token};
use crate::support::http::Response;
use crate::support::params::Params;
use crate::support::rig::{Config, REDIRECT_URI, Rig};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn basic(user: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:sekrit")))
}

fn assertion(client: &str) -> String {
    let claims = format!("{{\"iss\":\"{client}\",\"sub\":\"{client}\",\"aud\":\"x\"}}");
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
}

fn signed_in(rig: &Rig) -> (Authorization, String) {
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    (authorization, code)
}

fn post(rig: &Rig, authorization: Option<&str>, form: &Params) -> Response {
    let fields: Vec<_> = authorization
        .map(|value| ("Authorization", value))
        .into_iter()
        .collect();
    rig.post("/token", &fields, &form.encoded())
}

#[test]
fn a_client_may_name_itself_in_basic_credentials() {
    for named_twice in [false, true] {
        let rig = Rig::new();
        let (authorization, code) = signed_in(&rig);
        let form = authorization.redemption(&code);
        let form = if named_twice {
            form
        } else {
            form.without("client_id")
        };
        rig.vouch(&authorization);
        assert_token(&post(&rig, Some(&basic("pub")), &form));
        let seen = rig.upstream.requests_to("/token").remove(0);
        assert_eq!(seen.header("authorization"), Some(basic("pub").as_str()));
        assert_eq!(seen.form(), form.with("code", &rig.upstream.codes()[0]));
    }
}

#[test]
fn a_client_may_name_itself_in_the_body() {
    let rig = Rig::new();
    let (authorization, code) = signed_in(&rig);
    let form = authorization
        .redemption(&code)
        .with("client_secret", "s&=%+ é");
    rig.vouch(&authorization);
    assert_token(&post(&rig, None, &form));
    let seen = rig.upstream.requests_to("/token").remove(0);
    assert_eq!(seen.form(), form.with("code", &rig.upstream.codes()[0]));
}

#[test]
fn a_client_may_name_itself_in_an_assertion() {
    let rig = Rig::new();
    let (authorization, code) = signed_in(&rig);
    let form = authorization
        .redemption(&code)
        .without("client_id")
        .with("client_assertion_type", JWT_BEARER)
        .with("client_assertion", &assertion("pub"));
    rig.vouch(&authorization);
    assert_token(&post(&rig, None, &form));
    let seen = rig.upstream.requests_to("/token").remove(0);
    assert_eq!(seen.form(), form.with("code", &rig.upstream.codes()[0]));
}

#[test]
fn another_client_gets_no_token_however_it_names_itself() {
    let rig = Rig::new();
    let (authorization, code) = signed_in(&rig);
    let form = authorization.redemption(&code);
    let nameless = form.clone().without("client_id");
    let asserted = nameless
        .clone()
        .with("client_assertion_type", JWT_BEARER)
        .with("client_assertion", &assertion("other"));
    for (authorization, form) in [
        (None, form.with("client_id", "other")),
        (Some(basic("other")), nameless.clone()),
        (Some(basic("PUB")), nameless.clone()),
        (None, asserted),
        (None, nameless.clone()),
        (Some("Bearer abc".to_owned()), nameless),
    ] {
        assert_refused(
            &post(&rig, authorization.as_deref(), &form),
            "invalid_grant",
        );
    }
    assert_eq!(rig.forwarded(), 0);
    assert_token(&rig.redeem(&authorization, &code));
}

#[test]
fn two_different_client_identifiers_in_one_request_are_refused() {
    let rig = Rig::new();
    let (authorization, code) = signed_in(&rig);
    let form = authorization.redemption(&code);
    let asserted = form
        .clone()
        .with("client_assertion_type", JWT_BEARER)
        .with("client_assertion", &assertion("other"));
    for (authorization, form) in [
        (Some(basic("other")), form.clone()),
        (Some(basic("pub")), form.clone().with("client_secret", "s")),
        (Some(basic("pub")), asserted.clone()),
        (Some("Basic %%%".to_owned()), form),
        (None, asserted),
    ] {
        assert_refused(
            &post(&rig, authorization.as_deref(), &form),
            "invalid_request",
        );
    }
    assert_eq!(rig.forwarded(), 0);
    assert_token(&rig.redeem(&authorization, &code));
}

#[test]
fn another_redirect_uri_and_a_missing_one_are_refused() {
    let rig = Rig::new();
    let (authorization, code) = signed_in(&rig);
    let right = authorization.redemption(&code);
    for wrong in [
        "https://client.test/cb/",
        "https://client.test/CB",
        "https://CLIENT.test/cb",
        "https://client.test:443/cb",
        "https://client.test/cb?",
        "https://client.test/cb#",
        "https://evil.test/cb",
        "",
    ] {
        let request = right.clone().with("redirect_uri", wrong);
        assert_refused(&rig.token(&request), "invalid_grant");
    }
    assert_refused(&rig.token(&right.without("redirect_uri")), "invalid_grant");
    assert_eq!(rig.forwarded(), 0);
    assert_token(&rig.redeem(&authorization, &code));
}

#[test]
fn without_a_redirect_uri_in_the_authorization_request_the_upstream_compares() {
    for sent in [None, Some(REDIRECT_URI)] {
        let rig = Rig::new();
        let authorization = rig.authorization().without("redirect_uri");
        let code = rig.code_for(&authorization);
        let form = authorization.redemption(&code).without("redirect_uri");
        let form = match sent {
            Some(uri) => form.with("redirect_uri", uri),
            None => form,
        };
        rig.vouch(&authorization);
        assert_token(&rig.token(&form));
    }
}

/// `require = "public"`, and a confidential client.
fn with_confidential_client() -> Rig {
    let client = "[[upstream.client]]\nid = \"conf\"\ntype = \"confidential\"";
    Rig::with(Config {
        pkce: "require = \"public\"",
        tables: client,
        ..Config::default()
    })
}

#[test]
fn a_verifier_without_a_recorded_challenge_is_refused() {
    let rig = with_confidential_client();
    let authorization = rig
        .authorization()
        .with("client_id", "conf")
        .without_challenge();
    let code = rig.code_for(&authorization);
    let request = authorization.redemption(&code).with("client_id", "conf");
    assert_refused(&rig.token(&request), "invalid_grant");
    assert_eq!(rig.forwarded(), 0);

    rig.vouch(&authorization);
    assert_token(&rig.token(&request.without("code_verifier")));
}

#[test]
fn an_optional_challenge_is_enforced_if_it_is_sent() {
    let rig = with_confidential_client();
    let authorization = rig.authorization().with("client_id", "conf");
    let code = rig.code_for(&authorization);
    let request = authorization.redemption(&code).with("client_id", "conf");
    assert_refused(
        &rig.token(&request.clone().without("code_verifier")),
        "invalid_grant",
    );
    assert_eq!(rig.forwarded(), 0);
    rig.vouch(&authorization);
    assert_token(&rig.token(&request));
}

#[test]
fn a_public_client_must_send_a_challenge_where_only_public_ones_must() {
    let rig = with_confidential_client();
    let authorization = rig.authorization().without_challenge();
    super::assert_page(&rig.enter(&authorization), 400, "missing_challenge");
    assert!(rig.upstream.ledger().is_empty());
}
