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
                        "The last sign-in of the client would be refused if its mode were enforce, or one of the last day would.",
                        "The message has the violations. In the manual: Violations has a section for each of them, and Review one for \
                         verdicts.",
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
    let broken = upstream.clients.iter();
    let broken = broken.filter(|client| client.verdict == Verdict::WouldBreak);
    let broken = broken.map(|client| {
        let text = format!(
            "{}: client {} would break: {}. {} of its {} sign-ins in 7 days fail under enforcement.",
            upstream.name,
            name(client),
            client.why,
            client.failing,
            client.sign_ins
        );
        result("client-would-break", "warning", &text, &upstream.name, Some(client))
    });
    about_control.into_iter().chain(broken).collect()
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
