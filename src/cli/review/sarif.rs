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
                    rule("control-not-met", "PKCE is not required", "error"),
                    rule("client-would-break", "A client would break under enforcement", "warning"),
                ],
            } },
            "results": results,
        }],
    });
    format!("{document:#}\n")
}

fn rule(id: &str, text: &str, level: &str) -> Value {
    json!({
        "id": id,
        "shortDescription": { "text": text },
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
    json!({
        "ruleId": rule,
        "level": level,
        "message": { "text": text },
        "locations": [{ "logicalLocations": [{ "fullyQualifiedName": place, "kind": "resource" }] }],
        "partialFingerprints": { "place/v1": place },
    })
}
