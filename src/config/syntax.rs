//! What is no TOML at all: the parser's findings without those that only follow from another one.

use std::borrow::Cow;

use toml::de::{DeTable, DeValue, Error};

use super::problem::{Problem, Span};
use super::value::quoted;

/// A problem, and the part of the text of which nothing can be said because of it.
pub(super) struct Broken {
    pub(super) problem: Problem,
    pub(super) area: Span,
}

/// The text without the lines at which the parser gives up, so that it goes on; every byte keeps its place.
pub(super) fn readable(text: &str) -> (Cow<'_, str>, Vec<Broken>) {
    const ENOUGH: usize = 16;
    let mut readable = Cow::Borrowed(text);
    let mut given_up = Vec::new();
    for _ in 0..ENOUGH {
        let (tree, errors) = DeTable::parse_recoverable(&readable);
        let found: Vec<Broken> = errors
            .iter()
            .filter(|error| description(error) == NO_VALUE)
            .map(|error| broken(text, tree.get_ref(), error))
            .collect();
        if found.is_empty() {
            break;
        }
        for broken in &found {
            let line = text.get(broken.area.range()).unwrap_or_default();
            let blank = " ".repeat(line.len());
            readable.to_mut().replace_range(broken.area.range(), &blank);
        }
        given_up.extend(found);
    }
    (readable, given_up)
}

const NO_VALUE: &str = "key with no value";

/// One problem a line, and one for everything that an unclosed list, table or text has swallowed.
pub(super) fn problems(
    text: &str,
    given_up: Vec<Broken>,
    tree: &DeTable<'_>,
    errors: &[Error],
) -> Vec<Broken> {
    let mut found = given_up;
    found.extend(errors.iter().map(|error| broken(text, tree, error)));
    found.sort_by_key(|broken| (broken.area.start, broken.problem.span));
    let mut kept: Vec<Broken> = Vec::new();
    for broken in found {
        if !kept.iter().any(|other| other.area.touches(broken.area)) {
            kept.push(broken);
        }
    }
    kept
}

fn broken(text: &str, tree: &DeTable<'_>, error: &Error) -> Broken {
    let span = Span::from(error.span().unwrap_or(text.len()..text.len()));
    let value = is_unclosed_value(error).then(|| value_around(tree, span.end));
    if let Some(value) = value.flatten() {
        return Broken {
            problem: unclosed(text, value),
            area: lines(text, value),
        };
    }
    let line = lines(text, span);
    let description = description(error);
    let area = if description.starts_with("unclosed") {
        up_to_next_header(text, line)
    } else if description.contains("inline table") || description.contains("key-value pairs") {
        // Where a table in braces ends is anybody's guess.
        Span {
            end: text.len(),
            ..line
        }
    } else {
        line
    };
    Broken {
        problem: other(text, span, error),
        area,
    }
}

fn is_unclosed_value(error: &Error) -> bool {
    let description = description(error);
    matches!(description, "unclosed array" | "unclosed inline table")
        || description.starts_with("invalid multi-line")
}

/// The message without what was expected.
fn description(error: &Error) -> &str {
    let message = error.message();
    message
        .split_once(", expected ")
        .map_or(message, |(description, _)| description)
}

