//! The control in the form that security reviews use.

use super::model::{Clause, Control, Cvss, Kind, Reviewed, State, Verdict};
use crate::clock::date;
use crate::policy::{ClientRule, Mode, Rule, Rules};

const NAME: &str = "Require PKCE for every authorization flow that can carry it";
const RECOMMENDED: &str = "mode = \"enforce\", methods = [\"S256\"], require = \"all\"";
const WHY: &str = "Without PKCE, anyone who gets an authorization code (from browser history, logs, or a hijacked custom URI scheme) \
    or another intermediate credential can exchange it for tokens. The risk is higher where public clients (native and \
    single-page apps) are in use, and lower where all clients are confidential.";

pub(super) fn control(rules: &Rules, clients: &[Reviewed], today: u64) -> Control {
    let default = rules.default_rule();
    let in_force = rules
        .clients()
        .filter(|client| client.until.is_none_or(|until| until >= today));
    let mut lax: Vec<&ClientRule> = in_force.filter(|client| !is_strict(&client.rule)).collect();
    lax.sort_by(|one, other| one.id.cmp(&other.id));
    let state = match (is_strict(default), lax.is_empty()) {
        (true, true) => State::Met,
        (true, false) => State::Partly,
        (false, _) if default.mode == Mode::Enforce => State::Partly,
        (false, _) => State::NotMet,
    };
    let for_public = std::iter::once(default)
        .chain(lax.iter().map(|client| &client.rule))
        .all(|rule| rule.mode == Mode::Enforce && !rule.plain_allowed);
    let mut evidence = vec![format!(
        "mode is {:?} for clients without an exception",
        default.mode.as_str()
    )];
    if default.plain_allowed {
        evidence.push("the method plain is allowed".to_owned());
    }
    if !default.challenge_required {
        evidence.push("confidential clients need no challenge (require = \"public\")".to_owned());
    }
    evidence.extend(lax.iter().filter_map(|client| laxer(client, default)));
    let remediation = match state {
        State::Met => "none: keep it so".to_owned(),
        State::Partly => {
            "end the exceptions by their dates, with require = \"all\" and S256 alone".to_owned()
        }
        State::NotMet => match owners(clients) {
            None => {
                "write mode = \"enforce\" in [upstream.pkce]: no client that was seen would break"
                    .to_owned()
            }
            Some(owners) => format!(
                "tell the owners of {owners} what to change, or write exceptions for these clients; then write mode = \"enforce\" in \
                 [upstream.pkce]"
            ),
        },
    };
    Control {
        name: NAME.to_owned(),
        recommended: RECOMMENDED.to_owned(),
        state,
        risk: "high".to_owned(),
        cvss: Cvss {
            low: 7.0,
            high: 8.9,
        },
        why: WHY.to_owned(),
        evidence,
        remediation,
        clauses: clauses(state == State::Met, for_public),
    }
}

/// Each clause only as far as it is really met. `for_public`: every public client is covered.
fn clauses(is_met: bool, for_public: bool) -> Vec<Clause> {
    let clause = |name: &str, is_met| Clause {
        name: name.to_owned(),
        is_met,
    };
    vec![
        clause(
            "RFC 9700 section 2.1.1 (PKCE for public clients)",
            for_public,
        ),
        clause("RFC 10017 (browser-based apps)", for_public),
        clause("OAuth 2.1, draft-ietf-oauth-v2-1, section 4.1.1", is_met),
        clause("OWASP ASVS 5.0, V10.4.6", is_met),
        clause("SMART App Launch, PKCE", is_met),
    ]
}

/// In which way a client has a laxer rule than others. `None`: in no way, all of them have.
fn laxer(client: &ClientRule, default: &Rule) -> Option<String> {
    let id = &client.id;
    if let Some(until) = client.until {
        let owner = client.owner.as_deref().unwrap_or("no owner");
        let until = date::format(until);
        return Some(format!(
            "client {id:?} has an exception until {until} ({owner})"
        ));
    }
    let needs_no_challenge = default.challenge_required && !client.rule.challenge_required;
    needs_no_challenge.then(|| format!("client {id:?} is confidential and needs no challenge"))
}

/// The clients that would break, by name. Clients choose their names, so they are quoted, and there are few.
fn owners(clients: &[Reviewed]) -> Option<String> {
    const NAMED: usize = 5;
    let mut broken = clients
        .iter()
        .filter(|client| client.verdict == Verdict::WouldBreak);
    let named: Vec<String> = broken.by_ref().take(NAMED).map(name).collect();
    match (named.is_empty(), broken.count()) {
        (true, _) => None,
        (false, 0) => Some(named.join(", ")),
        (false, more) => Some(format!("{} and {more} more", named.join(", "))),
    }
}

fn name(client: &Reviewed) -> String {
    const LONGEST: usize = 60;
    let mut id: String = client.client_id.chars().take(LONGEST).collect();
    if id.len() < client.client_id.len() {
        id.push('…');
    }
    match client.kind {
        Kind::Client => format!("{id:?}"),
        Kind::Origin => format!("further clients at {id:?}"),
        Kind::None => "requests without a client_id".to_owned(),
        Kind::Others => "all others".to_owned(),
    }
}

fn is_strict(rule: &Rule) -> bool {
    rule.mode == Mode::Enforce && rule.challenge_required && !rule.plain_allowed
}
