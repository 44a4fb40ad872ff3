//! The metadata of the server, compared with the configuration.

use std::collections::{BTreeMap, BTreeSet};

use url::Url;

use super::finding::{
    ENDPOINT_ELSEWHERE, ENDPOINT_NOT_CONFIGURED, ISSUER_DIFFERS, OTHER_ORIGIN_ADVERTISED,
    PLAIN_ADVERTISED, Part, S256_NOT_ADVERTISED,
};
use crate::cli::learned::{Document, KINDS, learn};
use crate::cli::shown::shown;
use crate::gateway::Settings;
use crate::route::Endpoints;

/// The most members of a document that are read.
const MOST: usize = 100;

/// What the documents say that the configuration does not. `asked`: the address that served them. `upstream`: the configured one.
pub(super) fn judge(
    asked: &Url,
    upstream: &str,
    settings: &Settings,
    documents: &[Document],
) -> Part {
    let mut part = Part::default();
    if documents.is_empty() {
        let paths = shown(&settings.endpoints.metadata.join(", "));
        part.see(format!("The server has no metadata (asked at {paths})."));
        return part;
    }
    let evidence = other_origins(&[upstream, &settings.public_origin], documents);
    part.settle(&OTHER_ORIGIN_ADVERTISED, evidence);
    let learned = match learn(asked, documents) {
        Ok(learned) => learned,
        Err(refusal) => {
            let refusal = refusal.to_string();
            part.find(
                &ENDPOINT_ELSEWHERE,
                refusal.lines().next().unwrap_or_default(),
            );
            return part;
        }
    };
    for note in &learned.notes {
        part.find(&ENDPOINT_ELSEWHERE, note.clone());
    }
    for ((key, member), paths) in KINDS.iter().zip(&learned.endpoints) {
        let known = configured(&settings.endpoints, key);
        if known.is_empty() && *key == "device_authorization" {
            // With device = "off" it is not an endpoint of the gate, listed or not.
            continue;
        }
        let new = paths.iter().filter(|path| !known.contains(path));
        for path in new {
            part.find(
                &ENDPOINT_NOT_CONFIGURED,
                format!(
                    "{member} is at {}, which endpoints.{key} does not list",
                    shown(path)
                ),
            );
        }
    }
    for kind in [&ENDPOINT_ELSEWHERE, &ENDPOINT_NOT_CONFIGURED] {
        if !part.has(kind) {
            part.clear(kind);
        }
    }
    let methods = learned.methods.unwrap_or_default();
    let has = |name: &str| methods.iter().any(|method| method == name);
    let lists = format!(
        "code_challenge_methods_supported is {}",
        if methods.is_empty() {
            "absent or empty".to_owned()
        } else {
            methods.join(", ")
        }
    );
    part.settle(&PLAIN_ADVERTISED, has("plain").then(|| lists.clone()));
    part.settle(&S256_NOT_ADVERTISED, (!has("S256")).then_some(lists));
    if let (Some(ours), Some(theirs)) = (&settings.issuer, &learned.issuer) {
        let evidence = || format!("{} here, {} in the metadata", shown(ours), shown(theirs));
        part.settle(&ISSUER_DIFFERS, (ours != theirs).then(evidence));
    }
    part
}

/// The origins of endpoints that are none of `known`, each with the names of these endpoints.
fn other_origins(known: &[&str], documents: &[Document]) -> Option<String> {
    let origin = |text: &str| Some(Url::parse(text).ok()?.origin().ascii_serialization());
    let known: Vec<String> = known.iter().filter_map(|text| origin(text)).collect();
    let mut others: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in documents.iter().flat_map(|it| it.members.iter().take(MOST)) {
        let url = value.as_str().filter(|_| name.ends_with("_endpoint"));
        let Some(origin) = url.and_then(origin).filter(|it| !known.contains(it)) else {
            continue;
        };
        others.entry(origin).or_default().insert(name);
    }
    let told = others.into_iter().map(|(origin, names)| {
        let names: Vec<&str> = names.into_iter().collect();
        format!("{} ({})", shown(&origin), shown(&names.join(", ")))
    });
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// The configured paths of a kind of endpoint, with its aliases.
fn configured<'e>(endpoints: &'e Endpoints, key: &str) -> Vec<&'e String> {
    let listed = match key {
        "authorization" => &endpoints.authorization,
        "token" => &endpoints.token,
        "pushed_authorization_request" => &endpoints.pushed_authorization_request,
        "device_authorization" => &endpoints.device_authorization,
        "authorization_challenge" => &endpoints.authorization_challenge,
        _ => &endpoints.registration,
    };
    let aliases = endpoints.aliases.iter();
    let aliases = aliases.filter(|alias| listed.contains(&alias.target));
    listed
        .iter()
        .chain(aliases.map(|alias| &alias.path))
        .collect()
}

