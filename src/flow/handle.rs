//! Handles: unguessable values that replace the client's `state` and the upstream's code on the wire.
//!
//! A handle has one of two forms, by the store that made it. Both begin with a prefix for their [`Purpose`], and end with a
//! checksum of five characters.
//!
//! - *Short*: the store keeps the record. 32 characters of `[A-Za-z0-9]`, 24 of them random (142 bits). The form is
//!   conservative because some servers refuse a `state` of more than 128 characters or fewer than 32, or corrupt `+`, `~`
//!   and `=` in it.
//! - *Sealed*: the handle contains its record, encrypted. After the prefix come `-`, the length of the record's base64url in
//!   four hexadecimal digits, and the base64url itself. The length tells where a handle ends, whatever text follows it.
//!   A client's state that would make a handle for [`Purpose::State`] longer than 512 characters is left out; a cookie of the
//!   browser keeps it.
//!
//! The checksum distinguishes a dead handle from a client's own state that looks like one. Its key is derived from the
//! upstream's name, so that restarts and replicas recognise each other's dead handles. It is not secret: a forged short handle
//! has no record, and a forged sealed one cannot be opened.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use memchr::memmem;
use sha2::{Digest as _, Sha256};

use crate::examined::looked_at;
use crate::oauth::{CodeKind, Digest};

/// Characters in a short handle, and the fewest in any.
pub(crate) const LENGTH: usize = 32;
const CHECKSUM: usize = 5;
/// Characters of [`Purpose::prefix`].
const PREFIX: usize = 3;
/// The most characters of a sealed handle. It is below this for the longest code that a store keeps.
const LONGEST: usize = 8192;
/// The hexadecimal digits of the length in a sealed handle.
const DIGITS: usize = 4;
/// The length of the key, in bytes. Key and short handle together fit one block of SHA-256.
const KEY: usize = 16;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What a handle replaces. A handle for one purpose is never accepted for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The client's `state`, towards the upstream.
    State,
    /// The upstream's code, towards the client.
    Code,
    /// The upstream's device code, towards the client.
    Device,
    /// The upstream's `request_uri`, towards the client.
    PushedRequest,
}

impl From<CodeKind> for Purpose {
    fn from(kind: CodeKind) -> Self {
        match kind {
            CodeKind::Authorization => Self::Code,
            CodeKind::Device => Self::Device,
            CodeKind::PushedRequest => Self::PushedRequest,
        }
    }
}

impl Purpose {
    /// The first three characters of handles with this purpose.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::State => "pgs",
            Self::Code => "pgc",
            Self::Device => "pgd",
            Self::PushedRequest => "pgr",
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

    /// Creates a short handle. `entropy` must yield enough random bytes for 24 characters (142 bits).
    pub fn mint(&self, purpose: Purpose, entropy: impl IntoIterator<Item = u8>) -> Handle {
        let mut text = String::with_capacity(LENGTH);
        text.push_str(purpose.prefix());
        text.extend(characters(entropy).map(char::from));
        self.finish(purpose, text)
    }

    /// Creates a sealed handle. `None`: the record is too long.
    pub fn wrap(&self, purpose: Purpose, sealed: &[u8]) -> Option<Handle> {
        let sealed = URL_SAFE_NO_PAD.encode(sealed);
        let text = format!("{}-{:04x}{sealed}", purpose.prefix(), sealed.len());
        (text.len() + CHECKSUM <= LONGEST).then(|| self.finish(purpose, text))
    }

    /// Appends the checksum.
    fn finish(&self, purpose: Purpose, mut text: String) -> Handle {
        let (digest, checksum) = self.digest(text.as_bytes());
        text.extend(checksum.map(char::from));
        Handle {
            text: text.into(),
            purpose,
            digest,
        }
    }

