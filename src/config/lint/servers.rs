//! Upstreams that are one server, or the gate itself.

use std::cmp::Ordering;
use std::net::{IpAddr, SocketAddr};

use super::super::origin::Origin;
use super::super::problem::Problem;
use super::super::upstream::Read;
use super::super::value::quoted;
use super::{name, table};
use crate::policy::Mode;
use crate::policy::rules::ClientRule;

/// Whoever may ask the laxer one of two upstreams on one server gets at what the stricter one protects there.
pub(in super::super) fn one_server(upstreams: &[Read<'_>]) {
    for (at, read) in upstreams.iter().enumerate() {
        let earlier = upstreams.iter().take(at);
        for other in earlier.filter(|other| is_one_server(read, other)) {
            match mode(read).cmp(&mode(other)) {
                Ordering::Less => laxer_mode(read, other),
                Ordering::Greater => laxer_mode(other, read),
                Ordering::Equal => {
                    laxer_clients(read, other);
                    laxer_clients(other, read);
                }
            }
        }
    }
}

fn is_one_server(a: &Read<'_>, b: &Read<'_>) -> bool {
    let same = |a: &Origin, b: &Origin| {
        let here =
            |origin: &Origin| ["localhost", "127.0.0.1", "::1"].contains(&origin.host.as_str());
        (a.tls, a.port) == (b.tls, b.port) && (a.host == b.host || (here(a) && here(b)))
    };
    let good = |read: &Read<'_>| {
        let clients = read.clients.iter().all(|(client, _)| client.is_all_good());
        read.tables.pkce.is_all_good() && clients
    };
    matches!((&a.target, &b.target), (Some(a), Some(b)) if same(a, b)) && good(a) && good(b)
}

fn mode(read: &Read<'_>) -> Mode {
    read.built.gateway.rules.default_rule().mode
}

fn url(read: &Read<'_>) -> String {
    read.target
        .as_ref()
        .map(Origin::to_string)
        .unwrap_or_default()
}

fn laxer_mode(lax: &Read<'_>, strict: &Read<'_>) {
    let message = format!(
        "{} is a way around {}: both are {}",
        quoted(name(lax)),
        quoted(name(strict)),
        url(lax)
    );
    let label = format!(
        "{:?} here, {:?} there",
        mode(lax).as_str(),
        mode(strict).as_str()
    );
    let help = format!(
        "write mode = {:?} in both, or give one of them a server of its own",
        mode(strict).as_str()
    );
    let problem = Problem::error(lax.tables.pkce.at("mode"), message, label, help);
    let also = strict.tables.pkce.at("mode");
    lax.tables
        .pkce
        .push(problem.and_at(also, "the stricter one"));
}

fn laxer_clients(read: &Read<'_>, other: &Read<'_>) {
    // An exception has an end; the rest of what is said of a client is no exception.
    let is_exception = |client: &ClientRule| client.until.is_some();
    let same = |client: &ClientRule| {
        other.clients.iter().any(|(_, known)| {
            (&known.id, &known.rule, known.until) == (&client.id, &client.rule, client.until)
        })
    };
    for (table, client) in &read.clients {
        if is_exception(client) && !same(client) {
            let message = format!(
                "the exception for {} is one at {} too: both are {}",
                quoted(&client.id),
                quoted(name(other)),
                url(other)
            );
            let label = format!("there is no such exception at {}", quoted(name(other)));
            let help =
                "write the same [[upstream.client]] there, or give one of them a server of its own";
            let problem = Problem::error(table.at("id"), message, label, help);
            table.push(problem.and_at(super::table(other).at("url"), "the same server"));
        }
    }
}

/// An upstream that is the gate: its requests would go round in circles, and those of operators would be open to clients.
pub(in super::super) fn not_ourselves(upstreams: &[Read<'_>], own: &[SocketAddr]) {
    for read in upstreams {
        let target = read.target.as_ref();
        let Some(own) = own
            .iter()
            .find(|own| target.is_some_and(|target| is_at(target, **own)))
        else {
            continue;
        };
        let message = format!("{} is the gate itself", table(read).name("url"));
        let label = format!("the gate listens on {own}");
        let help = "write where the server is that the gate stands in front of";
        table(read).push(Problem::error(table(read).at("url"), message, label, help));
    }
}

/// A listener on any address is reached at those of this machine, of which loopback is known.
fn is_at(target: &Origin, own: SocketAddr) -> bool {
    let here = target.is_loopback()
        || target
            .host
            .parse()
            .is_ok_and(|ip: IpAddr| ip.is_unspecified());
    let same = match target.host.parse::<IpAddr>() {
        Ok(ip) => ip == own.ip(),
        Err(_) => here && own.ip().is_loopback(),
    };
    target.port == own.port() && (same || (here && own.ip().is_unspecified()))
}
