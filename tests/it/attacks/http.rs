//! Attacks 54 to 76: framing, hop-by-hop fields and connections.
//!
//! 54, 58 and 62 to 64 fail without `headers::strip`; 67 without the nominations of `headers::check`, 55 without its
//! Transfer-Encoding; 75 without the body check of `authorize::form`; 59, and nearly all other tests, if a client's
//! Content-Length is forwarded; 65 and 66 without the methods of `Gateway::out_of_bounds`; 68 without the underscores of
//! `http/headers/kind.rs`. hyper itself refuses 56, 57 and 69; these tests detect a change in hyper.

use std::thread;
use std::time::Duration;

use super::{Attacked, FORM, both};
use crate::support::client::assert_token;
use crate::support::http::Response;
use crate::support::params::unguessable;
use crate::support::rig::{Config, HOST, Rig, request, target};
use crate::support::scripted::{Act, Received, Then, chunked, reply, until_close};

/// A request with these fields after `Host`, and these following bytes.
fn message(line: &str, fields: &str, rest: &str) -> String {
    format!("{line}\r\nHost: {HOST}\r\n{fields}\r\n{rest}")
}

fn token_message(fields: &str, rest: &str) -> String {
    let fields = format!("Content-Type: {FORM}\r\n{fields}");
    message("POST /token HTTP/1.1", &fields, rest)
}

