//! Published client libraries against the gate. Each reports its result in one line of JSON.

mod snippets;

use serde_json::Value;

use crate::support::fixture::free_port;
use crate::support::http::Request;
use crate::support::servers::{
    AUTHLIB_SERVER, DJANGO_ALLAUTH, DJANGO_OAUTH_TOOLKIT, DOORKEEPER, OAUTH2_SERVER, OIDC_PROVIDER,
    Target,
};
use crate::support::stage::Stage;

/// The endpoints, for clients that do not read metadata.
const OAUTH2_SERVER_PATHS: [&str; 4] =
    ["--authorize", "/oauth/authorize", "--token", "/oauth/token"];
const DJANGO_PATHS: [&str; 4] = ["--authorize", "/o/authorize/", "--token", "/o/token/"];
const ALLAUTH_PATHS: [&str; 4] = [
    "--authorize",
    "/identity/o/authorize",
    "--token",
    "/identity/o/api/token",
];
/// `spa` is not a native application: the server asks those for consent every time.
const RENEW: [&str; 4] = ["--client-id", "spa", "--renew", "on"];
const HARD: &str = "[upstream.pkce]\nbrowser_binding = \"hard\"\n";
/// How the log would report a sign-in that continues in another browser.
const OTHER_BROWSER: [&str; 2] = ["other_browser", "browser_mismatch"];
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

/// oidc-provider's own path.
const PUSHED: &str = "pushed_authorization_request = [\"/request\"]\n";

#[test]
fn openid_client_completes_with_a_pushed_request() {
    for arguments in [
        &["--par", "on"][..],
        &[
            "--par",
            "on",
            "--client-id",
            "basic",
            "--client-secret",
            "sekrit",
        ],
    ] {
        let stage = Stage::configured(&OIDC_PROVIDER, PUSHED);
        let outcome = run(&stage, "clients/openid-client.mjs", arguments);
        assert_completed(&stage, &outcome);
    }
}

/// The key that the token will be bound to is pushed as well (RFC 9449 section 10).
#[test]
fn openid_client_completes_with_a_pushed_request_and_dpop() {
    let stage = Stage::configured(&OIDC_PROVIDER, PUSHED);
    let arguments = ["--par", "on", "--dpop", "on"];
    let outcome = run(&stage, "clients/openid-client.mjs", &arguments);
    stage.sent_back(1);
    assert_completed(&stage, &outcome);
    assert_eq!(outcome["token_type"], "dpop", "{outcome}");
}

/// What is signed cannot be changed, so codes are the server's own.
fn signed() -> Stage {
    Stage::configured(
        &OIDC_PROVIDER,
        &format!(
            "{PUSHED}[upstream.pkce]\ncodes = \"upstream\"\nrequest_objects = \"read\"\n\
             response_types = [\"code\", \"code id_token\"]\n\
             response_modes = [\"query\", \"fragment\", \"form_post\", \"jwt\", \"query.jwt\", \"form_post.jwt\"]\n"
        ),
    )
    .with_own_codes()
}

/// The client verifies the signature of the response, and `c_hash` and `s_hash` of the ID token.
#[test]
fn openid_client_completes_with_signed_requests_and_responses() {
    for arguments in [
        &["--jar", "on"][..],
        &["--jarm", "on"],
        &["--hybrid", "on"],
        &["--jar", "on", "--par", "on"],
        &["--jar", "on", "--jarm", "on"],
        &["--jarm", "on", "--response-mode", "form_post.jwt"],
    ] {
        let stage = signed();
        let arguments = [&["--client-id", "signed"], arguments].concat();
        let outcome = run(&stage, "clients/openid-client.mjs", &arguments);
        assert_eq!(outcome["ok"], true, "{arguments:?}: {outcome}");
    }
}

