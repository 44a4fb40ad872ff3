//! Reads a query or a form leniently: the pairs between `&`, and again those between `;`, which also separates parameters in some
//! servers. Pairs are read independently, so that an invalid one does not hide others.

use std::borrow::Cow;

use memchr::memchr;

use crate::examined::looked_at;
use crate::oauth::params::folds_to;
use crate::oauth::token::is_one_time_password;
use crate::spelling::layers::without_percent;

/// Calls `take` with each name and value, still encoded.
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

/// Decodes a value once.
pub(super) fn decode(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'+', value).is_none() {
        return without_percent(value);
    }
    let blank = |byte: &u8| if *byte == b'+' { b' ' } else { *byte };
    let value: Vec<u8> = value.iter().map(blank).collect();
    Cow::Owned(without_percent(&value).into_owned())
}

/// Whether a text has a parameter `code` with a value that is not a one-time password.
pub(super) fn carries_code(text: &[u8]) -> bool {
    looked_at(text.len());
    // UTF-8 that is split at ASCII characters stays valid.
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
        fn a_form_that_passes_the_quick_test_has_no_code(
            input in prop::collection::vec(prop::sample::select(b"coDE_.-&;==+%[ \0\xc5".as_slice()), 0..16),
        ) {
            let mut said = super::super::Said::default();
            read(&input, |name, _| said = said.and(super::super::names::read_as(name)));
            prop_assert!(!crate::spelling::shortcuts::is_quiet(&input) || !said.has(super::super::Said::CODE));
        }

        #[test]
        fn splitting_at_bytes_or_at_characters_finds_the_same_codes(text in "([?&#;=]|code|c\\.o|CODE|Co[Dd]e|ſ|é|1|123456789012|a){0,12}") {
            let slowly = text.split(['?', '&', '#', ';']).any(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or_default();
                folds_to(name, "code") && !is_one_time_password(value.as_bytes())
            });
            prop_assert_eq!(carries_code(text.as_bytes()), slowly, "{}", text);
        }
    }
}
