//! Sets of bytes as lookup tables. One load per byte replaces several comparisons, which were 13 % of a flow.

#[derive(Debug)]
pub(crate) struct ByteSet([bool; 256]);

impl ByteSet {
    pub(crate) const fn of(bytes: &[u8]) -> Self {
        Self([false; 256]).and(bytes)
    }

    /// ASCII letters and digits, plus `others`.
    pub(crate) const fn alphanumeric_and(others: &[u8]) -> Self {
        Self::of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789").and(others)
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "made by the compiler, for which an index out of bounds is an error"
    )]
    const fn and(mut self, mut bytes: &[u8]) -> Self {
        while let [byte, rest @ ..] = bytes {
            self.0[*byte as usize] = true;
            bytes = rest;
        }
        self
    }

    pub(crate) fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)) == Some(&true)
    }
}

/// RFC 3986's unreserved characters.
pub(crate) static UNRESERVED: ByteSet = ByteSet::alphanumeric_and(b"-._~");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_contains_exactly_its_bytes() {
        for byte in 0..=u8::MAX {
            let unreserved =
                byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
            assert_eq!(UNRESERVED.has(byte), unreserved, "{byte}");
        }
    }
}
