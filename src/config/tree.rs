//! Access to the tables of the file, and their problems. [`mod@super::read`] reads values.

use std::fmt::Display;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Span};
use super::report::Report;
use super::section::{Key, Section, split};
use super::value::{Kind, Wrong};
use super::wording::nearest;

/// A value and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct At<T> {
    pub(super) span: Span,
    pub(super) value: T,
}

impl<T> At<T> {
    /// The values without their positions.
    pub(super) fn values(list: &[Self]) -> Vec<T>
    where
        T: Clone,
    {
        list.iter().map(|at| at.value.clone()).collect()
    }
}

/// A table of the file. An absent table behaves like an empty one.
#[derive(Clone, Copy)]
pub(super) struct Table<'t> {
    /// The dotted path of the section; empty for the top level.
    path: &'static str,
    header: Span,
    entries: Option<&'t DeTable<'t>>,
    /// The value exists but is not a table, so missing keys are not reported.
    unreadable: bool,
    report: &'t Report,
}

/// A key with its value. For an element of a list, the span of the key is that of the element.
#[derive(Clone, Copy)]
pub(super) struct Entry<'t> {
    key: Span,
    pub(super) span: Span,
    pub(super) value: &'t DeValue<'t>,
}

impl<'t> Table<'t> {
    /// The top-level table of the file.
    pub(super) fn root(entries: &'t DeTable<'t>, report: &'t Report) -> Self {
        Self {
            path: "",
            header: Span::default(),
            entries: Some(entries),
            unreadable: false,
            report,
        }
    }

