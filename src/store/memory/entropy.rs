//! Random bytes for handles.
//!
//! One getrandom(2) costs more than everything else that minting does, so each thread takes a kilobyte at a time.
//! Bytes are wiped as they are handed out: what is in the pool is only what has not been used yet.

use std::cell::RefCell;

use zeroize::{Zeroize as _, Zeroizing};

use crate::flow::handle::LENGTH;
use crate::flow::{Handle, HandleKey, Purpose};
use crate::store::StoreError;

const POOL: usize = 1024;

/// For one handle. It needs 24 values below 62 of six bits each; that 64 bytes do not contain them has a
/// probability of about 2^-140.
const DRAW: usize = 64;

thread_local! {
    static RANDOM: RefCell<Pool> = const { RefCell::new(Pool::new()) };
}

/// A fresh handle of that kind.
pub(super) fn mint(key: &HandleKey, purpose: Purpose) -> Result<Handle, StoreError> {
    let bytes = RANDOM
        .try_with(|pool| {
            pool.try_borrow_mut()
                .ok()?
                .draw(|to| getrandom::fill(to).ok())
        })
        .ok()
        .flatten()
        .ok_or(StoreError::Entropy)?;
    mint_from(key, purpose, bytes.as_slice())
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

    fn draw(
        &mut self,
        fill: impl FnOnce(&mut [u8]) -> Option<()>,
    ) -> Option<Zeroizing<[u8; DRAW]>> {
        if self.left < DRAW {
            self.left = 0;
            fill(&mut self.bytes)?;
            self.left = POOL;
        }
        let (_, last) = self
            .bytes
            .get_mut(..self.left)?
            .split_last_chunk_mut::<DRAW>()?;
        let drawn = Zeroizing::new(*last);
        last.zeroize();
        self.left -= DRAW;
        Some(drawn)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.bytes.zeroize();
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
        for _ in 0..2 * POOL / DRAW {
            let drawn = pool
                .draw(|to| {
                    fills += 1;
                    getrandom::fill(to).ok()
                })
                .unwrap();
            assert!(seen.insert(*drawn));
            assert!(pool.bytes[pool.left..].iter().all(|byte| *byte == 0));
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
        assert!(pool.draw(half).is_none());
        assert!(
            pool.draw(half).is_none(),
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
