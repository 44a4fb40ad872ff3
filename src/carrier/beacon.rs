//! The beacon: a text in which something named `code` has a value that could be one.
//!
//! Looser rules hit ordinary login pages (one-time-password fields, error codes), stricter ones miss real carriers. Whether a
//! handle of ours stands in the same text is asked by the caller.

use memchr::memchr2_iter;

use super::html::{Token, tokens};
use crate::spelling::any_layer;
use crate::work::looked_at;

/// A code has at least this many characters.
const MIN_CODE: usize = 8;

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A page: `<code>` is how program text looks there.
    Html,
    /// XML, scripts, JSON, plain text, a header field.
    Text,
}

/// Whether the text, or what it is without escapes, holds a field, a parameter, a member or an element named `code` with a value
/// of eight characters or more. `except`: a value that counts for nothing.
pub fn carries_code(text: &[u8], kind: Kind, except: Option<&str>) -> bool {
    any_layer(text, |layer| {
        let counts = |value: &[u8]| {
            value.len() >= MIN_CODE && except.is_none_or(|ours| value != ours.as_bytes())
        };
        is_named_there(layer, kind, &counts) || is_field(layer, &counts)
    })
}

fn is_named_there(text: &[u8], kind: Kind, counts: &impl Fn(&[u8]) -> bool) -> bool {
    looked_at(text.len());
    memchr2_iter(b'c', b'C', text).any(|at| {
        let word = text.get(at..at + 4).unwrap_or_default();
        if !word.eq_ignore_ascii_case(b"code") {
            return false;
        }
        let before = text.get(..at).unwrap_or_default();
        let behind = text.get(at + 4..).unwrap_or_default();
        is_parameter(before, behind, counts)
            || is_member(before, behind, counts)
            || kind == Kind::Text && is_element(before, behind, counts)
    })
}

/// The word that a value begins with.
fn value_of(text: &[u8]) -> &[u8] {
    let is_part = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=' | b'%')
    };
    let length = text.iter().take_while(|byte| is_part(byte)).count();
    looked_at(length);
    text.get(..length).unwrap_or_default()
}

/// `?code=…`, `&code=…`, `#code=…`, `;code=…`. A name that goes on with brackets, blanks or what cannot be seen is the same to
/// some clients.
fn is_parameter(before: &[u8], behind: &[u8], counts: &impl Fn(&[u8]) -> bool) -> bool {
    let introduced = matches!(before, [.., b'?' | b'&' | b'#' | b';']);
    introduced
        && unseen(behind)
            .strip_prefix(b"=")
            .is_some_and(|value| counts(value_of(value)))
}

/// The longest rest of a name that is passed by.
const LONGEST_REST: usize = 32;

fn unseen(behind: &[u8]) -> &[u8] {
    let is_unseen = |byte: &&u8| !byte.is_ascii() || matches!(byte, b'[' | b']' | b' ' | b'+' | 0);
    let length = behind
        .iter()
        .take(LONGEST_REST)
        .take_while(is_unseen)
        .count();
    behind.get(length..).unwrap_or_default()
}

/// `"code": "…"`, `'code':'…'`, `code: "…"`, also with the quotes escaped inside another string.
fn is_member(before: &[u8], behind: &[u8], counts: &impl Fn(&[u8]) -> bool) -> bool {
    let is_longer =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$' | b'.');
    if before.last().is_some_and(is_longer) {
        return false;
    }
    let Some(value) = skip(behind, |byte| {
        matches!(byte, b'\\' | b'"' | b'\'') || is_blank(byte)
    })
    .strip_prefix(b":") else {
        return false;
    };
    let value = skip(value, is_blank);
    let unquoted = skip(value, |byte| matches!(byte, b'\\' | b'"' | b'\''));
    if unquoted.len() == value.len() {
        return false;
    }
    let word = value_of(unquoted);
    let ends = matches!(unquoted.get(word.len()), Some(b'\\' | b'"' | b'\''));
    ends && counts(word)
}

/// `<code>…</code>`, `<ns:code …>…`
fn is_element(before: &[u8], behind: &[u8], counts: &impl Fn(&[u8]) -> bool) -> bool {
    let opens = matches!(before, [.., b'<' | b':']);
    opens
        && behind
            .strip_prefix(b">")
            .is_some_and(|text| counts(value_of(skip(text, is_blank))))
}

fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace()
}

/// At most so many characters stand between a name and its value.
const LONGEST_GAP: usize = 64;

