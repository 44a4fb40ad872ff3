//! First-party apps (draft-ietf-oauth-first-party-apps): the app sends its user's credentials to the authorization challenge
//! endpoint, and gets the code in JSON.

use serde_json::{Value, json};

use pkce_gate::parts::Purpose;

use crate::support::client::{assert_refused, assert_token};
use crate::support::http::Response;
use crate::support::params::{Params, s256, unguessable};
use crate::support::rig::{Config, Rig};
use crate::support::scripted::{Act, Then, json as json_reply, reply};
use crate::support::store::is_handle;

const ENDPOINT: &str = "/challenge";

fn rig(pkce: &str) -> Rig {
    let rig = Rig::with(Config {
        pkce,
        endpoints: "authorization_challenge = [\"/challenge\"]",
        log: "level = \"trace\"",
        ..Config::default()
    });
    // For every code that the gate lets through.
    let token = json!({ "access_token": "at", "token_type": "Bearer" });
    let act = Act::Say(json_reply("200 OK", &token), Then::GoOn);
    rig.upstream.on("/token", act);
    rig
}

/// An app in the middle of a sign-in.
struct App {
    verifier: String,
    /// The upstream's own code.
    own: String,
    session: String,
}

impl App {
    fn new(rig: &Rig) -> Self {
        let app = Self {
            verifier: unguessable(),
            own: format!("own/{}", unguessable()),
            session: unguessable(),
        };
        rig.keep_out_of_the_log([app.verifier.clone(), app.own.clone(), app.session.clone()]);
        app
    }

    /// The first request, with a challenge.
    fn first(&self) -> Params {
        Params::default()
            .with("client_id", "pub")
            .with("scope", "openid")
            .with("username", "alice")
            .with("code_challenge", &s256(&self.verifier))
            .with("code_challenge_method", "S256")
    }

    /// A further request of the same sign-in.
    fn next(&self) -> Params {
        Params::default()
            .with("client_id", "pub")
            .with("auth_session", &self.session)
            .with("otp", "123456")
    }

    /// The upstream asks for more.
    fn asks(&self, rig: &Rig) {
        let error = json!({ "error": "insufficient_authorization", "auth_session": self.session });
        answers(rig, "403 Forbidden", &error);
    }

    /// The upstream issues the code.
    fn issues(&self, rig: &Rig) {
        answers(
            rig,
            "200 OK",
            &json!({ "authorization_code": self.own, "x": [1.50] }),
        );
    }

    fn redemption(&self, code: &str) -> Params {
        Params::default()
            .with("grant_type", "authorization_code")
            .with("client_id", "pub")
            .with("code", code)
            .with("code_verifier", &self.verifier)
    }
}

/// The answer to the next request at the endpoint.
fn answers(rig: &Rig, status: &str, document: &Value) {
    rig.upstream
        .once(ENDPOINT, Act::Say(json_reply(status, document), Then::GoOn));
}

fn challenge(rig: &Rig, form: &Params) -> Response {
    rig.post(ENDPOINT, &[], &form.encoded())
}

#[track_caller]
fn code_in(response: &Response) -> String {
    assert_eq!(response.status, 200, "{response}");
    let code = response.json()["authorization_code"]
        .as_str()
        .map(str::to_owned);
    code.unwrap_or_else(|| panic!("{response}"))
}

/// Only the verifier buys a token, and only once.
#[track_caller]
fn assert_bound(rig: &Rig, app: &App, code: &str) {
    let right = app.redemption(code);
    for wrong in [
        right.clone().without("code_verifier"),
        right.clone().with("code_verifier", &unguessable()),
        right.clone().with("client_id", "other"),
        app.redemption(&app.own),
    ] {
        assert_refused(&rig.token(&wrong), "invalid_grant");
    }
    let before = rig.forwarded();
    assert_token(&rig.token(&right));
    let sent = rig.upstream.requests_to("/token").remove(before).form();
    assert_eq!(sent.get("code"), Some(&*app.own));
    assert_refused(&rig.token(&right), "invalid_grant");
    assert_eq!(rig.forwarded(), before + 1);
}

