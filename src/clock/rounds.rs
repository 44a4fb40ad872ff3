//! Deadlines without a timer each: one look, every now and then, at all that wait.
//!
//! Nearly every wait is over long before its limit. A timer for each has to be set, kept in order and removed again, and the
//! clock read each time; here a wait costs the store of a number, and a limit is kept to within [`Rounds::interval`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Clock, ManualClock};

/// The longest and the shortest time between two looks.
const INTERVAL: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));
/// The share of the shortest limit that a look may come late.
const SHARE: u32 = 8;

/// Something that may wait too long.
pub trait Waits: Send + Sync {
    /// If it has waited too long by its own clock, sees to it that somebody does something about it.
    fn look(&self);
}

/// One worker's rounds. All clones are the same rounds.
#[derive(Clone)]
pub struct Rounds {
    exact: Clock,
    /// Shows the time of the last look.
    clock: Clock,
    hand: ManualClock,
    /// Milliseconds.
    interval: Arc<AtomicU64>,
    waiting: Arc<Mutex<Vec<Arc<dyn Waits>>>>,
}

impl Rounds {
    /// For limits no shorter than `shortest`.
    pub fn new(exact: Clock, shortest: Duration) -> Self {
        let (clock, hand) = Clock::manual();
        hand.show(exact.now());
        Self {
            exact,
            clock,
            hand,
            interval: Arc::new(AtomicU64::new(interval(shortest))),
            waiting: Arc::default(),
        }
    }

    /// A clock that is up to one interval slow, and costs nothing to read.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The time between two looks.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.interval.load(Ordering::Relaxed))
    }

    /// From now on limits may be as short as that. The time between two looks never grows: what waits already counts on it.
    pub fn shorten(&self, shortest: Duration) {
        self.interval
            .fetch_min(interval(shortest), Ordering::Relaxed);
    }

    /// A limit by that clock that is never over before `limit` is.
    pub fn at_least(&self, limit: Duration) -> Duration {
        limit.saturating_add(self.interval())
    }

    /// From now on it is looked at, until nobody else has it any more.
    pub fn join(&self, waits: Arc<dyn Waits>) {
        self.all().push(waits);
    }

    /// Looks at all that wait.
    pub fn look(&self) {
        self.hand.show(self.exact.now());
        self.all().retain(|waits| {
            waits.look();
            Arc::strong_count(waits) > 1
        });
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Arc<dyn Waits>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn interval(shortest: Duration) -> u64 {
    let interval = (shortest / SHARE).clamp(INTERVAL.0, INTERVAL.1);
    u64::try_from(interval.as_millis()).unwrap_or(u64::MAX)
}

impl std::fmt::Debug for Rounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rounds({} wait)", self.all().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    struct Looked(Clock, AtomicU64);

    impl Waits for Looked {
        fn look(&self) {
            self.1.store(self.0.now().as_millis(), Ordering::SeqCst);
        }
    }

    #[test]
    fn all_that_wait_are_looked_at_by_the_time_of_the_look_until_they_are_dropped() {
        let (clock, hand) = Clock::manual();
        let rounds = Rounds::new(clock, Duration::from_secs(1));
        let one = Arc::new(Looked(rounds.clock().clone(), AtomicU64::new(u64::MAX)));
        rounds.join(Arc::<Looked>::clone(&one));
        hand.advance(Duration::from_secs(7));
        assert_eq!(rounds.clock().now(), Timestamp::default(), "not looked yet");
        rounds.look();
        assert_eq!(one.1.load(Ordering::SeqCst), 7000);
        assert_eq!(rounds.all().len(), 1);
        drop(one);
        rounds.look();
        assert!(rounds.all().is_empty());
    }

    #[test]
    fn a_look_comes_often_enough_for_the_shortest_limit_and_never_all_the_time() {
        for (shortest, interval) in [(0, 5), (100, 12), (1000, 125), (60_000, 250)] {
            let rounds = Rounds::new(Clock::manual().0, Duration::from_millis(shortest));
            assert_eq!(rounds.interval().as_millis(), interval, "{shortest}");
            let limit = Duration::from_millis(shortest);
            assert_eq!(rounds.at_least(limit), limit + rounds.interval());
        }
    }

    #[test]
    fn the_time_between_looks_shrinks_with_the_shortest_limit_and_never_grows() {
        let rounds = Rounds::new(Clock::manual().0, Duration::from_secs(1));
        rounds.shorten(Duration::from_mins(1));
        assert_eq!(rounds.interval().as_millis(), 125);
        rounds.clone().shorten(Duration::from_millis(100));
        assert_eq!(rounds.interval().as_millis(), 12);
    }
}
