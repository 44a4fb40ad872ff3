//! The client's `state` comes back unchanged, although the server never sees it.

use crate::real_servers::on_every_server;
use crate::support::agent::{Agent, Place, Transcript};
use crate::support::client::{Authorization, assert_token};
use crate::support::servers::{DJANGO_OAUTH_TOOLKIT, Target};
use crate::support::stage::Stage;
use crate::support::store::longest_handle;

on_every_server! {
    an_absent_state_stays_absent,
    one_byte_comes_back,
    five_hundred_and_twelve_bytes_come_back,
    two_thousand_bytes_come_back,
}

fn an_absent_state_stays_absent(target: &'static Target) {
    comes_back(target, None);
}

fn one_byte_comes_back(target: &'static Target) {
    comes_back(target, Some("&"));
}

fn five_hundred_and_twelve_bytes_come_back(target: &'static Target) {
    comes_back(target, Some(&awkward(512)));
}

fn two_thousand_bytes_come_back(target: &'static Target) {
    comes_back(target, Some(&awkward(2000)));
}

#[test]
fn two_thousand_bytes_are_too_much_for_django_oauth_toolkit_without_the_gate() {
    let target = &DJANGO_OAUTH_TOOLKIT;
    let (server, _turn) = target.profile.borrow();
    let authorization =
        Authorization::new(&server.redirect_uri, None).with("state", &awkward(2000));

    let mut user = Agent::new(&server.redirect_uri, Transcript::default());
    let place = user.sign_in(&target.authorization_url(&server.url, &authorization));
    assert!(
        matches!(place, Place::Page(_)),
        "its login forgets where to go: {place:?}"
    );
}

fn comes_back(target: &'static Target, sent: Option<&str>) {
    let stage = Stage::new(target);
    let authorization = match sent {
        Some(text) => stage.authorization().with("state", text),
        None => stage.authorization().without("state"),
    };
    let telling = sent.filter(|text| text.len() > 1); // a log contains any single byte by chance
    stage.keep_out_of_the_log(telling.map(str::to_owned));

    let url = stage.url(&authorization);
    let response = stage.user().sign_in(&url).client();
    assert_eq!(response.params.get("state"), sent);

    // The authorization request at the server is longer than the client's by a handle at most.
    let handle = "&state=".len() + longest_handle();
    let allowed = url.len() - stage.gate_url().len() + handle;
    for seen in stage.ledger().authorize {
        let length = format!("{}?{}", seen.path, seen.query).len();
        assert!(length <= allowed, "{length} bytes, not {allowed}: {seen:?}");
    }
    assert_token(&stage.token(&authorization.redemption(response.code())));
}

/// Characters that some encoding on the way could change.
fn awkward(bytes: usize) -> String {
    let mut text = r#"&=+%# é"'<>/?;%26\"#.repeat(bytes);
    text.truncate(text.floor_char_boundary(bytes));
    while text.len() < bytes {
        text.push('x');
    }
    text
}
