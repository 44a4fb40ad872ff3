//! JARM: an authorization response in a JWT, in the parameter `response`. The gate can read it, but cannot replace anything in
//! it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use memchr::memchr3;
use serde_json::{Map, Value};

use crate::oauth::json;
use crate::oauth::params::{self, folds_to, set::ByteSet};
use crate::spelling::shortcuts::may_hold_jwt;

use super::credentials::{Credentials, of_list};

/// Whether some client takes a name for `response`.
pub(crate) fn is_name(name: &str) -> bool {
    folds_to(of_list(name), "response")
}

/// Whether a value may be a signed or encrypted JWT. Other parameters named `response`, such as the answer of a passkey, are not.
pub(crate) fn is_response(value: &str) -> bool {
    // Both base64 alphabets, and whitespace.
    static PART: ByteSet = ByteSet::alphanumeric_and(b"-_+/= \r\n\t");
    let is_base64 = |part: &&str| part.bytes().all(|byte| PART.has(byte));
    parts(value).is_some_and(|parts| parts.iter().all(is_base64)) || may_hold_credential(value)
}

/// The claims of a signed JWT. `None`: it is encrypted, or parsers may read it differently.
pub(crate) fn claims(value: &str) -> Option<Map<String, Value>> {
    match parts(value)?.as_slice() {
        [_, payload, _] => match json::parse(&decoded(payload)?)? {
            Value::Object(claims) => Some(claims),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => None,
        },
        _ => None,
    }
}

/// Whether a value is a JWT that contains a code or a token, or that may contain one because it cannot be read.
pub(crate) fn may_hold_credential(value: &str) -> bool {
    let parts = parts(value).filter(|parts| {
        let header = parts.first().copied().and_then(decoded);
        // The rest of the header is not checked: lenient parsers accept invalid JSON.
        header.is_some_and(|header| header.trim_ascii_start().starts_with(b"{"))
    });
    match parts.as_deref() {
        Some([_, payload, _]) => {
            let claims = decoded(payload).and_then(|payload| json::parse(&payload));
            let claims = claims.as_ref().and_then(|claims| claims.as_object());
            // Claims that parsers may read differently may contain anything.
            claims.is_none_or(|claims| claims.keys().any(|name| Credentials::of(name).any()))
        }
        Some(_) => true,
        None => false,
    }
}

/// Whether a URL has a signed response with a credential where only some clients look for parameters: after a second `?`, or
/// after a `;`.
pub(crate) fn stands_in(url: &[u8]) -> bool {
    let start = memchr3(b'?', b'#', b';', url).unwrap_or(url.len());
    let behind = url.get(start..).unwrap_or_default();
    may_hold_jwt(behind) && stands_among(behind)
}

/// Whether a parameter in the text is a signed response with a credential.
pub(crate) fn stands_among(text: &[u8]) -> bool {
    let pairs = text.split(|byte| b"?&#;/!".contains(byte));
    pairs
        .filter_map(|pair| str::from_utf8(pair).ok())
        .any(|pair| {
            pair.split_once('=').is_some_and(|(name, value)| {
                let decoded = |text: &str| params::decode(text.as_bytes()).map(Cow::into_owned);
                decoded(name).is_ok_and(|name| is_name(&name))
                    && decoded(value).is_ok_and(|value| may_hold_credential(&value))
            })
        })
}

/// The parts of a possible JWT: three if it is signed, five if it is encrypted.
fn parts(value: &str) -> Option<Vec<&str>> {
    let parts: Vec<&str> = value.trim().split('.').take(6).collect();
    matches!(parts.len(), 3 | 5).then_some(parts)
}

fn decoded(part: &str) -> Option<Vec<u8>> {
    let part = part.trim_end_matches('=');
    URL_SAFE_NO_PAD.decode(part).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(header: &str, payload: &str) -> String {
        let [header, payload] = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part));
        format!("{header}.{payload}.c2ln")
    }

    #[test]
    fn a_signed_response_is_told_from_a_parameter_of_that_name() {
        for value in [
            "e30.e30.c2ln",
            "e30=.e30.",
            "a.b.c",
            "IHt9..b.c.d",
            " a.b.\n",
            "e30.a+b/\r\nc.d",
            "e30.:.?",
        ] {
            assert!(is_response(value), "{value}");
        }
        for value in [
            "",
            "x",
            "1.2",
            "https://a.b.c",
            "e30.e30",
            "e30.a.b.c",
            "https://www.app.example",
            "e30.a.b.c.d.e",
        ] {
            assert!(!is_response(value), "{value}");
        }
        for name in [
            "response",
            "Response",
            "RESPONSE",
            "response[]",
            "[response]",
            " response",
            "res-ponse",
        ] {
            assert!(is_name(name), "{name}");
        }
        for name in ["response_type", "g-recaptcha-response", "resp", "responses"] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn a_response_is_detected_where_only_some_clients_look_for_parameters() {
        let jwt = jwt(r#"{"alg":"none"}"#, r#"{"code":"x"}"#);
        for url in [
            "https://c/?a=b?response=JWT",
            "https://c/;Response=JWT",
            "https://c/#/a/response=JWT",
            "/x?y#z?%52esponse[]=JWT&b",
        ] {
            assert!(stands_in(url.replace("JWT", &jwt).as_bytes()), "{url}");
        }
        for url in [
            "https://c/?a=b?next=JWT",
            "https://c/?response=a.b.c",
            "https://c.d/response=JWT",
        ] {
            assert!(!stands_in(url.replace("JWT", &jwt).as_bytes()), "{url}");
        }
    }

    #[test]
    fn a_response_that_may_contain_a_credential_is_told_from_others() {
        for payload in [
            r#"{"iss":"i","code":"a"}"#,
            r#"{"c\u006fde":"a"}"#,
            r#"{"Access_Token":"a"}"#,
            r#"{"id_token":"a"}"#,
            r#"{"state":"a","state":"b"}"#,
            "[]",
            "no JSON",
            "\u{ff}{\"code\":1}",
        ] {
            let value = jwt(r#"{"alg":"none"}"#, payload);
            assert!(may_hold_credential(&value), "{payload}");
        }
        for value in [
            "e30.a+b/c.d",
            "e30.a\nb.c",
            "eyJhIjoxLCJhIjoyfQ.eyJjb2RlIjoiYSJ9.",
            "IHt9.x.y",
        ] {
            assert!(may_hold_credential(value), "{value}");
        }
        let encrypted = format!("{}.a.b.c.d", URL_SAFE_NO_PAD.encode(r#"{"enc":"x"}"#));
        assert!(may_hold_credential(&encrypted));
        for value in [
            "",
            "a.b.c",
            "a.b.c.d.e",
            "e30.e30",
            "03AGdBq24PBCbwiDRaS_MJ7Z.x.y",
            r#"{"id":"x","clientDataJSON":"eyJ0eXBlIjoid2ViYXV0aG4uZ2V0In0"}"#,
            &jwt(r#"{"alg":"none"}"#, r#"{"error":"x","state":"y"}"#),
            &jwt("no JSON", r#"{"code":"x"}"#),
        ] {
            assert!(!may_hold_credential(value), "{value}");
        }
    }
}
