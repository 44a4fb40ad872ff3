//! Case-insensitive search for words.

use memchr::{memchr, memchr2_iter};

/// The text without its NUL characters, if it has any: UTF-16 has one in every ASCII letter.
pub(crate) fn without_nul(text: &[u8]) -> Option<Vec<u8>> {
    memchr(0, text)?;
    Some(text.iter().copied().filter(|byte| *byte != 0).collect())
}

/// Whether the text contains the word, ignoring case.
pub(crate) fn says(text: &[u8], word: &[u8]) -> bool {
    let Some(first) = word.first() else {
        return true;
    };
    memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), text)
        .any(|at| is_word(text, at, word))
}

/// Whether the word is at this position of the text, ignoring case.
pub(crate) fn is_word(text: &[u8], at: usize, word: &[u8]) -> bool {
    let there = text.get(at..at + word.len());
    there.is_some_and(|there| there.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_either_case() {
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
