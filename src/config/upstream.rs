//! `[[upstream]]`: one server behind the gate.

use std::time::Duration;

use super::context::Context;
use super::origin::{ORIGIN, Origin};
use super::path::{HOST, NAME, PREFIX};
use super::problem::Problem;
use super::sections::TIMEOUT;
use super::tree::{At, Table};
use super::value::TEXT;
use super::{ca, client, code_in_json, endpoints, metadata, pkce, promote, report_end, routes};
use crate::gateway;
use crate::gateway::settings::{BrowserBinding, Correlation, Entry, Promote, ToUpstream};
use crate::oauth::ClientId;
use crate::policy::{ClientRule, Codes, Mode, Rule, Rules};
use crate::upstream;

const BINDINGS: [(&str, BrowserBinding); 3] = [
    ("off", BrowserBinding::Off),
    ("soft", BrowserBinding::Soft),
    ("hard", BrowserBinding::Hard),
];

const TO_UPSTREAM: [(&str, ToUpstream); 3] = [
    ("forward", ToUpstream::Forward),
    ("strip", ToUpstream::Strip),
    ("replace", ToUpstream::Replace),
];

/// One `[[upstream]]`: its settings, and the tables they were read from.
pub(super) struct Read<'t> {
    pub(super) table: Table<'t>,
    pub(super) endpoints: Table<'t>,
    pub(super) routes: Table<'t>,
    pub(super) pkce: Table<'t>,
    pub(super) metadata: Table<'t>,
    /// `None`: missing or invalid, and recorded.
    pub(super) target: Option<Origin>,
    /// `None`: missing or invalid, and recorded.
    pub(super) public: Option<Origin>,
    pub(super) clients: Vec<(Table<'t>, ClientRule)>,
    pub(super) connection: upstream::Settings,
    pub(super) gateway: gateway::Settings,
}

impl Read<'_> {
    /// The URL of the upstream, in a message.
    pub(super) fn url(&self) -> String {
        let target = self.target.as_ref();
        target.map_or_else(|| "the upstream".to_owned(), Origin::to_string)
    }
}

/// Reads one `[[upstream]]`. `own_origin` is the default of `public_url`.
pub(super) fn read<'t>(
    table: Table<'t>,
    own_origin: Option<&Origin>,
    context: &Context<'_>,
) -> Read<'t> {
    let endpoints = table.table("upstream.endpoints");
    let routes = table.table("upstream.routes");
    let pkce = table.table("upstream.pkce");
    let about = table.table("upstream.metadata");
    let help = "add url = \"http://127.0.0.1:9000\"";
    table.require("url", "the gate has to know where this upstream is", help);
    let target = table.find("url", &ORIGIN);
    let public = public_url(&table, own_origin);
    let rule = pkce::rule(&pkce);
    let require_all = pkce.words("require", true, &[("all", true), ("public", false)]);
    let clients: Vec<(Table<'t>, ClientRule)> = table
        .tables("upstream.client")
        .into_iter()
        .map(|client| {
            let rule = client::read(&client, &pkce, &rule, require_all, context.today);
            (client, rule)
        })
        .collect();
    let by_id = clients
        .iter()
        .map(|(_, client)| (ClientId::new(&client.id).digest(), client.clone()));
    let prefix = table.text("prefix", &PREFIX, "/".to_owned());
    let mut paths = endpoints::read(&endpoints, &prefix);
    if !pkce::device(&pkce, &endpoints, &paths.device_authorization) {
        // Without it, requests there pass like those on any other path.
        paths.device_authorization.clear();
    }
    let server = metadata::Server {
        upstream: &table,
        public: public.as_ref(),
        prefix: &prefix,
        rule: &rule,
        clients: &clients,
    };
    let said = metadata::read(&about, &server, &mut paths);
    signed(&pkce, &rule);
    let promote = promote::read(&pkce, &rule);
    let gateway = gateway::Settings {
        routes: routes::read(&routes, &prefix, &paths),
        name: table.text("name", &NAME, "legacy".to_owned()),
        hosts: At::values(&table.list("hosts", &HOST)),
        endpoints: paths,
        code_in_json: code_in_json::read(&pkce, &prefix),
        correlation: correlation(&pkce, &rule),
        prefix,
        public_origin: public.as_ref().map_or_else(String::new, Origin::to_string),
        preserve_host: table.flag("preserve_host", true),
        report_until: report_end::read(&pkce, &rule, context.today),
        promote,
        entry: entry(&pkce, &rule, &clients, promote),
        rules: Rules::new(rule, by_id),
        browser_binding: pkce.words("browser_binding", BrowserBinding::Soft, &BINDINGS),
        to_upstream: pkce.words("to_upstream", ToUpstream::Forward, &TO_UPSTREAM),
        rewrite_metadata: said.rewrite,
        issuer: said.issuer,
        synthesis: said.synthesis,
    };
    if gateway.to_upstream == ToUpstream::Replace {
        needs_handles(&pkce, gateway.rules.default_rule(), &clients);
    }
    Read {
        connection: connection(&table, target.as_ref(), context),
        table,
        endpoints,
        routes,
        pkce,
        metadata: about,
        target,
        public,
        clients,
        gateway,
    }
}

