//! Users mistype, click twice, reload and come back. The sign-in must still succeed.

use super::on_every_server;
use crate::support::agent::{AuthorizationResponse, Place};
use crate::support::client::{Authorization, assert_token};
use crate::support::servers::{DJANGO_ALLAUTH, DOORKEEPER, Target};
use crate::support::stage::Stage;

on_every_server! { with pages:
    a_wrong_password_first,
    a_form_sent_twice,
    a_page_reloaded,
    a_second_login_with_a_live_session,
    two_logins_at_the_same_time,
}

fn a_wrong_password_first(target: &'static Target) {
    let stage = Stage::new(target);
    let authorization = stage.authorization();

    let mut user = stage.user();
    let login = user.open(&stage.url(&authorization)).page();
    let place = user.answer(&login, "wrong");
    redeem(&stage, &authorization, &user.finish(place).client());
}

/// Login and consent are each sent twice, one after the other. Every code that reaches the client must work, and there is at
/// least one.
fn a_form_sent_twice(target: &'static Target) {
    let stage = Stage::new(target);
    let authorization = stage.authorization();

    let mut user = stage.user();
    let mut place = user.open(&stage.url(&authorization));
    let mut responses = Vec::new();
    while let Place::Page(page) = place {
        place = user.answer(&page, "pass");
        responses.extend(arrived(&place));
        responses.extend(arrived(&user.answer(&page, "pass")));
    }
    assert!(!responses.is_empty());
    for response in responses {
        redeem(&stage, &authorization, &response);
    }
}

fn a_page_reloaded(target: &'static Target) {
    let stage = Stage::new(target);
    let authorization = stage.authorization();

    let mut user = stage.user();
    let mut place = user.open(&stage.url(&authorization));
    while let Place::Page(page) = place {
        let reloaded = user.open(&page.url).page();
        place = user.answer(&reloaded, "pass");
    }
    redeem(&stage, &authorization, &place.client());
}

fn a_second_login_with_a_live_session(target: &'static Target) {
    let stage = Stage::new(target);
    let mut user = stage.user();
    for authorization in [stage.authorization(), stage.authorization()] {
        redeem(
            &stage,
            &authorization,
            &user.sign_in(&stage.url(&authorization)).client(),
        );
    }
}

/// Both requests are sent before either is answered. Each response has its own state, and a code for its own verifier.
fn two_logins_at_the_same_time(target: &'static Target) {
    let stage = Stage::new(target);
    let started = [stage.authorization(), stage.authorization()].map(|authorization| {
        let mut user = stage.user();
        let place = user.open(&stage.url(&authorization));
        (authorization, user, place)
    });
    for (authorization, mut user, place) in started {
        redeem(&stage, &authorization, &user.finish(place).client());
    }
}

#[test]
fn a_user_who_declines_at_doorkeeper_returns_to_the_client_without_a_code() {
    a_refused_consent(&DOORKEEPER);
}

#[test]
fn a_user_who_declines_at_django_allauth_returns_to_the_client_without_a_code() {
    a_refused_consent(&DJANGO_ALLAUTH);
}

/// The refusal goes to the authorization path, like a consent.
fn a_refused_consent(target: &'static Target) {
    let stage = Stage::new(target);
    let authorization = stage.authorization();
    let mut user = stage.user();
    let login = user.open(&stage.url(&authorization)).page();
    let consent = user.answer(&login, "pass").page();
    let response = user.decline(&consent).client();
    assert_eq!(response.params.get("error"), Some("access_denied"));
    assert_eq!(response.params.get("state"), authorization.state());
    assert_eq!(response.params.get("code"), None);
    assert_eq!(stage.ledger().codes, Vec::<String>::new());
}

fn arrived(place: &Place) -> Option<AuthorizationResponse> {
    match place {
        Place::Client(response) if response.params.get("code").is_some() => Some(response.clone()),
        Place::Client(_) | Place::Page(_) => None,
    }
}

fn redeem(stage: &Stage, authorization: &Authorization, response: &AuthorizationResponse) {
    assert_eq!(response.params.get("state"), authorization.state());
    assert_token(&stage.token(&authorization.redemption(response.code())));
}
