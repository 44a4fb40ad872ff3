//! Aliases: paths that clients guess, which are the endpoints that they stand for.

use serde_json::json;

use crate::support::client::{assert_refused, assert_token};
use crate::support::rig::{Config, Rig, request};
use crate::support::scripted::{Act, Then, json as json_reply};

use super::OPENID;

const ALIASES: &str = "registration = [\"/connect/register\"]\n\
    aliases = { \"/oauth/auth\" = \"/authorize\", \"/oauth/code\" = \"/token\", \"/register\" = \"/connect/register\", \
    \"/discovery\" = \"/.well-known/openid-configuration\" }";

fn rig(pkce: &str) -> Rig {
    Rig::with(Config {
        endpoints: ALIASES,
        pkce,
        ..Config::default()
    })
}

#[test]
fn a_sign_in_at_aliases_is_one_at_the_endpoints() {
    let rig = rig("");
    let authorization = rig.authorization();
    let entry = rig.get(&format!("/oauth/auth?{}", authorization.params.encoded()));
    assert_eq!(entry.status, 303, "{entry}");
    let location = entry.header("location").expect("a Location");
    assert!(
        location.starts_with("/authorize?"),
        "the real path: {entry}"
    );
    let code = rig.code_for(&authorization);
    for bad in ["", "wrong-wrong-wrong-wrong-wrong-wrong-wrong-wrong"] {
        let form = authorization.redemption(&code).without("code_verifier");
        let form = if bad.is_empty() {
            form
        } else {
            form.with("code_verifier", bad)
        };
        assert_refused(
            &rig.post("/oauth/code", &[], &form.encoded()),
            "invalid_grant",
        );
    }
    assert_eq!(rig.forwarded(), 0);
    rig.vouch(&authorization);
    assert_token(&rig.post(
        "/oauth/code",
        &[],
        &authorization.redemption(&code).encoded(),
    ));
    assert_eq!(rig.forwarded(), 1, "at the real path");
    assert!(rig.upstream.requests_to("/oauth/code").is_empty());
}

#[test]
fn an_alias_has_the_rules_of_its_endpoint() {
    let rig = rig("");
    let without = rig.authorization().without_challenge();
    let refused = rig.get(&format!("/oauth/auth?{}", without.params.encoded()));
    assert_eq!(refused.status, 400, "{refused}");
    let get = rig.get("/oauth/code?grant_type=refresh_token");
    assert_eq!(get.status, 405, "{get}");
    let unknown = "grant_type=authorization_code&code=x&client_id=pub&redirect_uri=https%3A%2F%2Fclient.test%2Fcb";
    assert_refused(&rig.post("/oauth/code", &[], unknown), "invalid_grant");
    assert!(rig.upstream.ledger().is_empty());
}

#[test]
fn other_spellings_of_an_alias_are_refused() {
    let rig = rig("");
    for path in [
        "/oauth/code/",
        "/OAUTH/code",
        "/oauth/%63ode",
        "/oauth/code;x",
        "/oauth/x/../code",
        "/oauth%2fcode",
        "/oauth/auth/",
        "/oauth/auth.json",
    ] {
        let response = rig.post(path, &[], "grant_type=refresh_token&refresh_token=x");
        assert_eq!(response.status, 400, "{path}: {response}");
    }
    assert!(rig.upstream.ledger().is_empty());
    // Runs of slashes are merged, as everywhere.
    let response = rig.post(
        "//oauth//code",
        &[],
        "grant_type=refresh_token&refresh_token=x",
    );
    assert_eq!(response.status, 200, "{response}");
}

#[test]
fn aliases_of_metadata_and_registration_lead_there() {
    let rig = rig("");
    let own = rig.upstream.url();
    let document = json!({ "token_endpoint": format!("{own}/token") });
    rig.upstream.on(
        OPENID,
        Act::Say(json_reply("200 OK", &document), Then::GoOn),
    );
    assert_eq!(
        rig.get("/discovery").json()["token_endpoint"],
        "http://gate.test/token"
    );
    let fields = [("Content-Type", "application/json")];
    rig.send(&request("POST", "/register?x=1", &fields, Some("{}")));
    let seen = rig.upstream.requests_to("/connect/register");
    assert_eq!((seen.len(), seen[0].query()), (1, "x=1"));
}

/// In report mode requests are forwarded byte for byte, but the server does not have the alias.
#[test]
fn the_server_gets_the_real_path_in_report_mode_too() {
    let rig = rig("mode = \"report\"").unguarded();
    let response = rig.post(
        "/oauth/code",
        &[],
        "grant_type=refresh_token&refresh_token=x",
    );
    assert_eq!(response.status, 200, "{response}");
    assert_eq!(rig.upstream.requests_to("/token").len(), 1);
}
