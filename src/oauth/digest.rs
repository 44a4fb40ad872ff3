//! Short digests: how identifiers, codes and handles are named without being kept.

mod memo;

use sha2::{Digest as _, Sha256};

/// The first 128 bits of a domain-separated SHA-256.
///
/// 128 bits make a second preimage infeasible, which is the property that counts here: nobody can find another
/// client identifier, redirect URI or code that is taken for a recorded one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 16]);

impl Digest {
    /// The digest of `parts` under `domain`; every part is length-prefixed, so that no two lists run together.
    pub fn of(domain: &str, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in std::iter::once(&domain.as_bytes()).chain(parts) {
            // Four bytes: most lists are one block of SHA-256 then.
            hash.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            hash.update(part);
        }
        Self::first_half(hash.finalize().into())
    }

    /// The first sixteen of thirty-two bytes.
    pub(crate) fn first_half(hash: [u8; 32]) -> Self {
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(hash) {
            *to = from;
        }
        Self(bytes)
    }

    /// A digest that was kept as bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The sixteen bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// A digest of a handle names a login while it is alive: only its first bytes are shown.
impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, ..] = self.0;
        write!(f, "{a:02x}{b:02x}{c:02x}…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(
            Digest::of("d", &[b"ab", b"c"]),
            Digest::of("d", &[b"a", b"bc"])
        );
        assert_ne!(Digest::of("d", &[b"a", b""]), Digest::of("d", &[b"", b"a"]));
        assert_ne!(Digest::of("x", &[b"a"]), Digest::of("y", &[b"a"]));
    }
}
