//! The circuit breaker: calls to a dead server fail at once.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;

/// So many failures in a row open the breaker.
const FAILURES: u32 = 3;

/// How long an open breaker refuses calls before one call may probe the server, and before the next may.
const PAUSE: Duration = Duration::from_millis(100);

/// Closed, it admits every call. Open, it admits one call in each pause: a probe.
#[derive(Debug)]
struct Circuit {
    clock: Clock,
    failures: AtomicU32,
    /// When the next probe is admitted, in milliseconds of the clock plus one. Zero: closed.
    probe_at: AtomicU64,
}

impl Circuit {
    fn new(clock: Clock) -> Self {
        Self {
            clock,
            failures: AtomicU32::new(0),
            probe_at: AtomicU64::new(0),
        }
    }

    fn after_pause(&self) -> u64 {
        self.clock.now().after(PAUSE).as_millis() + 1
    }

    fn admits(&self) -> bool {
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

    fn record(&self, has_failed: bool) {
        if !has_failed {
            self.failures.store(0, Ordering::Relaxed);
            self.probe_at.store(0, Ordering::Relaxed);
            return;
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed);
        if failures.saturating_add(1) >= FAILURES {
            self.open();
        }
    }

    fn open(&self) {
        self.failures.store(FAILURES, Ordering::Relaxed);
        self.probe_at.store(self.after_pause(), Ordering::Relaxed);
    }

    fn is_open(&self) -> bool {
        self.probe_at.load(Ordering::Relaxed) != 0
    }
}

/// Of one server; shared by all workers.
#[derive(Debug)]
pub(super) struct Breaker {
    circuit: Circuit,
    /// Whether the server has ever answered.
    has_answered: AtomicBool,
    /// The number of calls that the server has answered.
    answers: AtomicU64,
    pub(super) replicas: Replicas,
}

impl Breaker {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            circuit: Circuit::new(clock.clone()),
            has_answered: AtomicBool::new(false),
            answers: AtomicU64::new(0),
            replicas: Replicas {
                circuit: Circuit::new(clock),
                connected: AtomicU32::new(0),
            },
        }
    }

    /// Whether a call may be made now.
    pub(super) fn admits(&self) -> bool {
        self.circuit.admits()
    }

    /// Records how a call ended. `is_outage`: the server was unreachable, too slow, or sent garbage.
    pub(super) fn record(&self, is_outage: bool) {
        self.circuit.record(is_outage);
        if !is_outage {
            self.has_answered.store(true, Ordering::Relaxed);
            self.answers.fetch_add(1, Ordering::Relaxed);
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
        self.circuit.open();
    }

    pub(super) fn is_open(&self) -> bool {
        self.circuit.is_open()
    }

    /// Whether the server has answered, the breaker is closed, and enough replicas confirm writes.
    pub(super) fn is_reachable(&self) -> bool {
        self.has_answered.load(Ordering::Relaxed) && !self.is_open() && !self.replicas.are_missing()
    }
}

/// Whether enough replicas of a server confirm writes. While they do not, writes fail at once and change nothing, except one in
/// each pause; reads go on.
#[derive(Debug)]
pub(super) struct Replicas {
    circuit: Circuit,
    connected: AtomicU32,
}

impl Replicas {
    /// Whether a write may be made now.
    pub(super) fn admit(&self) -> bool {
        self.circuit.admits()
    }

    /// Records whether enough replicas have confirmed a write.
    pub(super) fn record(&self, are_missing: bool) {
        self.circuit.record(are_missing);
    }

    /// Records the same for a probe, after which writes fail at once if replicas are missing.
    pub(super) fn record_probe(&self, are_missing: bool) {
        if are_missing {
            self.circuit.open();
        } else {
            self.circuit.record(false);
        }
    }

    pub(super) fn are_missing(&self) -> bool {
        self.circuit.is_open()
    }

    /// Records how many replicas are connected to the server.
    pub(super) fn saw(&self, connected: u32) {
        self.connected.store(connected, Ordering::Relaxed);
    }

    /// If replicas are missing: how many were connected at the last probe.
    pub(super) fn missing(&self) -> Option<u32> {
        let connected = self.connected.load(Ordering::Relaxed);
        self.are_missing().then_some(connected)
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
    fn missing_replicas_refuse_writes_and_let_reads_pass() {
        let (clock, hands) = Clock::manual();
        let breaker = Breaker::new(clock);
        breaker.record(false);
        for _ in 0..FAILURES {
            assert!(breaker.replicas.admit() && breaker.is_reachable());
            breaker.replicas.record(true);
        }
        assert!(!breaker.replicas.admit() && breaker.admits());
        assert!(!breaker.is_reachable());
        hands.advance(PAUSE);
        assert!(breaker.replicas.admit(), "a probe");
        assert!(!breaker.replicas.admit());
        breaker.replicas.record(false);
        assert!(breaker.replicas.admit() && breaker.is_reachable());
        breaker.replicas.record_probe(true);
        assert!(!breaker.replicas.admit() && !breaker.is_reachable());
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
