//! Access to the tables of the file, and the problems of missing keys and wrong types. [`mod@super::read`] reads values.

use std::fmt::Display;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::key::Section;
use super::problem::{Problem, Span};
use super::report::Report;
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
    pub(super) fn values(list: Vec<Self>) -> Vec<T> {
        list.into_iter().map(|at| at.value).collect()
    }
}

/// A table of the file. An absent table behaves like an empty one.
#[derive(Clone)]
pub(super) struct Table<'t> {
    section: &'static Section,
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
    pub(super) fn root(
        section: &'static Section,
        entries: &'t DeTable<'t>,
        report: &'t Report,
    ) -> Self {
        Self {
            section,
            header: Span::default(),
            entries: Some(entries),
            unreadable: false,
            report,
        }
    }

    /// Looks up a key.
    pub(super) fn entry(&self, key: &str) -> Option<Entry<'t>> {
        let (name, value) = self.entries?.get_key_value(key)?;
        Some(Entry::of(name.span().into(), value))
    }

    pub(super) fn section(&self) -> &'static Section {
        self.section
    }

    /// The dotted name of the key, as shown in messages.
    pub(super) fn name(&self, key: &str) -> String {
        match self.section.path {
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

    /// Reports a missing key.
    pub(super) fn require(&self, key: &str, label: &str, help: &str) {
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
    pub(super) fn text<T>(&self, key: &str, entry: Entry<'_>, kind: &Kind<T>) -> Option<T> {
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
        let elements = array
            .iter()
            .map(|element| Entry::of(element.span().into(), element));
        Some(elements.collect())
    }

    /// Returns a subtable. If it is absent, its header span is that of this table.
    pub(super) fn table(&self, section: &'static Section) -> Self {
        let (_, key) = section.name();
        let Some(entry) = self.entry(key) else {
            return Self {
                section,
                header: self.header,
                entries: None,
                unreadable: self.unreadable || self.has_like(key),
                report: self.report,
            };
        };
        let entries = entry.value.as_table();
        if entries.is_none() {
            let message = format!("{} has to be a table", self.name(key));
            let label = format!("this is {}", type_of(entry.value));
            let help = format!("write a line {}, and the keys below it", section.header());
            self.push(Problem::error(entry.span, message, label, help));
        }
        Self {
            section,
            header: entry.span,
            entries,
            unreadable: entries.is_none(),
            report: self.report,
        }
    }

    /// Returns an array of tables. A single table is recorded as an error, and read as an array of one.
    pub(super) fn tables(&self, section: &'static Section) -> Vec<Self> {
        let (_, key) = section.name();
        let Some(entry) = self.entry(key) else {
            return Vec::new();
        };
        let one = |entry: Entry<'t>| {
            entry.value.as_table().map(|entries| Self {
                section,
                header: entry.span,
                entries: Some(entries),
                unreadable: false,
                report: self.report,
            })
        };
        let help = format!("write {} above the keys of each", section.header());
        let not_list = |entry: Entry<'t>| {
            let message = format!("{} is a list of tables", self.name(key));
            let label = format!("this is {}", type_of(entry.value));
            self.push(Problem::error(entry.span, message, label, &help));
        };
        let Some(array) = entry.value.as_array() else {
            not_list(entry);
            return one(entry).into_iter().collect();
        };
        let mut tables = Vec::new();
        for element in array {
            let element = Entry::of(element.span().into(), element);
            match one(element) {
                Some(table) => tables.push(table),
                None => not_list(element),
            }
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
