//! A JSON schema (draft 2020-12) for editors.

use serde_json::{Map, Value, json};

use crate::config::key::{Declared, Section};
use crate::config::schema::{ROOT, below};

pub(crate) fn schema() -> String {
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), DRAFT.into());
    schema.insert("title".to_owned(), "Configuration of pkce-gate".into());
    schema.append(&mut table(&ROOT));
    format!("{:#}\n", Value::Object(schema))
}

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

fn table(section: &'static Section) -> Map<String, Value> {
    let keys = section.keys.iter().copied();
    let own = keys
        .clone()
        .map(|declared| (declared.name(), key(declared)));
    let tables = below(section).map(|inner| (inner.name().1, table_or_list(inner)));
    let properties: Map<String, Value> = own
        .chain(tables)
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let keys = keys.filter(|key| key.about().required.is_some());
    let tables = below(section).filter(|inner| is_required(inner));
    let required: Vec<&str> = keys
        .map(Declared::name)
        .chain(tables.map(|inner| inner.name().1))
        .collect();
    let schema = json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    schema.as_object().cloned().unwrap_or_default()
}

/// A table with something that has to be written has to be written itself; of a list that holds for the first level only.
fn is_required(section: &Section) -> bool {
    let needs = section
        .keys
        .iter()
        .any(|key| key.about().required.is_some());
    needs && !(section.list && section.path.contains('.'))
}

fn table_or_list(section: &'static Section) -> Value {
    let mut table = table(section);
    table.insert("description".to_owned(), section.text.into());
    if section.list {
        let least = u8::from(is_required(section));
        json!({ "type": "array", "items": table, "minItems": least })
    } else {
        Value::Object(table)
    }
}

fn key(key: &dyn Declared) -> Value {
    let (about, value) = (key.about(), key.describe());
    let text = match key.later() {
        Some(_) => value.what,
        None => about.text.to_owned(),
    };
    let mut schema = value.json.as_object().cloned().unwrap_or_default();
    if !text.is_empty() {
        schema.insert("description".to_owned(), text.into());
    }
    // TOML and JSON write these alike.
    let default = value.default.filter(|_| about.absent.is_none());
    if let Some(default) = default.and_then(|text| serde_json::from_str(&text).ok()) {
        schema.insert("default".to_owned(), default);
    }
    Value::Object(schema)
}
