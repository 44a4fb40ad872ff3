//! JARM: an authorization response in a JWT, as one parameter `response`. It can be read here, but nothing in it can be replaced.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::oauth::json;

use super::Credentials;

/// Whether a value is a JWT that says a code or a token, or may say one because it is encrypted. What else is called `response`,
/// such as the answer of a passkey, is none.
pub fn may_hold_credential(value: &str) -> bool {
    let decoded = |part: &str| {
        let part = part.trim_end_matches('=');
        URL_SAFE_NO_PAD.decode(part).ok()
    };
    let mut parts = value.split('.');
    let header = parts.next().and_then(decoded);
    let is_jwt = header.is_some_and(|header| json::parse(&header).is_some_and(|it| it.is_object()));
    let rest: Vec<&str> = parts.take(5).collect();
    match *rest {
        [payload, _] if is_jwt => {
            let claims = decoded(payload).and_then(|payload| json::parse(&payload));
            let claims = claims.as_ref().and_then(|claims| claims.as_object());
            // What is not read by everybody alike may say anything.
            claims.is_none_or(|claims| claims.keys().any(|name| Credentials::of(name).any()))
        }
        [_, _, _, _] => is_jwt,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(header: &str, payload: &str) -> String {
        let [header, payload] = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part));
        format!("{header}.{payload}.c2ln")
    }

    #[test]
    fn a_response_that_may_say_a_code_or_a_token_is_told_from_what_is_none() {
        for payload in [
            r#"{"iss":"i","code":"a"}"#,
            r#"{"c\u006fde":"a"}"#,
            r#"{"Access_Token":"a"}"#,
            r#"{"id_token":"a"}"#,
            r#"{"state":"a","state":"b"}"#,
            "[]",
            "no JSON",
        ] {
            let value = jwt(r#"{"alg":"none"}"#, payload);
            assert!(may_hold_credential(&value), "{payload}");
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