fn other(text: &str, span: Span, error: &Error) -> Problem {
    let written = text.get(span.range()).unwrap_or_default();
    let is_word = written.starts_with(|first: char| first.is_ascii_alphabetic());
    let description = description(error);
    let (message, label, help) = match description {
        "duplicate key" => (
            description,
            "it is there already",
            "a key, and a [table], can stand only once: make one of the two".to_owned(),
        ),
        "string values must be quoted" if written.is_empty() => (
            "a key without a value",
            "the value is missing",
            "write a value behind =".to_owned(),
        ),
        "invalid boolean" if is_word => (
            "true or false, or a text without quotes",
            "this is neither",
            format!("write true, false or {}", quoted(written)),
        ),
        // `info` begins like `inf`.
        "string values must be quoted" | "invalid float" if is_word => (
            "a text without quotes",
            "texts need quotes",
            format!("write {}", quoted(written)),
        ),
        "string values must be quoted" => (
            "this is no value",
            "neither a number nor a text in quotes",
            format!("write a number, or {}", quoted(written)),
        ),
        NO_VALUE => (
            "a key without a value",
            "there is no =",
            "write key = value".to_owned(),
        ),
        "invalid basic string" | "invalid literal string"
            if written.is_empty() && error.message().contains(", expected") =>
        {
            let quote = if description.contains("basic") {
                '"'
            } else {
                '\''
            };
            (
                "a text is not closed",
                "its line ends here",
                format!("close it with {quote}"),
            )
        }
        "unexpected leading zero" => (
            description,
            "a number does not begin with 0",
            "write it without the zero".to_owned(),
        ),
        "unclosed table" => (description, "it ends here", "close it with ]".to_owned()),
        "unclosed array table" => (description, "it ends here", "close it with ]]".to_owned()),
        _ => (description, expected(error), HELP.to_owned()),
    };
    Problem::error(span, format!("not TOML: {message}"), label, help)
}

const HELP: &str = "TOML is key = value, with texts in \"quotes\", lists in [brackets] and tables below a line [name]";

fn expected(error: &Error) -> &str {
    let expected = error.message().split_once(", ");
    expected
        .map(|(_, expected)| expected)
        .filter(|expected| *expected != "expected nothing")
        .unwrap_or("here")
}

/// The opening bracket or quote is where the mistake is seen; the parser only notices it at the end of the file.
fn unclosed(text: &str, area: Span) -> Problem {
    let opening = text.get(area.start..).unwrap_or_default();
    let (what, close) = match opening.get(..1) {
        Some("[") => ("list", "]"),
        Some("{") => ("table", "}"),
        _ => ("text", opening.get(..3).unwrap_or_default()),
    };
    let span = Span {
        start: area.start,
        end: area.start + close.len(),
    };
    Problem::error(
        span,
        format!("not TOML: a {what} is not closed"),
        "it begins here",
        format!("close it with {close}"),
    )
}

/// The outermost value that has that place in it.
fn value_around(table: &DeTable<'_>, place: usize) -> Option<Span> {
    table
        .values()
        .find_map(|value| in_value(value.span().into(), value.get_ref(), place))
}

fn in_value(span: Span, value: &DeValue<'_>, place: usize) -> Option<Span> {
    if span.start < place && place <= span.end {
        return Some(span);
    }
    // Tables that are opened by a header, and lists of them, lie behind it.
    if let Some(table) = value.as_table() {
        return value_around(table, place);
    }
    value
        .as_array()?
        .iter()
        .find_map(|element| in_value(element.span().into(), element.get_ref(), place))
}

/// The whole lines that a span touches, without the last line break.
fn lines(text: &str, span: Span) -> Span {
    let before = text.get(..span.start).and_then(|text| text.rfind('\n'));
    let after = text.get(span.end..).and_then(|text| text.find('\n'));
    Span {
        start: before.map_or(0, |newline| newline + 1),
        end: after.map_or(text.len(), |newline| span.end + newline),
    }
}

