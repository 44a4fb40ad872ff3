//! Aliases: token requests at a path that is not configured, in documents at any depth, with any media type, or with the media
//! type of a form.
//!
//! `routes.default = "guarded"` recognises these forms of a token request. With `codes = "upstream"` it promises nothing about
//! a path that was forgotten; `deny` refuses every request there.
//!
//! `documents_at_any_depth` and `documents_with_the_media_type_of_a_form` fail without `suspicion::json`, `codes_in_documents`
//! without `suspicion::words`, `fields_in_encoded_words` without the encoded words of `suspicion::names`,
//! `closed_routes_refuse_unrecognisable_token_requests` without `forward::closed`.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::super::{Attacked, both, json, multipart, post_bytes, with};
use super::{escapes, percent, references};
use crate::support::client::assert_token;
use crate::support::params::{Params, encode};
use crate::support::rig::{Config, handle_of, request};
use crate::support::scripted::Shape;

const KINDS: [&str; 12] = [
    "application/json",
    "application/vnd.api+json; charset=utf-8",
    "application/graphql",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=b",
    "multipart/related; boundary=b",
    "image/png",
    "font/woff2",
    "application/octet-stream",
    "x-unheard-of",
    "",
];

/// The same document in other spellings: with escaped names and values, nested, in lists, with duplicates, without an end.
fn documents(params: &Params) -> Vec<String> {
    let plain = json(params);
    let mut escaped = plain.clone();
    for (name, value) in params.iter() {
        escaped = escaped
            .replace(&format!("\"{name}\":"), &format!("\"{}\":", escapes(name)))
            .replace(
                &format!(":\"{value}\""),
                &format!(":\"{}\"", escapes(value)),
            );
    }
    let deep = format!("{}{plain}{}", "{\"a\":[".repeat(60), "]}".repeat(60));
    let listed = format!("[{{\"id\":1}},[{escaped}],\"x\"]");
    vec![
        format!("{{\"data\":{{\"attributes\":{plain}}}}}"),
        deep,
        listed,
        format!("\u{feff}{escaped}"),
        format!(
            "{{\"variables\":{},\"query\":\"mutation {{ token }}\"}}",
            plain.replace(':', " :\n\t")
        ),
        plain.replacen('{', "{\"code\":1,\"grant_type\":null,", 1),
        plain.trim_end_matches('}').to_owned(),
        format!("/* a comment */ {plain} // and more"),
        format!("{{\"event\":\"x\"}}\n{plain}\n"),
        format!("jsonp({plain})"),
        escaped,
    ]
}

/// With a handle and with the upstream's own code, with and without a verifier.
#[test]
fn documents_at_any_depth() {
    both(|attacked| {
        let raw = attacked.raw();
        for params in [
            attacked.whole(),
            attacked.tok(),
            attacked.tok().with("code", &raw),
        ] {
            for document in documents(&params) {
                for kind in KINDS {
                    let fields = [("Content-Type", kind)];
                    attacked.refused_form("/v2/oauth2/token", &fields, &document, &[400]);
                }
                attacked.refused_form(
                    "/token",
                    &[("Content-Type", "application/json")],
                    &document,
                    &[415],
                );
            }
        }
    });
}

/// A document that a server parses in spite of its media type, at the two paths that need a form.
#[test]
fn documents_with_the_media_type_of_a_form() {
    both(|attacked| {
        let form = "application/x-www-form-urlencoded";
        let begin = attacked.rig.authorization().without_challenge();
        for document in documents(&begin.params) {
            attacked.refused_form("/authorize", &[("Content-Type", form)], &document, &[400]);
        }
        for params in [
            attacked.whole(),
            attacked.tok(),
            attacked.tok().with("code", &attacked.raw()),
        ] {
            for document in documents(&params) {
                for path in ["/authorize", "/token"] {
                    attacked.refused_form(path, &[("Content-Type", form)], &document, &[400]);
                    // With a string inside that looks like a pair of a form.
                    let pair = "{\"x\":\"&client_id=legacy&grant_type=refresh_token&\",";
                    let with_pair = document.replacen('{', pair, 1);
                    attacked.refused_form(path, &[("Content-Type", form)], &with_pair, &[400]);
                }
            }
        }
        // Braces alone do not make a document that asks for a token.
        for refresh in [
            "grant_type=refresh_token&refresh_token=r&claims={\"id_token\":{\"email\":null}}",
            "grant_type=refresh_token&refresh_token={r}&client_id=legacy",
        ] {
            let refresh = request("POST", "/token", &[("Content-Type", form)], Some(refresh));
            attacked.passed(&refresh);
        }
    });
}

