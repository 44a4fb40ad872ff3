//! Percent escapes, in both directions.

use std::borrow::Cow;

use memchr::memchr3;

use super::Malformed;

/// Strict form decoding of one name or value: `+` is a space, `%HH` exactly, then UTF-8 without NUL.
pub fn decode(raw: &[u8]) -> Result<Cow<'_, str>, Malformed> {
    decode_part(raw, None)
}

/// The same for a part of something that is known to be UTF-8; `text` is that part.
pub(super) fn decode_part<'a>(
    raw: &'a [u8],
    text: Option<&'a str>,
) -> Result<Cow<'a, str>, Malformed> {
    match (memchr3(b'%', b'+', 0, raw), text) {
        (None, Some(text)) => Ok(Cow::Borrowed(text)),
        (None, None) => std::str::from_utf8(raw)
            .map(Cow::Borrowed)
            .map_err(|_| Malformed::Encoding),
        (Some(_), _) => unescape(raw),
    }
}

fn unescape(raw: &[u8]) -> Result<Cow<'_, str>, Malformed> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter();
    while let Some(&byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = bytes
                    .next()
                    .and_then(|&digit| hex(digit))
                    .ok_or(Malformed::Escape)?;
                let low = bytes
                    .next()
                    .and_then(|&digit| hex(digit))
                    .ok_or(Malformed::Escape)?;
                high << 4 | low
            }
            other => other,
        });
    }
    if out.contains(&0) {
        return Err(Malformed::Nul);
    }
    String::from_utf8(out)
        .map(Cow::Owned)
        .map_err(|_| Malformed::Encoding)
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Percent-encodes everything but RFC 3986's unreserved characters: correct in a query, a fragment and a form.
pub fn encode_into(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let is_reserved = |byte: &u8| {
        let unreserved = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        !unreserved
    };
    let mut rest = text.as_bytes();
    while let Some((plain, [reserved, behind @ ..])) = rest
        .iter()
        .position(is_reserved)
        .and_then(|at| rest.split_at_checked(at))
    {
        out.extend_from_slice(plain);
        out.push(b'%');
        for digit in [reserved >> 4, reserved & 15] {
            out.extend(HEX.get(usize::from(digit)));
        }
        rest = behind;
    }
    out.extend_from_slice(rest);
}
