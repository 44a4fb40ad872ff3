//! Checks that involve more than one key: contradictions, and warnings for the operator.

mod lengths;
mod paths;
mod promises;
mod servers;
mod unique;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::context::Context;
use super::origin::{Origin, plain_url};
use super::problem::Problem;
use super::server::Server;
use super::tree::{At, Table};
use super::upstream::Read;
use super::value::show_duration;
use super::wording::quoted;
use crate::oauth::ResponseType;
use crate::policy::{Codes, Mode};

pub(super) use lengths::states;
pub(super) use servers::{not_ourselves, one_server};
pub(super) use unique::unique;

/// Rejects overlapping listeners, and an admin listener that clients can reach.
pub(super) fn listeners(server: &Server, admin: &Table<'_>, admin_listen: SocketAddr) {
    let mut seen: Vec<&At<SocketAddr>> = Vec::new();
    for listen in &server.listen {
        if let Some(earlier) = seen.iter().find(|other| overlap(other.value, listen.value)) {
            let message = format!("{} is listened on twice", listen.value);
            let label = format!("covered by {}", earlier.value);
            let problem = Problem::error(listen.span, message, label, "remove one of them");
            admin.push(problem.and_at(earlier.span, "here already"));
        }
        if admin.is_good("listen") && overlap(admin_listen, listen.value) {
            let message = "`admin.listen` is an address of `server.listen` too";
            let label = "health and metrics would be served to clients";
            let help = "write another port, for example listen = \"127.0.0.1:9901\" in [admin]";
            // Without `admin.listen` in the file, `server.listen` conflicts with the default of `admin.listen`.
            let problem = if admin.has("listen") {
                Problem::error(admin.at("listen"), message, label, help)
                    .and_at(listen.span, "clients connect here")
            } else {
                Problem::error(listen.span, message, label, help)
            };
            admin.push(problem);
        }
        seen.push(listen);
    }
}

/// Whether two listeners would receive the same connections. Port 0 never conflicts: each bind picks a free port.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let covers =
        |any: IpAddr, other: IpAddr| any.is_unspecified() && (any.is_ipv6() || other.is_ipv4());
    a.port() == b.port()
        && a.port() != 0
        && (a.ip() == b.ip() || covers(a.ip(), b.ip()) || covers(b.ip(), a.ip()))
}

/// Warns of `trusted_proxies` that contain all addresses.
pub(super) fn proxies(server: &Server, table: &Table<'_>) {
    for network in &server.trusted_proxies {
        if network.value.prefix_len() == 0 {
            table.push(Problem::warning(
                network.span,
                "every peer is a trusted proxy",
                "any client can claim any address",
                "list only the networks of your own proxies",
            ));
        }
    }
    let networks: Vec<IpNet> = server.trusted_proxies.iter().map(|at| at.value).collect();
    let is_all = |network: &IpNet| network.prefix_len() == 0;
    if !networks.iter().any(is_all) && IpNet::aggregate(&networks).iter().any(is_all) {
        table.push(Problem::warning(
            table.at("trusted_proxies"),
            "every peer is a trusted proxy",
            "together these are all addresses: any client can claim any address",
            "list only the networks of your own proxies",
        ));
    }
}

