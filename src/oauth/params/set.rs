//! Sets of bytes, looked up in a table: one load for each byte of a text, where comparisons would be several: 13 % of a flow.

/// A set of bytes.
#[derive(Debug)]
pub(crate) struct ByteSet([bool; 256]);

impl ByteSet {
    /// These.
    pub(crate) const fn of(bytes: &[u8]) -> Self {
        Self([false; 256]).and(bytes)
    }

    /// The letters and digits of ASCII, and these.
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

    /// Whether the byte is in it.
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
    fn a_set_has_what_it_was_given_and_nothing_else() {
        for byte in 0..=u8::MAX {
            let unreserved =
                byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
            assert_eq!(UNRESERVED.has(byte), unreserved, "{byte}");
        }
    }
}