/// With handles for the other flows of the client: the gate itself leaves what the ID token hashes.
#[test]
fn openid_client_completes_with_a_hybrid_response_beside_handles() {
    for (verifier, ok) in [("right", true), ("other", false), ("none", false)] {
        let types = "[upstream.pkce]\nresponse_types = [\"code\", \"code id_token\"]\n";
        let stage = Stage::configured(&OIDC_PROVIDER, types).with_own_codes();
        let arguments = [
            "--client-id",
            "signed",
            "--hybrid",
            "on",
            "--verifier",
            verifier,
        ];
        let outcome = run(&stage, "clients/openid-client.mjs", &arguments);
        assert_eq!(outcome["ok"], ok, "{verifier}: {outcome}");
        if ok {
            continue;
        }
        assert_eq!(outcome["error"]["oauth"], "invalid_grant", "{outcome}");
        assert!(stage.ledger().redemptions().is_empty(), "{verifier}");
    }
}

/// The client has a code, and sends a verifier of no flow, that of its other flow, or none.
#[test]
fn a_code_of_a_signed_request_or_response_needs_its_verifier() {
    for shape in [&["--jar", "on"][..], &["--jarm", "on"], &["--hybrid", "on"]] {
        for (verifier, codes) in [("wrong", 1), ("other", 2), ("none", 1)] {
            let stage = signed();
            let arguments = [&["--client-id", "signed", "--verifier", verifier], shape].concat();
            let outcome = run(&stage, "clients/openid-client.mjs", &arguments);
            assert_eq!(
                outcome["error"]["oauth"], "invalid_grant",
                "{arguments:?}: {outcome}"
            );
            let ledger = stage.ledger();
            assert_eq!(ledger.codes.len(), codes, "{arguments:?}: {ledger:?}");
            assert!(ledger.redemptions().is_empty(), "{arguments:?}: {ledger:?}");
        }
    }
}

/// The same with handles, for a pushed request, and for one whose token is bound to a key.
#[test]
fn a_code_of_a_pushed_request_needs_its_verifier_with_and_without_dpop() {
    for shape in [&["--par", "on"][..], &["--par", "on", "--dpop", "on"]] {
        for (verifier, codes) in [("wrong", 1), ("other", 2), ("none", 1)] {
            let stage = Stage::configured(&OIDC_PROVIDER, PUSHED);
            let arguments = [&["--verifier", verifier], shape].concat();
            let outcome = run(&stage, "clients/openid-client.mjs", &arguments);
            assert_eq!(
                outcome["error"]["oauth"], "invalid_grant",
                "{arguments:?}: {outcome}"
            );
            let ledger = stage.ledger();
            assert_eq!(ledger.codes.len(), codes, "{arguments:?}: {ledger:?}");
            assert!(ledger.redemptions().is_empty(), "{arguments:?}: {ledger:?}");
        }
    }
}

#[test]
fn openid_client_without_pkce_gets_no_code_with_signed_requests_and_responses() {
    for arguments in [&["--jar", "on"][..], &["--jarm", "on"], &["--hybrid", "on"]] {
        let stage = signed();
        let arguments = [&["--client-id", "signed", "--pkce", "off"], arguments].concat();
        let outcome = run(&stage, "clients/openid-client.mjs", &arguments);
        assert_eq!(outcome["ok"], false, "{arguments:?}: {outcome}");
        assert!(
            stage.ledger().authorize.is_empty(),
            "{arguments:?}: {outcome}"
        );
    }
}

#[test]
fn openid_client_without_pkce_cannot_push_a_request() {
    let stage = Stage::configured(&OIDC_PROVIDER, PUSHED);
    let arguments = ["--par", "on", "--pkce", "off"];
    let outcome = run(&stage, "clients/openid-client.mjs", &arguments);
    assert_eq!(outcome["ok"], false, "{outcome}");
    assert_eq!(outcome["error"]["oauth"], "invalid_request", "{outcome}");
    let description = outcome["error"]["description"].as_str();
    assert!(
        description.is_some_and(|text| text.contains("code challenge required")),
        "{outcome}"
    );
}

