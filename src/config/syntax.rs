//! What is no TOML at all: the parser's findings without those that only follow from another one.
//!
//! What people often write is explained better than the parser does, whose words tell what it is; anything else is told as the
//! parser tells it.

use std::borrow::Cow;

use toml::de::{DeTable, DeValue, Error};

use super::problem::{Problem, Span};
use super::wording::quoted;

/// A problem, and the part of the text of which nothing can be said because of it.
pub(super) struct Broken {
    pub(super) problem: Problem,
    pub(super) area: Span,
}

/// The text without the lines at which the parser gives up, so that it goes on; every byte keeps its place.
pub(super) fn readable(text: &str) -> (Cow<'_, str>, Vec<Broken>) {
    let (_, errors) = DeTable::parse_recoverable(text);
    let mut readable = Cow::Borrowed(text);
    let mut given_up = Vec::new();
    for error in errors {
        if error.message().starts_with("key with no value") {
            let span = place(text, &error);
            let (label, help) = ("there is no =", "write key = value");
            let problem = not_toml(span, "a key without a value", label, help);
            let area = lines(text, span);
            let blank = " ".repeat(area.end - area.start);
            readable.to_mut().replace_range(area.range(), &blank);
            given_up.push(Broken { problem, area });
        }
    }
    (readable, given_up)
}

/// One problem a line, and one for everything that an unclosed list, table or text has swallowed.
pub(super) fn problems(
    readable: &str,
    given_up: Vec<Broken>,
    tree: &DeTable<'_>,
    errors: &[Error],
) -> Vec<Broken> {
    // A list that is not closed explains what else is wrong in it.
    let (unclosed, others): (Vec<&Error>, Vec<&Error>) = errors
        .iter()
        .partition(|error| error.message().starts_with("unclosed array,"));
    let mut kept = given_up;
    for error in unclosed.into_iter().chain(others) {
        let broken = broken(readable, tree, error);
        if !kept.iter().any(|other| other.area.touches(broken.area)) {
            kept.push(broken);
        }
    }
    kept
}

fn broken(text: &str, tree: &DeTable<'_>, error: &Error) -> Broken {
    let span = place(text, error);
    let told = error.message();
    let (message, expected) = told.split_once(", expected ").unwrap_or((told, ""));
    let written = text.get(span.range()).unwrap_or_default();
    let is_word = written.starts_with(|first: char| first.is_ascii_alphabetic());
    let is_unquoted = message == "string values must be quoted"
        // `info` begins like `inf`.
        || message == "invalid float" && is_word;
    let is_header = matches!(message, "unclosed table" | "unclosed array table");
    let is_unclosed = message == "unclosed array"
        || message.ends_with("string") && matches!(expected, "`\"`" | "`'`");
    let in_braces = message.contains("inline table") || message.contains("key-value pairs");
    let is_duplicate = message == "duplicate key" || message.starts_with("cannot extend");
    let value = value_around(tree, span.end);
    let problem = match value {
        Some(value) if is_unclosed => unclosed(text, value),
        _ if is_header => {
            let help = format!("close it with {}", expected.replace('`', ""));
            not_toml(span, "unclosed table header", "it ends here", &help)
        }
        _ if is_unquoted && written.is_empty() => {
            let (label, help) = ("the value is missing", "write a value behind =");
            not_toml(span, "a key without a value", label, help)
        }
        _ if is_unquoted => {
            let help = format!("write {}", quoted(written));
            not_toml(
                span,
                "a string without quotes",
                "strings need quotes",
                &help,
            )
        }
        _ if is_duplicate => {
            let help = "a key, and a [table], can stand only once: make one of the two";
            not_toml(span, "duplicate key", "it is there already", help)
        }
        _ => {
            let label = match expected {
                "" | "nothing" => "here".to_owned(),
                expected => format!("expected {expected}"),
            };
            not_toml(span, message, &label, HELP)
        }
    };
    let area = match value {
        // It is not known where a table in braces was meant to end.
        _ if in_braces => Span {
            end: text.len(),
            ..lines(text, span)
        },
        Some(value) => lines(text, value),
        None if is_header => up_to_next_header(text, lines(text, span)),
        None => lines(text, span),
    };
    Broken { problem, area }
}

fn place(text: &str, error: &Error) -> Span {
    Span::from(error.span().unwrap_or(text.len()..text.len()))
}

fn not_toml(span: Span, message: &str, label: &str, help: &str) -> Problem {
    Problem::error(span, format!("not TOML: {message}"), label, help)
}

const HELP: &str = "TOML is key = value, with strings in \"quotes\", lists in [brackets] and tables below a line [name]";

