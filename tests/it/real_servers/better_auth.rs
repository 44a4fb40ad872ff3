//! better-auth: login and consent pages are an application that gets the next URL in JSON, at last with the code.

use serde_json::{Value, json};

use crate::support::client::Authorization;
use crate::support::http::{Request, Response};
use crate::support::params::{Params, decode, unguessable};
use crate::support::rig::Jar;
use crate::support::servers::BETTER_AUTH;
use crate::support::stage::Stage;

pub(crate) const RULES: &str = "
[upstream.pkce]
code_in_json = [
    { path = \"/api/auth/sign-in/email\", pointer = \"/url\" },
    { path = \"/api/auth/oauth2/consent\", pointer = \"/url\" },
]
";

fn stage() -> Stage {
    Stage::configured(&BETTER_AUTH, RULES)
}

/// The client that the server does not ask for PKCE.
fn authorization(stage: &Stage) -> Authorization {
    stage.authorization().with("client_id", "conf")
}

fn redemption(authorization: &Authorization, code: &str) -> Params {
    let redemption = authorization.redemption(code).with("client_id", "conf");
    redemption.with("client_secret", "sekrit")
}

/// Posts JSON as the application does, which follows the URL in the answer.
fn post(stage: &Stage, jar: &mut Jar, path: &str, body: &Value) -> Response {
    let url = format!("{}/api/auth{path}", stage.gate_url());
    let request = Request {
        method: "POST",
        body: body.to_string(),
        ..Request::get(&url)
    };
    let response = request
        .header("Content-Type", "application/json")
        .header("Origin", stage.gate_url())
        .header("Cookie", jar.cookies())
        .send();
    jar.keep(&response);
    response
}

/// Signs in and consents. Returns the answer with the redirect URI.
fn consent(stage: &Stage, authorization: &Authorization) -> Response {
    let mut jar = Jar::default();
    let get = |jar: &mut Jar, url: &str| {
        let response = Request::get(url).header("Cookie", jar.cookies()).send();
        jar.keep(&response);
        response.header("location").expect("a redirect").to_owned()
    };
    let entry = get(&mut jar, &stage.url(authorization));
    let login = get(&mut jar, &format!("{}{entry}", stage.gate_url()));
    let query = |url: &str| url.split_once('?').expect("a query").1.to_owned();
    let credentials = json!({
        "email": "alice@example.com",
        "password": "password",
        "oauth_query": query(&login),
    });
    let next = post(stage, &mut jar, "/sign-in/email", &credentials).json();
    let page = next["url"].as_str().expect("the page of consent");
    assert!(
        page.contains("pgs"),
        "the sign-in goes on with its handle: {page}"
    );
    let yes = json!({ "accept": true, "oauth_query": query(page) });
    post(stage, &mut jar, "/oauth2/consent", &yes)
}

fn params_of(url: &str) -> Params {
    let pairs = url.split_once('?').expect("a query").1.split('&');
    let pairs = pairs.filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

#[test]
fn a_code_in_json_needs_its_verifier_and_works_once() {
    let stage = stage();
    let authorization = authorization(&stage);
    let answer = consent(&stage, &authorization);
    let url = answer.json()["url"].as_str().expect("a URL").to_owned();
    assert!(url.starts_with(stage.redirect_uri()), "{url}");
    let params = params_of(&url);
    assert_eq!(params.get("state"), authorization.state());
    let code = params.get("code").expect("a code");
    let right = redemption(&authorization, code);
    let wrong = [
        right.clone().without("code_verifier"),
        right.clone().with("code_verifier", &unguessable()),
        right
            .clone()
            .with("client_id", "pub")
            .without("client_secret"),
        right.clone().with("code", &stage.ledger().codes[0]),
    ];
    stage.redeems_only(&right, &wrong);
}

/// The server itself asks this client for no challenge.
#[test]
fn without_a_challenge_the_sign_in_does_not_begin() {
    let stage = stage();
    let bare = authorization(&stage).without_challenge();
    let refused = Request::get(&stage.url(&bare)).send();
    assert_eq!(refused.status, 400, "{refused}");
    assert!(stage.ledger().authorize.is_empty());
}
