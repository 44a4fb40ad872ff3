//! Layers of escapes: percent escapes of URLs, backslashes of JSON and JavaScript, character references of HTML.

use std::borrow::Cow;

use memchr::memchr3;

use crate::examined::looked_at;
use crate::oauth::params::hex;

/// The maximum number of layers removed. A redirect URL inside a URL inside a document has three.
pub(crate) const ROUNDS: usize = 3;

/// Whether `holds` is true for the text, or for the text without up to three layers of escapes.
pub(crate) fn any_layer(text: &[u8], mut holds: impl FnMut(&[u8]) -> bool) -> bool {
    if holds(text) {
        return true;
    }
    let mut outer = Cow::Borrowed(text);
    for _ in 0..ROUNDS {
        match peel(&outer) {
            Some(inner) if holds(&inner) => return true,
            Some(inner) => outer = Cow::Owned(inner),
            None => return false,
        }
    }
    false
}

/// Removes the outermost layer of escapes. `None`: there is none. Invalid escapes stay. The result is never longer than
/// the text.
pub(crate) fn peel(text: &[u8]) -> Option<Vec<u8>> {
    unescape(text, |escape, rest| match escape {
        b'%' => percent(rest),
        b'\\' => backslash(rest),
        _ => reference(rest),
    })
}

/// Removes percent escapes only.
pub(crate) fn without_percent(text: &[u8]) -> Cow<'_, [u8]> {
    without(b'%', percent, text)
}

/// Removes backslash escapes only, as in JSON strings.
pub(crate) fn without_backslashes(text: &[u8]) -> Cow<'_, [u8]> {
    without(b'\\', backslash, text)
}

/// Removes character references only, as in HTML text.
pub(crate) fn without_references(text: &[u8]) -> Cow<'_, [u8]> {
    without(b'&', reference, text)
}

fn without(kind: u8, read: impl Fn(&[u8]) -> Option<Escape>, text: &[u8]) -> Cow<'_, [u8]> {
    let peeled = unescape(text, |escape, rest| match escape {
        _ if escape == kind => read(rest),
        _ => None,
    });
    peeled.map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The decoded value of an escape, and its length without the introducing character.
type Escape = (Meaning, usize);

enum Meaning {
    Byte(u8),
    Character(u32),
}

