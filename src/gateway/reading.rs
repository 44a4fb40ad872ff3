//! What a request says, as the most forgiving server would read it: every form of body, every spelling of a name. For looking
//! only; nothing that is decoded here is ever sent.

use bytes::Bytes;
use http::{HeaderMap, header};
use memchr::memchr2;

use crate::oauth::json;
use crate::oauth::params::foldings;
use crate::oauth::params::set::ByteSet;

use super::body::Peeked;
use super::endpoint::decode_lossy;
use super::exchange::{Exchange, Received};

/// A one-time password has at most this many digits.
pub(super) const ONE_TIME_PASSWORD: usize = 10;

/// What a body says. Not to be shown: there are codes among it.
pub(super) enum Said {
    /// There is none, or none that anybody takes for parameters.
    Nothing,
    /// It ends early.
    Broken,
    /// Something that cannot be read here.
    Something,
    /// This, in each way to read it.
    Names(Vec<Names>),
}

/// How far somebody wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Whatever anybody could read in any body.
    Thorough,
    /// What a form says.
    Form,
    /// What a form says, if one of these names (folded) may be in it.
    FormWith(&'static [&'static str]),
}

/// Reads a body, and leaves it ready to be sent on.
pub(super) async fn body(exchange: &Exchange<'_>, request: &mut Received, look: Look) -> Said {
    let thorough = look == Look::Thorough;
    let Some(kind) = kind(request, thorough) else {
        return Said::Nothing;
    };
    if thorough && is_encoded(&request.headers) {
        return Said::Something;
    }
    match request.body.peek(exchange.shared.limits.form_bytes).await {
        Peeked::Whole(body) => match look {
            Look::FormWith(names) if !may_be_read_as(&body, names) => Said::Nothing,
            Look::FormWith(_) | Look::Form | Look::Thorough => {
                readings(kind, &body).map_or(Said::Something, Said::Names)
            }
        },
        Peeked::TooLong => Said::Something,
        Peeked::Broken => Said::Broken,
    }
}

/// No server looks for parameters in these.
const MEDIA: [&[u8]; 4] = [b"image/", b"audio/", b"video/", b"font/"];

/// What a body is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Form,
    Json,
    Multipart,
    /// No media type, text, or one that nobody knows: some servers read a form in it, some JSON.
    Doubtful,
}

/// Whether a body has to be read: every form; and, to be thorough, everything but pictures and the like.
fn kind(request: &Received, thorough: bool) -> Option<Kind> {
    if http_body::Body::is_end_stream(&request.body) {
        return None;
    }
    let media_type = request
        .headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.as_bytes().to_ascii_lowercase());
    let media_type = media_type.unwrap_or_default();
    let names = |what: &[u8]| media_type.windows(what.len()).any(|window| window == what);
    if names(b"x-www-form-urlencoded") {
        return Some(Kind::Form);
    }
    if !thorough {
        return None;
    }
    if names(b"json") {
        Some(Kind::Json)
    } else if media_type.starts_with(b"multipart/") && names(b"boundary") {
        Some(Kind::Multipart)
    } else if MEDIA.iter().any(|media| media_type.starts_with(media)) {
        None
    } else {
        Some(Kind::Doubtful)
    }
}

/// A name and its value, the name as the most forgiving server reads it.
pub(super) type Names = Vec<(String, String)>;

/// Whether a body is something else than it looks like before it is unpacked: compressed, or in a foreign charset.
pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    headers.contains_key(header::CONTENT_ENCODING) || has_foreign_charset(headers)
}

/// Whether it names a charset in which the letters of ASCII are other bytes.
pub(super) fn has_foreign_charset(headers: &HeaderMap) -> bool {
    const LIKE_ASCII: [&str; 12] = [
        "utf-8",
        "utf8",
        "us-ascii",
        "ascii",
        "iso-8859-",
        "latin",
        "windows-125",
        "shift_jis",
        "euc-",
        "gb",
        "big5",
        "koi8",
    ];
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.as_bytes().to_ascii_lowercase());
    let media_type = text(&media_type.unwrap_or_default());
    media_type.split("charset").skip(1).any(|rest| {
        let charset = rest.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        !LIKE_ASCII.iter().any(|known| charset.starts_with(known))
    })
}

/// Everything that the body may say. `None`: it may say something that cannot be read here.
pub(super) fn readings(kind: Kind, body: &Bytes) -> Option<Vec<Names>> {
    let json = || json::parse(body).map(|value| value.as_object().map(members).unwrap_or_default());
    match kind {
        Kind::Form => Some(vec![names(body)]),
        Kind::Json => Some(vec![json()?]),
        Kind::Multipart => Some(vec![fields(body)?]),
        Kind::Doubtful => {
            let mut read = vec![names(body), fields(body)?];
            if body.trim_ascii_start().starts_with(b"{") {
                read.push(json()?);
            }
            Some(read)
        }
    }
}

/// Whether any name of a form may be read as one of these (folded). Says yes where it takes more than a look.
pub(super) fn may_be_read_as(input: &[u8], folded: &[&str]) -> bool {
    static PLAIN: ByteSet = ByteSet::alphanumeric_and(b"_-.");
    let is_one = |name: &[u8]| {
        let letters = || {
            let letters = name.iter().filter(|byte| byte.is_ascii_alphanumeric());
            letters.map(u8::to_ascii_lowercase)
        };
        folded.iter().any(|folded| letters().eq(folded.bytes()))
    };
    let mut rest = input;
    loop {
        let end = rest.iter().position(|byte| !PLAIN.has(*byte));
        let (name, behind) = rest
            .split_at_checked(end.unwrap_or(rest.len()))
            .unwrap_or_default();
        let ends = matches!(behind, [] | [b'=' | b'&' | b';', ..]);
        if !ends || is_one(name) {
            return true;
        }
        match memchr2(b'&', b';', behind).and_then(|at| behind.get(at + 1..)) {
            Some(next) => rest = next,
            None => return false,
        }
    }
}

