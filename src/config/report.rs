//! Collects what the readers find: problems, and for the references the declarations of keys.

use std::cell::RefCell;

use super::problem::{Problem, Severity, Span};
use super::section::Section;
use super::syntax::Broken;

#[derive(Debug, Default)]
pub(super) struct Report {
    problems: RefCell<Vec<Problem>>,
    /// The spans with TOML syntax errors. Further problems there are ignored; keys may be missing only because of these errors.
    broken: Vec<Span>,
    /// The sections in the order in which they are read. `None`: they are not collected.
    sections: Option<RefCell<Vec<Section>>>,
}

impl Report {
    /// Creates a report that begins with the given syntax errors.
    pub(super) fn new(syntax: Vec<Broken>) -> Self {
        let (broken, problems): (_, Vec<Problem>) = syntax
            .into_iter()
            .map(|broken| (broken.area, broken.problem))
            .unzip();
        Self {
            broken,
            problems: problems.into(),
            sections: None,
        }
    }

    /// Runs the readers to learn what they declare.
    pub(super) fn sections(read: impl FnOnce(&Self)) -> Vec<Section> {
        let report = Self {
            sections: Some(RefCell::default()),
            ..Self::default()
        };
        read(&report);
        report.sections.unwrap_or_default().into_inner()
    }

    /// Collects a declaration.
    pub(super) fn declare(&self, declare: impl FnOnce(&mut Vec<Section>)) {
        if let Some(sections) = &self.sections {
            declare(&mut sections.borrow_mut());
        }
    }

    /// Whether the text has no TOML syntax errors.
    pub(super) fn is_whole(&self) -> bool {
        self.broken.is_empty()
    }

    pub(super) fn push(&self, problem: Problem) {
        let news = !self.broken.iter().any(|area| area.touches(problem.span));
        if news {
            self.problems.borrow_mut().push(problem);
        }
    }

    /// Whether an error was recorded within the span.
    pub(super) fn has_error_in(&self, span: Span) -> bool {
        self.problems.borrow().iter().any(|problem| {
            problem.severity == Severity::Error
                && span.start <= problem.span.start
                && problem.span.end <= span.end
        })
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}
