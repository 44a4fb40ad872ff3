use super::gather::{MAX_CANDIDATES, MAX_CLIENTS};
use super::*;
use crate::examined;
use crate::flow::Purpose;
use crate::flow::{Candidate, CodeLengths};
use crate::oauth::params::encode_into;
use crate::oauth::{AuthorizationCode, CodeKind};
use proptest::prelude::*;

const LONG: &str = "SplxlOBeZQQY";
const CANDIDATES: Look = Look::Candidates {
    lengths: CodeLengths::ANY,
    kinds: &[CodeKind::Authorization],
};

fn key() -> HandleKey {
    HandleKey::for_upstream("t")
}

fn whole(bytes: &[u8], is_form: bool) -> Body<'_> {
    let kind = if is_form { Kind::Form } else { Kind::Other };
    Body::Whole { bytes, kind }
}

fn of_kind(bytes: &[u8], kind: Kind) -> Suspicion {
    names(&Request {
        body: Body::Whole { bytes, kind },
        ..Request::default()
    })
}

fn names(request: &Request<'_>) -> Suspicion {
    scan(request, &key(), Look::Names)
}

fn of_body(body: &str, is_form: bool) -> Suspicion {
    let request = Request {
        body: whole(body.as_bytes(), is_form),
        ..Request::default()
    };
    names(&request)
}

/// Asserts that the body is a token request, whatever its media type.
#[track_caller]
fn asks(body: &str) {
    for is_form in [true, false] {
        assert!(of_body(body, is_form).asks_for_token(), "{body}");
    }
}

#[track_caller]
fn does_not_ask(body: &str) {
    for is_form in [true, false] {
        assert!(!of_body(body, is_form).asks_for_token(), "{body}");
    }
}

#[test]
fn a_code_with_a_companion_is_a_token_request_in_every_reading() {
    for body in [
        "grant_type=authorization_code",
        "code=SplxlOBeZQQY&client_id=a",
        "CODE=SplxlOBeZQQY&Client_Id=a",
        "code[]=SplxlOBeZQQY&redirect.uri=x",
        "%63ode=SplxlOBeZQQY&code_verifier=x",
        "%2563ode=SplxlOBeZQQY&code_verifier=x",
        "code=123456&client_secret=s",
        "code=123456&code=SplxlOBeZQQY&client_id=a",
        "a=1;code=SplxlOBeZQQY;client_id=a",
        "a=1;grant_type=x",
        "%ff=1&=&x=%zz&grant_type=x",
        "co%00de=SplxlOBeZQQY&client_id=a",
        "\u{feff}code=SplxlOBeZQQY&client_id=a",
        "grant[type=x",
        "grant_type%00x=x",
        "code%00=SplxlOBeZQQY&client[id=a",
        r#"{"code":"SplxlOBeZQQY","client_id":"a"}"#,
        r#"{"data":{"a":[{"code":"SplxlOBeZQQY","client_id":"a"}]}}"#,
        r#"[{"\u0063\u006fde":"\u0053plxlOBeZQQY","client_id":1}]"#,
        r#"{"grant_type":["authorization_code"]}"#,
        r#"{"a":1,"a":2,"grant_type":"x"#,
        r#"a={"grant_type":"x"}"#,
    ] {
        asks(body);
    }
}

#[test]
fn the_fields_of_a_multipart_body_are_recognised_in_every_spelling() {
    for name in [
        "name=\"grant_type\"",
        "NAME=grant_type",
        "name*=utf-8''grant%5ftype",
        "name=\"grant\\_type\"",
        "name=\"grant&#95;type\"",
        "name=\"=?UTF-8?Q?grant=5Ftype?=\"",
        "name=\"=?utf-8?b?Z3JhbnRfdHlwZQ==?=\"",
        "name=\"=?utf-8?Q?grant?==?utf-8?Q?_type?=\"",
        "filename=x; name=%67rant_type",
    ] {
        asks(&format!(
            "--b\r\nContent-Disposition: form-data; {name}\r\n\r\nx\r\n--b--"
        ));
    }
    let in_pieces = of_body(
        "--b\r\nContent-Disposition: form-data; name*0=\"grant_\"; name*1=\"type\"\r\n\r\nx\r\n--b--",
        false,
    );
    assert!(in_pieces.unreadable.is_some());
}

