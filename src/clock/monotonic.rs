//! The monotonic clock: its time never goes back, whatever happens to the wall clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Microseconds since the clock was created. Monotonic, so steps of the wall clock do not affect expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

const MICROS: u64 = 1000;

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Timestamp {
    /// A time for tests and stores.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(MICROS))
    }

    /// Whole milliseconds since the clock was created.
    pub const fn as_millis(self) -> u64 {
        self.0 / MICROS
    }

    /// A later time; saturates.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }

    /// The duration since `earlier`; zero if it is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// A monotonic clock. Cheap to clone; all clones show the same time.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System(Instant),
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The system's monotonic clock.
    #[expect(
        clippy::disallowed_methods,
        reason = "the only place that reads the monotonic clock"
    )]
    pub fn system() -> Self {
        Self(Source::System(Instant::now()))
    }

    /// A clock that shows the same time until it is moved.
    pub fn manual() -> (Self, ManualClock) {
        let millis = Arc::new(AtomicU64::new(0));
        (
            Self(Source::Manual(Arc::clone(&millis))),
            ManualClock(millis),
        )
    }

    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System(start) => Timestamp::default().after(start.elapsed()),
            Source::Manual(micros) => Timestamp(micros.load(Ordering::SeqCst)),
        }
    }
}

/// Moves a manual clock.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Sets the clock to `now`.
    pub fn show(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::SeqCst);
    }

    /// The time that it shows.
    pub fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    pub fn advance(&self, duration: Duration) {
        self.0.fetch_add(micros(duration), Ordering::SeqCst);
    }
}
