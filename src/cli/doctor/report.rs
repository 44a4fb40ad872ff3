//! The findings as text, as JSON, and as SARIF 2.1.0.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::finding::{ALL, Finding, Kind, Scale, Severity};
use super::gate::Gate;
use super::login::Verdict;
use super::side::{Side, Standing};

/// What was found at one upstream.
#[derive(Debug, Clone)]
pub(super) struct Diagnosis {
    pub(super) upstream: String,
    /// The upstream itself.
    pub(super) server: Side,
    /// The same behind the gate, if that was asked.
    pub(super) gate: Option<Gate>,
}

impl Diagnosis {
    /// Whether something is worse than a note. What the gate closes does not count.
    pub(super) fn is_bad(&self) -> bool {
        match &self.gate {
            Some(gate) => gate.remaining(&self.server).next().is_some(),
            None => self.server.bad().next().is_some(),
        }
    }

    /// Why something could not be asked, or not completely.
    pub(super) fn failures(&self) -> impl Iterator<Item = &String> {
        let gate = self
            .gate
            .as_ref()
            .and_then(|gate| gate.side.failure.as_ref());
        self.server.failure.iter().chain(gate)
    }
}

pub(super) fn text(diagnoses: &[Diagnosis]) -> String {
    let mut lines = Vec::new();
    for diagnosis in diagnoses {
        let Diagnosis {
            upstream,
            server,
            gate,
        } = diagnosis;
        let pkce = match server.verdict {
            Verdict::Required => "the server requires PKCE of this client",
            Verdict::Optional => "the server enforces PKCE only if the client uses it",
            Verdict::Ignored => "the server does not enforce PKCE",
            Verdict::Unknown => "not known whether the server enforces PKCE",
        };
        lines.push(format!("{upstream}: {}: {pkce}", server.url));
        if let Some(gate) = gate {
            lines.push(behind(upstream, gate));
            lines.extend(columns(server, gate));
        }
        let gate = gate.as_ref().map(|gate| &gate.side);
        lines.extend(findings(server, gate));
        lines.push(String::new());
        lines.extend(remarks(server, ""));
        if let Some(gate) = gate {
            lines.push(format!("\nbehind the gate at {}:", gate.url));
            lines.extend(findings(gate, None));
            lines.push(String::new());
            lines.extend(remarks(gate, "behind the gate, "));
        }
        lines.push(String::new());
    }
    lines.join("\n")
}

fn behind(upstream: &str, gate: &Gate) -> String {
    let pkce = match gate.side.verdict {
        Verdict::Required => "PKCE is required of this client",
        Verdict::Optional => "PKCE is enforced only if the client uses it",
        Verdict::Ignored => "PKCE is not enforced",
        Verdict::Unknown => "not known whether PKCE is enforced",
    };
    let url = &gate.side.url;
    format!("{upstream}: behind the gate at {url}: {pkce}")
}

/// A table of what the server does by itself, and what it does behind the gate.
fn columns(server: &Side, gate: &Gate) -> Vec<String> {
    let mut kinds: Vec<&'static Kind> = Vec::new();
    for finding in server.sorted().into_iter().chain(gate.side.sorted()) {
        if !kinds.contains(&finding.kind) {
            kinds.push(finding.kind);
        }
    }
    if kinds.is_empty() {
        return Vec::new();
    }
    let row = |code: &str, by_itself: &str, behind: &str| {
        format!("  {code:<30} {by_itself:<10} {behind}")
    };
    let mut lines = vec![
        String::new(),
        row("finding", "by itself", "behind the gate"),
    ];
    lines.extend(kinds.into_iter().map(|kind| {
        let severity = kind.severity.scale().name;
        let by_itself = if server.part.has(kind) { severity } else { "-" };
        let behind = match gate.side.standing(kind) {
            Standing::Closed => "closed by the gate".to_owned(),
            Standing::Remains => format!("{severity}: remains"),
            Standing::NotAsked => "not asked".to_owned(),
        };
        row(kind.code, by_itself, &behind)
    }));
    lines
}

/// `gate`: the other side, if these are the findings at the upstream itself.
fn findings(side: &Side, gate: Option<&Side>) -> Vec<String> {
    let mut lines = Vec::new();
    for Finding { kind, evidence } in side.sorted() {
        lines.push(format!(
            "\n{} {}: {}",
            graded(kind.severity),
            kind.code,
            kind.title
        ));
        lines.push(format!("  evidence: {evidence}"));
        lines.extend(gate.map(|gate| {
            let told = match gate.standing(kind) {
                Standing::Closed => "closed by the gate",
                Standing::Remains => "it remains",
                Standing::NotAsked => "not asked",
            };
            format!("  behind the gate: {told}")
        }));
        lines.push(format!("  help: {} ({})", kind.remediation, kind.clause));
    }
    lines
}

