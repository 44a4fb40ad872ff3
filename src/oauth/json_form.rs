//! A JSON object in place of a form: its string members are the parameters.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;
use serde_json::value::RawValue;

use super::json;
use super::json_text::{end_of_string, place_of, quoted, string};
use super::params::{Params, append_pair};

/// The form with the same parameters. A member that is no string is left out, but its name counts: it has an empty value. `None`:
/// the text is not an object without duplicate members, or one of `required` is there and no string.
pub(crate) fn to_form(text: &[u8], required: &[&str]) -> Option<Vec<u8>> {
    let Value::Object(members) = json::parse(text)? else {
        return None;
    };
    let mut form = Vec::new();
    for (name, value) in &members {
        let value = match value {
            Value::String(value) => value,
            _ if required.contains(&name.as_str()) => return None,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => "",
        };
        append_pair(&mut form, name, value);
    }
    Some(form)
}

/// Writes the parameters of a form into the object that [`to_form`] made it from: changed values, added members, and without
/// those that the form lacks. All other bytes stay. `None`: the text is no such object.
pub(crate) fn write(text: &[u8], form: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(text).ok()?;
    let members = members(text)?;
    let params = Params::survey(form, usize::MAX).ok()?;
    let mut out = String::with_capacity(text.len());
    let (mut end, mut is_first) = (text.find('{')? + 1, true);
    out.push_str(text.get(..end)?);
    for member in &members {
        let before = text.get(end..member.whole.start)?;
        end = member.whole.end;
        let Some(pair) = params.all(&member.name).next() else {
            continue;
        };
        // The separator before the first member that is kept may belong to one that is not.
        let before = if is_first {
            before.trim_start_matches(',')
        } else {
            before
        };
        out.push_str(before);
        is_first = false;
        out.push_str(text.get(member.whole.start..member.value.start)?);
        match string(text.get(member.value.clone())?) {
            Some(old) if old != pair.value() => out.push_str(&quoted(pair.value())),
            Some(_) | None => out.push_str(text.get(member.value.clone())?),
        }
    }
    for pair in params.iter() {
        if members.iter().any(|member| member.name == pair.name()) {
            continue;
        }
        if !is_first {
            out.push(',');
        }
        is_first = false;
        out.push_str(&quoted(pair.name()));
        out.push(':');
        out.push_str(&quoted(pair.value()));
    }
    out.push_str(text.get(end..)?);
    Some(out.into_bytes())
}

/// A member of an object: its name, and the places of the whole and of its value.
struct Member {
    name: String,
    whole: Range<usize>,
    value: Range<usize>,
}

/// The members in their order.
fn members(text: &str) -> Option<Vec<Member>> {
    let raw: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(text).ok()?;
    let mut found = Vec::with_capacity(raw.len());
    let mut at = text.find('{')? + 1;
    while found.len() < raw.len() {
        let start = at + text.get(at..)?.find('"')?;
        let name = string(text.get(start..end_of_string(text.as_bytes(), start))?)?;
        let value = place_of(raw.get(name.as_str())?.get(), text)?;
        at = value.end;
        found.push(Member {
            name,
            whole: start..value.end,
            value,
        });
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(bytes: Option<Vec<u8>>) -> String {
        String::from_utf8(bytes.unwrap()).unwrap()
    }

    #[test]
    fn the_members_are_the_parameters() {
        let form = to_form(
            br#"{"client_id":"a b","n":1,"o":{"state":"x"},"st\u0061te":"\u00e9"}"#,
            &["state"],
        );
        assert_eq!(text(form), "client_id=a%20b&n=&o=&state=%C3%A9");
        for refused in [
            &br#"{"state":"a","state":"b"}"#[..],
            br#"{"state":["a"]}"#,
            br#"{"state":null}"#,
            br#"["state"]"#,
            b"state=a",
            b"{\"state\":\"\xff\"}",
        ] {
            assert!(to_form(refused, &["state"]).is_none());
        }
    }

    #[test]
    fn only_what_differs_is_written() {
        for (object, form, expected) in [
            (
                r#" { "a" : "1", "b":{"x":[1, 2]} , "c":"3" } "#,
                "a=1&b=&c=4",
                r#" { "a" : "1", "b":{"x":[1, 2]} , "c":"4" } "#,
            ),
            (
                r#"{"a":"1", "b":2,"c":"3"}"#,
                "b=&d=%22",
                r#"{ "b":2,"d":"\""}"#,
            ),
            (r#"{"a":"1"}"#, "", "{}"),
            ("{}", "a=1&b=2", r#"{"a":"1","b":"2"}"#),
            (r#"{"a":"1","b":"2"}"#, "b=2", r#"{"b":"2"}"#),
        ] {
            let written = write(object.as_bytes(), form.as_bytes());
            assert_eq!(text(written), expected, "{object} {form}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_has_the_parameters_of_the_form(
            members in prop::collection::btree_map("[a-d\"é]{1,2}", "[ -~é]{0,6}", 0..5),
            kept in prop::collection::vec(any::<bool>(), 5),
            added in prop::collection::btree_map("[x-z]{1,2}", "[ -~é]{0,6}", 0..3),
        ) {
            let object: serde_json::Map<_, _> = members.iter().map(|(name, value)| (name.clone(), Value::from(value.clone()))).collect();
            let object = Value::from(object).to_string();
            let unchanged = to_form(object.as_bytes(), &[]).unwrap();
            prop_assert_eq!(text(write(object.as_bytes(), &unchanged)), object.clone());
            let mut form = Vec::new();
            for ((name, value), kept) in members.iter().zip(&kept) {
                if *kept {
                    append_pair(&mut form, name, &format!("{value}!"));
                }
            }
            for (name, value) in &added {
                append_pair(&mut form, name, value);
            }
            let written = write(object.as_bytes(), &form).unwrap();
            prop_assert_eq!(to_form(&written, &[]).unwrap(), form);
        }
    }
}
