//! The beacon: detects a text that contains something named `code` (or `access_token`, `id_token`) with a plausible value.
//!
//! Looser rules match ordinary login pages (one-time-password fields, error codes); stricter ones miss real carriers. The caller
//! checks whether the text also contains a handle.

use std::ops::Range;

use memchr::memchr2_iter;

use super::html::{Token, tokens, tokens_as_xml};
use crate::examined::looked_at;
use crate::oauth::params::folds_to;
use crate::oauth::params::set::ByteSet;
use crate::spelling::shortcuts::{names_code, names_token};
use crate::spelling::{any_layer, is_word};

/// The shortest value that counts as a code, in bytes.
const MIN_CODE: usize = 8;
/// The shortest value that counts as a token, in bytes.
const MIN_TOKEN: usize = 4;

/// The kind of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An HTML page, in which a `<code>` element is program text.
    Html,
    /// XML, scripts, JSON, plain text, a header field.
    Text,
}

/// Values of this length or longer, in bytes, do not count as words.
const LONGEST_WORD: usize = 24;

/// Whether a value consists of words, as `invalid_credentials`, `zh-Hant-TW` and `NumpadEnter` do. Random letters hardly ever do.
fn is_words(value: &[u8]) -> bool {
    let is_word = |part: &[u8]| {
        let is_lower = |text: &[u8]| text.iter().all(u8::is_ascii_lowercase);
        let is_upper = part.iter().all(u8::is_ascii_uppercase);
        // Each capital begins a word, and a small letter follows.
        let is_camel = part.iter().all(u8::is_ascii_alphabetic)
            && part
                .windows(2)
                .all(|two| !(two.iter().all(u8::is_ascii_uppercase)))
            && part.last().is_some_and(u8::is_ascii_lowercase);
        is_lower(part) || is_upper || is_camel
    };
    value.len() < LONGEST_WORD && value.split(u8::is_ascii_punctuation).all(is_word)
}

/// The credential to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credential {
    /// `code`
    Code,
    /// `access_token`, `id_token`
    Token,
    /// `access_token`
    AccessToken,
    /// `id_token`
    IdToken,
}

/// Whether the text, escaped or unescaped, contains a field, parameter, member or element with the credential's name and a
/// plausible value. `except`: a value to ignore.
pub(crate) fn carries(
    credential: Credential,
    text: &[u8],
    kind: Kind,
    except: Option<&str>,
) -> bool {
    any_layer(text, |layer| {
        let counts = |value: &[u8]| {
            credential.may_be(value) && except.is_none_or(|ours| value != ours.as_bytes())
        };
        mentions(credential, layer)
            && (is_named_there(credential, layer, kind, &counts)
                || is_field(credential, layer, &counts, true))
    })
}

impl Credential {
    /// Whether a value is plausible for the credential. Pages use `code` also for countries, errors and keys. `access_token` has
    /// no other meaning, so only short words in lower case (`null`, `required`) are excluded.
    pub(crate) fn may_be(self, value: &[u8]) -> bool {
        let is_small = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_punctuation();
        match self {
            Self::Code => value.len() >= MIN_CODE && !is_words(value),
            Self::Token | Self::AccessToken | Self::IdToken => {
                value.len() >= LONGEST_WORD
                    || value.len() >= MIN_TOKEN && !value.iter().all(is_small)
            }
        }
    }
}

/// Whether a URL has a parameter with the credential's name and a plausible value. Does not unescape the URL.
pub(crate) fn is_parameter_of(credential: Credential, url: &[u8]) -> bool {
    is_parameter_like(credential, url, credential)
}

/// The same with a value that is plausible for `like`.
pub(crate) fn is_parameter_like(credential: Credential, url: &[u8], like: Credential) -> bool {
    is_there(credential, url, |before, behind| {
        // A URL does not begin with a parameter.
        !before.is_empty() && is_parameter(before, behind, &|value| like.may_be(value))
    })
}

/// A quick test: whether the word `code` or `token` occurs at all.
fn mentions(credential: Credential, text: &[u8]) -> bool {
    match credential {
        Credential::Code => names_code(text),
        Credential::Token | Credential::AccessToken | Credential::IdToken => names_token(text),
    }
}

