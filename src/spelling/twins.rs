//! A code and its other encodings.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use memchr::{memchr_iter, memchr2, memmem};
use zeroize::Zeroizing;

use super::any_layer;
use super::shortcuts::{has_run, may_be_ascii};
use crate::examined::looked_at;
use crate::oauth::params::set::ByteSet;

/// The minimum length of a code that can be recognised in base64, in characters.
const SHORTEST_ENCODED: usize = 6;

/// A code and its twins: under up to three layers of escapes (percent, character references, JSON), in base64, and in
/// base64 with such layers inside. Base64 may be wrapped in lines.
///
/// Used to check that no twin is left in a response after the code was replaced, and that no twin came with the request
/// when a code is bound.
pub(crate) struct Twins(Zeroizing<String>);

impl Twins {
    pub(crate) fn of(code: &str) -> Self {
        Self(Zeroizing::new(code.to_owned()))
    }

    /// Whether the text contains the code in any of these encodings.
    pub(crate) fn stand_in(&self, text: &[u8]) -> bool {
        // No encoding is shorter than the code.
        text.len() >= self.0.len()
            && any_layer(text, |layer| {
                self.stands_plain(layer)
                    || self.stands_in_base64(layer)
                    || unwrapped(layer).is_some_and(|joined| self.stands_in_base64(&joined))
            })
    }

    fn stands_plain(&self, layer: &[u8]) -> bool {
        // In a form, `+` is a blank.
        holds(layer, self.0.as_bytes())
            || self.0.contains(' ') && {
                let code = Zeroizing::new(self.0.replace(' ', "+"));
                holds(layer, code.as_bytes())
            }
    }

    fn stands_in_base64(&self, layer: &[u8]) -> bool {
        let length = self.0.len();
        let shortest = shortest_in_base64(length);
        if length < SHORTEST_ENCODED || !has_run(layer, &BASE64, shortest) {
            return false;
        }
        // Bytes that only look like base64 rarely decode to text.
        let is_text = self.0.bytes().all(|byte| VISIBLE.has(byte));
        let text = if is_text { length } else { 0 };
        let runs = layer.split(|byte| !BASE64.has(*byte));
        runs.filter(|run| run.len() >= shortest).any(|run| {
            any_decoded(run, text, |inside| {
                (!is_text || has_run(inside, &VISIBLE, length))
                    && any_layer(inside, |layer| self.stands_plain(layer))
            })
        })
    }
}

/// Joins the lines of a text and removes the blanks around line breaks: mail and PEM wrap base64 like this (RFC 2045
/// section 6.8), and some indent it. `None`: a single line.
fn unwrapped(text: &[u8]) -> Option<Vec<u8>> {
    let first = memchr2(b'\r', b'\n', text)?;
    looked_at(text.len());
    let is_break = |byte: &u8| matches!(byte, b'\r' | b'\n' | b'\t' | b' ');
    let mut joined = Vec::with_capacity(text.len());
    let mut rest = text;
    let mut found = Some(first);
    while let Some(at) = found {
        let (line, behind) = rest.split_at_checked(at)?;
        joined.extend_from_slice(line.trim_ascii_end());
        let blanks = behind.iter().take_while(|byte| is_break(byte)).count();
        rest = behind.get(blanks..)?;
        found = memchr2(b'\r', b'\n', rest);
    }
    joined.extend_from_slice(rest);
    Some(joined)
}

static BASE64: ByteSet = ByteSet::alphanumeric_and(b"+/-_");
/// Printable ASCII.
static VISIBLE: ByteSet = ByteSet::alphanumeric_and(b" !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~");

/// Decodes without padding, and accepts trailing bits, because the input may be a part of something.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// Whether `holds` is true for a run of base64, in either alphabet, decoded from any of its first four characters,
/// because characters before the encoded text may look like a part of it. `text`: the number of consecutive ASCII bytes
/// that the result must contain.
fn any_decoded(run: &[u8], text: usize, mut holds: impl FnMut(&[u8]) -> bool) -> bool {
    looked_at(4 * run.len());
    let standard = |byte: &u8| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => *other,
    };
    let mut inside = Vec::new();
    (0..4).any(|start| {
        let run = run.get(start..).unwrap_or_default();
        if !may_be_ascii(run, text) {
            return false;
        }
        let run: Vec<u8> = run.iter().map(standard).collect();
        inside.resize(run.len(), 0);
        // One character more than a multiple of four encodes no byte.
        let whole = run.len() - usize::from(run.len() % 4 == 1);
        let run = run.get(..whole).unwrap_or_default();
        let length = LENIENT.decode_slice(run, &mut inside);
        length.is_ok_and(|length| holds(inside.get(..length).unwrap_or_default()))
    })
}

