//! Checks for duplicates.

use crate::config::problem::{Problem, Span};
use crate::config::upstream::Read;
use crate::config::wording::quoted;
use crate::route::overlap;

/// Reports duplicate names, duplicate pairs of host and prefix, and duplicate clients within one upstream.
pub(crate) fn unique(upstreams: &[Read<'_>]) {
    for (at, read) in upstreams.iter().enumerate() {
        unique_clients(read);
        let earlier = upstreams.iter().take(at);
        let same_name = earlier
            .clone()
            .find(|other| other.gateway.name == read.gateway.name);
        if let Some(other) = same_name
            && [read, other].iter().all(|read| read.table.is_good("name"))
        {
            let message = format!("two upstreams are called {}", quoted(&read.gateway.name));
            let help = "give each a name of its own, for example name = \"second\"";
            let label = if read.table.has("name") {
                "again"
            } else {
                "by default"
            };
            let problem = Problem::error(read.table.at("name"), message, label, help);
            read.table
                .push(problem.and_at(other.table.at("name"), "the first one"));
        }
        if let Some(other) = earlier.clone().find(|other| has_issuer_of(read, other)) {
            let issuer = read
                .gateway
                .synthesis
                .as_ref()
                .map(|own| quoted(&own.issuer));
            let message = format!(
                "two upstreams have the issuer {}",
                issuer.unwrap_or_default()
            );
            let help = "give each an issuer of its own, for example with its prefix as path";
            let problem = Problem::error(issuer_place(read), message, "again", help);
            read.table
                .push(problem.and_at(issuer_place(other), "the first one"));
        }
        let same_place = earlier.clone().find_map(|other| {
            let host = shared_host(read, other)?;
            (prefix(read) == prefix(other)).then_some((other, host))
        });
        if let Some((other, host)) = same_place
            && [read, other].iter().all(|read| has_good_place(read))
        {
            let message = "two upstreams answer to the same host and prefix";
            let label = format!("{host} and prefix {} again", quoted(prefix(read)));
            let help = match own_host(read, other) {
                Some(host) => format!(
                    "write hosts = [{host}], which public_url says, or give one of them another prefix"
                ),
                None => "give one of them other hosts or another prefix".to_owned(),
            };
            let problem = Problem::error(place(read), message, label, help);
            read.table
                .push(problem.and_at(place(other), "the first one"));
        }
    }
}

/// Whether both synthesize metadata at one path of one host.
fn has_issuer_of(read: &Read<'_>, other: &Read<'_>) -> bool {
    let (own, others) = (&read.gateway.synthesis, &other.gateway.synthesis);
    let own = own.iter().flat_map(|own| &own.paths);
    let is_others = |path: &String| others.iter().any(|other| other.paths.contains(path));
    own.into_iter().any(is_others) && shared_host(read, other).is_some()
}

fn issuer_place(read: &Read<'_>) -> Span {
    let key = if read.metadata.has("issuer") {
        "issuer"
    } else {
        "synthesize"
    };
    read.metadata.at(key)
}

/// The host of its public URL, if the upstream has no `hosts` and this host distinguishes it from the other one.
fn own_host(read: &Read<'_>, other: &Read<'_>) -> Option<String> {
    let is_open = read.gateway.hosts.is_empty() && read.table.has("public_url");
    let own = read.public.as_ref().filter(|_| is_open)?.authority();
    let others = other.public.as_ref();
    let differs = others.is_none_or(|other| other.authority() != own);
    differs.then(|| quoted(&own))
}

fn prefix<'r>(read: &'r Read<'_>) -> &'r str {
    &read.gateway.prefix
}

fn has_good_place(read: &Read<'_>) -> bool {
    read.table.is_good("hosts") && read.table.is_good("prefix")
}

/// The position of `hosts` or `prefix`.
fn place(read: &Read<'_>) -> Span {
    let written = ["hosts", "prefix"]
        .into_iter()
        .find(|key| read.table.has(key));
    written.map_or(read.table.header(), |key| read.table.at(key))
}

fn shared_host(a: &Read<'_>, b: &Read<'_>) -> Option<String> {
    let (a, b) = (&a.gateway.hosts, &b.gateway.hosts);
    if a.is_empty() && b.is_empty() {
        return Some("any host".to_owned());
    }
    // A name without a port matches any port, so it overlaps with the same name with a port.
    let one = std::slice::from_ref;
    let shared = a.iter().find(|host| !b.is_empty() && overlap(one(host), b));
    shared.map(|host| quoted(host))
}

fn unique_clients(read: &Read<'_>) {
    for (at, (table, client)) in read.clients.iter().enumerate() {
        let mut earlier = read.clients.iter().take(at);
        if table.has("id")
            && table.is_good("id")
            && let Some((first, _)) = earlier.find(|(_, other)| other.id == client.id)
        {
            let message = format!("the client {} has two rules", quoted(&client.id));
            let help = "make one [[upstream.client]] of them";
            let problem = Problem::error(table.at("id"), message, "again", help);
            table.push(problem.and_at(first.at("id"), "the first one"));
        }
    }
}
