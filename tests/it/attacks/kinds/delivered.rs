//! Answers that must be delivered although the server writes them differently from the client, or although an attacker tries to
//! prevent it; and answers that only look similar.
//!
//! `redirect_uris_as_servers_write_them` fails without `Location::route`, `redirect::normalized` and `belongs::is_target`,
//! `redirect_uris_with_escapes_and_their_own_parameters` without `redirect::in_one_spelling` and `jarm::is_response`,
//! `other_redirect_uris_are_refused` without the second arm of `belongs::out_of_band`, `stored_texts` if only handles of live
//! sign-ins count in `concern::is_planted`.

use super::super::FORM;
use super::unreadable::raw;
use super::{answered, redirect};
use crate::support::http::Response;
use crate::support::params::encode;
use crate::support::rig::{Config, HOST, REDIRECT_URI, Rig, handle_of, request};
use crate::support::scripted::{Shape, reply};

/// The client's answer in a sign-in with this redirect URI if the upstream redirects to `to`, and the handle of the sign-in.
fn redirected(rig: &Rig, redirect_uri: &str, to: &str) -> (Response, String) {
    let authorization = rig.authorization().with("redirect_uri", redirect_uri);
    let entry = rig.entry(&authorization);
    let handle = handle_of(&entry);
    let location = to.replace("RAW", &raw(&handle)).replace("HANDLE", &handle);
    let bytes = request("GET", &entry, &[], None);
    (answered(rig, &bytes, redirect(&location)), handle)
}

/// The client receives a handle there, and the other parameters of the upstream stay.
#[track_caller]
fn is_delivered(rig: &Rig, redirect_uri: &str, to: &str) {
    let to = &to.replace("UPSTREAM", &rig.upstream.url());
    let (response, handle) = redirected(rig, redirect_uri, to);
    let location = response.header("location").unwrap_or_default();
    let before = to.replace(&rig.upstream.url(), "http://gate.test");
    let (before, _) = before.split_once("code=RAW").expect("a code");
    assert!(location.contains("code=pgc"), "{to}: {response}");
    assert!(
        before.contains("HANDLE") || location.starts_with(before),
        "{response}"
    );
    assert!(!response.to_string().contains(&handle), "{to}: {response}");
    assert!(
        !response.to_string().contains(&raw(&handle)),
        "{to}: {response}"
    );
}

/// Applications that keep their own addresses in the fragment, and private URI schemes whose rest the server writes in lower
/// case.
#[test]
fn redirect_uris_as_servers_write_them() {
    let rig = Rig::new();
    for (redirect_uri, to) in [
        (
            "https://app.test/#/cb",
            "https://app.test/#/cb?code=RAW&state=HANDLE",
        ),
        (
            "https://app.test/#!/cb",
            "https://app.test/#!/cb?state=HANDLE&code=RAW",
        ),
        (
            "https://app.test/#/cb",
            "https://app.test/?code=RAW&state=HANDLE#/cb",
        ),
        (
            "https://app.test/#cb",
            "https://app.test/#cb?code=RAW&state=HANDLE",
        ),
        (
            "https://app.test/#login.done",
            "https://app.test/#login.done?state=HANDLE&code=RAW&iss=i",
        ),
        (
            "https://app.test/#",
            "https://app.test/#?code=RAW&state=HANDLE",
        ),
        (
            "https://app.test/x#/a/b",
            "https://app.test/x#/a/b?code=RAW&iss=i&state=HANDLE",
        ),
        ("MyApp://Auth", "myapp://auth?code=RAW&state=HANDLE"),
        ("MyApp://Auth", "myapp://auth/?code=RAW&state=HANDLE"),
        ("MyApp://Auth/CB", "myapp://auth/CB?code=RAW&state=HANDLE"),
        (
            "com.app.test://Auth",
            "com.app.test://Auth/?code=RAW&state=HANDLE",
        ),
        ("http://gate.test/app/cb", "/app/cb?code=RAW&state=HANDLE"),
        (
            "http://gate.test/app/cb",
            "//gate.test/app/cb#code=RAW&state=HANDLE",
        ),
        (
            "http://gate.test/app/cb",
            "UPSTREAM/app/cb?code=RAW&state=HANDLE",
        ),
    ] {
        is_delivered(&rig, redirect_uri, to);
    }
}

