//! Headless sign-ins (Salesforce): `response_type=code_credentials` with the user's credentials at the authorization endpoint. The
//! code comes in a redirect, or at an endpoint of the server's that repeats it in JSON.

use pkce_gate::parts::Purpose;

use crate::support::client::{Authorization, assert_refused, assert_token};
use crate::support::http::Response;
use crate::support::params::unguessable;
use crate::support::rig::{Rig, authorization_response};
use crate::support::scripted::{Act, Shape, Then, json as json_reply};
use crate::support::store::is_handle;

const LISTED: &str = "response_types = [\"code\", \"code_credentials\"]";
const BASIC: &str = "Basic YWxpY2U6cGFzcw==";

fn authorization(rig: &Rig) -> Authorization {
    rig.authorization()
        .with("response_type", "code_credentials")
}

/// With the credentials in a field, and in the form.
fn both(rig: &Rig, authorization: &Authorization) -> [Response; 2] {
    let form = authorization.params.encoded();
    let fields = [
        ("Authorization", BASIC),
        ("Auth-Request-Type", "Named-User"),
    ];
    let in_form = format!("{form}&username=alice&password=p%26s");
    [
        rig.post("/authorize", &fields, &form),
        rig.post("/authorize", &[], &in_form),
    ]
}

#[test]
fn a_headless_sign_in_is_rewritten_in_place_and_bound() {
    let rig = Rig::pkce(LISTED);
    let authorization = authorization(&rig);
    for (at, response) in both(&rig, &authorization).into_iter().enumerate() {
        assert_eq!(response.status, 302, "{response}");
        let found = authorization_response(&response, &authorization).expect("an answer");
        assert_eq!(found.params.get("state"), authorization.state());
        assert!(is_handle(Purpose::Code, found.code()), "{response}");
        let sent = rig.upstream.requests_to("/authorize").remove(at);
        let form = sent.form();
        assert_eq!(sent.method(), "POST");
        assert_eq!(form.get("response_type"), Some("code_credentials"));
        assert_eq!(
            form.get("code_challenge"),
            authorization.params.get("code_challenge")
        );
        assert_ne!(form.get("state"), authorization.state());
        if at == 0 {
            assert_eq!(sent.header("authorization"), Some(BASIC));
            assert_eq!(sent.header("auth-request-type"), Some("Named-User"));
        } else {
            assert_eq!(form.get("password"), Some("p&s"));
        }
        let right = authorization.redemption(found.code());
        assert_refused(
            &rig.token(&right.clone().without("code_verifier")),
            "invalid_grant",
        );
        assert_token(&rig.redeem(&authorization, found.code()));
        assert_refused(&rig.token(&right), "invalid_grant");
    }
}

#[test]
fn a_headless_sign_in_needs_a_challenge_and_its_place_in_response_types() {
    let rig = Rig::pkce(LISTED);
    for response in both(&rig, &authorization(&rig).without_challenge()) {
        assert_eq!(response.status, 400, "{response}");
    }
    assert!(rig.upstream.ledger().is_empty());
    let rig = Rig::new();
    for response in both(&rig, &authorization(&rig)) {
        assert_eq!(response.status, 400, "{response}");
    }
    assert!(rig.upstream.ledger().is_empty());
}

/// The client follows the redirect to an endpoint of the server, which repeats its query in JSON.
#[test]
fn an_echo_of_the_redirect_repeats_the_handle() {
    let rig = Rig::pkce(LISTED);
    let uri = "http://gate.test/services/oauth2/echo";
    let authorization = authorization(&rig).with("redirect_uri", uri);
    let [response, _] = both(&rig, &authorization);
    let location = response.header("location").expect("a redirect").to_owned();
    let (_, target) = location.split_once("gate.test").expect("at the gate");
    let query = target.split_once('?').expect("a query").1;
    let code = crate::support::params::Params::from_query(query)
        .get("code")
        .unwrap()
        .to_owned();
    let echo = json_reply(
        "200 OK",
        &serde_json::json!({ "code": code, "sfdc_community_id": "0" }),
    );
    rig.upstream
        .once("/services/oauth2/echo", Act::Say(echo, Then::GoOn));
    let echoed = rig.get(target);
    assert_eq!(echoed.status, 200, "{echoed}");
    assert_eq!(echoed.json()["code"], *code);
    rig.vouch(&authorization);
    assert_token(&rig.token(&authorization.redemption(&code)));
}

#[test]
fn a_code_in_the_json_answer_to_a_headless_sign_in_is_replaced_where_that_is_configured() {
    for correlation in ["state", "cookie"] {
        let place = "code_in_json = [{ path = \"/authorize\", pointer = \"/code\" }]";
        let rig = Rig::pkce(&format!(
            "{LISTED}\n{place}\ncorrelation = \"{correlation}\""
        ));
        rig.upstream.answer_with(Shape::JsonCode);
        let authorization = authorization(&rig);
        for response in both(&rig, &authorization) {
            assert_eq!(response.status, 200, "{response}");
            let document = response.json();
            let code = document["code"].as_str().expect("a code");
            assert!(is_handle(Purpose::Code, code), "{response}");
            let right = authorization.redemption(code);
            for wrong in [
                right.clone().without("code_verifier"),
                right.clone().with("code_verifier", &unguessable()),
            ] {
                assert_refused(&rig.token(&wrong), "invalid_grant");
            }
            assert_token(&rig.redeem(&authorization, code));
            assert_refused(&rig.token(&right), "invalid_grant");
        }
    }
}

#[test]
fn a_code_in_the_json_answer_to_a_headless_sign_in_is_refused() {
    let rig = Rig::pkce(LISTED);
    rig.upstream.answer_with(Shape::JsonCode);
    for response in both(&rig, &authorization(&rig)) {
        assert_eq!(response.status, 502, "{response}");
        for code in rig.upstream.codes() {
            assert!(!response.text().contains(&code), "{response}");
        }
    }
}
