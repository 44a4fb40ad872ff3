//! Reads JSON leniently: at any depth, with duplicate members, complete or not. A string before a colon is a name; the strings
//! and literals after it are its values.

use crate::examined::looked_at;
use crate::spelling::layers::without_backslashes;

/// Calls `take` with each value and the name before it. The elements of a list have the name of the list.
pub(super) fn read(text: &[u8], mut take: impl FnMut(Option<&[u8]>, &[u8])) {
    let mut name: Option<Vec<u8>> = None;
    let mut at = 0;
    looked_at(text.len());
    while let Some(&byte) = text.get(at) {
        let start = at;
        at += 1;
        match byte {
            b'"' => {
                let inside = string(text, at);
                at += inside.len() + 1;
                let inside = without_backslashes(inside);
                at += blanks(text.get(at..).unwrap_or_default());
                if text.get(at) == Some(&b':') {
                    name = Some(inside.into_owned());
                } else {
                    take(name.as_deref(), &inside);
                }
            }
            // A number, `true` or `null` after a name.
            _ if name.is_some() && is_literal(byte) => {
                let rest = text.get(start..).unwrap_or_default();
                let length = rest.iter().take_while(|byte| is_literal(**byte)).count();
                let literal = rest.get(..length).unwrap_or_default();
                at = start + length;
                take(
                    name.as_deref(),
                    if literal == b"null" { b"" } else { literal },
                );
            }
            _ => {}
        }
    }
}

fn is_literal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

/// The text up to the quote that ends a string.
fn string(text: &[u8], from: usize) -> &[u8] {
    let rest = text.get(from..).unwrap_or_default();
    let mut at = 0;
    while let Some(&byte) = rest.get(at) {
        match byte {
            b'"' => break,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    rest.get(..at).unwrap_or(rest)
}

/// The number of leading blanks. NUL counts as one, because UTF-16 has a NUL in every ASCII letter.
fn blanks(text: &[u8]) -> usize {
    let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0);
    text.iter().take_while(is_blank).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        read(text.as_bytes(), |name, value| {
            found.push((name.map(string).unwrap_or_default(), string(value)));
        });
        found
    }

    fn check(text: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        assert_eq!(pairs(text), expected, "{text}");
    }

    #[test]
    fn members_are_found_at_any_depth_and_in_any_spelling() {
        check(
            r#"{"code":"x","a":[1,"b",{"c" : "d"}]}"#,
            &[("code", "x"), ("a", "1"), ("a", "b"), ("c", "d")],
        );
        check(r#"[[{"\u0063ode":"\u0078\"y"}]]"#, &[("code", "x\"y")]);
        check(r#"{"code":1,"code":2}"#, &[("code", "1"), ("code", "2")]);
        check(r#"{"code":null,"a":true"#, &[("code", ""), ("a", "true")]);
        check(r#"{"code":"open"#, &[("code", "open")]);
        check("a=1&b={\"code\"\n:\"x\"}", &[("code", "x")]);
    }

    #[test]
    fn text_that_is_not_json_has_no_members() {
        for text in [
            "",
            "a=b&c=d",
            "code",
            "{code:1}",
            "--b\r\nContent-Type: x\r\n\r\ny",
            "\"",
            "\\",
        ] {
            check(text, if text == "\"" { &[("", "")] } else { &[] });
        }
    }
}
