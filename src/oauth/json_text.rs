//! Places in a JSON text, so that one value can be replaced while all other bytes stay as they are.
//!
//! The text must have been parsed strictly before (`json.rs`): what is read here is then well-formed, and has no duplicate
//! members.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::value::RawValue;

/// A path to a value (RFC 6901), without array indices relative to the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// The most steps. Each is a pass over a part of the text.
    pub(crate) const MOST_STEPS: usize = 8;

    /// Parses `/result`, `/a/0/b`. `None`: it does not begin with `/`, has a wrong escape, or too many steps.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let steps = text.strip_prefix('/')?.split('/');
        let unescape = |step: &str| {
            let rest = step.replace("~0", "").replace("~1", "");
            (!rest.contains('~')).then(|| step.replace("~1", "/").replace("~0", "~"))
        };
        let steps: Vec<String> = steps.map(unescape).collect::<Option<_>>()?;
        (steps.len() <= Self::MOST_STEPS).then_some(Self(steps))
    }

    /// To a member of the outermost object.
    pub(crate) fn to_member(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }

    /// The place of the value in a text. `None`: there is none.
    pub(crate) fn find(&self, text: &str) -> Option<Range<usize>> {
        let mut value = text.trim_ascii();
        for step in &self.0 {
            let next = if value.starts_with('[') {
                let at: usize = step.parse().ok()?;
                let elements: Vec<&RawValue> = serde_json::from_str(value).ok()?;
                *elements.get(at)?
            } else {
                let members: BTreeMap<Cow<'_, str>, &RawValue> =
                    serde_json::from_str(value).ok()?;
                *members.get(step.as_str())?
            };
            value = next.get();
        }
        place_of(value, text)
    }
}

/// The place of a part of a text.
pub(super) fn place_of(part: &str, text: &str) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    Some(start..start + part.len())
}

/// The places of all string values, without the names of members, in their order.
pub(crate) fn strings(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = memchr::memchr(b'"', bytes.get(at..).unwrap_or_default()) {
        let start = at + start;
        let end = end_of_string(bytes, start);
        let after = bytes.get(end..).unwrap_or_default().trim_ascii_start();
        if after.first() != Some(&b':') {
            found.push(start..end);
        }
        at = end;
    }
    found
}

/// The index behind the string that begins at `start`.
pub(super) fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(next) = memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) {
        let found = at + next;
        if bytes.get(found) == Some(&b'"') {
            return found + 1;
        }
        at = found + 2; // the escaped character is not the end
    }
    bytes.len()
}

/// The text of a string value. `None`: it is another kind of value.
pub(crate) fn string(value: &str) -> Option<String> {
    serde_json::from_str(value).ok()
}

/// A string as JSON, with its quotes.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A text with some of its values replaced. `edits` are in their order and do not overlap.
pub(crate) fn replace(text: &str, edits: &[(Range<usize>, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut kept = 0;
    for (place, new) in edits {
        out.push_str(text.get(kept..place.start).unwrap_or_default());
        out.push_str(new);
        kept = place.end;
    }
    out.push_str(text.get(kept..).unwrap_or_default());
    out
}

#[expect(clippy::string_slice, reason = "the places are what is tested")]
#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn pointer(text: &str) -> Pointer {
        Pointer::parse(text).unwrap()
    }

    #[test]
    fn a_value_is_found_where_its_pointer_leads() {
        let text = r#" {"a" : [ 1, {"b/c": "x\"y"}, "z" ], "m~n":{"":null}} "#;
        for (to, expected) in [
            ("/a/1/b~1c", Some(r#""x\"y""#)),
            ("/a/2", Some(r#""z""#)),
            ("/m~0n/", Some("null")),
            ("/a", Some(r#"[ 1, {"b/c": "x\"y"}, "z" ]"#)),
            ("/a/3", None),
            ("/a/-1", None),
            ("/b", None),
            ("/a/2/x", None),
        ] {
            let found = pointer(to).find(text).map(|place| &text[place]);
            assert_eq!(found, expected, "{to}");
        }
        for wrong in ["", "a", "/a~", "/a~2", "/1/2/3/4/5/6/7/8/9"] {
            assert_eq!(Pointer::parse(wrong), None, "{wrong}");
        }
    }

    fn documents() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[ -~é\"\\\\]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c\"~/]{0,3}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn all_strings(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::String(text) => found.push(text.clone()),
            Value::Array(list) => list.iter().for_each(|value| all_strings(value, found)),
            Value::Object(map) => map.values().for_each(|value| all_strings(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    proptest! {
        #[test]
        fn the_strings_of_a_text_are_those_of_its_value(value in documents(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
            let mut expected = Vec::new();
            all_strings(&value, &mut expected);
            let found: Vec<String> = strings(&text).into_iter().map(|place| string(&text[place]).unwrap()).collect();
            prop_assert_eq!(&found, &expected);
            // Replaced by themselves, nothing changes; replaced by others, only they do.
            let edits: Vec<_> = strings(&text).into_iter().map(|place| (place.clone(), text[place].to_owned())).collect();
            prop_assert_eq!(replace(&text, &edits), text.clone());
            let edits: Vec<_> = strings(&text).into_iter().map(|place| (place, quoted("new\""))).collect();
            let changed: Value = serde_json::from_str(&replace(&text, &edits)).unwrap();
            let mut now = Vec::new();
            all_strings(&changed, &mut now);
            prop_assert_eq!(now.len(), expected.len());
            prop_assert!(now.iter().all(|text| text == "new\""));
        }

        #[test]
        fn a_pointer_finds_what_the_value_has_there(value in documents(), steps in prop::collection::vec("[a-c0-2]{0,2}", 1..4)) {
            let text = value.to_string();
            let to = format!("/{}", steps.join("/"));
            let found = pointer(&to).find(&text).map(|place| serde_json::from_str::<Value>(&text[place]).unwrap());
            // serde_json refuses indices with leading zeros, as RFC 6901 says.
            let has_leading_zero = steps.iter().any(|step| step.len() > 1 && step.starts_with('0'));
            prop_assume!(!has_leading_zero);
            prop_assert_eq!(found.as_ref(), value.pointer(&to));
        }
    }

    #[test]
    fn strings_end_where_they_end() {
        let text = json!({ "a\\\"": "\\", "b": "\"\\\"" }).to_string();
        let found: Vec<&str> = strings(&text)
            .into_iter()
            .map(|place| &text[place])
            .collect();
        assert_eq!(found, [r#""\\""#, r#""\"\\\"""#]);
    }
}
