//! Sign-in pages that are applications: they get the code in JSON, and build the redirect to the client themselves
//! (`correlation = "cookie"`).

use serde_json::json;

use crate::support::client::{Authorization, assert_refused, assert_token};
use crate::support::http::Response;
use crate::support::rig::{Config, HOST, Jar, REDIRECT_URI, Rig, target};
use crate::support::scripted::{Act, Scripted, Shape, Then, app_answer, json as json_reply};
use crate::support::store::is_handle;

use super::assert_page;

const PKCE: &str =
    "correlation = \"cookie\"\ncode_in_json = [{ path = \"/app/flow/*\", pointer = \"/result\" }]";

fn rig() -> Rig {
    rig_with("")
}

fn rig_with(tables: &str) -> Rig {
    let rig = Rig::with(Config {
        pkce: PKCE,
        tables,
        ..Config::default()
    });
    rig.upstream.answer_with(Shape::App);
    rig
}

/// A tab of a browser with the application.
struct Tab {
    authorization: Authorization,
    /// The target in its address bar.
    address: String,
}

impl Tab {
    #[track_caller]
    fn open(rig: &Rig, jar: &mut Jar, authorization: Authorization) -> Self {
        let entered = jar.get(rig, &target(&authorization));
        assert_eq!(entered.status, 303, "{entered}");
        let address = entered.header("location").expect("a Location").to_owned();
        assert!(!address.contains("code_challenge"), "{address}");
        assert!(
            address.contains(authorization.state().expect("a state")),
            "the client's own state stays: {address}"
        );
        let page = jar.get(rig, &address);
        assert_eq!(page.status, 200, "{page}");
        assert_eq!(page.header("referrer-policy"), Some("same-origin"));
        Self {
            authorization,
            address,
        }
    }

    /// The last step of the login, with these members beside the password. `tells`: the browser sends Referer.
    fn log_in(
        &self,
        rig: &Rig,
        jar: &mut Jar,
        tells: bool,
        members: &serde_json::Value,
    ) -> Response {
        let nonce = self.authorization.params.get("nonce");
        let mut step = json!({ "nonce": nonce, "username": "u", "password": "p" });
        for (name, value) in members.as_object().expect("members") {
            step[name] = value.clone();
        }
        let (cookies, page) = (jar.cookies(), format!("http://gate.test{}", self.address));
        let mut fields = vec![("Content-Type", "application/json"), ("Cookie", &cookies)];
        if tells {
            fields.push(("Referer", &page));
        }
        let response = rig.post("/app/flow/7", &fields, &step.to_string());
        jar.keep(&response);
        response
    }

    #[track_caller]
    fn code(&self, rig: &Rig, jar: &mut Jar, tells: bool) -> String {
        let response = self.log_in(rig, jar, tells, &json!({}));
        assert_eq!(response.status, 200, "{response}");
        let code = response.json()["result"].as_str().unwrap().to_owned();
        assert!(is_handle(pkce_gate::parts::Purpose::Code, &code), "{code}");
        assert_eq!(
            response.text(),
            app_answer(&code),
            "everything else in the document stays"
        );
        rig.keep_out_of_the_log([code.clone()]);
        code
    }
}

#[test]
fn a_sign_in_ends_with_a_handle_that_its_verifier_redeems() {
    let (rig, mut jar) = (rig(), Jar::default());
    for tells in [true, false] {
        let tab = Tab::open(&rig, &mut jar, rig.authorization());
        let code = tab.code(&rig, &mut jar, tells);
        let redemption = tab.authorization.redemption(&code);
        assert_refused(
            &rig.token(&redemption.clone().without("code_verifier")),
            "invalid_grant",
        );
        let wrong = rig.authorization().verifier;
        assert_refused(
            &rig.token(&redemption.clone().with("code_verifier", &wrong)),
            "invalid_grant",
        );
        assert_refused(
            &rig.token(&redemption.clone().with("client_id", "other")),
            "invalid_grant",
        );
        assert_token(&rig.redeem(&tab.authorization, &code));
        assert_refused(&rig.token(&redemption), "invalid_grant");
    }
    let seen = rig.upstream.ledger();
    let seen: Vec<_> = seen
        .iter()
        .map(|request| request.query().to_owned())
        .collect();
    assert!(
        seen.iter().all(|query| !query.contains("pkce_gate")),
        "{seen:?}"
    );
    assert!(
        seen.iter().any(|query| query.contains("code_challenge")),
        "{seen:?}"
    );
}

