//! Problems of a configuration, with their position and what to write instead.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// A byte range of the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The offset of the first byte.
    pub start: usize,
    /// The offset after the last byte.
    pub end: usize,
}

impl Span {
    /// Converts the span into a `Range`.
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// Whether the spans overlap or are adjacent.
    pub fn touches(self, other: Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// Clamps the span to `text` and to character boundaries.
    fn within(self, text: &str) -> Self {
        let end = text.floor_char_boundary(self.end);
        let start = text.floor_char_boundary(self.start.min(end));
        Self { start, end }
    }

    /// Cuts the span at the end of its first line: underlining many lines would not show the place.
    fn first_line(self, text: &str) -> Self {
        let length = text
            .get(self.range())
            .and_then(|covered| covered.find(['\r', '\n']));
        Self {
            start: self.start,
            end: length.map_or(self.end, |length| self.start + length),
        }
    }
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self {
            start: range.start,
            end: range.end,
        }
    }
}

/// The severity of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The gate does not start.
    Error,
    /// The gate starts, and the operator should know about the problem.
    Warning,
}

/// A problem of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The severity of a problem.
    pub severity: Severity,
    /// The text to underline.
    pub span: Span,
    /// The description of the problem.
    pub message: String,
    /// The reason, shown at the caret.
    pub label: String,
    /// What to write instead.
    pub help: String,
    /// A second, related position and its label.
    pub also: Option<(Span, String)>,
}

impl Problem {
    /// Creates a problem with which the gate does not start.
    pub fn error(
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            span,
            message: message.into(),
            label: label.into(),
            help: help.into(),
            also: None,
        }
    }

    /// Creates a problem with which the gate still starts.
    pub fn warning(
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(span, message, label, help)
        }
    }

    /// Adds a second position with its label.
    #[must_use]
    pub fn and_at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.also = Some((span, label.into()));
        self
    }
}

/// All problems of one text, sorted by position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    file_name: String,
    text: String,
    list: Vec<Problem>,
}

impl std::error::Error for Problems {}

impl Problems {
    /// Sorts the problems, and clamps spans that lie outside of the text.
    pub(super) fn new(file_name: &str, text: &str, mut list: Vec<Problem>) -> Self {
        for problem in &mut list {
            problem.span = problem.span.within(text);
            for said in [&mut problem.message, &mut problem.label, &mut problem.help] {
                *said = without_secrets(said);
            }
            if let Some((span, _)) = &mut problem.also {
                *span = span.within(text);
            }
        }
        list.sort_by_key(|problem| problem.span);
        list.dedup();
        Self {
            file_name: file_name.to_owned(),
            text: without_secrets(text),
            list,
        }
    }

    /// Iterates over the problems in the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// Whether there are no problems.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The number of problems of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.iter()
            .filter(|problem| problem.severity == severity)
            .count()
    }

    /// Formats the first error as one line: `config.toml:3:7: unknown key "x": why; write "y" instead`. `None`: no errors.
    pub fn first_error(&self) -> Option<String> {
        let first = self
            .iter()
            .find(|problem| problem.severity == Severity::Error)?;
        let before = self.text.get(..first.span.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .map_or(0, |line| line.chars().count())
            + 1;
        Some(format!(
            "{}:{line}:{column}: {}: {}; {}",
            self.file_name, first.message, first.label, first.help
        ))
    }

    /// Formats every problem with file, line, column, caret and help, each followed by an empty line.
    pub fn render(&self, renderer: &Renderer) -> String {
        self.iter()
            .map(|problem| self.render_one(problem, renderer) + "\n\n")
            .collect()
    }

    fn render_one(&self, problem: &Problem, renderer: &Renderer) -> String {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let primary = AnnotationKind::Primary
            .span(problem.span.first_line(&self.text).range())
            .label(&problem.label);
        let also = problem.also.iter().map(|(span, label)| {
            AnnotationKind::Context
                .span(span.first_line(&self.text).range())
                .label(label)
        });
        let snippet = Snippet::source(&self.text)
            .path(&self.file_name)
            .annotation(primary)
            .annotations(also);
        let group: Group<'_> = level
            .primary_title(&problem.message)
            .element(snippet)
            .element(Level::HELP.message(&problem.help));
        renderer.render(&[group])
    }
}

