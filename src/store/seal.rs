//! Encryption of records that leave this process: in handles, and in Redis.
//!
//! AES-256-GCM with random nonces. The associated data are what the record is for: its purpose, the upstream's name, the
//! public URL, and where it is kept. So a record that is moved to another upstream, purpose, URL or place cannot be opened.
//!
//! ```text
//! version (1 byte) | key (4) | nonce (12) | ciphertext | tag (16)
//! ```
//!
//! `key` is derived from the identifier of the key in the configuration. The first key seals, all open: a key is replaced
//! without losing sign-ins ([`SealKeys`]). A random nonce repeats with a probability of 2^-32 after four billion records
//! (NIST SP 800-38D section 8.3), so a key should be replaced before that.

use std::fmt;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::operations::StoreError;
use super::settings::KeyFile;
use crate::files;
use crate::flow::Purpose;
use crate::flow::wire::{self, Wire};

/// The layout of the bytes and the meaning of the fields in them. Others are not opened.
const VERSION: u8 = 1;
/// The purpose of texts. No handle has it.
const TEXT: &str = "text";
/// The length of a key, in bytes.
const KEY: usize = 32;
const TAG: usize = 4;
const HEADER: usize = 1 + TAG;

#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("the key file {path:?} cannot be read: {source}")]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the key file {0:?} must contain {KEY} bytes in base64; `pkce-gate keygen` makes one")]
    Malformed(PathBuf),
    #[error("the keys {0:?} and {1:?} cannot be told apart; give one of them another id")]
    SameId(String, String),
    #[error("the keys {0:?} and {1:?} are equal")]
    SameKey(String, String),
    #[error("there is no key")]
    None,
}

/// The keys of the configuration, in its order. The first seals, all open.
pub(crate) struct SealKeys(Vec<SealKey>);

struct SealKey {
    tag: [u8; TAG],
    key: RandomizedNonceKey,
}

impl SealKeys {
    /// Reads the key files.
    pub(crate) fn read(files: &[KeyFile]) -> Result<Self, KeyError> {
        let mut keys: Vec<SealKey> = Vec::new();
        let mut before: Vec<(&KeyFile, Zeroizing<[u8; KEY]>)> = Vec::new();
        for file in files {
            let bytes = key_bytes(&file.file)?;
            let key = SealKey::new(&file.id, &bytes)
                .ok_or_else(|| KeyError::Malformed(file.file.clone()))?;
            for ((other, other_bytes), other_key) in before.iter().zip(&keys) {
                let names = (other.id.clone(), file.id.clone());
                if other_key.tag == key.tag {
                    return Err(KeyError::SameId(names.0, names.1));
                }
                if *other_bytes == bytes {
                    return Err(KeyError::SameKey(names.0, names.1));
                }
            }
            keys.push(key);
            before.push((file, bytes));
        }
        if keys.is_empty() {
            return Err(KeyError::None);
        }
        Ok(Self(keys))
    }

    /// One key, for tests and benchmarks.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of(keys: &[(&str, [u8; KEY])]) -> Self {
        let keys = keys.iter().filter_map(|(id, key)| SealKey::new(id, key));
        Self(keys.collect())
    }
}

fn key_bytes(path: &Path) -> Result<Zeroizing<[u8; KEY]>, KeyError> {
    let text = files::read(path).map_err(|source| KeyError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    key_of(&Zeroizing::new(text)).ok_or_else(|| KeyError::Malformed(path.to_owned()))
}

/// The key in the text of a key file. `None`: it is not [`KEY`] bytes in base64.
pub(crate) fn key_of(text: &[u8]) -> Option<Zeroizing<[u8; KEY]>> {
    let bytes = Zeroizing::new(STANDARD.decode(text.trim_ascii()).ok()?);
    let key = <[u8; KEY]>::try_from(bytes.as_slice()).ok()?;
    Some(Zeroizing::new(key))
}

impl SealKey {
    fn new(id: &str, key: &[u8; KEY]) -> Option<Self> {
        let hash: [u8; 32] = Sha256::new()
            .chain_update(b"pkce-gate seal\0")
            .chain_update(id)
            .finalize()
            .into();
        Some(Self {
            tag: *hash.first_chunk()?,
            key: RandomizedNonceKey::new(&AES_256_GCM, key).ok()?,
        })
    }
}

impl fmt::Debug for SealKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKeys({})", self.0.len())
    }
}

/// Why a sealed record cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unopened {
    /// Sealed by a key that is not in the list (any more), or in another version.
    ForeignKey,
    /// Altered, or sealed for another purpose, upstream, URL or place.
    Forged,
}

