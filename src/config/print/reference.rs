//! The commented `config.toml`.

use super::page::Page;
use crate::config::wording::one_of;

const HEAD: &str = "\
# pkce-gate: every key of this version, with its default. A file needs no more than an [[upstream]] with its url and
# its authorization and token endpoints. `pkce-gate check` reports its problems.
#
# Durations are \"250ms\", \"5s\", \"15m\", \"1h\"; sizes \"64B\", \"32KiB\", \"1MiB\". Relative paths start at the directory of this file.
#
# A running gate applies a changed file within three seconds, and at once on SIGHUP. A restart is needed for
# server.listen, server.workers and admin.listen.
";

/// The column in which comments begin.
const COLUMN: usize = 37;

/// The maximum line length of the last paragraph.
const WIDTH: usize = 120;

pub(super) fn toml(pages: &[Page<'_>]) -> String {
    let sections: String = pages.iter().map(written).collect();
    format!("{HEAD}{sections}\n{}", reserved(pages))
}

/// Renders a section. A nested list, such as `[[upstream.client]]`, is an example and is commented out completely.
fn written(page: &Page<'_>) -> String {
    let is_example = page.section.list && page.path.contains('.');
    let out = |is_out| if is_out { "# " } else { "" };
    let mut lines = String::from("\n");
    if is_example {
        lines.extend(page.about.text.lines().map(|line| format!("# {line}\n")));
    }
    let header = format!("{}{}", out(is_example), page.header);
    lines += &line(&header, &page.about.comment);
    for key in &page.keys {
        let value = key.about.example.as_ref().or(key.key.default.as_ref());
        let out = out(is_example || key.about.commented);
        let code = format!(
            "{out}{} = {}",
            key.key.name,
            value.map_or("", String::as_str)
        );
        lines += &line(&code, &key.about.comment);
    }
    lines
}

/// A line with its comment; further lines of the comment follow below, in the same column.
fn line(code: &str, comment: &str) -> String {
    let mut code = code;
    let mut lines = String::new();
    for comment in comment.lines() {
        lines += &[code, &blank(code), "# ", comment, "\n"].concat();
        code = "";
    }
    if comment.is_empty() {
        lines = [code, "\n"].concat();
    }
    lines
}

/// The spaces between the code and its comment.
fn blank(code: &str) -> String {
    " ".repeat(COLUMN.saturating_sub(code.len()).max(1))
}

/// Lists the keys and words that are reserved for later versions.
fn reserved(pages: &[Page<'_>]) -> String {
    let mut sections = Vec::new();
    for page in pages {
        let words = page.keys.iter().filter_map(|key| {
            let words = key.key.later_words;
            (!words.is_empty()).then(|| format!("{} = {}", key.key.name, one_of(words)))
        });
        let keys = page.later.iter().map(|name| (*name).to_owned());
        let reserved: Vec<String> = words.chain(keys).collect();
        if !reserved.is_empty() {
            sections.push(format!("{} {}", page.header, reserved.join(", ")));
        }
    }
    wrapped(&format!(
        "Reserved for later versions, and refused until then: {}; addresses that begin with \"unix:\".",
        sections.join("; ")
    ))
}

/// Wraps a text into lines that begin with `#`.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::from("#")];
    for word in text.split(' ') {
        let fits = |line: &&mut String| line.len() + 1 + word.len() <= WIDTH;
        match lines.last_mut().filter(fits) {
            Some(line) => line.extend([" ", word]),
            None => lines.push(["# ", word].concat()),
        }
    }
    lines.join("\n") + "\n"
}