#[test]
fn two_tabs_get_codes_of_their_own() {
    let (rig, mut jar) = (rig(), Jar::default());
    let [one, two] = [(); 2].map(|()| Tab::open(&rig, &mut jar, rig.authorization()));
    let (code_two, code_one) = (
        two.code(&rig, &mut jar, true),
        one.code(&rig, &mut jar, true),
    );
    assert_refused(
        &rig.token(&one.authorization.redemption(&code_two)),
        "invalid_grant",
    );
    assert_token(&rig.redeem(&one.authorization, &code_one));
    assert_token(&rig.redeem(&two.authorization, &code_two));
}

#[test]
fn tabs_that_the_browser_does_not_tell_apart_are_refused_until_one_is_left() {
    let (rig, mut jar) = (rig(), Jar::default());
    let [one, two] = [(); 2].map(|()| Tab::open(&rig, &mut jar, rig.authorization()));
    let refused = one.log_in(&rig, &mut jar, false, &json!({}));
    assert_page(&refused, 502, "several sign-ins of this browser");
    // The first has its answer; without another word the second is the only one that is still waiting.
    let code = one.code(&rig, &mut jar, true);
    assert_token(&rig.redeem(&one.authorization, &code));
    let code = two.code(&rig, &mut jar, false);
    assert_token(&rig.redeem(&two.authorization, &code));
}

#[test]
fn the_names_in_the_request_tell_tabs_apart() {
    let (rig, mut jar) = (rig(), Jar::default());
    let other = rig
        .authorization()
        .with("redirect_uri", "https://client.test/other");
    let one = Tab::open(&rig, &mut jar, rig.authorization());
    let _two = Tab::open(&rig, &mut jar, other);
    let _third = Tab::open(
        &rig,
        &mut jar,
        rig.authorization().with("client_id", "third"),
    );
    let named = json!({ "client_id": "pub", "redirect_uri": REDIRECT_URI });
    let response = one.log_in(&rig, &mut jar, false, &named);
    let code = response.json()["result"].as_str().unwrap().to_owned();
    assert_token(&rig.redeem(&one.authorization, &code));
}

/// Whether the request is of the only sign-in of the browser is then a guess.
#[test]
fn a_request_that_cannot_be_read_without_doubt_gets_no_code() {
    let (rig, mut jar) = (rig(), Jar::default());
    let tab = Tab::open(&rig, &mut jar, rig.authorization());
    let nonce = tab.authorization.params.get("nonce").unwrap();
    let plain = format!("{{\"nonce\":\"{nonce}\",\"password\":\"p\"");
    let (cookies, page) = (jar.cookies(), format!("http://gate.test{}", tab.address));
    let ask = |referers: &[&str], body: &str| {
        let mut fields = vec![("Content-Type", "application/json"), ("Cookie", &cookies)];
        fields.extend(referers.iter().map(|referer| ("Referer", *referer)));
        rig.post("/app/flow/7", &fields, body)
    };
    let body = format!("{plain}}}");
    let many = format!("{page}{}", "&a".repeat(128));
    let broken = page.replace('?', "?%zz=1&");
    let twice = format!("{page}&pkce_gate=other");
    let of_other = page.replace("pkce_gate=", "pkce_gate=x");
    let named = |members: &str| format!("{plain},{members}}}");
    for (referers, body) in [
        (&[many.as_str()][..], &body),
        (&[broken.as_str()], &body),
        (&[twice.as_str()], &body),
        (&[page.as_str(), of_other.as_str()], &body),
        (
            &[page.as_str()],
            &named("\"client_id\":\"other\",\"client_id\":\"pub\""),
        ),
        (&[], &named("\"client_id\":\"other\",\"x\":1,\"x\":2")),
        (&[], &named("\"client_id\":[\"other\"]")),
    ] {
        let refused = ask(referers, body);
        assert_page(&refused, 502, "several sign-ins of this browser");
    }
    // Nothing has ended.
    let code = tab.code(&rig, &mut jar, true);
    assert_token(&rig.redeem(&tab.authorization, &code));
}

