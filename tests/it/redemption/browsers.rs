//! Every combination of `codes` and `browser_binding`: sign-ins succeed from beginning to token, and an attacker cannot stop
//! them.

use super::assert_page;
use crate::support::client::{Authorization, assert_token};
use crate::support::http::Response;
use crate::support::params::{encode, unguessable};
use crate::support::rig::{REDIRECT_URI, Rig, authorization_response, cookie_of, handle_of};
use crate::support::scripted::{Act, Shape, Then, json, reply};

const CODES: [&str; 2] = ["handle", "upstream"];
const BINDINGS: [&str; 3] = ["off", "soft", "hard"];

fn each(test: impl Fn(&Rig, &str, &str)) {
    for (codes, binding) in CODES
        .into_iter()
        .flat_map(|codes| BINDINGS.map(|binding| (codes, binding)))
    {
        println!("codes = {codes:?}, browser_binding = {binding:?}"); // shown when the test fails
        let pkce = format!("codes = \"{codes}\"\nbrowser_binding = \"{binding}\"");
        // With `codes = "upstream"` clients receive the upstream's codes, so the rig does not search for them.
        test(&Rig::pkce(&pkce).unguarded(), codes, binding);
    }
}

/// A browser at the login page of a sign-in.
struct Begun<'r> {
    rig: &'r Rig,
    authorization: Authorization,
    cookie: String,
    /// The `state` that the upstream received.
    state: Option<String>,
}

impl<'r> Begun<'r> {
    #[track_caller]
    fn new(rig: &'r Rig, authorization: &Authorization) -> Self {
        rig.upstream.answer_with(Shape::Login);
        let begun = rig.enter(authorization);
        let cookie = cookie_of(&begun).unwrap_or_default();
        let state = match begun.header("location") {
            Some(entry) => {
                let page = rig.get_with(entry, &[("Cookie", &cookie)]);
                assert_eq!(page.status, 200, "{page}");
                Some(handle_of(entry))
            }
            None => authorization.state().map(str::to_owned),
        };
        Self {
            rig,
            authorization: authorization.clone(),
            cookie,
            state,
        }
    }

    /// The answer to the login, at another path of the server, as with most servers.
    fn log_in(&self) -> Response {
        let state = self.state.as_ref();
        let state = state.map_or_else(String::new, |state| format!("&state={}", encode(state)));
        let location = format!("{REDIRECT_URI}?code=up-{}{state}", unguessable());
        let answer = reply("302 Found", &[("Location", &location)], b"");
        let upstream = &self.rig.upstream;
        upstream.once("/login", Act::Say(answer, Then::GoOn));
        let fields = [("Cookie", self.cookie.as_str())];
        self.rig.post("/login", &fields, "user=u&password=p")
    }

    #[track_caller]
    fn ends_in_a_token(&self) {
        let response = self.log_in();
        let answer = authorization_response(&response, &self.authorization);
        let answer = answer.unwrap_or_else(|| panic!("no answer: {response}"));
        assert_eq!(answer.params.get("state"), self.authorization.state());
        // The upstream does not know this code.
        let token = json("200 OK", &serde_json::json!({ "access_token": "token" }));
        let upstream = &self.rig.upstream;
        upstream.once("/token", Act::Say(token, Then::GoOn));
        let before = self.rig.forwarded();
        assert_token(&self.rig.redeem(&self.authorization, answer.code()));
        assert_eq!(self.rig.forwarded(), before + 1);
    }
}

#[test]
fn a_sign_in_succeeds_from_beginning_to_token() {
    each(|rig, codes, binding| {
        let all = [
            rig.authorization(),
            rig.authorization().without("state"),
            rig.authorization().with("state", ""),
            rig.authorization().with("state", "constant"),
            rig.authorization().with("state", "constant"),
        ];
        let tells_apart = (codes, binding) != ("upstream", "off");
        for authorization in all.into_iter().take(if tells_apart { 5 } else { 2 }) {
            let begun = Begun::new(rig, &authorization);
            assert_eq!(begun.cookie.is_empty(), binding == "off");
            begun.ends_in_a_token();
            // With a session, the server answers at once.
            rig.upstream.answer_with(Shape::Query(302));
            let authorization = rig.authorization();
            let answer = rig.sign_in(&authorization);
            assert_token(&rig.redeem(&authorization, answer.code()));
        }
    });
}

/// A link in a mail opens in another browser, some browsers keep no cookie, and a browser with two new tabs keeps one of two
/// cookies. Fails under `codes = "upstream"` if a sign-in is found by the cookie alone.
#[test]
fn a_sign_in_ends_in_another_browser_unless_that_is_refused() {
    each(|rig, codes, binding| {
        for other in ["", "pkce-gate=AAAAAAAAAAAAAAAAAAAAAA"] {
            let mut begun = Begun::new(rig, &rig.authorization());
            other.clone_into(&mut begun.cookie);
            // A sign-in that is found by its handle was already compared when it continued.
            if binding == "hard" && codes == "upstream" {
                let response = begun.log_in();
                assert_eq!(response.status, 502, "{response}");
            } else if binding != "hard" {
                begun.ends_in_a_token();
            }
        }
        if binding != "hard" {
            let tabs = [rig.authorization(), rig.authorization()];
            let mut tabs = tabs.map(|authorization| Begun::new(rig, &authorization));
            let last = tabs[1].cookie.clone();
            last.clone_into(&mut tabs[0].cookie);
            tabs.iter().for_each(Begun::ends_in_a_token);
        }
    });
}

