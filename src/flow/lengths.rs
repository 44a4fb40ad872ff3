//! How long the codes of an upstream are.

/// Lengths in bytes. A word of another length is none of the codes that they were taken from: it need not be hashed to know,
/// which halves what a flow with the upstream's codes takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CodeLengths([u64; CodeLengths::WORDS]);

impl CodeLengths {
    /// Words of a bit for each length.
    pub(crate) const WORDS: usize = 4;
    /// What is so long, or longer, has one bit.
    const LONGEST: usize = Self::WORDS * 64 - 1;
    /// Codes may have any length.
    #[cfg(test)]
    pub(crate) const ANY: Self = Self([u64::MAX; Self::WORDS]);

    /// From its words.
    pub(crate) const fn from_words(words: [u64; Self::WORDS]) -> Self {
        Self(words)
    }

    /// The word with the bit of a length, and that bit.
    pub(crate) const fn place(length: usize) -> (usize, u64) {
        let length = if length < Self::LONGEST {
            length
        } else {
            Self::LONGEST
        };
        (length / 64, 1 << (length % 64))
    }

    /// Whether some code is so long.
    pub(crate) fn has(&self, length: usize) -> bool {
        let (word, bit) = Self::place(length);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lengths: &[usize]) -> CodeLengths {
        let mut words = [0; CodeLengths::WORDS];
        for length in lengths {
            let (word, bit) = CodeLengths::place(*length);
            words[word] |= bit;
        }
        CodeLengths::from_words(words)
    }

    #[test]
    fn a_length_is_told_from_its_neighbours() {
        for length in [0, 1, 63, 64, 65, 127, 128, 191, 192, 253, 254] {
            let lengths = of(&[length]);
            assert!(lengths.has(length), "{length}");
            assert!(!lengths.has(length + 1), "{length}");
            assert!(length == 0 || !lengths.has(length - 1), "{length}");
            assert!(CodeLengths::ANY.has(length), "{length}");
            assert!(!CodeLengths::default().has(length), "{length}");
        }
    }

    #[test]
    fn very_long_codes_are_all_alike() {
        assert!(of(&[255]).has(100_000));
        assert!(of(&[100_000]).has(255));
        assert!(!of(&[255]).has(254));
    }
}
