//! A code and a handle that are not next to each other as plain text: in different fields, in a field and the page, escaped, at
//! the beginning of a page that is too long, in a content coding that was not requested; and codes with unusual characters in
//! unusual places.
//!
//! Each test fails without the check that its comment names.

use super::unreadable::{filled, raw};
use super::{Begun, answered, escapes, percent, redirect, references};
use crate::support::http::Response;
use crate::support::rig::{REDIRECT_URI, Rig, request};
use crate::support::scripted::reply;

fn page(kind: &str, body: &str) -> Vec<u8> {
    reply("200 OK", &[("Content-Type", kind)], body.as_bytes())
}

#[track_caller]
fn is_kept(begun: &Begun<'_>, response: &Response, answer: &[u8]) {
    let shown = answer.get(..600).unwrap_or(answer).escape_ascii();
    assert!(
        !response.to_string().contains(&raw(&begun.handle)),
        "{shown}: {response}"
    );
    assert_eq!(response.status, 502, "{shown}: {response}");
}

/// The answer, in which `HANDLE` and `RAW` are placeholders, does not reach the client: neither in answer to the authorization
/// request nor after a login.
#[track_caller]
fn never_leaves(rig: &Rig, make: impl Fn(&str) -> Vec<u8>) {
    for path in ["", "/login/done"] {
        let begun = Begun::on(rig);
        let answer = filled(&make(&begun.handle), &begun.handle);
        let bytes = match path {
            "" => request("GET", &begun.entry, &[], None),
            path => request("POST", path, &[], Some("password=x")),
        };
        is_kept(&begun, &answered(rig, &bytes, answer.clone()), &answer);
    }
}

/// In two fields of one answer, or in a field and its page. Fails if `unrecognised::leftovers` examines each text separately.
#[test]
fn codes_and_handles_in_different_places() {
    let rig = Rig::new();
    let (html, json) = ("text/html", "application/json");
    let (code, state) = ("https://client.test/cb?code=RAW", "/wait?state=HANDLE");
    let field = |name: &'static str, value: &str| (name, value.to_owned());
    for (fields, kind, body) in [
        (
            vec![
                field("Refresh", &format!("0;url={code}")),
                field("X-State", "HANDLE"),
            ],
            "",
            "",
        ),
        (
            vec![
                field("X-Code", "code=RAW"),
                field("Set-Cookie", "state=HANDLE"),
            ],
            "",
            "",
        ),
        (
            vec![
                field("Set-Cookie", &format!("to={code}")),
                field("Set-Cookie", "s=HANDLE"),
            ],
            "",
            "",
        ),
        (
            vec![field("Link", &format!("<{code}>; rel=next"))],
            html,
            "<a href='/wait?state=HANDLE'>",
        ),
        (
            vec![field("Set-Cookie", &format!("to=\"{code}\""))],
            json,
            "{\"state\":\"HANDLE\"}",
        ),
        (vec![field("X-State", "HANDLE")], json, "{\"code\":\"RAW\"}"),
        (
            vec![field("Set-Cookie", "s=HANDLE; Path=/")],
            html,
            "<script>to('?x=1&code=RAW')</script>",
        ),
        (
            vec![field("Location", state)],
            html,
            "<a href='https://client.test/cb?code=RAW'>",
        ),
        (vec![field("Location", state)], "text/plain", "code=RAW"),
        (
            vec![field("X-State", "HANDLE")],
            html,
            "<script>r={access_token:'RAW'}</script>",
        ),
    ] {
        for status in ["200 OK", "400 X", "300 X"] {
            let mut all: Vec<_> = fields
                .iter()
                .map(|(name, value)| (*name, &**value))
                .collect();
            if !kind.is_empty() {
                all.push(("Content-Type", kind));
            }
            never_leaves(&rig, |_| reply(status, &all, body.as_bytes()));
        }
    }
    // The server's own cookie may have any name, and a login page contains no code.
    let begun = Begun::on(&rig);
    let fields = [
        ("Content-Type", html),
        ("Set-Cookie", "code=a1b2c3d4e5; Path=/"),
    ];
    let login = format!(
        "<form action=/login><input name=state value={}></form>",
        begun.handle
    );
    let response = begun.answered(reply("200 OK", &fields, login.as_bytes()));
    assert_eq!(response.status, 200, "{response}");
}