/// Whether the metadata promises S256.
pub(super) fn promises_s256(documents: &[Document]) -> bool {
    documents.iter().any(|document| {
        let methods = document.members.get("code_challenge_methods_supported");
        let methods = methods.and_then(serde_json::Value::as_array);
        methods.is_some_and(|methods| methods.iter().any(|method| method == "S256"))
    })
}

/// Whether the metadata offers a secret in the form, and not by HTTP Basic, which is the default (RFC 8414 section 2).
pub(super) fn takes_secret_in_form(documents: &[Document]) -> bool {
    let methods = documents.iter().find_map(|document| {
        let methods = document
            .members
            .get("token_endpoint_auth_methods_supported");
        methods.and_then(serde_json::Value::as_array)
    });
    let has = |name: &str| methods.is_some_and(|methods| methods.iter().any(|it| it == name));
    has("client_secret_post") && !has("client_secret_basic")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TEXT: &str = r#"
        [[upstream]]
        url = "http://127.0.0.1:9000"
        public_url = "https://login.example"
        [upstream.endpoints]
        authorization = ["/authorize"]
        token = ["/token"]
        registration = ["/register"]
        aliases = { "/oauth/token" = "/token" }
        [upstream.metadata]
        issuer = "https://login.example"
    "#;

    fn found(members: &serde_json::Value) -> Vec<String> {
        let config = crate::config::load(TEXT, "config.toml", 0).unwrap().config;
        let document = Document::parse("/metadata", members.to_string().as_bytes());
        let url = Url::parse("http://127.0.0.1:9000").unwrap();
        let documents: Vec<Document> = document.into_iter().collect();
        let upstream = &config.upstreams[0];
        let origin = upstream.connection.origin();
        let part = judge(&url, &origin, &upstream.gateway, &documents);
        let findings = part.findings.iter();
        for kind in findings.map(|finding| finding.kind) {
            assert!(!part.cleared.contains(&kind), "{}", kind.code);
        }
        let findings = part.findings.iter();
        let codes = findings.map(|finding| format!("{}: {}", finding.kind.code, finding.evidence));
        codes.collect()
    }

    #[test]
    fn the_configuration_is_compared_with_the_metadata() {
        let good = json!({
            "issuer": "https://login.example",
            "authorization_endpoint": "https://login.example/authorize",
            "token_endpoint": "https://login.example/oauth/token",
            "registration_endpoint": "https://login.example/register",
            "device_authorization_endpoint": "https://login.example/device",
            "code_challenge_methods_supported": ["S256"],
        });
        assert_eq!(found(&good), Vec::<String>::new());
        assert_eq!(found(&json!({})), Vec::<String>::new(), "no metadata");
        for (member, value, expected) in [
            (
                "token_endpoint",
                json!("https://login.example/v2\u{7f}"),
                "endpoint_elsewhere: the token_endpoint https://login.example/v2\\u{7f} cannot be guarded: it has a percent escape",
            ),
            (
                "authorization_endpoint",
                json!("https://login.example/v2"),
                "endpoint_not_configured: authorization_endpoint is at /v2, which endpoints.authorization does not list",
            ),
            (
                "issuer",
                json!("http://127.0.0.1:9000"),
                "endpoint_elsewhere: the authorization_endpoint is at another host: https://login.example/authorize",
            ),
            (
                "code_challenge_methods_supported",
                json!(["plain"]),
                "plain_advertised: code_challenge_methods_supported is plain",
            ),
        ] {
            let mut other = good.clone();
            other[member] = value;
            assert_eq!(found(&other).first().map(String::as_str), Some(expected));
        }
        let mut other = good.clone();
        for member in ["token_endpoint", "revocation_endpoint"] {
            other[member] = json!("https://old.example:8443/x");
        }
        assert_eq!(
            found(&other)[0],
            "other_origin_advertised: https://old.example:8443 (revocation_endpoint, token_endpoint)"
        );
        let other = json!({
            "issuer": "http://127.0.0.1:9000",
            "authorization_endpoint": "http://127.0.0.1:9000/authorize",
            "token_endpoint": "http://127.0.0.1:9000/token",
            "code_challenge_methods_supported": ["S256"],
        });
        let differs =
            "issuer_differs: https://login.example here, http://127.0.0.1:9000 in the metadata";
        assert_eq!(found(&other), [differs]);
    }

    #[test]
    fn a_secret_goes_in_the_form_only_where_basic_is_not_offered() {
        let of = |methods: serde_json::Value| {
            let members =
                json!({ "token_endpoint": "x", "token_endpoint_auth_methods_supported": methods });
            let document = Document::parse("/", members.to_string().as_bytes()).unwrap();
            takes_secret_in_form(&[document])
        };
        assert!(of(json!(["none", "client_secret_post"])));
        for methods in [
            json!(["client_secret_post", "client_secret_basic"]),
            json!([]),
            json!(5),
        ] {
            assert!(!of(methods.clone()), "{methods}");
        }
        assert!(!takes_secret_in_form(&[]));
    }
}
