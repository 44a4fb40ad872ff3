//! TOML syntax errors: those of the parser, without errors that only follow from another one.
//!
//! The parser reports errors as English sentences only. Their kind is derived from the text instead: from the tokens and
//! values at the position of the error, and from the token that the parser expected.

use std::borrow::Cow;
use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue, Error};
use toml_parser::decoder::{Encoding, ScalarKind};
use toml_parser::parser::{Event, EventKind, RecursionGuard, ValidateWhitespace, parse_document};
use toml_parser::{Expected, ParseError, Source};

use super::problem::{Problem, Span};
use super::wording::quoted;

/// A syntax error, and the part of the text that cannot be checked because of it.
pub(super) struct Broken {
    pub(super) problem: Problem,
    pub(super) area: Span,
}

/// Replaces the lines at which the parser gives up with spaces, so that it continues. All offsets stay the same.
pub(super) fn readable(text: &str) -> (Cow<'_, str>, Vec<Broken>) {
    let grammar = Grammar::of(text);
    let mut readable = Cow::Borrowed(text);
    let mut given_up = Vec::new();
    for span in grammar.errors.keys() {
        if let (Reach::GivesUp, problem) = grammar.explain(*span, "") {
            let area = lines(text, *span);
            let blank = " ".repeat(area.end - area.start);
            readable.to_mut().replace_range(area.range(), &blank);
            given_up.push(Broken { problem, area });
        }
    }
    (readable, given_up)
}

/// Returns one problem per line. An unclosed list, table or string is one problem, whatever text it extends over.
pub(super) fn problems(
    readable: &str,
    given_up: Vec<Broken>,
    tree: &DeTable<'_>,
    errors: &[Error],
) -> Vec<Broken> {
    if errors.is_empty() {
        return given_up;
    }
    let grammar = Grammar::of(readable);
    let mut found = given_up;
    found.extend(errors.iter().map(|error| broken(&grammar, tree, error)));
    found.sort_by_key(|broken| (broken.area.start, broken.problem.span));
    let mut kept: Vec<Broken> = Vec::new();
    for broken in found {
        if !kept.iter().any(|other| other.area.touches(broken.area)) {
            kept.push(broken);
        }
    }
    kept
}

/// How much of the text an error affects.
enum Reach {
    Line,
    /// One line, at which the parser gives up.
    GivesUp,
    /// The text up to the next header.
    NextHeader,
    /// An unclosed list, inline table or multi-line string.
    Value,
    /// The rest of the file: the end of the affected text is unknown.
    End,
}

/// The parser events and syntax errors of a TOML text.
struct Grammar<'t> {
    text: &'t str,
    /// Sorted by position.
    events: Vec<Event>,
    /// By the span of the unexpected text. Includes errors in the document's structure, and in single keys and values.
    errors: BTreeMap<Span, ParseError>,
}

impl<'t> Grammar<'t> {
    fn of(text: &'t str) -> Self {
        /// The nesting depth at which the parser that builds the tree stops.
        const DEPTH: u32 = 80;
        let source = Source::new(text);
        let tokens = source.lex().into_vec();
        let (mut events, mut errors) = (Vec::with_capacity(tokens.len()), Vec::new());
        let mut receiver = ValidateWhitespace::new(&mut events, source);
        let mut receiver = RecursionGuard::new(&mut receiver, DEPTH);
        parse_document(&tokens, &mut receiver, &mut errors);
        for event in &events {
            let Some(raw) = source.get(event) else {
                continue;
            };
            if event.kind() == EventKind::SimpleKey {
                raw.decode_key(&mut Cow::Borrowed(""), &mut errors);
            } else if event.kind() == EventKind::Scalar {
                let _kind = raw.decode_scalar(&mut Cow::Borrowed(""), &mut errors);
            }
        }
        events.sort_by_key(|event| event.span().start());
        // Of several errors at one position the first one is kept.
        let errors = errors.into_iter().rev();
        let errors = errors.filter_map(|error| Some((span(error.unexpected()?), error)));
        Self {
            text,
            events,
            errors: errors.collect(),
        }
    }

