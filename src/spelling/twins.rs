//! A code and what it is in other encodings.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::{memchr_iter, memmem};
use zeroize::Zeroizing;

use super::any_layer;
use crate::oauth::params::encode_into;
use crate::oauth::params::set::ByteSet;
use crate::work::looked_at;

/// A word of fewer characters is too short to be told in base64 from another one.
const SHORTEST_ENCODED: usize = 6;

/// A code and its twins: percent-encoded up to three times, as character references, with the escapes of JSON, in base64.
///
/// Who replaces a code asks whether a twin of it is left in the answer; who binds one, whether a twin of it came with the
/// request. Both ask here.
pub struct Twins {
    code: Zeroizing<String>,
    /// The word in base64, in each place that it can have among others, without the characters that depend on these. Made
    /// for the first text that is long enough.
    encoded: OnceLock<Vec<Zeroizing<Vec<u8>>>>,
}

impl Twins {
    /// Of a code as it is when nothing is escaped.
    pub fn of(code: &str) -> Self {
        Self {
            code: Zeroizing::new(code.to_owned()),
            encoded: OnceLock::new(),
        }
    }

    /// Whether the code stands in a text, in any of these encodings.
    pub fn stand_in(&self, text: &[u8]) -> bool {
        // No encoding of it is shorter than the code.
        text.len() >= self.code.len()
            && any_layer(text, |layer| {
                self.stands_plain(layer) || self.stands_in_base64(layer)
            })
    }

    fn stands_plain(&self, layer: &[u8]) -> bool {
        // A form has `+` for its blanks.
        holds(layer, self.code.as_bytes())
            || self.code.contains(' ') && {
                let code = Zeroizing::new(self.code.replace(' ', "+"));
                holds(layer, code.as_bytes())
            }
    }

    fn stands_in_base64(&self, layer: &[u8]) -> bool {
        let length = self.code.len();
        if length < SHORTEST_ENCODED || !has_run(layer, shortest_in_base64(length)) {
            return false;
        }
        let encoded = self.encoded.get_or_init(|| {
            let mut encoded = Vec::new();
            in_base64(self.code.as_bytes(), &mut encoded);
            let mut escaped = Zeroizing::new(Vec::with_capacity(length));
            encode_into(&mut escaped, &self.code);
            if *escaped != self.code.as_bytes() {
                in_base64(&escaped, &mut encoded);
            }
            encoded
        });
        encoded.iter().any(|word| holds(layer, word))
    }
}

/// Characters that a word of so many bytes has at least in base64, without those that depend on its neighbours.
const fn shortest_in_base64(length: usize) -> usize {
    (length * 8 - 4) / 6
}

/// Whether so many characters of base64 stand side by side.
fn has_run(text: &[u8], length: usize) -> bool {
    static BASE64: ByteSet = ByteSet::alphanumeric_and(b"+/-_");
    looked_at(text.len());
    let mut start = 0;
    // From its end: what comes before another character is no run, and need not be looked at.
    while let Some(window) = text.get(start..start + length) {
        match window.iter().rposition(|byte| !BASE64.has(*byte)) {
            None => return true,
            Some(at) => start += at + 1,
        }
    }
    false
}

/// Codes are secrets.
impl std::fmt::Debug for Twins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Twins([redacted])")
    }
}