    /// Looks up a key, and declares it for the references.
    pub(super) fn declare(
        &self,
        name: &'static str,
        describe: impl FnOnce() -> Key,
    ) -> Option<Entry<'t>> {
        self.declare_section(|section| section.keys.push(Key { name, ..describe() }));
        self.entry(name)
    }

    pub(super) fn declare_section(&self, declare: impl FnOnce(&mut Section)) {
        self.report.declare(|sections| {
            let mut sections = sections.iter_mut();
            if let Some(section) = sections.find(|section| section.path == self.path) {
                declare(section);
            }
        });
    }

    /// Looks up a key.
    pub(super) fn entry(&self, key: &str) -> Option<Entry<'t>> {
        let (name, value) = self.entries?.get_key_value(key)?;
        Some(Entry::of(name.span().into(), value))
    }

    /// The dotted name of the key, as shown in messages.
    pub(super) fn name(&self, key: &str) -> String {
        match self.path {
            "" => format!("`{key}`"),
            path => format!("`{path}.{key}`"),
        }
    }

    /// The span of the value of a key, or of the table's header if the key is absent.
    pub(super) fn at(&self, key: &str) -> Span {
        self.entry(key).map_or(self.header, |entry| entry.span)
    }

    /// The span of the table's header, or of the nearest enclosing table's header if the table is absent.
    pub(super) fn header(&self) -> Span {
        self.header
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// Whether no error was found in the value of the key.
    pub(super) fn is_good(&self, key: &str) -> bool {
        self.entry(key).is_none_or(|entry| {
            let whole = Span {
                start: entry.key.start.min(entry.span.start),
                end: entry.span.end.max(entry.key.end),
            };
            !self.report.has_error_in(whole)
        })
    }

    /// Whether no error was found in any value of the table.
    pub(super) fn is_all_good(&self) -> bool {
        self.entries
            .is_none_or(|entries| entries.keys().all(|key| self.is_good(key.get_ref())))
    }

    /// Whether the whole text has no TOML syntax errors.
    pub(super) fn is_whole(&self) -> bool {
        self.report.is_whole()
    }

    pub(super) fn push(&self, problem: Problem) {
        self.report.push(problem);
    }

    /// Whether a key is absent, and no earlier error explains its absence.
    pub(super) fn lacks(&self, key: &str) -> bool {
        self.report.is_whole() && !self.unreadable && !self.has(key) && !self.has_like(key)
    }

    /// Whether the table has an unknown key that is probably a misspelling of this one.
    fn has_like(&self, key: &str) -> bool {
        let mut keys = self.entries.iter().flat_map(|entries| entries.keys());
        keys.any(|written| nearest(written.get_ref(), &[key]).is_some())
    }

    /// Declares a key as required, and reports it if it is missing.
    pub(super) fn require(&self, key: &'static str, label: &str, help: &str) {
        self.declare_section(|section| section.required.push(key));
        if self.lacks(key) {
            let message = format!("{} is missing", self.name(key));
            self.push(Problem::error(self.header, message, label, help));
        }
    }

    /// Reports a value of the wrong type once, with what to write instead.
    pub(super) fn wrong_type(
        &self,
        key: &str,
        entry: Entry<'_>,
        expected: &str,
        instead: impl Display,
    ) {
        let message = format!("{} has to be {expected}", self.name(key));
        let label = format!("this is {}", type_of(entry.value));
        let help = if entry.is_element() {
            format!("write {instead}")
        } else {
            format!("write {key} = {instead}")
        };
        self.push(Problem::error(entry.span, message, label, help));
    }

    /// Reports an invalid string.
    pub(super) fn wrong(&self, key: &str, span: Span, what: &str, wrong: Wrong) {
        let name = self.name(key);
        let message = match wrong.later {
            Some(later) => format!("{name}: {later} is not supported in this version"),
            None => format!("{name} is not {what}"),
        };
        self.push(Problem::error(span, message, wrong.label, wrong.help));
    }

    /// Reads a string of the given kind. `None`: it is invalid, and the problem is recorded.
    pub(super) fn text_of<T>(&self, key: &str, entry: Entry<'_>, kind: &Kind<T>) -> Option<T> {
        let Some(text) = entry.value.as_str() else {
            let example = match entry.value.as_integer() {
                Some(number) if !kind.unit.is_empty() => format!("{number}{}", kind.unit),
                Some(_) | None => kind.example.to_owned(),
            };
            let example = format!("{example:?}");
            self.wrong_type(key, entry, &format!("{} in quotes", kind.what), example);
            return None;
        };
        (kind.read)(text)
            .map_err(|wrong| self.wrong(key, entry.span, kind.what, wrong))
            .ok()
    }

    pub(super) fn is_empty_list(&self, key: &str) -> bool {
        self.entry(key)
            .and_then(|entry| entry.value.as_array())
            .is_some_and(|list| list.is_empty())
    }

    /// Reports an empty list.
    pub(super) fn empty_list(&self, key: &str, why: &str, instead: &str) {
        let message = format!("{} is empty", self.name(key));
        let help = format!("write for example {key} = {instead}");
        self.push(Problem::error(self.at(key), message, why, help));
    }

    /// The elements of a list, of any type.
    pub(super) fn elements<'e>(
        &self,
        key: &str,
        entry: Entry<'e>,
        example: &str,
    ) -> Option<Vec<Entry<'e>>> {
        let Some(array) = entry.value.as_array() else {
            let element = entry.value.as_str().unwrap_or(example);
            self.wrong_type(key, entry, "a list", format!("[{element:?}]"));
            return None;
        };
        Some(array.iter().map(Entry::element).collect())
    }

    /// Returns a subtable. If it is absent, its header span is that of this table.
    pub(super) fn table(&self, path: &'static str) -> Self {
        let declared = Section::new(path, false);
        self.report.declare(|sections| sections.push(declared));
        let (_, key) = split(path);
        let Some(entry) = self.entry(key) else {
            return Self {
                path,
                entries: None,
                unreadable: self.unreadable || self.has_like(key),
                ..*self
            };
        };
        let entries = entry.value.as_table();
        if entries.is_none() {
            let message = format!("{} has to be a table", self.name(key));
            let label = format!("this is {}", type_of(entry.value));
            let help = format!("write a line [{path}], and the keys below it");
            self.push(Problem::error(entry.span, message, label, help));
        }
        Self {
            path,
            header: entry.span,
            entries,
            unreadable: entries.is_none(),
            ..*self
        }
    }

    /// Returns an array of tables. A single table is recorded as an error, and read as an array of one.
    pub(super) fn tables(&self, path: &'static str) -> Vec<Self> {
        let declared = Section::new(path, true);
        self.report.declare(|sections| sections.push(declared));
        let (_, key) = split(path);
        let Some(entry) = self.entry(key) else {
            return Vec::new();
        };
        let array = entry.value.as_array();
        let elements: Vec<Entry<'_>> = match array {
            Some(array) => array.iter().map(Entry::element).collect(),
            None => vec![entry],
        };
        let mut tables = Vec::new();
        for element in elements {
            let entries = element.value.as_table();
            if array.is_none() || entries.is_none() {
                let message = format!("{} is a list of tables", self.name(key));
                let label = format!("this is {}", type_of(element.value));
                let help = format!("write [[{path}]] above the keys of each");
                self.push(Problem::error(element.span, message, label, help));
            }
            tables.extend(entries.map(|entries| Self {
                path,
                header: element.span,
                entries: Some(entries),
                unreadable: false,
                ..*self
            }));
        }
        tables
    }
}

impl<'t> Entry<'t> {
    fn of(key: Span, value: &'t Spanned<DeValue<'t>>) -> Self {
        Self {
            key,
            span: value.span().into(),
            value: value.get_ref(),
        }
    }

    pub(super) fn element(value: &'t Spanned<DeValue<'t>>) -> Self {
        Self::of(value.span().into(), value)
    }

    /// Whether this is an element of a list, which has no key.
    fn is_element(&self) -> bool {
        self.key == self.span
    }
}

/// The name of the type, with its article.
fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests;