/// Reads `public_url`. It is part of URLs that the gate writes, so it is never derived from a request.
fn public_url(table: &Table<'_>, default: Option<&Origin>) -> Option<Origin> {
    let written = table.find("public_url", &ORIGIN);
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
    let ca = table.find("ca", &TEXT);
    let ca = ca.map(|file| context.directory.join(file));
    if let (Some(file), Some(target)) = (&ca, target) {
        if target.tls {
            ca::check(table, file, context);
        } else {
            let message = format!("{} needs an https:// upstream", table.name("ca"));
            let label = "nothing is checked against it over plain http";
            let help = "remove it, or write url = \"https://…\"";
            table.push(Problem::error(table.at("ca"), message, label, help));
        }
    }
    upstream::Settings {
        tls: target.is_some_and(|target| target.tls),
        host: target.map_or_else(String::new, |target| target.host.clone()),
        port: target.map_or(0, |target| target.port),
        ca,
        connect: table.duration("connect", Duration::from_secs(2), TIMEOUT),
        response: table.duration("response", Duration::from_secs(15), TIMEOUT),
        idle: table.duration("idle", Duration::from_secs(4), TIMEOUT),
    }
}

/// Reports signed requests and responses where codes and states are replaced.
fn signed(pkce: &Table<'_>, rule: &Rule) {
    if rule.codes == Codes::Upstream || !pkce.is_good("codes") {
        return;
    }
    let has_signed_mode = rule.response_modes.iter().any(|mode| mode.is_signed());
    for (key, is_signed) in [
        ("request_objects", rule.reads_request_objects),
        ("response_modes", has_signed_mode),
    ] {
        if is_signed {
            let message = format!("{} needs codes = \"upstream\"", pkce.name(key));
            let label = "what is signed cannot be changed, so no handle can be put in";
            let help = "write codes = \"upstream\", or leave out what is signed";
            let problem = Problem::error(pkce.at(key), message, label, help);
            pkce.push(problem.and_at(pkce.at("codes"), "codes are replaced"));
        }
    }
}

/// Reads `correlation`. A cookie finds the sign-in of a code; without handles, nothing would be put in place of the code.
fn correlation(pkce: &Table<'_>, rule: &Rule) -> Correlation {
    let choices = [
        ("state", Correlation::State),
        ("cookie", Correlation::Cookie),
    ];
    let correlation = pkce.words("correlation", Correlation::State, &choices);
    let is_upstream = rule.mode == Mode::Enforce && rule.codes == Codes::Upstream;
    if correlation == Correlation::Cookie && is_upstream && pkce.is_good("codes") {
        let message = format!("{} cannot be \"cookie\" here", pkce.name("correlation"));
        let label = "with codes = \"upstream\" the gate changes nothing, and sets no cookie that names a sign-in";
        let help = "write codes = \"handle\", or correlation = \"state\"";
        let problem = Problem::error(pkce.at("correlation"), message, label, help);
        pkce.push(problem.and_at(pkce.at("codes"), "because of this"));
    }
    correlation
}

