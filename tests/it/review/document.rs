//! The review as other programs read it: each form is valid by its schema.

use std::fs;

use serde_json::Value;

use super::page::{Folder, busy};
use super::{all_kinds, rig};
use crate::support::gate::{self, file, scratch};
use crate::support::rig::Rig;
#[cfg(target_arch = "x86_64")]
use crate::support::sarif::complaints;
use crate::support::schema;

const SCHEMA: &str = include_str!("../../../docs/src/review.schema.json");

/// Gates with all that a review can contain, and with as little as possible.
fn rigs() -> [(Rig, Option<Folder>); 3] {
    let (busy, folder) = busy();
    let some = rig();
    all_kinds(&some);
    [(busy, Some(folder)), (some, None), (Rig::new(), None)]
}

/// With a schema that allows no member that it does not describe, so that every member is in the manual.
#[test]
fn the_document_is_valid_by_the_schema_in_the_manual() {
    let mut schema: Value = serde_json::from_str(SCHEMA).unwrap();
    close(&mut schema);
    let folder = scratch();
    for (mut rig, _folder) in rigs() {
        let document = rig.gate.admin("/review.json");
        let path = file(&folder, "review.json", document.text());
        let found = schema::errors(schema.to_string().as_bytes(), &[path.to_str().unwrap()]);
        assert_eq!(found, [Vec::<String>::new()], "{}", document.text());
    }
    // The validator reads what it is given.
    let wrong = file(
        &folder,
        "wrong.json",
        "{\"generated\": 1, \"version\": \"1\"}",
    );
    let found = schema::errors(SCHEMA.as_bytes(), &[wrong.to_str().unwrap()]);
    assert_eq!(found, [["$ required", "$.generated type"]]);
    fs::remove_dir_all(folder).unwrap();
}

/// Forbids further members of each object whose members are described.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.contains_key("properties") && !members.contains_key("additionalProperties") {
                members.insert("additionalProperties".to_owned(), false.into());
            }
            members.values_mut().for_each(close);
        }
        Value::Array(all) => all.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Microsoft's validator, with the rules of the standard and those of GitHub's code scanning. It exists for this architecture only.
#[cfg(target_arch = "x86_64")]
#[test]
fn sarif_is_valid_and_code_scanning_accepts_it() {
    let folder = scratch();
    for (mut rig, _folder) in rigs() {
        let admin = rig.gate.address("admin").to_string();
        let written = gate::run(&["review", "--admin", &admin, "--format", "sarif"]);
        let written = String::from_utf8(written.stdout).unwrap();
        let found = complaints(&file(&folder, "review.sarif", &written));
        assert!(found.is_empty(), "{found:#?} in {written}");
    }
    let wrong = "{\"version\": \"2.1.0\", \"runs\": [{\"tool\": {\"driver\": {}}, \"results\": [{\"level\": \"high\"}]}]}";
    let found = complaints(&file(&folder, "wrong.sarif", wrong));
    assert!(!found.is_empty());
    fs::remove_dir_all(folder).unwrap();
}
