//! Random bytes, for handles and for other secrets of a sign-in, and handles that are computed from a value.
//!
//! Each thread has its own generator: `ChaCha20` with a 256-bit key from the operating system. Without the key its
//! output cannot be distinguished from random bytes or predicted. A handle has 142 bits of it, and no two handles share
//! bytes. So a code or a `state` can only be guessed, with a probability of 2^-142 per guess.
//!
//! An attacker who reads the memory of this process can compute past and future output of a key. A key is replaced
//! after [`RESEED`] bytes, which are about a hundred recent handles; handles of current requests can be read in memory
//! anyway. Bytes that were used are wiped. The process does not fork; a copy of it (a snapshot of a virtual machine)
//! produces the same output until each has its next key.
//!
//! Asking the operating system for each draw instead makes a flow about 3 % slower (`benches/peers/run before`).
//!
//! If the operating system provides no key, [`StoreError::Entropy`] is returned and the sign-in is refused.

use std::cell::RefCell;

use rand::rngs::{ChaCha20Rng, SysRng};
use rand::{Rng as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};

use crate::flow::handle::LENGTH;
use crate::flow::{Handle, HandleKey, Purpose};
use crate::oauth::Digest;
use crate::store::operations::StoreError;
use zeroize::Zeroize as _;

/// Bytes drawn from one key before it is replaced.
const RESEED: usize = 4096;

/// Bytes drawn for one handle. It needs 24 values below 62, of six bits each; 40 bytes contain too few with a
/// probability of 10^-15, which is an error.
const DRAW: usize = 40;

thread_local! {
    static RANDOM: RefCell<Generator> = const { RefCell::new(Generator(None)) };
}

pub(super) fn mint(key: &HandleKey, purpose: Purpose) -> Result<Handle, StoreError> {
    take::<DRAW, _>(|bytes| mint_from(key, purpose, bytes.iter().copied()))
        .and_then(|minted| minted)
}

/// Bytes that depend on a value only, for a handle. Without the secret they cannot be distinguished from random ones. The first
/// hash suffices for a handle, except for one value in a million.
pub(super) fn derived(secret: [u8; 32], value: Digest) -> impl Iterator<Item = u8> + Clone {
    let hash = move |number: u8| -> [u8; 32] {
        let hash = Sha256::new()
            .chain_update(secret)
            .chain_update(value.as_bytes());
        hash.chain_update([number]).finalize().into()
    };
    hash(0).into_iter().chain((1..4).flat_map(hash))
}

/// Returns random bytes that no other call returns.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    take::<N, _>(|bytes| *bytes)
}

fn take<const N: usize, T>(take: impl FnOnce(&[u8; N]) -> T) -> Result<T, StoreError> {
    let key = || ChaCha20Rng::try_from_rng(&mut SysRng).ok();
    RANDOM
        .try_with(|generator| generator.try_borrow_mut().ok()?.draw(key, take))
        .ok()
        .flatten()
        .ok_or(StoreError::Entropy)
}

pub(super) fn mint_from(
    key: &HandleKey,
    purpose: Purpose,
    bytes: impl Iterator<Item = u8>,
) -> Result<Handle, StoreError> {
    let handle = key.mint(purpose, bytes);
    // If the bytes did not suffice, the handle is shorter and could be guessed.
    if handle.expose().len() == LENGTH {
        Ok(handle)
    } else {
        Err(StoreError::Entropy)
    }
}

/// The generator, and the number of bytes that it may still produce.
struct Generator(Option<(ChaCha20Rng, usize)>);

