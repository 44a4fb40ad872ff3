//! Random bytes: for handles, and for what else each sign-in needs them.
//!
//! Each thread has a generator of its own: `ChaCha20`, with a key of 256 bits from the operating system. Nobody can tell what it
//! gives from random bytes, or foretell any of it from the rest, without that key; a handle has 142 bits of it, and each is drawn
//! from bytes that no other one is drawn from. So a code or a `state` can only be guessed, at 2^-142 a guess.
//!
//! Who reads this process's memory could compute what a key gave and will give. After [`RESEED`] bytes there is a new key, so that
//! is about a hundred handles, all of the last moments; and the handles of requests under way can be read there anyway. What was
//! drawn is wiped. The process does not fork; a copy of it (a snapshot of a machine) gives what the original gives until each has
//! its next key.
//!
//! Without a key, the first or a new one, there are no bytes: [`StoreError::Entropy`], and the sign-in is refused.

use std::cell::RefCell;

use rand::rngs::{ChaCha20Rng, SysRng};
use rand::{Rng as _, SeedableRng as _};

use crate::flow::handle::LENGTH;
use crate::flow::{Handle, HandleKey, Purpose};
use crate::store::verbs::StoreError;
use zeroize::Zeroize as _;

/// Bytes that are drawn with one key.
const RESEED: usize = 4096;

/// For one handle. It needs 24 values below 62 of six bits each; that 40 bytes do not contain them has a
/// probability of 10^-15, and is an error.
const DRAW: usize = 40;

thread_local! {
    static RANDOM: RefCell<Generator> = const { RefCell::new(Generator(None)) };
}

/// A fresh handle of that kind.
pub(super) fn mint(key: &HandleKey, purpose: Purpose) -> Result<Handle, StoreError> {
    take::<DRAW, _>(|bytes| mint_from(key, purpose, bytes)).and_then(|minted| minted)
}

/// Bytes that are drawn for this call alone.
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

fn mint_from(key: &HandleKey, purpose: Purpose, bytes: &[u8]) -> Result<Handle, StoreError> {
    let handle = key.mint(purpose, bytes.iter().copied());
    // A handle that ran out of bytes is short, and a short handle can be guessed.
    if handle.expose().len() == LENGTH {
        Ok(handle)
    } else {
        Err(StoreError::Entropy)
    }
}

/// With its key, and the bytes that may be drawn with it still.
struct Generator(Option<(ChaCha20Rng, usize)>);

impl Generator {
    /// `None`: there is no key.
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

    /// The key of that number.
    fn key(number: u8) -> ChaCha20Rng {
        ChaCha20Rng::from_seed([number; 32])
    }

    #[test]
    fn every_draw_is_the_next_piece_of_what_its_key_gives_and_keys_change() {
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
    fn without_a_key_there_is_no_handle() {
        let mut generator = Generator(None);
        assert!(generator.draw(|| None, |_: &[u8; DRAW]| ()).is_none());
        // A key that is used up is no more a key than none.
        let whole = generator.draw(|| Some(key(1)), |_: &[u8; RESEED]| ());
        assert!(whole.is_some());
        assert!(generator.draw(|| None, |_: &[u8; 1]| ()).is_none());
        assert!(generator.draw(|| None, |_: &[u8; 1]| ()).is_none());
        let too_much = generator.draw(|| Some(key(2)), |_: &[u8; RESEED + 1]| ());
        assert!(too_much.is_none());
        let key = HandleKey::for_upstream("a");
        assert_eq!(
            mint_from(&key, Purpose::Code, &[255; DRAW]),
            Err(StoreError::Entropy)
        );
        assert!(mint(&key, Purpose::Code).is_ok());
    }
}
