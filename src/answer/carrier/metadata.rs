//! Rewrites server metadata (RFC 8414, OpenID Connect Discovery) to describe what the gate enforces.
//!
//! All other members stay unchanged and in their order.

use serde_json::{Map, Value};
use url::Url;

use crate::oauth::{ResponseMode, ResponseType, endpoint_query, json};
use crate::policy::Rule;
use crate::route::Endpoints;
use crate::route::fold::merge_slashes;

/// The values that the document must contain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Truth<'a> {
    /// The `scheme://authority` that clients use.
    pub public_origin: &'a str,
    /// The `scheme://authority` of the upstream.
    pub upstream_origin: &'a str,
    /// The configured paths. The first of each kind is advertised if the document names none of them. The parameters in
    /// `query` are kept ([`endpoint_query`]).
    pub endpoints: &'a Endpoints,
    /// The rule of clients without an exception.
    pub rule: &'a Rule,
}

/// The issuer in the document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Issuer {
    /// `issuer`.
    pub issuer: Option<String>,
    /// `authorization_response_iss_parameter_supported` (RFC 9207).
    pub in_responses: bool,
}

/// Members that are removed: the gate refuses pushed requests, and signed metadata would contradict the rewritten members.
const UNTRUE: [&str; 3] = [
    "pushed_authorization_request_endpoint",
    "require_pushed_authorization_requests",
    "signed_metadata",
];

/// The rewritten document. `None`: it is not server metadata (not a JSON object, duplicate members, no endpoints) and stays
/// unchanged.
pub(crate) fn rewrite(document: &[u8], truth: Truth<'_>) -> Option<(Vec<u8>, Issuer)> {
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
    // If absent, `request_uri_parameter_supported` means true (OpenID Connect Discovery section 3).
    for name in [
        "request_parameter_supported",
        "request_uri_parameter_supported",
    ] {
        object.insert(name.to_owned(), Value::Bool(false));
    }
    truthful_lists(&mut object, truth);
    Some((serde_json::to_vec(&object).ok()?, issuer))
}

/// Removes values that the gate refuses from the lists. A list that becomes empty stays: without it the default of RFC 8414
/// section 2 would apply, which promises more.
fn truthful_lists(object: &mut Map<String, Value>, truth: Truth<'_>) {
    let rule = truth.rule;
    let type_passes = |name: &str| rule.response_types.contains(&ResponseType::parse(name));
    let mode_passes = |name: &str| {
        ResponseMode::parse(name).is_some_and(|mode| rule.response_modes.contains(&mode))
    };
    // The implicit grant has no token request. It depends on the response types instead.
    let implicit = rule.response_types.iter().any(ResponseType::yields_token);
    let grant_passes = |name: &str| match name {
        "implicit" => implicit,
        _ => rule.grants.is_empty() || rule.grants.iter().any(|grant| grant == name),
    };
    retain(object, "response_types_supported", &type_passes);
    retain(object, "response_modes_supported", &mode_passes);
    retain(object, "grant_types_supported", &grant_passes);
    let default = ["query", "fragment"];
    if !object.contains_key("response_modes_supported") && !default.into_iter().all(mode_passes) {
        let modes = default.into_iter().filter(|mode| mode_passes(mode));
        object.insert("response_modes_supported".to_owned(), modes.collect());
    }
    // The list is added only if grants are restricted: its default has no `refresh_token`, and clients rely on what a list says.
    if !object.contains_key("grant_types_supported") && !rule.grants.is_empty() {
        object.insert(
            "grant_types_supported".to_owned(),
            rule.grants.clone().into(),
        );
    }
}

fn retain(object: &mut Map<String, Value>, list: &str, passes: &dyn Fn(&str) -> bool) {
    if let Some(Value::Array(list)) = object.get_mut(list) {
        list.retain(|name| name.as_str().is_some_and(passes));
    }
}

fn truthful_endpoints(object: &mut Map<String, Value>, truth: Truth<'_>) {
    for (name, value) in object.iter_mut() {
        let Value::String(url) = value else { continue };
        match name.as_str() {
            "issuer" => {}
            "authorization_endpoint" => *url = endpoint(url, &truth.endpoints.authorization, truth),
            "token_endpoint" => *url = endpoint(url, &truth.endpoints.token, truth),
            _ => {
                if let Some(path) = own_path(url, truth.upstream_origin) {
                    *url = format!("{}{path}", truth.public_origin);
                }
            }
        }
    }
}

