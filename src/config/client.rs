//! `[[upstream.client]]`: the properties of a client, and its exceptions from the rule of the upstream.

use super::oauth::{RESPONSE_MODE, RESPONSE_TYPE};
use super::origin::REDIRECT_URI;
use super::pkce::{self, listed};
use super::problem::Problem;
use super::tree::{At, Table};
use super::value::TEXT;
use super::wording::quoted;
use crate::clock::date;
use crate::oauth::pkce::{MAX_LENGTH, MIN_LENGTH};
use crate::oauth::{CodeChallengeMethod, ResponseType};
use crate::policy::{ClientRule, Codes, Mode, Rule};

/// How many days before the end of an exception the warning begins.
pub(super) const ANNOUNCED: u64 = 14;

/// A key in which one rule is laxer than another.
pub(super) struct Lax {
    pub(super) key: &'static str,
    /// The first value that the other rule does not allow, in quotes.
    pub(super) allows: String,
    /// The value of the other rule, if it is a single value.
    pub(super) instead: Option<String>,
    why: String,
}

/// Reads one `[[upstream.client]]`; `upstream` is its `[upstream.pkce]`, with the default rule. `require_all`: confidential
/// clients need PKCE as well.
pub(super) fn read(
    table: &Table<'_>,
    upstream: &Table<'_>,
    default: &Rule,
    require_all: bool,
    today: u64,
) -> ClientRule {
    let label = "which client does this rule apply to?";
    table.require("id", label, "add id = \"…\", the client_id that it sends");
    let (rule, is_confidential) = rule(table, default, require_all);
    let until = table.day("until");
    let lax = lax(&rule, default, table, upstream);
    let client = ClientRule {
        id: table.find("id", &TEXT).unwrap_or_default(),
        is_confidential,
        afterwards: afterwards(&rule, default),
        promoted: (!table.has("mode")).then(|| promoted(table, &rule)),
        rule,
        until: until.filter(|_| !lax.is_empty()),
        owner: table.find("owner", &TEXT),
        reason: table.find("reason", &TEXT),
    };
    match lax.first() {
        Some(first) => accounted_for(table, first, today),
        None => idle_until(table, upstream),
    }
    near_end(table, &client, today);
    client
}

/// The rule, and whether the client is confidential.
fn rule(table: &Table<'_>, upstream: &Rule, require_all: bool) -> (Rule, bool) {
    /// The upper bound of `verifier_max`, in characters.
    const LONGEST_VERIFIER: usize = 1024;
    let mode = pkce::mode(table, upstream.mode);
    // A client that is enforced before its upstream gets the protection of handles.
    let codes_by_default = if mode == Mode::Enforce && upstream.mode != Mode::Enforce {
        upstream.enforced().codes
    } else {
        upstream.codes
    };
    let confidential = table.words("type", false, &[("public", false), ("confidential", true)]);
    let assumed = [("S256", Some(CodeChallengeMethod::S256))];
    let (types, modes) = (&upstream.response_types, &upstream.response_modes);
    let rule = Rule {
        reads_request_objects: upstream.reads_request_objects,
        mode,
        codes: pkce::codes(table, codes_by_default),
        challenge_required: require_all || !confidential,
        plain_allowed: At::values(&pkce::methods(table)).contains(&CodeChallengeMethod::Plain),
        assume_method: table.words("assume_method", None, &assumed),
        verifier_max: table.integer("verifier_max", MAX_LENGTH, MIN_LENGTH..=LONGEST_VERIFIER),
        response_types: listed(table, "response_types", &RESPONSE_TYPE, &[], types),
        response_modes: listed(table, "response_modes", &RESPONSE_MODE, &[], modes),
        grants: upstream.grants.clone(),
        redirect_uris: At::values(&table.list("redirect_uris", &REDIRECT_URI)),
    };
    (rule, confidential)
}

/// The rule as if mode = "enforce" was written.
fn promoted(table: &Table<'_>, rule: &Rule) -> Rule {
    let enforced = rule.enforced();
    Rule {
        codes: if table.has("codes") {
            rule.codes
        } else {
            enforced.codes
        },
        ..enforced
    }
}

/// Returns the keys in which a client is laxer than its upstream, where both values are valid. The properties of a client
/// (`type`, `redirect_uris`, `assume_method`, `verifier_max`) are not exceptions.
fn lax(rule: &Rule, upstream_rule: &Rule, table: &Table<'_>, upstream: &Table<'_>) -> Vec<Lax> {
    let mut lax = laxer(rule, upstream_rule);
    lax.retain(|found| {
        found.key != "require" && table.is_good(found.key) && upstream.is_good(found.key)
    });
    lax
}

