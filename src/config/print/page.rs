//! What is written of each section: its declaration, and what `schema/texts.toml` says of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::key::{Description, Section};
use crate::config::schema::SECTIONS;

/// What is said of a section or a key.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct About {
    /// What `config.toml` says beside it: one line, or one for each value.
    pub(super) comment: String,
    /// What the manual says, in Markdown.
    pub(super) text: String,
    /// What each of the words means that it can be.
    pub(super) words: BTreeMap<String, String>,
    /// What stands in `config.toml`, as TOML, where that is not the default.
    pub(super) example: Option<String>,
    /// Whether it is commented out there: it is optional, and its example is made up.
    pub(super) commented: bool,
    /// What holds where it is not written, unless that is always the same value.
    pub(super) absent: Option<String>,
    /// Whether a change waits for a restart. Everything else applies when the file is read anew.
    pub(super) restart: bool,
}

/// A section with its keys, and what is said of them.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    #[serde(skip)]
    pub(super) section: &'static Section,
    pub(super) path: &'static str,
    pub(super) header: String,
    #[serde(flatten)]
    pub(super) about: About,
    pub(super) keys: Vec<Entry>,
    /// The names of those that only a later version has.
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

/// By the path of a section or key. What is wrong in the file shows as empty texts, and fails the tests.
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
    fn everything_that_is_declared_is_described_and_nothing_else() {
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
