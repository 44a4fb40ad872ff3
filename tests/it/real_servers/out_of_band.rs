//! A client without a redirect URI asks for an out-of-band code: Doorkeeper shows it on a page, and the user copies it. The
//! page shows the gate's handle, which needs the verifier like any other.

use crate::support::agent::{Agent, Page, Transcript};
use crate::support::client::{Authorization, assert_refused, assert_token};
use crate::support::http::Request;
use crate::support::params::unguessable;
use crate::support::servers::DOORKEEPER;
use crate::support::stage::Stage;

const OUT_OF_BAND: &str = "urn:ietf:wg:oauth:2.0:oob";

/// Control test.
#[test]
fn without_the_gate_the_code_on_the_page_buys_a_token() {
    let (server, _turn) = DOORKEEPER.profile.borrow();
    let authorization = Authorization::new(OUT_OF_BAND, None).without_challenge();
    let mut user = Agent::new(OUT_OF_BAND, Transcript::default());
    let page = user
        .sign_in(&DOORKEEPER.authorization_url(&server.url, &authorization))
        .page();
    let request = authorization
        .redemption(shown(&page))
        .without("code_verifier");
    assert_token(&Request::post(&DOORKEEPER.token_url(&server.url), request.encoded()).send());
    assert_eq!(server.ledger().codes, [shown(&page)]);
}

#[test]
fn the_page_shows_a_code_that_its_verifier_redeems_once() {
    let stage = Stage::new(&DOORKEEPER);
    let authorization = authorization(&stage);
    let code = read_off(&stage, &authorization);

    let request = authorization.redemption(&code);
    assert_token(&stage.token(&request));
    assert_refused(&stage.token(&request), "invalid_grant");
}

#[test]
fn the_page_shows_the_same_code_when_it_is_reloaded() {
    let stage = Stage::new(&DOORKEEPER);
    let authorization = authorization(&stage);
    let mut user = stage.user();
    let page = user.sign_in(&stage.url(&authorization)).page();
    let reloaded = user.open(&page.url).page();
    assert_eq!(shown(&reloaded), shown(&page));
    assert_token(&stage.token(&authorization.redemption(shown(&reloaded))));
}

#[test]
fn without_its_verifier_the_code_that_the_page_shows_buys_nothing() {
    let stage = Stage::new(&DOORKEEPER);
    let authorization = authorization(&stage);
    let whole = authorization.redemption(&read_off(&stage, &authorization));

    let bare = whole.clone().without("code_verifier");
    let wrong = whole.clone().with("code_verifier", &unguessable());
    let elsewhere = whole.with("redirect_uri", stage.redirect_uri());
    for request in [bare, wrong, elsewhere] {
        assert_refused(&stage.token(&request), "invalid_grant");
    }
    assert!(
        stage.ledger().token.is_empty(),
        "no request reached the server"
    );
}

#[test]
fn without_a_challenge_there_is_no_page_with_a_code() {
    let stage = Stage::new(&DOORKEEPER);
    let authorization = authorization(&stage).without_challenge();
    let page = stage.user().open(&stage.url(&authorization)).page();
    assert_eq!(page.response.status, 400, "{}", page.response);
    assert!(
        stage.ledger().authorize.is_empty(),
        "no request reached the server"
    );
}

fn authorization(stage: &Stage) -> Authorization {
    stage.authorization().with("redirect_uri", OUT_OF_BAND)
}

/// Signs in, and reads the code from the page.
fn read_off(stage: &Stage, authorization: &Authorization) -> String {
    let page = stage.user().sign_in(&stage.url(authorization)).page();
    let code = shown(&page).to_owned();
    assert!(code.starts_with("pgc"), "{}", page.response);
    stage.keep_out_of_the_log([code.clone()]);
    code
}

fn shown(page: &Page) -> &str {
    let text = page.response.text();
    let code = text
        .split_once("<code id=\"authorization_code\">")
        .and_then(|(_, rest)| rest.split_once("</code>"));
    code.unwrap_or_else(|| panic!("no code at {}: {}", page.url, page.response))
        .0
}
