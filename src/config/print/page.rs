//! Combines the declaration of each section and key with its texts from `schema/texts.toml`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::key::{Description, Section};
use crate::config::schema::SECTIONS;

/// The texts of a section or key.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct About {
    /// The comment in `config.toml`: one line, or one line per value.
    pub(super) comment: String,
    /// The text in the manual, in Markdown.
    pub(super) text: String,
    /// The meaning of each word that the key accepts.
    pub(super) words: BTreeMap<String, String>,
    /// The value that `config.toml` shows instead of the default, in TOML notation.
    pub(super) example: Option<String>,
    /// Whether `config.toml` has the key commented out, because it is optional and its example is fictitious.
    pub(super) commented: bool,
    /// Describes the default if it depends on other settings.
    pub(super) absent: Option<String>,
    /// Whether a change requires a restart. Changes of other keys apply when the file is reloaded.
    pub(super) restart: bool,
}

/// A section with its keys and texts.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    #[serde(skip)]
    pub(super) section: &'static Section,
    pub(super) path: &'static str,
    pub(super) header: String,
    #[serde(flatten)]
    pub(super) about: About,
    pub(super) keys: Vec<Entry>,
    /// The names of keys that are reserved for later versions.
    pub(super) later: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) required: bool,
    #[serde(flatten)]
    pub(super) value: Description,
    #[serde(flatten)]
    pub(super) about: About,
}

/// Returns the texts by the path of the section or key. If the file is invalid the texts are empty, and a test fails.
fn texts() -> BTreeMap<String, About> {
    toml::from_str(include_str!("../schema/texts.toml")).unwrap_or_default()
}

pub(super) fn pages() -> Vec<Page> {
    let texts = texts();
    let about = |path: &str| texts.get(path).cloned().unwrap_or_default();
    let page = |section: &'static Section| {
        let keys = section.keys.iter().map(|key| Entry {
            name: key.name(),
            required: key.is_required(),
            value: key.describe(),
            about: about(&format!("{}.{}", section.path, key.name())),
        });
        Page {
            section,
            path: section.path,
            header: section.header(),
            about: about(section.path),
            keys: keys.collect(),
            later: section.later.iter().map(|(name, _)| *name).collect(),
        }
    };
    SECTIONS.into_iter().map(page).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_declarations_match() {
        let mut said = texts();
        for page in pages() {
            assert!(!page.about.text.is_empty(), "{}", page.path);
            said.remove(page.path);
            for key in page.keys {
                let path = format!("{}.{}", page.path, key.name);
                let words = key.value.choices.iter();
                let has_words = words
                    .clone()
                    .all(|word| key.about.words.contains_key(*word));
                assert!(has_words && words.len() == key.about.words.len(), "{path}");
                assert!(!key.about.text.is_empty() || words.len() > 0, "{path}");
                let shown = key.about.example.or(key.value.default);
                assert!(shown.is_some(), "{path}");
                said.remove(&path);
            }
        }
        assert!(said.is_empty(), "{:?}", said.keys());
    }
}
