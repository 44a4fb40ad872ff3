//! `mode = "report"` forwards the same bytes as `mode = "off"`, in both directions.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config as Cases, TestRunner};

use crate::support::http::Response;
use crate::support::rig::{Config, HOST, REDIRECT_URI, Rig, request};
use crate::support::scripted::{Act, Then, chunked, reply, until_close};
use crate::support::wire::fields;

/// A client's request and the upstream's answer.
#[derive(Clone, Debug)]
struct Exchange {
    method: &'static str,
    bytes: Vec<u8>,
    answer: (Vec<u8>, Then),
}

/// Everything that can be compared about an exchange.
#[derive(Debug, PartialEq)]
struct Seen {
    /// Heads and contents of the requests that reached the upstream.
    upstream: Vec<(String, Vec<u8>)>,
    /// Heads and contents of the answers that reached the client, and whether they are complete.
    client: Vec<(String, Vec<u8>)>,
    whole: bool,
}

fn rig(mode: &str) -> Rig {
    let pkce = format!("mode = \"{mode}\"\ndevice = \"if_present\"");
    let limits = "body_read = \"1s\"\nheader_read = \"1s\"";
    Rig::with(Config {
        pkce: &pkce,
        endpoints: "pushed_authorization_request = [\"/par\"]\ndevice_authorization = [\"/device\"]\n\
                    authorization_challenge = [\"/challenge\"]",
        limits,
        ..Config::default()
    })
    .unguarded()
}

fn through(rig: &Rig, exchange: &Exchange) -> Seen {
    let before = rig.upstream.ledger().len();
    rig.upstream
        .once("*", Act::Say(exchange.answer.0.clone(), exchange.answer.1));
    let mut connection = rig.connect();
    connection.send(&exchange.bytes);
    let (mut client, mut whole) = (Vec::new(), false);
    while !whole {
        let answer = if exchange.method == "HEAD" {
            connection.response_to_head()
        } else {
            connection.try_response()
        };
        let Ok(response) = answer else { break };
        whole = response.status >= 200;
        client.push((head(&response), response.body));
    }
    rig.upstream.heal(); // if the gate answered itself, the script was not used up
    let ledger = rig.upstream.ledger().split_off(before);
    // How much arrives of a request that the client never finishes depends on timing.
    let upstream = ledger.iter().filter(|seen| seen.complete).map(|seen| {
        let head = String::from_utf8(seen.head.clone()).expect("a head is ASCII");
        (head, seen.content())
    });
    Seen {
        upstream: upstream.collect(),
        client,
        whole,
    }
}

/// The head without `Date`, which the gate adds to its own answers.
fn head(response: &Response) -> String {
    let line = response
        .raw
        .split(|&byte| byte == b'\r')
        .next()
        .unwrap_or_default();
    let kept =
        fields(&response.raw[..response.raw.len() - response.body.len().min(response.raw.len())]);
    let kept = kept.filter(|(name, _)| !name.eq_ignore_ascii_case("date"));
    let kept: Vec<_> = kept
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    format!("{}\n{}", line.escape_ascii(), kept.join("\n"))
}

fn method() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        4 => Just("GET"),
        4 => Just("POST"),
        1 => select(vec!["HEAD", "PUT", "OPTIONS", "DELETE", "PATCH", "PROPFIND", "TRACE", "post"]),
    ]
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("/authorize".to_owned()),
        3 => Just("/token".to_owned()),
        3 => select(vec!["/par", "/device", "/challenge"]).prop_map(str::to_owned),
        2 => select(vec![
            "/", "//token", "/TOKEN", "/token/", "/%74oken", "/authorize/", "/x/../authorize", "/login", "/a//b",
            "/.well-known/openid-configuration", "/token;x", "*", "/%", "/\u{e9}",
        ]).prop_map(str::to_owned),
        1 => "/[a-zA-Z0-9/._~%!$&'()*+,;=:@-]{0,24}",
    ]
}

fn pair() -> impl Strategy<Value = String> {
    let name = select(vec![
        "client_id",
        "redirect_uri",
        "response_type",
        "response_mode",
        "state",
        "code_challenge",
        "code_challenge_method",
        "code_verifier",
        "code",
        "grant_type",
        "client_secret",
        "request",
        "scope",
        "CODE",
        "code[]",
        "x",
        "",
        "%ff",
        "a%20b",
    ]);
    let value = prop_oneof![
        select(vec![
            "pub",
            "code",
            "S256",
            "plain",
            "authorization_code",
            "refresh_token",
            "https%3A%2F%2Fclient.test%2Fcb",
            "",
            "%zz",
            "%00",
            "+",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ])
        .prop_map(str::to_owned),
        "[a-zA-Z0-9%+=._-]{0,12}",
    ];
    (name, value, any::<bool>()).prop_map(|(name, value, equals)| {
        if equals {
            format!("{name}={value}")
        } else {
            name.to_owned()
        }
    })
}