/// With escapes that a server writes differently, and with parameters that look like those of a response.
#[test]
fn redirect_uris_with_escapes_and_their_own_parameters() {
    let rig = Rig::new();
    for (redirect_uri, to) in [
        (
            "https://app.test/%7Ejo/cb",
            "https://app.test/~jo/cb?code=RAW&state=HANDLE",
        ),
        (
            "https://app.test/~jo/c-b",
            "https://app.test/%7ejo/c%2Db?code=RAW&state=HANDLE",
        ),
        (
            "https://app.test/a%3ab/\u{e9}",
            "https://app.test/a%3Ab/%C3%A9#code=RAW&state=HANDLE",
        ),
        (
            "com.app.test:/a|b",
            "com.app.test:/a%7Cb?code=RAW&state=HANDLE",
        ),
        (
            "http://gate.test/app/~cb",
            "/app/%7Ecb?code=RAW&state=HANDLE",
        ),
        (
            "https://app.test/cb?response=x",
            "https://app.test/cb?response=x&code=RAW&state=HANDLE",
        ),
        (
            "https://app.test/cb?Response=v1.2&a=b",
            "https://app.test/cb?Response=v1.2&a=b&code=RAW&state=HANDLE",
        ),
        (
            "https://app.test/#/cb?response=challenge",
            "https://app.test/#/cb?response=challenge&state=HANDLE&code=RAW",
        ),
    ] {
        is_delivered(&rig, redirect_uri, to);
    }
}

/// At another address, with another code next to it, or without the state of the sign-in.
#[test]
fn other_redirect_uris_are_refused() {
    let rig = Rig::new();
    for (redirect_uri, to) in [
        (
            "https://app.test/#/cb",
            "https://evil.test/#/cb?code=RAW&state=HANDLE",
        ),
        (
            "https://app.test/#/cb",
            "https://app.test/x#/cb?code=RAW&state=HANDLE",
        ),
        (
            "https://app.test/#/cb",
            "https://app.test/#/cb?code=RAW&state=HANDLE&code=another-1",
        ),
        (
            "https://app.test/#/cb",
            "https://app.test/#/cb?code=RAW&state=HANDLE#access_token=another-1",
        ),
        (
            "https://app.test/#/cb",
            "https://app.test/?code=another-1#/cb?code=RAW&state=HANDLE",
        ),
        (
            "https://app.test/#/cb",
            "https://app.test/#/cb?x=1#/?code=RAW&state=HANDLE",
        ),
        (
            "https://app.test/#cb",
            "https://app.test/#cb?code=RAW&state=HANDLE&Code=another-1",
        ),
        (
            "https://app.test/#cb",
            "https://app.test/#cb?x=y?code=RAW&state=HANDLE",
        ),
        (
            "https://app.test/a%2Fb",
            "https://app.test/a/b?code=RAW&state=HANDLE",
        ),
        (
            "https://app.test/a;b",
            "https://app.test/a%3Bb?code=RAW&state=HANDLE",
        ),
        (
            "https://app.test/%257Ecb",
            "https://app.test/%7Ecb?code=RAW&state=HANDLE",
        ),
        (
            "https://app.test/cb",
            "https://app.test/%43b?code=RAW&state=HANDLE",
        ),
        ("MyApp://Auth/CB", "myapp://auth/cb?code=RAW&state=HANDLE"),
        ("MyApp://Auth", "myapp2://auth?code=RAW&state=HANDLE"),
        ("MyApp://Auth", "myapp://auth:1/?code=RAW&state=HANDLE"),
        ("MyApp://Auth", "myapp://x@auth/?code=RAW&state=HANDLE"),
        ("MyApp://Auth", "myapp:/auth/?code=RAW&state=HANDLE"),
        ("http://gate.test/app/cb", "app/cb?code=RAW&state=HANDLE"),
        ("http://gate.test/app/cb", "/app/cb/?code=RAW&state=HANDLE"),
        (
            "http://gate.test/app/cb",
            "/app/x/../cb2?code=RAW&state=HANDLE",
        ),
        // Without its state the gate cannot identify the sign-in.
        ("http://gate.test/app/cb", "/app/cb?code=RAW"),
        (
            "http://gate.test/app/cb",
            "http://gate.test/app/cb?code=RAW&state=x",
        ),
    ] {
        let (response, handle) = redirected(&rig, redirect_uri, to);
        assert_eq!(response.status, 502, "{to}: {response}");
        assert!(
            !response.to_string().contains(&raw(&handle)),
            "{to}: {response}"
        );
    }
}

