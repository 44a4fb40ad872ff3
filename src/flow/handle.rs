//! Handles: the unguessable values that stand on the wire in place of the client's `state` and of the upstream's
//! code.
//!
//! A handle is 32 characters of `[A-Za-z0-9]`: a prefix that says what it stands for, 24 random characters (142
//! bits), and a checksum of five. Servers are known that refuse a `state` of more than 128 characters or fewer than
//! 32, or corrupt `+`, `~` and `=` in it. The checksum tells a handle that is dead from a state of the client's own
//! that only looks like one. Its key is the upstream's name, so that restarts and replicas recognise each other's
//! dead handles; nothing secret hangs on it, because only a *live* handle means anything.

use std::fmt;

use memchr::memmem;
use sha2::{Digest as _, Sha256};

use crate::oauth::Digest;

/// Characters in a handle.
pub(crate) const LENGTH: usize = 32;
const CHECKSUM: usize = 5;
/// Short enough that key and handle together are one block of SHA-256.
const KEY: usize = 16;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What a handle stands for. A handle of one kind is never accepted as the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// In place of the client's `state`, towards the upstream.
    State,
    /// In place of the upstream's code, towards the client.
    Code,
}

impl Purpose {
    /// The first three characters of every handle of this kind.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::State => "pgs",
            Self::Code => "pgc",
        }
    }
}

/// More words that look like handles than are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

/// Makes and recognises the handles of one upstream.
#[derive(Debug, Clone)]
pub struct HandleKey([u8; KEY]);

impl HandleKey {
    /// The key for the upstream of that name.
    pub fn for_upstream(name: &str) -> Self {
        let hash: [u8; 32] = Sha256::new()
            .chain_update(b"pkce-gate handle\0")
            .chain_update(name)
            .finalize()
            .into();
        let [key @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = hash;
        Self(key)
    }

    /// A fresh handle. `entropy` has to be random bytes, at least 142 bits' worth; it is an argument so that this
    /// stays a function.
    pub fn mint(&self, purpose: Purpose, entropy: impl IntoIterator<Item = u8>) -> Handle {
        let mut text = Vec::with_capacity(LENGTH);
        text.extend_from_slice(purpose.prefix().as_bytes());
        // Six bits at a time; the two values that have no character are drawn again, so every one is equally likely.
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

    /// Reads a handle of that kind. `None`: it is none of ours, dead or alive.
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

    /// All words of a text that look like handles of that kind. Whether one is costs a hash: [`HandleKey::recognise`].
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

    /// The handles of that kind among the first `limit` words of a text that look like one. `Err`: there are more such words
    /// than that, and nobody writes so many.
    pub fn find_all(
        &self,
        purpose: Purpose,
        text: &[u8],
        limit: usize,
    ) -> Result<Vec<Handle>, TooMany> {
        let mut found = Vec::new();
        for (tried, word) in self.candidates(purpose, text).enumerate() {
            if tried == limit {
                return Err(TooMany);
            }
            found.extend(
                self.recognise(purpose, word)
                    .filter(|new| !found.contains(new)),
            );
        }
        Ok(found)
    }

    /// One hash gives both the store's key and the checksum.
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

/// A well-formed handle of this gate, alive or dead.
#[derive(Clone, PartialEq, Eq)]
pub struct Handle {
    text: Box<str>,
    purpose: Purpose,
    digest: Digest,
}

impl Handle {
    /// As it stands on the wire. Whoever has it can continue a login or redeem a code: not for logs.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Whether this is what stands there, as a handle of that kind.
    pub fn is(&self, purpose: Purpose, text: &str) -> bool {
        self.purpose == purpose && *self.text == *text
    }

    /// What stores are keyed by.
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
    fn a_handle_is_not_shown() {
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
