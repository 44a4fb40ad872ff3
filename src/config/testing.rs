//! Helpers for the tests of this module: each problem of a configuration is compared as one line.

use std::cell::RefCell;
use std::io;
use std::path::Path;

use super::context::Context;
use super::{Checked, Config, Problems, Severity, load_with};
use crate::clock::date;

/// An upstream with the required keys only.
pub(super) const UPSTREAM: &str = "\
[[upstream]]
url = \"http://127.0.0.1:9000\"
[upstream.endpoints]
authorization = [\"/authorize\"]
token = [\"/token\"]
";

pub(super) const TODAY: &str = "2026-06-01";

/// Loads a text with two cores. The name of a file determines its contents.
pub(super) fn load(text: &str) -> Result<Checked, Problems> {
    let context = Context {
        today: date::parse(TODAY).unwrap(),
        directory: Path::new("etc"),
        cores: 2,
        files: RefCell::default(),
        reader: |path| match path.to_str() {
            Some("etc/empty.pem") => Ok(Vec::new()),
            Some("etc/secret") => Ok(b"canary\n".to_vec()),
            Some("etc/other-seal") => Ok(b"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=".to_vec()),
            Some("etc/seal" | "etc/same-seal") => {
                Ok(b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n".to_vec())
            }
            Some("etc/ca.pem" | "/ca.pem") => {
                Ok(b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n".to_vec())
            }
            _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
        },
    };
    load_with(&context, text, "etc/config.toml")
}

/// The configuration of a valid text.
pub(super) fn config(text: &str) -> Config {
    load(text)
        .unwrap_or_else(|problems| panic!("{problems}"))
        .config
}

/// All problems of a text, as `line:column error: message | label | help`.
pub(super) fn problems(text: &str) -> Vec<String> {
    let problems = load(text).map_or_else(|problems| problems, |checked| checked.warnings);
    let shown = problems.iter().map(|problem| {
        let before = &text.as_bytes()[..problem.span.start];
        let line = before.split(|byte| *byte == b'\n').count();
        let column = before.rsplit(|byte| *byte == b'\n').next().unwrap().len() + 1;
        let severity = match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        format!(
            "{line}:{column} {severity}: {} | {} | {}",
            problem.message, problem.label, problem.help
        )
    });
    shown.collect()
}

/// Checks the problems of a text before a valid upstream.
pub(super) fn check(before: &str, expected: &[&str]) {
    check_text(&format!("{before}\n{UPSTREAM}"), expected);
}

/// Checks the problems of `[upstream.…]` tables after a valid upstream; line numbers are relative to them.
pub(super) fn check_upstream(after: &str, expected: &[&str]) {
    let offset = UPSTREAM.lines().count();
    let found: Vec<String> = problems(&format!("{UPSTREAM}{after}"))
        .into_iter()
        .map(|problem| {
            let (line, rest) = problem.split_once(':').unwrap();
            let line: usize = line.parse().unwrap();
            format!("{}:{rest}", line.saturating_sub(offset))
        })
        .collect();
    assert_eq!(found, expected, "{after}");
}

/// Checks the problems of a complete text.
pub(super) fn check_text(text: &str, expected: &[&str]) {
    assert_eq!(problems(text), expected, "{text}");
}
