//! `codes = "upstream"` under enforce: nothing on the wire is rewritten, and yet no code is redeemed without its verifier.

use super::assert_page;
use crate::support::client::{assert_refused, assert_token};
use crate::support::http::{Request, Response};
use crate::support::params::{s256, unguessable};
use crate::support::rig::{Rig, authorization_response, cookie_of, target};
use crate::support::scripted::Shape;

/// The upstream's own codes are meant to travel here, so the rig does not look for them.
fn rig() -> Rig {
    Rig::pkce("codes = \"upstream\"").unguarded()
}

#[track_caller]
fn assert_nothing_unverified(rig: &Rig) {
    let unverified = rig.upstream.redemptions_without_verified_verifier();
    assert!(unverified.is_empty(), "{unverified:#?}");
}

#[test]
fn nothing_is_rewritten_and_the_verifier_is_checked() {
    let rig = rig();
    let authorization = rig.authorization();
    let answer = rig.sign_in(&authorization);
    assert_eq!(rig.upstream.ledger()[0].target(), target(&authorization));
    assert_eq!(answer.code(), rig.upstream.codes()[0]);
    assert_eq!(answer.params.get("state"), authorization.state());

    let right = authorization.redemption(answer.code());
    for wrong in [
        right.clone().with("code_verifier", &unguessable()),
        right.clone().without("code_verifier"),
        right.clone().with("client_id", "other"),
        right.clone().with("redirect_uri", "https://evil.test/cb"),
    ] {
        assert_refused(&rig.token(&wrong), "invalid_grant");
    }
    assert_eq!(rig.forwarded(), 0);
    let body = right.encoded().replace("&client_id", "&x=%7e&&client_id");
    rig.vouch(&authorization);
    assert_token(&rig.post("/token", &[], &body));
    assert_eq!(rig.upstream.requests_to("/token")[0].text(), body);
    assert_refused(&rig.token(&right), "invalid_grant");
    assert_nothing_unverified(&rig);
}

/// The hashes in an `id_token` are made of the code and the state that the upstream has; `check` warns where the client gets others.
#[test]
fn a_hybrid_response_has_the_code_and_the_state_that_its_id_token_was_signed_over() {
    for (codes, fits) in [("upstream", true), ("handle", false)] {
        let types = "response_types = [\"code\", \"code id_token\"]";
        let rig = Rig::pkce(&format!("codes = \"{codes}\"\n{types}")).unguarded();
        let authorization = rig.authorization().with("response_type", "code id_token");
        let answer = rig.sign_in(&authorization);
        assert!(answer.params.get("id_token").is_some());
        assert_eq!(answer.code() == rig.upstream.codes()[0], fits, "{codes}");
        let asked = rig.upstream.ledger()[0].target() == target(&authorization);
        assert_eq!(asked, fits, "{codes}");
    }
}

#[test]
fn without_a_challenge_there_is_no_sign_in() {
    let rig = rig();
    let authorization = rig.authorization().without_challenge();
    assert_page(&rig.enter(&authorization), 400, "missing_challenge");
    assert!(rig.upstream.ledger().is_empty());
}

#[test]
fn a_code_that_did_not_come_through_the_gate_buys_nothing() {
    let rig = rig();
    let authorization = rig.authorization();
    rig.upstream.issue("somebody-elses-code");
    let elsewhere =
        Request::get(&format!("{}{}", rig.upstream.url(), target(&authorization))).send();
    assert_eq!(elsewhere.status, 302);
    let request = authorization.redemption("somebody-elses-code");
    assert_refused(&rig.token(&request), "invalid_grant");
    assert_eq!(rig.forwarded(), 0);
}

#[test]
fn every_ordinary_shape_is_bound() {
    let rig = rig();
    for shape in [
        Shape::Query(302),
        Shape::Query(303),
        Shape::Query(307),
        Shape::Fragment(302),
        Shape::QueryAndBody,
        Shape::FormPost,
    ] {
        rig.upstream.answer_with(shape);
        let authorization = rig.authorization();
        let answer = rig.sign_in(&authorization);
        assert_token(&rig.redeem(&authorization, answer.code()));
    }
    assert_nothing_unverified(&rig);
}

/// The login goes on in another request than the one that began it: under `hard` only the browser's cookie ties the two.
#[test]
fn a_sign_in_goes_on_in_the_browser_that_began_it_and_in_no_other() {
    let rig = Rig::pkce("codes = \"upstream\"\nbrowser_binding = \"hard\"").unguarded();
    rig.upstream.answer_with(Shape::Login);
    let authorization = rig.authorization();
    let page = rig.enter(&authorization);
    assert_eq!(page.status, 200, "{page}");
    let cookie = cookie_of(&page).expect("a cookie");
    let other = cookie_of(&rig.enter(&rig.authorization())).expect("a cookie");
    assert_ne!(cookie, other);
    let login = format!(
        "/authorize?state={}",
        authorization.state().expect("a state")
    );

    for fields in [
        vec![],
        vec![("Cookie", other.as_str())],
        vec![("Cookie", "pkce-gate=x")],
    ] {
        let response = rig.post(&login, &fields, "user=u&password=p");
        assert_page(&response, 502, "unbound_code_in_response");
        let leaked = rig.upstream.codes().pop().expect("a code was issued");
        assert!(!response.text().contains(&leaked));
        assert_refused(
            &rig.token(&authorization.redemption(&leaked)),
            "invalid_grant",
        );
    }
    let response = rig.post(&login, &[("Cookie", &cookie)], "user=u&password=p");
    let answer = authorization_response(&response, &authorization).expect("an answer");
    assert_token(&rig.redeem(&authorization, answer.code()));
    assert_nothing_unverified(&rig);
}

