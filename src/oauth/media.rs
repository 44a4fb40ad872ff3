//! The media type of a form, and what its charset says about it.
//!
//! A form is ASCII in which other bytes are escaped, so its charset decides nothing but what the escaped bytes mean. The gate
//! reads them as UTF-8. A server that is told another charset may read other letters there: it must not in what is judged.

use memchr::memmem;

use super::Params;
use super::params::fold;

/// How the escaped bytes of a form are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charset {
    /// As here.
    Utf8,
    /// As here where they are ASCII: US-ASCII, ISO-8859-1 and the like, or a spelling of UTF-8 that not every server knows.
    Ascii,
}

/// Why a body is not read as a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoForm {
    /// Another media type, or parameters that a form does not have.
    #[error("the body has to be application/x-www-form-urlencoded")]
    MediaType,
    /// UTF-16, EBCDIC, `Shift_JIS` and the like: the same bytes are other letters.
    #[error("the charset of the form has to be UTF-8, or one that is the same for ASCII")]
    Charset,
    /// Bytes that UTF-8 and the charset read differently, where it matters.
    #[error("a parameter that is not ASCII, in a charset that is not UTF-8")]
    NotAscii,
}

/// Charsets of one byte for each character, which is that of ASCII below 128; without case and punctuation. (Not `Shift_JIS` or
/// GBK: there a byte may swallow the next one.)
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

/// The charset of a form with this `Content-Type`: exactly a form, with no parameter but `charset`.
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

/// How the names of charsets begin in which the letters of ASCII are the bytes of ASCII, whatever else they have.
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

/// Whether a media type names a charset in which the letters of ASCII may be other bytes. However it names it: parsers of
/// parameters differ.
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
    /// Whether the server reads in a body of at most `pairs` pairs what the gate reads: every name, and the values of these. What
    /// is no form at all is found by whoever reads it.
    pub(crate) fn agrees_on(
        self,
        body: &[u8],
        pairs: usize,
        protected: &[&str],
    ) -> Result<(), NoForm> {
        match self {
            Self::Utf8 => Ok(()),
            Self::Ascii => match Params::survey(body, pairs) {
                Ok(form) => self.agrees(&form, protected),
                Err(_) => Ok(()),
            },
        }
    }

    fn agrees(self, form: &Params<'_>, protected: &[&str]) -> Result<(), NoForm> {
        let is_same = self == Self::Utf8
            || form.iter().all(|pair| {
                let matters = protected.contains(&pair.name());
                pair.name().is_ascii() && (!matters || pair.is_decoded() && pair.value().is_ascii())
            });
        if is_same {
            Ok(())
        } else {
            Err(NoForm::NotAscii)
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
    fn charsets_that_are_the_same_for_ascii_are_forms_and_others_are_not() {
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
    fn where_servers_may_read_other_letters_what_is_judged_is_ascii() {
        for (form, utf8, ascii) in [
            ("client_id=a&x=b", true, true),
            ("client_id=a&x=%C3%A9", true, true),
            ("client_id=a&password=%E9", true, true),
            ("client_id=%C3%A9", true, false),
            ("client_id=\u{e9}", true, false),
            ("%C2%A0x=1", true, false),
        ] {
            let params = Params::survey(form.as_bytes(), 9).unwrap();
            let agrees = |charset: Charset| charset.agrees(&params, &["client_id"]).is_ok();
            assert_eq!(
                (agrees(Charset::Utf8), agrees(Charset::Ascii)),
                (utf8, ascii),
                "{form}"
            );
        }
    }

    #[test]
    fn charsets_in_which_letters_are_other_bytes_are_foreign() {
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
    fn the_texts_about_charsets_say_so() {
        for problem in [NoForm::Charset, NoForm::NotAscii] {
            assert!(problem.to_string().contains("charset"), "{problem}");
        }
    }
}