/// Returns the keys in which `rule` is laxer than `than`.
pub(super) fn laxer(rule: &Rule, than: &Rule) -> Vec<Lax> {
    let mut found = Vec::new();
    let mut lax = |key, allows, instead, why| {
        found.push(Lax {
            key,
            allows,
            instead,
            why,
        });
    };
    if rule.mode < than.mode {
        let [own, other] = [rule, than].map(|rule| quoted(rule.mode.as_str()));
        let why = format!("{own} is laxer than the upstream's {other}");
        lax("mode", own, Some(other), why);
    }
    if rule.codes == Codes::Upstream && than.codes == Codes::Handle {
        let why = "\"upstream\" is laxer than the upstream's \"handle\"".to_owned();
        lax("codes", quoted("upstream"), Some(quoted("handle")), why);
    }
    if rule.plain_allowed && !than.plain_allowed {
        let why = "\"plain\" is laxer than the upstream's \"S256\"".to_owned();
        lax("methods", quoted("plain"), None, why);
    }
    if !rule.challenge_required && than.challenge_required {
        let allows = "a request without code_challenge".to_owned();
        let why = "the upstream requires a code_challenge".to_owned();
        lax("require", allows, None, why);
    }
    // An empty list allows all grants.
    let lists_grants = !than.grants.is_empty();
    if lists_grants && rule.grants.is_empty() {
        let why = "the upstream lists its grants".to_owned();
        lax("grants", "every grant".to_owned(), None, why);
    }
    let grant = extra(&rule.grants, &than.grants).filter(|_| lists_grants);
    let kind = extra(&rule.response_types, &than.response_types);
    let mode = extra(&rule.response_modes, &than.response_modes);
    for (key, extra) in [
        ("grants", grant.map(String::as_str)),
        ("response_types", kind.map(ResponseType::as_str)),
        ("response_modes", mode.map(|mode| mode.as_str())),
    ] {
        if let Some(extra) = extra {
            let why = format!("{} is not among the upstream's", quoted(extra));
            lax(key, quoted(extra), None, why);
        }
    }
    found
}

/// The first value that is not in the other list.
fn extra<'r, T: PartialEq>(list: &'r [T], than: &[T]) -> Option<&'r T> {
    list.iter().find(|value| !than.contains(value))
}

/// The rule after the end of the exception: laxer settings are replaced by those of the upstream, the others stay.
fn afterwards(rule: &Rule, upstream: &Rule) -> Rule {
    Rule {
        mode: rule.mode.max(upstream.mode),
        codes: if upstream.codes == Codes::Handle {
            Codes::Handle
        } else {
            rule.codes
        },
        plain_allowed: upstream.plain_allowed,
        response_types: stricter(&rule.response_types, &upstream.response_types),
        response_modes: stricter(&rule.response_modes, &upstream.response_modes),
        ..rule.clone()
    }
}

/// The intersection of both lists, or the list of the upstream if the intersection is empty.
fn stricter<T: Clone + PartialEq>(client: &[T], upstream: &[T]) -> Vec<T> {
    let both: Vec<T> = client
        .iter()
        .filter(|value| upstream.contains(value))
        .cloned()
        .collect();
    if both.is_empty() {
        upstream.to_vec()
    } else {
        both
    }
}

/// Checks that an exception has an end, an owner and a reason.
fn accounted_for(table: &Table<'_>, lax: &Lax, today: u64) {
    let end = date::format(today.saturating_add(90));
    let wanted = [
        ("until", "an end", format!("until = \"{end}\"")),
        (
            "owner",
            "an owner",
            "owner = \"team@example.com\"".to_owned(),
        ),
        ("reason", "a reason", "reason = \"…\"".to_owned()),
    ];
    let (needs, examples): (Vec<&str>, Vec<String>) = wanted
        .into_iter()
        .filter(|(key, ..)| table.lacks(key))
        .map(|(_, need, example)| (need, example))
        .unzip();
    if needs.is_empty() {
        return;
    }
    let message = format!("an exception needs {}", needs.join(", "));
    let help = format!("add {}", examples.join(", "));
    table.push(Problem::error(table.at(lax.key), message, &lax.why, help));
}

/// Reports `until` on a client without exceptions. One whose keys say no less than `[upstream.pkce]` is only a warning: it is written
/// before the upstream is enforced, and stays when that is taken back.
fn idle_until(table: &Table<'_>, upstream: &Table<'_>) {
    if table.has("until") && table.is_all_good() && upstream.is_all_good() {
        let keys = [
            "mode",
            "codes",
            "methods",
            "response_types",
            "response_modes",
        ];
        if keys.iter().any(|key| table.has(key)) {
            let message = "the exception has no effect";
            let label = "[upstream.pkce] is not stricter at present";
            let help = "leave it if the upstream will be stricter, for example with mode = \"enforce\"; else remove it";
            table.push(Problem::warning(table.at("until"), message, label, help));
            return;
        }
        let message = "`until` does nothing: this client has no exception";
        let label = "nothing here is laxer than [upstream.pkce]";
        let help = "remove it; what a client is (type, redirect_uris, assume_method, verifier_max) does not end";
        table.push(Problem::error(table.at("until"), message, label, help));
    }
}

/// Warns of an exception that has ended, ends soon, or ends too late (after 2100).
fn near_end(table: &Table<'_>, client: &ClientRule, today: u64) {
    let Some(until) = client.until else {
        return;
    };
    let (span, id, day) = (table.at("until"), quoted(&client.id), date::format(until));
    let problem = if until < today {
        Problem::warning(
            span,
            format!("the exception for {id} ended on {day}"),
            "the stricter rule holds since",
            "remove the exception, or write a later date",
        )
    } else if until - today <= ANNOUNCED {
        let left = match until - today {
            0 => "this is its last day".to_owned(),
            1 => "1 day is left".to_owned(),
            days => format!("{days} days are left"),
        };
        Problem::warning(
            span,
            format!("the exception for {id} ends after {day}"),
            left,
            "see in the log whether the client is ready; if not, agree on a later date with its owner",
        )
    } else if date::days(2100, 12, 31).is_some_and(|last| until > last) {
        Problem::warning(
            span,
            format!("the exception for {id} ends on {day}"),
            "that is further away than any exception should last",
            "write the day by which the client should be ready; it can be moved",
        )
    } else {
        return;
    };
    table.push(problem);
}

#[cfg(test)]
mod tests;