fn is_named_there(
    credential: Credential,
    text: &[u8],
    kind: Kind,
    counts: &impl Fn(&[u8]) -> bool,
) -> bool {
    is_there(credential, text, |before, behind| {
        let name = text.get(before.len()..text.len() - behind.len());
        is_parameter(before, behind, counts)
            || is_member(before, behind, counts) && !(kind == Kind::Html && is_of_script(name))
            || kind == Kind::Text && is_element(before, behind, counts)
    })
}

/// Whether the name is `accessToken` or `idToken`: scripts in pages call keys of other services (maps, error reports) so. In a
/// document it may be a token.
fn is_of_script(name: Option<&[u8]>) -> bool {
    name.is_some_and(|name| [&b"accessToken"[..], b"idToken"].contains(&name))
}

/// Whether the name occurs anywhere such that `holds` is true for the text before it and the text after it.
fn is_there(credential: Credential, text: &[u8], holds: impl Fn(&[u8], &[u8]) -> bool) -> bool {
    looked_at(text.len());
    let is_there = |name: Range<usize>| {
        let before = text.get(..name.start).unwrap_or_default();
        holds(before, text.get(name.end..).unwrap_or_default())
    };
    match credential {
        Credential::Code => memchr2_iter(b'c', b'C', text)
            .filter(|at| is_word(text, *at, b"code"))
            .any(|at| is_there(at..at + 4)),
        // `k` is a rare letter, and both names contain it.
        Credential::Token | Credential::AccessToken | Credential::IdToken => {
            memchr2_iter(b'k', b'K', text)
                .filter_map(|at| token_around(credential, text, at))
                .any(is_there)
        }
    }
}

/// The range of the `access_token` or `id_token` whose `k` is at this position. Ignores case; the separator may be another or
/// absent.
fn token_around(credential: Credential, text: &[u8], k: usize) -> Option<Range<usize>> {
    let token = k.checked_sub(2).filter(|at| is_word(text, *at, b"token"))?;
    let end = match text.get(..token)? {
        [rest @ .., b'_' | b'-' | b'.' | b' '] => rest.len(),
        all => all.len(),
    };
    let begins = |word: &[u8]| {
        let at = end.checked_sub(word.len())?;
        is_word(text, at, word).then_some(at)
    };
    let start = match credential {
        Credential::AccessToken => begins(b"access"),
        Credential::IdToken => begins(b"id"),
        Credential::Token | Credential::Code => begins(b"access").or_else(|| begins(b"id")),
    }?;
    Some(start..token + 5)
}

/// The beginning of an unquoted value, up to the first character that codes do not have. Templates and patterns in pages
/// (`${code}`, `[?&]code=([^&]+)`) give an empty value.
fn value_of(text: &[u8]) -> &[u8] {
    static PART: ByteSet = ByteSet::alphanumeric_and(b"-._~+/=%!*$:|");
    let length = text.iter().take_while(|byte| PART.has(**byte)).count();
    looked_at(length);
    text.get(..length).unwrap_or_default()
}

/// A quoted value, if it is one word. The quotes may be escaped.
fn quoted(text: &[u8]) -> Option<&[u8]> {
    let is_part =
        |byte: &u8| byte.is_ascii_graphic() && !is_quote(*byte) && !b"<>{}()".contains(byte);
    let unquoted = skip(text, is_quote);
    if unquoted.len() == text.len() {
        return None;
    }
    let length = unquoted.iter().take_while(|byte| is_part(byte)).count();
    looked_at(length);
    let is_whole = unquoted.get(length).is_some_and(|byte| is_quote(*byte));
    unquoted.get(..length).filter(|_| is_whole)
}

/// `?code=…`, `&code=…`, `#code=…`, `;code=…`, or at the beginning of the text. Some clients ignore brackets, blanks and
/// invisible characters before or after the name, so these are skipped.
fn is_parameter(before: &[u8], behind: &[u8], counts: &impl Fn(&[u8]) -> bool) -> bool {
    let is_unseen = |byte: &&u8| !byte.is_ascii() || matches!(byte, b'+' | 0);
    let last = before
        .iter()
        .rev()
        .take(LONGEST_REST)
        .find(|byte| !is_unseen(byte));
    let introduced = match last {
        Some(last) => b"?&#;".contains(last),
        None => before.len() < LONGEST_REST,
    };
    introduced
        && unseen(behind)
            .strip_prefix(b"=")
            .is_some_and(|value| counts(value_of(value)))
}