/// The public URL of an endpoint: with the configured path that the document means (some servers advertise `//token`, or an
/// internal URL), and with the configured parameters of its query.
fn endpoint(url: &str, configured: &[String], truth: Truth<'_>) -> String {
    let url = Url::parse(url).ok();
    let advertised = url.as_ref().map(|url| merge_slashes(url.path()));
    let path = configured
        .iter()
        .find(|path| Some(*path) == advertised.as_ref())
        .or(configured.first());
    let query = url.as_ref().and_then(Url::query).unwrap_or_default();
    let query = endpoint_query::kept(query, &truth.endpoints.query);
    let path = path.map_or("", String::as_str);
    format!("{}{path}{query}", truth.public_origin)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn truth() -> (Vec<String>, Vec<String>) {
        (
            vec!["/oauth/authorize".to_owned()],
            vec!["/oauth/token".to_owned(), "/v2/token".to_owned()],
        )
    }

    /// The configuration except the paths.
    struct Allowed {
        query: Vec<String>,
        types: Vec<ResponseType>,
        modes: Vec<ResponseMode>,
        grants: Vec<String>,
    }

    impl Default for Allowed {
        fn default() -> Self {
            let modes = [
                ResponseMode::Query,
                ResponseMode::Fragment,
                ResponseMode::FormPost,
            ];
            Self {
                query: vec!["p".to_owned(), "realm".to_owned()],
                types: vec![ResponseType::parse("code")],
                modes: modes.to_vec(),
                grants: Vec::new(),
            }
        }
    }

    fn rewritten(document: &str) -> Option<Value> {
        rewritten_where(document, &Allowed::default())
    }

    fn rewritten_where(document: &str, allowed: &Allowed) -> Option<Value> {
        let (authorization, token) = truth();
        let endpoints = Endpoints {
            authorization,
            token,
            query: allowed.query.clone(),
            ..Endpoints::default()
        };
        let rule = Rule {
            response_types: allowed.types.clone(),
            response_modes: allowed.modes.clone(),
            grants: allowed.grants.clone(),
            ..Rule::default()
        };
        let truth = Truth {
            public_origin: "https://login.example",
            upstream_origin: "http://127.0.0.1:9000",
            endpoints: &endpoints,
            rule: &rule,
        };
        let (bytes, _) = rewrite(document.as_bytes(), truth)?;
        json::parse(&bytes)
    }

    #[test]
    fn endpoints_and_methods_are_rewritten_and_the_rest_stays() {
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
    fn only_configured_query_parameters_stay_in_endpoints() {
        let document = r#"{"authorization_endpoint":"http://127.0.0.1:9000/oauth/authorize?p=b2c_1&code=x",
            "token_endpoint":"http://127.0.0.1:9000/v2/token?realm=%2Falpha&p=b2c_1&P=2#x","userinfo_endpoint":"http://127.0.0.1:9000/me?q=1"}"#;
        let value = rewritten(document).unwrap();
        for (name, url) in [
            (
                "authorization_endpoint",
                "https://login.example/oauth/authorize?p=b2c_1",
            ),
            (
                "token_endpoint",
                "https://login.example/v2/token?realm=%2Falpha&p=b2c_1",
            ),
            ("userinfo_endpoint", "https://login.example/me?q=1"),
        ] {
            assert_eq!(value[name], url);
        }
        let none = Allowed {
            query: Vec::new(),
            ..Allowed::default()
        };
        let without = rewritten_where(document, &none).unwrap();
        assert_eq!(without["token_endpoint"], "https://login.example/v2/token");
    }

    fn lists(members: &str, allowed: &Allowed) -> String {
        let endpoint = r#""token_endpoint":"http://127.0.0.1:9000/oauth/token""#;
        let value = rewritten_where(&format!("{{{endpoint}{members}}}"), allowed).unwrap();
        let lists = [
            "response_types_supported",
            "response_modes_supported",
            "grant_types_supported",
        ];
        let lists = lists.map(|name| value.get(name).map_or("-".to_owned(), Value::to_string));
        lists.join(" ")
    }

    #[test]
    fn lists_keep_allowed_values_in_their_order() {
        let plain = Allowed::default();
        let all = r#","response_types_supported":["id_token code","code","none",1,"code token"],
            "response_modes_supported":["form_post","jwt","query","web_message"],
            "grant_types_supported":["implicit","refresh_token","authorization_code","urn:x:device_code"]"#;
        assert_eq!(
            lists(all, &plain),
            r#"["code"] ["form_post","query"] ["refresh_token","authorization_code","urn:x:device_code"]"#
        );
        let hybrid = Allowed {
            types: ["code id_token", "id_token"]
                .map(ResponseType::parse)
                .to_vec(),
            modes: vec![ResponseMode::FormPost],
            grants: ["authorization_code", "refresh_token"]
                .map(str::to_owned)
                .to_vec(),
            ..Allowed::default()
        };
        assert_eq!(
            lists(all, &hybrid),
            r#"["id_token code"] ["form_post"] ["implicit","refresh_token","authorization_code"]"#
        );
        let none = r#","response_types_supported":["token"],"response_modes_supported":["web_message"],
            "grant_types_supported":["implicit"]"#;
        assert_eq!(lists(none, &plain), "[] [] []");
        let odd = r#","response_types_supported":null,"response_modes_supported":"query""#;
        assert_eq!(lists(odd, &plain), r#"null "query" -"#);
    }

    #[test]
    fn an_absent_list_is_added_only_if_its_default_promises_too_much() {
        assert_eq!(lists("", &Allowed::default()), "- - -");
        for (mode, expected) in [
            (ResponseMode::Query, r#"- ["query"] ["authorization_code"]"#),
            (ResponseMode::FormPost, r#"- [] ["authorization_code"]"#),
        ] {
            let limited = Allowed {
                modes: vec![mode],
                grants: vec!["authorization_code".to_owned()],
                ..Allowed::default()
            };
            assert_eq!(lists("", &limited), expected);
        }
    }

    #[test]
    fn a_document_that_is_not_metadata_stays_unchanged() {
        for document in ["", "[]", "{}", r#"{"a":1,"a":2}"#, "<html>"] {
            assert!(rewritten(document).is_none(), "{document}");
        }
    }
}