fn in_chunks(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

/// Every answer if the sender stops after these bytes, including those to complete requests.
fn all_answers(attacked: &Attacked, bytes: &[u8]) -> Vec<u8> {
    let mut connection = attacked.rig.connect();
    connection.try_send(bytes);
    let first = connection.try_response();
    connection.finish_sending();
    let mut answers = match first {
        Ok(response) => response.raw,
        Err(cut) => cut.0,
    };
    answers.extend(connection.rest());
    answers
}

/// The same if no answer may come before the sender stops.
fn answer_when_cut(attacked: &Attacked, bytes: &[u8]) -> u16 {
    let mut connection = attacked.rig.connect();
    connection.try_send(bytes);
    connection.finish_sending();
    connection
        .try_response()
        .map_or(0, |response| response.status)
}

fn ours(received: &Received) {
    let names = received.header_names();
    for name in [
        "upgrade",
        "http2-settings",
        "te",
        "trailer",
        "expect",
        "connection",
        "keep-alive",
        "proxy-connection",
    ] {
        assert!(!names.contains(&name.to_owned()), "{name}: {received:?}");
    }
    let framings = names
        .iter()
        .filter(|name| ["content-length", "transfer-encoding"].contains(&name.as_str()));
    assert!(framings.count() <= 1, "{received:?}");
}

/// Attack 54. Bytes hidden behind the end of a body never become a request at the upstream.
#[test]
fn two_framings() {
    both(|attacked| {
        let tok = attacked.whole().with("code", "hidden").encoded();
        let hidden = token_message(&format!("Content-Length: {}\r\n", tok.len()), &tok);
        let body = format!("0\r\n\r\n{hidden}");
        for fields in [
            format!(
                "Content-Length: {}\r\nTransfer-Encoding: chunked\r\n",
                body.len()
            ),
            format!(
                "Transfer-Encoding: chunked\r\nContent-Length: {}\r\n",
                body.len()
            ),
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n".to_owned(),
            "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n".to_owned(),
        ] {
            for path in ["/static/x", "/token"] {
                let bytes = message(&format!("POST {path} HTTP/1.1"), &fields, &body);
                let before = attacked.rig.upstream.ledger().len();
                let answers = all_answers(attacked, bytes.as_bytes());
                let answers = answers
                    .windows(9)
                    .filter(|nine| *nine == b"HTTP/1.1 ")
                    .count();
                assert_eq!(answers, 1, "the connection ends with the first answer");
                let ledger = attacked.rig.upstream.ledger();
                assert!(ledger.len() <= before + 1, "{ledger:?}");
                ledger
                    .get(before..)
                    .unwrap_or_default()
                    .iter()
                    .for_each(ours);
                assert_eq!(attacked.rig.forwarded(), 0);
            }
        }
    });
}

/// Attack 55.
#[test]
fn transfer_encodings() {
    both(|attacked| {
        let whole = in_chunks(&attacked.whole().encoded());
        for fields in [
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: identity, chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: \x0bchunked\r\n",
            "Transfer-Encoding: chunked;q=1\r\n",
            "Transfer-Encoding: \"chunked\"\r\n",
            "Transfer-Encoding: chunked,\r\n",
            "Transfer-Encoding:\r\n",
            "Transfer-Encoding : chunked\r\n",
            "Transfer-Encoding\r\n : chunked\r\n",
        ] {
            let bytes = token_message(fields, &whole);
            attacked.refused(bytes.as_bytes(), &[400]);
        }
        let old = message(
            "POST /token HTTP/1.0",
            &format!("Content-Type: {FORM}\r\nTransfer-Encoding: chunked\r\n"),
            &whole,
        );
        attacked.refused(old.as_bytes(), &[400, 415]);
        // A blank at the end is allowed; the gate writes its own framing.
        let bytes = token_message("Transfer-Encoding: chunked\t\r\n", &whole);
        let received = attacked.redeemed_by(bytes.as_bytes());
        ours(&received);
    });
}

/// Attack 56.
#[test]
fn content_lengths() {
    both(|attacked| {
        let whole = attacked.whole().encoded();
        let length = whole.len();
        for fields in [
            format!("Content-Length: +{length}\r\n"),
            format!("Content-Length: {length}, {length}\r\n"),
            format!("Content-Length: 0x{length:x}\r\n"),
            format!("Content-Length: {length} {length}\r\n"),
            format!("Content-Length: -{length}\r\n"),
            format!("Content-Length: {length}.0\r\n"),
            format!("Content-Length: {length}\r\nContent-Length: 5\r\n"),
            format!("Content-Length: 5\r\nContent-Length: {length}\r\n"),
            "Content-Length: \r\n".to_owned(),
            "Content-Length: 99999999999999999999999\r\n".to_owned(),
        ] {
            attacked.refused(token_message(&fields, &whole).as_bytes(), &[400]);
        }
    });
}

/// Attack 57. Either the request is refused, or its content is forwarded with the gate's own framing.
#[test]
fn chunk_sizes() {
    both(|attacked| {
        for body in [
            "0x3\r\na=b\r\n0\r\n\r\n",
            "FFFFFFFFFFFFFFFFF\r\na=b\r\n0\r\n\r\n",
            "-3\r\na=b\r\n0\r\n\r\n",
            "+3\r\na=b\r\n0\r\n\r\n",
            "\r\na=b\r\n0\r\n\r\n",
            "3\na=b\n0\n\n",
            "3\ra=b\r0\r\r",
            "3;a\nb\r\na=b\r\n0\r\n\r\n",
            "3;a\rb\r\na=b\r\n0\r\n\r\n",
            "3\r\na=bxx0\r\n\r\n",
            "3 \r\na=b\r\n0\r\n\r\n",
            "3;x=\"y\"\r\na=b\r\n0\r\n\r\n",
            "03\r\na=b\r\n0\r\n\r\n",
            "3\r\na=b\r\n",
        ] {
            let fields = format!("Content-Type: {FORM}\r\nTransfer-Encoding: chunked\r\n");
            let bytes = message("POST /static/x HTTP/1.1", &fields, body);
            let before = attacked.rig.upstream.ledger().len();
            let status = answer_when_cut(attacked, bytes.as_bytes());
            let ledger = attacked.rig.upstream.ledger();
            match ledger.get(before) {
                None => assert!([0, 400].contains(&status), "{status} for {body:?}"),
                Some(received) => {
                    ours(received);
                    assert!(
                        !received.complete || received.content() == b"a=b",
                        "{received:?} for {body:?}"
                    );
                }
            }
        }
    });
}

/// Attack 58.
#[test]
fn trailers() {
    both(|attacked| {
        let trailers = format!(
            "Authorization: Basic x\r\nContent-Length: 3\r\nHost: evil.test\r\ncode_verifier: {}\r\nX-Any: x\r\n\r\n",
            attacked.authorization.verifier
        );
        let body = |form: &str| format!("{:x}\r\n{form}\r\n0\r\n{trailers}", form.len());
        let fields = "Transfer-Encoding: chunked\r\nTrailer: Authorization, code_verifier\r\nTE: trailers\r\n";
        let tok = token_message(fields, &body(&attacked.tok().encoded()));
        attacked.refused(tok.as_bytes(), &[400]);
        let own = format!("Content-Type: text/plain\r\n{fields}");
        for bytes in [
            message("POST /static/x HTTP/1.1", &own, &body("a=b")),
            token_message(fields, &body(&attacked.whole().encoded())),
        ] {
            let received = if bytes.contains("/static") {
                attacked.passed(bytes.as_bytes())
            } else {
                attacked.redeemed_by(bytes.as_bytes())
            };
            ours(&received);
            let all = [received.head.clone(), received.body.clone()].concat();
            let all = all.escape_ascii().to_string().to_ascii_lowercase();
            for name in ["evil.test", "x-any", "basic x", "code_verifier:"] {
                assert!(!all.contains(name), "{all}");
            }
        }
    });
}

/// Attack 59.
#[test]
fn codes_of_another_length() {
    let rig = Rig::new();
    for length in [8, 16, 31, 32, 33, 34, 100, 1000, 2000] {
        for chunks in [false, true] {
            let raw = format!("{length}-{}", u8::from(chunks));
            let raw = format!("{raw:x<length$}");
            rig.upstream.issue(&raw);
            let authorization = rig.authorization();
            let code = rig.code_for(&authorization);
            let form = authorization.redemption(&code).encoded();
            rig.vouch(&authorization);
            let response = if chunks {
                rig.send(
                    token_message("Transfer-Encoding: chunked\r\n", &in_chunks(&form)).as_bytes(),
                )
            } else {
                rig.post("/token", &[], &form)
            };
            assert_token(&response);
            let received = rig
                .upstream
                .requests_to("/token")
                .pop()
                .expect("it is there");
            assert_eq!(received.text(), authorization.redemption(&raw).encoded());
            ours(&received);
            assert!(received.complete);
        }
    }
}

/// Attack 60. A request in the body of another one stays part of the body.
#[test]
fn requests_in_bodies() {
    both(|attacked| {
        let tok = attacked.whole().with("code", "hidden").encoded();
        let hidden = token_message(&format!("Content-Length: {}\r\n", tok.len()), &tok);
        let bytes = request(
            "POST",
            "/static/x",
            &[("Content-Type", "image/png")],
            Some(&hidden),
        );
        // It asks for a token, whatever its media type.
        attacked.refused(&bytes, &[400]);
        let hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
        let picture = [("Content-Type", "image/png")];
        let bytes = request("POST", "/static/x", &picture, Some(hidden));
        attacked.passed(&bytes);
        let early = reply("404 Not Found", &[], b"no");
        attacked
            .rig
            .upstream
            .once("/static/x", Act::Interrupt(early, Then::Close));
        attacked.attempt(&bytes);
        // Refused before it is read: the connection closes, and the bytes of the body with it.
        let unread = message(
            "POST /x HTTP/1.1",
            &format!("Host: x\r\nContent-Length: {}\r\n", hidden.len()),
            hidden,
        );
        let answers = all_answers(attacked, unread.as_bytes());
        assert_eq!(
            answers
                .windows(9)
                .filter(|nine| *nine == b"HTTP/1.1 ")
                .count(),
            1
        );
        assert_eq!(attacked.rig.forwarded(), 0);
    });
}

/// Attack 61.
#[test]
fn pipelines() {
    both(|attacked| {
        let tok = attacked.tok().encoded();
        let kinds = [
            (request("GET", "/login", &[], None), 200),
            (request("POST", "/token", &[], Some(&tok)), 400),
            (request("GET", "/token", &[], None), 405),
            (request("POST", "/static", &[], Some("a=b")), 200),
            (request("GET", "/token/", &[], None), 400),
        ];
        let all: Vec<u8> = kinds
            .iter()
            .cycle()
            .take(100)
            .flat_map(|(bytes, _)| bytes.clone())
            .collect();
        let mut connection = attacked.rig.connect();
        connection.send(&all);
        for (_, status) in kinds.iter().cycle().take(100) {
            assert_eq!(connection.response().status, *status);
        }
    });
}

fn upgraded(attacked: &Attacked, path: &str, fields: &[(&str, &str)]) {
    let tok = attacked.tok().encoded();
    let hidden = request("POST", "/token", &[], Some(&tok));
    let bytes = [request("GET", path, fields, None), hidden].concat();
    let before = attacked.rig.upstream.ledger().len();
    let answers = all_answers(attacked, &bytes);
    assert!(
        !answers.windows(4).any(|four| four == b" 101"),
        "{}",
        answers.escape_ascii()
    );
    let ledger = attacked.rig.upstream.ledger();
    ledger
        .get(before..)
        .unwrap_or_default()
        .iter()
        .for_each(ours);
    assert_eq!(attacked.rig.forwarded(), 0);
    // The upstream accepts an upgrade that was not requested.
    let yes =
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n".to_vec();
    attacked
        .rig
        .upstream
        .on("/chat", Act::Say(yes, Then::Stall));
    let response = attacked.answer(&request("GET", "/chat", fields, None));
    assert_eq!(response.map(|response| response.status), Some(502));
    attacked.rig.upstream.heal();
}

/// Attack 62.
#[test]
fn h2c_upgrade() {
    both(|attacked| {
        for connection in [
            "Upgrade, HTTP2-Settings",
            "upgrade,http2-settings",
            "HTTP2-Settings",
            "Upgrade",
        ] {
            let fields = [
                ("Upgrade", "h2c"),
                ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
                ("Connection", connection),
            ];
            for path in ["/chat", "/token", "/login"] {
                upgraded(attacked, path, &fields);
            }
        }
    });
}

/// Attack 63.
#[test]
fn websocket_upgrade() {
    both(|attacked| {
        let fields = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        for path in ["/token", "/chat", "/authorize"] {
            upgraded(attacked, path, &fields);
        }
    });
}

/// Attack 64.
#[test]
fn other_upgrades() {
    both(|attacked| {
        for protocol in ["foo", "TLS/1.0", "HTTP/2.0", "h2c, websocket"] {
            upgraded(
                attacked,
                "/chat",
                &[("Upgrade", protocol), ("Connection", "Upgrade")],
            );
        }
    });
}

/// Attack 65.
#[test]
fn connect() {
    both(|attacked| {
        let upstream = attacked.rig.upstream.address().to_string();
        for to in [
            upstream.as_str(),
            "gate.test:80",
            "gate.test",
            "/token",
            "http://gate.test/",
        ] {
            attacked.refused(&request("CONNECT", to, &[], None), &[400, 405, 421]);
        }
    });
}

/// Attack 66.
#[test]
fn trace() {
    both(|attacked| {
        for path in ["/", "/token", "/authorize"] {
            let fields = [
                ("Authorization", "Bearer secret-of-a-client"),
                ("Max-Forwards", "0"),
            ];
            let bytes = request("TRACE", path, &fields, None);
            attacked.refused(&bytes, &[405]);
            let response = attacked.answer(&bytes).expect("an answer");
            assert!(
                !response.to_string().contains("secret-of-a-client"),
                "{response}"
            );
        }
    });
}

/// Attack 67.
#[test]
fn connection_nominations() {
    both(|attacked| {
        let whole = attacked.whole().encoded();
        for name in [
            "authorization",
            "Content-Type",
            "COOKIE",
            "x-forwarded-for",
            "X-Forwarded-Host",
            "content-length",
            "host",
            "forwarded",
            "X-Real-IP",
            "x-ssl-client-verify",
            "Remote-User",
        ] {
            for value in [
                name.to_owned(),
                format!("close, {name}"),
                format!("{name},close"),
                format!("x,, {name}\t"),
            ] {
                attacked.refused_form("/token", &[("Connection", &value)], &whole, &[400]);
                attacked.refused_form("/static/x", &[("Connection", &value)], "a=b", &[400]);
            }
            let twice = [("Connection", "keep-alive"), ("Connection", name)];
            attacked.refused_form("/token", &twice, &whole, &[400]);
        }
        let fields = [
            ("Connection", "X-Hop, close"),
            ("X-Hop", "1"),
            ("Authorization", "Basic cHViOnM="),
            ("X-Other", "2"),
        ];
        let received = attacked.redeemed_by(&request("POST", "/token", &fields, Some(&whole)));
        assert_eq!(
            (received.header("x-hop"), received.header("x-other")),
            (None, Some("2"))
        );
        assert_eq!(received.header("authorization"), Some("Basic cHViOnM="));
        ours(&received);
    });
}

/// Attack 68.
#[test]
fn underscores() {
    both(|attacked| {
        let names = [
            "X_Forwarded_For",
            "Content_Length",
            "Transfer_Encoding",
            "Authorization_",
            "Content_Type",
            "X_HTTP_Method_Override",
            "_",
        ];
        let fields: Vec<_> = names.iter().map(|name| (*name, "chunked")).collect();
        let passed = attacked.passed(&request("POST", "/static/x", &fields, Some("a=b")));
        let whole = attacked.whole().encoded();
        let redeemed = attacked.redeemed_by(&request("POST", "/token", &fields, Some(&whole)));
        for received in [passed, redeemed] {
            assert!(
                !received
                    .header_names()
                    .iter()
                    .any(|name| name.contains('_')),
                "{received:?}"
            );
        }
    });
}

/// Attack 69.
#[test]
fn malformed_fields() {
    both(|attacked| {
        let whole = attacked.whole().encoded();
        let length = format!("Content-Length: {}\r\n", whole.len());
        for fields in [
            "X: a\r\n b\r\n",
            "X: a\r\n\tb\r\n",
            "Authorization : x\r\n",
            "X: a\rb\r\n",
            "X: a\0b\r\n",
            "X\0: a\r\n",
            ": a\r\n",
            "X\r\n",
            "X: a\n b\r\n",
            "(X): a\r\n",
        ] {
            attacked.refused(
                token_message(&format!("{fields}{length}"), &whole).as_bytes(),
                &[400],
            );
        }
        let first = format!(
            "POST /token HTTP/1.1\r\n Host: {HOST}\r\nContent-Type: {FORM}\r\n{length}\r\n{whole}"
        );
        attacked.refused(first.as_bytes(), &[400]);
    });
}

/// Attack 70.
#[test]
fn expectations() {
    both(|attacked| {
        let whole = attacked.whole().encoded();
        for expectation in ["200-maybe", "100-continue, x", "x", ""] {
            attacked.refused_form("/token", &[("Expect", expectation)], &whole, &[417]);
        }
        let expect = [("Expect", "100-continue")];
        ours(&attacked.passed(&request("GET", "/login", &expect, None)));
        // The body is sent at once; an interim answer may come before the final one.
        attacked.rig.vouch(&attacked.authorization);
        attacked.spent.set(true);
        let mut connection = attacked.rig.connect();
        connection.send(&request("POST", "/token", &expect, Some(&whole)));
        let mut response = connection.response();
        if response.status == 100 {
            response = connection.response();
        }
        assert_token(&response);
        connection.send(&request("GET", "/login", &[], None));
        assert_eq!(connection.response().status, 200);
        let received = attacked
            .rig
            .upstream
            .requests_to("/token")
            .pop()
            .expect("it is there");
        ours(&received);
    });
}

/// Attack 71.
#[test]
fn versions() {
    both(|attacked| {
        let whole = attacked.whole().encoded();
        let fields = format!(
            "Content-Type: {FORM}\r\nContent-Length: {}\r\n",
            whole.len()
        );
        for line in [
            "POST /token HTTP/1.2",
            "POST /token HTTP/2.0",
            "POST /token HTTP/0.9",
            "POST /token http/1.1",
            "POST /token HTTP/1.10",
            "POST /token HTTP/01.1",
            "POST /token",
            "POST /token ",
            "POST  /token HTTP/1.1 ",
            "POST /token HTTP/1.1 x",
            "POST /token x HTTP/1.1",
        ] {
            attacked.refused(message(line, &fields, &whole).as_bytes(), &[0, 400, 505]);
        }
        attacked.refused(format!("GET /token?{whole}\r\n\r\n").as_bytes(), &[0, 400]);
        let tok = attacked.tok().encoded();
        let fields = format!(
            "Connection: keep-alive\r\nContent-Type: {FORM}\r\nContent-Length: {}\r\n",
            tok.len()
        );
        attacked.refused(
            message("POST /token HTTP/1.0", &fields, &tok).as_bytes(),
            &[400],
        );
    });
}

/// Attacks 72 and 73. The gate does not speak HTTP/2, neither with prior knowledge nor (see 62) after an upgrade, so these
/// attacks do not apply.
#[test]
fn http2_is_not_spoken() {
    both(|attacked| {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
        let before = attacked.rig.upstream.ledger().len();
        let status = answer_when_cut(attacked, preface);
        assert!([0, 400, 505].contains(&status), "{status}");
        assert_eq!(attacked.rig.upstream.ledger().len(), before);
    });
}

/// Attack 75.
#[test]
fn authorization_requests_with_a_body() {
    both(|attacked| {
        let fresh = attacked.rig.authorization();
        let plain = fresh.clone().without_challenge().params.encoded();
        for url in [target(&fresh), "/authorize".to_owned()] {
            for body in [plain.as_str(), "code_challenge=x", "x"] {
                attacked.refused(&request("GET", &url, &[], Some(body)), &[400]);
                let chunks = message(
                    &format!("GET {url} HTTP/1.1"),
                    &format!("Content-Type: {FORM}\r\nTransfer-Encoding: chunked\r\n"),
                    &in_chunks(body),
                );
                attacked.refused(chunks.as_bytes(), &[400]);
            }
        }
    });
}

/// A gate with one worker, and so with one pool of connections to the upstream.
fn one_worker(mode: &str) -> Rig {
    Rig::with(Config {
        server: "workers = 1",
        pkce: &format!("mode = \"{mode}\""),
        ..Config::default()
    })
}

/// Whether another client's request, sent now, is the first on its connection to the upstream. It gets its own answer.
#[track_caller]
fn is_on_a_connection_of_its_own(rig: &Rig, path: &str) -> bool {
    let before = rig.upstream.ledger();
    let own = reply("200 OK", &[], path.as_bytes());
    rig.upstream.on(path, Act::Say(own, Then::GoOn));
    let response = rig.get(path);
    assert_eq!(response.text(), path, "{response}");
    let victims = rig.upstream.requests_to(path).remove(0).connection;
    before.iter().all(|other| other.connection != victims)
}

/// Attacks 60 and 75 on any path: some servers leave the body of a GET in the connection, where it becomes the next request,
/// and its answer the next client's. Enforced requests are refused; otherwise no other request follows on that connection.
/// Fails without `forward::body_of_get`, and if `upstream/pool.rs` treats such a request like others.
#[test]
fn connections_after_a_get_with_a_body() {
    let hidden = String::from_utf8(request("GET", "/hidden", &[], None)).expect("ASCII");
    let length = format!("Content-Length: {}\r\n", hidden.len());
    let chunks = in_chunks(&hidden);
    for (framing, body) in [
        (length.as_str(), hidden.as_str()),
        ("Transfer-Encoding: chunked\r\n", chunks.as_str()),
    ] {
        let get = message("GET /page HTTP/1.1", framing, body);
        let head = message("HEAD /page HTTP/1.1", framing, body);
        both(|attacked| {
            attacked.refused(get.as_bytes(), &[400]);
            let mut connection = attacked.rig.connect();
            connection.send(head.as_bytes());
            let answer = connection.response_to_head().expect("an answer");
            assert_eq!(answer.status, 400, "{answer}");
            assert!(attacked.rig.upstream.requests_to("/page").is_empty());
        });
        for mode in ["report", "off"] {
            // The upstream reads the body; or it does not, and parses it as a request.
            for ignored in [false, true] {
                let rig = one_worker(mode);
                if ignored {
                    let answer = reply("200 OK", &[], b"page");
                    rig.upstream
                        .once("/page", Act::Interrupt(answer, Then::GoOn));
                }
                assert_eq!(rig.send(get.as_bytes()).status, 200);
                assert!(is_on_a_connection_of_its_own(&rig, "/victim"), "{mode}");
                // That one is an ordinary request.
                assert!(!is_on_a_connection_of_its_own(&rig, "/next"), "{mode}");
            }
        }
    }
}

/// Attack 60 with credentials. Windows servers authenticate a connection (NTLM, Negotiate): later requests on it belong to that
/// user. Such a connection serves one request. Fails without `has_credentials_of_connection` in `upstream/pool.rs`.
#[test]
fn connections_that_were_authenticated() {
    for mode in ["enforce", "report", "off"] {
        let rig = one_worker(mode);
        let victim = || format!("/victim/{}", unguessable());
        for credentials in [
            "NTLM TlRMTVNTUAAD",
            "Negotiate YIIJvwYGKwYBBQUCoIIJ",
            "negotiate x",
            "Nego2 eA==",
        ] {
            let get = request("GET", "/page", &[("Authorization", credentials)], None);
            assert_eq!(rig.send(&get).status, 200);
            assert!(
                is_on_a_connection_of_its_own(&rig, &victim()),
                "{mode} {credentials}"
            );
        }
        for offered in [
            "NTLM",
            "Negotiate oYG2MIGzoAMKAQChCwYJ",
            "Basic realm=x, NTLM",
        ] {
            let answer = reply("401 Unauthorized", &[("WWW-Authenticate", offered)], b"");
            rig.upstream.once("/page", Act::Say(answer, Then::GoOn));
            assert_eq!(rig.get("/page").status, 401);
            assert!(
                is_on_a_connection_of_its_own(&rig, &victim()),
                "{mode} {offered}"
            );
        }
        // Other schemes name the user in each request.
        for credentials in ["Basic cHViOnM=", "Bearer negotiated", "DPoP ntlmx"] {
            let get = request("GET", "/page", &[("Authorization", credentials)], None);
            assert_eq!(rig.send(&get).status, 200);
            assert!(
                !is_on_a_connection_of_its_own(&rig, &victim()),
                "{mode} {credentials}"
            );
        }
    }
}

/// Attack 60: the attacker sends the rest of a body after its answer, to an upstream that parses it as a request. No other
/// client waits for that, or gets the answer to the hidden request. Fails if the pool takes back connections that are still
/// uploading.
#[test]
fn connections_that_are_still_uploading() {
    let rig = one_worker("enforce");
    let early = reply("200 OK", &[], b"enough");
    rig.upstream
        .once("/upload", Act::Interrupt(early, Then::GoOn));
    let hidden = String::from_utf8(request("GET", "/hidden", &[], None)).expect("ASCII");
    let (first, rest) = hidden.split_at(10);
    let fields = format!(
        // The gate reads a short body before it forwards it.
        "Content-Type: image/png\r\nContent-Length: {}\r\n",
        hidden.len() + FORM_BYTES
    );
    let mut uploading = rig.connect();
    uploading.send(message("POST /upload HTTP/1.1", &fields, first).as_bytes());
    assert_eq!(uploading.response().text(), "enough");
    let victims = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(300)); // time in which a victim would wait
            uploading.try_send(rest.as_bytes());
        });
        is_on_a_connection_of_its_own(&rig, "/victim")
    });
    assert!(victims);
    assert!(!is_on_a_connection_of_its_own(&rig, "/next"));
    // No later request uses that connection, either.
    let ledger = rig.upstream.ledger();
    let uploads = ledger.first().expect("the upload").connection;
    for seen in ledger.iter().filter(|seen| seen.connection == uploads) {
        assert!(["/upload", "/hidden"].contains(&seen.path()), "{ledger:?}");
    }
}