/// The most bytes that are skipped before or after a name.
const LONGEST_REST: usize = 32;

fn unseen(behind: &[u8]) -> &[u8] {
    let mut in_brackets = false;
    let is_unseen = |byte: &&u8| {
        in_brackets = **byte == b'[' || in_brackets && **byte != b']';
        in_brackets || !byte.is_ascii() || matches!(byte, b']' | b' ' | b'+' | 0)
    };
    let length = behind
        .iter()
        .take(LONGEST_REST)
        .take_while(is_unseen)
        .count();
    behind.get(length..).unwrap_or_default()
}

/// `"code": "…"`, `code: '…'`, `"code": ["…"]`, `r.code = "…"`, `r['code'] = "…"`, `code="…"`, `set('code', '…')`; also with the
/// quotes escaped inside another string.
fn is_member(before: &[u8], behind: &[u8], counts: &impl Fn(&[u8]) -> bool) -> bool {
    let is_longer = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$');
    if before.last().is_some_and(is_longer) {
        return false;
    }
    let behind = skip(behind, |byte| {
        is_quote(byte) || byte == b']' || is_blank(byte)
    });
    let value = match behind {
        // `e.code:'…'` is part of a conditional expression (`a ? e.code : '…'`).
        [b':', value @ ..] if before.last() != Some(&b'.') => value,
        // `==` compares.
        [b'=', value @ ..] if value.first() != Some(&b'=') => value,
        [b',', value @ ..] if is_argument(before) => value,
        [b',', value @ ..] => match value_member(value) {
            Some(value) => value,
            None => return false,
        },
        _ => return false,
    };
    let value = value_member(value).unwrap_or(value);
    quoted(skip(value, |byte| is_blank(byte) || byte == b'[')).is_some_and(counts)
}

/// The text after `"value":`, as in `{"code":{"value":"…"}}` and `{"name":"code","value":"…"}`.
fn value_member(text: &[u8]) -> Option<&[u8]> {
    let is_between = |byte| is_quote(byte) || is_blank(byte);
    let name = skip(text, |byte| is_between(byte) || byte == b'{');
    skip(name.strip_prefix(b"value")?, is_between).strip_prefix(b":")
}

/// Whether a name is the first argument of a call, not an item of a list.
fn is_argument(before: &[u8]) -> bool {
    let near = before.iter().rev().take(LONGEST_GAP);
    let quotes = near.take_while(|byte| is_quote(**byte)).count();
    quotes > 0 && before.iter().rev().nth(quotes) == Some(&b'(')
}

/// `<code>…</code>`, `<ns:code x="y">…`, `<code><![CDATA[…`
fn is_element(before: &[u8], behind: &[u8], counts: &impl Fn(&[u8]) -> bool) -> bool {
    let opens = matches!(before, [.., b'<' | b':']);
    let attributes = match behind {
        [b'>', ..] => behind,
        [blank, ..] if is_blank(*blank) => skip(behind, |byte| byte != b'>'),
        _ => return false,
    };
    let inside = attributes.strip_prefix(b">").filter(|_| opens);
    inside.is_some_and(|text| {
        let text = skip(text, is_blank);
        counts(value_of(text.strip_prefix(b"<![CDATA[").unwrap_or(text)))
    })
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'\\' | b'"' | b'\'' | b'`')
}

fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace()
}

/// The most bytes between a name and its value.
const LONGEST_GAP: usize = 64;

fn skip(text: &[u8], is_passed: impl Fn(u8) -> bool) -> &[u8] {
    let length = text
        .iter()
        .take(LONGEST_GAP)
        .take_while(|byte| is_passed(**byte))
        .count();
    text.get(length..).unwrap_or_default()
}

/// Whether a form field, or another HTML element with a name and a value, has the credential.
fn is_field(
    credential: Credential,
    text: &[u8],
    counts: &impl Fn(&[u8]) -> bool,
    is_outermost: bool,
) -> bool {
    // XHTML and inline SVG: the first reading may take for text what a browser parses.
    is_field_in(tokens(text), credential, text, counts, is_outermost)
        || tokens_as_xml(text)
            .is_some_and(|tokens| is_field_in(tokens, credential, text, counts, is_outermost))
}

