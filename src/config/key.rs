//! How a key of `config.toml` is declared: its name, what may stand behind it, and what is said of it. The declarations are in
//! [`super::schema`]; how a value is read by one, in [`mod@super::read`].

use std::fmt::{Debug, Display};
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Value, json};

use super::value::{DURATION, Kind, SIZE, show_duration, show_size};

/// A table of the file.
#[derive(Debug)]
pub(super) struct Section {
    /// `upstream.pkce`; the root has none.
    pub(super) path: &'static str,
    /// `[[section]]`.
    pub(super) list: bool,
    /// What `config.toml` says beside its header.
    pub(super) comment: &'static str,
    /// What the manual says below its header, in Markdown.
    pub(super) text: &'static str,
    /// In the order of `config.toml`.
    pub(super) keys: &'static [&'static dyn Declared],
}

impl Section {
    /// `[section]` or `[[section]]`.
    pub(super) fn header(&self) -> String {
        if self.list {
            format!("[[{}]]", self.path)
        } else {
            format!("[{}]", self.path)
        }
    }

    /// The last part of its path, which is its key in the table around it; and the path of that.
    pub(super) fn name(&self) -> (&'static str, &'static str) {
        self.path.rsplit_once('.').unwrap_or(("", self.path))
    }

    /// The key of that name.
    pub(super) fn key(&self, name: &str) -> Option<&'static dyn Declared> {
        self.keys.iter().copied().find(|key| key.name() == name)
    }
}

/// A key, and what may stand behind it.
#[derive(Debug)]
pub(super) struct Key<V> {
    pub(super) name: &'static str,
    pub(super) value: V,
    pub(super) about: About,
}

/// What is said of a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct About {
    /// What `config.toml` says beside it: one line, or one for each value.
    pub(super) comment: &'static str,
    /// What the manual says, in Markdown.
    pub(super) text: &'static str,
    /// What stands in `config.toml`, as TOML, where that is not the default.
    pub(super) example: Option<&'static str>,
    /// Whether it is commented out there: it is optional, and its example is made up.
    pub(super) commented: bool,
    /// Without it the gate does not start: why, and what to write.
    pub(super) required: Option<(&'static str, &'static str)>,
    /// What holds where it is not written, unless that is always the same value.
    pub(super) absent: Option<&'static str>,
    /// Whether a change waits for a restart. Everything else applies when the file is read anew.
    pub(super) restart: bool,
}

impl<V> Key<V> {
    pub(super) const fn new(name: &'static str, value: V, comment: &'static str) -> Self {
        let about = About {
            comment,
            text: "",
            example: None,
            commented: false,
            required: None,
            absent: None,
            restart: false,
        };
        Self { name, value, about }
    }

    pub(super) const fn text(mut self, text: &'static str) -> Self {
        self.about.text = text;
        self
    }

    pub(super) const fn example(mut self, example: &'static str) -> Self {
        self.about.example = Some(example);
        self
    }

    pub(super) const fn commented(mut self, example: &'static str) -> Self {
        self.about.commented = true;
        self.example(example)
    }

    pub(super) const fn required(mut self, why: &'static str, help: &'static str) -> Self {
        self.about.required = Some((why, help));
        self
    }

    pub(super) const fn absent(mut self, absent: &'static str) -> Self {
        self.about.absent = Some(absent);
        self
    }

    pub(super) const fn restart(mut self) -> Self {
        self.about.restart = true;
        self
    }
}

/// A key of any kind.
pub(super) trait Declared: Debug + Sync {
    fn name(&self) -> &'static str;
    fn about(&self) -> &About;
    fn describe(&self) -> Description;
    fn later(&self) -> Option<&Later>;
}

impl<V: Describe + Debug + Sync> Declared for Key<V> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &About {
        &self.about
    }

    fn describe(&self) -> Description {
        self.value.describe()
    }

    fn later(&self) -> Option<&Later> {
        self.value.later()
    }
}

/// What the references say of a value.
#[derive(Debug, Default)]
pub(super) struct Description {
    /// What it is: `a duration from "10ms" to "1h"`.
    pub(super) what: String,
    /// The default, written as TOML is and JSON as well.
    pub(super) default: Option<String>,
    /// What a JSON schema says of it.
    pub(super) json: Value,
    /// The words that it can be, and what each means.
    pub(super) words: Vec<(&'static str, &'static str)>,
    /// What it can be in a later version only.
    pub(super) later_words: &'static [&'static str],
}

