//! Reads the values of declared keys. Invalid values are recorded as problems, with what to write instead.

use std::fmt::Display;
use std::ops::RangeInclusive;

use toml::de::DeValue;

use super::key::{Day, Flag, Integer, Key, List, Measure, Optional, Share, Text, Words};
use super::problem::{Problem, Span};
use super::tree::{At, Entry, Table};
use super::value::Wrong;
use super::wording::{nearest, one_of, quoted};
use crate::clock::date;

/// A kind of value that can be read from a table.
pub(super) trait Read {
    type Value;
    /// Reads the value of a key. `None`: it is invalid, and the problem is recorded.
    fn read(&self, table: &Table<'_>, key: &str, entry: Entry<'_>) -> Option<Self::Value>;
}

/// A kind of value with a default for keys that are absent or invalid.
pub(super) trait Standard: Read {
    /// Returns the default. `header` is the position of the table without the key.
    fn standard(&self, header: Span) -> Self::Value;
}

impl Table<'_> {
    /// Returns the written value. `None`: absent or invalid. Invalid values and absent required keys are recorded.
    pub(super) fn find<V: Read>(&self, key: &Key<V>) -> Option<V::Value> {
        if let Some((why, help)) = key.required {
            self.require(key.name, why, help);
        }
        let entry = self.entry(key.name)?;
        key.value.read(self, key.name, entry)
    }

    /// Returns the written value, or the default.
    pub(super) fn get<V: Standard>(&self, key: &Key<V>) -> V::Value {
        let written = self.find(key);
        written.unwrap_or_else(|| key.value.standard(self.header()))
    }

    fn bounded<T: Copy + PartialOrd>(
        &self,
        key: &str,
        value: Option<T>,
        default: T,
        range: &RangeInclusive<T>,
        show: impl Fn(T) -> String,
    ) -> Option<T> {
        let bounded = value.filter(|value| range.contains(value));
        if bounded.is_none() {
            let message = format!("{} is out of range", self.name(key));
            let (from, to) = (show(*range.start()), show(*range.end()));
            let label = format!("it goes from {from} to {to}");
            let help = format!("write for example {key} = {}", show(default));
            self.push(Problem::error(self.at(key), message, label, help));
        }
        bounded
    }

    /// Rejects keys that are reserved for later versions, unless the value describes the present behaviour.
    pub(super) fn later(&self) {
        for (key, now) in self.section().later {
            let Some(entry) = self.entry(key) else {
                continue;
            };
            let help = match now {
                Some(now) if is_written(entry.value, now) => continue,
                Some(now) => format!("write {now}, or remove it"),
                None => "remove it".to_owned(),
            };
            let message = format!("{} is not supported in this version", self.name(key));
            let label = "comes with a later version";
            self.push(Problem::error(entry.span, message, label, help));
        }
    }
}

/// Whether `text` is the TOML notation of a string, a boolean or an empty list.
fn is_written(value: &DeValue<'_>, text: &str) -> bool {
    match value {
        DeValue::String(word) => text == format!("{word:?}"),
        DeValue::Boolean(flag) => text == flag.to_string(),
        DeValue::Array(list) => text == "[]" && list.is_empty(),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => false,
    }
}

impl Read for Flag {
    type Value = bool;

    fn read(&self, table: &Table<'_>, key: &str, entry: Entry<'_>) -> Option<bool> {
        let value = entry.value.as_bool();
        if value.is_none() {
            let written = entry.value.as_str().and_then(|text| text.parse().ok());
            let instead: bool = written.unwrap_or(self.0);
            table.wrong_type(key, entry, "true or false", instead);
        }
        value
    }
}

impl Standard for Flag {
    fn standard(&self, _: Span) -> bool {
        self.0
    }
}

impl<T: Copy + PartialOrd + Display + TryFrom<u64>> Read for Integer<T> {
    type Value = T;

    fn read(&self, table: &Table<'_>, key: &str, entry: Entry<'_>) -> Option<T> {
        let Self(default, range) = self;
        let Some(number) = entry.value.as_integer() else {
            let written = entry.value.as_str().and_then(|text| text.parse().ok());
            let instead = written.and_then(|number: u64| T::try_from(number).ok());
            table.wrong_type(key, entry, "a whole number", instead.unwrap_or(*default));
            return None;
        };
        let number = u64::from_str_radix(number.as_str(), number.radix());
        let number = number.ok().and_then(|number| T::try_from(number).ok());
        table.bounded(key, number, *default, range, |number| number.to_string())
    }
}

impl<T: Copy + PartialOrd + Display + TryFrom<u64>> Standard for Integer<T> {
    fn standard(&self, _: Span) -> T {
        self.0
    }
}

impl Read for Share {
    type Value = f64;

