//! The current day, for comparison with `until` dates. A wrong system clock cannot revive an exception that has ended.
//!
//! The wall clock may step in either direction. The latest time that it has shown counts, and advances with the
//! monotonic clock. A time before this program was built is invalid: until the wall clock has shown a valid one, the
//! day is later than every `until`.

use std::sync::atomic::{AtomicU64, Ordering};

const DAY: u64 = 86_400;

/// 2026-11-22; updated with each release. A later build may set its own time (`SOURCE_DATE_EPOCH`, for reproducible
/// builds).
const RELEASED: u64 = 20_779 * DAY;

/// Seconds since 1970-01-01. A correct clock never shows an earlier time.
const BUILT: u64 = match option_env!("SOURCE_DATE_EPOCH") {
    Some(text) => match u64::from_str_radix(text, 10) {
        Ok(built) if built > RELEASED => built,
        Ok(_) | Err(_) => RELEASED,
    },
    None => RELEASED,
};

/// Later than every `until`: no exception applies.
const UNKNOWN: u64 = u64::MAX;

/// How many seconds the wall clock may be behind without a warning, because clocks are adjusted in small steps.
const TOLERATED: u64 = 3600;

/// The readings of the clocks so far.
#[derive(Debug, Default)]
pub(crate) struct Calendar {
    /// The latest valid time, in seconds since 1970-01-01; 0: none.
    latest: AtomicU64,
    /// The largest difference between the wall clock and the monotonic clock, in seconds.
    ahead: AtomicU64,
}

/// A wrong time on the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Doubt {
    pub shows: u64,
    /// The day that is used instead. `None`: no valid day is known, and no exception applies.
    pub holds: Option<u64>,
}

impl Calendar {
    pub(crate) const fn new() -> Self {
        Self {
            latest: AtomicU64::new(0),
            ahead: AtomicU64::new(0),
        }
    }

    /// Days since 1970-01-01. `wall` is the wall clock's time in seconds; `running` reads the monotonic clock, which is
    /// only done if the wall clock has moved.
    pub(crate) fn day(&self, wall: u64, running: impl Fn() -> u64) -> u64 {
        self.now(wall, running).map_or(UNKNOWN, |now| now / DAY)
    }

    /// Whether the wall clock's time is not accepted.
    pub(crate) fn doubt(&self, wall: u64, running: impl Fn() -> u64) -> Option<Doubt> {
        let now = self.now(wall, running);
        let is_believed = now.is_some_and(|now| wall.saturating_add(TOLERATED) >= now);
        (!is_believed).then(|| Doubt {
            shows: wall / DAY,
            holds: now.map(|now| now / DAY),
        })
    }

    fn now(&self, wall: u64, running: impl Fn() -> u64) -> Option<u64> {
        let latest = self.latest.load(Ordering::Relaxed);
        if wall == latest && latest > 0 {
            return Some(wall);
        }
        let running = running();
        if wall >= BUILT {
            let ahead = wall.saturating_sub(running);
            self.ahead.fetch_max(ahead, Ordering::Relaxed);
        }
        match self.ahead.load(Ordering::Relaxed) {
            0 => None,
            ahead => {
                let now = ahead.saturating_add(running);
                Some(self.latest.fetch_max(now, Ordering::Relaxed).max(now))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::date;
    use proptest::prelude::*;

    const TODAY: u64 = BUILT / DAY + 100;

    #[test]
    fn the_release_date_is_the_documented_one() {
        assert_eq!(date::format(RELEASED / DAY), "2026-11-22");
    }

    #[test]
    fn days_continue_when_the_clock_steps_back() {
        let calendar = Calendar::new();
        assert_eq!(calendar.day(TODAY * DAY, || 7), TODAY);
        assert_eq!(calendar.doubt(TODAY * DAY, || 7), None);
        let back = (TODAY - 50) * DAY;
        assert_eq!(calendar.day(back, || 8), TODAY);
        let holds = Some(TODAY);
        let shows = TODAY - 50;
        assert_eq!(calendar.doubt(back, || 8), Some(Doubt { shows, holds }));
        // The clock stays behind, but the days advance.
        assert_eq!(calendar.day(back + DAY, || DAY + 8), TODAY + 1);
        assert_eq!(calendar.day(0, || 3 * DAY + 8), TODAY + 3, "even at 1970");
        let again = calendar.day(TODAY * DAY, || 3 * DAY + 9);
        assert_eq!(again, TODAY + 3, "a time it has shown before");
        // The clock is corrected.
        let right = (TODAY + 4) * DAY;
        assert_eq!(calendar.day(right, || 4 * DAY + 8), TODAY + 4);
        assert_eq!(calendar.doubt(right, || 4 * DAY + 8), None);
    }

    #[test]
    fn no_exception_applies_while_the_clock_is_before_the_build() {
        for wall in [0, DAY, BUILT - 1] {
            let calendar = Calendar::new();
            assert_eq!(calendar.day(wall, || 5), u64::MAX, "{wall}");
            let shows = wall / DAY;
            let holds = None;
            assert_eq!(calendar.doubt(wall, || 5), Some(Doubt { shows, holds }));
            assert_eq!(calendar.day(TODAY * DAY, || 9), TODAY);
            assert_eq!(calendar.doubt(TODAY * DAY, || 9), None);
        }
        assert_eq!(Calendar::new().day(BUILT, || 0), BUILT / DAY);
    }

    #[test]
    fn a_clock_adjusted_in_small_steps_is_accepted() {
        let calendar = Calendar::new();
        calendar.day(TODAY * DAY, || 0);
        assert_eq!(calendar.doubt(TODAY * DAY - TOLERATED, || 0), None);
        assert!(calendar.doubt(TODAY * DAY - TOLERATED - 1, || 0).is_some());
    }

    proptest! {
        /// Whatever the wall clock shows: an exception that has ended stays ended.
        #[test]
        fn days_never_go_back(walls in prop::collection::vec(0..2 * BUILT, 1..50), pause in 0..DAY) {
            let calendar = Calendar::new();
            let mut known = None;
            for (wall, running) in walls.into_iter().zip((0..).step_by(usize::try_from(pause + 1).unwrap())) {
                let day = calendar.day(wall, || running);
                if day == UNKNOWN {
                    prop_assert!(known.is_none() && wall < BUILT);
                } else {
                    prop_assert!(known.is_none_or(|known| day >= known) && day >= BUILT / DAY && day >= wall / DAY);
                    known = Some(day);
                }
            }
        }
    }
}