/// With `codes = "upstream"` the gate searches for the code itself in any context: documents within strings, tables, tags.
#[test]
fn codes_in_documents() {
    let config = Config {
        pkce: "codes = \"upstream\"",
        ..Config::default()
    };
    let attacked = Attacked::sign_in(crate::support::rig::Rig::with(config), false);
    let code = attacked.raw();
    let one = code.replacen("up", "\\u0075p", 1);
    let inner = json(&attacked.tok());
    let string = serde_json::Value::from(inner).to_string();
    for document in [
        format!("{{\"body\":{string}}}"),
        serde_json::json!([{ "body": string }]).to_string(),
        format!("[[[[\"{code}\"]]]]"),
        format!("{{\"x\":\"{one}\"}}"),
        format!("[{{\"x\":\"{}\"}}]", escapes(&code)),
        format!("{{\"x\":\"{}\"}}", percent(&code)),
        format!("x: y\ncode: {code}\n"),
        format!("a,b\n1,{code}\n"),
        format!("<t><x>{code}</x></t>"),
        format!("<t x='{}'/>", references(&code)),
        format!("to=%2Fcb%3Fx%3D{}", percent(&percent(&code))),
    ] {
        for kind in KINDS {
            let fields = [("Content-Type", kind)];
            attacked.refused_form("/v2/oauth2/token", &fields, &document, &[400]);
        }
        let text = document
            .replace(&*code, "up-nobodys-code-at-all")
            .replace(&one, "x");
        if !text.contains("\\u")
            && !text.contains('%')
            && !text.contains("&#")
            && !text.contains("grant_type")
        {
            attacked.passed(&request(
                "POST",
                "/api",
                &[("Content-Type", "text/plain")],
                Some(&text),
            ));
        }
    }
    assert_token(&attacked.rig.redeem(&attacked.authorization, &attacked.code));
}

/// Codes may contain any visible character, also those that separate words elsewhere.
#[test]
fn codes_of_other_letters_at_an_alias() {
    let config = Config {
        pkce: "codes = \"upstream\"",
        ..Config::default()
    };
    let attacked = Attacked::sign_in(crate::support::rig::Rig::with(config), false);
    for (number, code) in [
        "4/0AbCdEfGh+Ij=Kl",
        "M.C5_BAY!x*y$zz",
        "a:b|c(d)e{f}g,h",
        "abc+/def/ghi==",
    ]
    .into_iter()
    .enumerate()
    {
        attacked.rig.upstream.issue(code);
        let state = format!("of-a-victim-{number}");
        let victim = attacked.rig.authorization().with("state", &state);
        let answer = attacked.rig.sign_in(&victim);
        let code = answer.code();
        let encoded = encode(code);
        let json = |value: &str| format!("{{\"ticket\":\"{value}\"}}");
        for (kind, body) in [
            (
                "application/x-www-form-urlencoded",
                format!("ticket={encoded}"),
            ),
            ("application/json", json(code)),
            ("application/json", json(&code.replace('/', "\\/"))),
            ("application/xml", format!("<ticket>{code}</ticket>")),
            ("text/plain", format!("ticket: {code}\n")),
        ] {
            let fields = [("Content-Type", kind)];
            attacked.refused_form("/v2/oauth2/token", &fields, &body, &[400]);
        }
        attacked.refused(
            &request("GET", &format!("/v2?ticket={encoded}"), &[], None),
            &[400],
        );
    }
}

