//! A JSON schema (draft 2020-12) for editors.

use serde_json::{Map, Value, json};

use super::page::{Entry, Page};
use crate::config::section::split;

pub(super) fn schema(pages: &[Page<'_>]) -> String {
    let head = [
        ("$schema", "https://json-schema.org/draft/2020-12/schema"),
        ("title", "Configuration of pkce-gate"),
    ];
    let head = head.map(|(name, text)| (name.to_owned(), text.into()));
    let schema: Map<String, Value> = head.into_iter().chain(table("", vec![], pages)).collect();
    format!("{:#}\n", Value::Object(schema))
}

/// A key or table: its name, whether it is required, and its JSON Schema.
type Member<'p> = (&'p str, bool, Value);

/// The schema of a table with the given keys and the subsections of `path`.
fn table<'p>(path: &str, keys: Vec<Member<'p>>, pages: &'p [Page<'_>]) -> Map<String, Value> {
    let is_below = |page: &&Page<'_>| split(page.path).0 == path;
    let below = pages.iter().filter(is_below);
    let below = below.map(|page| (page.section.name(), is_required(page), of_page(page, pages)));
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (name, is_required, value) in keys.into_iter().chain(below) {
        properties.insert(name.to_owned(), value);
        required.extend(is_required.then_some(name));
    }
    let table = [
        ("type", json!("object")),
        ("properties", Value::Object(properties)),
        ("required", json!(required)),
        ("additionalProperties", json!(false)),
    ];
    table
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

/// A section with a required key is required itself. Nested lists (`[[upstream.client]]`) are optional all the same.
fn is_required(page: &Page<'_>) -> bool {
    let needs = !page.section.required.is_empty();
    needs && !(page.section.list && page.path.contains('.'))
}

fn of_page(page: &Page<'_>, pages: &[Page<'_>]) -> Value {
    let keys = page
        .keys
        .iter()
        .map(|key| (key.key.name, key.required, of_key(key)));
    let later = page.section.later.iter().map(|(name, now)| {
        let description = "reserved for a later version";
        // The TOML notation of these values is also valid JSON.
        let now: Option<Value> = now.and_then(|now| serde_json::from_str(now).ok());
        let value = match now {
            Some(now) => json!({ "const": now, "description": description }),
            None => json!({ "not": {}, "description": description }),
        };
        (*name, false, value)
    });
    let mut table = table(page.path, keys.chain(later).collect(), pages);
    table.insert("description".to_owned(), page.about.text.as_str().into());
    if page.section.list {
        let least = u8::from(is_required(page));
        json!({ "type": "array", "items": table, "minItems": least })
    } else {
        Value::Object(table)
    }
}

fn of_key(key: &Entry<'_>) -> Value {
    let mut schema = key.key.json.as_object().cloned().unwrap_or_default();
    if !key.about.text.is_empty() {
        schema.insert("description".to_owned(), key.about.text.as_str().into());
    }
    // The TOML notation of these values is also valid JSON.
    let default = key
        .key
        .default
        .as_ref()
        .filter(|_| key.about.absent.is_none());
    if let Some(default) = default.and_then(|text| serde_json::from_str(text).ok()) {
        schema.insert("default".to_owned(), default);
    }
    Value::Object(schema)
}
