//! The page of the manual that has every key.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, context};

use super::page::Page;

pub(super) fn written(sections: &[Page]) -> String {
    let mut pages = Environment::new();
    // Lines that hold a block alone leave nothing behind.
    let mut lines = SyntaxConfig::builder();
    if let Ok(lines) = lines.trim_blocks(true).lstrip_blocks(true).build() {
        pages.set_syntax(lines);
    }
    // A template that is not right shows as an empty page, and fails the test that compares it.
    let page = pages.render_str(
        include_str!("manual.md"),
        context! { sections => Serde(sections) },
    );
    page.unwrap_or_default()
}