    fn written(&self, span: Span) -> &'t str {
        self.text.get(span.range()).unwrap_or_default()
    }

    /// The event of that kind at the position.
    fn event(&self, kind: EventKind, place: Span) -> Option<&Event> {
        let begun = |event: &Event| event.span().start() <= place.start;
        let begun = self.events.partition_point(begun);
        let near = self.events.iter().take(begun).rev();
        near.take_while(|event| event.span().end() >= place.start)
            .find(|event| event.kind() == kind && event.span().end() >= place.end)
    }

    /// Describes the error at a position. `told` is the message of the parser.
    fn explain(&self, place: Span, told: &str) -> (Reach, Problem) {
        let error = self.errors.get(&place);
        let begins = |kind| {
            let context = error.and_then(ParseError::context).map(span);
            context.is_some_and(|context| self.event(kind, context).is_some())
        };
        let (in_list, in_braces) = (
            begins(EventKind::ArrayOpen),
            begins(EventKind::InlineTableOpen),
        );
        let as_told = || {
            let message = error.map_or(told, ParseError::description);
            not_toml(
                place,
                message,
                &error.map_or_else(|| HERE.to_owned(), expected),
                HELP,
            )
        };
        match error.and_then(ParseError::expected).unwrap_or_default() {
            [Expected::Literal("]")] if in_list => return (Reach::Value, as_told()),
            [Expected::Literal("}")] if in_braces => return (Reach::Value, as_told()),
            _ if in_braces => return (Reach::End, as_told()),
            [Expected::Literal(close @ ("]" | "]]"))] => {
                let help = format!("close it with {close}");
                let problem = not_toml(place, "unclosed table header", "it ends here", &help);
                return (Reach::NextHeader, problem);
            }
            [Expected::Literal("=")] => {
                let (label, help) = ("there is no =", "write key = value");
                let problem = not_toml(place, "a key without a value", label, help);
                return (Reach::GivesUp, problem);
            }
            _ => {}
        }
        if let Some(event) = self.event(EventKind::Scalar, place) {
            let written = self.written(span(event.span()));
            let quotes = event.encoding().map(quotes);
            return match quotes.filter(|quotes| !is_closed(written, quotes)) {
                Some(quotes) if quotes.len() > 1 => (Reach::Value, as_told()),
                Some(quote) => {
                    let help = format!("close it with {quote}");
                    let (message, label) = ("a string is not closed", "its line ends here");
                    (Reach::Line, not_toml(place, message, label, &help))
                }
                None => {
                    let bare = quotes.is_none().then(|| self.bare_value(event, place));
                    (Reach::Line, bare.flatten().unwrap_or_else(as_told))
                }
            };
        }
        let is_key = self.event(EventKind::SimpleKey, place).is_some();
        let problem = if is_key && error.is_none() {
            let help = "a key, and a [table], can stand only once: make one of the two";
            not_toml(place, "duplicate key", "it is there already", help)
        } else {
            as_told()
        };
        (Reach::Line, problem)
    }

    /// Describes the error in an unquoted value, if that can be more precise than the message of the parser.
    fn bare_value(&self, event: &Event, place: Span) -> Option<Problem> {
        let written = self.written(span(event.span()));
        let is_word = written.starts_with(|first: char| first.is_ascii_alphabetic());
        let raw = Source::new(self.text).get(event)?;
        let (message, label, help) = match raw.decode_scalar(&mut (), &mut ()) {
            _ if written.is_empty() => (
                "a key without a value",
                "the value is missing",
                "write a value behind =".to_owned(),
            ),
            ScalarKind::Boolean(_) if is_word => (
                "true or false, or a string without quotes",
                "this is neither",
                format!("write true, false or {}", quoted(written)),
            ),
            // `info` begins like `inf`.
            ScalarKind::String | ScalarKind::Float if is_word => (
                "a string without quotes",
                "strings need quotes",
                format!("write {}", quoted(written)),
            ),
            ScalarKind::String => {
                let (message, label) = ("not a valid TOML value", "strings need quotes");
                let help = format!("write a number, or {}", quoted(written));
                return Some(Problem::error(place, message, label, help));
            }
            ScalarKind::Integer(_) | ScalarKind::Float if begins_with_zero(written) => (
                "unexpected leading zero",
                "a number does not begin with 0",
                "write it without the zero".to_owned(),
            ),
            ScalarKind::Boolean(_)
            | ScalarKind::DateTime
            | ScalarKind::Float
            | ScalarKind::Integer(_) => return None,
        };
        Some(not_toml(place, message, label, &help))
    }
}

fn quotes(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::BasicString => "\"",
        Encoding::LiteralString => "'",
        Encoding::MlBasicString => "\"\"\"",
        Encoding::MlLiteralString => "'''",
    }
}

/// Whether a quoted string is closed.
fn is_closed(written: &str, quote: &str) -> bool {
    let inside = written.strip_prefix(quote).unwrap_or_default();
    inside.strip_suffix(quote).is_some_and(|inside| {
        let escapes = inside.bytes().rev().take_while(|byte| *byte == b'\\');
        quote.starts_with('\'') || escapes.count().is_multiple_of(2)
    })
}

fn begins_with_zero(number: &str) -> bool {
    let digits = number.trim_start_matches(['+', '-']).as_bytes();
    matches!(digits, [b'0', b'0'..=b'9', ..])
}

fn span(span: toml_parser::Span) -> Span {
    Span {
        start: span.start(),
        end: span.end(),
    }
}

fn broken(grammar: &Grammar<'_>, tree: &DeTable<'_>, error: &Error) -> Broken {
    let text = grammar.text;
    let span = Span::from(error.span().unwrap_or(text.len()..text.len()));
    let (reach, problem) = grammar.explain(span, error.message());
    let line = lines(text, span);
    let area = match reach {
        Reach::Line | Reach::GivesUp => line,
        Reach::NextHeader => up_to_next_header(text, line),
        Reach::End => Span {
            end: text.len(),
            ..line
        },
        Reach::Value => match value_around(tree, span.end) {
            Some(value) => {
                let (problem, area) = (unclosed(text, value), lines(text, value));
                return Broken { problem, area };
            }
            None => line,
        },
    };
    Broken { problem, area }
}

