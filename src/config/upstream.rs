//! `[[upstream]]`: one server behind the gate.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::context::Context;
use super::origin::Origin;
use super::pkce::{self, Pkce};
use super::problem::Problem;
use super::schema::{client as client_keys, pkce as pkce_keys, upstream as keys};
use super::settings::Upstream;
use super::tree::{At, Table};
use super::wording::quoted;
use super::{client, endpoints, routes};
use crate::gateway;
use crate::gateway::settings::Entry;
use crate::oauth::ClientId;
use crate::policy::ClientRule;
use crate::policy::{Codes, Rules};
use crate::upstream;

/// One `[[upstream]]`: its settings, and the tables they were read from.
pub(super) struct Read<'t> {
    pub(super) tables: Tables<'t>,
    /// `None`: missing or invalid, and recorded.
    pub(super) target: Option<Origin>,
    /// `None`: missing or invalid, and recorded.
    pub(super) public: Option<Origin>,
    pub(super) clients: Vec<(Table<'t>, ClientRule)>,
    pub(super) built: Upstream,
}

impl<'t> Read<'t> {
    pub(super) fn table(&self) -> &Table<'t> {
        &self.tables.upstream
    }

    pub(super) fn name(&self) -> &str {
        &self.built.gateway.name
    }
}

/// The tables of one upstream.
pub(super) struct Tables<'t> {
    pub(super) upstream: Table<'t>,
    pub(super) endpoints: Table<'t>,
    pub(super) routes: Table<'t>,
    pub(super) pkce: Table<'t>,
    pub(super) metadata: Table<'t>,
}

/// Reads one `[[upstream]]`. `public` is the default of `public_url`.
pub(super) fn read<'t>(
    table: Table<'t>,
    public: Option<&Origin>,
    context: &Context<'_>,
) -> Read<'t> {
    let tables = Tables {
        endpoints: table.table(&keys::ENDPOINTS),
        routes: table.table(&keys::ROUTES),
        pkce: table.table(&pkce_keys::PKCE),
        metadata: table.table(&keys::METADATA),
        upstream: table,
    };
    let table = &tables.upstream;
    let target = table.find(&keys::URL);
    let public = public_url(table, public);
    let pkce = pkce::read(&tables.pkce);
    let clients: Vec<(Table<'t>, ClientRule)> = table
        .tables(&client_keys::CLIENT)
        .into_iter()
        .map(|client| {
            let rule = client::read(&client, &pkce, &tables.pkce, context.today);
            (client, rule)
        })
        .collect();
    let built = Upstream {
        connection: connection(table, target.as_ref(), context),
        gateway: settings(&tables, public.as_ref(), &pkce, &clients),
    };
    Read {
        tables,
        target,
        public,
        clients,
        built,
    }
}

/// Reads `public_url`. It is part of URLs that the gate writes, so it is never derived from a request.
fn public_url(table: &Table<'_>, default: Option<&Origin>) -> Option<Origin> {
    let written = table.find(&keys::PUBLIC_URL);
    if default.is_none() {
        let label = "it is known by itself only where the gate listens on one loopback address";
        let help = "add public_url = \"https://login.example.com\", as clients reach the gate";
        table.require("public_url", label, help);
    }
    written.or_else(|| default.cloned())
}

fn connection(
    table: &Table<'_>,
    target: Option<&Origin>,
    context: &Context<'_>,
) -> upstream::Settings {
    let ca = table.find(&keys::CA);
    let ca = ca.map(|file| context.directory.join(file));
    if let (Some(file), Some(target)) = (&ca, target) {
        check_ca(table, file, target, context);
    }
    upstream::Settings {
        tls: target.is_some_and(|target| target.tls),
        host: target.map_or_else(String::new, |target| target.host.clone()),
        port: target.map_or(0, |target| target.port),
        ca,
        connect: table.get(&keys::CONNECT),
        response: table.get(&keys::RESPONSE),
        idle: table.get(&keys::IDLE),
    }
}

fn check_ca(table: &Table<'_>, file: &Path, target: &Origin, context: &Context<'_>) {
    let span = table.at("ca");
    if !target.tls {
        let message = format!("{} needs an https:// upstream", table.name("ca"));
        let label = "nothing is checked against it over plain http";
        let help = "remove it, or write url = \"https://…\"";
        table.push(Problem::error(span, message, label, help));
        return;
    }
    let label = match (context.read)(file) {
        Err(error) => error.to_string(),
        Ok(pem) => match CertificateDer::pem_slice_iter(&pem).next() {
            Some(Ok(_)) => return,
            Some(Err(error)) => error.to_string(),
            None => "it contains no certificate".to_owned(),
        },
    };
    let message = format!("{} cannot be used", quoted(&file.display().to_string()));
    let help = "write the path of a PEM file with CERTIFICATE blocks; relative paths begin beside this file";
    table.push(Problem::error(span, message, label, help));
}

fn settings(
    tables: &Tables<'_>,
    public: Option<&Origin>,
    pkce: &Pkce,
    clients: &[(Table<'_>, ClientRule)],
) -> gateway::Settings {
    let table = &tables.upstream;
    let prefix = table.get(&keys::UPSTREAM_PREFIX);
    let by_id = clients
        .iter()
        .map(|(_, client)| (ClientId::new(&client.id).digest(), client.clone()));
    let rules = Rules::new(pkce.rule.clone(), by_id);
    tables.metadata.later();
    let endpoints = endpoints::read(&tables.endpoints, &prefix);
    gateway::Settings {
        routes: routes::read(&tables.routes, &prefix, &endpoints.metadata),
        name: table.get(&keys::UPSTREAM_NAME),
        hosts: At::values(table.get(&keys::HOSTS)),
        endpoints,
        prefix,
        public_origin: public.map_or_else(String::new, Origin::to_string),
        preserve_host: table.get(&keys::PRESERVE_HOST),
        entry: entry(&tables.pkce, pkce, clients),
        rules,
        browser_binding: pkce.browser_binding,
        to_upstream: pkce.to_upstream,
        rewrite_metadata: tables.metadata.get(&keys::REWRITE),
        issuer: tables.metadata.find(&keys::METADATA_ISSUER),
    }
}

/// The default of `entry`: with handles, the client is redirected so that every later request carries the handle; without
/// handles a redirect would not change anything.
fn entry(table: &Table<'_>, pkce: &Pkce, clients: &[(Table<'_>, ClientRule)]) -> Entry {
    let handles = pkce.rule.codes == Codes::Handle
        || clients.iter().any(|(_, client)| {
            client.rule.codes == Codes::Handle || client.afterwards.codes == Codes::Handle
        });
    let default = if handles {
        Entry::Redirect
    } else {
        Entry::Rewrite
    };
    let known = ["mode", "codes", "entry"]
        .iter()
        .all(|key| table.is_good(key))
        && clients.iter().all(|(client, _)| client.is_all_good());
    if pkce.entry == Some(Entry::Redirect) && !handles && known {
        let message = format!("{} cannot be \"redirect\" here", table.name("entry"));
        let label = "with codes = \"upstream\" a redirect would change nothing";
        let help = "write entry = \"rewrite\", or remove it, or write codes = \"handle\"";
        let problem = Problem::error(table.at("entry"), message, label, help);
        table.push(if table.has("codes") {
            problem.and_at(table.at("codes"), "because of this")
        } else {
            problem.and_at(
                table.at("mode"),
                "under which codes is \"upstream\" by default",
            )
        });
    }
    pkce.entry.unwrap_or(default)
}

#[cfg(test)]
mod tests;
