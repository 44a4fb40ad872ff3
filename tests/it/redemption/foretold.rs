//! Predictions: in report mode a request has the same violation at both endpoints, and `browser_binding = "soft"` logs what
//! `hard` would refuse.

use serde_json::Value;

use super::assert_page;
use crate::support::client::{Authorization, assert_token};
use crate::support::params::{s256, unguessable};
use crate::support::rig::{REDIRECT_URI, Rig, authorization_response, cookie_of};
use crate::support::scripted::{Act, Shape, Then, reply};

/// Decisions other than `allowed`, in order: endpoint, decision, violation, client.
fn against(rig: &Rig, so_many: usize) -> Vec<[String; 4]> {
    let against = |log: &str| -> Vec<[String; 4]> {
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let decisions = lines
            .filter(|line: &Value| line["event"] == "decision" && line["decision"] != "allowed");
        let fields = ["endpoint", "decision", "violation", "client"];
        decisions
            .map(|line| fields.map(|field| line[field].as_str().unwrap_or_default().to_owned()))
            .collect()
    };
    let log = rig.gate.log_until(|log| against(log).len() >= so_many);
    let found = against(&log);
    assert_eq!(found.len(), so_many, "{log}");
    found
}

/// With every known mistake of clients. Fails if the record does not contain why it has no challenge.
#[test]
fn a_wrong_challenge_has_the_same_violation_at_both_endpoints() {
    for codes in ["upstream", "handle"] {
        let rig = Rig::pkce(&format!("mode = \"report\"\ncodes = \"{codes}\"")).unguarded();
        let right = rig.authorization();
        let hash = s256(&right.verifier);
        let shorter = hash.split_at(1).1;
        let hex = "13D31e961a1ad8ec2f16b10c4c982e0876a878ad6df144566ee1894acb70f9c3";
        let with = |challenge: &str| {
            let fresh = Authorization {
                verifier: right.verifier.clone(),
                params: rig.authorization().params,
            };
            fresh.with("code_challenge", challenge)
        };
        let malformed = [
            hex.to_lowercase(),
            hex.to_uppercase(),
            hex.to_owned(),
            format!("{hash}="),
            format!("+{shorter}"),
            format!("/{shorter}="),
            shorter.to_owned(),
            format!("!{shorter}"),
        ];
        let cases = malformed
            .iter()
            .map(|challenge| (with(challenge), "malformed_challenge"));
        let methods = [
            with(&hash).with("code_challenge_method", "s256"),
            with(&hash).with("code_challenge_method", "plain"),
            with(&hash).without("code_challenge_method"),
        ];
        let methods = methods.map(|authorization| (authorization, "method_not_allowed"));
        let mut so_many = 0;
        for (authorization, violation) in cases.chain(methods) {
            let code = rig.code_for(&authorization);
            assert_token(&rig.redeem(&authorization, &code));
            so_many += 2;
            let named: Vec<_> = against(&rig, so_many).split_off(so_many - 2);
            let expected = ["authorization", "token"]
                .map(|endpoint| [endpoint, "reported", violation, "pub"].map(str::to_owned));
            assert_eq!(named, expected, "{codes}: {authorization:?}");
        }
        // Another mistake in the request does not make a good challenge a bad one.
        let other = with(&hash).with("response_mode", "jwt");
        let code = rig.code_for(&other);
        assert_token(&rig.redeem(&other, &code));
        let last = against(&rig, so_many + 1).pop().expect("a decision");
        assert_eq!(last[2], "response_mode_not_allowed");
    }
}

/// Starts a sign-in, and continues it with another cookie up to the answer.
fn in_another_browser(rig: &Rig, cookie: &str) {
    rig.upstream.answer_with(Shape::Login);
    let begun = rig.enter(&rig.authorization());
    let entry = begun.header("location").expect("an entry").to_owned();
    let own = cookie_of(&begun).expect("a cookie");
    rig.get_with(&entry, &[("Cookie", &own)]);
    rig.get_with(&entry, &[("Cookie", cookie)]);
    // The answer, at another path of the server.
    let (_, state) = entry.split_once("state=").expect("a state");
    let state = state.split('&').next().expect("a state");
    let location = format!("{REDIRECT_URI}?code=up-{}&state={state}", unguessable());
    let answer = reply("302 Found", &[("Location", &location)], b"");
    rig.upstream.once("/login", Act::Say(answer, Then::GoOn));
    rig.post("/login", &[("Cookie", cookie)], "user=u&password=p");
}

