//! Sign-ins during which the configuration changes. They end in the form in which they began, and the current rules judge them.

use crate::support::agent::AuthorizationResponse;
use crate::support::client::{Authorization, assert_refused, assert_token};
use crate::support::http::Response;
use crate::support::rig::{Config, REDIRECT_URI, Rig, authorization_response, cookie_of, target};
use crate::support::scripted::{Scripted, Shape};

const ENFORCE: &str = "";
const ENFORCE_IN_PLACE: &str = "entry = \"rewrite\"\nbrowser_binding = \"off\"";
const ENFORCE_UPSTREAM: &str = "codes = \"upstream\"\nbrowser_binding = \"hard\"";
const ENFORCE_UPSTREAM_OFF: &str = "codes = \"upstream\"\nbrowser_binding = \"off\"";
const REPORT: &str = "mode = \"report\"";
const REPORT_HANDLES: &str = "mode = \"report\"\ncodes = \"handle\"";

const ALL: [&str; 6] = [
    ENFORCE,
    ENFORCE_IN_PLACE,
    ENFORCE_UPSTREAM,
    ENFORCE_UPSTREAM_OFF,
    REPORT,
    REPORT_HANDLES,
];

fn is_enforced(pkce: &str) -> bool {
    !pkce.contains("report")
}

fn config(pkce: &str, upstream: &Scripted) -> String {
    Config {
        pkce,
        ..Config::default()
    }
    .render(upstream)
}

/// A browser during a sign-in.
struct Browser<'r> {
    rig: &'r Rig,
    authorization: Authorization,
    cookie: Option<String>,
}

impl<'r> Browser<'r> {
    fn new(rig: &'r Rig, authorization: Authorization) -> Self {
        Self {
            rig,
            authorization,
            cookie: None,
        }
    }

    fn fields(&self) -> Vec<(&str, &str)> {
        let cookie = self.cookie.iter();
        cookie.map(|cookie| ("Cookie", cookie.as_str())).collect()
    }

    fn keep(&mut self, response: &Response) {
        if let Some(cookie) = cookie_of(response) {
            self.cookie = Some(cookie);
        }
    }

    /// Sends the client's request. Returns the answer and its target.
    fn begin(&mut self) -> (Response, String) {
        let target = target(&self.authorization);
        let response = self.rig.get_with(&target, &self.fields());
        self.keep(&response);
        let location = response.header("location").map(str::to_owned);
        let leads = response.status == 303;
        (response, location.filter(|_| leads).unwrap_or(target))
    }

    /// Goes on to the login page, and returns its URL.
    fn page(&mut self) -> String {
        let (response, place) = self.begin();
        self.follow(response, place)
    }

    fn follow(&mut self, response: Response, mut place: String) -> String {
        let mut response = response;
        while response.status == 303 {
            response = self.rig.get_with(&place, &self.fields());
            self.keep(&response);
            if let Some(location) = response.header("location") {
                location.clone_into(&mut place);
            }
        }
        assert_eq!(response.status, 200, "{response}");
        assert!(response.text().contains("Sign in"), "{response}");
        place
    }

    /// Logs in, and returns the authorization response.
    fn log_in(&mut self, place: &str) -> AuthorizationResponse {
        let form = "user=alice&password=pw";
        let mut response = self.rig.post(place, &self.fields(), form);
        self.keep(&response);
        // The server has a session now.
        if response.status == 303
            && response
                .header("location")
                .is_some_and(|to| to.starts_with('/'))
        {
            let place = response.header("location").expect("a place").to_owned();
            response = self.rig.post(&place, &self.fields(), form);
        }
        let found = authorization_response(&response, &self.authorization);
        let found = found.unwrap_or_else(|| panic!("no authorization response: {response}"));
        assert_eq!(
            found.params.get("state"),
            self.authorization.state(),
            "the client knows its state"
        );
        found
    }

    fn code(&mut self) -> String {
        let place = self.page();
        self.log_in(&place).code().to_owned()
    }
}

fn without_challenge(authorization: Authorization) -> Authorization {
    authorization.without_challenge()
}

/// Sign-ins that began under `before`, in every state, end under `after`.
fn check(before: &str, after: &str) {
    let upstream = Scripted::start();
    upstream.answer_with(Shape::Login);
    let config_before = config(before, &upstream);
    let config_after = config(after, &upstream);
    let rig = Rig::between(
        Config {
            pkce: before,
            ..Config::default()
        },
        upstream,
    )
    .unguarded();
    assert_eq!(
        rig.gate.log().matches("reload").count(),
        0,
        "{config_before}"
    );
    let mut begun = Browser::new(&rig, rig.authorization());
    let (answer, place) = begun.begin();
    let mut asked = Browser::new(&rig, rig.authorization());
    let page = asked.page();
    let mut signed_in = Browser::new(&rig, rig.authorization());
    let code = signed_in.code();
    let mut robbed = Browser::new(&rig, rig.authorization());
    let stolen = robbed.code();
    let lax = (!is_enforced(before)).then(|| {
        let mut lax = Browser::new(&rig, without_challenge(rig.authorization()));
        let code = lax.code();
        let mut other = Browser::new(&rig, without_challenge(rig.authorization()));
        let page = other.page();
        (lax, code, other, page)
    });

    rig.gate.reload(&config_after);

    let place = begun.follow(answer, place);
    let first = begun.log_in(&place).code().to_owned();
    let second = asked.log_in(&page).code().to_owned();
    for (browser, code) in [(begun, first), (asked, second), (signed_in, code)] {
        let form = browser.authorization.redemption(&code);
        if is_enforced(after) {
            assert_refused(
                &rig.token(&form.clone().without("code_verifier")),
                "invalid_grant",
            );
        }
        assert_token(&rig.token(&browser.authorization.redemption(&code)));
        if is_enforced(after) {
            assert_refused(&rig.token(&form), "invalid_grant");
        }
    }
    if is_enforced(after) {
        let form = robbed.authorization.redemption(&stolen);
        let thief = form.with("code_verifier", &crate::support::params::unguessable());
        assert_refused(&rig.token(&thief), "invalid_grant");
        // At an alias of the token endpoint that is not configured.
        let elsewhere = format!("oauth_code={stolen}&cb={REDIRECT_URI}");
        let before = rig.upstream.tokens().len();
        rig.post("/alias", &[], &elsewhere);
        assert_eq!(rig.upstream.tokens().len(), before, "{before} -> {after}");
        if let Some((lax, code, mut other, page)) = lax {
            let form = lax.authorization.redemption(&code);
            assert_refused(&rig.token(&form.without("code_verifier")), "invalid_grant");
            let form = "user=alice&password=pw";
            let response = rig.post(&page, &other.fields(), form);
            other.keep(&response);
            if let Some(found) = authorization_response(&response, &other.authorization)
                && let Some(code) = found.params.get("code")
            {
                let form = other.authorization.redemption(code);
                assert_refused(&rig.token(&form.without("code_verifier")), "invalid_grant");
            }
        }
    }
}

