//! Checks for upstreams with the same server behind them, and for an upstream that is the gate itself.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::clock::date;
use crate::config::client::{Lax, laxer};
use crate::config::origin::Origin;
use crate::config::problem::{Problem, Span};
use crate::config::tree::Table;
use crate::config::upstream::Read;
use crate::config::wording::quoted;
use crate::oauth::ClientId;
use crate::policy::ClientRule;
use crate::policy::{Mode, Rule};

/// Of two upstreams on one server, the laxer one bypasses the stricter one. Compares the rules of each client that either
/// upstream names, and the default rules.
pub(crate) fn one_server(upstreams: &[Read<'_>], today: u64) {
    for (at, read) in upstreams.iter().enumerate() {
        let earlier = upstreams.iter().take(at);
        for other in earlier.filter(|other| is_one_server(read, other)) {
            ways_around(read, other, today);
            ways_around(other, read, today);
        }
    }
}

fn is_one_server(a: &Read<'_>, b: &Read<'_>) -> bool {
    let good = |read: &Read<'_>| {
        let clients = read.clients.iter().all(|(client, _)| client.is_all_good());
        read.pkce.is_all_good() && clients
    };
    let same = matches!((&a.target, &b.target), (Some(a), Some(b)) if a.is_one_server_with(b));
    same && good(a) && good(b)
}

fn ways_around(lax: &Read<'_>, strict: &Read<'_>, today: u64) {
    let clients = lax.clients.iter().chain(&strict.clients);
    // A client without an id cannot be compared, and the missing id is already reported.
    let known = clients.filter(|(client, _)| client.has("id"));
    let ids: BTreeSet<&str> = known.map(|(_, client)| client.id.as_str()).collect();
    // The default rules first: differences that clients inherit from them are not reported again.
    let all = std::iter::once(None).chain(ids.into_iter().map(Some));
    let mut said = Vec::new();
    for pair in all.map(|id| Pair::of(id, lax, strict)) {
        let mut keys = Vec::new();
        for day in std::iter::once(today).chain(pair.later(today)) {
            for way in pair.allows_more(day) {
                let (here, there) = (pair.lax_place(way.key), pair.strict_place(way.key, day));
                if !keys.contains(&way.key) && !said.contains(&(way.key, here, there)) {
                    let problem = pair.problem(&way, here, there, (day > today).then_some(day));
                    lax.pkce.push(problem);
                    said.push((way.key, here, there));
                }
                keys.push(way.key);
            }
        }
    }
}

/// The rules of one client in two upstreams on one server.
struct Pair<'r, 't> {
    /// `None`: all clients that neither upstream names.
    id: Option<&'r str>,
    lax: &'r Read<'t>,
    strict: &'r Read<'t>,
    in_lax: Option<&'r (Table<'t>, ClientRule)>,
    in_strict: Option<&'r (Table<'t>, ClientRule)>,
}

impl<'r, 't> Pair<'r, 't> {
    fn of(id: Option<&'r str>, lax: &'r Read<'t>, strict: &'r Read<'t>) -> Self {
        let known = |read: &'r Read<'t>| {
            let mut clients = read.clients.iter();
            clients.find(|(_, client)| Some(client.id.as_str()) == id)
        };
        Self {
            id,
            lax,
            strict,
            in_lax: known(lax),
            in_strict: known(strict),
        }
    }

    /// If both upstreams have an exception and the laxer one lasts longer: the day after the end of the other one.
    fn later(&self, today: u64) -> Option<u64> {
        let (lax, strict) = (self.in_lax?.1.until?, self.in_strict?.1.until?);
        (today <= strict && strict < lax).then_some(strict + 1)
    }

