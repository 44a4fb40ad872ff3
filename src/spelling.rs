//! How else the same text may be written: escapes around it, a name that some server takes for another one.
//!
//! For looking only: nothing that is decoded here is ever sent, and nothing that is found here is ever let through. Three
//! questions are asked of foreign bytes, in requests and in answers alike, and each has one answer:
//!
//! - [`layers`]: does it hold of the text, or of what it is without its escapes?
//! - [`twins`]: does this code stand in the text, in whatever encoding?
//! - [`mod@skeleton`]: which client may a server mean that compares loosely?
//!
//! [`shortcuts`] tell most requests and answers from those of which such a question has to be asked.

pub mod layers;
pub mod shortcuts;
pub mod skeleton;
pub mod twins;

pub use layers::{any_layer, peel};
pub use skeleton::skeleton;
pub use twins::Twins;

use memchr::memchr2_iter;

/// Whether a word stands in a text, in letters of either case.
pub fn says(text: &[u8], word: &[u8]) -> bool {
    let Some(first) = word.first() else {
        return true;
    };
    memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), text)
        .any(|at| is_word(text, at, word))
}

/// Whether a word begins there, in letters of either case.
pub fn is_word(text: &[u8], at: usize, word: &[u8]) -> bool {
    let there = text.get(at..at + word.len());
    there.is_some_and(|there| there.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_said_in_letters_of_either_case() {
        for text in ["json", "application/JSON; x", "jsoJson", "jjson"] {
            assert!(says(text.as_bytes(), b"json"), "{text}");
        }
        for text in ["", "jso", "j son", "jsojso", "jsonn".get(1..).unwrap()] {
            assert!(!says(text.as_bytes(), b"json"), "{text}");
        }
        assert!(says(b"A-TEXT/x", b"a-text/"));
        assert!(says(b"x", b""));
    }
}
