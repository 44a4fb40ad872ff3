//! Documents of the server: metadata, and others that name its URLs.

use crate::answer::carrier::metadata;
use crate::oauth::{ResponseMode, json};
use crate::policy::Rule;
use crate::route::Endpoints;

/// Metadata: the output is JSON that announces S256 and contains no endpoint at the upstream's own origin. The same for documents
/// that are derived from it, and for the others that name URLs of the upstream.
pub fn metadata_document(input: &[u8]) {
    let endpoints = Endpoints {
        authorization: vec!["/authorize".to_owned()],
        token: vec!["/token".to_owned()],
        query: vec!["p".to_owned()],
        ..Endpoints::default()
    };
    let rule = Rule {
        response_modes: vec![ResponseMode::Query],
        ..Rule::default()
    };
    let truth = metadata::Truth {
        public_origin: "https://gate.example",
        upstream_origin: OWN,
        endpoints: &endpoints,
        rule: &rule,
    };
    if let Some(registration) = metadata::public_registration(input, truth) {
        let value = json::parse(&registration).expect("an answer in JSON");
        assert!(!value.get("registration_client_uri").is_some_and(is_own));
    }
    if let Some(resource) = metadata::public_resource(input, truth, None) {
        let value = json::parse(&resource).expect("a document in JSON");
        let servers = value.get("authorization_servers");
        let mut servers = servers
            .and_then(|servers| servers.as_array())
            .into_iter()
            .flatten();
        assert!(!servers.any(is_own), "clients would go around the gate");
    }
    let Some((document, issuer)) = metadata::rewrite(input, truth) else {
        return;
    };
    let promise = metadata::Promise {
        issuer: "https://gate.example",
        auth_methods: &[],
        adds_issuer: true,
    };
    let (derived, promised) = metadata::derived(input, truth, promise).expect("it is metadata");
    assert_eq!(issuer.issuer, promised.issuer, "the issuer stays");
    for document in [document, derived] {
        let value = json::parse(&document).expect("rewritten metadata is JSON");
        assert_eq!(
            value.get("code_challenge_methods_supported"),
            Some(&serde_json::json!(["S256"]))
        );
        for (name, value) in value.as_object().into_iter().flatten() {
            assert!(
                !is_own(value) || name == "issuer",
                "{name} bypasses the gate"
            );
        }
    }
}

/// The upstream's own origin.
const OWN: &str = "http://upstream.internal:9000";

fn is_own(value: &serde_json::Value) -> bool {
    let path = value.as_str().and_then(|url| url.strip_prefix(OWN));
    path.is_some_and(|path| path.starts_with('/'))
}
