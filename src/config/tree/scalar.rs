//! Flags, numbers, words; and what only a later version accepts.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::problem::Problem;
use super::super::report::Since;
use super::super::value::{DURATION, SIZE, Wrong, quoted};
use super::{Entry, Table};

impl Table<'_> {
    /// `true` or `false`.
    pub(in super::super) fn flag(&self, key: &'static str, default: bool) -> bool {
        let Some(entry) = self.entry(key) else {
            return default;
        };
        entry.value.as_bool().unwrap_or_else(|| {
            let written = entry.value.as_str().and_then(|text| text.parse().ok());
            let instead: bool = written.unwrap_or(default);
            self.wrong_type(key, entry, "true or false", instead);
            default
        })
    }

    /// A whole number within a range.
    pub(in super::super) fn integer<T>(
        &self,
        key: &'static str,
        default: T,
        range: RangeInclusive<T>,
    ) -> T
    where
        T: Copy + PartialOrd + Display + TryFrom<u64>,
    {
        let Some(entry) = self.entry(key) else {
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
        self.bounded(key, number, default, &range, |number| number.to_string())
    }

    /// A share: above 0, up to 1.
    pub(in super::super) fn share(&self, key: &'static str, default: f64) -> f64 {
        let Some(entry) = self.entry(key) else {
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
        let share = share.filter(|share: &f64| *share > 0.0);
        self.bounded(key, share, default, &(0.0..=1.0), |share| {
            if share > 0.0 {
                share.to_string()
            } else {
                "above 0".to_owned()
            }
        })
    }

    /// A duration within a range.
    pub(in super::super) fn duration(
        &self,
        key: &'static str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let Some(duration) = self.get(key, &DURATION) else {
            return default;
        };
        self.bounded(key, Some(duration), default, &range, show_duration)
    }

    /// A size within a range.
    pub(in super::super) fn size(
        &self,
        key: &'static str,
        default: usize,
        range: RangeInclusive<usize>,
    ) -> usize {
        let Some(size) = self.get(key, &SIZE) else {
            return default;
        };
        self.bounded(key, Some(size), default, &range, show_size)
    }

    fn bounded<T: Copy + PartialOrd>(
        &self,
        key: &str,
        value: Option<T>,
        default: T,
        range: &RangeInclusive<T>,
        show: impl Fn(T) -> String,
    ) -> T {
        value
            .filter(|value| range.contains(value))
            .unwrap_or_else(|| {
                let message = format!("{} is out of range", self.name(key));
                let (from, to) = (show(*range.start()), show(*range.end()));
                let label = format!("it goes from {from} to {to}");
                let help = format!("write for example {key} = {}", show(default));
                self.push(Problem::error(self.at(key), message, label, help));
                default
            })
    }

    /// One of some words. `later`: words that only a later version knows.
    pub(in super::super) fn word<T: Copy + PartialEq>(
        &self,
        key: &'static str,
        default: T,
        words: &[(&str, T)],
        later: &[&str],
    ) -> T {
        let Some(entry) = self.entry(key) else {
            return default;
        };
        let Some(text) = entry.value.as_str() else {
            let usual = words.iter().find(|(_, value)| *value == default);
            let example = usual.or(words.first()).map_or("", |(word, _)| word);
            self.wrong_type(key, entry, "a word in quotes", format!("{example:?}"));
            return default;
        };
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return *value;
        }
        if later.contains(&text) {
            let help = format!("write {}", one_of(&known));
            self.wrong(key, entry.span, "", Wrong::later(quoted(text), help));
        } else {
            self.unknown_word(key, entry, text, &known);
        }
        default
    }

    fn unknown_word(&self, key: &str, entry: Entry<'_>, text: &str, known: &[&str]) {
        let message = format!("{} cannot be {}", self.name(key), quoted(text));
        let label = nearest(text, known).map_or_else(
            || "this word is not known".to_owned(),
            |(_, word)| format!("did you mean {word:?}?"),
        );
        let help = format!("write {}", one_of(known));
        self.push(Problem::error(entry.span, message, label, help));
    }

    /// A key of a later version that is not looked at.
    pub(in super::super) fn know_later(&self, key: &'static str) {
        self.report.know(&self.section, key, Since::Later);
    }

    /// A key that does nothing yet, whatever its value.
    pub(in super::super) fn later_key(&self, key: &'static str) {
        self.know_later(key);
        if let Some(entry) = self.find(key) {
            self.refuse_later(key, entry, "remove it");
        }
    }

    /// A flag that can only be off yet.
    pub(in super::super) fn later_flag(&self, key: &'static str) {
        let on = self.flag(key, false);
        self.know_later(key);
        if let Some(entry) = self.find(key).filter(|_| on) {
            self.refuse_later(key, entry, "write false, or remove it");
        }
    }

    /// A list that can only be empty yet.
    pub(in super::super) fn later_list(&self, key: &'static str) {
        self.know_later(key);
        let Some(entry) = self.find(key) else {
            return;
        };
        match entry.value.as_array() {
            Some(list) if list.is_empty() => {}
            Some(_) => self.refuse_later(key, entry, "write [], or remove it"),
            None => self.wrong_type(key, entry, "a list", "[]"),
        }
    }

    fn refuse_later(&self, key: &str, entry: Entry<'_>, help: &str) {
        let message = format!("{} is not supported in this version", self.name(key));
        let label = "comes with a later version";
        self.push(Problem::error(entry.span, message, label, help));
    }

    /// A word with a single value yet.
    pub(in super::super) fn later_word(&self, key: &'static str, now: &str, later: &[&str]) {
        self.word(key, (), &[(now, ())], later);
        self.know_later(key);
    }
}

/// The word that was probably meant, and how far it is from the one that was written.
pub(in super::super) fn nearest<'w>(text: &str, words: &[&'w str]) -> Option<(usize, &'w str)> {
    let text = folded(text);
    let farthest = match text.chars().count() {
        0..=4 => 1,
        5..=8 => 2,
        _ => 3,
    };
    words
        .iter()
        .map(|word| (strsim::damerau_levenshtein(&text, &folded(word)), *word))
        .filter(|(distance, _)| *distance <= farthest)
        // Who slips begins right.
        .min_by_key(|(distance, word)| {
            (*distance, !text.starts_with(word.get(..1).unwrap_or(word)))
        })
}

/// `trustedProxies` and `trusted-proxies` are `trusted_proxies` to a reader.
fn folded(word: &str) -> String {
    word.chars()
        .filter(|character| !matches!(character, '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// `"a", "b" or "c"`.
pub(in super::super) fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

/// With the largest unit that loses nothing.
pub(in super::super) fn show_duration(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), duration.as_millis());
    if millis % 1000 != 0 {
        format!("\"{millis}ms\"")
    } else if seconds == 0 || !seconds.is_multiple_of(60) {
        format!("\"{seconds}s\"")
    } else if !seconds.is_multiple_of(3600) {
        format!("\"{}m\"", seconds / 60)
    } else {
        format!("\"{}h\"", seconds / 3600)
    }
}

fn show_size(size: usize) -> String {
    const KIB: usize = 1024;
    if size == 0 || !size.is_multiple_of(KIB) {
        format!("\"{size}B\"")
    } else if size.is_multiple_of(KIB * KIB) {
        format!("\"{}MiB\"", size / KIB / KIB)
    } else {
        format!("\"{}KiB\"", size / KIB)
    }
}

#[cfg(test)]
mod tests;
