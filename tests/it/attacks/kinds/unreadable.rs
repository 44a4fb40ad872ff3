//! Answers that the gate cannot read and that contain one of its handles, live or dead, do not leave with a code, however often
//! they arrive.
//!
//! All tests fail without `unrecognised::leftovers`; `dead_handles` if only live handles count there. If only pages with status
//! 2xx are read, only the first Content-Type counts, or any Content-Encoding makes a page unreadable, the test of that name
//! fails.

use super::{Begun, answered, redirect};
use crate::support::http::Response;
use crate::support::rig::{REDIRECT_URI, Rig, request};
use crate::support::scripted::{Act, Then, reply};

/// The upstream's code for the sign-in of this handle. It is used for no other sign-in, which would be refused for another
/// reason.
pub(super) fn raw(handle: &str) -> String {
    format!("up-{}", handle.chars().rev().collect::<String>())
}

const LINK: &str = "<a href='https://client.test/cb?code=RAW&amp;state=HANDLE'>Continue</a>";
const FORM: &str = "<form action=https://client.test/cb method=post><input name=code value=RAW>\
                    <input name=state value=HANDLE></form>";
const ELSEWHERE: &str = "<form action=https://evil.test/cb><input name=code value=RAW>\
                         <input name=state value=HANDLE></form>";
const DOCUMENT: &str = r#"{"a":[{"code":"RAW"}],"state":"HANDLE"}"#;

/// The answer with its placeholders `RAW` and `HANDLE` replaced.
pub(super) fn filled(answer: &[u8], handle: &str) -> Vec<u8> {
    // As Latin-1 every byte is one character, and is restored as the same byte.
    let text: String = answer.iter().copied().map(char::from).collect();
    let text = text.replace("RAW", &raw(handle)).replace("HANDLE", handle);
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let lines = head
        .split("\r\n")
        .filter(|line| !line.starts_with("Content-Length"));
    let head = lines.collect::<Vec<_>>().join("\r\n");
    let whole = format!(
        "{head}\r\nContent-Length: {}\r\n\r\n{body}",
        body.chars().count()
    );
    whole
        .chars()
        .map(|c| u8::try_from(c).expect("Latin-1"))
        .collect()
}

/// The code does not leave. Returns whether the answer was refused.
#[track_caller]
fn is_stopped(begun: &Begun<'_>, response: &Response, answer: &[u8]) -> bool {
    let shown = answer.escape_ascii();
    let code = raw(&begun.handle);
    assert!(!response.to_string().contains(&code), "{shown}: {response}");
    if response.status == 502 {
        return true;
    }
    // A page is read whatever its status.
    let mut read = Response::parse(response.raw.clone());
    if read.header("location").is_none() {
        read.status = 200;
    }
    begun.is_answered_by(&read);
    false
}

/// The answer is refused in every place, each time; or the gate reads it and replaces its code.
#[track_caller]
fn never_leaves(rig: &Rig, answer: &[u8]) {
    let begun = Begun::on(rig);
    let filled_in = filled(answer, &begun.handle);
    if is_stopped(&begun, &begun.answered(filled_in), answer) {
        let again = rig.get(&begun.entry);
        assert_eq!(again.status, 400, "the sign-in is over: {again}");
    }
    // After the login the server remembers the sign-in, and the request does not name it.
    let begun = Begun::on(rig);
    let filled_in = filled(answer, &begun.handle);
    let bytes = request("POST", "/login/done", &[], Some("password=x"));
    for _ in 0..3 {
        let response = answered(rig, &bytes, filled_in.clone());
        if !is_stopped(&begun, &response, answer) {
            return;
        }
    }
    let form = begun.authorization.redemption(&raw(&begun.handle));
    assert_eq!(rig.token(&form).status, 400);
}

fn all_of(answers: impl IntoIterator<Item = Vec<u8>>) {
    let rig = Rig::new();
    for answer in answers {
        never_leaves(&rig, &answer);
    }
}

fn page(status: &str, kind: &str, body: &str) -> Vec<u8> {
    reply(status, &[("Content-Type", kind)], body.as_bytes())
}

