//! Clocks. The only module that reads the system's clocks; all others get the time as an argument.

pub(crate) mod calendar;
pub mod date;
mod monotonic;
pub(crate) mod rounds;

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

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
    const DAY: u64 = 86_400;
    let (day, of_day) = (wall() / DAY, wall() % DAY);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", date::format(day))
}

/// Seconds since 1970-01-01 according to the wall clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the only place that reads the wall clock"
)]
fn wall() -> u64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    wall.map_or(0, |since| since.as_secs())
}

/// Seconds of the monotonic clock.
fn running() -> u64 {
    static RUNNING: LazyLock<Clock> = LazyLock::new(Clock::system);
    RUNNING.now().as_millis() / 1000
}