/// What can be described.
pub(super) trait Describe {
    fn describe(&self) -> Description;
    /// Whether the whole key is of a later version.
    fn later(&self) -> Option<&Later> {
        None
    }
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

/// A whole number within a range; the default first.
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

/// A share: above 0, up to 1.
#[derive(Debug)]
pub(super) struct Share(pub(super) f64);

impl Describe for Share {
    fn describe(&self) -> Description {
        let json = json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1 });
        Description::new("a number above 0, up to 1", self.0, json)
    }
}

/// A duration within a range; the default first.
#[derive(Debug)]
pub(super) struct Time(pub(super) Duration, pub(super) RangeInclusive<Duration>);

impl Describe for Time {
    fn describe(&self) -> Description {
        let [from, to] = [self.1.start(), self.1.end()].map(|end| show_duration(*end));
        let what = format!("a duration from `{from}` to `{to}`");
        Description::new(what, show_duration(self.0), DURATION.json())
    }
}

/// A size within a range; the default first.
#[derive(Debug)]
pub(super) struct Size(pub(super) usize, pub(super) RangeInclusive<usize>);

impl Describe for Size {
    fn describe(&self) -> Description {
        let [from, to] = [self.1.start(), self.1.end()].map(|end| show_size(*end));
        let what = format!("a size from `{from}` to `{to}`");
        Description::new(what, show_size(self.0), SIZE.json())
    }
}

/// One of some words.
#[derive(Debug)]
pub(super) struct Words<T: 'static> {
    pub(super) default: T,
    /// Each with what it stands for, and what the manual says of that.
    pub(super) choices: &'static [Choice<T>],
    /// Words of later versions.
    pub(super) later: &'static [&'static str],
}

/// One word, its value, and what it means.
pub(super) type Choice<T> = (&'static str, T, &'static str);

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

    /// The default, as it is written.
    pub(super) fn usual(&self) -> &'static str {
        let usual = self.choices.iter().find(|(_, of, _)| *of == self.default);
        usual.or(self.choices.first()).map_or("", |(word, ..)| word)
    }

    pub(super) fn known(&self) -> Vec<&'static str> {
        self.choices.iter().map(|(word, ..)| *word).collect()
    }
}

impl<T: Copy + PartialEq> Describe for Words<T> {
    fn describe(&self) -> Description {
        let (usual, known) = (format!("{:?}", self.usual()), self.known());
        let what = match known.as_slice() {
            [_] => format!("`{usual}`, the only value so far"),
            _ => "one of these words".to_owned(),
        };
        let choices = self.choices.iter();
        Description {
            words: choices.map(|(word, _, means)| (*word, *means)).collect(),
            later_words: self.later,
            ..Description::new(what, usual, json!({ "enum": known }))
        }
    }
}

/// A text of some kind, and its default.
#[derive(Debug)]
pub(super) struct Text<T: 'static>(pub(super) &'static Kind<T>, pub(super) fn() -> T);

impl<T: Display> Describe for Text<T> {
    fn describe(&self) -> Description {
        let default = format!("{:?}", (self.1)().to_string());
        Description::new(self.0.what, default, self.0.json())
    }
}

/// A text of some kind, or none.
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

/// A list of texts of some kind.
#[derive(Debug)]
pub(super) struct List<T: 'static> {
    pub(super) of: &'static Kind<T>,
    pub(super) default: &'static [&'static str],
    /// Why it may not be empty.
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

/// A day: a date of TOML, or a text.
#[derive(Debug)]
pub(super) struct Day;

impl Day {
    pub(super) const EXAMPLE: &str = "\"2027-03-31\"";
}

impl Describe for Day {
    fn describe(&self) -> Description {
        Description {
            what: "a date".to_owned(),
            // An editor shows a date of TOML to the schema as a text.
            json: json!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$" }),
            ..Description::default()
        }
    }
}

/// What only a later version has. Until then it is refused, unless it says what holds already.
#[derive(Debug)]
pub(super) enum Later {
    /// Refused whatever its value; not mentioned while there is something wrong with the key of that name, which it belongs to.
    Whole(Option<&'static str>),
    /// A flag that can only be off.
    Flag,
    /// A list that can only be empty.
    List,
    /// A word with one value so far, and those to come.
    Word(&'static str, &'static [&'static str]),
}

impl Describe for Later {
    fn describe(&self) -> Description {
        Description {
            what: "reserved for a later version".to_owned(),
            json: match self {
                Self::Whole(_) => json!({ "not": {} }),
                Self::Flag => json!({ "const": false }),
                Self::List => json!({ "type": "array", "maxItems": 0 }),
                Self::Word(now, _) => json!({ "const": now }),
            },
            ..Description::default()
        }
    }

    fn later(&self) -> Option<&Later> {
        Some(self)
    }
}