fn parameters() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => proptest::collection::vec(pair(), 0..7).prop_map(|pairs| pairs.join("&")),
        2 => Just("response_type=code&client_id=pub&redirect_uri=https%3A%2F%2Fclient.test%2Fcb&state=s&\
                           code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256".to_owned()),
        1 => Just("grant_type=authorization_code&code=c&client_id=pub&redirect_uri=https%3A%2F%2Fclient.test%2Fcb&\
                   code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned()),
    ]
}

fn query() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just(String::new()),
        3 => parameters().prop_map(|query| format!("?{query}")),
        1 => "\\?[!-~&&[^#]]{0,30}",
        1 => "#[a-z]{0,5}",
    ]
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => select(vec![
            "Accept: text/html", "Accept: application/json", "Accept-Encoding: gzip, br", "Cookie: a=b; pkce-gate=x", "Cookie: c=d",
            "Authorization: Basic cHViOng=", "Authorization: Basic %%", "Authorization: Bearer x", "DPoP: x",
            "Content-Type: application/x-www-form-urlencoded", "Content-Type: application/json", "Content-Type: text/plain",
            "Content-Type: multipart/form-data; boundary=x", "Content-Type: APPLICATION/X-WWW-FORM-URLENCODED;charset=UTF-8",
            "Content-Encoding: gzip", "X-Forwarded-For: 192.0.2.1", "Forwarded: for=x", "X-Forwarded-Proto: https",
            "Connection: close", "Connection: x-mine, keep-alive", "X-Mine: 1", "Connection: authorization", "Upgrade: websocket",
            "TE: trailers", "Expect: 100-continue", "Expect: miracles", "Range: bytes=0-1", "If-None-Match: \"x\"", "X_Under: 1",
            "X-Original-URL: /token", "Origin: https://client.test", "Host: other.test", "Content-Length: 3", "Bad Name: x", "Date: x",
        ]).prop_map(str::to_owned),
        1 => "X-[A-Za-z-]{1,8}: [ -~]{0,20}",
    ]
}

/// The body with its framing field.
fn body() -> impl Strategy<Value = (String, Vec<u8>)> {
    let content = prop_oneof![
        4 => parameters().prop_map(String::into_bytes),
        1 => Just(b"{\"code\":\"SplxlOBeZQQYbYS6WxSbIA\",\"client_id\":\"pub\"}".to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..200),
        1 => (1usize..3).prop_map(|times| "a=b&".repeat(times * 20_000).into_bytes()),
    ];
    prop_oneof![
        2 => Just((String::new(), Vec::new())),
        3 => content.clone().prop_map(|content| (format!("Content-Length: {}\r\n", content.len()), content)),
        2 => (content, 1usize..40).prop_map(|(content, size)| {
            let mut framed = Vec::new();
            for piece in content.chunks(size * if content.len() > 1000 { 1000 } else { 1 }) {
                framed.extend(format!("{:x}\r\n", piece.len()).bytes());
                framed.extend_from_slice(piece);
                framed.extend_from_slice(b"\r\n");
            }
            framed.extend_from_slice(b"0\r\nX-Trailer: t\r\n\r\n");
            ("Transfer-Encoding: chunked\r\n".to_owned(), framed)
        }),
        1 => Just(("Transfer-Encoding: chunked\r\n".to_owned(), b"zz\r\n".to_vec())),
        1 => Just(("Transfer-Encoding: gzip, chunked\r\n".to_owned(), b"0\r\n\r\n".to_vec())),
        1 => Just(("Content-Length: 5, 6\r\n".to_owned(), b"hello".to_vec())),
    ]
}

/// A media type with a matching body.
fn content() -> impl Strategy<Value = (&'static str, String)> {
    let page = format!(
        "<form method=post action=\"{REDIRECT_URI}\"><input name=code value=abcdefghij><input name=state value=s></form>"
    );
    select(vec![
        ("text/html", page),
        ("text/html", "<p>http://127.0.0.1/x</p>".to_owned()),
        (
            "application/json",
            "{\"access_token\":\"at\",\"code\":\"abcdefghij\"}".to_owned(),
        ),
        ("text/css", "a{}".to_owned()),
        ("", "<form></form>".to_owned()),
        ("text/html", String::new()),
    ])
}

