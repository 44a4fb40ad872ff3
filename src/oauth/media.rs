//! The media type of a form and its charset.
//!
//! A form is ASCII with other bytes escaped; its charset only determines what the escaped bytes mean. The gate decodes
//! them as UTF-8. A server that is told another charset may decode other characters, which must not happen in a
//! parameter that the gate judges.

use memchr::memmem;

use super::Params;
use super::params::{Pair, fold};

/// How far a server decodes the escaped bytes of a form as the gate does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charset {
    /// The same characters as in the gate.
    Utf8,
    /// The same characters for ASCII: US-ASCII, ISO-8859-1 and similar, or a spelling of UTF-8 that not every server
    /// knows.
    Ascii,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoForm {
    /// Another media type, or a parameter other than `charset`.
    #[error("the body must be application/x-www-form-urlencoded")]
    MediaType,
    /// UTF-16, EBCDIC, `Shift_JIS` and others in which ASCII bytes can mean other characters.
    #[error("the charset of the form must be UTF-8, or one that agrees with it on ASCII")]
    Charset,
    /// A name or a judged value has bytes that UTF-8 and the charset decode differently.
    #[error("a parameter is not ASCII, and the charset is not UTF-8")]
    NotAscii,
}

/// Single-byte charsets that equal ASCII below 128, in lower case and without punctuation. (Not `Shift_JIS` or GBK:
/// there a byte may consume the next one.)
const LIKE_ASCII: [&str; 18] = [
    "utf8",
    "usascii",
    "ascii",
    "ansix341968",
    "iso88591",
    "iso885915",
    "latin1",
    "latin9",
    "l1",
    "windows1252",
    "cp1252",
    "iso88592",
    "latin2",
    "windows1250",
    "windows1251",
    "windows1254",
    "koi8r",
    "koi8u",
];

/// Returns the charset of a form. The media type must be that of a form, and `charset` its only parameter.
pub(crate) fn form_charset(media_type: &str) -> Result<Charset, NoForm> {
    let mut parts = media_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(NoForm::MediaType);
    }
    let mut charset = Charset::Utf8;
    for parameter in parts.filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').ok_or(NoForm::MediaType)?;
        if !name.trim_end().eq_ignore_ascii_case("charset") {
            return Err(NoForm::MediaType);
        }
        let value = value.trim_start();
        let quoted = value
            .strip_prefix('"')
            .and_then(|value| value.strip_suffix('"'));
        let value = quoted.unwrap_or(value);
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if !value.bytes().all(is_name) || !LIKE_ASCII.contains(&fold(value).as_str()) {
            return Err(NoForm::Charset);
        }
        let known = ["utf-8", "utf8"]
            .iter()
            .any(|known| value.eq_ignore_ascii_case(known));
        if !known {
            charset = Charset::Ascii;
        }
    }
    Ok(charset)
}

/// Prefixes of the names of charsets in which every ASCII character is its ASCII byte.
const ASCII_INSIDE: [&str; 9] = [
    "utf-8",
    "utf8",
    "us-ascii",
    "ascii",
    "iso-8859-",
    "latin",
    "windows-125",
    "euc-",
    "koi8",
];

/// Whether a media type names a charset in which ASCII characters may be other bytes. Searches for `charset` anywhere,
/// because servers parse the parameters differently.
pub(crate) fn names_foreign_charset(media_type: &[u8]) -> bool {
    const NAME: &[u8] = b"charset";
    let media_type = media_type.to_ascii_lowercase();
    let mut names = memmem::find_iter(&media_type, NAME);
    names.any(|at| {
        let rest = media_type.get(at + NAME.len()..).unwrap_or_default();
        let begins = rest.iter().position(u8::is_ascii_alphanumeric);
        let charset = rest.get(begins.unwrap_or(rest.len())..).unwrap_or_default();
        let mut known = ASCII_INSIDE.iter();
        !known.any(|known| charset.starts_with(known.as_bytes()))
    })
}