/// Three bytes become four characters, so a word has three forms, by where it begins. What its first and last characters are
/// depends on its neighbours; they are left out.
fn in_base64(word: &[u8], into: &mut Vec<Zeroizing<Vec<u8>>>) {
    for before in 0..3 {
        let mut bytes = Zeroizing::new(vec![0; before]);
        bytes.extend_from_slice(word);
        let (first, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
        let forms = [
            STANDARD_NO_PAD.encode(&*bytes),
            URL_SAFE_NO_PAD.encode(&*bytes),
        ];
        let [standard, url_safe] = forms.map(Zeroizing::new);
        let inner = |form: &str| {
            Zeroizing::new(form.as_bytes().get(first..end).unwrap_or_default().to_vec())
        };
        if standard != url_safe {
            into.push(inner(&url_safe));
        }
        into.push(inner(&standard));
    }
}

/// Bytes of a text in which even the worst word is found soon.
const SHORT: usize = 4096;

/// Whether a word stands in a text. Codes are random: looking for their first byte finds little else, and costs less than
/// preparing a search that is quick for every word. A long text, whose writer might have chosen both, gets one.
fn holds(text: &[u8], word: &[u8]) -> bool {
    if text.len() < word.len() {
        return false;
    }
    looked_at(text.len());
    match word.first() {
        Some(&first) if text.len() <= SHORT => memchr_iter(first, text)
            .any(|at| text.get(at..).is_some_and(|rest| rest.starts_with(word))),
        _ => memmem::find(text, word).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    #[test]
    fn twins_are_not_shown() {
        assert_eq!(format!("{:?}", Twins::of("secret")), "Twins([redacted])");
    }

    proptest! {
        #[test]
        fn a_code_is_found_in_every_encoding(
            code in "[ -$'-~]{6,40}",
            before in "[a-z:/?=]{0,5}",
            after in "[&a-z]{0,4}",
            times in 1usize..=3,
        ) {
            let twins = Twins::of(&code);
            let mut percent = code.clone();
            for _ in 0..times {
                let mut out = Vec::new();
                encode_into(&mut out, &percent);
                percent = String::from_utf8(out).unwrap();
            }
            let references = code.chars().map(|c| format!("&#{};", u32::from(c)));
            let references = references.collect::<Vec<_>>().concat();
            let around = |inside: &str| format!("{before}{inside}{after}");
            for text in [
                around(&code),
                around(&percent),
                around(&references),
                serde_json::to_string(&around(&code)).unwrap(),
                format!("x={}", STANDARD.encode(around(&code))),
                URL_SAFE.encode(around(&code)).replace('=', "%3D"),
            ] {
                prop_assert!(twins.stand_in(text.as_bytes()), "{}", text);
            }
            if times == 1 {
                let text = STANDARD.encode(around(&percent));
                prop_assert!(twins.stand_in(text.as_bytes()), "{}", text);
            }
        }

        #[test]
        fn another_code_is_none(code in "[A-Za-z0-9]{12,30}", other in "[A-Za-z0-9]{12,30}") {
            prop_assume!(!other.contains(&code));
            let twins = Twins::of(&code);
            prop_assert!(!twins.stand_in(other.as_bytes()));
            prop_assert!(!twins.stand_in(STANDARD.encode(&other).as_bytes()));
        }

        #[test]
        fn a_run_is_found_wherever_it_stands(text in "[a/+_%=.-]{0,24}", length in 1usize..8) {
            let is_one = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
            let slowly = text.as_bytes().windows(length).any(|run| run.iter().all(is_one));
            prop_assert_eq!(has_run(text.as_bytes(), length), slowly);
        }

        #[test]
        fn no_form_in_base64_is_shorter_than_is_said(code in "[!-~]{6,80}") {
            let mut forms = Vec::new();
            in_base64(code.as_bytes(), &mut forms);
            let shortest = forms.iter().map(|form| form.len()).min();
            prop_assert_eq!(shortest, Some(shortest_in_base64(code.len())));
        }

        #[test]
        fn a_word_is_found_wherever_it_stands(
            text in "[ab]{0,24}",
            word in "[ab]{1,5}",
            far in prop_oneof![Just(0), SHORT - 12..SHORT + 12],
        ) {
            let text = [&vec![b'b'; far], text.as_bytes()].concat();
            let slowly = text.windows(word.len()).any(|part| part == word.as_bytes());
            prop_assert_eq!(holds(&text, word.as_bytes()), slowly);
        }
    }
}
