//! If a server refuses a redemption because it wants another client authentication, it has not redeemed the code: the code can
//! be used again, only with its verifier.

use crate::support::client::{Authorization, access_token, assert_refused, assert_token};
use crate::support::params::{Params, unguessable};
use crate::support::servers::{AUTHLIB_SERVER, DOORKEEPER, Target};
use crate::support::stage::Stage;

const CLIENT: (&str, &str) = ("conf", "sekrit");

#[test]
fn authlib_wants_the_secret_in_the_form_and_answers_400() {
    the_second_way_buys_a_token(&AUTHLIB_SERVER, 400);
}

#[test]
fn doorkeeper_wants_the_secret_in_the_form_and_answers_401() {
    the_second_way_buys_a_token(&DOORKEEPER, 401);
}

fn the_second_way_buys_a_token(target: &'static Target, status: u16) {
    let stage = Stage::new(target);
    let authorization = stage.authorization().with("client_id", CLIENT.0);
    let whole = redemption(&authorization, &stage.code_for(&authorization));

    let first = stage.token_with_basic(CLIENT, &whole.clone().without("client_id"));
    assert_eq!(first.status, status, "{first}");
    assert_eq!(first.json()["error"], "invalid_client", "{first}");
    assert_eq!(access_token(&first), None, "{first}");
    stage.sent_back(1);

    let second = whole.with("client_secret", CLIENT.1);
    let bare = second.clone().without("code_verifier");
    let wrong = second.clone().with("code_verifier", &unguessable());
    assert_refused(&stage.token(&bare), "invalid_grant");
    assert_refused(&stage.token(&wrong), "invalid_grant");
    assert_token(&stage.token(&second));
    assert_refused(&stage.token(&second), "invalid_grant");
    assert_eq!(stage.ledger().answers(), [status, 200]);
}

fn redemption(authorization: &Authorization, code: &str) -> Params {
    authorization.redemption(code).with("client_id", CLIENT.0)
}
