//! Real clients, as their packages are published, against the gate. Each says in one line of JSON how it went.

use serde_json::Value;

use crate::support::http::Request;
use crate::support::servers::{DJANGO_OAUTH_TOOLKIT, OAUTH2_SERVER, OIDC_PROVIDER, Target};
use crate::support::stage::Stage;

/// The clients that do not read metadata are told where to go.
const OAUTH2_SERVER_PATHS: [&str; 4] =
    ["--authorize", "/oauth/authorize", "--token", "/oauth/token"];
const DJANGO_PATHS: [&str; 4] = ["--authorize", "/o/authorize/", "--token", "/o/token/"];
const CONFIDENTIAL: [&str; 4] = ["--client-id", "conf", "--client-secret", "sekrit"];

#[test]
fn openid_client_completes_as_a_public_client() {
    completes(&OIDC_PROVIDER, "clients/openid-client.mjs", &[]);
}

#[test]
fn openid_client_completes_with_form_post() {
    completes(
        &OIDC_PROVIDER,
        "clients/openid-client.mjs",
        &["--response-mode", "form_post"],
    );
}

#[test]
fn openid_client_completes_with_client_secret_basic() {
    completes(
        &OIDC_PROVIDER,
        "clients/openid-client.mjs",
        &["--client-id", "basic", "--client-secret", "sekrit"],
    );
}

#[test]
fn openid_client_completes_with_client_secret_post() {
    let arguments = [
        "--client-id",
        "post",
        "--client-secret",
        "sekrit",
        "--client-auth",
        "post",
    ];
    completes(&OIDC_PROVIDER, "clients/openid-client.mjs", &arguments);
}

#[test]
fn openid_client_completes_with_client_secret_jwt() {
    let secret = "a shared secret, long enough for HS256";
    let arguments = [
        "--client-id",
        "jwt",
        "--client-secret",
        secret,
        "--client-auth",
        "jwt",
    ];
    completes(&OIDC_PROVIDER, "clients/openid-client.mjs", &arguments);
}

#[test]
fn openid_client_turns_pkce_on_because_the_gate_says_so() {
    let stage = Stage::new(&OIDC_PROVIDER);
    let metadata = Request::get(&format!(
        "{}{}",
        stage.server_url(),
        OIDC_PROVIDER.profile.metadata
    ))
    .send()
    .json();
    assert_eq!(
        metadata.get("code_challenge_methods_supported"),
        None,
        "the server does not"
    );

    let outcome = run(&stage, "clients/openid-client.mjs", &["--pkce", "auto"]);
    assert_completed(&stage, &outcome);
    assert_eq!(outcome["pkce"], true, "{outcome}");
}

#[test]
fn openid_client_without_pkce_is_told_what_is_wrong() {
    let stage = Stage::with_redirect_uri(&OIDC_PROVIDER);
    let outcome = run(&stage, "clients/openid-client.mjs", &["--pkce", "off"]);
    assert_eq!(outcome["ok"], false, "{outcome}");
    assert_eq!(outcome["error"]["oauth"], "invalid_request", "{outcome}");
}

#[test]
fn oauth4webapi_completes() {
    completes(&OIDC_PROVIDER, "clients/oauth4webapi.mjs", &[]);
}

#[test]
fn passport_oauth2_completes() {
    let arguments = [OAUTH2_SERVER_PATHS, CONFIDENTIAL].concat();
    completes(&OAUTH2_SERVER, "clients/passport-oauth2.mjs", &arguments);
}

#[test]
fn authlib_completes_as_a_public_client() {
    completes(
        &DJANGO_OAUTH_TOOLKIT,
        "clients/authlib_session.py",
        &DJANGO_PATHS,
    );
}

#[test]
fn authlib_completes_as_a_confidential_client() {
    completes(
        &DJANGO_OAUTH_TOOLKIT,
        "clients/authlib_session.py",
        &[DJANGO_PATHS, CONFIDENTIAL].concat(),
    );
}

#[test]
fn oidc_client_ts_completes_in_a_browser_from_another_origin() {
    completes(&OIDC_PROVIDER, "clients/oidc-client-ts.mjs", &[]);
}

/// It sends a challenge without a method and a verifier of 171 characters; both need the operator's word.
#[test]
fn jsforce_completes_when_its_habits_are_allowed() {
    let client = "id = \"conf\"\nassume_method = \"S256\"\nverifier_max = 256";
    let stage = Stage::with_client(&OAUTH2_SERVER, client);
    let outcome = run(&stage, "clients/jsforce.mjs", &CONFIDENTIAL);
    assert_completed(&stage, &outcome);
    assert_eq!(outcome["verifier_length"], 171);
    assert!(contains(&outcome["refreshed"], "access_token"), "{outcome}");
}

#[test]
fn jsforce_is_refused_otherwise() {
    let stage = Stage::with_client(&OAUTH2_SERVER, "id = \"conf\"");
    let outcome = run(&stage, "clients/jsforce.mjs", &CONFIDENTIAL);
    assert_eq!(outcome["ok"], false, "{outcome}");
    assert_eq!(outcome["response"]["error"], "invalid_request", "{outcome}");
}

fn completes(target: &'static Target, program: &str, arguments: &[&str]) {
    let stage = Stage::new(target);
    let outcome = run(&stage, program, arguments);
    assert_completed(&stage, &outcome);
}

fn run(stage: &Stage, program: &str, arguments: &[&str]) -> Value {
    let outcome = stage.run(
        program,
        &[&["--issuer", &stage.gate_url()], arguments].concat(),
    );
    if outcome["ok"] == true {
        stage.granted(1);
    }
    outcome
}

fn assert_completed(stage: &Stage, outcome: &Value) {
    assert_eq!(outcome["ok"], true, "{outcome}");
    let code = outcome["response"]["code"]
        .as_str()
        .expect("a code reached the client");
    assert!(code.starts_with("pgc"), "{outcome}");
    stage.keep_out_of_the_log([code.to_owned()]);
}

fn contains(list: &Value, member: &str) -> bool {
    list.as_array()
        .is_some_and(|list| list.iter().any(|name| name == member))
}
