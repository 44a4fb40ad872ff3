//! The sections of the manual about violations and hints, as plain text for a terminal.

use serde_json::json;

use super::answer::{Answer, Format, Unusable};

const VIOLATIONS: &str = include_str!("../../../docs/src/violations.md");
const HINTS: &str = include_str!("../../../docs/src/hints.md");

/// The section about a code, as in the manual.
fn section(code: &str) -> Option<&'static str> {
    let headings = [
        (VIOLATIONS, format!("\n### `{code}`\n")),
        (HINTS, format!("\n## `{code}`\n")),
    ];
    headings.into_iter().find_map(|(page, heading)| {
        let (_, rest) = page.split_once(&heading)?;
        let ends = ["\n## ", "\n### "]
            .into_iter()
            .filter_map(|end| rest.find(end));
        Some(rest.get(..ends.min().unwrap_or(rest.len()))?.trim())
    })
}

/// The paragraphs of a section under a bold title, such as `What to change`.
pub(super) fn part(code: &str, title: &str) -> Option<String> {
    let section = section(code)?;
    let (_, rest) = section.split_once(&format!("**{title}.**"))?;
    let end = rest.find("\n**").unwrap_or(rest.len());
    Some(plain(rest.get(..end)?.trim()))
}

/// The answer to `explain CODE`.
pub(super) fn explain(code: &str, format: Format) -> Result<Answer, Unusable> {
    let Some(section) = section(code) else {
        let near = codes().max_by(|a, b| {
            let near = |it: &str| strsim::jaro_winkler(it, code);
            near(a).total_cmp(&near(b))
        });
        return Err(Unusable::Usage(format!(
            "there is no violation and no hint with this code\nhelp: did you mean {}? A URL begins with https:// or http://",
            near.unwrap_or_default()
        )));
    };
    let text = match format {
        Format::Text => format!("{code}\n\n{}\n", plain(section)),
        Format::Json => json!({"code": code, "text": plain(section)}).to_string() + "\n",
    };
    Ok(Answer {
        text,
        is_refused: false,
    })
}

/// All codes, in the order of the manual.
fn codes() -> impl Iterator<Item = &'static str> {
    let of = |page: &'static str, prefix: &'static str| {
        page.lines()
            .filter_map(move |line| line.strip_prefix(prefix)?.strip_suffix('`'))
    };
    of(VIOLATIONS, "### `").chain(of(HINTS, "## `"))
}

/// Markdown without its marks: a link is its text, and the rows of a table are lines.
fn plain(markdown: &str) -> String {
    let lines = markdown.lines().filter(|line| !line.starts_with("|---"));
    let lines: Vec<String> = lines.map(line).collect();
    without_links(&lines.join("\n"))
        .replace("**", "")
        .replace('`', "")
}

fn line(line: &str) -> String {
    let Some(row) = line.strip_prefix('|') else {
        return line.to_owned();
    };
    let cells: Vec<&str> = row
        .trim_end_matches('|')
        .split('|')
        .map(str::trim)
        .collect();
    format!("- {}", cells.join(": "))
}

/// Replaces `[text](target)` by `text`. A link may go on in the next line.
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        let (Some((head, name)), Some((_, tail))) =
            (before.rsplit_once('['), after.split_once(')'))
        else {
            break;
        };
        plain.extend([head, name]);
        rest = tail;
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_plain_section_with_what_to_change() {
        assert!(codes().count() > 40);
        for code in codes() {
            let Ok(Answer { text, .. }) = explain(code, Format::Text) else {
                panic!("{code}")
            };
            for mark in ["](", "**", "`", "|---", "##"] {
                assert!(!text.contains(mark), "{code}: {mark}: {text}");
            }
            assert!(text.contains("What to change."), "{text}");
            for title in ["What to change", "Specification"] {
                let part = part(code, title).unwrap_or_default();
                assert!(
                    part.len() > 3 && !part.contains("Specification."),
                    "{code}: {part}"
                );
            }
        }
    }

    #[test]
    fn a_section_is_that_of_the_manual_without_its_marks() {
        let Ok(Answer { text, .. }) = explain("misspelt_method", Format::Text) else {
            panic!()
        };
        assert!(
            text.starts_with(
                "misspelt_method\n\nWhat the gate saw. code_challenge_method is another"
            ),
            "{text}"
        );
        assert!(
            text.ends_with("Specification. RFC 7636 sections 4.3 and 6.2.\n"),
            "{text}"
        );
        let change = part("malformed_request", "What to change").unwrap();
        assert!(
            change.contains("- 405: wrong method: authorization requests are GET or POST"),
            "{change}"
        );
    }

    #[test]
    fn an_unknown_code_gets_a_suggestion() {
        let Err(error) = explain("missing_chalenge", Format::Text) else {
            panic!()
        };
        assert!(error.to_string().contains("missing_challenge?"), "{error}");
        assert!(explain("`](", Format::Text).is_err());
    }
}
