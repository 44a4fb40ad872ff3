//! Silent renewal (`prompt=none` in a frame of another site, where browsers send no cookie), and which requests count as
//! another browser.

use super::assert_page;
use crate::support::agent::Carrier;
use crate::support::client::assert_token;
use crate::support::rig::{Rig, authorization_response, cookie_of};

fn other_browsers(rig: &Rig) -> usize {
    let log = rig
        .gate
        .log_until(|log| log.contains("\"decision\":\"allowed\""));
    log.matches("\"event\":\"other_browser\"").count()
}

#[test]
fn under_soft_an_absent_cookie_is_not_another_browser_and_another_cookie_is() {
    let rig = Rig::new();
    for prompt in [None, Some("none")] {
        let mut authorization = rig.authorization();
        if let Some(prompt) = prompt {
            authorization = authorization.with("prompt", prompt);
        }
        let entry = rig.entry(&authorization);
        let answer = authorization_response(&rig.get(&entry), &authorization).expect("an answer");
        assert_token(&rig.redeem(&authorization, answer.code()));
    }
    assert_eq!(other_browsers(&rig), 0);
    let other = cookie_of(&rig.enter(&rig.authorization())).expect("a cookie");
    let entry = rig.entry(&rig.authorization());
    rig.get_with(&entry, &[("Cookie", &other)]);
    let told = |log: &str| log.matches("\"event\":\"other_browser\"").count() == 1;
    rig.gate.log_until(told);
}

#[test]
fn hard_refuses_a_silent_renewal_with_login_required_at_the_redirect_uri() {
    let rig = Rig::pkce("browser_binding = \"hard\"");
    // The gate learns the redirect URI when the upstream sends a code there.
    let first = rig.authorization();
    let begun = rig.enter(&first);
    let cookie = cookie_of(&begun).expect("a cookie");
    let entry = begun.header("location").expect("a 303").to_owned();
    let bad = rig.get_with(&entry, &[]);
    assert_page(&bad, 400, "browser_mismatch");
    let response = rig.get_with(&entry, &[("Cookie", &cookie)]);
    let answer = authorization_response(&response, &first).expect("an answer");
    assert_token(&rig.redeem(&first, answer.code()));

    let codes = rig.upstream.codes().len();
    let other = cookie_of(&rig.enter(&rig.authorization())).expect("a cookie");
    for (mode, carrier) in [
        (None, Carrier::Query),
        (Some("fragment"), Carrier::Fragment),
        (Some("form_post"), Carrier::FormPost),
    ] {
        let mut authorization = rig.authorization().with("prompt", "none");
        if let Some(mode) = mode {
            authorization = authorization.with("response_mode", mode);
        }
        let entry = rig.entry(&authorization);
        for fields in [vec![], vec![("Cookie", other.as_str())]] {
            let response = rig.get_with(&entry, &fields);
            let answer = authorization_response(&response, &authorization).expect("an answer");
            assert_eq!(answer.carrier, carrier);
            assert_eq!(answer.params.get("error"), Some("login_required"));
            assert_eq!(answer.params.get("state"), authorization.state());
            assert_eq!(answer.params.get("code"), None);
        }
        // A request that may show a page is not a silent renewal.
        for prompt in ["prompt=login", "prompt=none%20login"] {
            let changed = entry.replace("prompt=none", prompt);
            assert_ne!(changed, entry);
            let response = rig.get_with(&changed, &[]);
            let answer = authorization_response(&response, &authorization).expect("an answer");
            assert_eq!(answer.params.get("error"), Some("invalid_request"));
        }
        let elsewhere = entry.replace("client.test%2Fcb", "evil.test%2Fcb");
        assert_ne!(elsewhere, entry);
        assert_page(&rig.get_with(&elsewhere, &[]), 400, "");
    }
    assert_eq!(rig.upstream.codes().len(), codes, "no sign-in continued");
}

#[test]
fn a_silent_renewal_does_not_bypass_hard() {
    let rig = Rig::pkce("browser_binding = \"hard\"");
    // The redirect URI is not known yet, so the gate does not redirect there.
    let authorization = rig.authorization().with("prompt", "none");
    let entry = rig.entry(&authorization);
    assert_page(&rig.get(&entry), 400, "browser_mismatch");
    assert_page(&rig.post(&entry, &[], "user=u"), 400, "browser_mismatch");
    assert!(rig.upstream.codes().is_empty());
}
