//! Warnings about guarantees that the gate cannot give with an otherwise valid configuration.

use crate::config::client::laxer;
use crate::config::problem::{Problem, Span};
use crate::config::tree::Table;
use crate::config::upstream::Read;
use crate::config::wording::quoted;
use crate::gateway::settings::BrowserBinding;
use crate::policy::ClientRule;
use crate::policy::{Mode, Rule};

/// The rule of a client that is in force on that day.
fn in_force(client: &ClientRule, today: u64) -> &Rule {
    if client.until.is_some_and(|until| until < today) {
        &client.afterwards
    } else {
        &client.rule
    }
}

fn nothing_refused(table: &Table<'_>, read: &Read<'_>) {
    let label = match read.gateway.rules.default_rule().mode {
        Mode::Off => "nothing is judged",
        Mode::Report | Mode::Enforce => "violations are recorded only",
    };
    table.push(Problem::warning(
        table.at("mode"),
        format!("nothing is refused at {}", quoted(&read.gateway.name)),
        label,
        "write mode = \"enforce\" once the review shows that every client is ready",
    ));
}

/// Where clients get the upstream's own codes, a stolen code can be redeemed at every path where the upstream accepts it.
/// `guarded`, and trees in `allow`, reduce this risk only. `deny` with a list of exact paths prevents it.
pub(crate) fn forgotten_paths(read: &Read<'_>, today: u64) {
    let routes = &read.routes;
    let is_default =
        routes.is_good("default") && (routes.has("default") || routes.lacks("default"));
    let enforced = |rule: &Rule| rule.mode == Mode::Enforce && rule.lets_codes_through();
    let Some((codes, rule)) = travelling_codes(read, today, enforced).filter(|_| is_default) else {
        return;
    };
    let (key, net, help) = if read.gateway.routes.deny_by_default {
        let trees = allowed_trees(routes);
        if trees.is_empty() {
            return;
        }
        let net = format!("below {} there is only a net", trees.join(", "));
        ("allow", net, "write the paths one by one".to_owned())
    } else {
        let write = if routes.header() == read.table.header() {
            "add [upstream.routes] with default = \"deny\""
        } else {
            "write default = \"deny\""
        };
        let help = format!("{write}, and in allow what else the upstream serves");
        ("default", "\"guarded\" is a net".to_owned(), help)
    };
    let problem = Problem::warning(
        routes.at(key),
        "a stolen code may be redeemed at a path that is not listed",
        format!(
            "{net}: what is compressed, or in an encoding that only the upstream knows, goes through it"
        ),
        format!("{help}; or {}", to_keep_codes(rule)),
    );
    routes.push(problem.and_at(codes, UPSTREAM_CODES));
}

/// The entries of `allow` that end in `/**`.
fn allowed_trees(routes: &Table<'_>) -> Vec<String> {
    if !routes.is_good("allow") {
        return Vec::new();
    }
    let allow = routes
        .entry("allow")
        .and_then(|allow| allow.value.as_array());
    let paths = allow
        .into_iter()
        .flatten()
        .filter_map(|path| path.get_ref().as_str());
    let trees = paths.filter(|path| path.ends_with("/**"));
    trees.map(quoted).collect()
}

/// Two concurrent sign-ins with the same state block each other, unless the browser's cookie distinguishes them. A response
/// that cannot be assigned to one of them is judged by the default rule: if that rule enforces, responses to clients that
/// are not enforced are refused as well.
pub(crate) fn constant_states(read: &Read<'_>, today: u64) {
    let pkce = &read.pkce;
    if read.gateway.browser_binding != BrowserBinding::Off {
        return;
    }
    let default = read.gateway.rules.default_rule().mode;
    let stopped =
        |rule: &Rule| rule.mode.max(default) == Mode::Enforce && rule.lets_codes_through();
    let Some((codes, rule)) = travelling_codes(read, today, stopped) else {
        return;
    };
    let help = "write browser_binding = \"soft\"".to_owned();
    let help = match rule.mode {
        Mode::Off => help,
        Mode::Report | Mode::Enforce => format!("{help}, or {}", to_keep_codes(rule)),
    };
    let problem = Problem::warning(
        pkce.at("browser_binding"),
        "two sign-ins with the same state stop each other",
        "with the upstream's own codes only redirect URI and state tell them apart where there is no cookie",
        help,
    );
    pkce.push(problem.and_at(codes, UPSTREAM_CODES));
}

const UPSTREAM_CODES: &str = "clients get the codes that the upstream issued";

/// What an operator writes so that clients get no codes of the upstream.
fn to_keep_codes(rule: &Rule) -> &'static str {
    if rule.uses_handles() {
        "remove the response types with code and id_token"
    } else {
        "write codes = \"handle\""
    }
}

