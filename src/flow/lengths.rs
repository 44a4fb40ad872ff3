//! The set of lengths of an upstream's codes.

use std::sync::atomic::{AtomicU64, Ordering};

/// A set of lengths in bytes. A word of another length cannot be a code and need not be hashed, which halves the cost of a flow
/// with `codes = "upstream"`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CodeLengths([u64; CodeLengths::WORDS]);

impl CodeLengths {
    /// The number of 64-bit words. Each bit is a length.
    const WORDS: usize = 4;
    /// This length and all greater ones share a bit.
    const LONGEST: usize = Self::WORDS * 64 - 1;
    /// All lengths.
    pub(crate) const ANY: Self = Self([u64::MAX; Self::WORDS]);

    /// The index of the word for a length, and the bit in it.
    const fn place(length: usize) -> (usize, u64) {
        let length = if length < Self::LONGEST {
            length
        } else {
            Self::LONGEST
        };
        (length / 64, 1 << (length % 64))
    }

    /// Whether the set contains the length.
    pub(crate) fn has(&self, length: usize) -> bool {
        let (word, bit) = Self::place(length);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }
}

/// The lengths that were added so far, by any thread.
#[derive(Debug, Default)]
pub(crate) struct LengthsSeen([AtomicU64; CodeLengths::WORDS]);

impl LengthsSeen {
    /// Before a code of this length can be looked up. Most codes have a length that is known already.
    pub(crate) fn add(&self, length: usize) {
        let (word, bit) = CodeLengths::place(length);
        if let Some(seen) = self.0.get(word)
            && seen.load(Ordering::Acquire) & bit == 0
        {
            seen.fetch_or(bit, Ordering::Release);
        }
    }

    pub(crate) fn get(&self) -> CodeLengths {
        let load = |word: &AtomicU64| word.load(Ordering::Acquire);
        CodeLengths(self.0.each_ref().map(load))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lengths: &[usize]) -> CodeLengths {
        let seen = LengthsSeen::default();
        for length in lengths {
            seen.add(*length);
        }
        seen.get()
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
    fn very_long_codes_share_a_bit() {
        assert!(of(&[255]).has(100_000));
        assert!(of(&[100_000]).has(255));
        assert!(!of(&[255]).has(254));
    }
}
