//! Home Assistant: a login page that is an application, gets the code in JSON and builds the redirect itself.

use serde_json::{Value, json};

use crate::support::client::{Authorization, assert_refused, assert_token};
use crate::support::http::{Request, Response};
use crate::support::params::{Params, s256, unguessable};
use crate::support::rig::Jar;
use crate::support::servers::HOME_ASSISTANT;
use crate::support::stage::Stage;

/// Home Assistant answers to any client whose redirect URI is at its own origin.
const RULES: &str = "
[upstream.pkce]
correlation = \"cookie\"
code_in_json = [{ path = \"/auth/login_flow/*\", pointer = \"/result\" }]
";

fn stage() -> Stage {
    Stage::configured(&HOME_ASSISTANT, RULES)
}

fn client_id(stage: &Stage) -> String {
    let uri = stage.redirect_uri();
    uri.strip_suffix("cb").expect("ends with /cb").to_owned()
}

fn authorization(stage: &Stage) -> Authorization {
    let id = client_id(stage);
    stage.authorization().with("client_id", &id)
}

fn redemption(stage: &Stage, authorization: &Authorization, code: &str) -> Params {
    let redemption = authorization.redemption(code);
    redemption.with("client_id", &client_id(stage))
}

/// Signs in with the requests of the login page, without a browser. Returns the answer to the last step.
fn log_in(stage: &Stage, jar: &mut Jar, authorization: &Authorization, page: &str) -> Response {
    let base = stage.gate_url();
    let post = |jar: &mut Jar, path: &str, step: &Value| {
        let url = format!("{base}{path}");
        let request = Request {
            method: "POST",
            body: step.to_string(),
            ..Request::get(&url)
        };
        let request = request
            .header("Content-Type", "application/json")
            .header("Cookie", jar.cookies())
            .header("Referer", page);
        let response = request.send();
        jar.keep(&response);
        response
    };
    let begin = json!({
        "client_id": client_id(stage),
        "handler": ["homeassistant", null],
        "redirect_uri": authorization.params.get("redirect_uri"),
    });
    let flow = post(jar, "/auth/login_flow", &begin).json()["flow_id"].clone();
    let flow = flow.as_str().expect("a login flow");
    let step = json!({ "username": "alice", "password": "pass", "client_id": client_id(stage) });
    post(jar, &format!("/auth/login_flow/{flow}"), &step)
}

/// Opens the authorization URL. Returns the URL in the address bar.
fn open(stage: &Stage, jar: &mut Jar, authorization: &Authorization) -> String {
    let url = stage.url(authorization);
    let entered = Request::get(&url).header("Cookie", jar.cookies()).send();
    assert_eq!(entered.status, 303, "{entered}");
    jar.keep(&entered);
    let address = entered.header("location").expect("a Location");
    let address = format!("{}{address}", stage.gate_url());
    let page = Request::get(&address)
        .header("Cookie", jar.cookies())
        .send();
    assert!(page.text().contains("ha-authorize"), "{page}");
    address
}

#[test]
fn two_tabs_in_chromium_get_codes_that_their_verifiers_redeem() {
    let stage = stage();
    let both = [(); 2].map(|()| authorization(&stage));
    let urls = both.each_ref().map(|one| stage.url(one));
    let report = stage.run(
        "browser/home_assistant.mjs",
        &["--url", &urls[0], "--url", &urls[1]],
    );
    let codes = both.each_ref().map(|one| {
        let responses = report["responses"].as_array().expect("responses").iter();
        let mut own = responses.filter(|response| response["state"].as_str() == one.state());
        let response = own.next().expect("the client's own state");
        let code = response["code"].as_str().expect("a code");
        assert!(code.starts_with("pgc"), "{response}");
        code.to_owned()
    });
    assert_refused(
        &stage.token(&redemption(&stage, &both[0], &codes[1])),
        "invalid_grant",
    );
    for (one, code) in both.iter().zip(&codes) {
        assert_token(&stage.token(&redemption(&stage, one, code)));
    }
}

#[test]
fn a_code_needs_its_verifier_and_its_client_and_works_once() {
    let stage = stage();
    let mut jar = Jar::default();
    let authorization = authorization(&stage);
    let page = open(&stage, &mut jar, &authorization);
    let answer = log_in(&stage, &mut jar, &authorization, &page);
    let code = answer.json()["result"].as_str().expect("a code").to_owned();
    let right = redemption(&stage, &authorization, &code);
    let wrong = [
        right.clone().without("code_verifier"),
        right.clone().with("code_verifier", &unguessable()),
        right.clone().with("client_id", "http://127.0.0.1:1/"),
        right.clone().with("code", &stage.ledger().codes[0]),
    ];
    stage.redeems_only(&right, &wrong);
}

#[test]
fn without_a_challenge_or_without_its_cookie_there_is_no_code() {
    let stage = stage();
    let bare = authorization(&stage).without_challenge();
    let refused = Request::get(&stage.url(&bare)).send();
    assert_eq!(refused.status, 400, "{refused}");
    assert!(refused.text().contains("code_challenge"), "{refused}");
    // The login flow without an authorization request, in a browser without cookies: Home Assistant issues a code.
    let refused = log_in(&stage, &mut Jar::default(), &bare, "http://127.0.0.1/");
    assert_eq!(refused.status, 502, "{refused}");
    let code = &stage.ledger().codes[0];
    assert!(!refused.text().contains(code.as_str()), "{refused}");
    let stolen = redemption(&stage, &bare, code);
    assert_refused(&stage.token(&stolen), "invalid_grant");
    // A thief who has the code from elsewhere begins a sign-in of their own: it does not become theirs.
    let own = authorization(&stage).with("code_challenge", &s256(&bare.verifier));
    let mut jar = Jar::default();
    open(&stage, &mut jar, &own);
    assert_refused(&stage.token(&stolen), "invalid_grant");
}
