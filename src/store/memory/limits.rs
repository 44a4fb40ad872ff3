//! The current limits of a store. A reload changes them; existing records stay.

// Not replaced in the model checker: no model changes a limit.
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::store::settings::Settings;

/// Each value is read separately: during a change either value is acceptable.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// In milliseconds.
    pending: AtomicU64,
    /// In milliseconds.
    code: AtomicU64,
    capacity: AtomicUsize,
    per_client: AtomicUsize,
    per_network: AtomicUsize,
    /// Minimum time between two sign-ins of one network, in microseconds.
    interval: AtomicU64,
    attempts: AtomicU8,
}

impl Limits {
    pub(super) fn new(settings: &Settings) -> Self {
        let limits = Self::default();
        limits.set(settings);
        limits
    }

    pub(super) fn set(&self, settings: &Settings) {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let second = 1_000_000;
        let numbers = [
            (&self.pending, millis(settings.pending)),
            (&self.code, millis(settings.code)),
            (
                &self.interval,
                second / u64::from(settings.network_rate.max(1)),
            ),
        ];
        for (number, value) in numbers {
            number.store(value, Ordering::Relaxed);
        }
        let capacity = settings.capacity;
        let counts = [
            (&self.capacity, capacity),
            (&self.per_client, share(capacity, settings.per_client)),
            (&self.per_network, share(capacity, settings.per_network)),
        ];
        for (count, value) in counts {
            count.store(value, Ordering::Relaxed);
        }
        self.attempts.store(settings.attempts, Ordering::Relaxed);
    }

    pub(super) fn pending(&self) -> Duration {
        Duration::from_millis(self.pending.load(Ordering::Relaxed))
    }

    pub(super) fn code(&self) -> Duration {
        Duration::from_millis(self.code.load(Ordering::Relaxed))
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity.load(Ordering::Relaxed)
    }

    pub(super) fn per_client(&self) -> usize {
        self.per_client.load(Ordering::Relaxed)
    }

    pub(super) fn per_network(&self) -> usize {
        self.per_network.load(Ordering::Relaxed)
    }

    /// Minimum time between two sign-ins of one network, in microseconds.
    pub(super) fn interval(&self) -> u64 {
        self.interval.load(Ordering::Relaxed)
    }

    pub(super) fn attempts(&self) -> u8 {
        self.attempts.load(Ordering::Relaxed)
    }
}

/// Converts a share to a number of records, at least one: zero would lock the holder out of an empty store.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a share of a number of records, rounded down; float casts saturate"
)]
fn share(capacity: usize, part: f64) -> usize {
    if part < 1.0 {
        ((capacity as f64 * part) as usize).max(1)
    } else {
        // A share of 1: no limit besides the capacity.
        usize::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_down_but_at_least_one() {
        assert_eq!(share(9, 0.5), 4);
        assert_eq!(share(9, 0.0), 1);
        assert_eq!(share(9, -1.0), 1);
        assert_eq!(share(9, 1.0), usize::MAX);
        assert_eq!(share(9, f64::NAN), usize::MAX);
    }
}
