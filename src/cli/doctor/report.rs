//! The findings as text, as JSON, and as SARIF 2.1.0.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::finding::{ALL, Finding, Kind, Part, Scale, Severity};
use super::login::Verdict;

/// What was found at one upstream.
#[derive(Debug, Clone)]
pub(super) struct Diagnosis {
    pub(super) upstream: String,
    pub(super) url: String,
    pub(super) verdict: Verdict,
    pub(super) part: Part,
    /// Why the upstream could not be asked, or not completely.
    pub(super) failure: Option<String>,
}

impl Diagnosis {
    /// Whether something is worse than a note.
    pub(super) fn is_bad(&self) -> bool {
        let mut findings = self.part.findings.iter();
        findings.any(|finding| finding.kind.severity > Severity::Note)
    }
}

/// The severest findings first.
fn sorted(part: &Part) -> Vec<&Finding> {
    let mut findings: Vec<&Finding> = part.findings.iter().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.kind.severity));
    findings
}

pub(super) fn text(diagnoses: &[Diagnosis]) -> String {
    let mut lines = Vec::new();
    for diagnosis in diagnoses {
        let Diagnosis {
            upstream,
            url,
            verdict,
            part,
            failure,
        } = diagnosis;
        let pkce = match verdict {
            Verdict::Required => "the server requires PKCE of this client",
            Verdict::Optional => "the server enforces PKCE only if the client uses it",
            Verdict::Ignored => "the server does not enforce PKCE",
            Verdict::Unknown => "not known whether the server enforces PKCE",
        };
        lines.push(format!("{upstream}: {url}: {pkce}"));
        for Finding { kind, evidence } in sorted(part) {
            lines.push(format!(
                "\n{} {}: {}",
                graded(kind.severity),
                kind.code,
                kind.title
            ));
            lines.push(format!("  evidence: {evidence}"));
            lines.push(format!("  help: {} ({})", kind.remediation, kind.clause));
        }
        lines.push(String::new());
        lines.extend(part.observed.iter().map(|it| format!("observed: {it}")));
        lines.extend(part.skipped.iter().map(|it| format!("not asked: {it}")));
        lines.extend(failure.iter().map(|it| format!("failed: {it}")));
        lines.push(String::new());
    }
    lines.join("\n")
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
    let findings = sorted(&diagnosis.part).into_iter().map(|finding| {
        let Scale { name, cvss, .. } = finding.kind.severity.scale();
        json!({
            "code": finding.kind.code,
            "severity": name,
            "cvss": cvss.map(|(low, high)| json!({ "low": score(low), "high": score(high) })),
            "title": finding.kind.title,
            "evidence": finding.evidence,
            "remediation": finding.kind.remediation,
            "clause": finding.kind.clause,
        })
    });
    json!({
        "name": diagnosis.upstream,
        "url": diagnosis.url,
        "pkce": diagnosis.verdict.as_str(),
        "findings": findings.collect::<Vec<_>>(),
        "observed": diagnosis.part.observed,
        "not_asked": diagnosis.part.skipped,
        "failure": diagnosis.failure,
    })
}

/// A score as a number.
fn score(text: &str) -> Value {
    text.parse::<f64>().map_or(Value::Null, Value::from)
}

/// `file`: the configuration, as the place of each result.
pub(super) fn sarif(diagnoses: &[Diagnosis], file: &str) -> String {
    let rules = ALL.iter().map(|kind| rule(kind));
    let results = diagnoses.iter().flat_map(|diagnosis| {
        let findings = sorted(&diagnosis.part).into_iter();
        findings.map(|finding| result(diagnosis, finding, file))
    });
    let failures = diagnoses.iter().filter_map(|it| it.failure.as_ref());
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
    let mut rule = json!({
        "id": kind.code,
        "shortDescription": { "text": kind.title },
        "fullDescription": { "text": format!("{} ({})", kind.title, kind.clause) },
        "help": { "text": format!("{} ({})", kind.remediation, kind.clause) },
        "defaultConfiguration": { "level": level },
    });
    if let (Some((_, high)), Some(rule)) = (cvss, rule.as_object_mut()) {
        let properties = json!({ "security-severity": high, "tags": ["security"] });
        rule.insert("properties".to_owned(), properties);
    }
    rule
}

fn result(diagnosis: &Diagnosis, finding: &Finding, file: &str) -> Value {
    let identity = json!([diagnosis.upstream, finding.kind.code, finding.evidence]).to_string();
    json!({
        "ruleId": finding.kind.code,
        "level": finding.kind.severity.scale().level,
        "message": { "text": format!("{} Evidence: {}", finding.kind.title, finding.evidence) },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": uri(file) },
                "region": { "startLine": 1 },
            },
            "logicalLocations": [{ "name": diagnosis.upstream, "kind": "resource" }],
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
    use super::super::finding::{PKCE_OPTIONAL, S256_NOT_ADVERTISED};
    use super::*;

    fn diagnosis() -> Diagnosis {
        let mut part = Part::default();
        part.find(&S256_NOT_ADVERTISED, "nothing");
        part.find(&PKCE_OPTIONAL, "a token");
        part.see("Seen.");
        part.skip("Skipped.");
        Diagnosis {
            upstream: "legacy".to_owned(),
            url: "https://10.0.0.5".to_owned(),
            verdict: Verdict::Optional,
            part,
            failure: None,
        }
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
        diagnosis.part.findings.pop();
        assert!(!diagnosis.is_bad());
    }

    #[test]
    fn sarif_has_a_rule_for_every_result_and_tells_failures() {
        let mut failed = diagnosis();
        failed.failure = Some("cannot connect".to_owned());
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