/// Seals and opens the records of one upstream.
pub(crate) struct Sealer {
    keys: SealKeys,
    /// The upstream's name and public URL.
    context: Vec<u8>,
}

impl Sealer {
    pub(crate) fn new(keys: SealKeys, upstream: &str, public_url: &str) -> Self {
        let mut context = Vec::new();
        for part in [upstream, public_url] {
            part_into(&mut context, part.as_bytes());
        }
        Self { keys, context }
    }

    /// Encrypts a record. `place`: where it will be kept, empty for a handle. `Err`: it is too long, or there are no random
    /// bytes.
    pub(crate) fn seal(
        &self,
        purpose: Purpose,
        place: &[u8],
        record: &impl Wire,
    ) -> Result<Vec<u8>, StoreError> {
        let mut bytes = wire::to_bytes(record).ok_or(StoreError::TooLong)?;
        self.encrypt(purpose.prefix(), place, &mut bytes)
    }

    /// Encrypts a text that is not about one sign-in.
    pub(crate) fn seal_text(&self, place: &[u8], text: &str) -> Result<Vec<u8>, StoreError> {
        self.encrypt(TEXT, place, &mut Zeroizing::new(text.as_bytes().to_vec()))
    }

    fn encrypt(
        &self,
        purpose: &str,
        place: &[u8],
        bytes: &mut Zeroizing<Vec<u8>>,
    ) -> Result<Vec<u8>, StoreError> {
        let key = self.keys.0.first().ok_or(StoreError::Entropy)?;
        let mut header = [VERSION; HEADER];
        header
            .iter_mut()
            .skip(1)
            .zip(key.tag)
            .for_each(|(to, from)| *to = from);
        let aad = self.associated(header, purpose, place);
        let nonce = key
            .key
            .seal_in_place_append_tag(Aad::from(aad), &mut **bytes);
        let nonce = nonce.map_err(|_| StoreError::Entropy)?;
        Ok([&header[..], nonce.as_ref(), bytes].concat())
    }

    /// Decrypts a record.
    pub(crate) fn open<R: Wire>(
        &self,
        purpose: Purpose,
        place: &[u8],
        sealed: &[u8],
    ) -> Result<R, Unopened> {
        let bytes = self.decrypt(purpose.prefix(), place, sealed)?;
        wire::from_bytes(&bytes).ok_or(Unopened::Forged)
    }

    /// Decrypts such a text.
    pub(crate) fn open_text(&self, place: &[u8], sealed: &[u8]) -> Result<String, Unopened> {
        let bytes = self.decrypt(TEXT, place, sealed)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Unopened::Forged)
    }

    fn decrypt(
        &self,
        purpose: &str,
        place: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unopened> {
        let (header, rest) = sealed
            .split_first_chunk::<HEADER>()
            .ok_or(Unopened::Forged)?;
        let (nonce, ciphertext) = rest
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(Unopened::Forged)?;
        let [version, tag @ ..] = *header;
        let mut keys = self.keys.0.iter();
        let key = keys
            .find(|key| key.tag == tag)
            .filter(|_| version == VERSION);
        let key = key.ok_or(Unopened::ForeignKey)?;
        let aad = self.associated(*header, purpose, place);
        let mut bytes = Zeroizing::new(ciphertext.to_vec());
        let nonce = Nonce::from(nonce);
        let opened = key.key.open_in_place(nonce, Aad::from(aad), &mut bytes);
        let length = opened.map_err(|_| Unopened::Forged)?.len();
        bytes.truncate(length);
        Ok(bytes)
    }

    fn associated(&self, header: [u8; HEADER], purpose: &str, place: &[u8]) -> Vec<u8> {
        let mut data = header.to_vec();
        data.extend_from_slice(&self.context);
        part_into(&mut data, purpose.as_bytes());
        part_into(&mut data, place);
        data
    }
}