impl Generator {
    /// `None`: no new key was available.
    fn draw<const N: usize, T>(
        &mut self,
        key: impl FnOnce() -> Option<ChaCha20Rng>,
        take: impl FnOnce(&[u8; N]) -> T,
    ) -> Option<T> {
        let (mut keyed, left) = match self.0.take() {
            Some((keyed, left)) if left >= N => (keyed, left),
            Some(_) | None => (key()?, RESEED),
        };
        let mut drawn = [0; N];
        keyed.fill_bytes(&mut drawn);
        self.0 = Some((keyed, left.checked_sub(N)?));
        let taken = take(&drawn);
        drawn.zeroize();
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    use crate::flow::handle::core;

    fn key(number: u8) -> ChaCha20Rng {
        ChaCha20Rng::from_seed([number; 32])
    }

    #[test]
    fn draws_are_consecutive_and_keys_are_replaced() {
        let mut generator = Generator(None);
        let mut keys = 0;
        let mut drawn: Vec<u8> = Vec::new();
        for _ in 0..3 * (RESEED / (DRAW + 16)) {
            let next = || {
                keys += 1;
                Some(key(keys))
            };
            drawn.extend(generator.draw(next, |bytes: &[u8; DRAW]| *bytes).unwrap());
            let none = || panic!("both fit");
            drawn.extend(generator.draw(none, |bytes: &[u8; 16]| *bytes).unwrap());
        }
        assert_eq!(keys, 3);
        let of_each = RESEED / (DRAW + 16) * (DRAW + 16);
        for (number, drawn) in (1..).zip(drawn.chunks(of_each)) {
            let mut expected = vec![0; of_each];
            key(number).fill_bytes(&mut expected);
            assert_eq!(drawn, expected, "{number}");
        }
    }

    #[test]
    fn handles_of_all_threads_differ() {
        let mint = || {
            let minted = (0..1000).map(|_| mint(&HandleKey::for_upstream("a"), Purpose::Code));
            minted
                .map(|handle| handle.unwrap().expose().to_owned())
                .collect()
        };
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(mint)).collect();
        let minted = threads.into_iter().map(|thread| thread.join().unwrap());
        let minted: Vec<Vec<String>> = minted.collect();
        let different: HashSet<_> = minted.iter().flatten().collect();
        assert_eq!(different.len(), 4000);
        assert_ne!(random::<16>(), random::<16>());
    }

    #[test]
    fn a_derived_handle_depends_on_the_secret_and_the_value_and_the_upstream() {
        let value = |number: u32| Digest::of("code", &[&number.to_be_bytes()]);
        let [a, b] = ["a", "b"].map(HandleKey::for_upstream);
        let derive = |key, secret: u8, number| {
            let bytes = derived([secret; 32], value(number));
            let handle = mint_from(key, Purpose::Code, bytes.clone()).unwrap();
            assert!(key.recognise(Purpose::Code, handle.expose()).is_some());
            assert_eq!(handle.core(), core(bytes));
            (handle.core(), handle.expose().to_owned())
        };
        assert_eq!(derive(&a, 1, 1), derive(&a, 1, 1));
        assert_ne!(derive(&a, 1, 1), derive(&a, 2, 1));
        assert_ne!(derive(&a, 1, 1), derive(&b, 1, 1));
        let different: HashSet<_> = (0..10_000).map(|number| derive(&a, 1, number)).collect();
        assert_eq!(different.len(), 10_000);
    }

    #[test]
    fn no_handle_is_minted_without_a_key() {
        let mut generator = Generator(None);
        assert!(generator.draw(|| None, |_: &[u8; DRAW]| ()).is_none());
        // A key that is used up is not used again.
        let whole = generator.draw(|| Some(key(1)), |_: &[u8; RESEED]| ());
        assert!(whole.is_some());
        assert!(generator.draw(|| None, |_: &[u8; 1]| ()).is_none());
        assert!(generator.draw(|| None, |_: &[u8; 1]| ()).is_none());
        let too_much = generator.draw(|| Some(key(2)), |_: &[u8; RESEED + 1]| ());
        assert!(too_much.is_none());
        let key = HandleKey::for_upstream("a");
        assert_eq!(
            mint_from(&key, Purpose::Code, [255; DRAW].into_iter()),
            Err(StoreError::Entropy)
        );
        assert!(mint(&key, Purpose::Code).is_ok());
    }
}