/// The minimum number of base64 characters of a word of `length` bytes, without those that depend on its neighbours.
const fn shortest_in_base64(length: usize) -> usize {
    (length * 8 - 4) / 6
}

/// Redacted: codes are secret.
impl std::fmt::Debug for Twins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Twins([redacted])")
    }
}

/// Length of a text up to which even the worst word is found quickly, in bytes.
const SHORT: usize = 4096;

/// Whether the text contains the word. Codes are random, so searching for the first byte finds little else and costs
/// less than preparing a search that is fast for every word (2 % of a flow). That search is used for long texts, whose
/// author might have chosen text and word.
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
    use crate::oauth::params::encode_into;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    #[test]
    fn debug_redacts_twins() {
        assert_eq!(format!("{:?}", Twins::of("secret")), "Twins([redacted])");
    }

    #[test]
    fn each_byte_is_examined_a_bounded_number_of_times() {
        let twins = Twins::of(&"x".repeat(24));
        let base64 = |text: &str| STANDARD.encode(text.repeat(60_000 / text.len()));
        for text in [
            "A".repeat(60_000),
            base64("%2525"),
            base64("&#38;#38;"),
            "%41".repeat(20_000),
            "%252541".repeat(8_000),
            format!("{}.", "A".repeat(31)).repeat(2_000),
            "xxxxxxx/".repeat(8_000),
            format!("{}\r\n", "A".repeat(76)).repeat(800),
            format!("{}\n", base64("%2525")),
            "A\n".repeat(30_000),
            "A%0A".repeat(15_000),
            "A%250A".repeat(10_000),
            "\\n \n".repeat(15_000),
        ] {
            let looks = crate::examined::during(|| assert!(!twins.stand_in(text.as_bytes())));
            assert!(
                looks < 64 * text.len(),
                "{}: {looks}",
                text.get(..9).unwrap()
            );
        }
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
            let json = serde_json::to_string(&around(&code)).unwrap();
            let php = json.replace('/', "\\/");
            for inside in [around(&percent), around(&references), json, php] {
                for path in ["", "x/", "ab/"] {
                    let text = format!("/{path}{}", STANDARD.encode(&inside));
                    prop_assert!(twins.stand_in(text.as_bytes()), "{}", text);
                    let text = URL_SAFE.encode(&inside).replace('=', "");
                    prop_assert!(twins.stand_in(text.as_bytes()), "{}", text);
                }
            }
        }

        #[test]
        fn a_code_in_wrapped_base64_is_found(
            code in "[ -$'-~]{6,40}",
            before in "[a-z:/?=]{0,5}",
            width in 1usize..80,
            end in prop_oneof!["\n", "\r\n", "\n  ", "\r", " \n\t", "%0A", "%250D%250A", "\\\\n", "&#10;", "&#xD;&#xA; "],
        ) {
            let twins = Twins::of(&code);
            for text in [STANDARD.encode(format!("{before}{code}z")), URL_SAFE.encode(format!("{code}{before}"))] {
                let lines: Vec<_> = text.as_bytes().chunks(width).map(|line| str::from_utf8(line).unwrap()).collect();
                let text = format!("x: {}", lines.join(&end));
                prop_assert!(twins.stand_in(text.as_bytes()), "{}", text);
            }
        }

        #[test]
        fn another_code_is_not_found(code in "[A-Za-z0-9]{12,30}", other in "[A-Za-z0-9]{12,30}") {
            prop_assume!(!other.contains(&code));
            let twins = Twins::of(&code);
            prop_assert!(!twins.stand_in(other.as_bytes()));
            prop_assert!(!twins.stand_in(STANDARD.encode(&other).as_bytes()));
        }

        #[test]
        fn the_minimum_length_in_base64_is_a_lower_bound(code in "[!-~]{6,80}") {
            let shortest = (0..3).map(|before| STANDARD.encode([&vec![b' '; before], code.as_bytes()].concat()));
            let shortest = shortest.map(|text| text.trim_end_matches('=').len()).min();
            prop_assert!(shortest_in_base64(code.len()) <= shortest.unwrap());
        }

        #[test]
        fn a_word_is_found_at_any_position(
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
