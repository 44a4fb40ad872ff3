//! Control test: without the gate these servers issue tokens without PKCE. Otherwise the other tests would prove nothing.

use super::on_every_server;
use crate::support::agent::{Agent, Transcript};
use crate::support::client::{Authorization, assert_token};
use crate::support::http::Request;
use crate::support::servers::Target;

on_every_server! {
    without_the_gate_a_code_alone_buys_a_token,
}

fn without_the_gate_a_code_alone_buys_a_token(target: &'static Target) {
    let (server, _turn) = target.profile.borrow();
    let authorization =
        Authorization::new(&server.redirect_uri, target.response_mode).without_challenge();

    let mut user = Agent::new(&server.redirect_uri, Transcript::default());
    let response = user
        .sign_in(&target.authorization_url(&server.url, &authorization))
        .client();
    assert_eq!(response.params.get("state"), authorization.state());

    let request = authorization
        .redemption(response.code())
        .without("code_verifier");
    assert_token(&Request::post(&target.token_url(&server.url), request.encoded()).send());

    let ledger = server.ledger();
    assert_eq!(
        ledger.codes,
        [response.code()],
        "the ledger has the issued code"
    );
    assert_eq!(ledger.redemptions().len(), 1, "and the redemption");
}
