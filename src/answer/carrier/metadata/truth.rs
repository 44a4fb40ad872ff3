//! Rewrites server metadata to describe what the gate enforces. All other members stay unchanged and in their order.

use serde_json::{Map, Value};
use url::Url;

use crate::oauth::{ResponseMode, ResponseType, endpoint_query, json};
use crate::policy::Rule;
use crate::route::Endpoints;
use crate::route::fold::merge_slashes;

/// RFC 9207 section 3.
pub(super) const ISSUER_IN_RESPONSES: &str = "authorization_response_iss_parameter_supported";

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

/// The members that are an endpoint of the gate, each with its configured paths.
fn own_endpoints(endpoints: &Endpoints) -> [(&'static str, &[String]); 4] {
    [
        ("authorization_endpoint", &endpoints.authorization),
        ("token_endpoint", &endpoints.token),
        (PUSHED[0], &endpoints.pushed_authorization_request),
        (REGISTRATION, &endpoints.registration),
    ]
}

/// RFC 7591.
pub(super) const REGISTRATION: &str = "registration_endpoint";

/// RFC 9126 section 5. Removed unless the gate has the endpoint.
const PUSHED: [&str; 2] = [
    "pushed_authorization_request_endpoint",
    "require_pushed_authorization_requests",
];

/// Members that are removed: signed metadata would contradict the rewritten members.
const UNTRUE: [&str; 1] = ["signed_metadata"];

/// The rewritten document. `None`: it is not server metadata (not a JSON object, duplicate members, no endpoints) and stays
/// unchanged.
pub(crate) fn rewrite(document: &[u8], truth: Truth<'_>) -> Option<(Vec<u8>, Issuer)> {
    let (object, issuer) = rewritten(document, truth)?;
    Some((serde_json::to_vec(&object).ok()?, issuer))
}

/// The members of the rewritten document.
pub(super) fn rewritten(document: &[u8], truth: Truth<'_>) -> Option<(Map<String, Value>, Issuer)> {
    let Value::Object(mut object) = json::parse(document)? else {
        return None;
    };
    let issuer = Issuer {
        issuer: object
            .get("issuer")
            .and_then(Value::as_str)
            .map(str::to_owned),
        in_responses: object.get(ISSUER_IN_RESPONSES) == Some(&Value::Bool(true)),
    };
    if !object.contains_key("authorization_endpoint") && !object.contains_key("token_endpoint") {
        return None;
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
    let reads = truth.rule.reads_request_objects;
    let by_value = "request_parameter_supported";
    if !reads || !object.contains_key(by_value) {
        object.insert(by_value.to_owned(), Value::Bool(false));
    }
    object.insert(
        "request_uri_parameter_supported".to_owned(),
        Value::Bool(false),
    );
    truthful_lists(&mut object, truth);
    Some((object, issuer))
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
    let pushes = !truth.endpoints.pushed_authorization_request.is_empty();
    let is_untrue = |name: &str| UNTRUE.contains(&name) || !pushes && PUSHED.contains(&name);
    object.retain(|name, _| !is_untrue(name));
    let own = own_endpoints(truth.endpoints);
    let paths = |name: &str| {
        let found = own.iter().find(|(own, _)| *own == name);
        found
            .map(|(_, paths)| *paths)
            .filter(|paths| !paths.is_empty())
    };
    for (name, value) in object.iter_mut() {
        let Value::String(url) = value else { continue };
        match paths(name) {
            _ if name == "issuer" => {}
            Some(paths) => *url = endpoint(url, paths, truth),
            None => public_url(url, truth),
        }
    }
}

/// Replaces the upstream's own origin in a URL by the public one.
pub(super) fn public_url(url: &mut String, truth: Truth<'_>) {
    if let Some(path) = own_path(url, truth.upstream_origin) {
        *url = format!("{}{path}", truth.public_origin);
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
mod tests;