/// A header that is not closed swallows the keys below it.
fn up_to_next_header(text: &str, line: Span) -> Span {
    let next = text.get(line.end..).and_then(|text| text.find("\n["));
    Span {
        start: line.start,
        end: next.map_or(text.len(), |newline| line.end + newline),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{UPSTREAM, check, check_text};
    use super::HELP;

    #[test]
    fn several_mistakes_are_found_and_only_one_in_a_line() {
        check(
            "[server]\nworkers = 01\ndrain : \"5s\" : 1\n[log]\nlevel = info\nformat = \"xml\"",
            &[
                "2:11 error: not TOML: unexpected leading zero | a number does not begin with 0 | \
                 write it without the zero",
                "3:7 error: not TOML: a key without a value | there is no = | write key = value",
                "5:9 error: not TOML: a text without quotes | texts need quotes | write \"info\"",
                "6:10 error: `log.format` cannot be \"xml\" | this word is not known | \
                 write \"json\" or \"text\"",
            ],
        );
    }

    #[test]
    fn texts_need_quotes() {
        for (value, what) in [
            (
                "json",
                "a text without quotes | texts need quotes | write \"json\"",
            ),
            (
                "info",
                "a text without quotes | texts need quotes | write \"info\"",
            ),
            (
                "never",
                "a text without quotes | texts need quotes | write \"never\"",
            ),
            (
                "true2",
                "true or false, or a text without quotes | this is neither | write true, false or \"true2\"",
            ),
            (
                "25s",
                "this is no value | neither a number nor a text in quotes | write a number, or \"25s\"",
            ),
        ] {
            check(
                &format!("[log]\nlevel = {value}"),
                &[&format!("2:9 error: not TOML: {what}")],
            );
        }
    }

    #[test]
    fn quotes_are_closed_on_their_line() {
        for (quote, column) in [('"', 14), ('\'', 14)] {
            check(
                &format!("[log]\nlevel = {quote}info\nformat = \"text\""),
                &[&format!(
                    "2:{column} error: not TOML: a text is not closed | its line ends here | \
                     close it with {quote}"
                )],
            );
        }
    }

    #[test]
    fn what_is_missing_or_there_twice() {
        check(
            "[server]\nworkers =\ndrain = \"1s\"",
            &[
                "2:10 error: not TOML: a key without a value | the value is missing | \
               write a value behind =",
            ],
        );
        check(
            "[log]\nlevel = \"info\"\n[log]\nformat = \"text\"",
            &[
                "3:2 error: not TOML: duplicate key | it is there already | \
               a key, and a [table], can stand only once: make one of the two",
            ],
        );
    }

    #[test]
    fn what_an_open_bracket_or_quote_swallows_is_not_talked_about() {
        for (text, column, what, close) in [
            (
                "listen = [\"127.0.0.1:80\"\n[admin]\nlisten = 5",
                10,
                "list",
                "]",
            ),
            (
                "listen = [\n  \"127.0.0.1:80\",\n\n[admin]\nlistn = \"x\"",
                10,
                "list",
                "]",
            ),
            ("drain = '''25s\n[admin]\nlistn = 5", 9, "text", "'''"),
            ("drain = \"\"\"25s\n[admin]\nlistn = 5", 9, "text", "\"\"\""),
        ] {
            check(
                &format!("[server]\n{text}"),
                &[&format!(
                    "2:{column} error: not TOML: a {what} is not closed | it begins here | close it with {close}"
                )],
            );
        }
    }

    #[test]
    fn after_an_open_brace_nothing_is_certain() {
        check(
            "[server]\ntls = { certificate = \"x\"\nfoo = 1\n",
            &[&format!(
                "3:1 error: not TOML: missing comma between key-value pairs | expected `,` | {HELP}"
            )],
        );
    }

    #[test]
    fn an_open_header_swallows_its_keys() {
        check(
            "[server\nlisten = 5\nfoo = 1\n[admin]\nlistn = 5",
            &[
                "1:8 error: not TOML: unclosed table | it ends here | close it with ]",
                "5:1 error: unknown key \"listn\" in [admin] | did you mean `listen`? | \
                 write `listen` instead",
            ],
        );
    }

    #[test]
    fn other_formats_are_not_read() {
        check_text(
            "server:\n  listen: 5\n",
            &[
                "1:8 error: not TOML: a key without a value | there is no = | write key = value",
                "2:11 error: not TOML: a key without a value | there is no = | write key = value",
            ],
        );
        check_text(
            "{\"server\": {\"listen\": 5}}",
            &[&format!(
                "1:1 error: not TOML: invalid key-value pair | expected key | {HELP}"
            )],
        );
    }

    #[test]
    fn a_byte_order_mark_and_windows_line_ends_are_fine() {
        let text = format!("\u{feff}{}", UPSTREAM.replace('\n', "\r\n"));
        check_text(&text, &[]);
    }
}