fn answer() -> impl Strategy<Value = (Vec<u8>, Then)> {
    let status = select(vec![
        "200 OK",
        "201 Created",
        "301 Moved",
        "302 Found",
        "303 See Other",
        "307 Temporary Redirect",
        "304 Not Modified",
        "204 No Content",
        "400 Bad Request",
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "418 Teapot",
        "429 Too Many",
        "500 Oh",
        "503 No",
        "599 Odd",
    ]);
    let location = select(vec![
        "/login?next=%2F",
        "https://client.test/cb?code=abcdefghij&state=s",
        "https://client.test/cb#code=abcdefghij&state=s",
        "https://client.test/cb?code=a&code=b",
        "https://evil.test/?error=x",
        "relative",
        "",
        "//evil.test/x",
    ]);
    let extra = select(vec![
        ("X-Extra", "1"),
        ("Set-Cookie", "a=b; Path=/; HttpOnly"),
        ("Content-Encoding", "gzip"),
        ("Connection", "x-gone"),
        ("X-Gone", "y"),
        ("Keep-Alive", "timeout=5"),
        ("ETag", "\"x\""),
        ("Cache-Control", "no-store"),
        ("Refresh", "0;url=/x"),
        ("WWW-Authenticate", "Basic realm=\"x\""),
        ("Trailer", "X"),
    ]);
    (
        status,
        content(),
        location,
        proptest::collection::vec(extra, 0..3),
        0..3,
    )
        .prop_map(|(status, (kind, body), location, extra, framing)| {
            let mut fields = vec![("Date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("Server", "x")];
            fields.extend(Some(("Content-Type", kind)).filter(|(_, kind)| !kind.is_empty()));
            fields.extend(Some(("Location", location)).filter(|_| status.starts_with('3')));
            fields.extend(extra);
            let body = if status.starts_with("204") || status.starts_with("304") {
                b""
            } else {
                body.as_bytes()
            };
            match framing {
                _ if body.is_empty() => (reply(status, &fields, body), Then::Close),
                0 => (reply(status, &fields, body), Then::Close),
                1 => (
                    chunked(status, &fields, &[&body[..1], &body[1..]]),
                    Then::Close,
                ),
                _ => (until_close(status, &fields, body), Then::Close),
            }
        })
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let fields = proptest::collection::vec(field(), 0..5);
    let version =
        prop_oneof![9 => Just("HTTP/1.1"), 1 => select(vec!["HTTP/1.0", "HTTP/1.2", "http/1.1"])];
    (method(), path(), query(), version, fields, body(), answer()).prop_map(
        |(method, path, query, version, fields, (framing, body), answer)| {
            let fields: Vec<_> = fields.iter().map(|field| format!("{field}\r\n")).collect();
            let head = format!(
                "{method} {path}{query} {version}\r\nHost: {HOST}\r\n{}{framing}\r\n",
                fields.concat()
            );
            Exchange {
                method,
                bytes: [head.as_bytes(), &body].concat(),
                answer,
            }
        },
    )
}

#[test]
fn report_forwards_the_same_bytes_as_off() {
    let (report, off) = (rig("report"), rig("off"));
    let cases = Cases {
        cases: 600,
        failure_persistence: None,
        ..Cases::default()
    };
    let run = TestRunner::new(cases).run(&exchange(), |exchange| {
        let once = || (through(&report, &exchange), through(&off, &exchange));
        // The head of a request that the gate has given up may reach the upstream late, and use up the next request's answer.
        let again = || Some(once()).filter(|(reported, passed)| reported != passed);
        let differs = again().and_then(|_| again()).and_then(|_| again());
        if let Some((reported, passed)) = differs {
            prop_assert_eq!(reported, passed, "{}", exchange.bytes.escape_ascii());
        }
        Ok(())
    });
    run.unwrap_or_else(|failed| panic!("{failed}"));
    let passed = off.upstream.ledger().len();
    assert!(
        passed > 200,
        "most of it is HTTP and passes: {passed} of 600"
    );
}

/// A preflight has no credentials and no parameters, but what is only observed passes with them.
#[test]
fn preflights_are_the_same_in_report_and_off() {
    let (report, off) = (rig("report"), rig("off"));
    for target in ["/token", "/par", "/device", "/challenge"] {
        for (query, more, body) in [
            ("", "", ""),
            ("?x=1", "", ""),
            (
                "",
                "Cookie: a=b; code_challenge=c\r\nAuthorization: Basic eA==\r\n",
                "",
            ),
            ("", "Content-Length: 3\r\n", "a=b"),
        ] {
            let head = format!("OPTIONS {target}{query} HTTP/1.1\r\nHost: {HOST}\r\n{more}\r\n");
            let exchange = Exchange {
                method: "OPTIONS",
                bytes: [head.as_bytes(), body.as_bytes()].concat(),
                answer: (reply("204 No Content", &[("Date", "x")], b""), Then::Close),
            };
            let [reported, passed] = [&report, &off].map(|rig| through(rig, &exchange));
            assert_eq!(reported.upstream.len(), 1, "{head}");
            assert_eq!(reported, passed, "{head}");
        }
    }
}

/// Complete sign-ins: challenge, code and verifier are recorded and stay unchanged.
#[test]
fn sign_ins_with_and_without_pkce_are_the_same_in_report_and_off() {
    let (report, off) = (rig("report"), rig("off"));
    for (with_challenge, with_verifier) in
        [(true, true), (true, false), (false, true), (false, false)]
    {
        let authorization = report.authorization();
        let authorization = if with_challenge {
            authorization
        } else {
            authorization.without_challenge()
        };
        let responses = [&report, &off].map(|rig| {
            let code = format!("the-same-code-in-both-{with_challenge}-{with_verifier}");
            rig.upstream.issue(&code);
            let answer = rig.enter(&authorization);
            assert_eq!(answer.status, 302, "{answer}");
            let form = authorization.redemption(&code);
            let form = if with_verifier {
                form
            } else {
                form.without("code_verifier")
            };
            rig.upstream.once(
                "/token",
                Act::Say(reply("200 OK", &[("Date", "x")], b"{}"), Then::GoOn),
            );
            let token = rig.token(&form);
            let seen = rig.upstream.ledger();
            let seen: Vec<_> = seen
                .iter()
                .map(|seen| (seen.head.clone(), seen.body.clone()))
                .collect();
            (head(&answer), answer.body, token.raw, seen)
        });
        assert_eq!(responses[0], responses[1]);
    }
    let log = report
        .gate
        .log_until(|log| log.contains("unexpected_verifier"));
    for violation in ["missing_challenge", "missing_verifier"] {
        assert!(log.contains(violation), "{log}");
    }
}

/// In every mode, an incomplete body is never forwarded as a complete one.
#[test]
fn an_incomplete_request_stays_incomplete() {
    for mode in ["report", "off", "enforce"] {
        let rig = rig(mode);
        for target in ["/token", "/authorize", "/elsewhere"] {
            for framing in [
                "Content-Length: 100\r\n\r\ngrant_type=x",
                "Transfer-Encoding: chunked\r\n\r\nc\r\ngrant_type=x\r\n",
            ] {
                for closes in [true, false] {
                    let mut connection = rig.connect();
                    let head = format!(
                        "POST {target} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                    );
                    connection.send(format!("{head}{framing}").as_bytes());
                    if closes {
                        connection.finish_sending();
                    }
                    let rest = connection.rest(); // until body_read at the latest
                    assert!(!rest.starts_with(b"HTTP/1.1 2"), "{}", rest.escape_ascii());
                }
            }
        }
        let ledger = rig.upstream.ledger();
        assert!(
            ledger.iter().all(|seen| !seen.complete),
            "{mode}: {ledger:#?}"
        );
    }
}

/// The same for answers.
#[test]
fn an_incomplete_answer_stays_incomplete() {
    for mode in ["report", "off", "enforce"] {
        let rig = rig(mode);
        for kind in ["text/html", "application/json", "text/css"] {
            for framing in [
                "Content-Length: 100\r\n\r\n<p>half",
                "Transfer-Encoding: chunked\r\n\r\n7\r\n<p>half\r\n",
            ] {
                for then in [Then::Close, Then::Reset] {
                    for target in ["/authorize", "/token", "/elsewhere"] {
                        let answer =
                            format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{framing}");
                        rig.upstream
                            .once(target, Act::Say(answer.into_bytes(), then));
                        let mut connection = rig.connect();
                        let body = Some("grant_type=refresh_token").filter(|_| target == "/token");
                        let method = if body.is_some() { "POST" } else { "GET" };
                        connection.send(&request(method, target, &[], body));
                        let answer = connection.try_response();
                        assert!(
                            answer.is_err(),
                            "{mode} {kind} {framing} {then:?} {target}: {answer:?}"
                        );
                    }
                }
            }
        }
    }
}
