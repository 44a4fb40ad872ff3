//! A JSON schema (draft 2020-12) for editors.

use serde_json::{Map, Value, json};

use crate::config::key::{Declared, Section};
use crate::config::schema::{ROOT, below};

pub(crate) fn schema() -> String {
    let mut schema = table(&ROOT);
    if let Some(schema) = schema.as_object_mut() {
        let about = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Configuration of pkce-gate",
            "required": ["upstream"],
        });
        schema.extend(about.as_object().cloned().unwrap_or_default());
    }
    format!("{schema:#}\n")
}

fn section(section: &'static Section) -> Value {
    let mut table = table(section);
    table["description"] = section.text.into();
    if section.list {
        json!({ "type": "array", "items": table, "minItems": least(section) })
    } else {
        table
    }
}

/// The gate has to stand in front of something; no client has to be named.
fn least(section: &Section) -> u8 {
    u8::from(!section.path.contains('.'))
}

fn table(section: &'static Section) -> Value {
    let mut properties = Map::new();
    for declared in section.keys {
        properties.insert(declared.name().to_owned(), key(*declared));
    }
    let mut required = section
        .keys
        .iter()
        .filter(|key| key.about().required.is_some());
    let mut required: Vec<&str> = required.by_ref().map(|key| key.name()).collect();
    for inner in below(section) {
        properties.insert(inner.name().1.to_owned(), self::section(inner));
        // A table with something that has to be written has to be written itself.
        let mut keys = inner.keys.iter();
        if !inner.list && keys.any(|key| key.about().required.is_some()) {
            required.push(inner.name().1);
        }
    }
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn key(key: &dyn Declared) -> Value {
    let mut schema = key.value().json();
    let Some(object) = schema.as_object_mut() else {
        return schema;
    };
    let text = match key.about().text {
        "" => key.about().comment,
        text => text,
    };
    if key.value().later().is_some() {
        object.insert("description".to_owned(), key.value().what().into());
    } else if !text.is_empty() {
        object.insert("description".to_owned(), text.into());
    }
    let is_fixed = key.about().absent.is_none() && key.about().required.is_none();
    let default = key.value().default().filter(|_| is_fixed);
    if let Some(default) = default.and_then(|text| serde_json::from_str(&text).ok()) {
        object.insert("default".to_owned(), default);
    }
    schema
}