#[test]
fn openid_client_enables_pkce_because_of_the_gates_metadata() {
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

/// The server rejects each first proof and sends a nonce.
#[test]
fn openid_client_completes_with_dpop_when_the_server_demands_a_nonce() {
    let stage = Stage::new(&OIDC_PROVIDER);
    let outcome = run(&stage, "clients/openid-client.mjs", &["--dpop", "on"]);
    stage.sent_back(1);
    assert_completed(&stage, &outcome);
    assert_eq!(outcome["token_type"], "dpop", "{outcome}");
    assert_eq!(outcome["user"], "alice", "the token works: {outcome}");
    assert_eq!(stage.ledger().answers(), [400, 200]);
}

#[test]
fn openid_client_with_dpop_gets_no_token_if_only_its_first_request_had_a_verifier() {
    let stage = Stage::new(&OIDC_PROVIDER);
    let arguments = ["--dpop", "on", "--retry", "bare"];
    let outcome = run(&stage, "clients/openid-client.mjs", &arguments);
    stage.sent_back(1);
    assert_eq!(outcome["ok"], false, "{outcome}");
    assert_eq!(outcome["error"]["oauth"], "invalid_grant", "{outcome}");
    assert_eq!(stage.ledger().answers(), [400]);
}

#[test]
fn openid_client_without_pkce_gets_an_error_with_the_reason() {
    let stage = Stage::with_redirect_uri(&OIDC_PROVIDER);
    let outcome = run(&stage, "clients/openid-client.mjs", &["--pkce", "off"]);
    assert_eq!(outcome["ok"], false, "{outcome}");
    assert_eq!(outcome["error"]["oauth"], "invalid_request", "{outcome}");
}

/// A native application listens on an ephemeral port, and can only receive errors there.
#[test]
fn openid_client_on_an_ephemeral_port_gets_its_error_there() {
    let client = "[[upstream.client]]\nid = \"pub\"\nredirect_uris = [\"http://127.0.0.1/cb\"]\n";
    let stage = Stage::configured(&OIDC_PROVIDER, client);
    let here = format!("http://127.0.0.1:{}/cb", free_port());
    let arguments = ["--redirect-uri", &here, "--pkce", "off"];
    let outcome = run(&stage, "clients/openid-client.mjs", &arguments);
    assert_eq!(outcome["ok"], false, "{outcome}");
    assert_eq!(outcome["error"]["oauth"], "invalid_request", "{outcome}");

    let outcome = run(&stage, "clients/openid-client.mjs", &arguments[..2]);
    assert_completed(&stage, &outcome);
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
fn authlib_completes_with_a_consent_field_named_request() {
    completes(
        &DJANGO_ALLAUTH,
        "clients/authlib_session.py",
        &ALLAUTH_PATHS,
    );
}

/// The client tries HTTP Basic first, and then the form.
#[test]
fn go_x_oauth2_completes_when_its_first_way_to_authenticate_is_answered_with_400() {
    the_second_way_completes(&AUTHLIB_SERVER, 400);
}

#[test]
fn go_x_oauth2_completes_when_its_first_way_to_authenticate_is_answered_with_401() {
    the_second_way_completes(&DOORKEEPER, 401);
}

#[test]
fn go_x_oauth2_gets_no_token_without_a_verifier_in_either_way() {
    let arguments = [OAUTH2_SERVER_PATHS, CONFIDENTIAL].concat();
    for target in [&AUTHLIB_SERVER, &DOORKEEPER] {
        let stage = Stage::new(target);
        let arguments = [&arguments[..], &["--verifier", "off"]].concat();
        let outcome = run(&stage, "clients/x_oauth2.go", &arguments);
        assert_eq!(outcome["ok"], false, "{outcome}");
        assert!(
            outcome["response"]["code"].is_string(),
            "it had a code: {outcome}"
        );
        assert!(
            stage.ledger().token.is_empty(),
            "no request reached the server"
        );
    }
}

#[test]
fn oidc_client_ts_completes_in_a_browser_from_another_origin() {
    completes(&OIDC_PROVIDER, "clients/oidc-client-ts.mjs", &[]);
}

/// The browser hides `DPoP-Nonce` from the application unless CORS exposes it.
#[test]
fn oidc_client_ts_completes_with_dpop_when_the_server_demands_a_nonce() {
    let stage = Stage::new(&OIDC_PROVIDER);
    let outcome = run(&stage, "clients/oidc-client-ts.mjs", &["--dpop", "on"]);
    stage.sent_back(1);
    assert_completed(&stage, &outcome);
    assert_eq!(outcome["token_type"], "DPoP", "{outcome}");
    assert_eq!(stage.ledger().answers(), [400, 200]);
}

/// In a frame of the same site the browser sends its cookies.
#[test]
fn oidc_client_ts_renews_its_tokens_in_a_hidden_frame() {
    let stage = Stage::configured(&OIDC_PROVIDER, HARD);
    stage.keep_out_of_the_log(OTHER_BROWSER.map(str::to_owned));
    let outcome = run(&stage, "clients/oidc-client-ts.mjs", &RENEW);
    assert_completed(&stage, &outcome);
    let renewed = &outcome["renewed"]["tokens"];
    assert!(contains(renewed, "access_token"), "{outcome}");
    stage.granted(1);
}

/// In a frame of another site the browser sends no cookies: the gate cannot identify it, but does not treat it as another
/// browser.
#[test]
fn oidc_client_ts_on_another_site_is_told_to_sign_in_and_does_not_count_as_another_browser() {
    let stage = Stage::new(&OIDC_PROVIDER);
    // The log only says that `hard` would refuse it.
    let [other_browser, _] = OTHER_BROWSER;
    stage.keep_out_of_the_log([other_browser.to_owned()]);
    login_is_required_on_another_site(&stage);
}

#[test]
fn oidc_client_ts_on_another_site_is_told_to_sign_in_where_browsers_are_bound() {
    login_is_required_on_another_site(&Stage::configured(&OIDC_PROVIDER, HARD));
}

fn login_is_required_on_another_site(stage: &Stage) {
    let elsewhere = ["--redirect-uri", stage.redirect_uri_elsewhere()];
    let arguments = [&RENEW[..], &elsewhere].concat();
    let outcome = run(stage, "clients/oidc-client-ts.mjs", &arguments);
    assert_completed(stage, &outcome);
    let renewed = &outcome["renewed"]["error"];
    assert_eq!(renewed, "login_required", "{outcome}");
}

/// jsforce sends a challenge without a method, and a verifier of 171 characters; the operator must allow both.
#[test]
fn jsforce_completes_with_assume_method_and_verifier_max() {
    let client = "id = \"conf\"\nassume_method = \"S256\"\nverifier_max = 256";
    let stage = Stage::with_client(&OAUTH2_SERVER, client);
    let outcome = run(&stage, "clients/jsforce.mjs", &CONFIDENTIAL);
    assert_completed(&stage, &outcome);
    assert_eq!(outcome["verifier_length"], 171);
    assert!(contains(&outcome["refreshed"], "access_token"), "{outcome}");
}

#[test]
fn jsforce_is_refused_without_them() {
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

fn the_second_way_completes(target: &'static Target, first: u16) {
    let stage = Stage::new(target);
    let arguments = [OAUTH2_SERVER_PATHS, CONFIDENTIAL].concat();
    let outcome = run(&stage, "clients/x_oauth2.go", &arguments);
    stage.sent_back(1);
    assert_completed(&stage, &outcome);
    assert_eq!(stage.ledger().answers(), [first, 200]);
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