fn skip(text: &[u8], is_passed: impl Fn(u8) -> bool) -> &[u8] {
    let length = text
        .iter()
        .take(LONGEST_GAP)
        .take_while(|byte| is_passed(**byte))
        .count();
    text.get(length..).unwrap_or_default()
}

/// A field of a form, or whatever else has a name and a value.
fn is_field(text: &[u8], counts: &impl Fn(&[u8]) -> bool) -> bool {
    tokens(text).any(|token| match token {
        Token::Start(tag) => {
            let is_code = tag.value("name").is_some_and(is_code_to_somebody);
            let inside = || {
                let rest = text.get(tag.span.end..).unwrap_or_default();
                (tag.name == "textarea").then(|| value_of(skip(rest, is_blank)))
            };
            let value = || {
                tag.value("value")
                    .or(tag.value("content"))
                    .map(|value| value_of(value.as_bytes()))
            };
            is_code && (value().is_some_and(counts) || inside().is_some_and(counts))
        }
        Token::End(_) => false,
    })
}

/// `code`, with case, brackets, blanks, references that are not known here and what cannot be seen left aside.
fn is_code_to_somebody(name: &str) -> bool {
    let name = name.trim();
    let rest = match name.get(..4) {
        Some(word) if word.eq_ignore_ascii_case("code") => name.get(4..).unwrap_or_default(),
        _ => return false,
    };
    let rest = rest.trim_matches(|c: char| !c.is_ascii() || matches!(c, '[' | ']'));
    rest.is_empty() || rest.starts_with('&') && rest.ends_with(';')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_seen_in_every_shape() {
        for text in [
            r#"<a href="https://c/cb?code=SplxlOBeZQQY&state=x">"#,
            r#"location.replace("https://c/cb?x=1\x26code=SplxlOBeZQQY")"#,
            r#"{"to":"https://c/cb?state=1\u0026code=SplxlOBeZQQY"}"#,
            r#"{"to":"https://c/cb\u003Fcode\u003DSplxlOBeZQQY"}"#,
            r#"{"code":"SplxlOBeZQQY"}"#,
            r#"{"\u0063ode":"SplxlOBeZQQY"}"#,
            "var data = {response:{code: 'SplxlOBeZQQY'}}",
            r#""{\"code\":\"SplxlOBeZQQY\"}""#,
            r"<input name=code value=SplxlOBeZQQY>",
            r"<input name='code&ZeroWidthSpace;' value=SplxlOBeZQQY>",
            r"<input name=c&#111;de value=SplxlOBeZQQY>",
            r"<textarea name=code>SplxlOBeZQQY</textarea>",
            r"<input name=Code[] value=SplxlOBeZQQY>",
            r#"<meta http-equiv=refresh content="0;url=https://c/cb?a=b&amp;code=SplxlOBeZQQY">"#,
            "<a href='https://c/cb?state=x&ampcode=SplxlOBeZQQY'>",
            "https%3A%2F%2Fc%3Fcode%3DSplxlOBeZQQY",
            "https://c/cb?x=https%253A%252F%252Fc%253Fcode%253DSplxlOBeZQQY",
            "https://c/cb;code=SplxlOBeZQQY?state=x",
            "https://c/cb?Code=SplxlOBeZQQY",
            "https://c/cb?code[]=SplxlOBeZQQY",
        ] {
            assert!(carries_code(text.as_bytes(), Kind::Html, None), "{text}");
            assert!(
                !carries_code(text.as_bytes(), Kind::Html, Some("SplxlOBeZQQY")),
                "{text}"
            );
        }
        let element = b"<r><code>SplxlOBeZQQY</code></r>";
        assert!(carries_code(element, Kind::Text, None));
        assert!(!carries_code(element, Kind::Html, None));
    }

    #[test]
    fn ordinary_login_pages_are_not_taken_for_one() {
        for text in [
            r#"<input name="code" value="" placeholder="One-time code">"#,
            r#"<input name="code" value="123456">"#,
            r#"<input name="code_challenge" value="E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM">"#,
            "response_type=code&client_id=abcdefghijkl",
            r#"{"error_code":"SOMETHING_LONG","code":404,"zipcode":"123456789"}"#,
            r#"{"code":"not a code at all"}"#,
            "The code: abcdefghijkl",
            "<textarea name=code></textarea>",
            "<code>https://app.example/callback</code>",
            "?redirect_uri=https%3A%2F%2Fc%2Fcb&response_type=code&code_challenge=abcdefghijkl",
        ] {
            assert!(!carries_code(text.as_bytes(), Kind::Html, None), "{text}");
        }
    }
}
