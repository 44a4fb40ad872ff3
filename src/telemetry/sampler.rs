//! Lines about what strangers can make happen as often as they like: each is counted, and one now and then is written.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Clock;

/// Between two lines.
const PAUSE_MILLIS: u64 = 1000;

/// Chooses what is written: at most one line a second.
#[derive(Debug)]
pub struct Sampler {
    clock: Clock,
    /// In milliseconds, when the next line may be written.
    next: AtomicU64,
    /// What had no line since the last one.
    unlogged: AtomicU64,
}

impl Sampler {
    /// The first line may be written at once.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            next: AtomicU64::new(0),
            unlogged: AtomicU64::new(0),
        }
    }

    /// Whether what just happened gets a line, and how many before it got none.
    pub fn line(&self) -> Option<u64> {
        let now = self.clock.now().as_millis();
        let next = self.next.load(Ordering::Relaxed);
        // Of several threads that see that it is time, one writes.
        let is_time = now >= next
            && self
                .next
                .compare_exchange(
                    next,
                    now.saturating_add(PAUSE_MILLIS),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok();
        if is_time {
            return Some(self.unlogged.swap(0, Ordering::Relaxed));
        }
        self.unlogged.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_flood_gets_one_line_a_second_and_each_line_tells_how_many_had_none() {
        let (clock, hand) = Clock::manual();
        let sampler = Sampler::new(clock);
        let flood = |many: usize| (0..many).filter_map(|_| sampler.line()).collect::<Vec<_>>();
        assert_eq!(flood(10_000), [0]);
        hand.advance(Duration::from_millis(999));
        assert_eq!(flood(1), Vec::<u64>::new());
        hand.advance(Duration::from_millis(1));
        assert_eq!(flood(3), [10_000]);
        hand.advance(Duration::from_hours(1));
        assert_eq!(flood(3), [2], "what was saved up is no reason for more");
    }
}
