//! The review in SARIF 2.1.0 (OASIS), which code scanning and dashboards read.

use serde_json::{Value, json};

use super::names::name;
use crate::admin::review::{Review, Reviewed, State, Upstream, Verdict};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

pub(super) fn sarif(review: &Review) -> String {
    let results: Vec<Value> = review.upstreams.iter().flat_map(results).collect();
    let document = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "pkce-gate",
                "version": review.version,
                "rules": [
                    rule(
                        "control-not-met",
                        "error",
                        "PKCE is not required",
                        "The gate lets some clients sign in without PKCE (RFC 9700 section 2.1.1).",
                        "The message says which setting to change. In the manual: Policy, and Rollout.",
                    ),
                    rule(
                        "client-would-break",
                        "warning",
                        "A client would break under enforcement",
                        "The last sign-in of the client, or one of the last day, would be refused if its mode were enforce.",
                        "The message has the violations. In the manual: Violations has a section for each of them, and Review one for \
                         verdicts.",
                    ),
                    rule(
                        "client-uncertain",
                        "note",
                        "A client cannot be judged for certain",
                        "The server accepted codes of which the gate cannot tell to which sign-in they belong.",
                        "In the manual: Review, section Uncertain, has the causes.",
                    ),
                    rule(
                        "server-initiated-sign-in",
                        "warning",
                        "The server sends codes without a request",
                        "Enforcement refuses codes whose sign-in began without an authorization request (RFC 9700 section 2.1.1 needs one).",
                        "Let the application begin the sign-in itself. In the manual: Review, section Server-initiated.",
                    ),
                ],
            } },
            "results": results,
        }],
    });
    format!("{document:#}\n")
}

/// With everything that GitHub's code scanning demands of a rule.
fn rule(id: &str, level: &str, short: &str, full: &str, help: &str) -> Value {
    json!({
        "id": id,
        "shortDescription": { "text": short },
        "fullDescription": { "text": full },
        "help": { "text": help },
        "defaultConfiguration": { "level": level },
    })
}

fn results(upstream: &Upstream) -> Vec<Value> {
    let control = &upstream.control;
    let about_control = (control.state != State::Met).then(|| {
        let text = format!(
            "{}: {} ({}). {}",
            upstream.name, control.name, control.state, control.remediation
        );
        result("control-not-met", "error", &text, &upstream.name, None)
    });
    let rows = upstream.clients.iter();
    let rows = rows.filter_map(|client| of_row(&upstream.name, client));
    about_control.into_iter().chain(rows).collect()
}

/// The result about a row. `None`: its verdict needs none.
fn of_row(upstream: &str, client: &Reviewed) -> Option<Value> {
    let (name, why) = (name(client), &client.why);
    let (rule, level, text) = match client.verdict {
        Verdict::WouldBreak => (
            "client-would-break",
            "warning",
            format!(
                "{upstream}: client {name} would break: {why}. Sign-ins in 7 days: {}, failing under enforcement: {}.",
                client.sign_ins, client.failing
            ),
        ),
        Verdict::Uncertain => (
            "client-uncertain",
            "note",
            format!("{upstream}: {name} cannot be judged for certain: {why}."),
        ),
        Verdict::ServerInitiated => (
            "server-initiated-sign-in",
            "warning",
            format!("{upstream}: {name}: {why}."),
        ),
        Verdict::Exempt | Verdict::CouldBeRequired | Verdict::Ready | Verdict::NotSeen => {
            return None;
        }
    };
    Some(result(rule, level, &text, upstream, Some(client)))
}

/// `client`: the client that the result is about, besides the upstream.
fn result(rule: &str, level: &str, text: &str, upstream: &str, client: Option<&Reviewed>) -> Value {
    let place = match client {
        Some(client) => format!("{upstream}/{}", name(client)),
        None => upstream.to_owned(),
    };
    // Two long names may look the same, but they are two results.
    let identity = match client {
        Some(client) => json!([upstream, client.kind, client.client_id]).to_string(),
        None => json!([upstream]).to_string(),
    };
    json!({
        "ruleId": rule,
        "level": level,
        "message": { "text": text },
        "locations": [{
            // Code scanning shows a result only with a file: the one in which the mode is written.
            "physicalLocation": {
                "artifactLocation": { "uri": "config.toml" },
                "region": { "startLine": 1 },
            },
            "logicalLocations": [{ "fullyQualifiedName": place, "kind": "resource" }],
        }],
        "partialFingerprints": { "identity/v1": identity },
    })
}
