//! The commented `config.toml`.

use crate::config::key::Section;
use crate::config::schema::SECTIONS;
use crate::config::wording::one_of;

const HEAD: &str = "\
# pkce-gate: every key of this version, with its default. A file needs no more than an [[upstream]] with its url and
# its authorization and token endpoints. `pkce-gate check` says what is wrong with a file, and what it means.
#
# Durations are \"250ms\", \"5s\", \"15m\", \"1h\"; sizes \"64B\", \"32KiB\", \"1MiB\". Relative paths begin beside this file.
#
# A running gate puts a changed file in force within three seconds, and at once on SIGHUP. A restart is needed for
# server.listen, server.workers, admin.listen and store.kind.
";

/// Where comments begin.
const COLUMN: usize = 37;

/// The longest line of the last paragraph.
const WIDTH: usize = 120;

pub(crate) fn toml() -> String {
    let sections: String = SECTIONS.iter().map(|section| written(section)).collect();
    format!("{HEAD}{sections}\n{}", reserved())
}

/// A section that is a list below another one is an example, and is commented out as a whole.
fn written(section: &Section) -> String {
    let is_example = section.list && section.path.contains('.');
    let out = if is_example { "# " } else { "" };
    let mut lines = String::from("\n");
    if is_example {
        lines.extend(section.text.lines().map(|line| format!("# {line}\n")));
    }
    lines += &line(&format!("{out}{}", section.header()), section.comment);
    let keys = section.keys.iter();
    for key in keys.filter(|key| key.later().is_none()) {
        let about = key.about();
        let out = if is_example || about.commented {
            "# "
        } else {
            ""
        };
        let value = about.example.map(str::to_owned);
        let value = value.or_else(|| key.describe().default);
        let code = format!("{out}{} = {}", key.name(), value.unwrap_or_default());
        lines += &line(&code, about.comment);
    }
    lines
}

/// A line with its comment, which goes on below it where it has several lines.
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

/// Up to where the comment begins.
fn blank(code: &str) -> String {
    " ".repeat(COLUMN.saturating_sub(code.len()).max(1))
}

/// What only a later version has.
fn reserved() -> String {
    let sections = SECTIONS.iter().filter_map(|section| {
        let keys = section.keys.iter();
        let mut reserved: Vec<String> = Vec::new();
        for key in keys {
            let later = key.later();
            let words = key.describe().later_words;
            if later.is_some() {
                reserved.push(key.name().to_owned());
            } else if !words.is_empty() {
                reserved.push(format!("{} = {}", key.name(), one_of(words)));
            }
        }
        (!reserved.is_empty()).then(|| format!("{} {}", section.header(), reserved.join(", ")))
    });
    let sections: Vec<String> = sections.collect();
    let text = format!(
        "Reserved for later versions, and refused until then: {}; addresses that begin with \"unix:\".",
        sections.join("; ")
    );
    wrapped(&text)
}

/// In lines that begin with `#`.
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
