//! Endpoints whose URLs have a query (RFC 6749 sections 3.1 and 3.2): configured parameters pass, others are refused.

use serde_json::json;

use super::assert_page;
use crate::support::client::{assert_refused, assert_token};
use crate::support::rig::{Config, Rig, authorization_response, cookie_of, request};
use crate::support::scripted::{Act, Then, json as json_reply};

const FORM: &str = "application/x-www-form-urlencoded";

fn rig() -> Rig {
    Rig::with(Config {
        endpoints: "query = [\"p\", \"realm\"]",
        ..Config::default()
    })
}

#[test]
fn the_query_of_the_token_endpoint_passes_unchanged() {
    let rig = rig();
    for query in [
        "p=b2c_1_signin",
        "realm=%2Falpha%2Fbeta&p=x",
        "p=",
        "realm=/a",
    ] {
        let authorization = rig.authorization();
        let code = rig.code_for(&authorization);
        rig.vouch(&authorization);
        let form = authorization.redemption(&code).encoded();
        let target = format!("/token?{query}");
        assert_token(&rig.post(&target, &[], &form));
        let refresh = "grant_type=refresh_token&refresh_token=x";
        assert_token(&rig.post(&target, &[], refresh));
        let preflight = [("Access-Control-Request-Method", "POST")];
        let asked = rig.send(&request("OPTIONS", &target, &preflight, None));
        assert_eq!(asked.status, 200, "{asked}");
    }
    let seen = rig.upstream.requests_to("/token");
    assert_eq!(seen.len(), 12);
    assert_eq!(seen[0].target(), "/token?p=b2c_1_signin");
    assert_eq!(seen[3].target(), "/token?realm=%2Falpha%2Fbeta&p=x");
}

#[test]
fn anything_else_in_the_query_of_the_token_endpoint_is_refused() {
    let rig = rig();
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    let form = authorization.redemption(&code).encoded();
    for query in [
        "",
        "x=1",
        "code=x",
        "code_verifier=y",
        "client_id=pub",
        "P=1",
        "P=1&code%5B%5D=2",
        "p=1&p=1",
        "p=1&code=x",
        "p=1;code=x",
        "p=1%26code%3Dx",
        "p=1%2526code%253Dx",
        "%70=1",
        "p[]=1",
        "p=a+b",
        "p=%ff",
        "p",
        "p=1&",
    ] {
        assert_refused(
            &rig.post(&format!("/token?{query}"), &[], &form),
            "invalid_request",
        );
    }
    assert_eq!(rig.forwarded(), 0);
    assert_token(&rig.redeem(&authorization, &code));
    // Without configured parameters, none pass.
    let plain = Rig::new();
    assert_refused(
        &plain.post("/token?p=1", &[], "grant_type=refresh_token"),
        "invalid_request",
    );
}

/// Some servers recognise a code by its value, whatever its name.
#[test]
fn a_code_in_a_configured_parameter_is_refused() {
    let rig = Rig::with(Config {
        endpoints: "query = [\"p\"]",
        pkce: "codes = \"upstream\"",
        ..Config::default()
    })
    .unguarded();
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    let target = format!("/token?p={code}");
    let refresh = "grant_type=refresh_token&refresh_token=x";
    assert_refused(&rig.post(&target, &[], refresh), "invalid_request");
    assert_eq!(rig.forwarded(), 0);
}

#[test]
fn the_query_of_the_authorization_endpoint_stays_through_the_sign_in() {
    let rig = rig();
    for post in [false, true] {
        let authorization = rig.authorization();
        let encoded = authorization.params.encoded();
        let begun = if post {
            rig.post("/authorize?p=b2c_1&realm=/a", &[], &encoded)
        } else {
            rig.get(&format!("/authorize?p=b2c_1&realm=/a&{encoded}"))
        };
        assert_eq!(begun.status, 303, "{begun}");
        let entry = begun.header("location").expect("a 303").to_owned();
        assert!(entry.starts_with("/authorize?p=b2c_1&realm=/a&"), "{entry}");
        assert!(!entry.contains("code_challenge"), "{entry}");
        let cookie = cookie_of(&begun).expect("a cookie");
        let response = rig.get_with(&entry, &[("Cookie", &cookie)]);
        let answer = authorization_response(&response, &authorization).expect("an answer");
        let seen = rig.upstream.requests_to("/authorize").pop().expect("one");
        assert_eq!(seen.query_params().get("p"), Some("b2c_1"));
        assert_eq!(seen.query_params().get("realm"), Some("/a"));
        assert_token(&rig.redeem(&authorization, answer.code()));
    }
    // A query does not replace missing parameters.
    let bad = rig
        .authorization()
        .without_challenge()
        .with("client_id", "other");
    let target = format!("/authorize?p=1&{}", bad.params.encoded());
    assert_page(&rig.get(&target), 400, "missing_challenge");
}

#[test]
fn metadata_keeps_the_configured_query() {
    let rig = rig();
    let own = rig.upstream.url();
    let document = json!({
        "issuer": own,
        "authorization_endpoint": format!("{own}/authorize?p=b2c_1"),
        "token_endpoint": format!("{own}/token?p=b2c_1&x=1&realm=%2Fa"),
    });
    let path = "/.well-known/openid-configuration";
    rig.upstream
        .on(path, Act::Say(json_reply("200 OK", &document), Then::GoOn));
    let metadata = rig.get(path).json();
    assert_eq!(
        metadata["authorization_endpoint"],
        "http://gate.test/authorize?p=b2c_1"
    );
    assert_eq!(
        metadata["token_endpoint"],
        "http://gate.test/token?p=b2c_1&realm=%2Fa"
    );
    let target = "/token?p=b2c_1&realm=%2Fa";
    let fields = [("Content-Type", FORM)];
    assert_token(&rig.post(target, &fields, "grant_type=refresh_token"));
}
