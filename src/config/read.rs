//! Reads the values of keys. Each reader also declares its key for the references. It records an invalid value as a problem,
//! with what to write instead, and returns the default.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::json;
use toml::de::DeValue;

use super::problem::{Problem, Span};
use super::section::{Key, Later};
use super::tree::{At, Entry, Table};
use super::value::{DURATION, Kind, SIZE, Wrong, show_duration, show_size};
use super::wording::{nearest, one_of, quoted};
use crate::clock::date;

impl Table<'_> {
    /// Reads `true` or `false`.
    pub(super) fn flag(&self, key: &'static str, default: bool) -> bool {
        let json = json!({ "type": "boolean" });
        let Some(entry) = self.declare(key, || Key::new("`true` or `false`", default, json)) else {
            return default;
        };
        entry.value.as_bool().unwrap_or_else(|| {
            let written = entry.value.as_str().and_then(|text| text.parse().ok());
            let instead: bool = written.unwrap_or(default);
            self.wrong_type(key, entry, "true or false", instead);
            default
        })
    }

    /// Reads a whole number within a range.
    pub(super) fn integer<T>(&self, key: &'static str, default: T, range: RangeInclusive<T>) -> T
    where
        T: Copy + PartialOrd + Display + TryFrom<u64> + TryInto<u64>,
    {
        let entry = self.declare(key, || {
            let (from, to) = (range.start(), range.end());
            let what = format!("a whole number from {from} to {to}");
            let [from, to] = [from, to].map(|end| (*end).try_into().ok());
            let json = json!({ "type": "integer", "minimum": from, "maximum": to });
            Key::new(what, default, json)
        });
        let Some(entry) = entry else {
            return default;
        };
        let Some(number) = entry.value.as_integer() else {
            let written = entry.value.as_str().and_then(|text| text.parse().ok());
            let instead = written.and_then(|number: u64| T::try_from(number).ok());
            self.wrong_type(key, entry, "a whole number", instead.unwrap_or(default));
            return default;
        };
        let number = u64::from_str_radix(number.as_str(), number.radix());
        let number = number.ok().and_then(|number| T::try_from(number).ok());
        let number = number.filter(|number| range.contains(number));
        number.unwrap_or_else(|| {
            self.out_of_range(key, default, [range.start(), range.end()]);
            default
        })
    }

    /// Reads a fraction in (0, 1].
    pub(super) fn share(&self, key: &'static str, default: f64) -> f64 {
        let json = json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1 });
        let Some(entry) =
            self.declare(key, || Key::new("a number above 0, up to 1", default, json))
        else {
            return default;
        };
        let digits = match (entry.value.as_float(), entry.value.as_integer()) {
            (Some(float), _) => float.as_str(),
            (None, Some(integer)) => integer.as_str(),
            (None, None) => {
                self.wrong_type(key, entry, "a number", default);
                return default;
            }
        };
        let share = digits.parse().ok();
        let share = share.filter(|share| *share > 0.0 && *share <= 1.0);
        share.unwrap_or_else(|| {
            self.out_of_range(key, default, ["above 0", "1"]);
            default
        })
    }

    /// Reads a duration within a range.
    pub(super) fn duration(
        &self,
        key: &'static str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        self.measure(key, &DURATION, show_duration, default, range)
    }

    /// Reads a size in bytes within a range.
    pub(super) fn size(
        &self,
        key: &'static str,
        default: usize,
        range: RangeInclusive<usize>,
    ) -> usize {
        self.measure(key, &SIZE, show_size, default, range)
    }

    fn measure<T: Copy + PartialOrd>(
        &self,
        key: &'static str,
        kind: &Kind<T>,
        show: fn(T) -> String,
        default: T,
        range: RangeInclusive<T>,
    ) -> T {
        let ends = [range.start(), range.end()].map(|end| show(*end));
        let entry = self.declare(key, || {
            let what = format!("{} from `{}` to `{}`", kind.what, ends[0], ends[1]);
            Key::new(what, show(default), kind.json())
        });
        let Some(entry) = entry else {
            return default;
        };
        let measure = self.text_of(key, entry, kind);
        measure
            .filter(|measure| range.contains(measure))
            .unwrap_or_else(|| {
                if measure.is_some() {
                    self.out_of_range(key, show(default), ends);
                }
                default
            })
    }

    fn out_of_range(&self, key: &str, default: impl Display, [from, to]: [impl Display; 2]) {
        let message = format!("{} is out of range", self.name(key));
        let label = format!("it goes from {from} to {to}");
        let help = format!("write for example {key} = {default}");
        self.push(Problem::error(self.at(key), message, label, help));
    }

    /// Reads one of a fixed set of words.
    pub(super) fn words<T: Copy + PartialEq>(
        &self,
        key: &'static str,
        default: T,
        choices: &[(&'static str, T)],
    ) -> T {
        self.words_and_later(key, default, choices, &[])
    }

    /// Reads one of a fixed set of words. `later`: words that are reserved for later versions.
    pub(super) fn words_and_later<T: Copy + PartialEq>(
        &self,
        key: &'static str,
        default: T,
        choices: &[(&'static str, T)],
        later: &'static [&'static str],
    ) -> T {
        let known: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        // A default that is not a choice (`None`) depends on other keys. The first choice is then an example.
        let usual = choices.iter().find(|(_, value)| *value == default);
        let usual = usual.or(choices.first()).map_or("", |(word, _)| word);
        let entry = self.declare(key, || {
            let what = match known.as_slice() {
                [only] => format!("`{only:?}`, the only value so far"),
                _ => "one of these words".to_owned(),
            };
            Key {
                choices: known.clone(),
                later_words: later,
                ..Key::new(what, format!("{usual:?}"), json!({ "enum": known }))
            }
        });
        let Some(entry) = entry else {
            return default;
        };
        let Some(text) = entry.value.as_str() else {
            self.wrong_type(key, entry, "a word in quotes", format!("{usual:?}"));
            return default;
        };
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return *value;
        }
        let help = format!("write {}", one_of(&known));
        if later.contains(&text) {
            self.wrong(key, entry.span, "", Wrong::later(quoted(text), help));
            return default;
        }
        let message = format!("{} cannot be {}", self.name(key), quoted(text));
        let label = nearest(text, &known).map_or_else(
            || "this word is not known".to_owned(),
            |(_, word)| format!("did you mean {word:?}?"),
        );
        self.push(Problem::error(entry.span, message, label, help));
        default
    }

    /// Reads a string of the given kind, with a default.
    pub(super) fn text<T: Display>(&self, key: &'static str, kind: &Kind<T>, default: T) -> T {
        let entry = self.declare(key, || {
            let shown = format!("{:?}", default.to_string());
            Key::new(kind.what, shown, kind.json())
        });
        let text = entry.and_then(|entry| self.text_of(key, entry, kind));
        text.unwrap_or(default)
    }

    /// Reads a string of the given kind. `None`: absent or invalid.
    pub(super) fn find<T>(&self, key: &'static str, kind: &Kind<T>) -> Option<T> {
        let entry = self.declare(key, || Key::optional(kind.what, kind.json()))?;
        self.text_of(key, entry, kind)
    }

    /// Reads a list of strings of the given kind, empty by default.
    pub(super) fn list<T>(&self, key: &'static str, kind: &Kind<T>) -> Vec<At<T>> {
        self.list_or(key, kind, &[], None)
    }

    /// Reads a list of strings of the given kind. Invalid elements are recorded and left out. `not_empty`: why the list may not
    /// be empty, unless it may.
    pub(super) fn list_or<T>(
        &self,
        key: &'static str,
        kind: &Kind<T>,
        default: &[&str],
        not_empty: Option<&str>,
    ) -> Vec<At<T>> {
        let entry = self.declare(key, || {
            let (items, least) = (kind.json(), u8::from(not_empty.is_some()));
            let json =
                json!({ "type": "array", "items": items, "minItems": least, "uniqueItems": true });
            let what = format!("a list; each element is {}", kind.what);
            Key::new(what, format!("{default:?}"), json)
        });
        let Some(elements) = entry.and_then(|entry| self.elements(key, entry, kind.example)) else {
            let default = default.iter().filter_map(|text| (kind.read)(text).ok());
            let span = self.header();
            return default.map(|value| At { span, value }).collect();
        };
        if let Some(why) = not_empty.filter(|_| elements.is_empty()) {
            self.empty_list(key, why, &format!("[{:?}]", kind.example));
        }
        let mut seen: Vec<(&str, Span)> = Vec::new();
        let mut list = Vec::new();
        for element in elements {
            let Some(value) = self.text_of(key, element, kind) else {
                continue;
            };
            let (text, span) = (element.value.as_str().unwrap_or_default(), element.span);
            if let Some((_, first)) = seen.iter().find(|(earlier, _)| *earlier == text) {
                let message = format!("{} lists {} twice", self.name(key), quoted(text));
                let problem = Problem::error(span, message, "again", "remove one of them");
                self.push(problem.and_at(*first, "here already"));
                continue;
            }
            seen.push((text, span));
            list.push(At { span, value });
        }
        list
    }

    /// Reads a table whose names and values are strings of the same kind, empty by default. Invalid pairs are recorded and left
    /// out.
    pub(super) fn pairs<T>(&self, key: &'static str, kind: &Kind<T>) -> Vec<(At<T>, At<T>)> {
        let entry = self.declare(key, || {
            let json = json!({ "type": "object", "additionalProperties": kind.json() });
            Key::new(
                format!("a table; each name and value is {}", kind.what),
                "{}",
                json,
            )
        });
        let Some(entry) = entry else {
            return Vec::new();
        };
        let Some(table) = entry.value.as_table() else {
            let example = format!("{{ \"/authorize\" = {:?} }}", kind.example);
            self.wrong_type(key, entry, "a table", example);
            return Vec::new();
        };
        let mut pairs = Vec::new();
        for (name, value) in table {
            let span = name.span().into();
            let name = (kind.read)(name.get_ref())
                .map_err(|wrong| self.wrong(key, span, kind.what, wrong))
                .map(|value| At { span, value });
            let element = Entry::element(value);
            let value = self.text_of(key, element, kind);
            let span = element.span;
            pairs.extend(name.ok().zip(value.map(|value| At { span, value })));
        }
        // As they are written; the parser sorts them.
        pairs.sort_by_key(|(name, _)| name.span.start);
        pairs
    }

    /// Reads a day, as days since 1970-01-01: a TOML date or a string. `None`: absent or invalid.
    pub(super) fn day(&self, key: &'static str) -> Option<u64> {
        const EXAMPLE: &str = "\"2027-03-31\"";
        // Editors pass a TOML date to the schema as a string.
        let json = json!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$" });
        let entry = self.declare(key, || Key::optional("a date", json))?;
        let day = match (entry.value.as_datetime(), entry.value.as_str()) {
            (Some(moment), _) if moment.time.is_none() => moment
                .date
                .and_then(|day| date::days(day.year, day.month, day.day)),
            (None, Some(text)) => date::parse(text),
            (Some(_) | None, _) => {
                self.wrong_type(key, entry, "a date without a time", EXAMPLE);
                return None;
            }
        };
        if day.is_none() {
            let help = format!("write YYYY-MM-DD, for example {EXAMPLE}");
            let wrong = Wrong::new("not a valid date", help);
            self.wrong(key, entry.span, "a date", wrong);
        }
        day
    }

    /// Rejects keys that are reserved for later versions, unless the value describes the present behaviour.
    pub(super) fn later(&self, later: Later) {
        self.declare_section(|section| section.later = later);
        for (key, now) in later {
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

#[cfg(test)]
mod tests;
