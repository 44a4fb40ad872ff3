//! How long connections may wait, by how many places are left.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How much of its time a connection may take: all of it while a quarter of the places is free, and less with each that is
/// taken, down to an eighth when none is left.
#[derive(Debug)]
pub(crate) struct Patience(AtomicU32);

/// All of it.
const WHOLE: u32 = 1024;
/// What is left when no place is.
const LEAST: u32 = WHOLE / 8;

impl Default for Patience {
    fn default() -> Self {
        Self(AtomicU32::new(WHOLE))
    }
}

impl Patience {
    pub(super) fn set(&self, taken: usize, all: usize) {
        let calm = all - all / 4;
        let share = match taken.checked_sub(calm) {
            None => WHOLE,
            Some(over) => {
                let over = over.min(all - calm);
                let range = usize::try_from(WHOLE - LEAST).unwrap_or_default();
                let less = over * range / (all - calm).max(1);
                WHOLE - u32::try_from(less).unwrap_or_default()
            }
        };
        self.0.store(share, Ordering::Relaxed);
    }

    /// So much of a time.
    pub(super) fn of(&self, time: Duration) -> Duration {
        time.saturating_mul(self.share()) / WHOLE
    }

    /// So much of a number of milliseconds.
    pub(super) fn of_millis(&self, millis: u64) -> u64 {
        millis.saturating_mul(self.share().into()) / u64::from(WHOLE)
    }

    fn share(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}