#[test]
fn one_time_passwords_and_callbacks_of_other_servers_are_not_token_requests() {
    for body in [
        "code=123456&client_id=a",
        "code=SplxlOBeZQQY&state=x",
        "username=a&password=b",
        "grant_type=",
        "100% sure; nothing {to} see",
        "grant[type]=x&user[code]=SplxlOBeZQQY&client[id]=1",
        r#"{"message":"code","client_id":"a"}"#,
        r#"{"code":null,"client_id":"a"}"#,
        r#"{"grant_types":["authorization_code"],"client_id":"a","redirect_uris":["x"]}"#,
        "--b\r\nContent-Disposition: form-data; name=f; filename=a.js\r\n\r\nvar grant_type=1, name=\"code\"\r\n--b--",
    ] {
        does_not_ask(body);
    }
}

#[test]
fn query_and_body_are_read_together() {
    let together = |query: &str, body: &str| {
        let request = Request {
            query: query.as_bytes(),
            body: whole(body.as_bytes(), true),
            ..Request::default()
        };
        names(&request).asks_for_token()
    };
    assert!(together("code=SplxlOBeZQQY", "client_id=a"));
    assert!(together("client_id=a", "code=SplxlOBeZQQY"));
    assert!(together("client_id=a", r#"{"code":"SplxlOBeZQQY"}"#));
    assert!(!together("client_id=a", "username=b") && !together("code=123456", "client_id=a"));
}

#[test]
fn all_clients_are_found_that_some_server_may_read() {
    let basic = |user: &str| {
        use base64::Engine as _;
        format!(
            "Basic {}",
            base64::engine::general_purpose::STANDARD.encode(user)
        )
    };
    let named = |query: &str, authorization: Option<&str>, body: &str| {
        let request = Request {
            query: query.as_bytes(),
            authorization: authorization.map(str::as_bytes),
            body: whole(body.as_bytes(), false),
            ..Request::default()
        };
        names(&request).clients
    };
    assert_eq!(
        named("client_id=a+b", None, r#"{"x":{"client_id":"c"}}"#),
        ["a b", "c"]
    );
    assert_eq!(
        named("", Some(&basic("my+app:s")), ""),
        ["my+app", "my app"]
    );
    assert_eq!(
        named("", Some(&basic("a%3Ab:s")), "client_id=a%3Ab"),
        ["a:b", "a%3Ab"]
    );
    // {"sub":"me"}
    assert_eq!(
        named("client_assertion=x.eyJzdWIiOiJtZSJ9.y", None, ""),
        ["me"]
    );
    assert_eq!(
        named(
            "",
            None,
            "--b\r\nContent-Disposition: form-data; name=client_id\r\n\r\nin parts\r\n--b--"
        ),
        ["in parts"]
    );
    let many: Vec<String> = (0..40)
        .map(|number| format!("client_id={number}"))
        .collect();
    let many = many.join("&");
    let found = names(&Request {
        query: many.as_bytes(),
        ..Request::default()
    });
    assert!(found.clients.len() == MAX_CLIENTS && found.unreadable.is_some());
}

#[test]
fn unreadable_requests_are_reported() {
    for body in [
        Body::Beginning(b"a=b"),
        Body::Encoded(b"\x1f\x8b"),
        Body::Broken,
    ] {
        let request = Request {
            body,
            ..Request::default()
        };
        assert!(names(&request).unreadable.is_some());
    }
    for authorization in ["Basic", "basic ?", "Basic YQ=="] {
        let request = Request {
            authorization: Some(authorization.as_bytes()),
            ..Request::default()
        };
        assert!(names(&request).unreadable.is_some(), "{authorization}");
    }
}

#[test]
fn a_code_next_to_a_handle_counts_as_planted_only_in_one_value() {
    let handle = key().mint(Purpose::State, 0..200);
    let url = format!("https://c/cb?code={LONG}&state={}", handle.expose());
    let escaped = url.bytes().map(|byte| format!("%{byte:02X}"));
    let escaped = escaped.collect::<Vec<_>>().concat();
    let in_json = url.chars().map(|c| format!("\\u{:04x}", u32::from(c)));
    let in_json = in_json.collect::<Vec<_>>().concat();
    let planted = |query: &str, body: &str, is_form: bool| {
        let request = Request {
            query: query.as_bytes(),
            body: whole(body.as_bytes(), is_form),
            ..Request::default()
        };
        let found = names(&request);
        assert!(
            found
                .planted
                .iter()
                .all(|handle| found.candidates.contains(&Candidate::State(handle.into())))
        );
        found.planted == std::slice::from_ref(&handle)
    };
    assert!(planted(&format!("next={escaped}"), "", true));
    assert!(planted("", &format!("a=b&next={escaped}"), true));
    assert!(planted("", &format!(r#"{{"next":"{url}"}}"#), false));
    assert!(planted(
        "",
        &format!(r#"{{"a":[{{"next":"{in_json}"}}]}}"#),
        false
    ));
    assert!(planted("", &url, false));
    assert!(planted("", &url, true));
    assert!(planted(
        "",
        &format!("--b\r\nContent-Disposition: form-data; name=next\r\n\r\n{url}\r\n--b--"),
        false
    ));
    // A form that continues a sign-in, with a one-time password.
    let form = format!("state={}&code={LONG}", handle.expose());
    assert!(!planted("", &form, true));
    assert!(!planted(
        &format!("state={}", handle.expose()),
        &format!("code={LONG}"),
        true
    ));
    assert!(!planted(
        &format!("state={}&code=123456", handle.expose()),
        "",
        true
    ));
    // Links in mails and apps that return to a sign-in in progress.
    let back = format!("/authorize?client_id=a&state={}", handle.expose());
    let escaped = back
        .replace('?', "%3F")
        .replace('&', "%26")
        .replace('=', "%3D");
    assert!(!planted(
        &format!("userId=1&code={LONG}&returnUrl={escaped}"),
        "",
        true
    ));
    let document = format!(r#"{{"code":"ABCD-EFGH","returnUrl":"{back}"}}"#);
    let found = of_kind(document.as_bytes(), Kind::Json);
    assert!(found.planted.is_empty() && !found.asks_for_token());
    // A body that is declared as JSON, but is not, is read as a form, too.
    assert!(of_kind(b"{grant_type=x&grant_type=y", Kind::Json).asks_for_token());
    let other = HandleKey::for_upstream("other").mint(Purpose::State, 0..200);
    assert!(!planted(
        &format!("code={LONG}&state={}", other.expose()),
        "",
        true
    ));
}

#[test]
fn every_possible_code_is_a_candidate_once() {
    let handle = key().mint(Purpose::Code, 0..200);
    let code = AuthorizationCode::new(LONG).unwrap();
    let expected = [
        Candidate::Code(code.digest().into()),
        Candidate::Code(handle.clone().into()),
    ];
    let (path, cookie) = (format!("/x/{LONG}"), format!("a=b; last={LONG}"));
    let field = format!("Bearer {}", handle.expose());
    let request = Request {
        path: path.as_bytes(),
        query: b"%53plxlOBeZQQY",
        authorization: Some(field.as_bytes()),
        cookies: &[cookie.as_bytes()],
        ..Request::default()
    };
    let found = scan(&request, &key(), CANDIDATES);
    for candidate in expected {
        let all = found.candidates.iter();
        let times = all.filter(|found| **found == candidate).count();
        assert_eq!(times, 1, "{candidate:?}");
    }
    assert!(names(&request).candidates.is_empty());
}

#[test]
fn a_code_is_a_candidate_with_any_characters_and_in_any_place() {
    for text in [
        "4/0AbCdEfGhIjKl",
        "M.C5_BAY!x*y$z",
        "abc+/def/ghi==",
        "a:b|c(d)e,f{g}",
    ] {
        let code = AuthorizationCode::new(text).unwrap();
        let mut escaped = Vec::new();
        encode_into(&mut escaped, text);
        let escaped = String::from_utf8(escaped).unwrap();
        for body in [
            format!("a=b&x={text}"),
            format!("x={escaped}&c=d"),
            format!("{{\"x\":\"{text}\"}}"),
            format!(
                "{{\"x\":[\"y\",{{\"z\":\"{}\"}}]}}",
                text.replace('/', "\\/")
            ),
            format!("<x>{text}</x>"),
            format!("<x y='{text}'/>"),
            format!("a: {text}\n"),
        ] {
            let request = Request {
                body: whole(body.as_bytes(), false),
                ..Request::default()
            };
            let found = scan(&request, &key(), CANDIDATES);
            let candidate = Candidate::Code(code.digest().into());
            assert!(found.candidates.contains(&candidate), "{body}");
        }
    }
    for body in [
        format!("<![CDATA[{LONG}]]>"),
        format!("<!--{LONG}-->"),
        format!("x:{LONG}"),
        format!("({LONG})"),
        format!("|{LONG}|"),
        format!("urn:x:{LONG}"),
    ] {
        let request = Request {
            body: whole(body.as_bytes(), false),
            ..Request::default()
        };
        let found = scan(&request, &key(), CANDIDATES);
        let candidate = Candidate::Code(AuthorizationCode::new(LONG).unwrap().digest().into());
        assert!(found.candidates.contains(&candidate), "{body}");
    }
}

/// Parts of requests that are meant to make the scan slow, or its result large.
const ADVERSARIAL: [&str; 25] = [
    "name=",
    "name=a;",
    "--\r\nname=",
    "\r\n",
    "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n",
    "=?",
    "=?u?B?",
    "=?u?Q?a?=",
    "pgs",
    "pgs-1f00",
    "?code=123456789012&pgs",
    "%25",
    "%2525",
    "%",
    "\\",
    "\\u0063",
    "&#",
    "&#99;",
    "&amp;",
    "a=b&",
    "a;",
    "\"",
    "\"code\":",
    "client_id=a&",
    "b;[\0b=?code%3D",
];

/// The most bytes that may be looked at for each byte of the request: a dozen passes, each over at most four layers of escapes.
const WORK: usize = 100;

#[test]
fn each_byte_is_examined_a_bounded_number_of_times() {
    for part in ADVERSARIAL {
        for (before, look) in [
            ("", Look::Names),
            ("pgs", Look::Names),
            ("--b\r\nContent-Disposition: form-data; name=", Look::Names),
            ("\"", CANDIDATES),
            ("code=", CANDIDATES),
        ] {
            let body = format!("{before}{}", part.repeat(16_384 / part.len()));
            let request = Request {
                query: body.as_bytes(),
                body: whole(body.as_bytes(), false),
                cookies: &[body.as_bytes()],
                path: body.as_bytes(),
                authorization: Some(body.as_bytes()),
            };
            let looked_at = examined::during(|| drop(scan(&request, &key(), look)));
            let bytes = 5 * body.len();
            assert!(
                looked_at < WORK * bytes,
                "{before}{part}: {} times",
                looked_at / bytes
            );
            let found = scan(&request, &key(), look);
            let kept = found.clients.iter().map(String::len).sum::<usize>();
            assert!(kept <= MAX_CLIENTS * body.len() && found.clients.len() <= MAX_CLIENTS);
            assert!(found.candidates.len() <= MAX_CANDIDATES + MAX_HANDLES);
        }
    }
}

proptest! {
    #[test]
    fn a_code_is_found_in_any_escaping(
        escapes in prop::collection::vec((0usize..3, any::<bool>()), 1..=3),
    ) {
        let mut name = "code".to_owned();
        for (kind, every) in escapes {
            name = name.chars().enumerate().map(|(at, c)| match kind {
                _ if !every && at % 2 == 1 && !matches!(c, '%' | '&' | '\\') => c.to_string(),
                0 => format!("%{:02x}", u32::from(c)),
                1 => format!("\\u{:04x}", u32::from(c)),
                _ => format!("\\x{:x}", u32::from(c)),
            }).collect();
        }
        let body = format!("{name}={LONG}&client_id=a");
        prop_assert!(of_body(&body, true).asks_for_token(), "{}", body);
    }
}
