//! Random bytes: for handles, and for whatever else each sign-in needs them.
//!
//! One getrandom(2) costs more than everything else that minting does, so each thread takes a page at a time.
//! Bytes are wiped as they are handed out: what is in the pool is only what has not been used yet.

use std::cell::RefCell;

use super::wipe::wipe;
use crate::flow::handle::LENGTH;
use crate::flow::{Handle, HandleKey, Purpose};
use crate::store::verbs::StoreError;

const POOL: usize = 4096;

/// For one handle. It needs 24 values below 62 of six bits each; that 40 bytes do not contain them has a
/// probability of 10^-15, and is an error.
const DRAW: usize = 40;

thread_local! {
    static RANDOM: RefCell<Pool> = const { RefCell::new(Pool::new()) };
}

/// A fresh handle of that kind.
pub(super) fn mint(key: &HandleKey, purpose: Purpose) -> Result<Handle, StoreError> {
    take::<DRAW, _>(|bytes| mint_from(key, purpose, bytes)).and_then(|minted| minted)
}

/// Bytes that nobody else has or gets.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    take::<N, _>(|bytes| *bytes)
}

fn take<const N: usize, T>(take: impl FnOnce(&[u8; N]) -> T) -> Result<T, StoreError> {
    let fill = |to: &mut [u8]| getrandom::fill(to).ok();
    RANDOM
        .try_with(|pool| pool.try_borrow_mut().ok()?.draw(fill, take))
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

struct Pool {
    bytes: [u8; POOL],
    /// What has not been handed out: the first `left` bytes.
    left: usize,
}

impl Pool {
    const fn new() -> Self {
        Self {
            bytes: [0; POOL],
            left: 0,
        }
    }

    /// `None`: there was nothing to fill the pool with, or it is smaller than what is wanted.
    fn draw<const N: usize, T>(
        &mut self,
        fill: impl FnOnce(&mut [u8]) -> Option<()>,
        take: impl FnOnce(&[u8; N]) -> T,
    ) -> Option<T> {
        if self.left < N {
            self.left = 0;
            fill(&mut self.bytes)?;
            self.left = POOL;
        }
        let left = self.left.checked_sub(N)?;
        let drawn: &mut [u8; N] = self.bytes.get_mut(left..self.left)?.try_into().ok()?;
        self.left = left;
        let taken = take(drawn);
        wipe(drawn);
        Some(taken)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        wipe(&mut self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_byte_is_handed_out_twice_and_used_ones_are_wiped() {
        let mut pool = Pool::new();
        let mut fills = 0;
        let mut seen = HashSet::new();
        for _ in 0..2 * (POOL / DRAW) {
            let fill = |to: &mut [u8]| {
                fills += 1;
                getrandom::fill(to).ok()
            };
            let drawn = pool.draw(fill, |bytes: &[u8; DRAW]| *bytes).unwrap();
            assert_eq!(drawn.len(), DRAW);
            assert!(seen.insert(drawn));
            assert!(
                pool.bytes[pool.left..pool.left + DRAW]
                    .iter()
                    .all(|byte| *byte == 0)
            );
        }
        assert_eq!(fills, 2);
    }

    #[test]
    fn draws_of_different_sizes_share_no_byte() {
        let mut pool = Pool::new();
        // Each byte of a fill stands for its place in it.
        let fill = |to: &mut [u8]| {
            for (place, byte) in (0..=u8::MAX).cycle().zip(to) {
                *byte = place;
            }
            Some(())
        };
        let mut seen: Vec<u8> = Vec::new();
        while seen.len() < POOL - DRAW - 16 {
            seen.extend(
                pool.draw(fill, |bytes: &[u8; DRAW]| *bytes)
                    .unwrap()
                    .iter()
                    .rev(),
            );
            seen.extend(
                pool.draw(fill, |bytes: &[u8; 16]| *bytes)
                    .unwrap()
                    .iter()
                    .rev(),
            );
        }
        let places: Vec<u8> = (0..=u8::MAX).rev().cycle().take(seen.len()).collect();
        assert_eq!(seen, places);
        assert!(pool.bytes[pool.left..].iter().all(|byte| *byte == 0));
        assert!(
            pool.draw(fill, |_: &[u8; POOL + 1]| ()).is_none(),
            "more than there can be"
        );
        assert_ne!(random::<16>(), random::<16>());
    }

    #[test]
    fn without_randomness_there_is_no_handle() {
        let mut pool = Pool::new();
        let half = |to: &mut [u8]| {
            to[..7].fill(1);
            None
        };
        assert!(pool.draw(half, |_: &[u8; DRAW]| ()).is_none());
        assert!(
            pool.draw(half, |_: &[u8; DRAW]| ()).is_none(),
            "a failed fill leaves nothing behind to be used"
        );
        let key = HandleKey::for_upstream("a");
        assert_eq!(
            mint_from(&key, Purpose::Code, &[255; DRAW]),
            Err(StoreError::Entropy)
        );
        assert!(mint(&key, Purpose::Code).is_ok());
    }
}
