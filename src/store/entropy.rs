//! Random bytes, for handles and for other secrets of a sign-in.
//!
//! All bytes come from the operating system, which replaces its key after each use and when a virtual machine is copied. A handle
//! has 142 random bits, and no two handles share bytes. So a code or a `state` can only be guessed, with a probability of 2^-142
//! per guess.
//!
//! If the operating system provides none, [`StoreError::Entropy`] is returned and the sign-in is refused.

use rand::TryRng;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

use crate::flow::handle::LENGTH;
use crate::flow::{Handle, HandleKey, Purpose};
use crate::store::operations::StoreError;

/// Random bytes for one handle. It needs 24 values below 62, of six bits each; 40 bytes contain too few with a probability of
/// 10^-15, which is an error.
const PER_HANDLE: usize = 40;

/// Makes a new handle.
pub(super) fn mint(key: &HandleKey, purpose: Purpose) -> Result<Handle, StoreError> {
    mint_from(&mut SysRng, key, purpose)
}

/// Returns random bytes that no other call returns.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    random_from(&mut SysRng)
}

fn mint_from(
    source: &mut impl TryRng,
    key: &HandleKey,
    purpose: Purpose,
) -> Result<Handle, StoreError> {
    let bytes = Zeroizing::new(random_from::<PER_HANDLE>(source)?);
    let handle = key.mint(purpose, bytes.iter().copied());
    // If the bytes did not suffice, the handle is shorter and could be guessed.
    if handle.expose().len() == LENGTH {
        Ok(handle)
    } else {
        Err(StoreError::Entropy)
    }
}

fn random_from<const N: usize>(source: &mut impl TryRng) -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    match source.try_fill_bytes(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(_) => Err(StoreError::Entropy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Yields one byte always. `None`: fails.
    struct Always(Option<u8>);

    impl TryRng for Always {
        type Error = std::io::Error;

        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            self.0
                .map(u32::from)
                .ok_or(std::io::ErrorKind::Other.into())
        }

        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            self.try_next_u32().map(u64::from)
        }

        fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Self::Error> {
            to.fill(self.0.ok_or(std::io::ErrorKind::Other)?);
            Ok(())
        }
    }

    #[test]
    fn all_handles_differ() {
        let key = HandleKey::for_upstream("a");
        let minted = (0..4000).map(|_| mint(&key, Purpose::Code).unwrap());
        let different: HashSet<_> = minted.map(|handle| handle.expose().to_owned()).collect();
        assert_eq!(different.len(), 4000);
        assert_ne!(random::<16>(), random::<16>());
    }

    #[test]
    fn no_handle_is_minted_without_enough_random_bytes() {
        let key = HandleKey::for_upstream("a");
        let mint = |byte| mint_from(&mut Always(byte), &key, Purpose::Code);
        assert!(mint(Some(7)).is_ok());
        assert_eq!(mint(None), Err(StoreError::Entropy));
        // A byte without a character.
        assert_eq!(mint(Some(255)), Err(StoreError::Entropy));
        assert_eq!(
            random_from::<16>(&mut Always(None)),
            Err(StoreError::Entropy)
        );
    }
}
