//! Request objects (RFC 9101, OpenID Connect Core section 6): authorization request parameters in a signed JWT. The gate reads
//! them, and does not verify the signature: the server does, and issues no code for a forged one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::authorize::PROTECTED;
use super::json;
use super::params::{Params, append_pair};

/// Why a request object is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the request object is not a signed JWT (RFC 9101 section 4)")]
    NotSigned,
    #[error("the request object is encrypted, so the gate cannot read it")]
    Encrypted,
    #[error("the request object has a parameter that is not a string")]
    NotText,
    #[error("the request object must not contain request or request_uri (RFC 9101 section 4)")]
    Nested,
    #[error("a parameter has another value in the request object than beside it")]
    Differs,
    #[error("client_id must be beside the request object, too (RFC 9101 section 5)")]
    NoClient,
    #[error("the code challenge must be in the request object, not beside it")]
    ChallengeOutside,
}

/// The request that server and gate read: the parameters of the object, and of those beside it the ones that the object lacks. They
/// are a form. `outside` has the `request` parameter with this object.
///
/// A server may use only the object (RFC 9101 section 6.3), or both (OpenID Connect Core section 6.1). So both must say the same,
/// and the challenge must be in the object, where nobody can replace it.
pub(crate) fn read(
    object: &str,
    outside: &Params<'_>,
    is_pushed: bool,
) -> Result<Vec<u8>, Refused> {
    let claims = claims(object)?;
    let mut form = Vec::new();
    for (name, value) in &claims {
        match (name.as_str(), value) {
            ("request" | "request_uri", _) => return Err(Refused::Nested),
            (name, Value::String(value)) => {
                let mut beside = outside.all(name);
                if PROTECTED.contains(&name) && !beside.all(|pair| pair.value() == value) {
                    return Err(Refused::Differs);
                }
                append_pair(&mut form, name, value);
            }
            (name, _) if PROTECTED.contains(&name) => return Err(Refused::NotText),
            _ => {}
        }
    }
    // A client that pushes may name itself only where it authenticates (RFC 9126 section 3).
    if !is_pushed && outside.all("client_id").next().is_none() {
        return Err(Refused::NoClient);
    }
    for pair in outside.iter() {
        let name = pair.name();
        if name == "request" || claims.contains_key(name) {
            continue;
        }
        if matches!(name, "code_challenge" | "code_challenge_method") {
            return Err(Refused::ChallengeOutside);
        }
        append_pair(&mut form, name, pair.value());
    }
    Ok(form)
}

/// The claims of a signed JWT.
fn claims(jwt: &str) -> Result<Map<String, Value>, Refused> {
    let parts: Vec<&str> = jwt.split('.').take(6).collect();
    let object = |part: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
        match json::parse(&bytes)? {
            Value::Object(members) => Some(members),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => None,
        }
    };
    match parts.as_slice() {
        [header, payload, signature] => {
            let header = object(header).ok_or(Refused::NotSigned)?;
            let algorithm = header.get("alg").and_then(Value::as_str);
            let is_signed = algorithm.is_some_and(|alg| !alg.eq_ignore_ascii_case("none"));
            if !is_signed || signature.is_empty() {
                return Err(Refused::NotSigned);
            }
            object(payload).ok_or(Refused::NotSigned)
        }
        [_, _, _, _, _] => Err(Refused::Encrypted),
        _ => Err(Refused::NotSigned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(header: &str, payload: &str) -> String {
        let [header, payload] = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part));
        format!("{header}.{payload}.c2ln")
    }

    fn object(payload: &str) -> String {
        jwt(r#"{"alg":"RS256"}"#, payload)
    }

    fn read(object: &str, outside: &str) -> Result<String, Refused> {
        let params = Params::parse(outside.as_bytes(), 64).unwrap();
        super::read(object, &params, false).map(|form| String::from_utf8(form).unwrap())
    }

    #[test]
    fn parameters_are_those_of_the_object_and_the_rest_beside_it() {
        let object = object(
            r#"{"client_id":"a","state":"s t","aud":["x"],"max_age":1,"code_challenge":"c"}"#,
        );
        assert_eq!(
            read(&object, "client_id=a&request=x&scope=openid&state=s%20t"),
            Ok("client_id=a&state=s%20t&code_challenge=c&scope=openid".to_owned())
        );
    }

    #[test]
    fn objects_that_servers_read_differently_are_refused() {
        let good = r#"{"client_id":"a"}"#;
        for (object, outside, why) in [
            (object(good), "scope=x", Refused::NoClient),
            (object(good), "client_id=b", Refused::Differs),
            (
                object(r#"{"state":"1"}"#),
                "client_id=a&state=2",
                Refused::Differs,
            ),
            (
                object(r#"{"state":"1"}"#),
                "client_id=a&state=1&state=2",
                Refused::Differs,
            ),
            (
                object(good),
                "client_id=a&code_challenge=c",
                Refused::ChallengeOutside,
            ),
            (
                object(good),
                "client_id=a&code_challenge_method=S256",
                Refused::ChallengeOutside,
            ),
            (object(r#"{"request":"x"}"#), "client_id=a", Refused::Nested),
            (
                object(r#"{"request_uri":1}"#),
                "client_id=a",
                Refused::Nested,
            ),
            (object(r#"{"state":1}"#), "client_id=a", Refused::NotText),
            (object(r#"{"state":null}"#), "client_id=a", Refused::NotText),
            (
                object(r#"{"state":"1","state":"2"}"#),
                "client_id=a",
                Refused::NotSigned,
            ),
            (object("[]"), "client_id=a", Refused::NotSigned),
            (
                jwt(r#"{"alg":"none"}"#, good),
                "client_id=a",
                Refused::NotSigned,
            ),
            (
                jwt(r#"{"alg":"None"}"#, good),
                "client_id=a",
                Refused::NotSigned,
            ),
            (jwt("{}", good), "client_id=a", Refused::NotSigned),
            (
                jwt(r#"{"alg":"RS256","alg":"none"}"#, good),
                "client_id=a",
                Refused::NotSigned,
            ),
            (
                format!("{}.x.y", object(good)),
                "client_id=a",
                Refused::Encrypted,
            ),
            (
                format!("{}.x", object(good)),
                "client_id=a",
                Refused::NotSigned,
            ),
            (
                object(good).replace("c2ln", ""),
                "client_id=a",
                Refused::NotSigned,
            ),
            (good.to_owned(), "client_id=a", Refused::NotSigned),
            (String::new(), "client_id=a", Refused::NotSigned),
        ] {
            assert_eq!(read(&object, outside), Err(why), "{object} {outside}");
        }
    }
}
