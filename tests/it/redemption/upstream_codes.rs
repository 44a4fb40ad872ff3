//! `codes = "upstream"` under `enforce`: nothing is rewritten, and no code is redeemed without its verifier.

use super::assert_page;
use crate::support::client::{Authorization, assert_refused, assert_token};
use crate::support::http::{Request, Response};
use crate::support::params::{s256, unguessable};
use crate::support::rig::{Rig, authorization_response, cookie_of, target};
use crate::support::scripted::Shape;

/// Clients receive the upstream's own codes, so the rig does not search for them.
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

/// The hashes in an `id_token` are those of the upstream's code and state. So these are not replaced, whatever `codes` says, and the
/// log shows that.
#[test]
fn a_hybrid_response_keeps_the_code_and_state_that_its_id_token_hashes() {
    for codes in ["upstream", "handle"] {
        let types = "response_types = [\"code\", \"code id_token\", \"code token\"]";
        let rig = Rig::pkce(&format!("codes = \"{codes}\"\n{types}")).unguarded();
        let hybrid = |authorization: Authorization| {
            let authorization = authorization.with("response_type", "id_token code");
            let answer = rig.sign_in(&authorization);
            (authorization, answer)
        };
        let (authorization, answer) = hybrid(rig.authorization());
        assert!(answer.params.get("id_token").is_some());
        assert_eq!(answer.code(), rig.upstream.codes()[0], "{codes}");
        assert_eq!(answer.params.get("state"), authorization.state());
        let sent = &rig.upstream.ledger()[0];
        assert_eq!(sent.target(), target(&authorization), "{codes}");
        let right = authorization.redemption(answer.code());
        let (other, _) = hybrid(rig.authorization());
        for wrong in [
            right.clone().without("code_verifier"),
            right.clone().with("code_verifier", &unguessable()),
            right.clone().with("code_verifier", &other.verifier),
            right.clone().with("client_id", "other"),
        ] {
            assert_refused(&rig.token(&wrong), "invalid_grant");
        }
        assert_token(&rig.redeem(&authorization, answer.code()));
        assert_refused(&rig.token(&right), "invalid_grant");
        let bare = rig.authorization().without_challenge();
        let refused = rig.enter(&bare.with("response_type", "code id_token"));
        let location = refused.header("location").expect("a known redirect URI");
        assert!(location.contains("error=invalid_request"), "{refused}");
        // No hash covers these.
        let plain = rig.authorization().with("response_type", "code token");
        let answer = rig.sign_in(&plain);
        let is_own = rig.upstream.codes().contains(&answer.code().to_owned());
        assert_eq!(is_own, codes == "upstream", "{codes}");
        assert_token(&rig.redeem(&plain, answer.code()));
        assert_nothing_unverified(&rig);
        let log = rig.gate.log();
        let says = log.contains("\"codes\":\"upstream\"");
        assert_eq!(says, codes == "handle", "{log}");
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
fn codes_in_every_known_carrier_are_bound() {
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

/// Another request than the first one continues with the login: under `hard` only the browser's cookie connects the two.
#[test]
fn a_sign_in_continues_only_in_the_browser_that_began_it() {
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

/// An attacker who knows the victim's state and sends a second request with it gains nothing: both challenges become invalid.
#[test]
fn two_challenges_with_one_state_invalidate_both() {
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
fn the_same_request_again_is_a_reload_and_invalidates_nothing() {
    let rig = rig();
    let authorization = rig.authorization();
    let (first, second) = (rig.code_for(&authorization), rig.code_for(&authorization));
    assert_ne!(first, second);
    assert_token(&rig.redeem(&authorization, &first));
    assert_token(&rig.redeem(&authorization, &second));
    assert_nothing_unverified(&rig);
}

/// A page of the gate, or an error for the client.
#[track_caller]
fn assert_begins_nothing(response: &Response) {
    let location = response.header("location").unwrap_or_default();
    assert!(
        response.status == 400 || location.contains("error="),
        "{response}"
    );
}

/// A server without PKCE writes a consent form with all parameters except those of PKCE, and posts it to the authorization
/// path. This is not a new request, whether the client is enforced or in report mode.
#[test]
fn a_consent_without_pkce_parameters_continues_the_sign_in() {
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
        // Doorkeeper adds the default response mode.
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

        // A form with other values, or from another browser, is a new request.
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