/// The first rule that satisfies the predicate, and the position of the key that decides about its codes.
fn travelling_codes<'r>(
    read: &'r Read<'_>,
    today: u64,
    is_such: impl Fn(&Rule) -> bool,
) -> Option<(Span, &'r Rule)> {
    let (pkce, default) = (&read.pkce, read.gateway.rules.default_rule());
    let key = |rule: &Rule| {
        if rule.uses_handles() {
            "response_types"
        } else {
            "codes"
        }
    };
    if is_such(default) {
        return Some((pkce.at(key(default)), default));
    }
    let clients = read.clients.iter();
    let mut clients = clients.map(|(client, rule)| (client, in_force(rule, today)));
    let (client, rule) = clients.find(|(_, rule)| is_such(rule))?;
    let key = key(rule);
    let at = match rule.mode {
        // With `mode = "off"` codes are never replaced, whatever `codes` says.
        Mode::Off => client.at("mode"),
        Mode::Report | Mode::Enforce if client.has(key) => client.at(key),
        Mode::Report | Mode::Enforce => pkce.at(key),
    };
    Some((at, rule))
}

/// An `id_token` contains hashes of the code and the state that the upstream sent (OpenID Connect Core 3.3.2.11), so clients get
/// these in its response although the rule has handles.
pub(crate) fn signed_hashes(read: &Read<'_>, today: u64) {
    let pkce = &read.pkce;
    let default = read.gateway.rules.default_rule();
    let clients = read.clients.iter();
    let clients = clients.map(|(client, rule)| (client, in_force(rule, today)));
    let mut said = Vec::new();
    for (table, rule) in std::iter::once((pkce, default)).chain(clients) {
        let writes = if table.has("response_types") {
            table
        } else {
            pkce
        };
        let mut types = rule.response_types.iter();
        let hybrid = types.find(|kind| kind.hashes_code());
        let at = writes.at("response_types");
        let is_good = table.is_good("codes") && writes.is_good("response_types");
        if let Some(hybrid) = hybrid.filter(|_| rule.uses_handles() && is_good)
            && !said.contains(&at)
        {
            said.push(at);
            let hybrid = quoted(hybrid.as_str());
            let upstream = read.url();
            let problem = Problem::warning(
                at,
                format!("clients get the upstream's own code in responses to {hybrid}"),
                "the id_token has hashes of the code and the state (c_hash, s_hash), so the gate cannot put handles there",
                format!(
                    "close every other way to {upstream}; allow {hybrid} in the [[upstream.client]] that needs it, or remove it"
                ),
            );
            writes.push(if table.has("codes") {
                problem.and_at(table.at("codes"), "because of this")
            } else {
                problem
            });
        }
    }
}

/// Warns of a default rule that is laxer than the rule of a client. Of the messages that cannot be assigned to a client for
/// certain, some are judged by the stricter rule, and the others by the default rule.
pub(crate) fn default_rule(read: &Read<'_>, today: u64) {
    let default = read.gateway.rules.default_rule();
    let stricter = |client: &&(Table<'_>, ClientRule)| in_force(&client.1, today).mode;
    let strictest = read.clients.iter().rev().max_by_key(stricter);
    let mode = strictest.map_or(default.mode, |client| stricter(&client));
    if default.mode < Mode::Enforce && mode < Mode::Enforce {
        nothing_refused(&read.pkce, read);
    }
    let mut said = Vec::new();
    // The strictest client first, so that the warning about the mode names it.
    for (client, rule) in strictest.into_iter().chain(&read.clients) {
        for found in laxer(default, in_force(rule, today)) {
            let is_good = read.pkce.is_good(found.key) && client.is_all_good();
            // If the default rule does not enforce, only its mode matters.
            let matters = found.key == "mode"
                || default.mode == Mode::Enforce && in_force(rule, today).mode == Mode::Enforce;
            if is_good && client.has("id") && matters && !said.contains(&found.key) {
                said.push(found.key);
                let mode = in_force(rule, today).mode;
                let problem = lax_default(read, client, rule, mode, found.key, &found.allows);
                read.pkce.push(problem);
            }
        }
    }
}

fn lax_default(
    read: &Read<'_>,
    client: &Table<'_>,
    rule: &ClientRule,
    mode: Mode,
    key: &str,
    allows: &str,
) -> Problem {
    let (pkce, id) = (&read.pkce, quoted(&rule.id));
    let message = format!("{} is laxer for others than for {id}", pkce.name(key));
    let (label, help) = if key == "mode" {
        let label = format!(
            "an answer that belongs to no sign-in is judged by {allows}, a name like {id} and what cannot be read by {:?}",
            mode.as_str()
        );
        let help = "write mode = \"enforce\" here once the review shows that every client is ready, and exceptions for the others";
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