impl Charset {
    /// Whether a server with this charset decodes every name of the body, and the values of `protected`, as the gate
    /// does. Reads at most `pairs` pairs. A malformed body is `Ok`: the parser of the form reports it.
    pub(crate) fn agrees_on(
        self,
        body: &[u8],
        pairs: usize,
        protected: &[&str],
    ) -> Result<(), NoForm> {
        if self == Self::Utf8 {
            return Ok(());
        }
        let is_same = |pair: &Pair<'_>| {
            let matters = protected.contains(&pair.name());
            pair.name().is_ascii() && (!matters || pair.is_decoded() && pair.value().is_ascii())
        };
        match Params::survey(body, pairs) {
            Ok(form) if !form.iter().all(is_same) => Err(NoForm::NotAscii),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charset(parameters: &str) -> Result<Charset, NoForm> {
        form_charset(&format!("application/x-www-form-urlencoded{parameters}"))
    }

    #[test]
    fn only_charsets_that_agree_on_ascii_are_accepted() {
        for (parameters, expected) in [
            ("", Ok(Charset::Utf8)),
            (";", Ok(Charset::Utf8)),
            ("; charset=utf-8", Ok(Charset::Utf8)),
            (";charset=\"UTF-8\"", Ok(Charset::Utf8)),
            ("; Charset = utf8 ;", Ok(Charset::Utf8)),
            ("; charset=UTF_8", Ok(Charset::Ascii)),
            ("; charset=us-ascii", Ok(Charset::Ascii)),
            ("; charset=ISO-8859-1", Ok(Charset::Ascii)),
            ("; charset=iso_8859-1", Ok(Charset::Ascii)),
            ("; charset=Windows-1252", Ok(Charset::Ascii)),
            ("; charset=utf-8; charset=iso-8859-15", Ok(Charset::Ascii)),
            ("; charset=utf-16", Err(NoForm::Charset)),
            ("; charset=utf-16le", Err(NoForm::Charset)),
            ("; charset=utf-7", Err(NoForm::Charset)),
            ("; charset=ibm037", Err(NoForm::Charset)),
            ("; charset=shift_jis", Err(NoForm::Charset)),
            ("; charset=gbk", Err(NoForm::Charset)),
            ("; charset=iso-2022-jp", Err(NoForm::Charset)),
            ("; charset=", Err(NoForm::Charset)),
            ("; charset=\"utf-8", Err(NoForm::Charset)),
            ("; charset='utf-8'", Err(NoForm::Charset)),
            ("; charset=utf-8, text/plain", Err(NoForm::Charset)),
            ("; charset=utf-8; charset=utf-16", Err(NoForm::Charset)),
            ("; charset*=utf-16''x", Err(NoForm::MediaType)),
            ("; boundary=x", Err(NoForm::MediaType)),
            ("; utf-8", Err(NoForm::MediaType)),
            ("2", Err(NoForm::MediaType)),
            (", application/json", Err(NoForm::MediaType)),
        ] {
            assert_eq!(charset(parameters), expected, "{parameters}");
        }
        assert_eq!(form_charset(""), Err(NoForm::MediaType));
    }

    #[test]
    fn names_and_judged_values_must_be_ascii_in_charsets_other_than_utf8() {
        for (form, utf8, ascii) in [
            ("client_id=a&x=b", true, true),
            ("client_id=a&x=%C3%A9", true, true),
            ("client_id=a&password=%E9", true, true),
            ("client_id=%C3%A9", true, false),
            ("client_id=\u{e9}", true, false),
            ("%C2%A0x=1", true, false),
        ] {
            let agrees = |charset: Charset| {
                let agrees = charset.agrees_on(form.as_bytes(), 9, &["client_id"]);
                agrees.is_ok()
            };
            assert_eq!(
                (agrees(Charset::Utf8), agrees(Charset::Ascii)),
                (utf8, ascii),
                "{form}"
            );
        }
    }

    #[test]
    fn charsets_with_other_bytes_for_ascii_are_foreign() {
        for (media_type, foreign) in [
            ("text/plain", false),
            ("text/plain; charset=UTF-8", false),
            ("text/html; Charset = \"iso-8859-15\"", false),
            ("text/plain; charset=euc-jp", false),
            ("text/plain; charset=utf-16le", true),
            ("text/plain; CHARSET=ibm037", true),
            ("text/plain; charset=utf-8; charset=utf-7", true),
            ("text/plain; charset", true),
        ] {
            assert_eq!(
                names_foreign_charset(media_type.as_bytes()),
                foreign,
                "{media_type}"
            );
        }
    }

    #[test]
    fn messages_about_charsets_name_the_charset() {
        for problem in [NoForm::Charset, NoForm::NotAscii] {
            assert!(problem.to_string().contains("charset"), "{problem}");
        }
    }
}