fn is_field_in(
    mut tokens: impl Iterator<Item = Token>,
    credential: Credential,
    text: &[u8],
    counts: &impl Fn(&[u8]) -> bool,
    is_outermost: bool,
) -> bool {
    // The name of an `<option>` is that of its `<select>`.
    let mut in_list = false;
    tokens.any(|token| match token {
        Token::Start(tag) => {
            let is_named = tag
                .value("name")
                .is_some_and(|name| is_name_of(credential, name));
            if tag.name == "select" {
                in_list = is_named;
            }
            let is_option = in_list && tag.name == "option";
            let inside = || {
                let rest = text.get(tag.span.end..).unwrap_or_default();
                (is_option || tag.name == "textarea").then(|| value_of(skip(rest, is_blank)))
            };
            // A page in an iframe. Iframes in that page are not searched.
            let page = tag.value("srcdoc").filter(|_| is_outermost);
            if page.is_some_and(|page| is_field(credential, page.as_bytes(), counts, false)) {
                return true;
            }
            let value = || {
                let value = tag.value("value").or(tag.value("content"));
                value.map(|value| value_of(value.as_bytes()))
            };
            (is_named || is_option) && (value().is_some_and(counts) || inside().is_some_and(counts))
        }
        Token::End(name) => {
            in_list &= name != "select";
            false
        }
    })
}

