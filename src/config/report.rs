//! What the readers leave behind: problems, and which keys there are.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::problem::{Problem, Severity, Span};
use super::syntax::Broken;

/// Which keys there are: section, then key. Filled by the readers asking for them.
pub(super) type Known = BTreeMap<String, Section>;

/// One table of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Section {
    /// `[[section]]`.
    pub(super) list: bool,
    /// Its keys.
    pub(super) keys: BTreeMap<&'static str, Since>,
}

/// Since when a key does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    /// This version.
    Now,
    /// A later one; until then it is refused.
    Later,
}

/// `[section]` or `[[section]]`, as it is written.
pub(super) fn header(name: &str, section: &Section) -> String {
    if section.list {
        format!("[[{name}]]")
    } else {
        format!("[{name}]")
    }
}

/// Collects while the tree is read.
#[derive(Debug, Default)]
pub(super) struct Report {
    problems: RefCell<Vec<Problem>>,
    known: RefCell<Known>,
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
            known: RefCell::default(),
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

    pub(super) fn know_section(&self, name: &str, list: bool) {
        let mut known = self.known.borrow_mut();
        known.entry(name.to_owned()).or_default().list |= list;
    }

    pub(super) fn know(&self, section: &str, key: &'static str, since: Since) {
        let mut known = self.known.borrow_mut();
        let section = known.entry(section.to_owned()).or_default();
        section.keys.insert(key, since);
    }

    pub(super) fn into_known(self) -> Known {
        self.known.into_inner()
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}