#[test]
fn soft_logs_what_hard_would_refuse() {
    for cookie in ["", "pkce-gate=AAAAAAAAAAAAAAAAAAAAAA"] {
        let said = |binding: &str| {
            let rig = Rig::pkce(&format!("browser_binding = \"{binding}\"")).unguarded();
            in_another_browser(&rig, cookie);
            let mut said = against(&rig, 2);
            for line in &mut said {
                let decision = std::mem::take(&mut line[1]);
                assert_eq!(
                    decision,
                    if binding == "hard" {
                        "refused"
                    } else {
                        "reported"
                    }
                );
            }
            said
        };
        let hard = said("hard");
        assert_eq!(said("soft"), hard, "{cookie}");
        let named: Vec<_> = hard.iter().map(|line| [&*line[2], &*line[3]]).collect();
        let expected = [
            ["browser_mismatch", "pub"],
            ["unbound_code_in_response", "pub"],
        ];
        assert_eq!(named, expected, "{cookie}");
    }
    // In the same browser, neither logs anything.
    for binding in ["soft", "hard"] {
        let rig = Rig::pkce(&format!("browser_binding = \"{binding}\""));
        let authorization = rig.authorization();
        let code = rig.code_for(&authorization);
        assert_token(&rig.redeem(&authorization, &code));
        assert!(against(&rig, 0).is_empty());
    }
}

/// An error redirect goes only to a redirect URI that is known to be the client's, never to one that was changed. Otherwise the
/// gate shows a page.
#[test]
fn the_error_for_another_browser_goes_to_a_known_redirect_uri() {
    let rig = Rig::pkce("browser_binding = \"hard\"");
    let begin = || {
        rig.upstream.answer_with(Shape::Login);
        let authorization = rig.authorization();
        let begun = rig.enter(&authorization);
        let entry = begun.header("location").expect("an entry").to_owned();
        (authorization, entry, cookie_of(&begun).expect("a cookie"))
    };
    let other = [("Cookie", "pkce-gate=AAAAAAAAAAAAAAAAAAAAAA")];
    let (_, entry, _) = begin();
    assert_page(&rig.get_with(&entry, &other), 400, "browser_mismatch");
    // The upstream sends a code there, so the redirect URI is known to be the client's.
    rig.upstream.answer_with(Shape::Query(302));
    rig.code_for(&rig.authorization());

    let (authorization, entry, cookie) = begin();
    let told = rig.get_with(&entry, &other);
    let answer = authorization_response(&told, &authorization).expect("an answer");
    assert_eq!(answer.params.get("error"), Some("invalid_request"));
    assert_eq!(answer.params.get("state"), authorization.state());
    assert_eq!(answer.params.get("code"), None);
    let evil = entry.replace("client.test", "evil.test");
    assert_ne!(evil, entry);
    for changed in [
        evil.as_str(),
        &format!("{entry}&redirect_uri=https%3A%2F%2Fevil.test"),
    ] {
        let page = rig.get_with(changed, &other);
        assert_eq!(
            (page.status, page.header("location")),
            (400, None),
            "{page}"
        );
    }
    // Without a redirect URI the gate shows a page, and logs the client.
    let handle = crate::support::rig::handle_of(&entry);
    let page = rig.post("/authorize", &other, &format!("state={handle}&user=u"));
    assert_page(&page, 400, "browser_mismatch");
    let last = against(&rig, 5).pop().expect("a decision");
    assert_eq!(last[3], "pub");
    // It continues in its own browser.
    rig.upstream.answer_with(Shape::Query(302));
    let answer = rig.get_with(&entry, &[("Cookie", &cookie)]);
    let answer = authorization_response(&answer, &authorization).expect("an answer");
    assert_token(&rig.redeem(&authorization, answer.code()));
}
