//! Shorter time limits when places become scarce.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The factor for time limits: 1 while at least a quarter of the places is free; it shrinks with each further one
/// taken, down to an eighth when none is free.
#[derive(Debug)]
pub(crate) struct Patience(AtomicU32);

/// The factor 1, in units of 1/1024.
const WHOLE: u32 = 1024;
/// The smallest factor, when no place is free.
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

    /// Scales a duration.
    pub(super) fn of(&self, time: Duration) -> Duration {
        time.saturating_mul(self.share()) / WHOLE
    }

    /// Scales a number of milliseconds.
    pub(super) fn of_millis(&self, millis: u64) -> u64 {
        millis.saturating_mul(self.share().into()) / u64::from(WHOLE)
    }

    fn share(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}
