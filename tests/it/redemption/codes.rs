//! Codes and sign-ins: their number, their lifetime, and the characters in the upstream's codes.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

use pkce_gate::parts::Purpose;

use super::assert_page;
use crate::support::client::{assert_refused, assert_token};
use crate::support::http::Response;
use crate::support::rig::{Config, REDIRECT_URI, Rig, authorization_response, handle_of, request};
use crate::support::scripted::{Act, Shape, Then, reply};
use crate::support::store::is_handle;

/// The shortest lifetime that can be configured, and a little more.
const EXPIRY: &str = "10s";
const EXPIRED: Duration = Duration::from_millis(10_500);

#[track_caller]
fn code_in(response: &Response, rig: &Rig) -> String {
    let answer = authorization_response(response, &rig.authorization());
    answer
        .unwrap_or_else(|| panic!("no code: {response}"))
        .code()
        .to_owned()
}

#[test]
fn a_sign_in_yields_five_codes_at_most_and_each_of_them_works() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    let entry = rig.entry(&authorization);
    let codes: Vec<_> = (0..5).map(|_| code_in(&rig.get(&entry), &rig)).collect();
    assert_page(&rig.get(&entry), 502, "unbound_code_in_response");

    assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), 5);
    for code in codes.iter().rev() {
        assert_token(&rig.redeem(&authorization, code));
    }
    let redeemed: BTreeSet<_> = rig
        .upstream
        .redemptions()
        .into_iter()
        .map(|seen| seen.code)
        .collect();
    assert_eq!(redeemed.len(), 5, "each handle belongs to another code");
}

#[test]
fn codes_and_sign_ins_expire() {
    let store = format!("code = \"{EXPIRY}\"\npending = \"{EXPIRY}\"");
    let rig = Rig::with(Config {
        store: &store,
        ..Config::default()
    });
    let (authorization, other, late) = (
        rig.authorization(),
        rig.authorization(),
        rig.authorization(),
    );
    let code = rig.code_for(&authorization);
    let entry = rig.entry(&other);
    let late_entry = rig.entry(&late);
    let feed = rig.upstream.feed("/authorize");
    let mut slow = rig.connect();
    slow.send(&request("GET", &late_entry, &[], None));
    rig.upstream.wait_until(|ledger| ledger.len() == 2);

    sleep(EXPIRED);
    assert_refused(
        &rig.token(&authorization.redemption(&code)),
        "invalid_grant",
    );
    assert_page(&rig.get(&entry), 400, "expired");
    assert_eq!(
        rig.upstream.ledger().len(),
        2,
        "no request reached the upstream"
    );

    // The sign-in has expired when the answer arrives, so its code cannot be bound.
    let handle = rig.upstream.ledger()[1].query_params();
    let location = format!(
        "{REDIRECT_URI}?code=too-late-for-this&state={}",
        handle.get("state").expect("a state")
    );
    feed.send(reply("302 Found", &[("Location", &location)], b""))
        .expect("the feed is open");
    let answer = slow.response();
    rig.receive(&answer);
    assert_page(&answer, 502, "unbound_code_in_response");
}

#[test]
fn two_codes_in_one_answer_are_not_delivered_and_end_the_sign_in() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    let entry = rig.entry(&authorization);
    let state = handle_of(&entry);
    let location = format!("{REDIRECT_URI}?code=aaaaaaaaaa&code=bbbbbbbbbb&state={state}");
    rig.upstream.once(
        "/authorize",
        Act::Say(
            reply("302 Found", &[("Location", &location)], b""),
            Then::GoOn,
        ),
    );
    let response = rig.get(&entry);
    assert_page(&response, 502, "unbound_code_in_response");
    assert!(!response.text().contains("aaaaaaaaaa"), "{response}");
    assert_page(&rig.get(&entry), 400, "expired");
}

#[test]
fn a_code_of_any_characters_reaches_the_upstream_as_it_was_issued() {
    let rig = Rig::new();
    for issued in [
        "a+b/c==d&e",
        "4/0AX4XfWh%2F~.-_",
        "code with blanks",
        "é✓-unicode-code",
        "\"quoted\"<code>",
    ] {
        for shape in [
            Shape::Query(302),
            Shape::Fragment(303),
            Shape::QueryAndBody,
            Shape::FormPost,
        ] {
            let authorization = rig.authorization();
            if shape == Shape::FormPost && issued.contains('"') {
                continue; // the scripted upstream does not escape HTML
            }
            let issued = &format!("{issued}{shape:?}");
            rig.upstream.issue(issued);
            rig.upstream.answer_with(shape);
            let code = rig.code_for(&authorization);
            assert!(is_handle(Purpose::Code, &code), "{code}");
            assert_token(&rig.redeem(&authorization, &code));
            let seen = rig
                .upstream
                .requests_to("/token")
                .pop()
                .expect("it was forwarded");
            assert_eq!(seen.form().get("code"), Some(issued.as_str()));
            assert_eq!(
                seen.header("content-length"),
                Some(seen.body.len().to_string().as_str())
            );
        }
    }
}

#[test]
fn the_state_comes_back_and_the_code_is_replaced_in_every_ordinary_shape() {
    let rig = Rig::new();
    for shape in [
        Shape::Query(301),
        Shape::Query(302),
        Shape::Query(303),
        Shape::Query(307),
        Shape::Query(308),
        Shape::Fragment(302),
        Shape::QueryAndBody,
        Shape::FormPost,
    ] {
        rig.upstream.answer_with(shape);
        let authorization = rig.authorization().with("state", "s&t=%41+ é\"<'");
        let answer = rig.sign_in(&authorization);
        assert_eq!(
            answer.params.get("state"),
            authorization.state(),
            "{shape:?}"
        );
        assert_eq!(answer.params.iter().count(), 2, "{shape:?} {answer:?}");
        assert_token(&rig.redeem(&authorization, answer.code()));
    }
}

/// A carrier that the gate does not know fails closed: the gate detects the code, and whatever the client receives of it is
/// worthless.
#[test]
fn a_code_in_an_unknown_carrier_is_worthless() {
    for shape in [
        Shape::Json,
        Shape::JsonCode,
        Shape::Link,
        Shape::MetaRefresh,
        Shape::Script,
        Shape::Refresh,
    ] {
        let rig = Rig::new();
        rig.upstream.answer_with(shape);
        let authorization = rig.authorization();
        let response = rig.get(&rig.entry(&authorization));
        assert_page(&response, 502, "unbound_code_in_response");
        let raw = rig.upstream.codes().remove(0);
        let response = rig.token(&authorization.redemption(&raw));
        assert_refused(&response, "invalid_grant");
        assert_eq!(rig.forwarded(), 0, "{shape:?}");
    }
}

#[test]
fn a_handle_works_for_its_own_sign_in_only() {
    let rig = Rig::new();
    let (one, other) = (rig.authorization(), rig.authorization());
    let (first, second) = (rig.code_for(&one), rig.code_for(&other));
    assert_refused(&rig.token(&one.redemption(&second)), "invalid_grant");
    assert_refused(&rig.token(&other.redemption(&first)), "invalid_grant");
    assert_token(&rig.redeem(&one, &first));
    assert_token(&rig.redeem(&other, &second));
}