/// `place`: the beginning of each line.
fn remarks(side: &Side, place: &str) -> Vec<String> {
    let Side { part, failure, .. } = side;
    let observed = part.observed.iter();
    let skipped = part.skipped.iter();
    observed
        .map(|it| format!("{place}observed: {it}"))
        .chain(skipped.map(|it| format!("{place}not asked: {it}")))
        .chain(failure.iter().map(|it| format!("{place}failed: {it}")))
        .collect()
}

/// A severity with its range of scores.
fn graded(severity: Severity) -> String {
    let Scale { name, cvss, .. } = severity.scale();
    match cvss {
        Some((low, high)) => format!("{name} (CVSS {low}-{high})"),
        None => name.to_owned(),
    }
}

pub(super) fn json(diagnoses: &[Diagnosis]) -> String {
    let upstreams: Vec<Value> = diagnoses.iter().map(upstream).collect();
    pretty(&json!({
        "tool": "pkce-gate doctor",
        "version": env!("CARGO_PKG_VERSION"),
        "upstreams": upstreams,
    }))
}

fn upstream(diagnosis: &Diagnosis) -> Value {
    let Diagnosis {
        upstream,
        server,
        gate,
    } = diagnosis;
    let behind = |gate: &Gate| {
        let mode = json!(gate.mode.as_str());
        with(of_side(&gate.side, None), "mode", mode)
    };
    let mut document = json!({ "name": upstream });
    let side = of_side(server, gate.as_ref().map(|gate| &gate.side));
    for (name, member) in side.as_object().into_iter().flatten() {
        document = with(document, name, member.clone());
    }
    let gate = gate.as_ref().map_or(Value::Null, behind);
    with(document, "gate", gate)
}

/// Adds a member to an object.
fn with(mut object: Value, name: &str, member: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), member);
    }
    object
}

/// `gate`: the other side, if this is the upstream itself and the gate was asked as well.
fn of_side(side: &Side, gate: Option<&Side>) -> Value {
    let findings = side.sorted().into_iter().map(|finding| {
        let Scale { name, cvss, .. } = finding.kind.severity.scale();
        let document = json!({
            "code": finding.kind.code,
            "severity": name,
            "cvss": cvss.map(|(low, high)| json!({ "low": score(low), "high": score(high) })),
            "title": finding.kind.title,
            "evidence": finding.evidence,
            "remediation": finding.kind.remediation,
            "clause": finding.kind.clause,
        });
        let standing = gate.map(|gate| json!(word(gate.standing(finding.kind))));
        match standing {
            Some(standing) => with(document, "behind_the_gate", standing),
            None => document,
        }
    });
    json!({
        "url": side.url,
        "pkce": side.verdict.as_str(),
        "findings": findings.collect::<Vec<_>>(),
        "observed": side.part.observed,
        "not_asked": side.part.skipped,
        "failure": side.failure,
    })
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Closed => "closed",
        Standing::Remains => "remains",
        Standing::NotAsked => "not_asked",
    }
}

/// A score as a number.
fn score(text: &str) -> Value {
    text.parse::<f64>().map_or(Value::Null, Value::from)
}

/// `file`: the configuration, as the place of each result.
pub(super) fn sarif(diagnoses: &[Diagnosis], file: &str) -> String {
    let rules = ALL.iter().map(|kind| rule(kind));
    let results = diagnoses.iter().flat_map(|it| results(it, file));
    let failures = diagnoses.iter().flat_map(Diagnosis::failures);
    let failures = failures.map(|it| json!({ "level": "error", "message": { "text": it } }));
    let failures: Vec<Value> = failures.collect();
    pretty(&json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "pkce-gate doctor",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.collect::<Vec<_>>(),
            } },
            "invocations": [{
                "executionSuccessful": failures.is_empty(),
                "toolExecutionNotifications": failures,
            }],
            "results": results.collect::<Vec<_>>(),
        }],
    }))
}