/// The default of `entry`: with handles, the client is redirected so that every later request carries the handle; without
/// handles a redirect would not change anything.
fn entry(
    table: &Table<'_>,
    rule: &Rule,
    clients: &[(Table<'_>, ClientRule)],
    promote: Promote,
) -> Entry {
    let handles = rule.codes == Codes::Handle
        || matches!(promote, Promote::Enforce { .. })
        || clients.iter().any(|(_, client)| {
            client.rule.codes == Codes::Handle || client.afterwards.codes == Codes::Handle
        });
    let default = if handles {
        Entry::Redirect
    } else {
        Entry::Rewrite
    };
    let choices = [("redirect", Entry::Redirect), ("rewrite", Entry::Rewrite)];
    let entry = table.words("entry", default, &choices);
    let known = ["mode", "codes", "entry"]
        .iter()
        .all(|key| table.is_good(key))
        && clients.iter().all(|(client, _)| client.is_all_good());
    if entry == Entry::Redirect && !handles && known {
        let message = format!("{} cannot be \"redirect\" here", table.name("entry"));
        let label = "with codes = \"upstream\" a redirect would change nothing";
        let help = "write entry = \"rewrite\", or remove it, or write codes = \"handle\"";
        let (key, why) = if table.has("codes") {
            ("codes", "because of this")
        } else {
            ("mode", "under which codes is \"upstream\" by default")
        };
        let problem = Problem::error(table.at("entry"), message, label, help);
        table.push(problem.and_at(table.at(key), why));
    }
    entry
}

/// Reports each rule under which `to_upstream = "replace"` could not work: without handles the gate cannot tell which sign-in a request
/// continues, so it could not send both halves of its own pair. A client that is not judged sends what it likes.
fn needs_handles(pkce: &Table<'_>, rule: &Rule, clients: &[(Table<'_>, ClientRule)]) {
    let lacks = |rule: &Rule| rule.mode != Mode::Off && rule.lets_codes_through();
    let default = Some((pkce, rule)).into_iter();
    let exceptions = clients.iter().map(|(table, client)| (table, &client.rule));
    for (table, rule) in default.chain(exceptions).filter(|(_, rule)| lacks(rule)) {
        let keys = ["mode", "codes", "response_types"];
        if !keys
            .iter()
            .all(|key| table.is_good(key) && pkce.is_good(key))
        {
            continue;
        }
        let message = format!("{} needs codes = \"handle\"", pkce.name("to_upstream"));
        let label = "without handles the gate cannot send both halves of its own pair";
        let help = "write codes = \"handle\", or to_upstream = \"forward\"";
        if rule.uses_handles() {
            let of = if table.has("response_types") {
                table
            } else {
                pkce
            };
            let message = format!(
                "{} is not possible for every response type",
                pkce.name("to_upstream")
            );
            let label = "a response with code and id_token keeps the upstream's values, so the gate cannot send its own pair";
            let help = "remove the response types with code and id_token, or write to_upstream = \"forward\"";
            let problem = Problem::error(pkce.at("to_upstream"), message, label, help);
            pkce.push(problem.and_at(of.at("response_types"), "because of this"));
            continue;
        }
        let (of, key) = if table.has("codes") {
            (table, "codes")
        } else if table.has("mode") {
            (table, "mode")
        } else {
            (pkce, "codes")
        };
        let problem = Problem::error(pkce.at("to_upstream"), message, label, help);
        pkce.push(problem.and_at(of.at(key), "codes is \"upstream\" because of this"));
    }
}

#[cfg(test)]
mod tests;
