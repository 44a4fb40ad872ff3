//! Percent encoding and decoding.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr3;

use super::malformed::Malformed;
use super::set::UNRESERVED;

/// Decodes one name or value strictly: `+` is a space, every `%` needs two hex digits, and the result is UTF-8 without
/// NUL.
pub fn decode(raw: &[u8]) -> Result<Cow<'_, str>, Malformed> {
    decode_part(raw, None, special(raw).is_none())
}

/// Like [`decode`], for a part of a larger input. `text` is the part as text, if the input is UTF-8. `is_plain`: the
/// part contains neither `%`, `+` nor NUL.
pub(super) fn decode_part<'a>(
    raw: &'a [u8],
    text: Option<&'a str>,
    is_plain: bool,
) -> Result<Cow<'a, str>, Malformed> {
    match text {
        _ if !is_plain => unescape(raw),
        Some(text) => Ok(Cow::Borrowed(text)),
        None => std::str::from_utf8(raw)
            .map(Cow::Borrowed)
            .map_err(|_| Malformed::Encoding),
    }
}

/// Finds the next `%`, `+` or NUL in a text that is read from front to back.
pub(super) struct Special<'a> {
    text: &'a [u8],
    next: usize,
}

impl<'a> Special<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        let mut special = Self { text, next: 0 };
        special.find(0);
        special
    }

    /// Whether `range` contains none. Ranges must be passed in ascending order.
    pub(super) fn none_in(&mut self, range: Range<usize>) -> bool {
        if self.next < range.start {
            self.find(range.start);
        }
        self.next >= range.end
    }

    fn find(&mut self, from: usize) {
        let rest = self.text.get(from..).unwrap_or_default();
        self.next = special(rest).map_or(self.text.len(), |at| from + at);
    }
}

fn special(text: &[u8]) -> Option<usize> {
    memchr3(b'%', b'+', 0, text)
}

fn unescape(raw: &[u8]) -> Result<Cow<'_, str>, Malformed> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, special)) = rest
        .iter()
        .position(|byte| matches!(byte, b'%' | b'+'))
        .and_then(|at| rest.split_at_checked(at))
    {
        out.extend_from_slice(plain);
        rest = match special {
            [b'+', rest @ ..] => {
                out.push(b' ');
                rest
            }
            [_, high, low, rest @ ..] => {
                let (high, low) = hex(*high).zip(hex(*low)).ok_or(Malformed::Escape)?;
                out.push(high << 4 | low);
                rest
            }
            [..] => return Err(Malformed::Escape),
        };
    }
    out.extend_from_slice(rest);
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

/// Percent-encodes everything except RFC 3986's unreserved characters: valid in a query, a fragment and a form.
pub(crate) fn encode_into(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let is_reserved = |byte: &u8| !UNRESERVED.has(*byte);
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
