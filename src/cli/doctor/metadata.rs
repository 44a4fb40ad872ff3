//! The metadata of the server, compared with the configuration.

use url::Url;

use super::finding::{
    ENDPOINT_ELSEWHERE, ENDPOINT_NOT_CONFIGURED, ISSUER_DIFFERS, PLAIN_ADVERTISED, Part,
    S256_NOT_ADVERTISED,
};
use crate::cli::learned::{Document, KINDS, learn};
use crate::cli::shown::shown;
use crate::gateway::Settings;
use crate::route::Endpoints;

/// What the documents say that the configuration does not.
pub(super) fn judge(upstream: &Url, settings: &Settings, documents: &[Document]) -> Part {
    let mut part = Part::default();
    if documents.is_empty() {
        let paths = shown(&settings.endpoints.metadata.join(", "));
        part.see(format!("The server has no metadata (asked at {paths})."));
        return part;
    }
    let learned = match learn(upstream, documents) {
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
    if has("plain") {
        part.find(&PLAIN_ADVERTISED, lists.clone());
    }
    if !has("S256") {
        part.find(&S256_NOT_ADVERTISED, lists);
    }
    if let (Some(ours), Some(theirs)) = (&settings.issuer, &learned.issuer)
        && ours != theirs
    {
        let evidence = format!("{} here, {} in the metadata", shown(ours), shown(theirs));
        part.find(&ISSUER_DIFFERS, evidence);
    }
    part
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