/// Parts of a body that an upstream could parse as a request if it leaves the body or its end unread.
const LOOKALIKES: &[&str] = &[
    "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /hidden HTTP/1.1\r\nHost: a\r\nX: ",
    "GET /hidden HTTP/1.1\r\nX: ",
    "GET /hidden?",
    "GET /hidden\r\n",
    "\r\n\r\nPOST /hidden HTTP/1.1\n\n",
    "get /hidden http/1.1\r\n\r\n",
    "MADE-UP /hidden HTTP/1.1\r\n\r\n",
    "GET\t/hidden\tHTTP/1.1\r\n\r\n",
    "GET http://a/hidden",
    "OPTIONS * HTTP/1.1\r\n\r\n",
    "PUT hidden\r\n",
];

/// The gate examines bodies up to this length as a whole.
const FORM_BYTES: usize = 64 * 1024;

/// Attack 60 with these bodies: no other client's request follows on the connection, whether the upstream reads the body, ignores
/// it, or would ignore its end; and the gate sends `Connection: close` if it has seen the body before it sends the head.
#[test]
fn connections_after_a_body_that_could_be_a_request() {
    let small = "name=value&".to_owned();
    let large = small.repeat(2 * FORM_BYTES / small.len());
    for (mode, filler) in [
        ("enforce", ""),
        ("enforce", &small),
        ("enforce", &large),
        ("report", ""),
        ("off", ""),
    ] {
        let rig = one_worker(mode);
        for lookalike in LOOKALIKES {
            let body = format!("{filler}{lookalike}");
            let chunks = in_chunks(&body);
            for kind in ["image/png", FORM] {
                let length = format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
                let chunked = format!("Content-Type: {kind}\r\nTransfer-Encoding: chunked\r\n");
                for (fields, body) in [(&length, &body), (&chunked, &chunks)] {
                    let before = rig.upstream.ledger().len();
                    let bytes = message("POST /static/x HTTP/1.1", fields, body);
                    assert_eq!(rig.send(bytes.as_bytes()).status, 200);
                    let victim = format!("/victim/{before}");
                    assert!(
                        is_on_a_connection_of_its_own(&rig, &victim),
                        "{mode} {bytes:?}"
                    );
                    let ledger = rig.upstream.ledger();
                    let closes = ledger[before].header("connection") == Some("close");
                    let is_read = kind == FORM || fields == &length;
                    let seen = mode == "enforce" && is_read && filler.len() < FORM_BYTES;
                    assert_eq!(closes, seen, "{mode} {bytes:?}");
                }
            }
        }
    }
    // The same for an upstream that answers without reading the body, with a request split in two.
    for lookalike in LOOKALIKES {
        let rig = one_worker("enforce");
        let answer = reply("200 OK", &[], b"static");
        rig.upstream
            .once("/static/x", Act::Interrupt(answer, Then::GoOn));
        let fields = [("Content-Type", "image/png")];
        let bytes = request("POST", "/static/x", &fields, Some(lookalike));
        assert_eq!(rig.send(&bytes).text(), "static");
        assert!(
            is_on_a_connection_of_its_own(&rig, "/victim"),
            "{lookalike:?}"
        );
        assert!(
            !is_on_a_connection_of_its_own(&rig, "/next"),
            "{lookalike:?}"
        );
    }
}

