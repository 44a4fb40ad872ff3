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
fn decode_part<'a>(
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

/// Decodes the names and values of an input that is read from front to back.
pub(super) struct Decoder<'a> {
    input: &'a [u8],
    /// The input as text; `None` if it is not valid UTF-8.
    text: Option<&'a str>,
    /// The position of the next `%`, `+` or NUL.
    next: usize,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        // One check of the whole input instead of one for each part saves 3 % of a flow: valid UTF-8 can be split at
        // any ASCII character.
        let text = std::str::from_utf8(input).ok();
        let next = special(input).unwrap_or(input.len());
        Self { input, text, next }
    }

    /// Decodes one part. Ranges must be passed in ascending order.
    pub(super) fn part(&mut self, range: Range<usize>) -> Result<Cow<'a, str>, Malformed> {
        if self.next < range.start {
            let rest = self.input.get(range.start..).unwrap_or_default();
            self.next = special(rest).map_or(self.input.len(), |at| range.start + at);
        }
        let is_plain = self.next >= range.end;
        let text = self.text.and_then(|text| text.get(range.clone()));
        let raw = self.input.get(range).unwrap_or_default();
        decode_part(raw, text, is_plain)
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
                out.push(hex(*high, *low).ok_or(Malformed::Escape)?);
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

/// The byte that two hexadecimal digits stand for.
pub(crate) fn hex(high: u8, low: u8) -> Option<u8> {
    // Fewer instructions than `char::to_digit`.
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    };
    Some(digit(high)? << 4 | digit(low)?)
}

/// Decodes UTF-8. If it is not valid, each byte becomes one character (Latin-1).
pub(crate) fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|other| other.as_bytes().iter().copied().map(char::from).collect())
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