/// In another browser the gate cannot distinguish an attacker's sign-in with the same state from the victim's: both get nothing
/// there, and each continues in its own browser.
#[test]
fn another_browser_cannot_use_the_sign_in_of_another_user() {
    let rig = Rig::pkce("codes = \"upstream\"").unguarded();
    let lost = |begun: &Begun<'_>| {
        let lost = Begun {
            rig: &rig,
            cookie: String::new(),
            authorization: begun.authorization.clone(),
            state: begun.state.clone(),
        };
        let response = lost.log_in();
        assert_eq!(response.status, 502, "{response}");
    };
    let known = unguessable();
    let same = || Begun::new(&rig, &rig.authorization().with("state", &known));
    let (victim, stranger) = (same(), same());
    lost(&victim);
    victim.ends_in_a_token();
    stranger.ends_in_a_token();
    // With a state that can be guessed, the answer to the attacker's own login would be bound to the victim's challenge.
    for authorization in [
        rig.authorization().with("state", "constant"),
        rig.authorization().without("state"),
    ] {
        let victim = Begun::new(&rig, &authorization);
        lost(&victim);
        victim.ends_in_a_token();
    }
}

/// An attacker starts sign-ins before, during and after the victim's sign-in, also with the same values if these are constant.
#[test]
fn an_attacker_does_not_stop_the_sign_in_of_another_user() {
    each(|rig, codes, binding| {
        let constant = |authorization: Authorization| match binding {
            // Without a cookie only the state distinguishes sign-ins.
            "off" if codes == "upstream" => authorization,
            _ => authorization.with("state", "constant"),
        };
        let without = |authorization: Authorization| match binding {
            "off" if codes == "upstream" => authorization,
            _ => authorization.without("state"),
        };
        for shaped in [
            &constant as &dyn Fn(Authorization) -> Authorization,
            &without,
        ] {
            let stranger = || {
                for authorization in [
                    shaped(rig.authorization()),
                    shaped(rig.authorization()).without("redirect_uri"),
                    shaped(rig.authorization()).with("client_id", "other"),
                ] {
                    Begun::new(rig, &authorization);
                }
            };
            stranger();
            let victim = Begun::new(rig, &shaped(rig.authorization()));
            stranger();
            let other = Begun::new(rig, &shaped(rig.authorization()));
            drop(other.log_in());
            victim.ends_in_a_token();
        }
    });
}

/// Also if a new request is not redirected: its answer sets the cookie.
#[test]
fn another_browser_cannot_continue_a_sign_in_that_is_bound_to_one() {
    for entry in ["redirect", "rewrite"] {
        let pkce = format!("browser_binding = \"hard\"\nentry = \"{entry}\"");
        let rig = Rig::pkce(&pkce);
        rig.upstream.answer_with(Shape::Login);
        let authorization = rig.authorization();
        let begun = rig.enter(&authorization);
        let cookie = cookie_of(&begun).expect("a cookie");
        let entry = match begun.header("location") {
            Some(entry) => entry.to_owned(),
            None => {
                let seen = rig.upstream.ledger().pop().expect("a request");
                format!("/authorize?{}", seen.query())
            }
        };
        for other in ["", "pkce-gate=AAAAAAAAAAAAAAAAAAAAAA"] {
            let page = rig.post(&entry, &[("Cookie", other)], "user=u&password=p");
            assert_page(&page, 400, "browser_mismatch");
        }
        let answer = rig.post(&entry, &[("Cookie", &cookie)], "user=u&password=p");
        let answer = authorization_response(&answer, &authorization).expect("an answer");
        assert_token(&rig.redeem(&authorization, answer.code()));
    }
}

/// `codes = "upstream"` without a cookie: an attacker who knows the state can make a sign-in fail, but gets nothing. `check`
/// warns.
#[test]
fn without_a_cookie_an_attacker_who_knows_the_state_stops_a_sign_in_and_gets_nothing() {
    let rig = Rig::pkce("codes = \"upstream\"\nbrowser_binding = \"off\"").unguarded();
    for authorization in [
        rig.authorization().with("state", "constant"),
        rig.authorization().without("state"),
    ] {
        let victim = Begun::new(&rig, &authorization);
        let state = authorization.state().unwrap_or_default();
        let stranger = rig.authorization().with("state", state);
        let stranger = Begun::new(&rig, &stranger);
        for begun in [&victim, &stranger] {
            let response = begun.log_in();
            assert_eq!(response.status, 502, "{response}");
            assert!(!response.text().contains("code="), "{response}");
        }
    }
}
