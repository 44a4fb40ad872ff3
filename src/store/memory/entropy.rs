//! Random bytes for handles.
//!
//! One getrandom(2) costs more than everything else that minting does, so each thread takes a kilobyte at a time.
//! Bytes are wiped as they are handed out: what is in the pool is only what has not been used yet.

use std::cell::RefCell;

use super::wipe::wipe;
use crate::flow::handle::LENGTH;
use crate::flow::{Handle, HandleKey, Purpose};
use crate::store::StoreError;

const POOL: usize = 1024;

/// For one handle. It needs 24 values below 62 of six bits each; that 40 bytes do not contain them has a
/// probability of 10^-15, and is an error.
const DRAW: usize = 40;

thread_local! {
    static RANDOM: RefCell<Pool> = const { RefCell::new(Pool::new()) };
}

/// A fresh handle of that kind.
pub(super) fn mint(key: &HandleKey, purpose: Purpose) -> Result<Handle, StoreError> {
    let fill = |to: &mut [u8]| getrandom::fill(to).ok();
    RANDOM
        .try_with(|pool| {
            pool.try_borrow_mut()
                .ok()?
                .draw(fill, |bytes| mint_from(key, purpose, bytes))
        })
        .ok()
        .flatten()
        .unwrap_or(Err(StoreError::Entropy))
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

    /// `None`: there was nothing to fill the pool with.
    fn draw<T>(
        &mut self,
        fill: impl FnOnce(&mut [u8]) -> Option<()>,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Option<T> {
        if self.left < DRAW {
            self.left = 0;
            fill(&mut self.bytes)?;
            self.left = POOL;
        }
        let left = self.left.checked_sub(DRAW)?;
        let drawn = self.bytes.get_mut(left..self.left)?;
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
            let drawn = pool.draw(fill, <[u8]>::to_vec).unwrap();
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
    fn without_randomness_there_is_no_handle() {
        let mut pool = Pool::new();
        let half = |to: &mut [u8]| {
            to[..7].fill(1);
            None
        };
        assert!(pool.draw(half, |_| ()).is_none());
        assert!(
            pool.draw(half, |_| ()).is_none(),
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
