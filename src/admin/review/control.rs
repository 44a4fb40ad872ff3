//! The control in the form that security reviews use.

use super::model::{Clause, Control, Cvss, Reviewed, State, Verdict, counted};
use crate::clock::date;
use crate::gateway::site::Reporting;
use crate::policy::{ClientRule, Mode, Rule, Rules};

const NAME: &str = "Require PKCE for every authorization flow that can carry it";
const RECOMMENDED: &str = "mode = \"enforce\", methods = [\"S256\"], require = \"all\"";
const WHY: &str = "Without PKCE, anyone who gets an authorization code (from browser history, logs, or a hijacked custom URI scheme) \
    or another intermediate credential can exchange it for tokens. The risk is higher where public clients (native and \
    single-page apps) are in use, and lower where all clients are confidential.";

pub(super) fn control(
    rules: &Rules,
    clients: &[Reviewed],
    reporting: Option<Reporting>,
    today: u64,
) -> Control {
    let default = rules.default_rule();
    let mut lax: Vec<&ClientRule> = rules
        .clients()
        .filter(|client| client.until.is_none_or(|until| until >= today))
        .filter(|client| !is_strict(&client.rule))
        // One that is configured for another reason has the rule of the others.
        .filter(|client| client.until.is_some() || client.rule.mode == Mode::Enforce)
        .collect();
    lax.sort_by(|one, other| one.id.cmp(&other.id));
    // A confidential client needs no end under require = "public".
    let lax_public = !lax.iter().all(|client| is_confidential(client));
    let state = match (is_strict(default), lax.is_empty()) {
        (true, true) => State::Met,
        (true, false) => State::Partly,
        (false, _) if default.mode == Mode::Enforce => State::Partly,
        (false, _) => State::NotMet,
    };
    let for_public = default.mode == Mode::Enforce && !default.plain_allowed && !lax_public;
    let mut evidence = vec![format!(
        "mode is {:?} for clients without an exception",
        default.mode.as_str()
    )];
    evidence.extend(reporting.map(|reporting| {
        let days = counted(reporting.days, "day");
        let long = if reporting.is_long {
            ": ninety or more, in which clients in report mode were not protected"
        } else {
            ""
        };
        match reporting.until.map(date::format) {
            Some(until) if reporting.is_overdue => {
                format!("report mode was to end on {until}, and has lasted for {days}{long}")
            }
            Some(until) => format!("report mode is to end on {until}; it has lasted for {days}"),
            None => {
                format!("report mode has no end (report_until), and has lasted for {days}{long}")
            }
        }
    }));
    evidence.extend(enforced_before(default.mode, clients));
    if default.plain_allowed {
        evidence.push("the method plain is allowed".to_owned());
    }
    if !default.challenge_required {
        evidence.push("confidential clients need no challenge (require = \"public\")".to_owned());
    }
    evidence.extend(lax.into_iter().map(exception));
    evidence.push(
        "this holds for requests through this gate; close every other way to the server".to_owned(),
    );
    let remediation = remediation(state, default.mode, lax_public, clients);
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

/// The clients that are enforced before the others are.
fn enforced_before(mode: Mode, clients: &[Reviewed]) -> Option<String> {
    if mode == Mode::Enforce {
        return None;
    }
    let enforced = clients.iter();
    let enforced = enforced.filter(|client| client.mode == Mode::Enforce.as_str());
    let promoted = enforced.clone().filter(|client| client.is_promoted());
    let (enforced, promoted) = (enforced.count(), promoted.count());
    (enforced > 0).then(|| {
        let clients = counted(enforced, "client");
        format!("enforced before the others: {clients}, {promoted} of them by promotion")
    })
}

/// What to do. `mode`: that of clients without an exception. `lax_public`: there are exceptions for public clients.
fn remediation(state: State, mode: Mode, lax_public: bool, clients: &[Reviewed]) -> String {
    let count = |verdict| {
        let clients = clients.iter();
        clients.filter(|client| client.verdict == verdict).count()
    };
    let would_break = count(Verdict::WouldBreak);
    let (uncertain, server_initiated) =
        (count(Verdict::Uncertain), count(Verdict::ServerInitiated));
    // Anyone can send requests, so the sum may be large.
    let seen = clients.iter().map(|client| client.sign_ins);
    let seen = seen.fold(0, u32::saturating_add);
    let text = match state {
        State::Met => "nothing; keep every other way to the server closed".to_owned(),
        State::Partly if lax_public => {
            "end the exceptions by their dates, and allow no method but S256".to_owned()
        }
        State::Partly => "require PKCE of confidential clients, too: require = \"all\"".to_owned(),
        State::NotMet if mode == Mode::Off => {
            "write mode = \"report\" in [upstream.pkce]: in mode off nothing is counted".to_owned()
        }
        State::NotMet if seen == 0 => {
            "let clients sign in through the gate first: it saw none in the last 7 days".to_owned()
        }
        State::NotMet if would_break == 0 => format!(
            "write mode = \"enforce\" in [upstream.pkce]: no client below would break ({} in 7 days)",
            counted(seen, "sign-in")
        ),
        State::NotMet => {
            let owners = match would_break {
                1 => "owner of the client".to_owned(),
                many => format!("owners of the {many} clients"),
            };
            format!(
                "tell the {owners} below that would break what to change; then write mode = \"enforce\" in [upstream.pkce], together \
                 with exceptions for those that are not ready"
            )
        }
    };
    text + &also(state, uncertain, server_initiated)
}

/// What to do besides about rows that do not break, and are not good either.
fn also(state: State, uncertain: usize, server_initiated: usize) -> String {
    let is_open = |number: usize| state != State::Met && number > 0;
    let uncertain = is_open(uncertain)
        .then_some("; before that, find out why some rows below cannot be judged for certain");
    let server_initiated = is_open(server_initiated).then_some(
        "; let the applications to which the server sends codes without a request begin their sign-ins themselves: enforcement refuses \
         such codes",
    );
    [uncertain, server_initiated]
        .map(Option::unwrap_or_default)
        .concat()
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

/// Whether the only thing that the rule of the client lacks is the challenge of a confidential client.
fn is_confidential(client: &ClientRule) -> bool {
    client.until.is_none() && client.rule.mode == Mode::Enforce && !client.rule.plain_allowed
}

fn exception(client: &ClientRule) -> String {
    let id = &client.id;
    if is_confidential(client) {
        return format!("the confidential client {id:?} needs no challenge (require = \"public\")");
    }
    let owner = client.owner.as_deref().unwrap_or("no owner");
    let until = client.until.map(date::format);
    let until = until.as_deref().unwrap_or("it is removed");
    format!("client {id:?} has an exception until {until} ({owner})")
}

fn is_strict(rule: &Rule) -> bool {
    rule.mode == Mode::Enforce && rule.challenge_required && !rule.plain_allowed
}
