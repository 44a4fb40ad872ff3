//! Cookies with states that are too long for a sealed handle.

use crate::support::client::{Authorization, assert_token};
use crate::support::params::unguessable;
use crate::support::rig::{
    Config, HOST, Jar, REDIRECT_URI, Rig, authorization_response, handle_of, target,
};
use crate::support::scripted::{Act, Then, reply};
use crate::support::store::sealed;

fn rig() -> Rig {
    Rig::with(Config {
        store: &sealed(),
        upstream: "public_url = \"https://gate.test\"",
        ..Config::default()
    })
}

fn with_long_state(rig: &Rig) -> Authorization {
    rig.authorization().with("state", &unguessable().repeat(40))
}

/// The browser that begins a sign-in, and the entry.
fn begun(rig: &Rig, authorization: &Authorization) -> (Jar, String) {
    let mut browser = Jar::default();
    let begun = browser.get(rig, &target(authorization));
    let entry = begun.header("location").expect("an entry").to_owned();
    (browser, entry)
}

#[track_caller]
fn ends_well(rig: &Rig, browser: &mut Jar, entry: &str, authorization: &Authorization) {
    let answer = browser.get(rig, entry);
    let found = authorization_response(&answer, authorization);
    let found = found.unwrap_or_else(|| panic!("no answer: {answer}"));
    assert_eq!(found.params.get("state"), authorization.state());
    assert_token(&rig.redeem(authorization, found.code()));
}

/// The attacker's sign-in is given to a victim, whose browser has a sign-in of its own: with the victim's cookie under the
/// attacker's name, and with the cookie of the victim's sign-in in the attacker's browser. Fails if the state is not sealed for
/// its own handle (`spilled_from` in `store/envelope.rs`).
#[test]
fn states_of_another_sign_in() {
    let rig = rig();
    let [mine, victims] = [(); 2].map(|()| with_long_state(&rig));
    let (mut attacker, entry) = begun(&rig, &mine);
    let (mut victim, own) = begun(&rig, &victims);
    let [(my_name, my_value), (name, value)] = [&attacker, &victim].map(|browser| {
        let all = browser.0.iter();
        let mut all = all.filter(|(name, _)| name.contains("-state-"));
        all.next().expect("a state").clone()
    });
    for cookies in [
        victim.cookies(),
        format!("{}; {my_name}={value}", victim.cookies()),
        format!("{name}={my_value}"),
        // A cookie that a server splits at the comma.
        format!("a=b,{my_name}={my_value}"),
    ] {
        let answer = rig.get_with(&entry, &[("Cookie", &cookies)]);
        assert_eq!(answer.status, 400, "{cookies}: {answer}");
        assert_eq!(answer.header("location"), None, "{answer}");
    }
    ends_well(&rig, &mut victim, &own, &victims);
    ends_well(&rig, &mut attacker, &entry, &mine);
}

/// The answer to the login, before and after the answer to the browser that has the cookie. Fails if a state that is lost counts
/// as none (`Belongs::state`).
#[test]
fn codes_without_the_state_of_their_sign_in() {
    let rig = rig();
    let authorization = with_long_state(&rig);
    let (browser, entry) = begun(&rig, &authorization);
    let location = format!("{REDIRECT_URI}?code=up-1&state={}", handle_of(&entry));
    for (cookies, status) in [("a=b", 400), (&*browser.cookies(), 302), ("a=b", 400)] {
        let answer = reply("302 Found", &[("Location", &location)], b"");
        rig.upstream.once("/login", Act::Say(answer, Then::GoOn));
        let answer = rig.post("/login", &[("Cookie", cookies)], "user=u");
        assert_eq!(answer.status, status, "{answer}");
    }
}