    fn rule(&self, read: &'r Read<'t>, day: u64) -> &'r Rule {
        let rules = &read.gateway.rules;
        let of_name = |id| rules.of_name(&ClientId::new(id), day);
        self.id.map_or(rules.default_rule(), of_name)
    }

    /// Returns what the laxer upstream allows in addition. If the mode differs, only the mode is reported, because the other
    /// differences usually follow from it. If the stricter upstream refuses nothing, there is nothing to bypass.
    fn allows_more(&self, day: u64) -> Vec<Lax> {
        let (lax, strict) = (self.rule(self.lax, day), self.rule(self.strict, day));
        let mut found = laxer(lax, strict);
        if lax.mode < strict.mode {
            found.retain(|way| way.key == "mode");
        } else if strict.mode < Mode::Enforce {
            found.clear();
        }
        found
    }

    fn lax_place(&self, key: &str) -> Span {
        // `require = "public"` exempts confidential clients only, so the `type` of the client is the laxer key.
        let own = if key == "require" { "type" } else { key };
        match self.in_lax {
            Some((client, _)) if client.has(own) => client.at(own),
            _ => self.lax.pkce.at(key),
        }
    }

    fn strict_place(&self, key: &str, day: u64) -> Span {
        let pkce = &self.strict.pkce;
        match self.in_strict {
            Some((client, rule)) if rule.until.is_some_and(|until| until < day) => {
                client.at("until")
            }
            Some((client, _)) if client.has(key) => client.at(key),
            Some((client, _)) if key == "require" && self.strict_by_type() => client.at("type"),
            _ => pkce.at(key),
        }
    }

    /// Whether the stricter upstream exempts confidential clients from PKCE, but not this client.
    fn strict_by_type(&self) -> bool {
        let require = self.strict.pkce.entry("require");
        require.is_some_and(|entry| entry.value.as_str() == Some("public"))
    }

    fn problem(&self, way: &Lax, here: Span, there: Span, day: Option<u64>) -> Problem {
        let whose = self.id.map(|id| format!(" for {}", quoted(id)));
        let whose = whose.unwrap_or_default();
        let message = format!(
            "{} is a way around {}{whose}: {}",
            quoted(&self.lax.gateway.name),
            quoted(&self.strict.gateway.name),
            one_place(self.lax, self.strict)
        );
        let label = match &way.instead {
            Some(instead) => format!("{} here, {instead} there", way.allows),
            None => format!("{} is allowed here, and not there", way.allows),
        };
        let since = day.map(|day| format!(" from {} on", date::format(day)));
        let label = label + &since.unwrap_or_default();
        let is_exception = self
            .in_lax
            .is_some_and(|(_, client)| client.until.is_some());
        let write = match (way.key, &way.instead) {
            _ if is_exception => "the same [[upstream.client]]".to_owned(),
            ("require", _) => format!("the same require, and the same type{whose},"),
            ("grants", _) => "the same grants".to_owned(),
            (key, Some(instead)) => format!("{key} = {instead}{whose}"),
            (key, None) => format!("the same {key}{whose}"),
        };
        let help = format!("write {write} in both, or give one of them a server of its own");
        let problem = Problem::error(here, message, label, help);
        problem.and_at(there, "the stricter one")
    }
}

/// Describes the location that both upstreams share.
fn one_place(a: &Read<'_>, b: &Read<'_>) -> String {
    match (&a.target, &b.target) {
        (Some(a), Some(b)) if a != b => format!("{a} and {b} are one server"),
        (Some(at), _) | (_, Some(at)) => format!("both are {at}"),
        (None, None) => String::new(),
    }
}

/// Rejects an upstream that is the gate itself: requests would loop, and clients could reach the admin listener.
pub(crate) fn not_ourselves(upstreams: &[Read<'_>], own: &[SocketAddr]) {
    for read in upstreams {
        let target = read.target.as_ref();
        let Some(own) = own
            .iter()
            .find(|own| target.is_some_and(|target| is_at(target, **own)))
        else {
            continue;
        };
        let message = format!("{} is the gate itself", read.table.name("url"));
        let label = format!("the gate listens on {own}");
        let help = "write where the server is that the gate stands in front of";
        read.table
            .push(Problem::error(read.table.at("url"), message, label, help));
    }
}

/// Whether the target is that listener. Of a listener on all addresses, only the loopback addresses are known.
fn is_at(target: &Origin, own: SocketAddr) -> bool {
    let here = target.is_this_machine();
    let same = match target.ip() {
        // Connections to the unspecified address arrive at loopback.
        Some(ip) if ip.is_unspecified() => own.ip().is_loopback(),
        Some(ip) => ip == own.ip().to_canonical(),
        None => here && own.ip().is_loopback(),
    };
    target.port == own.port() && (same || (here && own.ip().is_unspecified()))
}

#[cfg(test)]
mod tests;