/// Warns of an untrusted proxy in front: all clients then have one address, and the share of one client.
pub(super) fn hidden_clients(server: &Server, upstreams: &[Read<'_>]) {
    // An https `public_url` means that a proxy in front of the gate terminates TLS.
    let is_behind_tls = |read: &&Read<'_>| read.public.as_ref().is_some_and(|origin| origin.tls);
    if let Some(read) = upstreams.iter().find(is_behind_tls)
        && server.trusted_proxies.is_empty()
    {
        read.table.push(Problem::warning(
            read.table.at("public_url"),
            "all clients count as one",
            "a TLS terminator that is not trusted hides them: together they have the limits of one network",
            "name its address in [server], for example trusted_proxies = [\"127.0.0.1/32\"]",
        ));
    }
}

/// Warns of sizes that contradict each other.
pub(super) fn limits(table: &Table<'_>, uri_bytes: usize, header_bytes: usize) {
    if uri_bytes > header_bytes {
        table.push(Problem::warning(
            table.at("uri_bytes"),
            "`limits.uri_bytes` is larger than `limits.header_bytes`",
            "the head of a request, which its URI is part of, is refused first",
            "raise header_bytes, or lower uri_bytes",
        ));
    }
}

/// Warns of codes that live longer than RFC 6749 recommends.
pub(super) fn store(table: &Table<'_>, code: Duration) {
    const LONGEST: Duration = Duration::from_mins(10);
    if code > LONGEST {
        table.push(Problem::warning(
            table.at("code"),
            "codes live longer than RFC 6749 section 4.1.2 recommends",
            format!("more than {}", show_duration(LONGEST)),
            "write code = \"5m\", or as long as the upstream's own codes live",
        ));
    }
}

/// Runs all checks of a single upstream.
pub(super) fn upstream(read: &Read<'_>, context: &Context<'_>) {
    reachable_in_the_clear(read);
    wrong_host(read);
    doubled_prefix(read);
    paths::alike(read);
    paths::idle_routes(read);
    policy(read);
    promises::default_rule(read, context.today);
    promises::forgotten_paths(read, context.today);
    promises::constant_states(read, context.today);
    promises::signed_hashes(read, context.today);
    for (table, client) in &read.clients {
        let enforced = client.rule.mode == Mode::Enforce && client.rule.codes == Codes::Upstream;
        let ended = client.until.is_some_and(|until| until < context.today);
        if enforced && table.has("codes") && !ended {
            upstream_codes(table, read);
        }
        long_verifier(table, client.rule.verifier_max, client.reason.is_some());
    }
}

/// Warns of codes, tokens and secrets that cross a network unencrypted.
fn reachable_in_the_clear(read: &Read<'_>) {
    let clear = |origin: &Origin| !origin.tls && !origin.is_loopback();
    if read.target.as_ref().is_some_and(clear) {
        read.table.push(Problem::warning(
            read.table.at("url"),
            "the upstream is reached over a network in plain http",
            "codes, tokens and client secrets can be read on the way, and others can reach it too",
            "write https://, or run the gate beside the upstream and let that listen on 127.0.0.1 only",
        ));
    }
    if read.public.as_ref().is_some_and(clear) {
        read.table.push(Problem::warning(
            read.table.at("public_url"),
            "clients reach the gate in plain http",
            "codes and verifiers can be read on the way",
            "put TLS in front of the gate, and write https:// here",
        ));
    }
    let metadata = &read.metadata;
    let issuer = read.gateway.issuer.as_deref();
    let issuer = issuer.and_then(|issuer| plain_url(issuer, "").ok());
    if issuer.is_some_and(|url| url.scheme() == "http" && !is_loopback(&url)) {
        metadata.push(Problem::warning(
            metadata.at("issuer"),
            "the issuer is not an https:// URL",
            "RFC 8414 section 2 requires https",
            "write the issuer as the upstream's metadata has it, with https://",
        ));
    }
}

fn is_loopback(url: &url::Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let origin = Origin {
        tls: false,
        host: host.trim_matches(['[', ']']).to_owned(),
        port: 0,
    };
    origin.is_loopback()
}

/// Warns of a `public_url` with a host that `hosts` does not accept.
fn wrong_host(read: &Read<'_>) {
    let (hosts, table) = (&read.gateway.hosts, read.table);
    let Some(public) = &read.public else {
        return;
    };
    let listed = [public.host.clone(), public.authority()];
    if hosts.is_empty() || !table.is_good("hosts") || hosts.iter().any(|host| listed.contains(host))
    {
        return;
    }
    let message = "`upstream.public_url` is not among `upstream.hosts`";
    let label = format!(
        "requests for {} will not reach this upstream",
        quoted(&public.authority())
    );
    let help = format!(
        "add {} to hosts, or correct public_url",
        quoted(&public.authority())
    );
    table.push(Problem::warning(table.at("hosts"), message, label, help));
}

/// Warns of endpoint paths that repeat the prefix: they must be written without it.
fn doubled_prefix(read: &Read<'_>) {
    let (gateway, table) = (&read.gateway, &read.endpoints);
    let doubled = format!("{0}{0}/", gateway.prefix);
    let endpoints = &gateway.endpoints;
    for (key, paths) in [
        ("authorization", &endpoints.authorization),
        ("continuation", &endpoints.continuation),
        ("token", &endpoints.token),
        ("registration", &endpoints.registration),
        ("metadata", &endpoints.metadata),
    ] {
        let path = paths.iter().find(|path| path.starts_with(&doubled));
        if let Some(path) = path.filter(|_| gateway.prefix != "/") {
            let message = format!("{} repeats the prefix", table.name(key));
            let label = format!("this is {} in requests", quoted(path));
            let help = "write paths below the prefix, without it";
            table.push(Problem::warning(table.at(key), message, label, help));
        }
    }
}

/// Warns of what `[upstream.pkce]` does not protect.
fn policy(read: &Read<'_>) {
    let table = &read.pkce;
    let rule = read.gateway.rules.default_rule();
    if rule.mode == Mode::Enforce && rule.codes == Codes::Upstream {
        upstream_codes(table, read);
    }
    let token = |kind: &ResponseType| kind.as_str().split(' ').any(|word| word == "token");
    if rule.response_types.iter().any(token) {
        table.push(Problem::warning(
            table.at("response_types"),
            "access tokens travel through the browser",
            "PKCE protects codes only (RFC 9700 section 2.1.2)",
            "allow \"token\" in the [[upstream.client]] that needs it",
        ));
    }
    if !rule.grants.is_empty()
        && !rule
            .grants
            .iter()
            .any(|grant| grant == "authorization_code")
    {
        table.push(Problem::warning(
            table.at("grants"),
            "no code can be redeemed",
            "\"authorization_code\" is not listed",
            "add \"authorization_code\", or write grants = [] for any",
        ));
    }
}

fn upstream_codes(table: &Table<'_>, read: &Read<'_>) {
    let upstream = read.url();
    table.push(Problem::warning(
        table.at("codes"),
        "this depends on the upstream being unreachable around the gate",
        "clients get the codes that the upstream issued",
        format!("close every other way to {upstream}, or write codes = \"handle\""),
    ));
}

fn long_verifier(table: &Table<'_>, longest: usize, has_reason: bool) {
    if longest > crate::oauth::pkce::MAX_LENGTH && !has_reason {
        table.push(Problem::warning(
            table.at("verifier_max"),
            "verifiers may be longer than RFC 7636 section 4.1 allows",
            "128 characters is the longest there",
            "add reason = \"…\" to say why this client needs it",
        ));
    }
}

#[cfg(test)]
mod tests;
