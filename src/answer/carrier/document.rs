//! A JSON document with a code at a configured place (`code_in_json`): the code itself, or a URL that contains it.
//!
//! A page of the server that is an application gets its code so, and builds the redirect to the client itself. All bytes of the
//! document stay as they are, except the values that contain the code, or the handle in place of the client's state.

use std::borrow::Cow;
use std::ops::Range;

use crate::examined::looked_at;
use crate::flow::{ClientState, Purpose};
use crate::oauth::json;
use crate::oauth::json_text::{self as text, Pointer};

use super::carried::{Carried, Carrier, Ours, Replacement, Rewritten};
use super::location::Location;

/// A document whose value at the pointer is a string.
pub(crate) struct Document<'a> {
    text: &'a str,
    value: String,
}

/// What a body is that should be such a document.
pub(crate) enum Found<'a> {
    Document(Document<'a>),
    /// It has no string there: a step of the login, or an error.
    Nothing,
    /// It may be JSON, but has duplicate members or is broken, so that clients may read another value in it.
    Unreadable,
}

impl<'a> Document<'a> {
    /// Looks at a body. `is_json`: by its Content-Type.
    pub(crate) fn find(body: &'a [u8], pointer: &Pointer, is_json: bool) -> Found<'a> {
        let looks_like_json = matches!(body.trim_ascii_start().first(), Some(b'{' | b'['));
        let parsed = json::parse(body).and_then(|_| str::from_utf8(body).ok());
        let Some(text) = parsed else {
            return if looks_like_json || is_json && !body.trim_ascii().is_empty() {
                Found::Unreadable
            } else {
                Found::Nothing
            };
        };
        looked_at(text.len());
        let value = pointer
            .find(text)
            .and_then(|place| text::string(text.get(place)?));
        match value.filter(|value| !value.is_empty()) {
            Some(value) => Found::Document(Self { text, value }),
            None => Found::Nothing,
        }
    }

    /// The URL at the pointer. `None`: the value is a code.
    fn location(&self) -> Option<Location<'_>> {
        is_url(&self.value).then(|| Location::new(self.value.as_bytes()))
    }

    fn strings(&self) -> impl Iterator<Item = (Range<usize>, String)> {
        looked_at(self.text.len());
        let places = text::strings(self.text).into_iter();
        places.filter_map(|place| {
            let value = text::string(self.text.get(place.clone())?)?;
            Some((place, value))
        })
    }
}

/// Whether a value is a URL: it has a scheme and an authority, begins with a path, or has a query. (A code may contain `/`.)
fn is_url(value: &str) -> bool {
    value.contains("://") || value.starts_with('/') || value.contains('?')
}

impl Carrier for Document<'_> {
    fn target(&self) -> Cow<'_, str> {
        self.location().map_or(Cow::Borrowed(""), |location| {
            location.target().into_owned().into()
        })
    }

    fn url(&self) -> Cow<'_, str> {
        match self.location() {
            Some(_) => Cow::Borrowed(&self.value),
            None => Cow::Borrowed(""),
        }
    }

    fn has_url(&self) -> bool {
        self.location().is_some()
    }

    fn read(&self, ours: Ours<'_>) -> Carried {
        match self.location() {
            Some(location) => location.read(ours),
            None => {
                let mut carried = Carried::default();
                carried.take(ours, "code", &self.value);
                // The document may repeat the `state` beside the code.
                for (_, value) in self.strings() {
                    if ours.key.recognise(Purpose::State, &value).is_some() {
                        carried.take(ours, "state", &value);
                    }
                }
                carried
            }
        }
    }

    fn rewrite(&self, replacement: Replacement<'_>) -> Rewritten {
        let state = match replacement.state {
            ClientState::Value(state) => text::quoted(state),
            ClientState::Bare => text::quoted(""),
            ClientState::Absent | ClientState::InCookie => "null".to_owned(),
        };
        let rewritten = |value: &str| {
            if value == replacement.handle.expose() {
                return Some(state.clone());
            }
            if let Some((code, ours)) = replacement.code
                && value == code.expose()
            {
                return Some(text::quoted(ours.expose()));
            }
            if !is_url(value) {
                return None;
            }
            let url = Location::new(value.as_bytes()).rewrite(replacement);
            let url = str::from_utf8(url.bytes()).ok()?;
            (url != value).then(|| text::quoted(url))
        };
        let strings = self.strings();
        let edits = strings.filter_map(|(place, value)| Some((place, rewritten(&value)?)));
        let edits: Vec<_> = edits.collect();
        Rewritten::Document(text::replace(self.text, &edits).into_bytes())
    }
}
