//! Handles: unguessable values that replace the client's `state` and the upstream's code on the wire.
//!
//! A handle is 32 characters of `[A-Za-z0-9]`: a prefix for its [`Purpose`], 24 random characters (142 bits), and a checksum of
//! five characters. The format is conservative because some servers refuse a `state` of more than 128 characters or fewer than
//! 32, or corrupt `+`, `~` and `=` in it. The checksum distinguishes a dead handle from a client's own state that looks like one.
//! Its key is derived from the upstream's name, so that restarts and replicas recognise each other's dead handles. It is not
//! secret: a forged handle has no record.

use std::fmt;

use memchr::memmem;
use sha2::{Digest as _, Sha256};

use crate::oauth::Digest;

/// Characters in a handle.
pub(crate) const LENGTH: usize = 32;
const CHECKSUM: usize = 5;
/// The length of the key, in bytes. Key and handle together fit one block of SHA-256.
const KEY: usize = 16;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What a handle replaces. A handle for one purpose is never accepted for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The client's `state`, towards the upstream.
    State,
    /// The upstream's code, towards the client.
    Code,
}

impl Purpose {
    /// The first three characters of handles with this purpose.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::State => "pgs",
            Self::Code => "pgc",
        }
    }
}

/// Creates and recognises the handles of one upstream.
#[derive(Debug, Clone)]
pub struct HandleKey([u8; KEY]);

impl HandleKey {
    /// The key for the upstream with this name.
    pub fn for_upstream(name: &str) -> Self {
        let hash: [u8; 32] = Sha256::new()
            .chain_update(b"pkce-gate handle\0")
            .chain_update(name)
            .finalize()
            .into();
        let [key @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = hash;
        Self(key)
    }

    /// Creates a handle. `entropy` must yield enough random bytes for 24 characters (142 bits).
    pub fn mint(&self, purpose: Purpose, entropy: impl IntoIterator<Item = u8>) -> Handle {
        let mut text = Vec::with_capacity(LENGTH);
        text.extend_from_slice(purpose.prefix().as_bytes());
        // Six bits for each character. The two values without a character are skipped, so that all characters are equally likely.
        let mut random = entropy
            .into_iter()
            .filter_map(|byte| ALPHABET.get(usize::from(byte & 63)));
        while text.len() < LENGTH - CHECKSUM
            && let Some(character) = random.next()
        {
            text.push(*character);
        }
        let (digest, checksum) = self.digest(&text);
        text.extend_from_slice(&checksum);
        Handle {
            text: String::from_utf8(text).unwrap_or_default().into(),
            purpose,
            digest,
        }
    }

    /// Parses a handle, live or dead. `None`: the text is not a handle of this upstream and purpose.
    pub fn recognise(&self, purpose: Purpose, text: &str) -> Option<Handle> {
        let bytes = text.as_bytes();
        let plausible = bytes.len() == LENGTH
            && bytes.starts_with(purpose.prefix().as_bytes())
            && bytes.iter().all(u8::is_ascii_alphanumeric);
        let (head, tail) = bytes.split_at_checked(LENGTH - CHECKSUM)?;
        if !plausible {
            return None;
        }
        let (digest, checksum) = self.digest(head);
        (tail == checksum).then(|| Handle {
            text: text.into(),
            purpose,
            digest,
        })
    }

    /// The words of a text that look like handles for this purpose. [`HandleKey::recognise`] tells, at the cost of a hash.
    pub fn candidates<'t>(
        &self,
        purpose: Purpose,
        text: &'t [u8],
    ) -> impl Iterator<Item = &'t str> + 't {
        memmem::find_iter(text, purpose.prefix().as_bytes()).filter_map(|at| {
            let word = text.get(at..at + LENGTH)?;
            let is_one = word.iter().all(u8::is_ascii_alphanumeric);
            str::from_utf8(word).ok().filter(|_| is_one)
        })
    }

    /// The handles in a text. `Err`: more than `limit` words look like handles.
    pub fn find_all(&self, purpose: Purpose, text: &[u8], limit: usize) -> Option<Vec<Handle>> {
        let mut found = Vec::new();
        for (tried, word) in self.candidates(purpose, text).enumerate() {
            if tried == limit {
                return None;
            }
            found.extend(
                self.recognise(purpose, word)
                    .filter(|new| !found.contains(new)),
            );
        }
        Some(found)
    }

    /// The store's key and the checksum, both from one hash.
    fn digest(&self, head: &[u8]) -> (Digest, [u8; CHECKSUM]) {
        let hash: [u8; 32] = Sha256::new()
            .chain_update(self.0)
            .chain_update(head)
            .finalize()
            .into();
        let mut checksum = [0; CHECKSUM];
        for (to, from) in checksum.iter_mut().zip(hash.iter().skip(16)) {
            *to = ALPHABET
                .get(usize::from(from % 62))
                .copied()
                .unwrap_or_default();
        }
        (Digest::first_half(hash), checksum)
    }
}

/// A well-formed handle of this gate, live or dead.
#[derive(Clone, PartialEq, Eq)]
pub struct Handle {
    text: Box<str>,
    purpose: Purpose,
    digest: Digest,
}

impl Handle {
    /// The text on the wire. It is a secret, because it is needed to continue a login or to redeem a code.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Whether `text` is this handle, and the purpose is the same.
    pub fn is(&self, purpose: Purpose, text: &str) -> bool {
        self.purpose == purpose && *self.text == *text
    }

    /// The key in the store.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({:?}, {:?})", self.purpose, self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_handle_is_recognised_by_its_own_upstream_and_purpose_only() {
        let key = HandleKey::for_upstream("a");
        let handle = key.mint(Purpose::State, 0..200);
        assert_eq!(handle.expose().len(), LENGTH);
        assert_eq!(
            key.recognise(Purpose::State, handle.expose()),
            Some(handle.clone())
        );
        assert_eq!(key.recognise(Purpose::Code, handle.expose()), None);
        assert_eq!(
            HandleKey::for_upstream("b").recognise(Purpose::State, handle.expose()),
            None
        );
        for near in [
            handle.expose().trim_start_matches('p'),
            &format!("{}x", handle.expose()),
            &handle.expose().to_lowercase(),
            "",
        ] {
            assert_eq!(key.recognise(Purpose::State, near), None, "{near}");
        }
    }

    #[test]
    fn debug_output_does_not_contain_the_handle() {
        let handle = HandleKey::for_upstream("a").mint(Purpose::Code, 7..200);
        assert!(!format!("{handle:?}").contains(handle.expose().trim_start_matches("pgc")));
    }

    proptest! {
        #[test]
        fn handles_are_found_in_any_text(before in "[ -~]{0,40}", after in "[^A-Za-z0-9][ -~é]{0,40}", seed in 0u8..56) {
            let key = HandleKey::for_upstream("a");
            let handle = key.mint(Purpose::State, seed..);
            let text = format!("{before}{}{after}", handle.expose());
            let found = key.find_all(Purpose::State, text.as_bytes(), 64).unwrap();
            prop_assert!(found.contains(&handle));
        }

        #[test]
        fn one_changed_character_is_never_a_handle(at in 0usize..32, to in "[A-Za-z0-9]") {
            let key = HandleKey::for_upstream("a");
            let handle = key.mint(Purpose::State, 5..200);
            let mut text = handle.expose().to_owned();
            text.replace_range(at..=at, &to);
            prop_assume!(text != handle.expose());
            prop_assert_eq!(key.recognise(Purpose::State, &text), None);
        }
    }
}
