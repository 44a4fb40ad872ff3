//! What is written from the declarations: the commented `config.toml`, the page of the manual, a JSON schema for editors.

mod editor;
mod manual;
mod page;
mod reference;

use page::pages;

/// In which form the shape of the configuration is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A JSON schema, for editors
    Json,
    /// A configuration with every key, its default and a line of explanation
    Toml,
    /// The page of the manual
    Markdown,
}

/// Every key of this version, in that form.
pub(crate) fn print(format: Format) -> String {
    let pages = pages();
    match format {
        Format::Json => editor::schema(&pages),
        Format::Toml => reference::toml(&pages),
        Format::Markdown => manual::written(&pages),
    }
}