fn check_all_from(before: &str) {
    for after in ALL.into_iter().filter(|after| *after != before) {
        println!("from {before:?} to {after:?}");
        check(before, after);
    }
}

#[test]
fn a_sign_in_that_began_under_enforce_ends_under_any_rules() {
    check_all_from(ENFORCE);
}

#[test]
fn a_sign_in_that_began_under_enforce_in_place_ends_under_any_rules() {
    check_all_from(ENFORCE_IN_PLACE);
}

#[test]
fn a_sign_in_that_began_with_upstream_codes_ends_under_any_rules() {
    check_all_from(ENFORCE_UPSTREAM);
}

#[test]
fn a_sign_in_that_began_with_upstream_codes_and_without_a_cookie_ends_under_any_rules() {
    check_all_from(ENFORCE_UPSTREAM_OFF);
}

#[test]
fn a_sign_in_that_began_under_report_ends_under_any_rules() {
    check_all_from(REPORT);
}

#[test]
fn a_sign_in_that_began_under_report_with_handles_ends_under_any_rules() {
    check_all_from(REPORT_HANDLES);
}

/// A server without PKCE writes a consent form with all parameters except those of PKCE.
#[test]
fn a_consent_without_the_challenge_continues_when_enforcement_begins() {
    let upstream = Scripted::start();
    upstream.answer_with(Shape::Login);
    let after = config(ENFORCE, &upstream);
    let rig = Rig::between(
        Config {
            pkce: REPORT,
            ..Config::default()
        },
        upstream,
    )
    .unguarded();
    let mut browser = Browser::new(&rig, rig.authorization());
    browser.page();
    rig.gate.reload(&after);
    let silent = without_challenge(browser.authorization.clone());
    let form = silent.params.encoded();
    let response = rig.post("/authorize", &browser.fields(), &form);
    let found = authorization_response(&response, &browser.authorization);
    let code = found
        .unwrap_or_else(|| panic!("{response}"))
        .code()
        .to_owned();
    let redemption = browser.authorization.redemption(&code);
    assert_refused(
        &rig.token(&redemption.clone().without("code_verifier")),
        "invalid_grant",
    );
    assert_token(&rig.token(&redemption));
    // A sign-in that began without a challenge is different.
    let silent = without_challenge(rig.authorization());
    let response = rig.post("/authorize", &[], &silent.params.encoded());
    assert!(
        authorization_response(&response, &silent)
            .is_none_or(|found| found.params.get("code").is_none())
    );
}

const EXCEPTION: &str = "[[upstream.client]]\nid = \"pub\"\nmode = \"report\"\nuntil = \"2099-12-31\"\nowner = \"o\"\nreason = \"r\"\n";

/// The change is applied without a signal.
#[test]
fn an_exception_is_added_and_removed_by_the_file_alone() {
    let rig = Rig::new().unguarded();
    let strict = config(ENFORCE, &rig.upstream);
    let lax = Config {
        tables: EXCEPTION,
        ..Config::default()
    }
    .render(&rig.upstream);
    let mut browser = Browser::new(&rig, rig.authorization());
    let (_, place) = browser.begin();
    let without = without_challenge(rig.authorization());
    assert!(rig.enter(&without).text().contains("missing_challenge"));

    rig.gate.configure(&lax);
    rig.gate.reloaded(&lax, 0);
    // Applied during a sign-in, which continues up to its token.
    let response = rig.get_with(&place, &browser.fields());
    let found = authorization_response(&response, &browser.authorization).expect("a response");
    assert_token(&rig.redeem(&browser.authorization, found.code()));
    let found = rig.sign_in(&without);
    let form = without.redemption(found.code()).without("code_verifier");
    assert_token(&rig.token(&form));
    let mut late = Browser::new(&rig, without_challenge(rig.authorization()));
    let late_code = rig.sign_in(&late.authorization).code().to_owned();

    let before = rig.gate.log().lines().count();
    rig.gate.configure(&strict);
    rig.gate.reloaded(&strict, before);
    let form = late.authorization.redemption(&late_code);
    assert_refused(&rig.token(&form.without("code_verifier")), "invalid_grant");
    late.authorization = without_challenge(rig.authorization());
    let refused = rig.enter(&late.authorization);
    let location = refused.header("location").unwrap_or_default();
    assert!(location.contains("error=invalid_request"), "{refused}");
}