/// The pairs between `&`, and once more those between `;`, which begins another parameter in some servers. Each by itself:
/// one that nobody can read hides no other.
pub(super) fn names(input: &[u8]) -> Names {
    let between = |separators: &'static [u8]| {
        input
            .split(move |byte| separators.contains(byte))
            .filter(|pair| !pair.is_empty())
            .flat_map(|pair| {
                let equals = pair.iter().position(|&byte| byte == b'=');
                let (name, value) = pair.split_at(equals.unwrap_or(pair.len()));
                let value = value.get(1..).unwrap_or_default();
                read_as(&text(&decode_lossy(name)), &text(&decode_lossy(value)))
            })
    };
    let mut names: Names = between(b"&").collect();
    if input.contains(&b';') {
        names.extend(between(b"&;"));
    }
    names
}

/// The value under every name that a server may read it by.
fn read_as(name: &str, value: &str) -> Names {
    foldings(name)
        .map(|name| (name, value.to_owned()))
        .collect()
}

/// As UTF-8, or as Latin-1 where it is none.
pub(super) fn text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(
        |_| bytes.iter().copied().map(char::from).collect(),
        str::to_owned,
    )
}

fn members(object: &serde_json::Map<String, serde_json::Value>) -> Names {
    let text = |value: &serde_json::Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    object
        .iter()
        .flat_map(|(name, value)| read_as(name, &text(value)))
        .collect()
}

/// The fields of a multipart body, by `name=` in whatever spelling, without their values: a field named `code` counts
/// as a long one. `None`: a name in pieces (`name*0=`, RFC 2231), which some servers put together.
fn fields(body: &Bytes) -> Option<Names> {
    let text = text(body).to_ascii_lowercase();
    let in_pieces = |(at, found): (usize, &str)| {
        let rest = text.get(at + found.len()..).unwrap_or_default();
        rest.trim_start().starts_with(|c: char| c.is_ascii_digit())
    };
    if text.match_indices("name*").any(in_pieces) {
        return None;
    }
    let fields = text
        .match_indices("name")
        .filter_map(|(at, found)| text.get(at + found.len()..))
        .filter_map(|rest| {
            rest.trim_start()
                .trim_start_matches('*')
                .trim_start()
                .strip_prefix('=')
        })
        .map(|rest| rest.trim_start().trim_start_matches(['"', '\'']))
        // `name*=utf-8''code` (RFC 8187)
        .map(|rest| {
            rest.strip_prefix("utf-8''")
                .or_else(|| rest.strip_prefix("iso-8859-1''"))
                .unwrap_or(rest)
        })
        .filter_map(|rest| rest.split(['"', '\'', ';', '\r', '\n']).next())
        .flat_map(|name| {
            let name = self::text(&decode_lossy(name.as_bytes()));
            read_as(&name, &"x".repeat(ONE_TIME_PASSWORD + 1))
        })
        .collect();
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn may_be_read_slowly(input: &[u8], folded: &[&str]) -> bool {
        input
            .split(|&byte| byte == b'&' || byte == b';')
            .any(|pair| {
                let name = pair.split(|&byte| byte == b'=').next().unwrap_or_default();
                let is_plain =
                    |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
                let letters: Vec<_> = name
                    .to_ascii_lowercase()
                    .into_iter()
                    .filter(u8::is_ascii_alphanumeric)
                    .collect();
                !name.iter().all(is_plain)
                    || folded.iter().any(|folded| letters == folded.as_bytes())
            })
    }

    proptest! {
        #[test]
        fn a_look_at_the_names_is_one_at_each_of_them(
            input in prop::collection::vec(prop::sample::select(b"coDE_.-&;==+%[ \0\xc5".as_slice()), 0..16),
        ) {
            let folded = ["code", "o", "doc"];
            prop_assert_eq!(may_be_read_as(&input, &folded), may_be_read_slowly(&input, &folded));
            // Whatever is read under one of the names is announced by the look.
            let read = names(&input).iter().any(|(name, _)| folded.contains(&name.as_str()));
            prop_assert!(!read || may_be_read_as(&input, &folded));
        }
    }

    #[test]
    fn bodies_that_are_something_else_are_told_by_their_fields() {
        let check = |name: &'static str, value: &'static str| {
            let pair = (name.parse().unwrap(), http::HeaderValue::from_static(value));
            is_encoded(&HeaderMap::from_iter([pair]))
        };
        assert!(check("content-encoding", "gzip"));
        for charset in [
            "ibm037",
            "utf-16",
            "\"UTF-7\"",
            "utf-8; charset=utf-16le",
            "",
        ] {
            let value: &'static str = format!("text/plain; Charset = {charset}").leak();
            assert!(check("content-type", value), "{charset}");
        }
        for media_type in [
            "text/plain",
            "application/json; charset=UTF-8",
            "text/html; charset=iso-8859-15",
        ] {
            assert!(!check("content-type", media_type), "{media_type}");
        }
    }
}
