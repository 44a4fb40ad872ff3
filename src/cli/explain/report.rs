//! The explanation of requests, for a terminal and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::manual;
use super::request::Shown;
use crate::cli::shown::shown;
use crate::gateway::preview::{Check, Found, Preview, Verdict};
use crate::oauth::{ClientId, CodeChallengeMethod, Endpoint, ResponseMode, ResponseType};
use crate::policy::{Decision, Rule, Violation, apply, authorize, redeem};
use crate::route::Misdirection;

/// A request and what the gate would decide about it.
pub(super) struct Explained<'c> {
    shown: Shown,
    preview: Result<Preview<'c>, Misdirection>,
}

impl<'c> Explained<'c> {
    pub(super) fn new(shown: Shown, preview: Result<Preview<'c>, Misdirection>) -> Self {
        Self { shown, preview }
    }

    fn found(&self) -> Option<&Found<'c>> {
        self.preview.as_ref().ok().map(|preview| &preview.found)
    }

    fn violation(&self) -> Option<&Violation> {
        match &self.found()?.verdict {
            Verdict::Judged(violation) => violation.as_ref(),
            Verdict::Passes(_) | Verdict::Barred(..) | Verdict::Open(_) => None,
        }
    }

    /// Whether it would be refused under enforcement.
    pub(super) fn is_refused(&self) -> bool {
        let is_barred = |found: &Found<'_>| matches!(found.verdict, Verdict::Barred(..));
        self.violation().is_some() || self.found().is_none_or(is_barred)
    }

    /// The decision under the mode of the rule.
    fn decision(&self) -> &'static str {
        let Some(found) = self.found() else {
            return "refused";
        };
        match (&found.verdict, found.rule) {
            (Verdict::Judged(violation), Some(rule)) => {
                match apply(rule.mode, (), violation.clone()) {
                    Decision::Allow(_) => "allowed",
                    Decision::Report(..) => "reported",
                    Decision::Refuse(..) => "refused",
                }
            }
            (Verdict::Judged(_) | Verdict::Passes(_), _) => "allowed",
            (Verdict::Barred(..), _) => "refused",
            (Verdict::Open(_), _) => "open",
        }
    }

    /// Why it is so, if no rule is the reason.
    fn because(&self) -> Option<String> {
        let found = match &self.preview {
            Ok(preview) => &preview.found,
            Err(wrong) => {
                return Some(format!(
                    "status {}: {}",
                    wrong.status.as_u16(),
                    wrong.reason
                ));
            }
        };
        match found.verdict {
            Verdict::Judged(_) => None,
            Verdict::Passes(why) | Verdict::Open(why) => Some(why.to_owned()),
            Verdict::Barred(status, why) => Some(format!("status {}: {why}", status.as_u16())),
        }
    }
}

/// What the manual says about a code.
pub(super) fn explanation(code: &str) -> Option<Value> {
    let specification = manual::part(code, "Specification")?;
    let change = manual::part(code, "What to change")?;
    Some(json!({ "code": code, "specification": specification, "what_to_change": change }))
}

/// Contains no part of the request.
fn reason(violation: &Violation) -> String {
    violation
        .reason()
        .map_or_else(|| violation.to_string(), String::from)
}

/// The name of a check for programs, for people, and where it is specified.
fn names(check: Check) -> (&'static str, &'static str, &'static str) {
    use authorize::Check as Asks;
    use redeem::Check as Redeems;
    match check {
        Check::Path => ("path", "the path has one meaning", "RFC 3986 section 6.2.2"),
        Check::Elsewhere => (
            "token_request_elsewhere",
            "it is not a token request at another path",
            "RFC 6749 section 3.2",
        ),
        Check::Parses => (
            "parses",
            "it parses strictly",
            "RFC 6749 sections 3.1 and 3.2",
        ),
        Check::ClientAuthentication => (
            "client_authentication",
            "client authentication is unambiguous",
            "RFC 6749 section 2.3",
        ),
        Check::Code => ("code", "there is a code", "RFC 6749 section 4.1.3"),
        Check::Authorization(check) => match check {
            Asks::Client => ("client", "it names a client", "RFC 6749 section 4.1.1"),
            Asks::RequestObject => (
                "request_object",
                "no request object",
                "RFC 9101 section 6.3",
            ),
            Asks::RedirectUri => (
                "redirect_uri",
                "the redirect URI has no code",
                "RFC 6749 section 3.1.2",
            ),
            Asks::ResponseType => ("response_type", "response type", "RFC 6749 section 3.1.1"),
            Asks::ResponseMode => (
                "response_mode",
                "response mode",
                "OAuth 2.0 Multiple Response Types section 2.1",
            ),
            Asks::Challenge => (
                "challenge",
                "there is a challenge if one is needed",
                "RFC 7636 section 4.3",
            ),
            Asks::Method => ("method", "challenge method", "RFC 7636 section 4.3"),
            Asks::ChallengeForm => (
                "challenge_form",
                "the challenge is well-formed",
                "RFC 7636 section 4.2",
            ),
        },
        Check::Redemption(check) => match check {
            Redeems::Grant => ("grant", "grant", "RFC 6749 section 4.1.3"),
            Redeems::Client => ("client", "it names a client", "RFC 6749 section 4.1.3"),
            Redeems::Verifier => (
                "verifier",
                "there is a well-formed verifier",
                "RFC 7636 sections 4.1 and 4.5",
            ),
        },
    }
}

fn endpoint(endpoint: Option<Endpoint>) -> &'static str {
    endpoint.map_or("ambiguous", Endpoint::label)
}