    /// Parses a handle, live or dead. `None`: the text is not a handle of this upstream and purpose.
    pub fn recognise(&self, purpose: Purpose, text: &str) -> Option<Handle> {
        let bytes = text.as_bytes();
        if word(purpose, bytes)?.len() != text.len() {
            return None;
        }
        let (head, tail) = bytes.split_at_checked(text.len() - CHECKSUM)?;
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
        let starts = memmem::find_iter(text, purpose.prefix().as_bytes());
        // The end of the run of base64url characters that was measured last. So each byte is examined once, however many prefixes
        // a text repeats.
        let mut end = 0;
        let words = starts.filter_map(move |at| {
            if at >= end {
                end = at + run(text.get(at..)?).len();
            }
            form(purpose, text.get(at..end)?)
        });
        words.filter_map(|word| str::from_utf8(word).ok())
    }

    /// The handles in a text. `None`: more than `limit` words look like handles.
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

/// The random characters of a short handle. Six bits make one. The two values without a character are skipped, so that all
/// characters are equally likely.
fn characters(entropy: impl IntoIterator<Item = u8>) -> impl Iterator<Item = u8> {
    let characters = entropy
        .into_iter()
        .filter_map(|byte| ALPHABET.get(usize::from(byte & 63)));
    characters.take(LENGTH - CHECKSUM - PREFIX).copied()
}

/// What identifies the short handle that is minted from this entropy. Costs less than its digest.
pub(crate) fn core(entropy: impl IntoIterator<Item = u8>) -> Digest {
    fold(characters(entropy))
}

/// FNV-1a. The characters are random already; they only have to fit.
fn fold(characters: impl Iterator<Item = u8>) -> Digest {
    const PRIME: u128 = (1 << 88) + 0x13b;
    let fold = |all: u128, character: u8| (all ^ u128::from(character)).wrapping_mul(PRIME);
    Digest::from_bytes(characters.fold(0, fold).to_be_bytes())
}

/// The word at the beginning of a text, if it has a form of handles for this purpose. Says nothing about its checksum.
pub(crate) fn word(purpose: Purpose, text: &[u8]) -> Option<&[u8]> {
    if !text.starts_with(purpose.prefix().as_bytes()) {
        return None;
    }
    form(purpose, run(text.get(..LONGEST).unwrap_or(text)))
}

/// The base64url characters at the beginning of a text.
fn run(text: &[u8]) -> &[u8] {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let end = text.iter().position(|byte| !is_base64(byte));
    let run = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
    looked_at(run.len());
    run
}

/// The word at the beginning of a [`run`], if it has a form of handles for this purpose.
fn form(purpose: Purpose, run: &[u8]) -> Option<&[u8]> {
    let rest = run.strip_prefix(purpose.prefix().as_bytes())?;
    let Some(rest) = rest.strip_prefix(b"-") else {
        let word = run.get(..LENGTH)?;
        return word.iter().all(u8::is_ascii_alphanumeric).then_some(word);
    };
    let (digits, rest) = rest.split_at_checked(DIGITS)?;
    // `from_str_radix` would accept a sign.
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let digits = str::from_utf8(digits)
        .ok()
        .filter(|_| digits.iter().all(is_digit))?;
    let sealed = usize::from_str_radix(digits, 16).ok()?;
    let length = run.len() - rest.len() + sealed + CHECKSUM;
    run.get(..length)
        .filter(|_| (LENGTH..=LONGEST).contains(&length))
}

/// A well-formed handle of this gate, live or dead.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Handle {
    text: Arc<str>,
    purpose: Purpose,
    digest: Digest,
}

impl Handle {
    /// The text on the wire. It is a secret, because it is needed to continue a login or to redeem a code.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// What the handle replaces.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Whether `text` is this handle, and the purpose is the same.
    pub fn is(&self, purpose: Purpose, text: &str) -> bool {
        self.purpose == purpose && *self.text == *text
    }

    /// The key in the store.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// [`core()`] of the entropy that it was minted from. It says nothing about a sealed handle.
    pub(crate) fn core(&self) -> Digest {
        let characters = self.text.bytes().skip(PREFIX);
        fold(characters.take(LENGTH - CHECKSUM - PREFIX))
    }

    /// The encrypted record that it contains. `None`: it is a short handle, or not base64url.
    pub fn sealed(&self) -> Option<Vec<u8>> {
        let before = self.purpose.prefix().len() + 1 + DIGITS;
        let sealed = self.text.get(before..self.text.len() - CHECKSUM)?;
        let is_sealed = self.text.as_bytes().get(self.purpose.prefix().len()) == Some(&b'-');
        is_sealed.then(|| URL_SAFE_NO_PAD.decode(sealed).ok())?
    }
}

