//! Twins: when a code is replaced, no other encoding of it leaves in the same answer. Only with `codes = "handle"`; otherwise
//! the code itself leaves.
//!
//! Fails without the search for twins in `bind::bind`: in rewritten carriers for `twins_in_a_location` and `twins_in_a_page`,
//! in other fields for `twins_in_other_fields`. Each encoding fails without its part of `spelling::twins`.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};

use super::{Begun, escapes, percent, references};
use crate::support::http::Response;
use crate::support::params::{encode, unguessable};
use crate::support::rig::{REDIRECT_URI, Rig};
use crate::support::scripted::reply;

/// A code that needs escapes, and one that does not; each is new.
fn codes() -> [String; 2] {
    let [first, second] = [unguessable(), unguessable()].map(|word| word.replace('-', "x"));
    [format!("4/0A+{first}=~.{second}:Op"), first + &second]
}

/// A new sign-in for each twin of each kind of code.
fn each_twin(attack: impl Fn(&Begun<'_>, &str, &str)) {
    let rig = Rig::new();
    for kind in 0..codes().len() {
        for number in 0..twins("x").len() {
            let code = &codes()[kind];
            attack(&Begun::on(&rig), code, &twins(code)[number]);
        }
    }
}

/// Wrapped in lines, as base64 is in mail and PEM.
fn in_lines(text: &str, width: usize, end: &str) -> String {
    let lines = text.as_bytes().chunks(width);
    let lines: Vec<_> = lines
        .map(|line| str::from_utf8(line).expect("ASCII"))
        .collect();
    lines.join(end)
}

/// Other encodings of the code.
fn twins(code: &str) -> Vec<String> {
    let hexadecimal = |c: char| format!("&#x{:X};", u32::from(c));
    let bare = |c: char| format!("&#{:07}", u32::from(c));
    let half = |(at, c): (usize, char)| match at % 3 {
        0 => percent(&c.to_string()),
        _ => encode(&c.to_string()),
    };
    let twice = percent(&percent(code));
    let mut all = vec![
        percent(code),
        percent(code).to_ascii_lowercase(),
        code.chars().enumerate().map(half).collect(),
        twice.clone(),
        encode(&encode(&percent(code))),
        percent(&twice),
        references(code),
        code.chars().map(hexadecimal).collect(),
        code.chars().map(bare).collect(),
        escapes(code),
        escapes(code).to_uppercase().replace("\\U", "\\u"),
        percent(code).replace('%', "\\x"),
        percent(&escapes(code)),
        percent(&references(code)),
        escapes(&percent(code)),
    ];
    for before in ["", "x", "xy", "https://client.test/?c="] {
        let text = format!("{before}{code}z");
        all.push(STANDARD.encode(&text));
        all.push(URL_SAFE.encode(&text).replace('=', "%3D"));
        all.push(URL_SAFE_NO_PAD.encode(format!("{before}{}", encode(code))));
        all.push(encode(&STANDARD.encode(&text)));
        all.push(in_lines(&STANDARD.encode(&text), 16, "%0D%0A"));
        all.push(in_lines(&URL_SAFE_NO_PAD.encode(&text), 5, "\\n "));
        all.push(in_lines(&URL_SAFE_NO_PAD.encode(&text), 20, "&#10;"));
    }
    all
}

/// The answer is a refusal, and contains neither the code nor a twin.
#[track_caller]
fn stopped(begun: &Begun<'_>, code: &str, answer: Vec<u8>) {
    let shown = answer.escape_ascii().to_string();
    let response = begun.answered(answer);
    assert_eq!(response.status, 502, "{shown}: {response}");
    clean(&response, code);
}

/// The answer contains the code in no encoding that these tests know.
#[track_caller]
pub(super) fn clean(response: &Response, code: &str) {
    let received = response.to_string();
    for twin in twins(code).iter().chain([&code.to_owned()]) {
        let inner = twin.get(2..twin.len().saturating_sub(2));
        let inner = inner.expect("twins are long and ASCII");
        assert!(!received.contains(inner), "{twin}: {response}");
    }
}

/// The `Location` of a successful answer, with `tail` appended.
fn location(begun: &Begun<'_>, code: &str, tail: &str) -> String {
    let code = encode(code);
    format!("{REDIRECT_URI}?code={code}&state={}{tail}", begun.handle)
}

fn found(fields: &[(&str, &str)]) -> Vec<u8> {
    reply("302 Found", fields, b"")
}

fn html(page: &str) -> Vec<u8> {
    let fields = [("Content-Type", "text/html")];
    reply("200 OK", &fields, page.as_bytes())
}

fn page(begun: &Begun<'_>, code: &str, more: &str) -> String {
    format!(
        "<form method=post action=\"{REDIRECT_URI}\"><input name=code value=\"{code}\">\
         <input name=state value={}></form>{more}",
        begun.handle
    )
}

/// In the query and in the fragment. A parameter whose value is the code is replaced, whatever its name.
#[test]
fn twins_in_a_location() {
    for tail in [
        "&session_code=TWIN",
        "#c=TWIN",
        "#TWIN",
        "&x=a%26b%3DTWIN",
        "&TWIN=1",
    ] {
        each_twin(|begun, code, twin| {
            let location = location(begun, code, &tail.replace("TWIN", twin));
            let response = begun.answered(found(&[("Location", &location)]));
            clean(&response, code);
            if response.status != 502 {
                begun.is_answered_by(&response);
            }
        });
    }
    let rig = Rig::new();
    for spelling in [encode, percent, |code: &str| {
        percent(code).to_ascii_lowercase()
    }] {
        for code in codes() {
            let begun = Begun::on(&rig);
            let twin = spelling(&code);
            let tail = format!("&session_code={twin}&a=b#c={twin}");
            let location = location(&begun, &code, &tail);
            let response = begun.answered(found(&[("Location", &location)]));
            clean(&response, &code);
            let params = begun.is_answered_by(&response);
            assert!(
                params.get("session_code") == params.get("code"),
                "{response}"
            );
        }
    }
}

/// In cookies, in fields that browsers know and in others, next to a `Location` and next to a page.
#[test]
fn twins_in_other_fields() {
    for (name, value) in [
        ("Set-Cookie", "last=TWIN; Path=/; HttpOnly"),
        ("Set-Cookie", "TWIN=1"),
        ("X-Redirect", "https://client.test/cb?c=TWIN"),
        ("Refresh", "5;url=https://client.test/?TWIN"),
        ("Link", "<https://client.test/TWIN>; rel=next"),
        ("ETag", "\"TWIN\""),
    ] {
        each_twin(|begun, code, twin| {
            let (location, value) = (location(begun, code, ""), value.replace("TWIN", twin));
            let fields = [
                ("Location", &*location),
                ("Set-Cookie", "a=b"),
                (name, &*value),
            ];
            stopped(begun, code, found(&fields));
        });
        each_twin(|begun, code, twin| {
            let (page, value) = (page(begun, code, ""), value.replace("TWIN", twin));
            let fields = [("Content-Type", "text/html"), (name, &*value)];
            stopped(begun, code, reply("200 OK", &fields, page.as_bytes()));
        });
    }
}

/// In a link, a script, a comment, a data attribute.
#[test]
fn twins_in_a_page() {
    for more in [
        "<a href='https://client.test/?c=TWIN'>Continue</a>",
        "<script>var c = 'TWIN'</script>",
        "<!-- TWIN -->",
        "<body data-c='{\"c\":\"TWIN\"}'>",
        "<noscript>TWIN</noscript>",
    ] {
        each_twin(|begun, code, twin| {
            let page = page(begun, code, &more.replace("TWIN", twin));
            stopped(begun, code, html(&page));
        });
    }
    let rig = Rig::new();
    for code in codes() {
        let begun = Begun::on(&rig);
        let response = begun.answered(html(&page(&begun, &code, "<p>Please wait</p>")));
        clean(&response, &code);
        begun.is_answered_by(&response);
    }
}

/// An answer with this status line, and twins in every part around it.
pub(super) fn surrounded(begun: &Begun<'_>, code: &str, (status, twin): (&str, &str)) -> Vec<u8> {
    let answer = format!(
        "HTTP/1.1 103 Early Hints\r\nLink: <https://client.test/{twin}>; rel=preload\r\n\r\n\
         HTTP/1.1 {status}\r\nLocation: {}\r\nTrailer: X-C\r\nContent-Type: text/html\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{twin}\r\n0\r\nX-C: {twin}\r\n\r\n",
        location(begun, code, ""),
        twin.len()
    );
    answer.into_bytes()
}

/// Trailers, interim answers and the body of a redirect are dropped. Fails without `headers::forget_body`.
#[test]
fn twins_around_an_answer() {
    each_twin(|begun, code, twin| {
        let response = begun.answered(surrounded(begun, code, ("302 Found", twin)));
        clean(&response, code);
        begun.is_answered_by(&response);
    });
}

/// Texts that only look like an encoding of the code pass.
#[test]
fn texts_that_only_resemble_a_code_pass() {
    let rig = Rig::new();
    for code in codes() {
        let begun = Begun::on(&rig);
        let other = URL_SAFE_NO_PAD.encode(&codes()[0]);
        let location = location(
            &begun,
            &code,
            &format!("&session_state={other}&x=%2534%252F#y"),
        );
        let cookie = format!("session={other}; Path=/");
        let fields = [("Location", &*location), ("Set-Cookie", &*cookie)];
        let response = begun.answered(found(&fields));
        let params = begun.is_answered_by(&response);
        assert_eq!(params.get("session_state"), Some(&*other), "{response}");
    }
}