/// With everything that GitHub's code scanning demands of a rule. It sorts a score into the same severities, and reads it only if
/// the rule has the tag `security`.
fn rule(kind: &Kind) -> Value {
    let Scale { cvss, level, .. } = kind.severity.scale();
    let rule = json!({
        "id": kind.code,
        "shortDescription": { "text": kind.title },
        "fullDescription": { "text": format!("{} ({})", kind.title, kind.clause) },
        "help": { "text": format!("{} ({})", kind.remediation, kind.clause) },
        "defaultConfiguration": { "level": level },
    });
    let properties = |high| json!({ "security-severity": high, "tags": ["security"] });
    match cvss {
        Some((_, high)) => with(rule, "properties", properties(high)),
        None => rule,
    }
}

/// The findings at the upstream itself, and those behind the gate. What the gate closes is suppressed, so that
/// it does not count.
fn results(diagnosis: &Diagnosis, file: &str) -> Vec<Value> {
    let name = &diagnosis.upstream;
    let gate = diagnosis.gate.as_ref().map(|gate| &gate.side);
    let findings = diagnosis.server.sorted().into_iter();
    let direct = findings.map(|finding| {
        let result = result(name, finding, "", file);
        let is_closed = |gate: &Side| gate.standing(finding.kind) == Standing::Closed;
        if !gate.is_some_and(is_closed) {
            return result;
        }
        let suppressions = json!([{
            "kind": "external",
            "status": "accepted",
            "justification": "closed by the gate",
        }]);
        with(result, "suppressions", suppressions)
    });
    let behind = gate.into_iter().flat_map(Side::sorted);
    let place = format!("{name}/behind the gate");
    let behind = behind.map(|finding| result(&place, finding, "Behind the gate: ", file));
    direct.chain(behind).collect()
}

/// `place`: the upstream, or what is behind the gate.
fn result(place: &str, finding: &Finding, prefix: &str, file: &str) -> Value {
    let identity = json!([place, finding.kind.code, finding.evidence]).to_string();
    let text = format!(
        "{prefix}{} Evidence: {}",
        finding.kind.title, finding.evidence
    );
    json!({
        "ruleId": finding.kind.code,
        "level": finding.kind.severity.scale().level,
        "message": { "text": text },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": uri(file) },
                "region": { "startLine": 1 },
            },
            "logicalLocations": [{ "name": place, "kind": "resource" }],
        }],
        "partialFingerprints": { "identity/v1": identity },
    })
}

