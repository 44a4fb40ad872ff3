//! The circuit breaker: calls to a dead server fail at once.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;

/// So many failures in a row open the breaker.
const FAILURES: u32 = 3;

/// How long an open breaker refuses calls before one call may probe the server, and before the next may.
const PAUSE: Duration = Duration::from_millis(100);

/// Shared by all workers. Closed, it admits every call. Open, it admits one call in each pause: a probe.
#[derive(Debug)]
pub(super) struct Breaker {
    clock: Clock,
    failures: AtomicU32,
    /// When the next probe is admitted, in milliseconds of the clock plus one. Zero: closed.
    probe_at: AtomicU64,
    /// Whether the server has ever answered.
    has_answered: AtomicBool,
    /// The number of calls that the server has answered.
    answers: AtomicU64,
}

impl Breaker {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            failures: AtomicU32::new(0),
            probe_at: AtomicU64::new(0),
            has_answered: AtomicBool::new(false),
            answers: AtomicU64::new(0),
        }
    }

    fn after_pause(&self) -> u64 {
        self.clock.now().after(PAUSE).as_millis() + 1
    }

    /// Whether a call may be made now.
    pub(super) fn admits(&self) -> bool {
        let at = self.probe_at.load(Ordering::Relaxed);
        if at == 0 {
            return true;
        }
        let is_time = self.clock.now().as_millis() + 1 >= at;
        let next = self.after_pause();
        let claim = || {
            self.probe_at
                .compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed)
        };
        is_time && claim().is_ok()
    }

    /// Records how a call ended. `is_outage`: the server was unreachable, too slow, or sent garbage.
    pub(super) fn record(&self, is_outage: bool) {
        if !is_outage {
            self.failures.store(0, Ordering::Relaxed);
            self.probe_at.store(0, Ordering::Relaxed);
            self.has_answered.store(true, Ordering::Relaxed);
            self.answers.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed);
        if failures.saturating_add(1) >= FAILURES {
            self.open();
        }
    }

    /// The number of calls that the server has answered, for [`Breaker::record_probe_failure`].
    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Opens the breaker, unless the server has answered another call since the probe began (`answers` is from then): a worker may
    /// notice only now that its connection broke, while the server is back.
    pub(super) fn record_probe_failure(&self, answers: u64) {
        if self.answers() == answers {
            self.open();
        } else {
            self.record(true);
        }
    }

    /// Opens the breaker.
    pub(super) fn open(&self) {
        self.failures.store(FAILURES, Ordering::Relaxed);
        self.probe_at.store(self.after_pause(), Ordering::Relaxed);
    }

    pub(super) fn is_open(&self) -> bool {
        self.probe_at.load(Ordering::Relaxed) != 0
    }

    /// Whether the server has answered, and the breaker is closed.
    pub(super) fn is_reachable(&self) -> bool {
        self.has_answered.load(Ordering::Relaxed) && !self.is_open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_probe_opens_it_unless_the_server_has_answered_since_it_began() {
        let breaker = Breaker::new(Clock::manual().0);
        let begun = breaker.answers();
        breaker.record(false);
        breaker.record_probe_failure(begun);
        assert!(!breaker.is_open(), "the server is back");
        breaker.record_probe_failure(breaker.answers());
        assert!(breaker.is_open());
    }

    #[test]
    fn an_open_breaker_probes_and_closes() {
        let (clock, hands) = Clock::manual();
        let breaker = Breaker::new(clock);
        for _ in 0..FAILURES {
            assert!(breaker.admits());
            breaker.record(true);
        }
        assert!(breaker.is_open());
        assert!(!breaker.admits(), "open");
        hands.advance(PAUSE);
        assert!(breaker.admits(), "a probe");
        assert!(!breaker.admits(), "one probe at a time");
        breaker.record(true);
        assert!(!breaker.admits(), "the probe failed");
        hands.advance(PAUSE);
        assert!(breaker.admits(), "the next probe");
        breaker.record(false);
        assert!(!breaker.is_open());
        assert!(breaker.admits() && breaker.admits(), "closed");
    }

    #[test]
    fn an_answer_between_failures_keeps_the_breaker_closed() {
        let breaker = Breaker::new(Clock::manual().0);
        for _ in 0..10 {
            breaker.record(true);
            breaker.record(true);
            breaker.record(false);
        }
        assert!(breaker.admits() && !breaker.is_open());
    }

    #[test]
    fn a_probe_that_was_cancelled_does_not_block_the_next() {
        let (clock, hands) = Clock::manual();
        let breaker = Breaker::new(clock);
        for _ in 0..FAILURES {
            breaker.record(true);
        }
        hands.advance(PAUSE);
        assert!(breaker.admits(), "it is never recorded");
        hands.advance(PAUSE);
        assert!(breaker.admits());
    }

    #[test]
    fn a_server_is_reachable_once_it_has_answered_and_until_it_fails() {
        let breaker = Breaker::new(Clock::manual().0);
        assert!(!breaker.is_reachable());
        breaker.record(false);
        assert!(breaker.is_reachable());
        breaker.open();
        assert!(!breaker.is_reachable());
    }
}
