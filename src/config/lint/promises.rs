//! What the gate does not promise with a configuration that is otherwise good.

use super::super::client::laxer;
use super::super::problem::{Problem, Span};
use super::super::tree::Table;
use super::super::upstream::Read;
use super::super::value::quoted;
use super::{nothing_refused, table};
use crate::gateway::BrowserBinding;
use crate::policy::rules::ClientRule;
use crate::policy::{Codes, Mode, Rule};

/// The rule of a client that holds on that day.
fn in_force(client: &ClientRule, today: u64) -> &Rule {
    if client.until.is_some_and(|until| until < today) {
        &client.afterwards
    } else {
        &client.rule
    }
}

/// Where codes travel as the upstream issued them, one that was stolen is good wherever the upstream takes it: `guarded` is a net
/// there, and only `deny` is a wall.
pub(super) fn forgotten_paths(read: &Read<'_>, today: u64) {
    let routes = &read.tables.routes;
    let is_default =
        routes.is_good("default") && (routes.has("default") || routes.lacks("default"));
    if read.built.gateway.routes.deny_by_default || !is_default {
        return;
    }
    let Some(codes) = travelling_codes(read, today) else {
        return;
    };
    let write = if routes.header() == table(read).header() {
        "add [upstream.routes] with default = \"deny\""
    } else {
        "write default = \"deny\""
    };
    let help =
        format!("{write}, and in allow what else the upstream serves; or write codes = \"handle\"");
    let problem = Problem::warning(
        routes.at("default"),
        "a stolen code may be redeemed at a path that is not listed",
        "\"guarded\" is a net: what is compressed, or in an encoding that only the upstream knows, goes through it",
        help,
    );
    routes.push(problem.and_at(codes, "clients get the codes that the upstream issued"));
}

/// Two sign-ins under one state stop each other, whoever begins them, unless the browser's cookie tells them apart.
pub(super) fn constant_states(read: &Read<'_>, today: u64) {
    let pkce = &read.tables.pkce;
    let has_cookie = read.built.gateway.browser_binding != BrowserBinding::Off;
    let Some(codes) = travelling_codes(read, today).filter(|_| !has_cookie) else {
        return;
    };
    let problem = Problem::warning(
        pkce.at("browser_binding"),
        "two sign-ins with the same state stop each other",
        "with the upstream's own codes only redirect URI and state tell them apart where there is no cookie",
        "write browser_binding = \"soft\", or codes = \"handle\"",
    );
    pkce.push(problem.and_at(codes, "clients get the codes that the upstream issued"));
}

/// Where it says that codes travel as they are, of somebody who is enforced.
fn travelling_codes(read: &Read<'_>, today: u64) -> Option<Span> {
    let travel = |rule: &Rule| rule.mode == Mode::Enforce && rule.codes == Codes::Upstream;
    let pkce = &read.tables.pkce;
    if travel(read.built.gateway.rules.default_rule()) {
        return Some(pkce.at("codes"));
    }
    let mut clients = read.clients.iter();
    let (client, _) = clients.find(|(_, client)| travel(in_force(client, today)))?;
    let writes = if client.has("codes") { client } else { pkce };
    Some(writes.at("codes"))
}

/// A default that is laxer than one of its clients. Of what cannot be told for sure whose it is, some is judged by the stricter
/// rule, and the rest by the default.
pub(super) fn default_rule(read: &Read<'_>, today: u64) {
    let default = read.built.gateway.rules.default_rule();
    let stricter = |client: &&(Table<'_>, ClientRule)| in_force(&client.1, today).mode;
    let strictest = read.clients.iter().rev().max_by_key(stricter);
    let mode = strictest.map_or(default.mode, |client| stricter(&client));
    if default.mode < Mode::Enforce && mode < Mode::Enforce {
        nothing_refused(&read.tables.pkce, read);
    }
    let mut said = Vec::new();
    // The strictest first: the mode is told of that one.
    for (client, rule) in strictest.into_iter().chain(&read.clients) {
        for found in laxer(default, in_force(rule, today)) {
            let is_good = read.tables.pkce.is_good(found.key) && client.is_all_good();
            // Nothing but the mode matters where the default does not enforce.
            let matters = found.key == "mode"
                || default.mode == Mode::Enforce && in_force(rule, today).mode == Mode::Enforce;
            if is_good && client.has("id") && matters && !said.contains(&found.key) {
                said.push(found.key);
                let client = (client, rule, in_force(rule, today).mode);
                let lax = (found.key, found.allows.as_str());
                read.tables.pkce.push(lax_default(read, client, lax));
            }
        }
    }
}

fn lax_default(
    read: &Read<'_>,
    (client, rule, mode): (&Table<'_>, &ClientRule, Mode),
    (key, allows): (&str, &str),
) -> Problem {
    let (pkce, id) = (&read.tables.pkce, quoted(&rule.id));
    let message = format!("{} is laxer for others than for {id}", pkce.name(key));
    let (label, help) = if key == "mode" {
        let label = format!(
            "an answer that belongs to no sign-in is judged by {allows}, a name like {id} and what cannot be read by {:?}",
            mode.as_str()
        );
        let help = "write mode = \"enforce\" here once the log shows that every client is ready, and exceptions for the others";
        (label, help.to_owned())
    } else {
        let label = format!(
            "{allows} is allowed to every other client_id, but for {id} in another spelling"
        );
        let help =
            format!("write it in the [[upstream.client]] that needs it, and here what {id} has");
        (label, help)
    };
    let problem = Problem::warning(pkce.at(key), message, label, help);
    problem.and_at(client.at(key), format!("the rule of {id}"))
}

#[cfg(test)]
mod tests;