/// A path as a URI reference (RFC 3986 section 4.1): absolute with a scheme (RFC 8089), as SARIF wants it.
fn uri(path: &str) -> String {
    let scheme = if path.starts_with('/') { "file://" } else { "" };
    let mut uri = scheme.to_owned();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

fn pretty(value: &Value) -> String {
    // A value without maps of other keys than strings can always be written.
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::super::finding::{PKCE_OPTIONAL, Part, S256_NOT_ADVERTISED, TOKEN_BY_GET};
    use super::*;
    use crate::policy::Mode;

    fn diagnosis() -> Diagnosis {
        let mut part = Part::default();
        part.find(&S256_NOT_ADVERTISED, "nothing");
        part.find(&PKCE_OPTIONAL, "a token");
        part.see("Seen.");
        part.skip("Skipped.");
        Diagnosis {
            upstream: "legacy".to_owned(),
            server: Side {
                url: "https://10.0.0.5".to_owned(),
                verdict: Verdict::Optional,
                part,
                failure: None,
            },
            gate: None,
        }
    }

    /// The gate closes `pkce_optional`, and takes token requests by GET.
    fn behind_a_gate() -> Diagnosis {
        let mut diagnosis = diagnosis();
        let mut part = Part::default();
        part.clear(&PKCE_OPTIONAL);
        part.find(&TOKEN_BY_GET, "a token");
        let side = Side {
            url: "https://login.example".to_owned(),
            verdict: Verdict::Required,
            part,
            failure: None,
        };
        diagnosis.gate = Some(Gate::new(side, Mode::Enforce, &diagnosis.server));
        diagnosis
    }

    #[test]
    fn the_text_has_a_column_for_each_side() {
        let text = text(&[behind_a_gate()]);
        let expected = "\
legacy: https://10.0.0.5: the server enforces PKCE only if the client uses it
legacy: behind the gate at https://login.example: PKCE is required of this client

  finding                        by itself  behind the gate
  pkce_optional                  high       closed by the gate
  s256_not_advertised            note       not asked
  token_by_get                   -          low: remains

high (CVSS 7.0-8.9) pkce_optional: A client that does not use PKCE gets a token.
  evidence: a token
  behind the gate: closed by the gate
";
        assert!(text.starts_with(expected), "{text}");
        let (_, rest) = text
            .split_once("\nbehind the gate at https://login.example:\n")
            .unwrap();
        assert!(
            rest.starts_with("\nlow (CVSS 0.1-3.9) token_by_get: "),
            "{rest}"
        );
        let end = "\n\nbehind the gate, observed: mode is \"enforce\" for this client.\n";
        assert!(rest.ends_with(end), "{rest}");
    }

    #[test]
    fn what_the_gate_closes_is_told_to_other_programs() {
        let mut diagnosis = behind_a_gate();
        let document: Value = serde_json::from_str(&json(&[diagnosis.clone()])).unwrap();
        let upstream = &document["upstreams"][0];
        assert_eq!(upstream["findings"][0]["behind_the_gate"], "closed");
        assert_eq!(upstream["findings"][1]["behind_the_gate"], "not_asked");
        assert_eq!(upstream["gate"]["mode"], "enforce");
        assert_eq!(upstream["gate"]["pkce"], "required");
        assert_eq!(upstream["gate"]["findings"][0]["code"], "token_by_get");
        let sarif: Value =
            serde_json::from_str(&sarif(&[diagnosis.clone()], "config.toml")).unwrap();
        let results = &sarif["runs"][0]["results"];
        assert_eq!(results[0]["suppressions"][0]["kind"], "external");
        assert_eq!(results[1]["suppressions"], Value::Null);
        let text = results[2]["message"]["text"].as_str().unwrap();
        assert!(text.starts_with("Behind the gate: "), "{text}");
        assert!(diagnosis.is_bad(), "token_by_get remains");
        diagnosis.gate.as_mut().unwrap().side.part.findings.clear();
        assert!(!diagnosis.is_bad(), "the gate closes the rest");
    }

    #[test]
    fn the_text_begins_with_the_severest_finding() {
        let text = text(&[diagnosis()]);
        let expected = "\
legacy: https://10.0.0.5: the server enforces PKCE only if the client uses it

high (CVSS 7.0-8.9) pkce_optional: A client that does not use PKCE gets a token.
  evidence: a token
";
        assert!(text.starts_with(expected), "{text}");
        let (_, rest) = text.split_once("\nnote s256_not_advertised: ").unwrap();
        assert!(
            rest.ends_with("\nobserved: Seen.\nnot asked: Skipped.\n"),
            "{rest}"
        );
    }

    #[test]
    fn json_has_the_range_of_scores_of_each_finding() {
        let json: Value = serde_json::from_str(&json(&[diagnosis()])).unwrap();
        let findings = &json["upstreams"][0]["findings"];
        assert_eq!(findings[0]["severity"], "high");
        assert_eq!(findings[0]["cvss"], json!({ "low": 7.0, "high": 8.9 }));
        assert_eq!(findings[1]["severity"], "note");
        assert_eq!(findings[1]["cvss"], Value::Null);
    }

    #[test]
    fn only_notes_are_good_enough() {
        let mut diagnosis = diagnosis();
        assert!(diagnosis.is_bad());
        diagnosis.server.part.findings.pop();
        assert!(!diagnosis.is_bad());
    }

    #[test]
    fn sarif_has_a_rule_for_every_result_and_tells_failures() {
        let mut failed = diagnosis();
        failed.server.failure = Some("cannot connect".to_owned());
        let sarif: Value = serde_json::from_str(&sarif(&[failed], "my gate/config.toml")).unwrap();
        let run = &sarif["runs"][0];
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        for result in run["results"].as_array().unwrap() {
            assert!(rules.iter().any(|rule| rule["id"] == result["ruleId"]));
            let place = &result["locations"][0];
            assert_eq!(
                place["physicalLocation"]["artifactLocation"]["uri"],
                "my%20gate/config.toml"
            );
            assert_eq!(place["logicalLocations"][0]["name"], "legacy");
        }
        assert_eq!(run["results"].as_array().unwrap().len(), 2);
        let properties = |id: &str| {
            let mut rules = rules.iter();
            &rules.find(|rule| rule["id"] == id).unwrap()["properties"]
        };
        assert_eq!(properties("pkce_optional")["security-severity"], "8.9");
        assert_eq!(properties("pkce_optional")["tags"][0], "security");
        assert_eq!(properties("state_limit")["security-severity"], "3.9");
        assert_eq!(*properties("s256_not_advertised"), Value::Null);
        assert_eq!(run["invocations"][0]["executionSuccessful"], false);
        assert_eq!(uri("/etc/my gate"), "file:///etc/my%20gate");
    }
}