/// Names of multipart fields as RFC 2047 encoded words, complete, in parts, and in other charsets: at an alias, and during a
/// login.
#[test]
fn fields_in_encoded_words() {
    let spellings = |name: &str| {
        let quoted = percent(name).replace('%', "=");
        let (first, second) = name.split_at(4);
        [
            format!("=?UTF-8?Q?{quoted}?="),
            format!("=?iso-8859-1?q?{}?=", name.replace('_', "=5F")),
            format!("=?utf-8?b?{}?=", STANDARD.encode(name)),
            format!(
                "=?us-ascii?B?{}?==?us-ascii?B?{}?=",
                STANDARD.encode(first),
                STANDARD.encode(second)
            ),
            format!("{first}=?utf-8?Q?{}?=", second.replace('_', "=5f")),
            name.replace('_', "\\_"),
            references(name),
            percent(name),
        ]
    };
    both(|attacked| {
        let kind = [("Content-Type", "multipart/form-data; boundary=b")];
        for params in [attacked.whole(), attacked.tok()] {
            for number in 0..spellings("code").len() {
                let mut body = multipart(&params, "b");
                for (name, _) in params.iter() {
                    let spelt = &spellings(name)[number];
                    body = body.replace(&format!("name=\"{name}\""), &format!("name=\"{spelt}\""));
                }
                attacked.refused_form("/v2/oauth2/token", &kind, &body, &[400]);
            }
        }
        if !attacked.handles {
            return;
        }
        attacked.rig.upstream.answer_with(Shape::Login);
        let entry = attacked.rig.entry(&attacked.rig.authorization());
        for name in [
            "redirect_uri",
            "client_id",
            "request_uri",
            "code_challenge",
            "response_type",
        ] {
            for spelt in spellings(name) {
                let body = multipart(
                    &Params::default()
                        .with("user", "u")
                        .with(&spelt, "https://evil.test/"),
                    "b",
                );
                attacked.refused_form(&entry, &kind, &body, &[415]);
            }
        }
        // Without parameters of a sign-in: an image with a caption.
        let body = multipart(
            &Params::default().with("=?UTF-8?Q?caption?=", "=?UTF-8?Q?x?="),
            "b",
        );
        assert_eq!(attacked.rig.post(&entry, &kind, &body).status, 302);
        assert!(!handle_of(&entry).is_empty());
    });
}

/// Token requests that the gate cannot recognise, at a path that is not listed: `deny` refuses them, and listed paths pass.
#[test]
fn closed_routes_refuse_unrecognisable_token_requests() {
    let config = Config {
        endpoints: "[upstream.routes]\ndefault = \"deny\"\nallow = [\"/login\"]",
        ..Config::default()
    };
    with(config, |attacked| {
        let whole = json(&attacked.whole());
        let hexadecimal = percent(&whole).replace('%', "");
        let reversed: String = whole.chars().rev().collect();
        let turned: Vec<u8> = whole.bytes().map(|byte| byte ^ 0x80).collect();
        for body in [
            hexadecimal.into_bytes(),
            reversed.into_bytes(),
            turned,
            STANDARD.encode(STANDARD.encode(&whole)).into_bytes(),
            URL_SAFE_NO_PAD.encode(&whole).into_bytes(),
            percent(&percent(&percent(&percent(&whole)))).into_bytes(),
            whole.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            [vec![b'x'; 200 * 1024], whole.clone().into_bytes()].concat(),
        ] {
            for path in ["/v2/oauth2/token", "/login/token", "/LOGIN", "/login/", "/"] {
                for kind in [
                    "image/png",
                    "application/json",
                    "text/plain; charset=utf-16",
                ] {
                    let fields = [("Content-Type", kind)];
                    attacked.refused(&post_bytes(path, &fields, &body), &[400, 404]);
                    let encoded = [("Content-Type", kind), ("Content-Encoding", "br")];
                    attacked.refused(&post_bytes(path, &encoded, &body), &[400, 404]);
                }
            }
        }
        attacked.passed(&request("POST", "/login", &[], Some("user=u&password=p")));
    });
}
