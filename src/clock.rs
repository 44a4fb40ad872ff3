//! Clocks. The only module that reads the system's clocks; all others get the time as an argument.

pub(crate) mod calendar;
pub mod date;
mod monotonic;
pub(crate) mod rounds;

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use calendar::{Calendar, Doubt};
pub(crate) use monotonic::Timestamp;
pub use monotonic::{Clock, ManualClock};

static CALENDAR: Calendar = Calendar::new();

/// Days since 1970-01-01 in UTC, for comparison with `until` dates ([`calendar`]).
pub(crate) fn today() -> u64 {
    CALENDAR.day(wall(), running)
}

/// Whether the system clock shows an impossible date.
pub(crate) fn doubt() -> Option<Doubt> {
    CALENDAR.doubt(wall(), running)
}

/// The wall clock's time in RFC 3339 format, in seconds.
pub(crate) fn written() -> String {
    written_at(wall())
}

/// A time in seconds since 1970 in RFC 3339 format.
pub(crate) fn written_at(seconds: u64) -> String {
    const DAY: u64 = 86_400;
    let (day, of_day) = (seconds / DAY, seconds % DAY);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", date::format(day))
}

/// Seconds since 1970-01-01 according to the wall clock.
pub(crate) fn wall() -> u64 {
    since_1970().as_secs()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the only place that reads the wall clock"
)]
fn since_1970() -> Duration {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    wall.unwrap_or_default()
}

/// The wall clock, for times that other processes have to understand. It may step.
#[derive(Debug, Clone)]
pub(crate) enum WallClock {
    System,
    /// A clock that tests set: milliseconds since 1970.
    #[cfg(test)]
    Manual(ManualClock),
}

impl WallClock {
    /// Milliseconds since 1970-01-01.
    pub(crate) fn millis(&self) -> u64 {
        match self {
            Self::System => u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX),
            #[cfg(test)]
            Self::Manual(clock) => clock.now().as_millis(),
        }
    }
}

/// Seconds of the monotonic clock.
fn running() -> u64 {
    static RUNNING: LazyLock<Clock> = LazyLock::new(Clock::system);
    RUNNING.now().as_millis() / 1000
}
