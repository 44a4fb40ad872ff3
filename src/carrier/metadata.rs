//! Server metadata (RFC 8414, OpenID Connect Discovery) that tells the truth about what the gate enforces.
//!
//! Everything else in the document stays as it is, in its order.

use serde_json::{Map, Value};
use url::Url;

use crate::oauth::json;

/// What the document has to say.
#[derive(Debug, Clone, Copy)]
pub struct Truth<'a> {
    /// `scheme://authority` by which clients reach the gate.
    pub public_origin: &'a str,
    /// The upstream's own.
    pub upstream_origin: &'a str,
    /// Configured paths; the first is advertised when the document names none of them.
    pub authorization: &'a [String],
    /// Likewise.
    pub token: &'a [String],
}

/// What the document says about the issuer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Issuer {
    /// `issuer`.
    pub issuer: Option<String>,
    /// `authorization_response_iss_parameter_supported` (RFC 9207).
    pub in_responses: bool,
}

/// Members that cannot be true behind the gate: pushed and signed requests are refused here, and signed metadata
/// would contradict what stands beside it.
const UNTRUE: [&str; 3] = [
    "pushed_authorization_request_endpoint",
    "require_pushed_authorization_requests",
    "signed_metadata",
];

/// The document, rewritten. `None`: not a JSON object, or one with duplicate members; it is handed on as it came.
pub fn rewrite(document: &[u8], truth: Truth<'_>) -> Option<(Vec<u8>, Issuer)> {
    let Value::Object(mut object) = json::parse(document)? else {
        return None;
    };
    let issuer = Issuer {
        issuer: object
            .get("issuer")
            .and_then(Value::as_str)
            .map(str::to_owned),
        in_responses: object.get("authorization_response_iss_parameter_supported")
            == Some(&Value::Bool(true)),
    };
    if !object.contains_key("authorization_endpoint") && !object.contains_key("token_endpoint") {
        return None;
    }
    for name in UNTRUE {
        object.shift_remove(name);
    }
    truthful_endpoints(&mut object, truth);
    if let Some(Value::Object(aliases)) = object.get_mut("mtls_endpoint_aliases") {
        truthful_endpoints(aliases, truth);
    }
    object.insert(
        "code_challenge_methods_supported".to_owned(),
        Value::from(vec!["S256"]),
    );
    // Absent, `request_uri_parameter_supported` means true (OpenID Connect Discovery section 3).
    for name in [
        "request_parameter_supported",
        "request_uri_parameter_supported",
    ] {
        object.insert(name.to_owned(), Value::Bool(false));
    }
    Some((serde_json::to_vec(&object).ok()?, issuer))
}

fn truthful_endpoints(object: &mut Map<String, Value>, truth: Truth<'_>) {
    for (name, value) in object.iter_mut() {
        let Value::String(url) = value else { continue };
        match name.as_str() {
            "issuer" => {}
            "authorization_endpoint" => *url = endpoint(url, truth.authorization, truth),
            "token_endpoint" => *url = endpoint(url, truth.token, truth),
            _ => {
                if let Some(path) = own_path(url, truth.upstream_origin) {
                    *url = format!("{}{path}", truth.public_origin);
                }
            }
        }
    }
}

/// The configured path that the document means: some servers advertise `//token`, or only an internal name.
fn endpoint(url: &str, configured: &[String], truth: Truth<'_>) -> String {
    let advertised = Url::parse(url).ok().map(|url| merge_slashes(url.path()));
    let path = configured
        .iter()
        .find(|path| Some(*path) == advertised.as_ref())
        .or(configured.first());
    format!("{}{}", truth.public_origin, path.map_or("", String::as_str))
}

/// The path and query of a URL at the upstream's own origin.
fn own_path<'u>(url: &'u str, upstream_origin: &str) -> Option<&'u str> {
    let parsed = Url::parse(url).ok()?;
    let own = Url::parse(upstream_origin).ok()?;
    if parsed.origin() != own.origin() {
        return None;
    }
    let authority = url.find("://")? + 3;
    let rest = url.get(authority..)?;
    rest.find(['/', '?', '#'])
        .map_or(Some(""), |at| rest.get(at..))
}

/// `//a///b` is `/a/b`.
pub fn merge_slashes(path: &str) -> String {
    let mut merged = String::with_capacity(path.len());
    for character in path.chars() {
        if !(character == '/' && merged.ends_with('/')) {
            merged.push(character);
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth() -> (Vec<String>, Vec<String>) {
        (
            vec!["/oauth/authorize".to_owned()],
            vec!["/oauth/token".to_owned(), "/v2/token".to_owned()],
        )
    }

    fn rewritten(document: &str) -> Option<Value> {
        let (authorization, token) = truth();
        let truth = Truth {
            public_origin: "https://login.example",
            upstream_origin: "http://127.0.0.1:9000",
            authorization: &authorization,
            token: &token,
        };
        let (bytes, _) = rewrite(document.as_bytes(), truth)?;
        json::parse(&bytes)
    }

    #[test]
    fn endpoints_and_methods_become_true_and_the_rest_stays() {
        let value = rewritten(
            r#"{"issuer":"http://127.0.0.1:9000","authorization_endpoint":"http://127.0.0.1:9000/oauth/authorize",
            "token_endpoint":"http://127.0.0.1:9000//v2/token","jwks_uri":"http://127.0.0.1:9000/jwks?x=1",
            "userinfo_endpoint":"https://elsewhere.example/me","code_challenge_methods_supported":["plain","S256"],
            "pushed_authorization_request_endpoint":"http://127.0.0.1:9000/par","scopes_supported":["a",1.5],
            "mtls_endpoint_aliases":{"token_endpoint":"https://mtls.internal/oauth/token"},"signed_metadata":"x.y.z"}"#,
        );
        assert_eq!(
            value.unwrap().to_string(),
            r#"{"issuer":"http://127.0.0.1:9000","authorization_endpoint":"https://login.example/oauth/authorize","token_endpoint":"https://login.example/v2/token","jwks_uri":"https://login.example/jwks?x=1","userinfo_endpoint":"https://elsewhere.example/me","code_challenge_methods_supported":["S256"],"scopes_supported":["a",1.5],"mtls_endpoint_aliases":{"token_endpoint":"https://login.example/oauth/token"},"request_parameter_supported":false,"request_uri_parameter_supported":false}"#
        );
    }

    #[test]
    fn what_is_no_metadata_is_left_alone() {
        for document in ["", "[]", "{}", r#"{"a":1,"a":2}"#, "<html>"] {
            assert!(rewritten(document).is_none(), "{document}");
        }
    }
}
