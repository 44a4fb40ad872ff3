//! The page of the manual that has every key.

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Value, context};

use crate::config::key::{Declared, Section};
use crate::config::schema::SECTIONS;

pub(crate) fn page() -> String {
    let mut pages = Environment::new();
    // Lines that hold a block alone leave nothing behind.
    let mut lines = SyntaxConfig::builder();
    if let Ok(lines) = lines.trim_blocks(true).lstrip_blocks(true).build() {
        pages.set_syntax(lines);
    }
    let sections: Vec<Value> = SECTIONS.iter().map(|section| described(section)).collect();
    // A template that is not right shows as an empty page, and fails the test that compares it.
    let page = pages.render_str(include_str!("manual.md"), context! { sections });
    page.unwrap_or_default()
}

fn described(section: &Section) -> Value {
    let keys = section.keys.iter().copied();
    let (reserved, keys): (Vec<&dyn Declared>, Vec<&dyn Declared>) =
        keys.partition(|key| key.later().is_some());
    let reserved: Vec<&str> = reserved.into_iter().map(Declared::name).collect();
    let keys: Vec<Value> = keys.into_iter().map(key).collect();
    context! {
        path => section.path.replace('.', "-"),
        header => section.header(),
        text => section.text,
        keys,
        reserved,
    }
}

fn key(key: &dyn Declared) -> Value {
    let (about, value) = (key.about(), key.describe());
    context! {
        name => key.name(),
        text => about.text,
        words => value.words,
        what => capitalized(&value.what),
        required => about.required.is_some(),
        absent => about.absent,
        default => value.default,
        example => about.example,
        later_words => value.later_words.to_vec(),
        restart => about.restart,
    }
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}
