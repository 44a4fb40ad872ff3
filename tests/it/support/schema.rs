//! Validates files with a JSON Schema, by a validator of another project.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::fixture::HINT;
use super::tree::root;

/// The errors in each file, TOML or JSON: place and keyword.
pub(crate) fn errors(schema: &[u8], files: &[&str]) -> Vec<Vec<String>> {
    let python = root().join("tests/servers/.venv/bin/python");
    assert!(python.exists(), "python; {HINT}");
    let mut validator = Command::new(python)
        .current_dir(root())
        .arg("tests/config/validate.py")
        .args(files)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the validator starts");
    let mut input = validator.stdin.take().expect("stdin is a pipe");
    input.write_all(schema).expect("the schema is read");
    drop(input);
    let output = validator.wait_with_output().expect("the validator ends");
    assert!(output.status.success(), "the validator ends well");
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty());
    let found: Vec<_> = lines
        .map(|line| serde_json::from_slice(line).expect("a list of errors"))
        .collect();
    assert_eq!(found.len(), files.len());
    found
}