#[test]
fn a_code_in_json_is_bound_to_the_challenge_and_replaced() {
    let rig = rig("");
    let app = App::new(&rig);
    let text = format!(
        "{{ \"x\" : 1.50,\n\"authorization_code\":\"{}\"}}\r\n",
        app.own.replace('/', "\\/")
    );
    let fields = [("Content-Type", "application/json"), ("X-Own", "kept")];
    rig.upstream.once(
        ENDPOINT,
        Act::Say(reply("200 OK", &fields, text.as_bytes()), Then::GoOn),
    );
    let response = challenge(&rig, &app.first());
    let code = code_in(&response);
    assert!(is_handle(Purpose::Code, &code), "{code}");
    assert_eq!(
        response.text(),
        text.replace(&app.own.replace('/', "\\/"), &code)
    );
    assert_eq!(response.header("x-own"), Some("kept"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let asked = rig.upstream.requests_to(ENDPOINT).remove(0).form();
    for (name, value) in app.first().iter() {
        assert_eq!(asked.get(name), Some(value), "{name}");
    }
    assert_bound(&rig, &app, &code);
}

#[test]
fn the_challenge_may_be_in_the_first_request_only() {
    for to_upstream in ["forward", "strip", "replace"] {
        let rig = rig(&format!("to_upstream = \"{to_upstream}\""));
        let mut app = App::new(&rig);
        app.asks(&rig);
        let response = challenge(&rig, &app.first());
        assert_eq!(response.status, 403, "{response}");
        assert_eq!(response.json()["auth_session"], *app.session);
        // The server gives another one with each step.
        let first = std::mem::replace(&mut app.session, unguessable());
        app.asks(&rig);
        let response = challenge(&rig, &app.next().with("auth_session", &first));
        assert_eq!(response.json()["auth_session"], *app.session);
        app.issues(&rig);
        let code = code_in(&challenge(&rig, &app.next()));
        let asked = rig.upstream.requests_to(ENDPOINT);
        let sent: Vec<_> = asked
            .iter()
            .map(|request| request.form().get("code_challenge").map(str::to_owned))
            .collect();
        let of_client = s256(&app.verifier);
        match to_upstream {
            "forward" => assert_eq!(sent[0].as_ref(), Some(&of_client)),
            "strip" => assert_eq!(sent[0], None),
            _ => assert!(sent[0].as_ref().is_some_and(|sent| *sent != of_client)),
        }
        assert_eq!(sent[1..], [None, None]);
        assert_bound(&rig, &app, &code);
        let token = rig.upstream.requests_to("/token").remove(0).form();
        let verifier = token.get("code_verifier").map(s256);
        assert_eq!(verifier, sent[0], "both halves or none: {to_upstream}");
    }
}

#[test]
fn a_sign_in_cannot_go_on_with_another_challenge_or_client() {
    let rig = rig("");
    let (app, attacker) = (App::new(&rig), App::new(&rig));
    app.asks(&rig);
    challenge(&rig, &app.first());
    let stolen = app.next();
    for wrong in [
        stolen
            .clone()
            .with("code_challenge", &s256(&attacker.verifier))
            .with("code_challenge_method", "S256"),
        stolen
            .clone()
            .with("code_challenge", &s256(&app.verifier))
            .with("code_challenge_method", "plain"),
        stolen.clone().with("code_challenge_method", "S256"),
        stolen.clone().with("client_id", "other"),
        stolen.clone().without("client_id"),
        // Unknown, and without a challenge.
        stolen.clone().with("auth_session", &unguessable()),
        stolen.clone().with("Auth_Session", &unguessable()),
    ] {
        assert_refused(&challenge(&rig, &wrong), "invalid_request");
    }
    assert_eq!(rig.upstream.requests_to(ENDPOINT).len(), 1);
    // Whoever sends the next request, its code belongs to the app's verifier.
    app.issues(&rig);
    let code = code_in(&challenge(&rig, &stolen));
    assert_refused(&rig.token(&attacker.redemption(&code)), "invalid_grant");
    assert_bound(&rig, &app, &code);
    // The same challenge may be repeated. If the server repeats the code, it stays redeemed.
    app.issues(&rig);
    let again = stolen
        .with("code_challenge", &s256(&app.verifier))
        .with("code_challenge_method", "S256");
    let code = code_in(&challenge(&rig, &again));
    assert_refused(&rig.token(&app.redemption(&code)), "invalid_grant");
}

/// A server may look its sessions up in a database that ignores case and trailing blanks, or as UUIDs.
#[test]
fn a_session_in_another_spelling_begins_no_second_sign_in() {
    let rig = rig("");
    let (mut app, attacker) = (App::new(&rig), App::new(&rig));
    app.session = "A0EEbc99-9c0b-4ef8-bb6d-6bb9bd380A11".to_owned();
    app.asks(&rig);
    challenge(&rig, &app.first());
    let session = &app.session;
    let escaped = |text: &str| text.replacen("EE", "%45%45", 1);
    for (spelled, reason) in [
        (session.to_lowercase(), "code_challenge"),
        (session.to_uppercase(), "code_challenge"),
        (session.replace('-', ""), "code_challenge"),
        (format!("{{{session}}}"), "code_challenge"),
        (escaped(session), "code_challenge"),
        (escaped(session).replace('%', "%25"), "code_challenge"),
        (format!("{session} "), "auth_session"),
        (format!(" {session}"), "auth_session"),
        (format!("{session}%20"), "auth_session"),
        (format!("{session}\u{a0}"), "auth_session"),
        (format!("{session}%00"), "auth_session"),
    ] {
        let stolen = attacker.first().with("auth_session", &spelled);
        let refused = challenge(&rig, &stolen);
        assert_refused(&refused, "invalid_request");
        assert!(refused.text().contains(reason), "{spelled:?}: {refused}");
    }
    assert_eq!(rig.upstream.requests_to(ENDPOINT).len(), 1);
    // The app itself may spell it as it likes: the code belongs to its verifier.
    app.issues(&rig);
    let next = app.next().with("auth_session", &session.to_lowercase());
    let code = code_in(&challenge(&rig, &next));
    assert_refused(&rig.token(&attacker.redemption(&code)), "invalid_grant");
    assert_bound(&rig, &app, &code);
}

/// The next request could not be recognised.
#[test]
fn a_session_that_servers_read_differently_is_not_delivered() {
    let rig = rig("");
    let mut app = App::new(&rig);
    app.session.push(' ');
    app.asks(&rig);
    let response = challenge(&rig, &app.first());
    assert_eq!(response.status, 502, "{response}");
    assert!(response.text().contains("auth_session"), "{response}");
    rig.gate
        .log_until(|log| log.contains("unbound_code_in_response"));
}

/// The server gives one `auth_session` to two sign-ins, or one that clients may read differently.
#[test]
fn a_session_that_cannot_be_told_from_another_is_not_delivered() {
    let rig = rig("");
    let (app, mut other) = (App::new(&rig), App::new(&rig));
    app.asks(&rig);
    assert_eq!(challenge(&rig, &app.first()).status, 403);
    other.session.clone_from(&app.session);
    other.asks(&rig);
    let response = challenge(&rig, &other.first());
    assert_eq!(response.status, 502, "{response}");
    assert!(!response.text().contains(&app.session), "{response}");
    rig.gate
        .log_until(|log| log.contains("an auth_session that belongs to another sign-in"));
    // Neither goes on: whose credentials the server has is not known.
    for next in [app.next(), other.next()] {
        assert_refused(&challenge(&rig, &next), "invalid_request");
    }
    let session = App::new(&rig).session;
    for (kind, text) in [
        (
            "text/plain",
            format!("{{\"auth_session\":\"{session}\",\"auth_session\":\"b\"}}"),
        ),
        (
            "application/json",
            format!("\u{feff}{{\"auth_session\":\"{session}\"}}"),
        ),
        (
            "application/json",
            format!("{{\"auth_session\":\"{session}\""),
        ),
    ] {
        let answer = reply(
            "400 Bad Request",
            &[("Content-Type", kind)],
            text.as_bytes(),
        );
        rig.upstream.once(ENDPOINT, Act::Say(answer, Then::GoOn));
        let response = challenge(&rig, &app.first());
        assert_eq!(response.status, 502, "{text}: {response}");
    }
    // Other errors are the server's.
    for (kind, text) in [
        ("text/html", "<p>Too many requests"),
        ("application/json", ""),
    ] {
        let answer = reply("429 Slow Down", &[("Content-Type", kind)], text.as_bytes());
        rig.upstream.once(ENDPOINT, Act::Say(answer, Then::GoOn));
        let response = challenge(&rig, &app.first());
        assert_eq!((response.status, response.text()), (429, text));
    }
}

#[test]
fn without_a_valid_challenge_no_sign_in_begins() {
    let rig = rig("");
    let app = App::new(&rig);
    let right = app.first();
    for wrong in [
        right
            .clone()
            .without("code_challenge")
            .without("code_challenge_method"),
        right.clone().without("code_challenge"),
        right.clone().without("code_challenge_method"),
        right.clone().with("code_challenge", "short"),
        right.clone().without("client_id"),
    ] {
        assert_refused(&challenge(&rig, &wrong), "invalid_request");
    }
    let get = rig.get(&format!("{ENDPOINT}?{}", right.encoded()));
    assert_eq!(get.status, 405, "{get}");
    let query = rig.post(&format!("{ENDPOINT}?x=1"), &[], &right.encoded());
    assert_refused(&query, "invalid_request");
    assert!(rig.upstream.ledger().is_empty());
    let none = self::rig("response_types = [\"token\"]").unguarded();
    assert_refused(&challenge(&none, &right), "unsupported_response_type");
}

/// Until pushed authorization requests exist, the authorization endpoint would refuse it.
#[test]
fn a_redirect_to_the_web_passes_without_a_request_uri() {
    let rig = rig("");
    let app = App::new(&rig);
    let error = json!({ "error": "redirect_to_web" });
    answers(&rig, "400 Bad Request", &error);
    let response = challenge(&rig, &app.first());
    assert_eq!((response.status, response.json()), (400, error));
    let with = json!({ "error": "redirect_to_web", "request_uri": "urn:x", "expires_in": 60 });
    answers(&rig, "400 Bad Request", &with);
    let response = challenge(&rig, &app.first());
    assert_eq!(response.status, 502, "{response}");
    assert_eq!(response.json()["error"], "request_uri_not_supported");
    rig.gate
        .log_until(|log| log.contains("request_object_refused"));
}

#[test]
fn an_answer_whose_code_cannot_be_replaced_is_refused() {
    let rig = rig("");
    let app = App::new(&rig);
    let own = &app.own;
    for (status, text) in [
        ("200 OK", format!("{{\"code\":\"{own}\"}}")),
        (
            "200 OK",
            format!("{{\"authorization_code\":\"{own}\",\"authorization_code\":\"b\"}}"),
        ),
        (
            "200 OK",
            format!("{{\"authorization_code\":\"{own}\",\"copy\":\"{own}\"}}"),
        ),
        (
            "200 OK",
            format!("{{\"data\":{{\"authorization_code\":\"{own}\"}}}}"),
        ),
        ("200 OK", format!("authorization_code={own}")),
        (
            "400 Bad Request",
            format!("{{\"authorization_code\":\"{own}\"}}"),
        ),
        ("302 Found", String::new()),
    ] {
        let fields = [("Content-Type", "application/json"), ("Location", "/x")];
        let answer = reply(status, &fields, text.as_bytes());
        rig.upstream.once(ENDPOINT, Act::Say(answer, Then::GoOn));
        let response = challenge(&rig, &app.first());
        assert_eq!(response.status, 502, "{text}: {response}");
        assert!(!response.text().contains(own), "{response}");
    }
}

/// A stolen code of the server comes back in the answer to an attacker's own sign-in.
#[test]
fn a_stolen_code_is_not_bound_to_another_sign_in() {
    for codes in ["handle", "upstream"] {
        let rig = rig(&format!("codes = \"{codes}\"")).unguarded();
        let (victim, attacker) = (App::new(&rig), App::new(&rig));
        victim.issues(&rig);
        let code = code_in(&challenge(&rig, &victim.first()));
        // By mistake, the server gives the attacker the code of the victim.
        victim.issues(&rig);
        let response = challenge(&rig, &attacker.first());
        assert_eq!(response.status, 502, "{codes}: {response}");
        // Or it repeats a code from the request, which the gate does not know yet.
        let fresh = App::new(&rig);
        fresh.issues(&rig);
        let response = challenge(&rig, &attacker.first().with("echo", &fresh.own));
        assert_eq!(response.status, 502, "{codes}: {response}");
        for code in [&code, &victim.own, &fresh.own] {
            assert_refused(&rig.token(&attacker.redemption(code)), "invalid_grant");
        }
        // The state of a sign-in in a browser is no `auth_session`.
        let entry = match codes {
            "handle" => crate::support::rig::handle_of(&rig.entry(&rig.authorization())),
            _ => rig.authorization().state().unwrap_or_default().to_owned(),
        };
        let stolen = attacker.next().with("auth_session", &entry);
        assert_refused(&challenge(&rig, &stolen), "invalid_request");
        assert_eq!(rig.forwarded(), 0, "{codes}");
        assert_token(&rig.token(&victim.redemption(&code)));
    }
}

#[test]
fn an_app_gets_the_servers_own_code_where_codes_travel() {
    let rig = rig("codes = \"upstream\"").unguarded();
    let app = App::new(&rig);
    app.asks(&rig);
    challenge(&rig, &app.first());
    app.issues(&rig);
    let code = code_in(&challenge(&rig, &app.next()));
    assert_eq!(code, app.own);
    let sent = rig.upstream.requests_to(ENDPOINT);
    assert_eq!(sent[0].text(), app.first().encoded());
    assert_eq!(sent[1].text(), app.next().encoded());
    let right = app.redemption(&code);
    assert_refused(
        &rig.token(&right.clone().without("code_verifier")),
        "invalid_grant",
    );
    assert_refused(
        &rig.token(&right.clone().with("code_verifier", &unguessable())),
        "invalid_grant",
    );
    assert_token(&rig.token(&right));
    assert_refused(&rig.token(&right), "invalid_grant");
}

#[test]
fn report_mode_changes_nothing() {
    let rig = rig("mode = \"report\"").unguarded();
    let app = App::new(&rig);
    let without = app
        .first()
        .without("code_challenge")
        .without("code_challenge_method");
    app.issues(&rig);
    let code = code_in(&challenge(&rig, &without));
    assert_eq!(code, app.own);
    assert_eq!(
        rig.upstream.requests_to(ENDPOINT)[0].text(),
        without.encoded()
    );
    rig.gate.log_until(|log| {
        log.contains("\"decision\":\"reported\",\"violation\":\"missing_challenge\"")
    });
    assert_token(&rig.token(&app.redemption(&code).without("code_verifier")));
}