/// Under percent escapes, character references and JSON escapes, complete or partial, once and twice, in fields and pages.
/// Fails without the layers in `read::may_hold`.
#[test]
fn handles_that_are_escaped() {
    let rig = Rig::new();
    let first = |handle: &str, escape: &dyn Fn(&str) -> String| {
        let (first, rest) = handle.split_at(1);
        escape(first) + rest
    };
    let middle = |handle: &str, escape: &dyn Fn(&str) -> String| {
        let (before, rest) = handle.split_at(9);
        format!("{before}{}", escape(rest))
    };
    let twice = |text: &str| percent(&percent(text));
    let mixed = |text: &str| percent(&references(text));
    let all: [&dyn Fn(&str) -> String; 5] = [&percent, &references, &escapes, &twice, &mixed];
    for escape in all {
        let forms: [&dyn Fn(&str) -> String; 3] = [
            &|handle| escape(handle),
            &|handle| first(handle, escape),
            &|handle| middle(handle, escape),
        ];
        for form in forms {
            for (kind, body) in [
                (
                    "text/html",
                    "<a href='https://client.test/cb?code=RAW&amp;state=ESCAPED'>",
                ),
                (
                    "text/html",
                    "<form action=https://evil.test/x><input name=code value=RAW><p>ESCAPED</form>",
                ),
                ("application/json", r#"{"code":"RAW","state":"ESCAPED"}"#),
                ("text/plain", "state=ESCAPED code=\"RAW\""),
            ] {
                never_leaves(&rig, |handle| {
                    page(kind, &body.replace("ESCAPED", &form(handle)))
                });
            }
            never_leaves(&rig, |handle| {
                let url = format!("0;url={REDIRECT_URI}?code=RAW&state={}", form(handle));
                reply("200 OK", &[("Refresh", &url)], b"")
            });
            never_leaves(&rig, |handle| {
                let fields = [("X-State", &*form(handle)), ("X-Code", "?code=RAW")];
                reply("200 OK", &fields, b"")
            });
        }
    }
}

/// The gate reads the first megabyte of a page of any length, and a page that is only long passes. Fails if `read::page` gives
/// up.
#[test]
fn pages_that_are_too_long_to_be_read() {
    let rig = Rig::new();
    for filler in ["x".repeat(1 << 20), "<p>hello</p>".repeat(200_000)] {
        for (kind, body) in [
            (
                "text/html",
                "<a href='https://client.test/cb?code=RAW&amp;state=HANDLE'>FILLER",
            ),
            (
                "text/html",
                "<form method=post action=https://client.test/cb><input name=code value=RAW><input name=state value=HANDLE></form>FILLER",
            ),
            (
                "text/html",
                "<form action=https://evil.test/><input name=code value=RAW></form>FILLER",
            ),
            (
                "text/html",
                "<form action=https://client.test/><input name=access_token value=RAW></form>FILLER",
            ),
            (
                "application/json",
                r#"{"code":"RAW","state":"HANDLE","x":"FILLER"}"#,
            ),
        ] {
            never_leaves(&rig, |_| page(kind, &body.replace("FILLER", &filler)));
        }
        let body = format!("<p>{filler}<p>{filler}");
        let bytes = request("POST", "/login/done", &[], Some("password=x"));
        let response = answered(&rig, &bytes, page("text/html", &body));
        assert_eq!((response.status, response.text()), (200, &*body));
    }
}

/// The gate cannot read a content coding that it did not ask for. Fails without `Extent::Sealed`, and for requests of scripts
/// if only pages and JSON count in `forward::may_be_read`.
#[test]
fn unrequested_content_codings() {
    let rig = Rig::new();
    let begun = Begun::on(&rig);
    let entry = format!("http://gate.test{}", begun.entry);
    let page = format!("/page?state={}", begun.handle);
    let any = ("Accept", "*/*");
    // The gate asks for a coding that it can read.
    for (target, fields) in [
        (&*page, vec![any]),
        ("/api/flow", vec![any, ("Referer", &*entry)]),
        (
            "/api/flow",
            vec![("Accept", "text/plain, */*;q=0.1"), ("Referer", &entry)],
        ),
        (
            "/api/flow",
            vec![any, ("Referer", &entry), ("Sec-Fetch-Dest", "empty")],
        ),
    ] {
        let mut fields = fields;
        fields.push(("Accept-Encoding", "gzip, br"));
        rig.get_with(target, &fields);
        let ledger = rig.upstream.ledger();
        let received = ledger.last().expect("it was asked");
        assert_eq!(
            received.header("accept-encoding"),
            Some("identity"),
            "{received:?}"
        );
    }
    // Scripts, styles and images pass unchanged; so do answers without a connection to a sign-in.
    for fields in [
        vec![any, ("Referer", &*entry), ("Sec-Fetch-Dest", "script")],
        vec![
            ("Accept", "image/avif,*/*;q=0.8"),
            ("Referer", &entry),
            ("Sec-Fetch-Dest", "image"),
        ],
        vec![any],
    ] {
        let mut fields = fields;
        fields.push(("Accept-Encoding", "gzip, br"));
        rig.get_with("/asset", &fields);
        let ledger = rig.upstream.ledger();
        let received = ledger.last().expect("it was asked");
        assert_eq!(
            received.header("accept-encoding"),
            Some("gzip, br"),
            "{received:?}"
        );
    }
    let form = format!("next=/authorize?state={}", begun.handle);
    for coding in [
        "gzip",
        "GZIP",
        "x-gzip",
        "br",
        "zstd",
        "deflate",
        "identity, gzip",
    ] {
        for kind in ["text/html", "application/json", ""] {
            let fields = [("Content-Encoding", coding), ("Content-Type", kind)];
            let fields = if kind.is_empty() {
                &fields[..1]
            } else {
                &fields[..]
            };
            let answer = reply("200 OK", fields, b"\x1f\x8b not to be read");
            for bytes in [
                request("GET", &page, &[], None),
                request("GET", &page, &[any], None),
                request("GET", "/api/flow", &[any, ("Referer", &entry)], None),
                request("POST", "/login", &[], Some(&form)),
            ] {
                let response = answered(&rig, &bytes, answer.clone());
                let shown = bytes.escape_ascii();
                assert_eq!(response.status, 502, "{coding} {kind} {shown}: {response}");
                assert!(!response.to_string().contains("not to be read"));
            }
            let bytes = request("POST", "/login", &[], Some("user=u"));
            assert_eq!(answered(&rig, &bytes, answer.clone()).status, 200);
        }
    }
    let begun = Begun::on(&rig);
    let fields = [("Content-Encoding", "gzip"), ("Content-Type", "text/html")];
    let response = begun.answered(reply("200 OK", &fields, b"\x1f\x8b not to be read"));
    assert_eq!(response.status, 502, "{response}");
    // A style sheet that the server stores compressed is delivered, also to the page of a sign-in.
    let fields = [("Content-Encoding", "gzip"), ("Content-Type", "text/css")];
    let answer = reply("200 OK", &fields, b"\x1f\x8b a style");
    let bytes = request("GET", "/style.css", &[any, ("Referer", &entry)], None);
    assert_eq!(answered(&rig, &bytes, answer).status, 200);
    // So is a file with the texts of a page. Other compressed answers are refused, and the sign-in continues.
    for (kind, changed, expected) in [
        (
            "application/json",
            Some("Sat, 01 Nov 2025 10:00:00 GMT"),
            200,
        ),
        ("text/html", Some("Sat, 01 Nov 2025 10:00:00 GMT"), 200),
        ("application/json", None, 502),
    ] {
        let begun = Begun::on(&rig);
        let entry = format!("http://gate.test{}", begun.entry);
        let mut fields = vec![("Content-Encoding", "gzip"), ("Content-Type", kind)];
        fields.extend(changed.map(|changed| ("Last-Modified", changed)));
        let answer = reply("200 OK", &fields, b"\x1f\x8b words");
        let bytes = request("GET", "/locales/en", &[any, ("Referer", &entry)], None);
        assert_eq!(answered(&rig, &bytes, answer).status, expected, "{kind}");
        let to = format!(
            "{REDIRECT_URI}?code={}&state={}",
            raw(&begun.handle),
            begun.handle
        );
        begun.is_answered_by(&begun.answered(redirect(&to)));
    }
}

/// Codes as a large provider makes them, and with other characters; in lists, assignments, calls, attributes and CDATA. Fails
/// without the values and members of `beacon`.
#[test]
fn codes_of_other_letters_in_other_places() {
    let rig = Rig::new();
    for code in ["M.C5!RAW*$$", "M!*1*RAW", "1|RAW", "~:RAW!"] {
        for (kind, body) in [
            ("application/json", r#"{"code":"CODE","state":"HANDLE"}"#),
            (
                "application/json",
                r#"{"code":["CODE"],"state":["HANDLE"]}"#,
            ),
            (
                "application/json",
                r#"{"to":"https:\/\/client.test\/cb?code=CODE&state=HANDLE"}"#,
            ),
            (
                "text/html",
                "<script>r.code='CODE';r.state='HANDLE'</script>",
            ),
            (
                "text/html",
                "<script>r[\"code\"] = `CODE`; r.state = 'HANDLE'</script>",
            ),
            (
                "text/html",
                "<script>u.searchParams.set('code','CODE');u.searchParams.set('state','HANDLE')</script>",
            ),
            (
                "text/html",
                "<script>f.append(\"code\", \"CODE\"), f.append(\"state\", \"HANDLE\")</script>",
            ),
            (
                "text/html",
                "<a href='https://client.test/cb?code=CODE&amp;state=HANDLE'>",
            ),
            ("application/xml", "<r code=\"CODE\" state=\"HANDLE\"/>"),
            (
                "application/xml",
                "<r><code><![CDATA[CODE]]></code><s>HANDLE</s></r>",
            ),
            ("text/plain", "code=CODE&state=HANDLE"),
        ] {
            never_leaves(&rig, |_| page(kind, &body.replace("CODE", code)));
        }
    }
    // Words on login pages are not codes.
    for body in [
        r#"{"code":"invalid_credentials","state":"HANDLE"}"#,
        r#"{"code":["USER_LOCKED"],"state":"HANDLE"}"#,
        r#"{"lang":{"code":"zh-Hant-TW"},"state":"HANDLE"}"#,
        r#"{"code":"urn:problem:locked","state":"HANDLE"}"#,
        r#"{"js":"if (e.code === 'E1234567') set(\"code\", code)","state":"HANDLE"}"#,
    ] {
        let begun = Begun::on(&rig);
        let answer = filled(&page("application/json", body), &begun.handle);
        assert_eq!(begun.answered(answer).status, 200, "{body}");
    }
}