fn unescape(text: &[u8], escape: impl Fn(u8, &[u8]) -> Option<Escape>) -> Option<Vec<u8>> {
    looked_at(text.len());
    let mut out: Option<Vec<u8>> = None;
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = memchr3(b'%', b'\\', b'&', text.get(at..)?) {
        let start = at + found;
        at = start + 1;
        let (introduction, rest) = text.get(start..)?.split_first()?;
        let Some((meaning, length)) = escape(*introduction, rest) else {
            continue;
        };
        let out = out.get_or_insert_with(|| Vec::with_capacity(text.len()));
        out.extend_from_slice(text.get(copied..start)?);
        match meaning {
            Meaning::Byte(byte) => out.push(byte),
            Meaning::Character(number) => {
                let character = char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        at = start + 1 + length;
        copied = at;
    }
    let mut out = out?;
    out.extend_from_slice(text.get(copied..)?);
    Some(out)
}

/// Parses `HH`, and `uHHHH` of old browsers.
fn percent(rest: &[u8]) -> Option<Escape> {
    match rest {
        [b'u' | b'U', digits @ ..] => Some((Meaning::Character(hexadecimal(digits.get(..4)?)?), 5)),
        [high, low, ..] => Some((Meaning::Byte(hex(*high, *low)?), 2)),
        _ => None,
    }
}

/// Parses `uHHHH`, `u{H}`, `xHH`, the letter escapes of JSON, and escaped punctuation. A digit is not an escape.
fn backslash(rest: &[u8]) -> Option<Escape> {
    let control = |byte| Some((Meaning::Byte(byte), 1));
    match rest {
        [b'u', b'{', digits @ ..] => {
            let end = digits.iter().take(8).position(|&byte| byte == b'}')?;
            let number = hexadecimal(digits.get(..end)?)?;
            Some((Meaning::Character(number), end + 3))
        }
        [b'u', digits @ ..] => Some((Meaning::Character(hexadecimal(digits.get(..4)?)?), 5)),
        [b'x', high, low, ..] => Some((Meaning::Byte(hex(*high, *low)?), 3)),
        [b'b', ..] => control(8),
        [b'f', ..] => control(12),
        [b'n', ..] => control(b'\n'),
        [b'r', ..] => control(b'\r'),
        [b't', ..] => control(b'\t'),
        [other, ..] if other.is_ascii_punctuation() => control(*other),
        _ => None,
    }
}

/// Named character references that encoders use for characters in URLs, codes and states.
const NAMED: [(&[u8], u8); 17] = [
    (b"amp", b'&'),
    (b"lt", b'<'),
    (b"gt", b'>'),
    (b"quot", b'"'),
    (b"apos", b'\''),
    (b"equals", b'='),
    (b"plus", b'+'),
    (b"sol", b'/'),
    (b"lowbar", b'_'),
    (b"hyphen", b'-'),
    (b"period", b'.'),
    (b"colon", b':'),
    (b"comma", b','),
    (b"quest", b'?'),
    (b"num", b'#'),
    (b"percnt", b'%'),
    (b"semi", b';'),
];
/// How many of them are valid without `;` (HTML standard, section 13.5).
const BARE: usize = 4;

/// Parses `#N;`, `#xH;`, `name;`, and references without `;` as in old pages.
fn reference(rest: &[u8]) -> Option<Escape> {
    match rest {
        [b'#', b'x' | b'X', digits @ ..] => number(digits, 16, 2),
        [b'#', digits @ ..] => number(digits, 10, 1),
        [letter, ..] if letter.is_ascii_alphabetic() => named(rest),
        _ => None,
    }
}

fn number(digits: &[u8], radix: u32, before: usize) -> Option<Escape> {
    let digit = |byte: &u8| char::from(*byte).to_digit(radix);
    let mut length = 0;
    let mut value = 0_u32;
    for digit in digits.iter().map_while(digit) {
        length += 1;
        value = value.saturating_mul(radix).saturating_add(digit);
    }
    if length == 0 {
        return None;
    }
    let ends = usize::from(digits.get(length) == Some(&b';'));
    Some((Meaning::Character(value), before + length + ends))
}

fn named(rest: &[u8]) -> Option<Escape> {
    NAMED.iter().enumerate().find_map(|(index, (name, byte))| {
        let tail = rest.strip_prefix(*name)?;
        let ends = usize::from(tail.first() == Some(&b';'));
        let is_one = ends > 0 || index < BARE;
        is_one.then_some((Meaning::Byte(*byte), name.len() + ends))
    })
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u32, |value, &byte| {
        let digit = char::from(byte).to_digit(16)?;
        value.checked_mul(16)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn peeled(text: &str) -> Option<String> {
        peel(text.as_bytes()).map(|peeled| String::from_utf8(peeled).unwrap())
    }

    #[test]
    fn escapes_of_every_kind_are_decoded() {
        for (text, inside) in [
            ("%63ode", "code"),
            ("%u0063ode", "code"),
            (r"\u0063ode", "code"),
            (r"\u{63}ode", "code"),
            (r"\x63ode", "code"),
            (r#"{\"code\":\"x\"}"#, r#"{"code":"x"}"#),
            (r"https:\/\/c\/cb", "https://c/cb"),
            (r"redirect\_uri", "redirect_uri"),
            ("c&#111;de", "code"),
            ("c&#x6F;de", "code"),
            ("c&#000111de", "code"),
            ("a=b&amp;code=x", "a=b&code=x"),
            ("a=b&ampcode=x", "a=b&code=x"),
            ("%253D", "%3D"),
            ("\\\\u0063", "\\u0063"),
        ] {
            assert_eq!(peeled(text).as_deref(), Some(inside), "{text}");
        }
    }

    #[test]
    fn invalid_escapes_stay() {
        for text in [
            "", "%", "%4", "%zz", "\\", r"\u00", r"\u{}", r"\1", "&", "&#", "&#x", "&a=b", "a&b",
            "&;", "&nbsp;", "é",
        ] {
            assert_eq!(peeled(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_is_found_under_three_layers_of_any_kind(
            inside in "[a-zA-Z0-9/+=_-]{1,12}",
            layers in prop::collection::vec((0usize..4, prop::bool::weighted(0.7)), 0..=ROUNDS),
        ) {
            let mut text = inside.clone();
            for (kind, all) in layers {
                text = text.chars().enumerate().map(|(at, c)| match kind {
                    _ if !all && at % 2 == 0 && !matches!(c, '%' | '\\' | '&') => c.to_string(),
                    0 => format!("%{:02X}", u32::from(c)),
                    1 => format!("\\u{:04x}", u32::from(c)),
                    2 => format!("&#{};", u32::from(c)),
                    _ => format!("\\x{:02x}", u32::from(c)),
                }).collect();
            }
            prop_assert!(any_layer(text.as_bytes(), |layer| layer == inside.as_bytes()), "{}", text);
        }

        #[test]
        fn decoding_makes_the_text_shorter(text in prop::collection::vec(prop::sample::select(b"%\\&#xu;{}063amplt/\xff".as_slice()), 0..64)) {
            if let Some(inside) = peel(&text) {
                prop_assert!(inside.len() < text.len());
            }
        }
    }
}
