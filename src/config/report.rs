//! The problems that the readers find.

use std::cell::RefCell;

use super::problem::{Problem, Severity, Span};
use super::syntax::Broken;

/// Collects while the tree is read.
#[derive(Debug, Default)]
pub(super) struct Report {
    problems: RefCell<Vec<Problem>>,
    /// Where the text is no TOML. What is found there is no news, and a key may be missing only because of it.
    broken: Vec<Span>,
}

impl Report {
    /// `syntax`: what is no TOML.
    pub(super) fn new(syntax: Vec<Broken>) -> Self {
        let (areas, problems) = syntax
            .into_iter()
            .map(|broken| (broken.area, broken.problem))
            .unzip();
        Self {
            broken: areas,
            problems: RefCell::new(problems),
        }
    }

    /// Whether the text is TOML throughout.
    pub(super) fn is_whole(&self) -> bool {
        self.broken.is_empty()
    }

    pub(super) fn push(&self, problem: Problem) {
        let news = !self.broken.iter().any(|area| area.touches(problem.span));
        if news {
            self.problems.borrow_mut().push(problem);
        }
    }

    /// Whether an error lies within that span.
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