    fn read(&self, table: &Table<'_>, key: &str, entry: Entry<'_>) -> Option<f64> {
        let digits = match (entry.value.as_float(), entry.value.as_integer()) {
            (Some(float), _) => float.as_str(),
            (None, Some(integer)) => integer.as_str(),
            (None, None) => {
                table.wrong_type(key, entry, "a number", self.0);
                return None;
            }
        };
        let share = digits.parse().ok().filter(|share: &f64| *share > 0.0);
        table.bounded(key, share, self.0, &(0.0..=1.0), |share| {
            if share > 0.0 {
                share.to_string()
            } else {
                "above 0".to_owned()
            }
        })
    }
}

impl Standard for Share {
    fn standard(&self, _: Span) -> f64 {
        self.0
    }
}

impl<T: Copy + PartialOrd> Read for Measure<T> {
    type Value = T;

    fn read(&self, table: &Table<'_>, key: &str, entry: Entry<'_>) -> Option<T> {
        let measure = table.text(key, entry, self.of)?;
        table.bounded(key, Some(measure), self.default, &self.range, self.show)
    }
}

impl<T: Copy + PartialOrd> Standard for Measure<T> {
    fn standard(&self, _: Span) -> T {
        self.default
    }
}

impl<T: Copy + PartialEq> Read for Words<T> {
    type Value = T;

    fn read(&self, table: &Table<'_>, key: &str, entry: Entry<'_>) -> Option<T> {
        let Some(text) = entry.value.as_str() else {
            let usual = format!("{:?}", self.usual());
            table.wrong_type(key, entry, "a word in quotes", usual);
            return None;
        };
        if let Some((_, value)) = self.choices.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let known = self.known();
        let help = format!("write {}", one_of(&known));
        if self.later.contains(&text) {
            table.wrong(key, entry.span, "", Wrong::later(quoted(text), help));
            return None;
        }
        let message = format!("{} cannot be {}", table.name(key), quoted(text));
        let label = nearest(text, &known).map_or_else(
            || "this word is not known".to_owned(),
            |(_, word)| format!("did you mean {word:?}?"),
        );
        table.push(Problem::error(entry.span, message, label, help));
        None
    }
}

impl<T: Copy + PartialEq> Standard for Words<T> {
    fn standard(&self, _: Span) -> T {
        self.default
    }
}

impl<T> Read for Text<T> {
    type Value = T;

    fn read(&self, table: &Table<'_>, key: &str, entry: Entry<'_>) -> Option<T> {
        table.text(key, entry, self.0)
    }
}

impl<T> Standard for Text<T> {
    fn standard(&self, _: Span) -> T {
        (self.1)()
    }
}

impl<T> Read for Optional<T> {
    type Value = T;

    fn read(&self, table: &Table<'_>, key: &str, entry: Entry<'_>) -> Option<T> {
        table.text(key, entry, self.0)
    }
}

/// Invalid elements are recorded and left out.
impl<T> Read for List<T> {
    type Value = Vec<At<T>>;

    fn read(&self, table: &Table<'_>, key: &str, entry: Entry<'_>) -> Option<Vec<At<T>>> {
        let elements = table.elements(key, entry, self.of.example)?;
        if let Some(why) = self.not_empty.filter(|_| elements.is_empty()) {
            table.empty_list(key, why, &format!("[{:?}]", self.of.example));
        }
        let mut seen: Vec<(&str, Span)> = Vec::new();
        let mut list = Vec::new();
        for element in elements {
            let Some(value) = table.text(key, element, self.of) else {
                continue;
            };
            let text = element.value.as_str().unwrap_or_default();
            if let Some((_, first)) = seen.iter().find(|(earlier, _)| *earlier == text) {
                let message = format!("{} lists {} twice", table.name(key), quoted(text));
                let problem = Problem::error(element.span, message, "again", "remove one of them");
                table.push(problem.and_at(*first, "here already"));
                continue;
            }
            seen.push((text, element.span));
            list.push(At {
                span: element.span,
                value,
            });
        }
        Some(list)
    }
}

impl<T> Standard for List<T> {
    fn standard(&self, header: Span) -> Vec<At<T>> {
        let read = |text: &&str| (self.of.read)(text).ok();
        let at = |value| At {
            span: header,
            value,
        };
        self.default.iter().filter_map(read).map(at).collect()
    }
}

impl Read for Day {
    type Value = u64;

    fn read(&self, table: &Table<'_>, key: &str, entry: Entry<'_>) -> Option<u64> {
        let day = match (entry.value.as_datetime(), entry.value.as_str()) {
            (Some(moment), _) if moment.time.is_none() => moment
                .date
                .and_then(|day| date::days(day.year, day.month, day.day)),
            (None, Some(text)) => date::parse(text),
            (Some(_) | None, _) => {
                table.wrong_type(key, entry, "a date without a time", Self::EXAMPLE);
                return None;
            }
        };
        if day.is_none() {
            let help = format!("write YYYY-MM-DD, for example {}", Self::EXAMPLE);
            let wrong = Wrong::new("not a valid date", help);
            table.wrong(key, entry.span, "a date", wrong);
        }
        day
    }
}

#[cfg(test)]
mod tests;
