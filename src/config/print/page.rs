//! Combines the declaration of each section and key with its texts from `texts.toml`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::config::section::{Key, Section};

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
pub(super) struct Page<'s> {
    #[serde(skip)]
    pub(super) section: &'s Section,
    pub(super) path: &'static str,
    pub(super) header: String,
    #[serde(flatten)]
    pub(super) about: About,
    pub(super) keys: Vec<Entry<'s>>,
    /// The names of keys that are reserved for later versions.
    pub(super) later: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
pub(super) struct Entry<'s> {
    pub(super) required: bool,
    #[serde(flatten)]
    pub(super) key: &'s Key,
    #[serde(flatten)]
    pub(super) about: About,
}

/// Returns the texts by the path of the section or key. If the file is invalid the texts are empty, and a test fails.
fn texts() -> BTreeMap<String, Spanned<About>> {
    toml::from_str(include_str!("texts.toml")).unwrap_or_default()
}

/// The pages of all sections, in the order of the texts.
pub(super) fn pages(sections: &[Section]) -> Vec<Page<'_>> {
    let texts = texts();
    let place = |path: &str| texts.get(path).map(|about| about.span().start);
    let about = |path: &str| texts.get(path).map(|about| about.get_ref().clone());
    let pages = sections.iter().map(|section| {
        let path = |key: &Key| format!("{}.{}", section.path, key.name);
        let mut keys: Vec<&Key> = section.keys.iter().collect();
        keys.sort_by_key(|key| place(&path(key)));
        let keys = keys.into_iter().map(|key| Entry {
            required: section.required.contains(&key.name),
            key,
            about: about(&path(key)).unwrap_or_default(),
        });
        Page {
            section,
            path: section.path,
            header: section.header(),
            about: about(section.path).unwrap_or_default(),
            keys: keys.collect(),
            later: section.later.iter().map(|(name, _)| *name).collect(),
        }
    });
    let mut pages: Vec<Page<'_>> = pages.collect();
    pages.sort_by_key(|page| place(page.path));
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_declarations_match() {
        let mut said = texts();
        for page in pages(&crate::config::SECTIONS) {
            assert!(!page.about.text.is_empty(), "{}", page.path);
            said.remove(page.path);
            for key in page.keys {
                let path = format!("{}.{}", page.path, key.key.name);
                let words = key.key.choices.iter();
                let has_words = words
                    .clone()
                    .all(|word| key.about.words.contains_key(*word));
                assert!(has_words && words.len() == key.about.words.len(), "{path}");
                assert!(!key.about.text.is_empty() || words.len() > 0, "{path}");
                let shown = key.about.example.or(key.key.default.clone());
                assert!(shown.is_some(), "{path}");
                said.remove(&path);
            }
        }
        assert!(said.is_empty(), "{:?}", said.keys());
    }
}