/// Whether a field has the credential's name for some client: case, brackets, blanks and invisible characters are ignored.
fn is_name_of(credential: Credential, name: &str) -> bool {
    let is_unseen = |c: char| !c.is_ascii() || c.is_ascii_whitespace() || matches!(c, '[' | ']');
    let seen = name.trim_matches(is_unseen);
    match credential {
        Credential::Code => folds_to(seen, "code"),
        Credential::Token => folds_to(seen, "accesstoken") || folds_to(seen, "idtoken"),
        Credential::AccessToken => folds_to(seen, "accesstoken"),
        Credential::IdToken => folds_to(seen, "idtoken"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_detected_in_every_shape() {
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
            "https://c/cb?code[0]=SplxlOBeZQQY",
            "https://c/cb?%EF%BB%BFcode=SplxlOBeZQQY",
            "\u{feff}code=SplxlOBeZQQY",
            r#"{"code":{"value":"SplxlOBeZQQY"}}"#,
            r#"[{"name":"code", "value": "SplxlOBeZQQY"}]"#,
            "<select name=code><option selected>SplxlOBeZQQY</select>",
            "<iframe srcdoc='<form><input name=code value=SplxlOBeZQQY>'></iframe>",
            "code=SplxlOBeZQQY&state=x",
            r#"{"code":["SplxlOBeZQQY"]}"#,
            "r.code='SplxlOBeZQQY'",
            r#"r["code"] = "SplxlOBeZQQY""#,
            r#"to = '{\"code\" : \"SplxlOBeZQQY\"}'"#,
            "var code = `SplxlOBeZQQY`",
            "to.searchParams.set('code','SplxlOBeZQQY')",
            r#"form.append("code", "SplxlOBeZQQY")"#,
            r#"<r code="SplxlOBeZQQY" state="x"/>"#,
        ] {
            assert!(
                carries(Credential::Code, text.as_bytes(), Kind::Html, None),
                "{text}"
            );
            assert!(
                !carries(
                    Credential::Code,
                    text.as_bytes(),
                    Kind::Html,
                    Some("SplxlOBeZQQY")
                ),
                "{text}"
            );
        }
        for element in [
            "<r><code>SplxlOBeZQQY</code></r>",
            "<r><n:code xmlns:n='y'>\n SplxlOBeZQQY</n:code></r>",
            "<r><code><![CDATA[SplxlOBeZQQY]]></code></r>",
        ] {
            let element = element.as_bytes();
            assert!(carries(Credential::Code, element, Kind::Text, None));
            assert!(!carries(Credential::Code, element, Kind::Html, None));
        }
    }

    #[test]
    fn codes_with_special_characters_are_detected() {
        for code in [
            "M.C546_BAY.2.U.1a!def*ghi$$",
            "M!*1*2$3|4:5~6",
            "1|2:abcdef",
            "~!*:|$-._+=1a",
        ] {
            for text in [
                "https://c/cb?code=CODE",
                r#"{"code":"CODE"}"#,
                r#"{"code":["CODE"]}"#,
                "x.code='CODE'",
                "<code>CODE</code>",
                "<input name=code value='CODE'>",
                "searchParams.set('code','CODE')",
            ] {
                let text = text.replace("CODE", code);
                assert!(
                    carries(Credential::Code, text.as_bytes(), Kind::Text, None),
                    "{text}"
                );
            }
        }
        // In quotes, any characters count.
        let text = br##"{"code":"#1,?2;&@^"}"##;
        assert!(carries(Credential::Code, text, Kind::Html, None));
    }

    #[test]
    fn tokens_are_detected_in_every_shape() {
        let check = |credential, text: &str| carries(credential, text.as_bytes(), Kind::Html, None);
        for text in [
            "https://c/cb#access_token=SplxlOBeZQQY&token_type=Bearer",
            "https://c/#/cb?access_token=SplxlOBeZQQY",
            "https://c/cb;id_token=SplxlOBeZQQY",
            "https://c/cb#x#access_token=SplxlOBeZQQY",
            "0;url=https://c/cb?x=1&Access_Token=SplxlOBeZQQY",
            r#"{"access_token":"SplxlOBeZQQY"}"#,
            r#"{"access-token":"SplxlOBeZQQY"}"#,
            r#"{"ACCESSTOKEN":"SplxlOBeZQQY"}"#,
            r#"{"id_token":"eyJhbGciOiJub25lIn0.e30."}"#,
            "<textarea name=access_token>SplxlOBeZQQY</textarea>",
            "<select name=id_token><option value=SplxlOBeZQQY></select>",
            "<button name=access_token value=SplxlOBeZQQY>",
        ] {
            assert!(check(Credential::Token, text), "{text}");
            assert!(!check(Credential::Code, text), "{text}");
        }
        for text in [
            "?id_token_hint=SplxlOBeZQQY",
            "?csrf_token=SplxlOBeZQQY",
            r#"{"requestToken":"SplxlOBeZQQY","valid_token":"SplxlOBeZQQY"}"#,
            "response_type=id_token&client_id=abcdefghijkl",
            "<select name=language><option value=SplxlOBeZQQY></select>",
            "an access_token is a string",
            "var _rollbarConfig = {accessToken: 'SplxlOBeZQQY', captureUncaught: true}",
            "mapboxgl.accessToken = 'SplxlOBeZQQY'",
        ] {
            assert!(!check(Credential::Token, text), "{text}");
        }
        // `accessToken` counts in a document, and as a parameter in a page.
        let member = br#"{"accessToken":"SplxlOBeZQQY"}"#;
        assert!(carries(Credential::Token, member, Kind::Text, None));
        assert!(check(
            Credential::Token,
            "https://c/cb#accessToken=SplxlOBeZQQY"
        ));
    }

    #[test]
    fn ordinary_login_pages_do_not_match() {
        for text in [
            r#"<input name="code" value="" placeholder="One-time code">"#,
            r#"<input name="code" value="123456">"#,
            r#"<input name="code_challenge" value="E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM">"#,
            "response_type=code&client_id=abcdefghijkl",
            r#"{"error_code":"SOMETHING_LONG","code":404,"zipcode":"123456789"}"#,
            r#"{"code":"not a code at all"}"#,
            "The code: abcdefghijkl",
            r#"{"code":"invalid_credentials"}"#,
            r#"{"code":"USER_LOCKED"}"#,
            "{code:'zh-Hant-TW'}",
            "e.code:'NumpadEnter'",
            "<textarea name=code></textarea>",
            r#"{"code":"urn:problem:locked"}"#,
            r#"{"code":"org.example/Locked"}"#,
            r#"if (e.code === "E1234567" || x.code == 'E1234567') {}"#,
            r#"["code","base64url","state"]"#,
            "location = '/cb?code=${result.code1}&state='",
            "/[?&]code=([^&#]+)12345678/",
            "'?code=' + code1 + '&state=1'",
            "var code = params['code1234'], codes = ['12345678']",
            "a.code ? e.code : 'E1234567'",
            "x = 1; code=response1; y",
            r#"["code","value","a1b2c3d4"]"#,
            "<code>https://app.example/callback</code>",
            "?redirect_uri=https%3A%2F%2Fc%2Fcb&response_type=code&code_challenge=abcdefghijkl",
        ] {
            assert!(
                !carries(Credential::Code, text.as_bytes(), Kind::Html, None),
                "{text}"
            );
        }
    }
}
