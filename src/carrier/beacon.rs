//! The beacon: a page or a JSON document in which something named exactly `code` has a value that could be one.
//!
//! Looser rules hit ordinary login pages (one-time-password fields, error codes), stricter ones miss real carriers.
//! Whether a live handle stands in the same document is asked by the caller.

use super::form_post::forms;
use super::html::{Token, tokens};

/// A code has at least this many characters.
const MIN_CODE: usize = 8;

/// What introduces a parameter, spelt as in URLs, HTML, JavaScript and JSON.
const BEFORE_PARAMETER: [&str; 12] = [
    "?", "&", "#", "&amp;", "&#38;", "\\u0026", "\\x26", "%26", "%3F", "%3f", "&#63;", "\\u003f",
];
/// What stands between its name and its value.
const EQUALS: [&str; 6] = ["=", "%3D", "%3d", "&#61;", "\\u003d", "\\x3d"];

/// Whether the text holds a field, a parameter or a member named `code` with a value of eight characters or more.
pub fn carries_code(text: &str) -> bool {
    text.match_indices("code").any(|(at, _)| {
        let (before, rest) = (
            text.get(..at).unwrap_or_default(),
            text.get(at + 4..).unwrap_or_default(),
        );
        is_parameter(before, rest) || is_member(before, rest)
    }) || is_field(text)
}

fn is_code_character(character: char) -> bool {
    character.is_ascii_alphanumeric()
        || matches!(character, '-' | '.' | '_' | '~' | '+' | '/' | '=' | '%')
}

fn value_length(text: &str) -> usize {
    text.find(|c| !is_code_character(c)).unwrap_or(text.len())
}

fn is_parameter(before: &str, rest: &str) -> bool {
    BEFORE_PARAMETER
        .iter()
        .any(|introduction| before.ends_with(introduction))
        && EQUALS.iter().any(|equals| {
            rest.strip_prefix(equals)
                .is_some_and(|value| value_length(value) >= MIN_CODE)
        })
}

/// `"code": "…"`, `'code':'…'`, `code: "…"`, also with the quotes escaped inside another string.
fn is_member(before: &str, rest: &str) -> bool {
    if before.ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$' | '.')) {
        return false;
    }
    let rest = rest.trim_start_matches(['\\', '"', '\'']).trim_start();
    let Some(value) = rest.strip_prefix(':') else {
        return false;
    };
    let value = value.trim_start();
    let unquoted = value.trim_start_matches(['\\', '"', '\'']);
    unquoted.len() < value.len() && {
        let length = value_length(unquoted);
        length >= MIN_CODE
            && unquoted
                .get(length..)
                .is_some_and(|tail| tail.starts_with(['\\', '"', '\'']))
    }
}

fn is_field(text: &str) -> bool {
    let named_code = |token: &Token| match token {
        Token::Start(tag) => {
            tag.value("name") == Some("code")
                && tag
                    .value("value")
                    .or(tag.value("content"))
                    .is_some_and(|value| value_length(value) >= MIN_CODE)
        }
        Token::End(_) => false,
    };
    tokens(text.as_bytes()).iter().any(named_code)
}

/// Whether any form of the page posts to that target: such a page is an authorization response, whatever else is in
/// it.
pub fn posts_to(page: &[u8], is_target: impl Fn(&str) -> bool) -> bool {
    forms(page).iter().any(|form| is_target(&form.action))
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
            r#"{"code":"SplxlOBeZQQY"}"#,
            "var data = {response:{code: 'SplxlOBeZQQY'}}",
            r#""{\"code\":\"SplxlOBeZQQY\"}""#,
            r"<input name=code value=SplxlOBeZQQY>",
            r#"<meta http-equiv=refresh content="0;url=https://c/cb?a=b&amp;code=SplxlOBeZQQY">"#,
            "https%3A%2F%2Fc%3Fcode%3DSplxlOBeZQQY",
        ] {
            assert!(carries_code(text), "{text}");
        }
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
        ] {
            assert!(!carries_code(text), "{text}");
        }
    }
}
