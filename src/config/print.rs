//! Generates the commented `config.toml`, the reference page of the manual and the JSON schema from the declarations.

mod editor;
mod manual;
mod page;
mod reference;

use super::section::Section;
use page::pages;

/// The output format of `pkce-gate schema`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A JSON schema, for editors
    Json,
    /// A configuration with every key, its default and a line of explanation
    Toml,
    /// The page of the manual
    Markdown,
}

/// Renders the reference of all keys in the given format.
pub(super) fn print(format: Format, sections: &[Section]) -> String {
    let pages = pages(sections);
    match format {
        Format::Json => editor::schema(&pages),
        Format::Toml => reference::toml(&pages),
        Format::Markdown => manual::written(&pages),
    }
}
