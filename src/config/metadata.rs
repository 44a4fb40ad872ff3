//! `[upstream.metadata]`: what the gate says about the server.

use super::oauth::AUTH_METHOD;
use super::origin::{ISSUER, Origin};
use super::path::PATH;
use super::problem::Problem;
use super::tree::{At, Table};
use super::wording::quoted;
use crate::gateway::settings::Synthesis;
use crate::oauth::well_known::{self, OAUTH, OPENID};
use crate::policy::{ClientRule, Mode, Rule};
use crate::route::Endpoints;

/// `[upstream.metadata]`.
pub(super) struct Metadata {
    pub(super) rewrite: bool,
    pub(super) issuer: Option<String>,
    pub(super) synthesis: Option<Synthesis>,
}

/// The keys of the upstream that its metadata depends on.
pub(super) struct Server<'s, 't> {
    pub(super) upstream: &'s Table<'t>,
    pub(super) public: Option<&'s Origin>,
    pub(super) prefix: &'s str,
    pub(super) rule: &'s Rule,
    pub(super) clients: &'s [(Table<'t>, ClientRule)],
}

/// Reads the section. Adds the paths of synthesized metadata to the endpoints.
pub(super) fn read(
    table: &Table<'_>,
    server: &Server<'_, '_>,
    endpoints: &mut Endpoints,
) -> Metadata {
    let rewrite = table.flag("rewrite", true);
    let synthesize = table.flag("synthesize", false);
    let issuer = table.find("issuer", &ISSUER);
    let methods = table.list("token_endpoint_auth_methods", &AUTH_METHOD);
    let methods = At::values(&methods);
    if !synthesize {
        if let Some(issuer) = &issuer {
            elsewhere(table, server, issuer, endpoints);
        }
        return Metadata {
            rewrite,
            issuer,
            synthesis: None,
        };
    }
    does_nothing(table, server, rewrite);
    let synthesis = own_issuer(table, server, issuer.as_deref()).map(|(issuer, path)| Synthesis {
        paths: well_known::paths(OAUTH, &path),
        sources: [well_known::paths(OAUTH, &path), openid(&path, endpoints)].concat(),
        auth_methods: auth_methods(methods, server.clients),
        issuer,
    });
    let sources = synthesis
        .as_ref()
        .map(|synthesis| synthesis.sources.clone());
    endpoints.well_known = sources.unwrap_or_default();
    Metadata {
        rewrite,
        issuer,
        synthesis,
    }
}

/// The paths at which the upstream may have `OpenID` metadata: those of its issuer, and configured ones.
fn openid(issuer_path: &str, endpoints: &Endpoints) -> Vec<String> {
    let mut paths = well_known::paths(OPENID, issuer_path);
    // Appended first, as OpenID Connect Discovery has it.
    paths.reverse();
    let configured = endpoints.metadata.iter();
    let is_new = |path: &&String| path.ends_with(OPENID) && !paths.contains(path);
    let configured: Vec<String> = configured.filter(is_new).cloned().collect();
    [paths, configured].concat()
}

/// Reports `synthesize` where it has no effect.
fn does_nothing(table: &Table<'_>, server: &Server<'_, '_>, rewrite: bool) {
    let at = table.at("synthesize");
    if !rewrite {
        let message = format!("{} needs rewrite = true", table.name("synthesize"));
        let label = "documents of the upstream would stay wrong beside those of the gate";
        let help = "write rewrite = true, or remove synthesize";
        let problem = Problem::error(at, message, label, help);
        table.push(problem.and_at(table.at("rewrite"), "because of this"));
    } else if server.rule.mode != Mode::Enforce {
        let message = format!("{} does nothing yet", table.name("synthesize"));
        let label = "metadata promises S256, which is true under mode = \"enforce\" only";
        let help = "leave it for that day, or remove it";
        table.push(Problem::warning(at, message, label, help));
    }
}

