//! The reference page of the manual, with every key.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, context};

use super::page::Page;

pub(super) fn written(sections: &[Page<'_>]) -> String {
    let mut pages = Environment::new();
    // A line that contains only a template block produces no output.
    let mut lines = SyntaxConfig::builder();
    if let Ok(lines) = lines.trim_blocks(true).lstrip_blocks(true).build() {
        pages.set_syntax(lines);
    }
    // An invalid template renders as an empty page, which fails the test that compares the page with the file in `docs`.
    let page = pages.render_str(
        include_str!("manual.md"),
        context! { sections => Serde(sections) },
    );
    page.unwrap_or_default()
}