/// An error response as a redirect, and as a page that submits itself.
fn error_answers(parameters: &[(&str, &str)]) -> [String; 2] {
    let pairs = parameters
        .iter()
        .map(|(name, value)| format!("&{name}={}", encode(value)));
    let field = |(name, value): &(&str, &str)| format!("<input name={name} value=\"{value}\">");
    let fields: Vec<_> = parameters.iter().map(field).collect();
    [
        format!(
            "https://app.test/cb?error=access_denied&state=HANDLE{}",
            pairs.collect::<String>()
        ),
        format!(
            "<form method=post action=https://app.test/cb><input name=error value=access_denied>\
             <input name=state value=HANDLE>{}</form>",
            fields.concat()
        ),
    ]
}

/// The URI of an error page may contain a `code`. Fails if `Check` searches the explanation of an error for codes.
#[test]
fn errors_with_a_page_that_has_a_code() {
    let rig = Rig::new();
    let answer_to = |text: &str| {
        let authorization = rig
            .authorization()
            .with("redirect_uri", "https://app.test/cb");
        let entry = rig.entry(&authorization);
        let handle = handle_of(&entry);
        let text = text.replace("HANDLE", &handle);
        let answer = if text.starts_with('<') {
            reply("200 OK", &[("Content-Type", "text/html")], text.as_bytes())
        } else {
            redirect(&text)
        };
        let response = answered(&rig, &request("GET", &entry, &[], None), answer);
        (response, handle)
    };
    for explanation in [
        ("error_uri", "https://login.test/error?code=50000111"),
        (
            "error_uri",
            "https://login.test/e?x=1&code=AADB2C90118#code=90118-90118",
        ),
        (
            "error_description",
            "AADB2C90118: see https://login.test/?code=AADB2C90118",
        ),
    ] {
        for text in error_answers(&[explanation]) {
            let (response, handle) = answer_to(&text);
            assert_ne!(response.status, 502, "{text}: {response}");
            assert!(
                !response.to_string().contains(&handle),
                "{text}: {response}"
            );
        }
    }
    for parameters in [
        [
            ("error_uri", "https://login.test/"),
            ("next", "https://login.test/?code=50000111"),
        ],
        [
            ("error_uri", "https://login.test/"),
            ("code", "50000111-50000111"),
        ],
        [
            ("error_uri", "https://login.test/"),
            ("Code", "50000111-50000111"),
        ],
        [
            (
                "error_uri",
                "https://login.test/#access_token=50000111-50000111",
            ),
            ("x", "y"),
        ],
        [
            ("error_description", "{access_token: '50000111-50000111'}"),
            ("x", "y"),
        ],
    ] {
        for text in error_answers(&parameters) {
            let (response, _) = answer_to(&text);
            assert_eq!(response.status, 502, "{text}: {response}");
        }
    }
}

