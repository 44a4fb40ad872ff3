//! A member of a JSON document, such as `device_code` of a device authorization response (RFC 8628 section 3.2). Its value can be
//! replaced; all other bytes of the document stay as they are.

use std::ops::Range;

use serde_json::Value;
use zeroize::Zeroizing;

use crate::oauth::json;

/// A string in the outermost object of a document.
pub(crate) struct Member {
    /// The decoded text.
    pub(crate) value: Zeroizing<String>,
    /// Where the string is, without its quotes.
    place: Range<usize>,
    /// All members of the document.
    pub(crate) members: Value,
}

impl Member {
    /// Finds the member with this name. `None`: the document is not a JSON object, an object in it has two members with one name,
    /// or there is no such member with a string that is not empty.
    pub(crate) fn find(document: &[u8], name: &str) -> Option<Self> {
        let members = json::parse(document)?;
        let value = members.as_object()?.get(name)?.as_str()?.to_owned();
        let place = place(document, name)?;
        (!value.is_empty()).then(|| Self {
            value: Zeroizing::new(value),
            place,
            members,
        })
    }

    /// The document with another value, which consists of characters that need no escapes.
    pub(crate) fn replaced(&self, document: &[u8], with: &str) -> Option<Vec<u8>> {
        let before = document.get(..self.place.start)?;
        let after = document.get(self.place.end..)?;
        Some([before, with.as_bytes(), after].concat())
    }
}

/// Where the string of this member is, in a document that is an object without two members of one name.
fn place(document: &[u8], name: &str) -> Option<Range<usize>> {
    let (mut depth, mut at) = (0_usize, 0);
    // The member whose value follows.
    let mut named = false;
    while let Some(byte) = document.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            b'"' => {
                let end = at + length(document.get(at..)?)?;
                let text = at..end;
                at = end + 1;
                if depth != 1 {
                    continue;
                }
                if named {
                    return Some(text);
                }
                let quoted = document.get(text.start.checked_sub(1)?..at)?;
                let is_name = next(document, at) == Some(b':');
                let text = serde_json::from_slice::<String>(quoted).ok()?;
                named = is_name && text == name;
            }
            b',' => named = named && depth != 1,
            _ => {}
        }
    }
    None
}

/// The length of a string up to its closing quote.
fn length(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The first byte from `at` that is not white space.
fn next(document: &[u8], at: usize) -> Option<u8> {
    let rest = document.get(at..)?;
    rest.trim_ascii_start().first().copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(document: &str) -> Option<(String, String)> {
        let member = Member::find(document.as_bytes(), "code")?;
        let replaced = member.replaced(document.as_bytes(), "NEW")?;
        let replaced = String::from_utf8(replaced).ok()?;
        Some((member.value.to_string(), replaced))
    }

    #[test]
    fn only_the_member_of_the_outermost_object_is_replaced() {
        for (document, value, replaced) in [
            (r#"{"code":"a"}"#, "a", r#"{"code":"NEW"}"#),
            (
                " {\"x\":\"code\",\r\n\t\"code\" :\t\"a\\\"b\\u0041\" , \"y\":[1.50,{\"code\":\"c\"}]}\n",
                "a\"bA",
                " {\"x\":\"code\",\r\n\t\"code\" :\t\"NEW\" , \"y\":[1.50,{\"code\":\"c\"}]}\n",
            ),
            (
                r#"{"z":{"code":"b","d":"code"},"co\u0064e":"\\"}"#,
                "\\",
                r#"{"z":{"code":"b","d":"code"},"co\u0064e":"NEW"}"#,
            ),
            (
                r#"{"é":"}{\"code\":\"x\"","list":["code","x"],"code":"é"}"#,
                "é",
                r#"{"é":"}{\"code\":\"x\"","list":["code","x"],"code":"NEW"}"#,
            ),
        ] {
            let expected = Some((value.to_owned(), replaced.to_owned()));
            assert_eq!(found(document), expected, "{document}");
        }
    }

    #[test]
    fn what_is_not_such_a_document_has_no_member() {
        for document in [
            "",
            "code=a",
            "{}",
            r#"{"code":""}"#,
            r#"{"code":1}"#,
            r#"{"code":["a"]}"#,
            r#"{"code":null,"x":"a"}"#,
            r#"{"Code":"a"}"#,
            r#"[{"code":"a"}]"#,
            r#""code""#,
            r#"{"x":{"code":"a"}}"#,
            r#"{"code":"a","code":"a"}"#,
            r#"{"code":"a","c\u006fde":"b"}"#,
            r#"{"code":"a","x":{"y":1,"y":2}}"#,
            r#"{"code":"a"} {}"#,
            r#"{"code":"a""#,
            "{'code':'a'}",
            "\u{feff}{\"code\":\"a\"}",
        ] {
            assert_eq!(found(document), None, "{document}");
        }
    }

    fn documents() -> impl Strategy<Value = Value> {
        let leaves = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[\"\\\\{}:,a-dé \n]{0,8}|code".prop_map(Value::from),
        ];
        let values = leaves.prop_recursive(3, 24, 4, |inner| {
            let members = prop::collection::btree_map("code|[a-c\"{}]{0,3}", inner.clone(), 0..4);
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(Value::from),
                members.prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        });
        prop::collection::vec(("code|[a-c\"{}]{0,3}", values), 0..5)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn the_rest_of_any_document_is_unchanged(document in documents(), pretty: bool) {
            let text = if pretty {
                serde_json::to_string_pretty(&document).unwrap()
            } else {
                document.to_string()
            };
            let expected = document["code"].as_str().filter(|code| !code.is_empty());
            match found(&text) {
                None => prop_assert_eq!(expected, None),
                Some((value, replaced)) => {
                    prop_assert_eq!(Some(value.as_str()), expected);
                    let mut changed = document.clone();
                    changed["code"] = "NEW".into();
                    let rewritten: Value = serde_json::from_str(&replaced).unwrap();
                    prop_assert_eq!(rewritten, changed);
                    let quoted = serde_json::to_string(&value).unwrap();
                    prop_assert_eq!(text.len() - quoted.len(), replaced.len() - "\"NEW\"".len());
                }
            }
        }

        #[test]
        fn no_input_makes_it_fail(input in "[\"\\\\{}\\[\\]:,code ]{0,40}") {
            let _ = found(&input);
        }
    }
}
