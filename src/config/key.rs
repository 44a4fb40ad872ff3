//! The types that declare the keys of `config.toml`: name, kind of value, default. [`super::schema`] has the declarations,
//! [`mod@super::read`] reads values with them, and `schema/texts.toml` has the texts.

use std::fmt::{Debug, Display};
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::value::{DURATION, Kind, SIZE, show_duration, show_size};

/// A table of the file.
#[derive(Debug)]
pub(super) struct Section {
    /// The dotted path, such as `upstream.pkce`; empty for the root.
    pub(super) path: &'static str,
    /// Whether it is an array of tables, `[[section]]`.
    pub(super) list: bool,
    /// In the order of `config.toml`.
    pub(super) keys: &'static [&'static dyn Declared],
    /// Keys that are reserved for later versions, each with the value (in TOML notation) that this version already accepts.
    pub(super) later: &'static [(&'static str, Option<&'static str>)],
}

impl Section {
    /// The header in the file: `[section]` or `[[section]]`.
    pub(super) fn header(&self) -> String {
        if self.list {
            format!("[[{}]]", self.path)
        } else {
            format!("[{}]", self.path)
        }
    }

    /// Splits the path into the path of the parent section and the last component.
    pub(super) fn name(&self) -> (&'static str, &'static str) {
        self.path.rsplit_once('.').unwrap_or(("", self.path))
    }

    /// The names of its keys, without reserved ones.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|key| key.name())
    }

    /// Whether it has a key of that name, reserved ones included.
    pub(super) fn has(&self, key: &str) -> bool {
        let mut later = self.later.iter().map(|(name, _)| *name);
        self.names().any(|name| name == key) || later.any(|name| name == key)
    }
}

/// A key and the kind of its value.
#[derive(Debug)]
pub(super) struct Key<V> {
    pub(super) name: &'static str,
    pub(super) value: V,
    /// For a required key: why it is required, and what to write.
    pub(super) required: Option<(&'static str, &'static str)>,
}

impl<V> Key<V> {
    pub(super) const fn new(name: &'static str, value: V) -> Self {
        Self {
            name,
            value,
            required: None,
        }
    }

    pub(super) const fn required(mut self, why: &'static str, help: &'static str) -> Self {
        self.required = Some((why, help));
        self
    }
}

/// A key of any kind.
pub(super) trait Declared: Debug + Sync {
    fn name(&self) -> &'static str;
    fn is_required(&self) -> bool;
    fn describe(&self) -> Description;
}

impl<V: Describe + Debug + Sync> Declared for Key<V> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn is_required(&self) -> bool {
        self.required.is_some()
    }

    fn describe(&self) -> Description {
        self.value.describe()
    }
}

/// What the generated references show about a value.
#[derive(Debug, Default, Serialize)]
pub(super) struct Description {
    /// The kind of value, for example `a duration from "10ms" to "1h"`.
    pub(super) what: String,
    /// The default, in a notation that is valid TOML and valid JSON.
    pub(super) default: Option<String>,
    /// The JSON Schema of the value.
    pub(super) json: Value,
    /// The accepted words, if only certain words are accepted.
    pub(super) choices: Vec<&'static str>,
    /// Words that are reserved for later versions.
    pub(super) later_words: &'static [&'static str],
}

pub(super) trait Describe {
    fn describe(&self) -> Description;
}

impl Description {
    fn new(what: impl Into<String>, default: impl Display, json: Value) -> Self {
        Self {
            what: what.into(),
            default: Some(default.to_string()),
            json,
            ..Self::default()
        }
    }
}

/// `true` or `false`.
#[derive(Debug)]
pub(super) struct Flag(pub(super) bool);

impl Describe for Flag {
    fn describe(&self) -> Description {
        Description::new("`true` or `false`", self.0, json!({ "type": "boolean" }))
    }
}

/// A whole number: the default and the allowed range.
#[derive(Debug)]
pub(super) struct Integer<T>(pub(super) T, pub(super) RangeInclusive<T>);

impl<T: Copy + Display + TryInto<u64>> Describe for Integer<T> {
    fn describe(&self) -> Description {
        let (from, to) = (self.1.start(), self.1.end());
        let what = format!("a whole number from {from} to {to}");
        let [from, to] = [from, to].map(|end| (*end).try_into().ok());
        let json = json!({ "type": "integer", "minimum": from, "maximum": to });
        Description::new(what, self.0, json)
    }
}

/// A fraction in (0, 1], with its default.
#[derive(Debug)]
pub(super) struct Share(pub(super) f64);

impl Describe for Share {
    fn describe(&self) -> Description {
        let json = json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1 });
        Description::new("a number above 0, up to 1", self.0, json)
    }
}

/// A duration or a size within a range.
#[derive(Debug)]
pub(super) struct Measure<T: 'static> {
    pub(super) of: &'static Kind<T>,
    pub(super) show: fn(T) -> String,
    pub(super) default: T,
    pub(super) range: RangeInclusive<T>,
}