/// The reverse: ordinary bodies leave the connection reusable.
#[test]
fn connections_after_ordinary_bodies_are_reused() {
    let large = "name=value&".repeat(FORM_BYTES / 5);
    let json = "{\n  \"scope\": \"openid profile\",\n  \"redirect_uris\": [\"https://client.test/cb\", \"/x\"]\n}\n";
    let multipart = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--b--\r\n";
    for mode in ["enforce", "off"] {
        let rig = one_worker(mode);
        for (kind, body) in [
            (FORM, "user=me&password=a+b%20c&next=/account?x=*"),
            (FORM, ""),
            (FORM, &large),
            ("application/json", json),
            ("application/json", "{\"a\": 1, \"b\": null}"),
            ("multipart/form-data; boundary=b", multipart),
        ] {
            let fields = [("Content-Type", kind)];
            assert_eq!(
                rig.send(&request("POST", "/login", &fields, Some(body)))
                    .status,
                200
            );
            let chunks = message(
                "POST /login HTTP/1.1",
                &format!("Content-Type: {kind}\r\nTransfer-Encoding: chunked\r\n"),
                &if body.is_empty() {
                    "0\r\n\r\n".to_owned()
                } else {
                    in_chunks(body)
                },
            );
            assert_eq!(rig.send(chunks.as_bytes()).status, 200);
        }
        assert_eq!(rig.upstream.accepted(), 1, "{mode}");
    }
}

