//! Short digests that identify client identifiers, redirect URIs, codes and handles without storing them.

use sha2::{Digest as _, Sha256};

/// The first 128 bits of a domain-separated SHA-256.
///
/// 128 bits make a second preimage infeasible, which is the property needed here: an attacker cannot find another
/// client identifier, redirect URI or code with the digest of a recorded one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 16]);

impl Digest {
    /// Hashes `parts` under `domain`. Each part is prefixed with its length, so that different lists never hash the
    /// same bytes.
    pub fn of(domain: &str, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in std::iter::once(&domain.as_bytes()).chain(parts) {
            // A prefix of four bytes keeps most lists within one block of SHA-256.
            hash.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            hash.update(part);
        }
        Self::first_half(hash.finalize().into())
    }

    /// Truncates a SHA-256 hash to its first 16 bytes.
    pub(crate) fn first_half(hash: [u8; 32]) -> Self {
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(hash) {
            *to = from;
        }
        Self(bytes)
    }

    /// Restores a digest from its stored bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Prints only the first three bytes: the digest of a handle identifies a pending login.
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
    fn different_lists_of_parts_have_different_digests() {
        assert_ne!(
            Digest::of("d", &[b"ab", b"c"]),
            Digest::of("d", &[b"a", b"bc"])
        );
        assert_ne!(Digest::of("d", &[b"a", b""]), Digest::of("d", &[b"", b"a"]));
        assert_ne!(Digest::of("x", &[b"a"]), Digest::of("y", &[b"a"]));
    }
}
