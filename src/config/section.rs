//! What the readers declare about the sections and keys of `config.toml`. `print/texts.toml` has their texts.

use std::fmt::Display;

use serde::Serialize;
use serde_json::Value;

/// A table of the file.
#[derive(Debug)]
pub(super) struct Section {
    /// The dotted path, such as `upstream.pkce`; empty for the top level.
    pub(super) path: &'static str,
    /// Whether it is an array of tables, `[[section]]`.
    pub(super) list: bool,
    pub(super) keys: Vec<Key>,
    /// The names of required keys.
    pub(super) required: Vec<&'static str>,
    pub(super) later: Later,
}

/// Keys that are reserved for later versions, each with the value (in TOML notation) that this version already accepts.
pub(super) type Later = &'static [(&'static str, Option<&'static str>)];

impl Section {
    pub(super) const fn new(path: &'static str, list: bool) -> Self {
        Self {
            path,
            list,
            keys: Vec::new(),
            required: Vec::new(),
            later: &[],
        }
    }

    /// The header in the file: `[section]` or `[[section]]`.
    pub(super) fn header(&self) -> String {
        if self.list {
            format!("[[{}]]", self.path)
        } else {
            format!("[{}]", self.path)
        }
    }

    /// The name in the parent section.
    pub(super) fn name(&self) -> &'static str {
        split(self.path).1
    }

    /// The direct subsections.
    pub(super) fn below<'s>(&self, all: &'s [Self]) -> impl Iterator<Item = &'s Self> + use<'s> {
        let path = self.path;
        let is_below =
            move |section: &&Self| !section.path.is_empty() && split(section.path).0 == path;
        all.iter().filter(is_below)
    }

    /// The names of its keys, without reserved ones.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|key| key.name)
    }

    /// Whether it has a key of that name, reserved ones included.
    pub(super) fn has(&self, key: &str) -> bool {
        let later = self.later.iter().map(|(name, _)| *name);
        self.names().chain(later).any(|name| name == key)
    }
}

/// Splits a path into the path of the parent section and the last component.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('.').unwrap_or(("", path))
}

/// A key, as the generated references show it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Key {
    pub(super) name: &'static str,
    /// The kind of value, for example `a duration from "10ms" to "1h"`.
    pub(super) what: String,
    /// The default, in a notation that is valid TOML and valid JSON.
    pub(super) default: Option<String>,
    /// The JSON Schema of the value.
    pub(super) json: Value,
    /// The accepted words, if only certain words are accepted.
    pub(super) choices: Vec<&'static str>,
    /// Words that are reserved for later versions.
    pub(super) later_words: &'static [&'static str],
}

impl Key {
    pub(super) fn new(what: impl Into<String>, default: impl Display, json: Value) -> Self {
        Self {
            default: Some(default.to_string()),
            ..Self::optional(what, json)
        }
    }

    /// A key without a default.
    pub(super) fn optional(what: impl Into<String>, json: Value) -> Self {
        Self {
            what: what.into(),
            json,
            ..Self::default()
        }
    }
}