/// The opening bracket or quote is where the mistake is seen; the parser only notices it at the end of the line or file.
fn unclosed(text: &str, value: Span) -> Problem {
    let opening = text.get(value.start..).unwrap_or_default();
    let (what, close) = match opening.get(..1) {
        Some("[") => ("list", "]"),
        _ if opening.starts_with("\"\"\"") => ("string", "\"\"\""),
        _ if opening.starts_with("'''") => ("string", "'''"),
        quote => ("string", quote.unwrap_or_default()),
    };
    let span = Span {
        start: value.start,
        end: value.start + close.len(),
    };
    let (message, help) = (
        format!("a {what} is not closed"),
        format!("close it with {close}"),
    );
    not_toml(span, &message, "it begins here", &help)
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
    use super::HELP;
    use crate::config::testing::{UPSTREAM, check, check_text};

    #[test]
    fn several_mistakes_are_found_and_only_one_in_a_line() {
        check(
            "[server]\nworkers = 01\ndrain : \"5s\" : 1\n[log]\nlevel = info\nformat = \"xml\"",
            &[
                &format!("2:11 error: not TOML: unexpected leading zero | here | {HELP}"),
                "3:7 error: not TOML: a key without a value | there is no = | write key = value",
                "5:9 error: not TOML: a string without quotes | strings need quotes | write \"info\"",
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
                "not TOML: a string without quotes | strings need quotes | write \"json\"",
            ),
            (
                "info",
                "not TOML: a string without quotes | strings need quotes | write \"info\"",
            ),
            (
                "never",
                "not TOML: a string without quotes | strings need quotes | write \"never\"",
            ),
            (
                "25s",
                "not TOML: a string without quotes | strings need quotes | write \"25s\"",
            ),
        ] {
            check(
                &format!("[log]\nlevel = {value}"),
                &[&format!("2:9 error: {what}")],
            );
        }
    }

    #[test]
    fn quotes_are_closed_on_their_line() {
        for quote in ['"', '\''] {
            check(
                &format!("[log]\nlevel = {quote}info\nformat = \"text\""),
                &[&format!(
                    "2:9 error: not TOML: a string is not closed | it begins here | close it with {quote}"
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
            ("drain = '''25s\n[admin]\nlistn = 5", 9, "string", "'''"),
            (
                "drain = \"\"\"25s\n[admin]\nlistn = 5",
                9,
                "string",
                "\"\"\"",
            ),
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
                "1:8 error: not TOML: unclosed table header | it ends here | close it with ]",
                "5:1 error: unknown key \"listn\" in [admin] | did you mean `listen`? | \
                 write `listen` instead",
            ],
        );
    }

    #[test]
    fn what_a_key_or_value_is_made_of_is_told_as_the_parser_tells_it() {
        for (line, problem) in [
            (
                "level = \"a\\q\"",
                "2:12 error: not TOML: missing escaped value | expected `b`, `e`, `f`, `n`, `r`, `\\`, `\"`, `x`, `u`, `U`",
            ),
            ("level = 1__0", "2:10"),
            ("level = 2026-13-01", "2:9"),
            ("level = \"5\" 5", "2:13"),
            ("le vel = 5", "2:4"),
        ] {
            let found = crate::config::testing::problems(&format!("[log]\n{line}\n{UPSTREAM}"));
            let only = found.first().filter(|_| found.len() == 1);
            assert!(
                only.is_some_and(|only| only.starts_with(problem)),
                "{line}: {found:?}"
            );
        }
    }

    #[test]
    fn a_quote_that_is_escaped_closes_nothing() {
        check(
            "[log]\nlevel = \"\"\"info\\\"\"\"\nformat = \"text\"",
            &[
                "2:9 error: not TOML: a string is not closed | it begins here | close it with \"\"\"",
            ],
        );
    }

    #[test]
    fn a_table_that_is_extended_where_it_cannot_be_is_there_already() {
        for (text, place) in [
            ("log = 5\n[log.level]", "2:2"),
            ("log = { level = \"info\" }\n[log.x]", "2:2"),
            ("[log]\nlevel = \"info\"\nlevel.x = 5", "3:1"),
        ] {
            let found = crate::config::testing::problems(&format!("{text}\n{UPSTREAM}"));
            let twice = format!("{place} error: not TOML: duplicate key | it is there already");
            assert!(
                found.iter().any(|found| found.starts_with(&twice)),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn depth_is_bounded() {
        for open in ["[", "{a=", "[{a="] {
            let deep = open.repeat(10_000);
            let found = crate::config::testing::problems(&format!("{UPSTREAM}x = {deep}"));
            assert!(!found.is_empty(), "{open}");
        }
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