/// Attack 76 with contradictory framings of an answer: either reading may be wrong. Fails without `framing::is_clear`.
#[test]
fn answers_with_contradictory_framing() {
    const CL: &str = "Content-Length: 3\r\n";
    const TE: &str = "Transfer-Encoding: chunked\r\n";
    let head =
        |fields: &str| format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{fields}\r\n");
    let broken = [
        format!("{CL}{TE}"),
        format!("{TE}{CL}"),
        format!("{TE}Content-Length: 100\r\n"),
        format!("{CL}Content-Length: 8\r\n"),
        format!("{CL}{CL}Content-Length: 03\r\n"),
        "Content-Length: 3, 3\r\n".to_owned(),
        "Content-Length: 3, 8\r\n".to_owned(),
        "Content-Length: 3,\r\n".to_owned(),
        "Content-Length: +3\r\n".to_owned(),
        "Content-Length: -3\r\n".to_owned(),
        "Content-Length: \r\n".to_owned(),
        "Content-Length: 3 3\r\n".to_owned(),
        "Content-Length: 99999999999999999999999\r\n".to_owned(),
        "Transfer-Encoding: gzip, chunked\r\n".to_owned(),
        "Transfer-Encoding: identity\r\n".to_owned(),
        format!("Transfer-Encoding: gzip\r\n{TE}"),
    ];
    for mode in ["enforce", "off"] {
        let rig = one_worker(mode);
        for fields in &broken {
            for body in ["abc", "3\r\nabc\r\n0\r\n\r\n"] {
                for path in ["/page", "/token"] {
                    let answer = head(fields) + body;
                    rig.upstream
                        .once(path, Act::Say(answer.into_bytes(), Then::GoOn));
                    let form = (path == "/token").then_some("grant_type=x");
                    let method = if form.is_some() { "POST" } else { "GET" };
                    let response = rig.send(&request(method, path, &[], form));
                    assert_eq!(response.status, 502, "{fields:?}: {response}");
                    let number = rig.upstream.ledger().len();
                    let victim = format!("/victim/{number}");
                    assert!(is_on_a_connection_of_its_own(&rig, &victim), "{fields:?}");
                }
            }
        }
        // A framing field may occur twice with the same value (RFC 9110 section 8.6).
        let before = rig.upstream.accepted();
        for fields in [CL.to_owned(), CL.repeat(2), CL.repeat(3)] {
            let answer = head(&fields) + "abc";
            rig.upstream
                .once("/page", Act::Say(answer.into_bytes(), Then::GoOn));
            let response = rig.get("/page");
            assert_eq!(
                (response.status, response.text()),
                (200, "abc"),
                "{response}"
            );
            let lengths = response.to_string().to_ascii_lowercase();
            assert_eq!(lengths.matches("content-length").count(), 1, "{response}");
        }
        assert_eq!(rig.upstream.accepted(), before);
    }
}