/// Whoever can make two requests with one state (an attacker who has seen the victim's) gains nothing: neither challenge
/// counts any more.
#[test]
fn two_challenges_under_one_state_kill_both() {
    let rig = rig();
    rig.upstream.answer_with(Shape::Login);
    let victim = rig.authorization();
    let page = rig.enter(&victim);
    let cookie = cookie_of(&page).expect("a cookie");
    let mine = unguessable();
    let attack = victim.clone().with("code_challenge", &s256(&mine));
    let fields = [("Cookie", cookie.as_str())];
    rig.get_with(&target(&attack), &fields);

    let login = format!("/authorize?state={}", victim.state().expect("a state"));
    let response = rig.post(&login, &fields, "user=u&password=p");
    assert_page(&response, 502, "unbound_code_in_response");
    let code = rig.upstream.codes().pop().expect("a code was issued");
    for verifier in [&mine, &victim.verifier] {
        let request = victim.redemption(&code).with("code_verifier", verifier);
        assert_refused(&rig.token(&request), "invalid_grant");
    }
    assert_eq!(rig.forwarded(), 0);
}

#[test]
fn the_same_request_again_is_a_reload_and_kills_nothing() {
    let rig = rig();
    let authorization = rig.authorization();
    let (first, second) = (rig.code_for(&authorization), rig.code_for(&authorization));
    assert_ne!(first, second);
    assert_token(&rig.redeem(&authorization, &first));
    assert_token(&rig.redeem(&authorization, &second));
    assert_nothing_unverified(&rig);
}

/// A page of the gate's, or an error for the client.
#[track_caller]
fn assert_begins_nothing(response: &Response) {
    let location = response.header("location").unwrap_or_default();
    assert!(
        response.status == 400 || location.contains("error="),
        "{response}"
    );
}

/// A server that knows nothing of PKCE writes a consent with all parameters but those, and posts it to the authorization path. It is no
/// new request, enforced or only watched.
#[test]
fn a_consent_without_the_parameters_of_pkce_goes_on() {
    for (mode, binding) in [("enforce", "soft"), ("enforce", "off"), ("report", "soft")] {
        let rig = Rig::pkce(&format!(
            "mode = \"{mode}\"\ncodes = \"upstream\"\nbrowser_binding = \"{binding}\""
        ))
        .unguarded();
        rig.upstream.answer_with(Shape::Login);
        let authorization = rig.authorization();
        let cookie = cookie_of(&rig.enter(&authorization)).unwrap_or_default();
        let known = authorization.params.clone();
        let known = known
            .without("code_challenge")
            .without("code_challenge_method");
        let with_cookie = [("Cookie", cookie.as_str())];
        // As Doorkeeper does, with the response mode that is the default.
        let consent = known.clone().with("allow", "1");
        let consent = consent.with("response_mode", "query").encoded();
        let answer = rig.post("/authorize", &with_cookie, &consent);
        let answer = authorization_response(&answer, &authorization).expect("an answer");
        let right = authorization.redemption(answer.code());
        if mode == "enforce" {
            assert_refused(
                &rig.token(&right.clone().without("code_verifier")),
                "invalid_grant",
            );
        }
        rig.vouch(&authorization);
        assert_token(&rig.token(&right));
        let log = rig.gate.log();
        assert!(
            !log.contains("missing_challenge"),
            "{mode} {binding}: {log}"
        );

        // What says something else, or comes from another browser, is a request of its own.
        let other = [
            known
                .clone()
                .with("redirect_uri", "https://client.test/other"),
            known.clone().with("response_type", "code id_token"),
            known.clone().with("state", &unguessable()),
            known.clone().with("client_id", "other"),
            known.clone().with("request", "e30.e30."),
            known.clone().with("request_uri", "urn:x"),
            known.clone().with("response_mode", "fragment"),
        ];
        if mode == "enforce" {
            for other in other {
                let refused = rig.post("/authorize", &with_cookie, &other.encoded());
                assert_begins_nothing(&refused);
            }
            if binding == "soft" {
                let fields = [("Cookie", "pkce-gate=AAAAAAAAAAAAAAAAAAAAAA")];
                let refused = rig.post("/authorize", &fields, &known.encoded());
                assert_begins_nothing(&refused);
            }
        }
    }
}
