//! What is no TOML at all: the parser's findings without those that only follow from another one.

use toml::de::{DeTable, DeValue, Error};

use super::problem::{Problem, Span};
use super::value::quoted;

/// A problem, and the part of the text of which nothing can be said because of it.
pub(super) struct Broken {
    pub(super) problem: Problem,
    pub(super) area: Span,
}

/// One problem a line, and one for everything that an unclosed list, table or text has swallowed.
pub(super) fn problems(text: &str, tree: &DeTable<'_>, errors: &[Error]) -> Vec<Broken> {
    let mut errors: Vec<(Span, &Error)> = errors
        .iter()
        .map(|error| {
            let span = error.span().unwrap_or(text.len()..text.len());
            (Span::from(span), error)
        })
        .collect();
    errors.sort_by_key(|(span, _)| *span);
    let mut broken: Vec<Broken> = Vec::new();
    for (span, error) in &errors {
        let value = is_unclosed_value(error).then(|| value_around(tree, span.end));
        if let Some(area) = value.flatten()
            && !broken.iter().any(|other| other.area.touches(area))
        {
            let problem = unclosed(text, area);
            let area = lines(text, area);
            broken.push(Broken { problem, area });
        }
    }
    for (span, error) in errors {
        let line = lines(text, span);
        if !broken.iter().any(|other| other.area.touches(line)) {
            let area = if error.message().starts_with("unclosed") {
                up_to_next_header(text, line)
            } else {
                line
            };
            let problem = other(text, span, error);
            broken.push(Broken { problem, area });
        }
    }
    broken
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
    let description = description(error);
    let (label, help) = match description {
        "duplicate key" => (
            "it is there already".to_owned(),
            "a key, and a [table], can stand only once: make one of the two".to_owned(),
        ),
        "string values must be quoted" => match text.get(span.range()) {
            None | Some("") => (
                "the value is missing".to_owned(),
                "write a value behind =".to_owned(),
            ),
            Some(unquoted) => (
                "texts need quotes".to_owned(),
                format!("write {}", quoted(unquoted)),
            ),
        },
        "unclosed table" => ("here".to_owned(), "close it with ]".to_owned()),
        "unclosed array table" => ("here".to_owned(), "close it with ]]".to_owned()),
        _ => (
            error
                .message()
                .split_once(", ")
                .map(|(_, expected)| expected)
                .filter(|expected| *expected != "expected nothing")
                .unwrap_or("here")
                .to_owned(),
            "TOML is key = value, with texts in \"quotes\", lists in [brackets] and tables below a line [name]"
                .to_owned(),
        ),
    };
    Problem::error(span, format!("not TOML: {description}"), label, help)
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