/// Attack 76: bytes after an answer belong to no client.
#[test]
fn bytes_after_an_answer() {
    let rig = one_worker("enforce");
    let answers = [
        reply("200 OK", &[], b"page"),
        reply("200 OK", &[], b""),
        chunked("200 OK", &[], &[b"page"]),
        reply("302 Found", &[("Location", "/login")], b""),
    ];
    for answer in &answers {
        for behind in [
            &reply("200 OK", &[], b"stray")[..],
            &reply("200 OK", &[], &vec![b'x'; 200_000]),
            b"HTTP/1.1 200 OK\r\nX: ",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"x",
            b"\r\n",
            b"0\r\n\r\n",
        ] {
            let both = [answer, behind].concat();
            rig.upstream.once("/page", Act::Say(both, Then::GoOn));
            let response = rig.get("/page");
            assert!(!response.to_string().contains("stray"), "{response}");
            let number = rig.upstream.ledger().len();
            let victim = format!("/victim/{number}");
            assert!(
                is_on_a_connection_of_its_own(&rig, &victim),
                "{}",
                behind.escape_ascii()
            );
        }
    }
}

/// Attack 76. An answer that has two framings, ends early, is compressed, or does not end.
#[test]
fn answers_of_a_broken_upstream() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    let entry = rig.entry(&authorization);
    let handle =
        crate::support::params::Params::from_query(entry.split('?').nth(1).unwrap_or_default());
    let handle = handle.get("state").expect("a handle").to_owned();
    let page = format!(
        "<form method=post action=\"https://client.test/cb\"><input name=code value=up-never-to-be-seen><input name=state value={handle}></form>"
    );
    let html = ("Content-Type", "text/html");
    let both_framings = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        in_chunks(&page)
    );
    let mut cut = chunked("200 OK", &[html], &[page.as_bytes()]);
    cut.truncate(cut.len() - 5);
    let storm = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(500) + "HTTP/1.1 204 No Content\r\n\r\n";
    let answers = [
        both_framings.into_bytes(),
        cut,
        storm.into_bytes(),
        until_close(
            "200 OK",
            &[html, ("Content-Encoding", "gzip")],
            b"\x1f\x8b\x08 no gzip at all",
        ),
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde".to_vec(),
        b"no HTTP at all\r\n\r\n".to_vec(),
    ];
    for answer in answers {
        rig.upstream
            .once("/authorize", Act::Say(answer, Then::Close));
        let mut connection = rig.connect();
        connection.send(&request("GET", &entry, &[], None));
        let came = connection.try_response();
        let bytes = match &came {
            Ok(Response { raw, .. }) => raw,
            Err(cut) => &cut.0,
        };
        assert!(
            !bytes
                .escape_ascii()
                .to_string()
                .contains("up-never-to-be-seen"),
            "{came:?}"
        );
    }
    assert_eq!(rig.get("/login").status, 200);
}