/// Masks what may be a user name or a password in a URL, because diagnostics end up in logs: in each string, the text from the
/// first colon to the last `@`. A part of a path may be masked as well. All offsets stay the same.
fn without_secrets(text: &str) -> String {
    let masked = |part: &str| {
        let Some((scheme, rest)) = part.split_once(':') else {
            return part.to_owned();
        };
        let Some((secret, shown)) = rest.rsplit_once('@') else {
            return part.to_owned();
        };
        let secret_begins = secret.len() - secret.trim_start_matches('/').len();
        let (slashes, secret) = secret.split_at(secret_begins);
        let stars = "*".repeat(secret.len());
        format!("{scheme}:{slashes}{stars}@{shown}")
    };
    text.split_inclusive(['"', '\n']).map(masked).collect()
}

/// Formats all problems without colours.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&Renderer::plain()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(span: Range<usize>, text: &str, expected: &str) {
        let problem = Problem::error(span.into(), "message", "label", "help");
        let problems = Problems::new("f.toml", text, vec![problem]);
        assert_eq!(problems.to_string().trim_end(), expected, "{text:?}");
    }

    #[test]
    fn a_problem_is_shown_at_its_place() {
        check(
            6..9,
            "a = 1\nb = 2\n",
            "\
error: message
 --> f.toml:2:1
  |
2 | b = 2
  | ^^^ label
  |
  = help: help",
        );
    }

    #[test]
    fn a_long_span_is_shown_by_its_first_line() {
        let shown = "\
error: message
 --> f.toml:1:5
  |
1 | a = [
  |     ^ label
  |
  = help: help";
        check(4..9, "a = [\n1,\n]", shown);
        check(4..10, "a = [\r\n1,\r\n]", shown);
    }

    #[test]
    fn spans_are_moved_into_the_text() {
        for (start, end, text) in [(5, 9, ""), (0, 99, "ä"), (1, 1, "ä"), (9, 3, "abc")] {
            let problem = Problem::error(Span { start, end }, "message", "label", "help");
            let problem = problem.and_at(Span { start: 7, end: 8 }, "also");
            let problems = Problems::new("f.toml", text, vec![problem]);
            for problem in problems.iter() {
                assert!(text.get(problem.span.range()).is_some());
            }
            assert!(problems.to_string().starts_with("error: message\n"));
        }
    }

    #[test]
    fn problems_are_sorted_and_deduplicated() {
        let problem = |at: usize, message| Problem::warning((at..at).into(), message, "l", "h");
        let list = vec![
            problem(3, "c"),
            problem(0, "a"),
            problem(3, "c"),
            problem(1, "b"),
        ];
        let problems = Problems::new("f.toml", "abcdef", list);
        let messages: Vec<&str> = problems.iter().map(|p| p.message.as_str()).collect();
        assert_eq!(messages, ["a", "b", "c"]);
        assert_eq!(problems.count(Severity::Warning), 3);
        assert_eq!(problems.count(Severity::Error), 0);
    }

    #[test]
    fn passwords_in_urls_are_not_shown() {
        for (text, shown) in [
            (
                "url = \"http://u:pä@h:1/x@y\"",
                "url = \"http://***********@y\"",
            ),
            ("a://b@c@d, e://f", "a://***@d, e://f"),
            ("\"://x\" y@z", "\"://x\" y@z"),
            ("\"u:a/b c?#'@h\" # x:y@z", "\"u:********@h\" # x:*@z"),
            ("a = \"x:1\"\nb = \"y@z\"", "a = \"x:1\"\nb = \"y@z\""),
            ("none", "none"),
        ] {
            assert_eq!(without_secrets(text), shown);
            assert_eq!(without_secrets(text).len(), text.len());
        }
    }
}
