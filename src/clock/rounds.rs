//! Deadlines without timers: all waits are checked in regular rounds.
//!
//! Nearly every wait ends long before its limit. A timer for each would have to be set, kept in order and removed, with
//! a clock reading each time. Here a wait only costs the store of a number, and a limit is exact to within
//! [`Rounds::interval`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Clock, ManualClock};

/// The shortest and the longest time between two rounds.
const INTERVAL: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));
/// The interval is the shortest limit divided by this.
const SHARE: u32 = 8;

/// Something with a time limit.
pub trait Waits: Send + Sync {
    /// Checks the limit by its own clock, and acts if it is exceeded.
    fn look(&self);
}

/// The rounds of one worker. Clones share them.
#[derive(Clone)]
pub struct Rounds {
    exact: Clock,
    /// Shows the time of the last round.
    clock: Clock,
    hand: ManualClock,
    /// In milliseconds.
    interval: Arc<AtomicU64>,
    waiting: Arc<Mutex<Vec<Arc<dyn Waits>>>>,
}

impl Rounds {
    /// `shortest` is the shortest time limit.
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

    /// A clock that is up to one interval slow, but costs nothing to read.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.interval.load(Ordering::Relaxed))
    }

    /// Allows limits as short as `shortest` from now on. The interval never grows, because existing waits depend on it.
    pub fn shorten(&self, shortest: Duration) {
        self.interval
            .fetch_min(interval(shortest), Ordering::Relaxed);
    }

    /// Extends a limit so that, by this clock, it never ends before `limit`.
    pub fn at_least(&self, limit: Duration) -> Duration {
        limit.saturating_add(self.interval())
    }

    /// Checks `waits` in each round from now on, until all other references to it are dropped.
    pub fn join(&self, waits: Arc<dyn Waits>) {
        self.all().push(waits);
    }

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
    fn waits_are_checked_in_each_round_until_they_are_dropped() {
        let (clock, hand) = Clock::manual();
        let rounds = Rounds::new(clock, Duration::from_secs(1));
        let one = Arc::new(Looked(rounds.clock().clone(), AtomicU64::new(u64::MAX)));
        rounds.join(Arc::<Looked>::clone(&one));
        hand.advance(Duration::from_secs(7));
        assert_eq!(rounds.clock().now(), Timestamp::default(), "no round yet");
        rounds.look();
        assert_eq!(one.1.load(Ordering::SeqCst), 7000);
        assert_eq!(rounds.all().len(), 1);
        drop(one);
        rounds.look();
        assert!(rounds.all().is_empty());
    }

    #[test]
    fn the_interval_depends_on_the_shortest_limit_within_bounds() {
        for (shortest, interval) in [(0, 5), (100, 12), (1000, 125), (60_000, 250)] {
            let rounds = Rounds::new(Clock::manual().0, Duration::from_millis(shortest));
            assert_eq!(rounds.interval().as_millis(), interval, "{shortest}");
            let limit = Duration::from_millis(shortest);
            assert_eq!(rounds.at_least(limit), limit + rounds.interval());
        }
    }

    #[test]
    fn the_interval_only_shrinks() {
        let rounds = Rounds::new(Clock::manual().0, Duration::from_secs(1));
        rounds.shorten(Duration::from_mins(1));
        assert_eq!(rounds.interval().as_millis(), 125);
        rounds.clone().shorten(Duration::from_millis(100));
        assert_eq!(rounds.interval().as_millis(), 12);
    }
}