/// A redirect that the server builds with the client's own state, in JSON as in a `Location`.
#[test]
fn a_url_in_json_is_found_by_its_redirect_uri_and_state() {
    let (rig, mut jar) = (rig(), Jar::default());
    let [one, two] = [(); 2].map(|()| Tab::open(&rig, &mut jar, rig.authorization()));
    for tab in [&two, &one] {
        let response = tab.log_in(&rig, &mut jar, false, &json!({ "url": true }));
        let url = response.json()["result"].as_str().unwrap().to_owned();
        let state = tab.authorization.state().unwrap();
        assert!(url.ends_with(&format!("&state={state}")), "{url}");
        let code = url
            .split("code=")
            .nth(1)
            .unwrap()
            .split('&')
            .next()
            .unwrap();
        assert_token(&rig.redeem(&tab.authorization, code));
    }
}

/// Base64 may begin with `/`, and a code may have any visible character (RFC 6749 appendix A.11).
#[test]
fn a_code_that_looks_like_a_url_is_replaced_all_the_same() {
    let (rig, mut jar) = (rig(), Jar::default());
    for own in [
        "/bc+/def/0123456789+/==",
        "ab?c/def0123456789",
        "/bc?def=0123456789",
        "abc:def0123456789",
    ] {
        rig.upstream.issue(own);
        rig.keep_out_of_the_log([own.to_owned()]);
        let tab = Tab::open(&rig, &mut jar, rig.authorization());
        let code = tab.code(&rig, &mut jar, true);
        assert_refused(
            &rig.token(&tab.authorization.redemption(own)),
            "invalid_grant",
        );
        assert_token(&rig.redeem(&tab.authorization, &code));
    }
}

/// RFC 8252 section 7.1: private-use schemes, with one slash.
#[test]
fn a_url_of_an_app_in_json_is_not_taken_for_a_code() {
    let (rig, mut jar) = (rig(), Jar::default());
    for (number, redirect) in ["com.example.app:/cb?", "com.example.app:/cb#", "myapp:/cb#"]
        .into_iter()
        .enumerate()
    {
        let own = format!("RAWCODE-{number}-0123456789");
        rig.keep_out_of_the_log([own.clone()]);
        let uri = redirect.trim_end_matches(['?', '#']);
        let authorization = rig.authorization().with("redirect_uri", uri);
        let tab = Tab::open(&rig, &mut jar, authorization);
        let state = tab.authorization.state().unwrap();
        let answer = |code: &str| format!("{redirect}code={code}&state={state}");
        let document = json!({ "result": answer(&own) });
        rig.upstream.once(
            "/app/flow/7",
            Act::Say(json_reply("200 OK", &document), Then::GoOn),
        );
        let response = tab.log_in(&rig, &mut jar, true, &json!({}));
        assert_eq!(response.status, 200, "{response}");
        let url = response.json()["result"].as_str().unwrap().to_owned();
        let code = url
            .split("code=")
            .nth(1)
            .and_then(|it| it.split('&').next());
        let code = code.expect("a code");
        assert!(is_handle(pkce_gate::parts::Purpose::Code, code), "{url}");
        assert_eq!(url, answer(code));
        // The redemption reaches the server with its own code.
        rig.redeem(&tab.authorization, code);
        let sent = rig.upstream.requests_to("/token").remove(number).form();
        assert_eq!(sent.get("code"), Some(&*own));
    }
}

#[test]
fn without_cookies_the_client_gets_an_error() {
    let rig = rig_with(&format!(
        "[[upstream.client]]\nid = \"pub\"\nredirect_uris = [\"{REDIRECT_URI}\"]"
    ));
    let authorization = rig.authorization();
    let entered = rig.enter(&authorization);
    let address = entered.header("location").unwrap().to_owned();
    let refused = rig.get(&address);
    let location = refused.header("location").expect("an error for the client");
    assert!(location.starts_with(REDIRECT_URI), "{location}");
    assert!(location.contains("error=invalid_request"), "{location}");
    assert!(
        location.contains("no+cookie") || location.contains("no%20cookie"),
        "{location}"
    );
    assert!(
        location.contains(authorization.state().unwrap()),
        "{location}"
    );
    assert!(rig.upstream.requests_to("/authorize").is_empty());
}