pub(super) type Time = Measure<Duration>;
pub(super) type Size = Measure<usize>;

impl Time {
    pub(super) const fn new(default: Duration, range: RangeInclusive<Duration>) -> Self {
        Self {
            of: &DURATION,
            show: show_duration,
            default,
            range,
        }
    }
}

impl Size {
    pub(super) const fn new(default: usize, range: RangeInclusive<usize>) -> Self {
        Self {
            of: &SIZE,
            show: show_size,
            default,
            range,
        }
    }
}

impl<T: Copy> Describe for Measure<T> {
    fn describe(&self) -> Description {
        let [from, to] = [self.range.start(), self.range.end()].map(|end| (self.show)(*end));
        let what = format!("{} from `{from}` to `{to}`", self.of.what);
        Description::new(what, (self.show)(self.default), self.of.json())
    }
}

/// One of a fixed set of words.
#[derive(Debug)]
pub(super) struct Words<T: 'static> {
    pub(super) default: T,
    /// The accepted words and their values.
    pub(super) choices: &'static [Choice<T>],
    /// Words that are reserved for later versions.
    pub(super) later: &'static [&'static str],
}

/// A word and its value.
pub(super) type Choice<T> = (&'static str, T);

impl<T: Copy + PartialEq> Words<T> {
    pub(super) const fn new(default: T, choices: &'static [Choice<T>]) -> Self {
        let later = &[];
        Self {
            default,
            choices,
            later,
        }
    }

    pub(super) const fn later(mut self, later: &'static [&'static str]) -> Self {
        self.later = later;
        self
    }

    /// The word of the default value.
    pub(super) fn usual(&self) -> &'static str {
        let usual = self.choices.iter().find(|(_, of)| *of == self.default);
        usual.or(self.choices.first()).map_or("", |(word, _)| word)
    }

    pub(super) fn known(&self) -> Vec<&'static str> {
        self.choices.iter().map(|(word, _)| *word).collect()
    }
}

impl<T: Copy + PartialEq> Describe for Words<T> {
    fn describe(&self) -> Description {
        let (usual, known) = (format!("{:?}", self.usual()), self.known());
        let what = match known.as_slice() {
            [_] => format!("`{usual}`, the only value so far"),
            _ => "one of these words".to_owned(),
        };
        let json = json!({ "enum": known });
        Description {
            choices: known,
            later_words: self.later,
            ..Description::new(what, usual, json)
        }
    }
}

/// A string of the given kind, with its default.
#[derive(Debug)]
pub(super) struct Text<T: 'static>(pub(super) &'static Kind<T>, pub(super) fn() -> T);

impl<T: Display> Describe for Text<T> {
    fn describe(&self) -> Description {
        let default = format!("{:?}", (self.1)().to_string());
        Description::new(self.0.what, default, self.0.json())
    }
}

/// An optional string of the given kind.
#[derive(Debug)]
pub(super) struct Optional<T: 'static>(pub(super) &'static Kind<T>);

impl<T> Describe for Optional<T> {
    fn describe(&self) -> Description {
        Description {
            what: self.0.what.to_owned(),
            json: self.0.json(),
            ..Description::default()
        }
    }
}

/// A list of strings of the given kind.
#[derive(Debug)]
pub(super) struct List<T: 'static> {
    pub(super) of: &'static Kind<T>,
    pub(super) default: &'static [&'static str],
    /// Why the list may not be empty; `None`: it may be.
    pub(super) not_empty: Option<&'static str>,
}

impl<T> List<T> {
    pub(super) const fn new(of: &'static Kind<T>) -> Self {
        let (default, not_empty) = (&[], None);
        Self {
            of,
            default,
            not_empty,
        }
    }

    pub(super) const fn default(mut self, default: &'static [&'static str]) -> Self {
        self.default = default;
        self
    }

    pub(super) const fn not_empty(mut self, why: &'static str) -> Self {
        self.not_empty = Some(why);
        self
    }
}

impl<T> Describe for List<T> {
    fn describe(&self) -> Description {
        let (items, least) = (self.of.json(), u8::from(self.not_empty.is_some()));
        let json =
            json!({ "type": "array", "items": items, "minItems": least, "uniqueItems": true });
        let what = format!("a list; each element is {}", self.of.what);
        Description::new(what, format!("{:?}", self.default), json)
    }
}

/// A day: a TOML date or a string.
#[derive(Debug)]
pub(super) struct Day;

impl Day {
    pub(super) const EXAMPLE: &str = "\"2027-03-31\"";
}

impl Describe for Day {
    fn describe(&self) -> Description {
        Description {
            what: "a date".to_owned(),
            // Editors pass a TOML date to the schema as a string.
            json: json!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$" }),
            ..Description::default()
        }
    }
}
