//! The alert rules in `deploy/prometheus`: their own tests pass, and they name only metrics that the gate has.

use std::collections::BTreeSet;
use std::fs;

use crate::support::fixture::promtool;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus");

#[test]
fn promtool_accepts_the_rules_and_their_tests_pass() {
    for arguments in [
        ["check", "rules", "alerts.yaml"],
        ["test", "rules", "alerts.test.yaml"],
    ] {
        let mut promtool = promtool();
        let told = promtool.args(arguments).current_dir(FOLDER).output();
        let told = told.expect("promtool runs");
        let said = [told.stdout, told.stderr].concat();
        let said = String::from_utf8(said).expect("text");
        assert!(told.status.success(), "{said}");
        assert!(
            said.contains("SUCCESS") && !said.contains("FAILED"),
            "{said}"
        );
    }
}

/// The manual lists every metric; another test compares it with the gate.
#[test]
fn the_rules_name_only_metrics_of_the_manual() {
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/src/operations.md");
    let manual = fs::read_to_string(manual).expect("the manual");
    let rules = fs::read_to_string(format!("{FOLDER}/alerts.yaml")).expect("the rules");
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let named: BTreeSet<&str> = rules
        .split(|letter| !is_name(letter))
        .filter(|word| word.starts_with("pkce_gate_"))
        .collect();
    assert!(named.len() >= 8, "{named:?}");
    for name in named {
        assert!(manual.contains(&format!("| `{name}` |")), "{name}");
    }
}