/// Its mark may be that of a sign-in before the exception was written.
#[test]
fn a_marked_request_of_an_observed_client_is_forwarded_without_the_mark() {
    let client = "[[upstream.client]]\nid = \"pub\"\nmode = \"report\"\nuntil = \"2999-01-01\"\nowner = \"x\"\nreason = \"y\"";
    let rig = Rig::pkce(&format!("correlation = \"cookie\"\n{client}")).unguarded();
    let bare = rig.authorization().without_challenge();
    let query = bare.params.encoded();
    rig.get(&format!("/authorize?{query}&pkce_gate=abc"));
    let sent = &rig.upstream.requests_to("/authorize")[0];
    assert_eq!(sent.query(), query);
    rig.gate.log_until(|log| log.contains("cookie_lost"));
}

#[test]
fn a_code_without_the_cookie_of_a_sign_in_is_not_delivered() {
    let (rig, mut jar) = (rig(), Jar::default());
    let tab = Tab::open(&rig, &mut jar, rig.authorization());
    for mut cookies in [Jar::default(), stranger(&rig)] {
        let refused = tab.log_in(&rig, &mut cookies, true, &json!({}));
        assert_page(&refused, 502, "without a live sign-in");
    }
    let code = tab.code(&rig, &mut jar, true);
    assert_token(&rig.redeem(&tab.authorization, &code));
}

/// The cookies of another browser, which signs in elsewhere.
fn stranger(rig: &Rig) -> Jar {
    let mut jar = Jar::default();
    Tab::open(rig, &mut jar, rig.authorization());
    jar
}

#[test]
fn a_marked_request_that_differs_from_its_sign_in_is_refused() {
    let (rig, mut jar) = (rig(), Jar::default());
    let tab = Tab::open(&rig, &mut jar, rig.authorization());
    for (from, to) in [
        ("client_id=pub", "client_id=other"),
        ("redirect_uri=https", "redirect_uri=http"),
        ("state=", "state=x"),
        ("response_type=code", "response_type=token"),
    ] {
        let address = tab.address.replace(from, to);
        assert_ne!(address, tab.address);
        assert_page(
            &jar.get(&rig, &address),
            400,
            "differs from what this sign-in began with",
        );
    }
    // Reload, and the page again.
    assert_eq!(jar.get(&rig, &tab.address).status, 200);
    let code = tab.code(&rig, &mut jar, true);
    assert_token(&rig.redeem(&tab.authorization, &code));
}

/// The browser keeps a limited number of cookies; the newest sign-ins count. A page that does not say whose requests it makes gets no
/// code then: it may be that of a sign-in without a cookie.
#[test]
fn many_tabs_leave_a_bounded_number_of_cookies() {
    let (rig, mut jar) = (rig(), Jar::default());
    let tabs: Vec<Tab> = (0..12)
        .map(|_| Tab::open(&rig, &mut jar, rig.authorization()))
        .collect();
    let flows = jar.0.iter().filter(|(name, _)| name.contains("-flow-"));
    assert!(flows.count() <= 9, "{jar:?}");
    assert!(jar.cookies().len() < 4096, "{jar:?}");
    let (first, last) = (&tabs[0], &tabs[11]);
    assert_page(
        &jar.get(&rig, &first.address),
        400,
        "no cookie of this sign-in",
    );
    let code = last.code(&rig, &mut jar, true);
    assert_token(&rig.redeem(&last.authorization, &code));
}