/// Appends a part with its length, so that different lists never make the same bytes.
fn part_into(data: &mut Vec<u8>, part: &[u8]) {
    data.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
    data.extend_from_slice(part);
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({:?})", self.keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn sealer(keys: &[(&str, [u8; KEY])]) -> Sealer {
        Sealer::new(SealKeys::of(keys), "legacy", "https://login.example")
    }

    const A: (&str, [u8; KEY]) = ("a", [1; KEY]);
    const B: (&str, [u8; KEY]) = ("b", [2; KEY]);

    #[test]
    fn a_record_is_opened_for_its_purpose_upstream_url_and_place_only() {
        let sealed = sealer(&[A]).seal(Purpose::State, b"x", &7_u64).unwrap();
        let open =
            |sealer: &Sealer, purpose, place: &[u8]| sealer.open::<u64>(purpose, place, &sealed);
        assert_eq!(open(&sealer(&[A]), Purpose::State, b"x"), Ok(7));
        let elsewhere = [
            open(&sealer(&[A]), Purpose::Code, b"x"),
            open(&sealer(&[A]), Purpose::State, b""),
            open(
                &Sealer::new(SealKeys::of(&[A]), "other", "https://login.example"),
                Purpose::State,
                b"x",
            ),
            open(
                &Sealer::new(SealKeys::of(&[A]), "legacy", "https://login.example/"),
                Purpose::State,
                b"x",
            ),
            // The same bytes, divided differently.
            open(
                &Sealer::new(SealKeys::of(&[A]), "legacyh", "ttps://login.example"),
                Purpose::State,
                b"x",
            ),
            open(&sealer(&[("a", [3; KEY])]), Purpose::State, b"x"),
        ];
        assert_eq!(elsewhere, [Err(Unopened::Forged); 6]);
    }

    #[test]
    fn a_key_that_was_replaced_opens_until_it_is_removed() {
        let by_a = sealer(&[A]).seal(Purpose::Code, b"", &1_u64).unwrap();
        let rotated = sealer(&[B, A]);
        assert_eq!(rotated.open(Purpose::Code, b"", &by_a), Ok(1_u64));
        let by_b = rotated.seal(Purpose::Code, b"", &2_u64).unwrap();
        assert_eq!(sealer(&[B]).open(Purpose::Code, b"", &by_b), Ok(2_u64));
        let removed = sealer(&[B]).open::<u64>(Purpose::Code, b"", &by_a);
        assert_eq!(removed, Err(Unopened::ForeignKey));
    }

    #[test]
    fn a_changed_byte_is_never_opened() {
        let own = sealer(&[A]);
        let sealed = own.seal(Purpose::State, b"", &7_u64).unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(
                own.open::<u64>(Purpose::State, b"", &changed).is_err(),
                "{at}"
            );
            assert!(
                own.open::<u64>(Purpose::State, b"", &sealed[..at]).is_err(),
                "{at}"
            );
        }
        let longer = [&sealed[..], b"\0"].concat();
        assert_eq!(
            own.open::<u64>(Purpose::State, b"", &longer),
            Err(Unopened::Forged)
        );
        let (one, other) = (7_u64, (7_u64, 7_u64));
        let sealed = own.seal(Purpose::State, b"", &one).unwrap();
        let another = own.seal(Purpose::State, b"", &one).unwrap();
        assert_ne!(sealed, another, "each has its own nonce");
        let sealed = own.seal(Purpose::State, b"", &other).unwrap();
        assert_eq!(
            own.open::<u64>(Purpose::State, b"", &sealed),
            Err(Unopened::Forged)
        );
    }

    #[test]
    fn key_files_are_read_and_faults_are_named() {
        let folder = std::env::temp_dir().join(format!("pkce-gate-keys-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let write = |id: &str, text: &str| {
            let file = folder.join(id);
            fs::write(&file, text).unwrap();
            KeyFile {
                id: id.to_owned(),
                file,
            }
        };
        let one = write("one", &format!("{}\n", STANDARD.encode([1; KEY])));
        let two = write("two", &STANDARD.encode([2; KEY]));
        let same = write("same", &STANDARD.encode([1; KEY]));
        let short = write("short", &STANDARD.encode([1; 31]));
        let absent = KeyFile {
            id: "x".to_owned(),
            file: folder.join("absent"),
        };
        let read = |files: &[&KeyFile]| {
            let files: Vec<KeyFile> = files.iter().map(|file| (*file).clone()).collect();
            SealKeys::read(&files).map_err(|error| error.to_string())
        };
        assert_eq!(read(&[&one, &two]).unwrap().0.len(), 2);
        let said = |files: &[&KeyFile]| read(files).unwrap_err();
        assert!(said(&[&one, &short]).contains("must contain 32 bytes in base64"));
        assert!(said(&[&absent]).contains("cannot be read"));
        assert!(said(&[&one, &one]).contains("cannot be told apart"));
        assert_eq!(
            said(&[&one, &same]),
            "the keys \"one\" and \"same\" are equal"
        );
        assert_eq!(said(&[]), "there is no key");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", sealer(&[A, B])), "Sealer(SealKeys(2))");
    }
}