/// What a rule allows, for people.
fn allowed(rule: &Rule) -> [(&'static str, String); 5] {
    let types: Vec<&str> = rule
        .response_types
        .iter()
        .map(ResponseType::as_str)
        .collect();
    let modes: Vec<&str> = rule
        .response_modes
        .iter()
        .map(|mode| ResponseMode::as_str(*mode))
        .collect();
    let mut methods = vec!["S256"];
    methods.extend(rule.plain_allowed.then_some("plain"));
    methods.extend((!rule.challenge_required).then_some("none"));
    let assumed = rule.assume_method.map(CodeChallengeMethod::as_str);
    [
        ("mode", rule.mode.as_str().to_owned()),
        ("methods", methods.join(", ")),
        ("assume_method", assumed.unwrap_or("none").to_owned()),
        ("response_types", types.join(", ")),
        ("response_modes", modes.join(", ")),
    ]
}

/// All explanations, for a terminal.
pub(super) fn text(all: &[Explained<'_>]) -> String {
    all.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn one(explained: &Explained<'_>) -> String {
    let mut text = head(explained);
    if let Some(found) = explained.found() {
        checks(&mut text, found);
    }
    // Writing to a string cannot fail.
    let _ = write!(text, "  {}", explained.decision());
    if let Some(violation) = explained.violation() {
        let _ = write!(text, ": {}", violation.label());
    }
    if let Some(why) = explained.because() {
        let _ = write!(text, ": {why}");
    }
    text.push('\n');
    let found = explained.found();
    if let Some(hint) = found.and_then(|found| found.hint) {
        let _ = writeln!(text, "  hint {}: {}", hint.code(), hint.sentence());
    }
    if let Some(open) = found.and_then(|found| found.open) {
        let _ = writeln!(text, "  {open}");
    }
    text
}

/// The request, and the rule in force for it.
fn head(explained: &Explained<'_>) -> String {
    let Shown { method, host } = &explained.shown;
    let path = explained
        .preview
        .as_ref()
        .map_or("a request", |it| &it.path);
    let mut text = format!("{} {} at {}\n", shown(method), shown(path), shown(host));
    let Ok(preview) = &explained.preview else {
        text += "  no upstream; --upstream NAME judges the request as one to that upstream\n";
        return text;
    };
    let (name, found) = (shown(&preview.upstream.name), &preview.found);
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "  upstream {name}, endpoint {}",
        endpoint(preview.endpoint)
    );
    if let Some(client) = &found.client {
        let _ = writeln!(text, "  client {}", shown(client.as_str()));
    }
    if let Some(rule) = found.rule {
        let parts = allowed(rule).map(|(name, value)| format!("{name} {value}"));
        let _ = writeln!(text, "  rule today: {}", parts.join("; "));
    }
    for (name, value) in &found.parameters {
        let _ = writeln!(text, "    {} = {}", shown(name), shown(value));
    }
    text
}

fn checks(text: &mut String, found: &Found<'_>) {
    for (check, verdict) in &found.checks {
        let (_, title, specification) = names(*check);
        // Writing to a string cannot fail.
        let Err(violation) = verdict else {
            let _ = writeln!(text, "  ok     {title} ({specification})");
            continue;
        };
        let label = violation.label();
        let _ = writeln!(
            text,
            "  wrong  {title} ({specification}): {label}: {}",
            reason(violation)
        );
        let change = manual::part(label, "What to change").unwrap_or_default();
        for line in change.lines() {
            let _ = writeln!(text, "         {line}");
        }
    }
}

/// All explanations, as one JSON document.
pub(super) fn json(all: &[Explained<'_>]) -> String {
    let requests: Vec<Value> = all.iter().map(value).collect();
    json!({ "requests": requests }).to_string() + "\n"
}

fn value(explained: &Explained<'_>) -> Value {
    let preview = explained.preview.as_ref().ok();
    let found = explained.found();
    let parameters = found.map(|found| {
        let pairs = found.parameters.iter();
        pairs
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect::<Vec<_>>()
    });
    let rule = found.and_then(|found| found.rule).map(|rule| {
        let pairs = allowed(rule).map(|(name, value)| (name.to_owned(), Value::from(value)));
        Value::from(serde_json::Map::from_iter(pairs))
    });
    let checks = found.map(|found| found.checks.iter().map(checked).collect::<Vec<_>>());
    let hint = found.and_then(|found| found.hint);
    json!({
        "method": explained.shown.method,
        "host": explained.shown.host,
        "path": preview.map(|it| &it.path),
        "upstream": preview.map(|it| &it.upstream.name),
        "endpoint": preview.map(|it| endpoint(it.endpoint)),
        "client": found.and_then(|it| it.client.as_ref()).map(ClientId::as_str),
        "rule": rule,
        "parameters": parameters,
        "checks": checks,
        "decision": explained.decision(),
        "refused_under_enforcement": explained.is_refused(),
        "violation": explained.violation().map(Violation::label),
        "reason": explained.violation().map(reason).or_else(|| explained.because()),
        "hint": hint.map(|hint| json!({ "code": hint.code(), "sentence": hint.sentence() })),
        "open": found.and_then(|it| it.open),
    })
}

fn checked((check, verdict): &(Check, Result<(), Violation>)) -> Value {
    let (name, _, specification) = names(*check);
    let violation = verdict.as_ref().err();
    let label = violation.map(Violation::label);
    json!({
        "check": name,
        "specification": specification,
        "violation": label,
        "reason": violation.map(reason),
        "what_to_change": label.and_then(|label| manual::part(label, "What to change")),
    })
}
