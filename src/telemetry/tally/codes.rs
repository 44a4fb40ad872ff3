//! How often each code of a violation or a hint occurred.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most codes of one day. There are fewer, but a snapshot may have those of another version.
const MOST: usize = 64;

/// Numbers by code. Most days of most clients have none, and the others few: sorted, and without room for more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Codes(Vec<(Cow<'static, str>, u32)>);

impl Codes {
    pub(super) fn one_more(&mut self, code: &'static str) {
        self.add(Cow::Borrowed(code), 1);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (code, number) in &other.0 {
            self.add(code.clone(), *number);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.0.iter().map(|(code, number)| (&**code, *number))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, code: Cow<'static, str>, more: u32) {
        match self.0.binary_search_by(|(known, _)| known.cmp(&code)) {
            Ok(at) => {
                if let Some((_, number)) = self.0.get_mut(at) {
                    *number = number.saturating_add(more);
                }
            }
            Err(at) if self.0.len() < MOST => {
                self.0.reserve_exact(1);
                self.0.insert(at, (code, more));
            }
            Err(_) => {}
        }
    }
}

impl Serialize for Codes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Codes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut codes = Self::default();
        for (code, number) in BTreeMap::<String, u32>::deserialize(deserializer)? {
            codes.add(code.into(), number);
        }
        Ok(codes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_written_as_an_object_and_their_number_is_bounded() {
        let mut codes = Codes::default();
        for code in ["b", "a", "b"] {
            codes.one_more(code);
        }
        let written = serde_json::to_string(&codes).unwrap();
        assert_eq!(written, r#"{"a":1,"b":2}"#);
        assert_eq!(serde_json::from_str::<Codes>(&written).unwrap(), codes);
        for number in 0..1_000 {
            codes.add(format!("code_{number}").into(), 1);
        }
        assert_eq!(codes.0.len(), MOST);
    }
}