/// A text that would block every page which shows it: it is refused in a request, while its sign-in is live and afterwards.
#[test]
fn stored_texts() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    let entry = rig.entry(&authorization);
    let handle = handle_of(&entry);
    let text = format!("{handle}?code=A1b2C3d4E5");
    let refused = |shown: &str| {
        for (form, fields) in [
            (
                format!("name={}", text.replace('?', "%3F").replace('=', "%3D")),
                vec![],
            ),
            (
                serde_json::json!({ "name": text }).to_string(),
                vec![("Content-Type", "application/json")],
            ),
        ] {
            let before = rig.upstream.ledger().len();
            let bytes = request("POST", "/profile", &fields, Some(&form));
            let response = rig.send(&bytes);
            assert_eq!(response.status, 400, "{shown}: {response}");
            assert_eq!(rig.upstream.ledger().len(), before, "{shown}");
        }
    };
    refused("alive");
    let bytes = request("GET", &entry, &[], None);
    let elsewhere = format!("https://evil.test/?code={}&state={handle}", raw(&handle));
    assert_eq!(answered(&rig, &bytes, redirect(&elsewhere)).status, 502);
    refused("over");
    // A text with only a dead handle, or only a code, passes.
    let page = format!("<p>{handle}<p>{{\"code\":\"LOGIN_ERROR\"}}");
    let answer = reply("200 OK", &[("Content-Type", "text/html")], page.as_bytes());
    let bytes = request("GET", "/admin/log", &[], None);
    assert_eq!(answered(&rig, &bytes, answer).status, 200);
}

/// The last request of a sign-in has a chunked body, an empty one, or one with a length; or it is the answer of another server.
/// Fails if the end of a chunked body is not detected, or if requests at a listed callback are not read.
#[test]
fn codes_after_requests_of_any_framing() {
    let chunked = |body: &str| {
        let chunk = format!("{:x}\r\n{body}\r\n", body.len());
        let chunk = if body.is_empty() {
            String::new()
        } else {
            chunk
        };
        ("Transfer-Encoding: chunked", format!("{chunk}0\r\n\r\n"))
    };
    let whole = |body: &str| ("", body.to_owned());
    for codes in ["handle", "upstream"] {
        let rig = Rig::with(Config {
            pkce: &format!("codes = \"{codes}\"\nbrowser_binding = \"off\""),
            endpoints: "[upstream.routes]\nforeign_callbacks = [\"/broker/cb\"]",
            ..Config::default()
        })
        .unguarded();
        let from_elsewhere = "state=own&code=c2d51f5a.0.mrsv&id_token=e30.e30.c2ln";
        for (path, kind, (framing, body)) in [
            ("/login", FORM, whole("user=u")),
            ("/login", FORM, chunked("user=u&password=p")),
            ("/login", FORM, chunked("")),
            ("/login", "application/json", chunked("{\"user\":\"u\"}")),
            ("/login", "application/octet-stream", whole("\u{1}\u{2}")),
            ("/broker/cb", FORM, whole(from_elsewhere)),
            ("/broker/cb", FORM, chunked(from_elsewhere)),
        ] {
            let authorization = rig.authorization();
            let state = if codes == "handle" {
                handle_of(&rig.entry(&authorization))
            } else {
                rig.upstream.answer_with(Shape::Login);
                rig.enter(&authorization);
                authorization.state().unwrap_or_default().to_owned()
            };
            let length = if framing.is_empty() {
                format!("Content-Length: {}", body.len())
            } else {
                framing.to_owned()
            };
            let begin = format!(
                "POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {kind}\r\n{length}\r\n\r\n{body}"
            );
            let to = format!("{REDIRECT_URI}?code={}&state={state}", raw(&state));
            let response = answered(&rig, begin.as_bytes(), redirect(&to));
            let shown = format!("{codes} {path} {kind} {framing}: {response}");
            assert_eq!(response.status, 302, "{shown}");
            assert_eq!(
                response.to_string().contains("code=pgc"),
                codes == "handle",
                "{shown}"
            );
        }
    }
}
