//! A query or a form, as everybody reads it: the pairs between `&`, and once more those between `;`, which begins another
//! parameter in some servers. Each by itself: one that cannot be read hides no other.

use std::borrow::Cow;

use memchr::memchr;

use crate::oauth::params::folds_to;
use crate::spelling::layers::without_percent;
use crate::work::looked_at;

/// A one-time password has at most this many digits.
pub(crate) const ONE_TIME_PASSWORD: usize = 10;

/// Whether a `code` is a one-time password rather than an authorization code.
pub(crate) fn is_one_time_password(code: &[u8]) -> bool {
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
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_pair_of_a_quiet_form_is_beside_the_point(
            input in prop::collection::vec(prop::sample::select(b"coDE_.-&;==+%[ \0\xc5".as_slice()), 0..16),
        ) {
            let mut said = super::super::Said::default();
            read(&input, |name, _| said = said.and(super::super::names::read_as(name)));
            prop_assert!(!crate::spelling::shortcuts::is_quiet(&input) || !said.has(super::super::Said::CODE));
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
