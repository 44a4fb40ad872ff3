//! What day it is: what `until` dates are compared with. A clock of the machine that is wrong revives no exception that has ended.
//!
//! The wall clock may step in either direction. The latest time that it ever showed holds, and goes on by the monotonic clock. A
//! time before this program was made is none: until the clock has shown a better one, it is later than every `until`.

use std::sync::atomic::{AtomicU64, Ordering};

const DAY: u64 = 86_400;

/// 2026-11-22: moved with each release. What is built later may say when (`SOURCE_DATE_EPOCH`, which leaves builds reproducible).
const RELEASED: u64 = 20_779 * DAY;

/// In seconds since 1970-01-01: no clock that is right shows an earlier time.
const BUILT: u64 = match option_env!("SOURCE_DATE_EPOCH") {
    Some(text) => match u64::from_str_radix(text, 10) {
        Ok(built) if built > RELEASED => built,
        Ok(_) | Err(_) => RELEASED,
    },
    None => RELEASED,
};

/// Later than every `until`: no exception holds.
const UNKNOWN: u64 = u64::MAX;

/// How far the wall clock may be behind without a word: it is set right in small steps.
const TOLERATED: u64 = 3600;

/// What the clocks have shown.
#[derive(Debug, Default)]
pub(crate) struct Calendar {
    /// The latest time, in seconds since 1970-01-01. 0: none that can be.
    latest: AtomicU64,
    /// The most seconds that the wall clock was ever ahead of the monotonic one.
    ahead: AtomicU64,
}

/// The wall clock shows what cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Doubt {
    /// The day that it shows.
    pub shows: u64,
    /// The day that is taken instead. `None`: none is known, and no exception holds.
    pub holds: Option<u64>,
}

impl Calendar {
    /// Of clocks that were not read yet.
    pub(crate) const fn new() -> Self {
        Self {
            latest: AtomicU64::new(0),
            ahead: AtomicU64::new(0),
        }
    }

    /// Days since 1970-01-01. `wall`: seconds since then, as the machine's clock shows them; `running`: those of the monotonic clock,
    /// which is read only where the wall clock has moved.
    pub(crate) fn day(&self, wall: u64, running: impl Fn() -> u64) -> u64 {
        self.now(wall, running).map_or(UNKNOWN, |now| now / DAY)
    }

    /// Whether the wall clock is not believed.
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
    fn the_release_is_the_day_that_is_written_beside_it() {
        assert_eq!(date::format(RELEASED / DAY), "2026-11-22");
    }

    #[test]
    fn a_clock_that_steps_back_ends_no_day_and_days_go_on() {
        let calendar = Calendar::new();
        assert_eq!(calendar.day(TODAY * DAY, || 7), TODAY);
        assert_eq!(calendar.doubt(TODAY * DAY, || 7), None);
        let back = (TODAY - 50) * DAY;
        assert_eq!(calendar.day(back, || 8), TODAY);
        let holds = Some(TODAY);
        let shows = TODAY - 50;
        assert_eq!(calendar.doubt(back, || 8), Some(Doubt { shows, holds }));
        // It stays behind: a day later it is a day later all the same.
        assert_eq!(calendar.day(back + DAY, || DAY + 8), TODAY + 1);
        assert_eq!(calendar.day(0, || 3 * DAY + 8), TODAY + 3, "even at 1970");
        let again = calendar.day(TODAY * DAY, || 3 * DAY + 9);
        assert_eq!(again, TODAY + 3, "where it was once");
        // It is set right again.
        let right = (TODAY + 4) * DAY;
        assert_eq!(calendar.day(right, || 4 * DAY + 8), TODAY + 4);
        assert_eq!(calendar.doubt(right, || 4 * DAY + 8), None);
    }

    #[test]
    fn under_a_clock_from_before_the_build_no_exception_holds_until_it_is_right() {
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
    fn a_clock_that_is_set_right_in_small_steps_is_believed() {
        let calendar = Calendar::new();
        calendar.day(TODAY * DAY, || 0);
        assert_eq!(calendar.doubt(TODAY * DAY - TOLERATED, || 0), None);
        assert!(calendar.doubt(TODAY * DAY - TOLERATED - 1, || 0).is_some());
    }

    proptest! {
        /// Whatever the wall clock shows: an exception that has ended stays so.
        #[test]
        fn no_day_comes_back(walls in prop::collection::vec(0..2 * BUILT, 1..50), pause in 0..DAY) {
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