/// Windows of a hostile page begin a sign-in of the same client, and then so many others that the cookie of the first one goes.
#[test]
fn a_sign_in_whose_cookie_had_to_go_does_not_get_the_challenge_of_another() {
    let (rig, mut jar) = (rig(), Jar::default());
    let tab = Tab::open(&rig, &mut jar, rig.authorization());
    Tab::open(&rig, &mut jar, rig.authorization());
    for number in 0..7 {
        let other = rig.authorization();
        Tab::open(
            &rig,
            &mut jar,
            other.with("client_id", &format!("other-{number}")),
        );
    }
    let names = json!({ "client_id": "pub" });
    let refused = tab.log_in(&rig, &mut jar, false, &names);
    assert_page(&refused, 502, "several sign-ins of this browser");
}

/// A browser sees no `__Host-` behind such blanks, and so any host of the domain can set the cookie.
#[test]
fn a_cookie_with_a_blank_before_its_name_is_none() {
    let (rig, mut jar) = (rig(), Jar::default());
    let tab = Tab::open(&rig, &mut jar, rig.authorization());
    for blank in ["\u{2000}", "\u{a0}", "\u{85}", "\u{3000}"] {
        let mut tossed = Jar::default();
        for (name, value) in &jar.0 {
            tossed.0.push((format!("{blank}{name}"), value.clone()));
        }
        let refused = tab.log_in(&rig, &mut tossed, true, &json!({}));
        assert_page(&refused, 502, "without a live sign-in");
    }
    let mut tossed = Jar::default();
    for (name, value) in &jar.0 {
        tossed.0.push((format!(" \t{name}"), value.clone()));
    }
    let code = tab.code(&rig, &mut tossed, true);
    assert_token(&rig.redeem(&tab.authorization, &code));
}

/// Also many of them: the one with the handle counts.
#[test]
fn cookies_of_another_host_do_not_hide_those_of_the_gate() {
    let (rig, mut jar) = (rig(), Jar::default());
    let tab = Tab::open(&rig, &mut jar, rig.authorization());
    let own = jar.0.iter().find(|(name, _)| name.contains("-flow-"));
    let (own, _) = own.expect("a cookie").clone();
    let junk = |number: usize| format!("pkce-gate-flow-{number:022}");
    let mut cookies: Vec<_> = (0..20)
        .map(|number| (junk(number), "1.x".to_owned()))
        .collect();
    cookies.push((own, "1.x".to_owned()));
    cookies.extend(jar.0.clone());
    let mut tossed = Jar(cookies);
    assert_eq!(
        rig.get_with(&tab.address, &[("Cookie", &tossed.cookies())])
            .status,
        200
    );
    let code = tab.code(&rig, &mut tossed, true);
    assert_token(&rig.redeem(&tab.authorization, &code));
}

/// Two servers behind one host: the browser sends both the cookies of sign-ins at either. They contain handles.
#[test]
fn a_server_does_not_get_the_cookies_of_sign_ins_at_another() {
    let other = Scripted::start();
    let url = other.url();
    let tables = format!(
        "[[upstream]]\nname = \"other\"\nurl = \"{url}\"\npublic_url = \"http://{HOST}\"\nprefix = \"/other\"\n\
         [upstream.endpoints]\nauthorization = [\"/authorize\"]\ntoken = [\"/token\"]\nmetadata = []\n"
    );
    let (rig, mut jar) = (rig_with(&tables), Jar::default());
    let tab = Tab::open(&rig, &mut jar, rig.authorization());
    jar.0
        .push(("session".to_owned(), "of-the-server".to_owned()));
    let cookies = jar.cookies();
    assert!(cookies.contains("-flow-"), "{cookies}");
    let page = rig.get_with("/other/page", &[("Cookie", &cookies)]);
    assert_eq!(page.status, 200, "{page}");
    let query = rig.authorization().params.encoded();
    let entry = rig.get_with(
        &format!("/other/authorize?{query}"),
        &[("Cookie", &cookies)],
    );
    let entry = entry.header("location").expect("a Location").to_owned();
    rig.get_with(&entry, &[("Cookie", &cookies)]);
    let seen: Vec<_> = other.ledger();
    assert_eq!(seen.len(), 2);
    for request in seen {
        assert_eq!(request.header("cookie"), Some("session=of-the-server"));
    }
    let code = tab.code(&rig, &mut jar, true);
    assert_token(&rig.redeem(&tab.authorization, &code));
}