/// What identifies a record in a store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// The gate's own value, which replaces the client's `state` or the upstream's code.
    Handle(Handle),
    /// A digest of values that the protocol carries anyway (`codes = "upstream"`): of redirect target and state, or of the
    /// upstream's code ([`crate::oauth::AuthorizationCode::digest`]).
    Digest(Digest),
}

impl Key {
    /// 16 bytes under which a store may keep the record. A handle cannot be computed from them.
    pub(crate) fn digest(&self) -> Digest {
        match self {
            Self::Handle(handle) => handle.digest(),
            Self::Digest(digest) => *digest,
        }
    }

    /// The handle, if it is one.
    pub(crate) fn handle(&self) -> Option<&Handle> {
        match self {
            Self::Handle(handle) => Some(handle),
            Self::Digest(_) => None,
        }
    }
}

impl From<Handle> for Key {
    fn from(handle: Handle) -> Self {
        Self::Handle(handle)
    }
}

impl From<&Handle> for Key {
    fn from(handle: &Handle) -> Self {
        Self::Handle(handle.clone())
    }
}

impl From<Digest> for Key {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
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
    use crate::examined;
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

    #[test]
    fn a_sealed_handle_has_an_end_whatever_follows_it() {
        let key = HandleKey::for_upstream("a");
        let handle = key.wrap(Purpose::State, &[0xff; 40]).unwrap();
        assert_eq!(handle.sealed().unwrap(), [0xff; 40]);
        assert_eq!(key.mint(Purpose::State, 0..200).sealed(), None);
        let text = handle.expose();
        assert_eq!(key.recognise(Purpose::State, text).as_ref(), Some(&handle));
        for follows in ["", "-", "A", "_x", "&", "/", "0000"] {
            let text = format!("x{text}{follows}");
            let found = key.find_all(Purpose::State, text.as_bytes(), 64).unwrap();
            assert_eq!(found, std::slice::from_ref(&handle), "{follows}");
        }
        let other_key = HandleKey::for_upstream("b");
        assert_eq!(other_key.recognise(Purpose::State, text), None);
        assert_eq!(key.recognise(Purpose::Code, text), None);
        for damaged in [
            text.split_at(text.len() - 1).0,
            &format!("{text}A"),
            &text.replacen("-0036", "-0035", 1),
            &text.replacen("-0036", "-+036", 1),
            &text.replacen("-0036", "-ffff", 1),
            &text.replacen('_', "=", 1),
            &text.replacen('_', "A", 1),
            "pgs-0000",
            "pgs-000000000",
            "pgs-",
        ] {
            assert_ne!(damaged, text);
            assert_eq!(key.recognise(Purpose::State, damaged), None, "{damaged}");
        }
    }

    #[test]
    fn a_sealed_handle_has_room_for_the_longest_code_and_a_limit() {
        let key = HandleKey::for_upstream("a");
        assert!(key.wrap(Purpose::Code, &[0; 4096 + 512]).is_some());
        assert!(key.wrap(Purpose::Code, &[0; 8192]).is_none());
    }

    /// Prefixes that claim a length which the text does not have, and one that hides a handle.
    #[test]
    fn each_byte_is_examined_once_however_many_prefixes_a_text_repeats() {
        let key = HandleKey::for_upstream("a");
        let handle = key.wrap(Purpose::State, &[7; 100]).unwrap();
        let prefixes = "pgs-1f00".repeat(900);
        let text = format!("{prefixes}.{prefixes}{}.", handle.expose());
        let text = text.repeat(8);
        let mut candidates = 0;
        let examined = examined::during(|| {
            candidates = key.candidates(Purpose::State, text.as_bytes()).count();
        });
        assert!(examined <= text.len(), "{examined} of {}", text.len());
        assert_eq!(candidates, 8);
        let found = key.find_all(Purpose::State, text.as_bytes(), 64);
        assert_eq!(found, Some(vec![handle]));
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