fn not_toml(span: Span, message: &str, label: &str, help: &str) -> Problem {
    Problem::error(span, format!("not TOML: {message}"), label, help)
}

const HERE: &str = "here";

const HELP: &str = "TOML is key = value, with strings in \"quotes\", lists in [brackets] and tables below a line [name]";

/// Lists what the parser expected.
fn expected(error: &ParseError) -> String {
    let expected = error.expected().unwrap_or_default().iter();
    let expected: Vec<String> = expected
        .filter_map(|expected| match expected {
            Expected::Literal("\n") => Some("a new line".to_owned()),
            Expected::Literal(sign) => Some(format!("`{sign}`")),
            Expected::Description(what) => Some((*what).to_owned()),
            _ => None,
        })
        .collect();
    if expected.is_empty() {
        HERE.to_owned()
    } else {
        format!("expected {}", expected.join(", "))
    }
}

/// Reports an unclosed bracket or quote at its opening; the parser reports it at the end of the file.
fn unclosed(text: &str, area: Span) -> Problem {
    let opening = text.get(area.start..).unwrap_or_default();
    let (what, close) = match opening.get(..1) {
        Some("[") => ("list", "]"),
        Some("{") => ("table", "}"),
        _ => ("string", opening.get(..3).unwrap_or_default()),
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

/// The outermost value that contains the position.
fn value_around(table: &DeTable<'_>, place: usize) -> Option<Span> {
    table
        .values()
        .find_map(|value| in_value(value.span().into(), value.get_ref(), place))
}

fn in_value(span: Span, value: &DeValue<'_>, place: usize) -> Option<Span> {
    if span.start < place && place <= span.end {
        return Some(span);
    }
    // The span of a table with a header covers the header only; its values come after it.
    if let Some(table) = value.as_table() {
        return value_around(table, place);
    }
    value
        .as_array()?
        .iter()
        .find_map(|element| in_value(element.span().into(), element.get_ref(), place))
}

/// Extends a span to whole lines, without the last line break.
fn lines(text: &str, span: Span) -> Span {
    let before = text.get(..span.start).and_then(|text| text.rfind('\n'));
    let after = text.get(span.end..).and_then(|text| text.find('\n'));
    Span {
        start: before.map_or(0, |newline| newline + 1),
        end: after.map_or(text.len(), |newline| span.end + newline),
    }
}

/// Extends a line to the next header: below an unclosed header it is unknown to which table the keys belong.
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
                "2:11 error: not TOML: unexpected leading zero | a number does not begin with 0 | \
                 write it without the zero",
                "3:7 error: not TOML: a key without a value | there is no = | write key = value",
                "5:9 error: not TOML: a string without quotes | strings need quotes | write \"info\"",
                "6:10 error: `log.format` cannot be \"xml\" | this word is not known | \
                 write \"json\" or \"text\"",
            ],
        );
    }

    #[test]
    fn strings_need_quotes() {
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
                "true2",
                "not TOML: true or false, or a string without quotes | this is neither | write true, false or \"true2\"",
            ),
            (
                "25s",
                "not a valid TOML value | strings need quotes | write a number, or \"25s\"",
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
        for (quote, column) in [('"', 14), ('\'', 14)] {
            check(
                &format!("[log]\nlevel = {quote}info\nformat = \"text\""),
                &[&format!(
                    "2:{column} error: not TOML: a string is not closed | its line ends here | \
                     close it with {quote}"
                )],
            );
        }
    }

    #[test]
    fn missing_and_duplicate_tokens_are_reported() {
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
    fn text_after_an_unclosed_bracket_or_quote_is_not_checked() {
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
    fn text_after_an_unclosed_brace_is_not_checked() {
        check(
            "[server]\ntls = { certificate = \"x\"\nfoo = 1\n",
            &[&format!(
                "3:1 error: not TOML: missing comma between key-value pairs | expected `,` | {HELP}"
            )],
        );
    }

    #[test]
    fn keys_below_an_unclosed_header_are_not_checked() {
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
    fn errors_within_keys_and_values_use_the_message_of_the_parser() {
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
    fn an_escaped_quote_does_not_close_a_string() {
        check(
            "[log]\nlevel = \"info\\\"\nformat = \"text\"",
            &[
                "2:15 error: not TOML: a string is not closed | its line ends here | close it with \"",
            ],
        );
        check(
            "[log]\nlevel = \"\"\"info\\\"\"\"\nformat = \"text\"",
            &[
                "2:9 error: not TOML: a string is not closed | it begins here | close it with \"\"\"",
            ],
        );
    }

    #[test]
    fn extending_a_closed_table_is_reported_as_a_duplicate() {
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
