//! Handles that contain their record: sealed, with the time until which they are valid.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::operations::StoreError;
use super::seal::{Sealer, Unopened};
use crate::clock::WallClock;
use crate::flow::wire::{Reader, Wire, Writer};
use crate::flow::{Handle, HandleKey, Purpose};

/// By how much the wall clocks of replicas may differ. A handle from further in the future is refused.
pub(super) const LEEWAY: Duration = Duration::from_mins(1);

/// Makes and opens such handles for one upstream.
pub(crate) struct Envelopes {
    pub(super) key: HandleKey,
    pub(super) sealer: Sealer,
    clock: WallClock,
    /// Handles that were made in the future.
    from_future: AtomicU64,
}

/// Why a handle cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dead {
    /// It was valid once.
    Expired,
    Forged,
    /// It contains no record.
    Short,
}

/// The record of a handle.
pub(super) struct Opened<R> {
    pub(super) record: R,
    /// How much longer it is valid. `None`: it is not, or it was made in the future.
    pub(super) left: Option<Duration>,
}

/// The times of a record, in milliseconds since 1970.
struct Times {
    made: u64,
    expires: u64,
}

impl Envelopes {
    pub(crate) fn new(key: HandleKey, sealer: Sealer, clock: WallClock) -> Self {
        Self {
            key,
            sealer,
            clock,
            from_future: AtomicU64::new(0),
        }
    }

    /// The number of handles that were made in the future: the clock of another replica, or this one, is wrong.
    pub(super) fn made_ahead(&self) -> u64 {
        self.from_future.load(Ordering::Relaxed)
    }

    pub(super) fn seal(
        &self,
        purpose: Purpose,
        record: impl Wire,
        lifetime: Duration,
    ) -> Result<Handle, StoreError> {
        let made = self.clock.millis();
        let expires = made.saturating_add(millis(lifetime));
        let record = (Times { made, expires }, record);
        let sealed = self.sealer.seal(purpose, b"", &record)?;
        self.key.wrap(purpose, &sealed).ok_or(StoreError::TooLong)
    }

    pub(super) fn open<R: Wire>(
        &self,
        purpose: Purpose,
        handle: &Handle,
    ) -> Result<Opened<R>, Dead> {
        let sealed = handle.sealed().ok_or(Dead::Short)?;
        let opened = self.sealer.open(purpose, b"", &sealed);
        let (times, record) = opened.map_err(|why| match why {
            Unopened::ForeignKey => Dead::Expired,
            Unopened::Forged => Dead::Forged,
        })?;
        let left = self.left(&times);
        Ok(Opened { record, left })
    }

    fn left(&self, times: &Times) -> Option<Duration> {
        let now = self.clock.millis();
        if times.made > now {
            self.from_future.fetch_add(1, Ordering::Relaxed);
        }
        let is_made = times.made <= now.saturating_add(millis(LEEWAY));
        let left = times.expires.checked_sub(now).filter(|left| *left > 0);
        left.filter(|_| is_made).map(Duration::from_millis)
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Wire for Times {
    fn write(&self, to: &mut Writer) -> Option<()> {
        (self.made, self.expires).write(to)
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let (made, expires) = Wire::read(from)?;
        Some(Self { made, expires })
    }
}