/// In Latin-1, and in bytes that are no encoding: the test searches the bytes of the answer for the code.
#[test]
fn locations_in_other_bytes() {
    let rig = Rig::new();
    let answer = "RAW&state=HANDLE";
    for location in [
        format!("{REDIRECT_URI}?x=\u{e9}&code={answer}"),
        format!("{REDIRECT_URI}?code={answer}#\u{e9}"),
        format!("{REDIRECT_URI}?x=\u{ff}#code={answer}"),
        format!("{REDIRECT_URI}\u{e9}?code={answer}"),
        format!("https://client.test/c\u{c3}\u{28}b?code={answer}"),
        format!("/\u{e9}?code={answer}"),
        format!("{REDIRECT_URI}?c\u{f6}de=x&code={answer}"),
        format!("{REDIRECT_URI}?\u{e9}\u{ff}\u{80}=RAW&code={answer}"),
        format!("https://evil.test/\u{e9}?code={answer}"),
    ] {
        let bytes = location.chars().map(|c| u8::try_from(c).expect("Latin-1"));
        let bytes: Vec<u8> = bytes.collect();
        let answer = [b"HTTP/1.1 302 Found\r\nLocation: ", &*bytes, b"\r\n\r\n"].concat();
        for (method, path) in [("GET", ""), ("POST", "/login/done")] {
            let begun = Begun::on(&rig);
            let act = Act::Say(filled(&answer, &begun.handle), Then::GoOn);
            let target = if path.is_empty() { &*begun.entry } else { path };
            for _ in 0..3 {
                rig.upstream.once("*", act.clone());
                let mut connection = rig.connect();
                connection.send(&request(method, target, &[("Connection", "close")], None));
                let received = connection.rest();
                let shown = received.escape_ascii().to_string();
                assert!(!shown.contains(&raw(&begun.handle)), "{location}: {shown}");
                let status = received.get(9..12).unwrap_or_default();
                // The gate reads the bytes as an ordinary answer, or refuses it. The second time, the code is already bound.
                let expected = [&b"302"[..], b"303", b"502", b"400"];
                assert!(expected.contains(&status), "{location}: {shown}");
            }
            rig.upstream.heal();
        }
    }
}

/// With any status, and with other fields in place of `Location`.
#[test]
fn statuses() {
    let url = "https://client.test/cb?code=RAW&state=HANDLE";
    let refresh = format!("0;url={url}");
    let link = format!("<{url}>; rel=next");
    let mut answers = Vec::new();
    for status in [
        "200 OK",
        "201 Created",
        "202 Accepted",
        "226 X",
        "299 X",
        "300 Multiple Choices",
        "302 Found",
        "303 See Other",
        "305 Use Proxy",
        "308 X",
        "400 Bad Request",
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "409 X",
        "422 X",
        "451 X",
        "500 Internal Server Error",
        "503 Service Unavailable",
        "599 X",
    ] {
        for body in [LINK, FORM, ELSEWHERE] {
            answers.push(page(status, "text/html", body));
        }
        answers.push(page(status, "application/json", DOCUMENT));
        for (name, value) in [
            ("Refresh", &*refresh),
            ("Link", &*link),
            ("Content-Location", url),
            ("X-Accel-Redirect", url),
            (
                "Set-Cookie",
                "to=\"https://client.test/cb?code=RAW&state=HANDLE\"",
            ),
        ] {
            answers.push(reply(status, &[(name, value)], b""));
        }
        if !status.starts_with('3') {
            answers.push(reply(status, &[("Location", url)], b""));
        }
    }
    all_of(answers);
}

/// Invalid content codings, and contradictory fields about the body.
#[test]
fn codings_and_types() {
    let mut answers = Vec::new();
    for coding in [
        "",
        "identity",
        "identity, identity",
        "utf-8",
        "none",
        "8bit",
        "x-unheard-of",
        "chunked",
        "gzi p",
    ] {
        for body in [LINK, FORM, ELSEWHERE] {
            let fields = [("Content-Type", "text/html"), ("Content-Encoding", coding)];
            answers.push(reply("200 OK", &fields, body.as_bytes()));
        }
    }
    for (first, second) in [
        ("text/plain", "text/html"),
        ("text/html", "text/plain"),
        ("image/png", "text/html; charset=utf-8"),
        ("application/json", "application/octet-stream"),
        ("", "text/html"),
    ] {
        for body in [LINK, FORM, ELSEWHERE, DOCUMENT] {
            let fields = [("Content-Type", first), ("Content-Type", second)];
            answers.push(reply("200 OK", &fields, body.as_bytes()));
        }
    }
    for kind in [
        "text/plain, text/html",
        "TEXT/HTML;x",
        "application/xhtml+xml",
        "multipart/mixed; boundary=b",
    ] {
        answers.push(page("200 OK", kind, LINK));
        answers.push(page("200 OK", kind, ELSEWHERE));
    }
    for body in [LINK, FORM, ELSEWHERE, DOCUMENT] {
        answers.push(reply("200 OK", &[], body.as_bytes()));
    }
    all_of(answers);
}