/// The end of the sign-in and the mark of an answer are not sealed: altered, they do not make a browser keep the state longer,
/// and no other sign-in gets it. Fails without the limit in `StateCookies::answered`.
#[test]
fn altered_ends_and_marks() {
    let rig = rig();
    let [mine, victims] = [(); 2].map(|()| with_long_state(&rig));
    let (attacker, entry) = begun(&rig, &mine);
    let (_, others_entry) = begun(&rig, &victims);
    let (name, value) = attacker
        .0
        .iter()
        .find(|(name, _)| name.contains("-state-"))
        .expect("a state");
    let (ends, sealed) = value.split_once('.').expect("when it ends");
    let never = u64::MAX;
    for (altered, status, most) in [
        (format!("{never}.{sealed}"), 302, 60),
        (format!("{never}~{sealed}"), 302, 60),
        (format!("{ends}~{sealed}"), 302, 60),
        (format!("0~{sealed}"), 302, 0),
        (format!("{never}0.{sealed}"), 400, 0),
        (format!("{ends}~.{sealed}"), 400, 0),
        (format!("{ends}{sealed}"), 400, 0),
    ] {
        let cookie = format!("{name}={altered}");
        let answer = rig.get_with(&entry, &[("Cookie", &cookie)]);
        assert_eq!(answer.status, status, "{altered}: {answer}");
        let set: String = answer
            .headers
            .iter()
            .filter(|(name, _)| name == "set-cookie")
            .map(|(_, set)| &**set)
            .collect();
        assert_eq!(
            set.contains(&format!("; Max-Age={most};")),
            status == 302,
            "{altered}: {answer}"
        );
        let answer = rig.get_with(&others_entry, &[("Cookie", &cookie)]);
        assert_eq!(answer.status, 400, "{altered}: {answer}");
    }
}

/// A state is no handle, and a handle no state. Two checks tell them apart: the place that a value is sealed for, and its fields.
#[test]
fn sealed_values_in_each_others_place() {
    let rig = rig();
    let authorization = with_long_state(&rig);
    let (browser, entry) = begun(&rig, &authorization);
    let (name, value) = browser
        .0
        .iter()
        .find(|(name, _)| name.contains("-state-"))
        .expect("a state");
    let (ends, value) = value.split_once('.').expect("when it ends");
    let handle = handle_of(&entry);
    let length = format!("{:04x}", value.len());
    for state in [value.to_owned(), format!("pgs-{length}{value}AAAAA")] {
        let before = rig.upstream.ledger().len();
        let forged = entry.replace(&handle, &state);
        let answer = rig.get_with(&forged, &[("Cookie", &browser.cookies())]);
        // It is a fresh request without a challenge.
        assert_eq!(answer.status, 400, "{answer}");
        assert_eq!(rig.upstream.ledger().len(), before);
    }
    for value in [
        &handle,
        handle.get(8..handle.len() - 5).expect("its record"),
    ] {
        let cookie = format!("{name}={ends}.{value}");
        let answer = rig.get_with(&entry, &[("Cookie", &cookie)]);
        assert_eq!(answer.status, 400, "{answer}");
    }
    let code = rig.code_for(&rig.authorization());
    let form = authorization.redemption(&code).with("code", value);
    assert_eq!(rig.token(&form).status, 400);
}

/// Forged cookies with the names of states, as many as fit into a request. Fails without `StateCookies::take`, and without
/// `MOST_SET`.
#[test]
fn floods_of_state_cookies() {
    let rig = rig();
    let flood: Vec<_> = (0..500)
        .map(|at| format!("__Host-pkce-gate-state-{at:021}A=x"))
        .collect();
    let flood = flood.join("; ");
    let request = format!("GET /page HTTP/1.1\r\nHost: {HOST}\r\nCookie: {flood}; sid=1\r\n\r\n");
    assert_eq!(rig.send(request.as_bytes()).status, 200);
    let seen = rig.upstream.ledger().pop().expect("a request");
    assert_eq!(seen.header("cookie"), Some("sid=1"));
    let authorization = with_long_state(&rig);
    let answer = rig.get_with(&target(&authorization), &[("Cookie", &flood)]);
    let mut browser = Jar::default();
    browser.keep(&answer);
    let removed = answer
        .headers
        .iter()
        .filter(|(_, value)| value.contains("Max-Age=0"));
    assert!(removed.count() <= 16, "{answer}");
    let entry = answer.header("location").expect("an entry").to_owned();
    ends_well(&rig, &mut browser, &entry, &authorization);
}