/// The issuer of synthesized metadata, and its path. `None`: it is not known, or its metadata cannot be served here, and that is
/// recorded.
fn own_issuer(
    table: &Table<'_>,
    server: &Server<'_, '_>,
    issuer: Option<&str>,
) -> Option<(String, String)> {
    let public = server.public?;
    let issuer = match issuer {
        Some(issuer) => issuer.to_owned(),
        None if table.has("issuer") || !server.upstream.is_good("prefix") => return None,
        // Without a path, the issuer must be the URL under which clients find its metadata (RFC 8414 section 3.3).
        None if server.prefix == "/" => public.to_string(),
        None => {
            let message = format!("{} is missing", table.name("issuer"));
            let label = format!("with prefix = {} it is not known", quoted(server.prefix));
            let example = quoted(&format!("{public}{}", server.prefix));
            let help = format!("add issuer = {example}, as clients and ID tokens name the server");
            let at = table.at("synthesize");
            let problem = Problem::error(at, message, label, help);
            table.push(problem.and_at(server.upstream.at("prefix"), "because of this"));
            return None;
        }
    };
    let Some(path) = own_path(&issuer, public) else {
        let message = format!(
            "{} is not at {}",
            table.name("issuer"),
            quoted(&public.to_string())
        );
        let label = "clients would look for its metadata elsewhere (RFC 8414 section 3.3)";
        let help = "write an issuer with the scheme, host and port of public_url, or correct that";
        let problem = Problem::error(table.at("issuer"), message, label, help);
        table.push(if server.upstream.has("public_url") {
            problem.and_at(server.upstream.at("public_url"), "clients are here")
        } else {
            problem
        });
        return None;
    };
    if !path.is_empty()
        && let Err(wrong) = (PATH.read)(path)
    {
        let at = table.at("issuer");
        table.wrong(
            "issuer",
            at,
            "an issuer whose metadata the gate can serve",
            wrong,
        );
        return None;
    }
    let path = path.to_owned();
    Some((issuer, path))
}

/// The path of an issuer at that origin, without a slash at its end.
fn own_path<'i>(issuer: &'i str, public: &Origin) -> Option<&'i str> {
    let path = issuer.strip_prefix(&public.to_string())?;
    let path = path.strip_suffix('/').unwrap_or(path);
    (path.is_empty() || path.starts_with('/')).then_some(path)
}

/// By default what is certain: every server accepts HTTP Basic from clients with a password (RFC 6749 section 2.3.1), and this
/// one accepts clients without one if some are configured as public.
fn auth_methods(configured: Vec<String>, clients: &[(Table<'_>, ClientRule)]) -> Vec<String> {
    if !configured.is_empty() {
        return configured;
    }
    let is_public = |client: &Table<'_>| {
        let kind = client.entry("type");
        kind.is_some_and(|kind| kind.value.as_str() == Some("public"))
    };
    let has_public = clients.iter().any(|(client, _)| is_public(client));
    let mut methods = vec!["client_secret_basic".to_owned()];
    methods.extend(has_public.then(|| "none".to_owned()));
    methods
}

/// Warns of an issuer whose metadata clients cannot find through the gate.
fn elsewhere(table: &Table<'_>, server: &Server<'_, '_>, issuer: &str, endpoints: &Endpoints) {
    let Some(public) = server.public.map(Origin::to_string) else {
        return;
    };
    let mut paths = endpoints.metadata.iter();
    let is_found = paths.any(|path| well_known::is_at(issuer, &public, path) == Some(true));
    if is_found || endpoints.metadata.is_empty() {
        return;
    }
    let label = format!(
        "no path of endpoints.metadata at {} is that of its document",
        quoted(&public)
    );
    table.push(Problem::warning(
        table.at("issuer"),
        "clients that compare the issuer with the URL of its metadata refuse it",
        label,
        "add its path to endpoints.metadata, or make public_url and the server's own public URL equal",
    ));
}

#[cfg(test)]
mod tests;