/// Text, XML, SVG, scripts, tables, streams of documents.
#[test]
fn other_texts() {
    all_of([
        page(
            "200 OK",
            "text/plain",
            "https://client.test/cb?code=RAW&state=HANDLE",
        ),
        page(
            "200 OK",
            "text/plain; charset=utf-16",
            "?code=RAW&state=HANDLE",
        ),
        page(
            "200 OK",
            "text/csv",
            "state,url\nHANDLE,https://client.test/?x=1&code=RAW\n",
        ),
        page(
            "200 OK",
            "application/xml",
            "<r><code>RAW</code><state>HANDLE</state></r>",
        ),
        page(
            "200 OK",
            "text/xml",
            "<s:r xmlns:s='x'><s:code> RAW</s:code><s:state>HANDLE</s:state></s:r>",
        ),
        page(
            "500 X",
            "application/soap+xml",
            "<r to='https://client.test/cb?code=RAW&amp;state=HANDLE'/>",
        ),
        page(
            "200 OK",
            "image/svg+xml",
            "<svg><a xlink:href='https://client.test/cb?code=RAW&amp;state=HANDLE'/></svg>",
        ),
        page(
            "200 OK",
            "image/svg+xml",
            "<svg><script>location='?state=HANDLE\\x26code=RAW'</script></svg>",
        ),
        page(
            "200 OK",
            "application/javascript",
            "location='https://client.test/cb?code=RAW&state=HANDLE'",
        ),
        page(
            "200 OK",
            "text/javascript",
            "callback({code: 'RAW', state: 'HANDLE'})",
        ),
    ]);
}

/// Documents with escapes, in pieces, in a string, or in a form.
#[test]
fn other_documents() {
    all_of([
        page(
            "200 OK",
            "application/json",
            r#"{"\u0063\u006f\u0064\u0065":"RAW","state":"HANDLE"}"#,
        ),
        page(
            "200 OK",
            "application/json",
            r#"{"to":"https:\/\/c\/cb\u003Fcode\u003DRAW\u0026state\u003DHANDLE"}"#,
        ),
        page(
            "200 OK",
            "application/json",
            r#"{"body":"{\"code\":\"RAW\",\"state\":\"HANDLE\"}"}"#,
        ),
        page(
            "200 OK",
            "application/x-www-form-urlencoded",
            "state=HANDLE&code=RAW",
        ),
        page(
            "200 OK",
            "application/octet-stream",
            "?code=RAW&state=HANDLE",
        ),
        page("200 OK", "x/y", "\u{feff}?code=RAW&state=HANDLE"),
    ]);
}

/// After a sign-in has ended, its handle is still recognised by its checksum, in every carrier, however often it arrives.
#[test]
fn dead_handles() {
    let rig = Rig::new();
    let begun = Begun::on(&rig);
    let answer = redirect(&format!(
        "https://evil.test/?code={}&state={}",
        raw(&begun.handle),
        begun.handle
    ));
    assert_eq!(begun.answered(answer).status, 502);
    let location = "https://client.test/cb?code=RAW&state=HANDLE";
    let refresh = format!("0;url={location}");
    for answer in [
        reply("302 Found", &[("Location", location)], b""),
        reply(
            "302 Found",
            &[("Location", &location.replace('?', "#"))],
            b"",
        ),
        reply(
            "302 Found",
            &[("Location", &format!("{location}&%zz=1"))],
            b"",
        ),
        reply("200 OK", &[("Refresh", &refresh)], b""),
        page("200 OK", "text/html", LINK),
        page("200 OK", "text/html", FORM),
        page("400 X", "text/html", ELSEWHERE),
        page("200 OK", "application/json", DOCUMENT),
        page(
            "200 OK",
            "application/json",
            &super::escapes(DOCUMENT)
                .replace("\\u0052\\u0041\\u0057", "RAW")
                .replace("\\u0048\\u0041\\u004e\\u0044\\u004c\\u0045", "HANDLE"),
        ),
    ] {
        let answer = filled(&answer, &begun.handle);
        for (method, form) in [("GET", None), ("POST", Some("a=b"))] {
            let bytes = request(method, "/login/done", &[], form);
            for _ in 0..3 {
                let response = answered(&rig, &bytes, answer.clone());
                let shown = answer.escape_ascii();
                assert_eq!(response.status, 502, "{shown}: {response}");
            }
        }
    }
}

/// A handle without a code is a login in progress, and a code without a handle belongs to no sign-in.
#[test]
fn answers_with_only_a_handle_or_only_a_code_pass() {
    let rig = Rig::new();
    for body in [LINK, FORM, DOCUMENT] {
        for (word, other) in [("RAW", ""), ("HANDLE", "a-state-of-the-servers-own")] {
            for kind in ["text/html", "application/json", "text/plain"] {
                let begun = Begun::on(&rig);
                let body = body
                    .replace(word, other)
                    .replace(REDIRECT_URI, "/login/next");
                let answer = filled(&page("200 OK", kind, &body), &begun.handle);
                let bytes = request("POST", "/login/done", &[], Some("a=b"));
                let response = answered(&rig, &bytes, answer);
                assert_eq!(response.status, 200, "{kind} {body}: {response}");
            }
        }
    }
}
