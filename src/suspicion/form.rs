//! A query or a form, as everybody reads it: the pairs between `&`, and once more those between `;`, which begins another
//! parameter in some servers. Each by itself: one that cannot be read hides no other.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memchr2};

use crate::flow::handle;
use crate::oauth::params::folds_to;
use crate::oauth::params::set::ByteSet;
use crate::spelling::layers::without_percent;
use crate::work::looked_at;

/// A one-time password has at most this many digits.
pub const ONE_TIME_PASSWORD: usize = 10;

/// Whether a `code` is a one-time password rather than an authorization code.
pub fn is_one_time_password(code: &[u8]) -> bool {
    code.len() <= ONE_TIME_PASSWORD && code.iter().all(u8::is_ascii_digit)
}

/// Hands on each name with its value, as they came.
pub(super) fn read<'t>(text: &'t [u8], mut take: impl FnMut(&'t [u8], &'t [u8])) {
    between(text, b"&", &mut take);
    if memchr(b';', text).is_some() {
        between(text, b"&;", &mut take);
    }
}

fn between<'t>(text: &'t [u8], ends: &[u8], take: &mut impl FnMut(&'t [u8], &'t [u8])) {
    looked_at(text.len());
    for pair in text.split(|byte| ends.contains(byte)) {
        let equals = memchr(b'=', pair);
        let (name, value) = pair
            .split_at_checked(equals.unwrap_or(pair.len()))
            .unwrap_or_default();
        if !name.is_empty() {
            take(name, value.get(1..).unwrap_or_default());
        }
    }
}

/// A value as servers decode it once.
pub(super) fn decode(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'+', value).is_none() {
        return without_percent(value);
    }
    let blank = |byte: &u8| if *byte == b'+' { b' ' } else { *byte };
    let value: Vec<u8> = value.iter().map(blank).collect();
    Cow::Owned(without_percent(&value).into_owned())
}

/// Without one of these no request is one for a token.
const DECISIVE: [&str; 2] = ["code", "granttype"];

/// Whether a query or a body is so plain that nothing in it matters: a form whose names are letters and none of them
/// decisive, and no handle in any spelling. Most requests are told by this one look; it says no where it takes more.
pub fn is_quiet(text: &[u8]) -> bool {
    !may_say(text, &DECISIVE) && !handle::may_stand_in(text) && !hides_word(text)
}

/// Whether any name of a form may be read as one of these (folded). Says yes where it takes more than a look.
fn may_say(input: &[u8], folded: &[&str]) -> bool {
    static PLAIN: ByteSet = ByteSet::alphanumeric_and(b"_-.");
    let is_one = |name: &[u8]| {
        let letters = || {
            let letters = name.iter().filter(|byte| byte.is_ascii_alphanumeric());
            letters.map(u8::to_ascii_lowercase)
        };
        folded.iter().any(|folded| letters().eq(folded.bytes()))
    };
    looked_at(input.len());
    let mut rest = input;
    loop {
        let end = rest.iter().position(|byte| !PLAIN.has(*byte));
        let (name, behind) = rest
            .split_at_checked(end.unwrap_or(rest.len()))
            .unwrap_or_default();
        let ends = matches!(behind, [] | [b'=' | b'&' | b';', ..]);
        // Some read a document in a value.
        let is_document = matches!(behind, [b'=', b'{' | b'[' | b'"', ..]);
        if !ends || is_document || is_one(name) {
            return true;
        }
        match memchr2(b'&', b';', behind).and_then(|at| behind.get(at + 1..)) {
            Some(next) => rest = next,
            None => return false,
        }
    }
}

/// Whether decoding a text, however often, may yield a word of letters and digits that does not stand in it: only if it
/// has the escape of a letter or digit, or of what introduces another escape.
pub(super) fn hides_word(text: &[u8]) -> bool {
    looked_at(text.len());
    let hides =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'%' | b'\\' | b'&' | b'#');
    let mut percents = memchr_iter(b'%', text);
    percents.any(|at| {
        let digit = |at: usize| char::from(text.get(at).copied().unwrap_or_default()).to_digit(16);
        let escaped = digit(at + 1).zip(digit(at + 2));
        let byte = escaped.and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        byte.is_some_and(hides) || matches!(text.get(at + 1), Some(b'u' | b'U'))
    }) || memchr_iter(b'\\', text).any(|at| matches!(text.get(at + 1), Some(b'u' | b'x' | b'\\')))
        || memchr_iter(b'&', text).any(|at| text.get(at + 1) == Some(&b'#'))
}

/// Whether a text has a parameter `code` of a value that is no one-time password.
pub(super) fn carries_code(text: &[u8]) -> bool {
    looked_at(text.len());
    // Cut at a character of ASCII, UTF-8 stays UTF-8.
    let pairs = text.split(|byte| matches!(byte, b'?' | b'&' | b'#' | b';'));
    pairs.flat_map(str::from_utf8).any(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or_default();
        folds_to(name, "code") && !is_one_time_password(value.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spelling::any_layer;
    use proptest::prelude::*;

    #[test]
    fn what_matters_is_not_quiet() {
        for text in [
            "a=b&code=x",
            "c_o.d-e=x",
            "a=b;GRANT_TYPE=x",
            "%63ode=x",
            "grant[type=x",
            "c\0ode=x",
            "+code=x",
            r#"{"code":"x"}"#,
            r#"a={"code":"x"}"#,
            "--b\r\n",
            "a=pgs",
            "a=%70gs",
            "a=\\u0070gs",
            "a=&#112;gs",
        ] {
            assert!(!is_quiet(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "a=b&username=c",
            "xcode=code&code_x=grant_type",
            "client_id=a&redirect_uri=https%3A%2F%2Fa",
        ] {
            assert!(is_quiet(text.as_bytes()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_hides_no_word_yields_none(input in "[pgs%0-9aA-F+/\\\\u#&;x]{0,12}|(p|g|s|%70|%67|%73|%25|%2F|%%|%3|7|3|0|\\\\u0070|&#103;|\\\\){0,9}") {
            if !handle::may_stand_in(input.as_bytes()) && !hides_word(input.as_bytes()) {
                prop_assert!(!any_layer(input.as_bytes(), handle::may_stand_in), "{}", input);
            }
        }

        #[test]
        fn every_pair_of_a_quiet_form_is_beside_the_point(
            input in prop::collection::vec(prop::sample::select(b"coDE_.-&;==+%[ \0\xc5".as_slice()), 0..16),
        ) {
            let mut said = super::super::Said::default();
            read(&input, |name, _| said = said.and(super::super::names::read_as(name)));
            prop_assert!(!is_quiet(&input) || !said.has(super::super::Said::CODE));
        }

        #[test]
        fn cut_by_bytes_or_by_characters_it_carries_the_same(text in "([?&#;=]|code|c\\.o|CODE|Co[Dd]e|ſ|é|1|123456789012|a){0,12}") {
            let slowly = text.split(['?', '&', '#', ';']).any(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or_default();
                folds_to(name, "code") && !is_one_time_password(value.as_bytes())
            });
            prop_assert_eq!(carries_code(text.as_bytes()), slowly, "{}", text);
        }
    }
}
