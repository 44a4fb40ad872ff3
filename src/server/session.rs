//! What ends a connection from outside: its time, or the end of the gate.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use tokio_util::sync::CancellationToken;

use crate::clock::rounds::Waits;

use super::peer::Held;
use super::settings::Settings;
use super::watch::{Cut, Spare, Spared, Watch};

/// What was decided about a connection from outside. Each goes beyond the one before, and none is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It goes on.
    Stay,
    /// Its place is needed: it ends as soon as it is between two requests.
    GiveWay,
    /// Its place is needed: it ends as soon as it waits for its client, also in the middle of a request.
    GiveWayAtOnce,
    /// Its time is over.
    Late,
}

impl Verdict {
    /// In the order of their numbers.
    const ALL: [Self; 4] = [Self::Stay, Self::GiveWay, Self::GiveWayAtOnce, Self::Late];

    fn of_number(number: u8) -> Self {
        let verdict = Self::ALL.get(usize::from(number));
        verdict.copied().unwrap_or(Self::Late)
    }
}

/// One connection, as the worker's rounds see it.
pub(super) struct Session {
    watch: Arc<Watch>,
    limits: Arc<Settings>,
    closing: CancellationToken,
    /// A [`Verdict`]: other workers may need the place.
    verdict: AtomicU8,
    /// The gate ends, and it has to end after the request at hand, whatever else is decided.
    is_closing: AtomicBool,
    task: Mutex<Waker>,
}

impl Session {
    pub(super) fn new(
        watch: Arc<Watch>,
        limits: Arc<Settings>,
        closing: CancellationToken,
    ) -> Self {
        Self {
            watch,
            limits,
            is_closing: AtomicBool::new(closing.is_cancelled()),
            closing,
            verdict: AtomicU8::new(Verdict::Stay as u8),
            task: Mutex::new(Waker::noop().clone()),
        }
    }

    /// Who is woken when one of the answers below changes.
    pub(super) fn tell(&self, task: &Waker) {
        self.task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(task);
    }

    /// It comes from a network that has that.
    pub(super) fn is_of(&self, network: Arc<Held>) {
        self.watch.is_of(network);
    }

    fn decide(&self, verdict: Verdict) {
        self.verdict.fetch_max(verdict as u8, Ordering::Release);
        self.wake();
    }

    fn verdict(&self) -> Verdict {
        Verdict::of_number(self.verdict.load(Ordering::Acquire))
    }

    /// Its time is over.
    pub(super) fn is_over(&self) -> bool {
        self.verdict() == Verdict::Late
    }

    /// How well it can be spared ([`Watch::spare`]).
    pub(super) fn spare(&self) -> Option<Spared> {
        self.watch.spare()
    }

    /// What it has of the places of requests.
    pub(super) fn held(&self) -> &Held {
        self.watch.held()
    }

    /// Its place is needed; it was found to be in that state.
    pub(super) fn give_way(&self, found: Spare) {
        self.decide(if found.is_within_request() {
            Verdict::GiveWayAtOnce
        } else {
            Verdict::GiveWay
        });
    }

    /// Its place is needed, and it can be spared still.
    pub(super) fn gives_way(&self) -> bool {
        let may_be_within_request = match self.verdict() {
            Verdict::Stay | Verdict::Late => return false,
            Verdict::GiveWay => false,
            Verdict::GiveWayAtOnce => true,
        };
        let spare = self.watch.spare();
        spare.is_some_and(|now| may_be_within_request || !now.spare.is_within_request())
    }

    /// It has to end after the request at hand.
    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// The gate closes it.
    pub(super) fn cuts(&self, why: Cut) {
        self.watch.cuts(why);
    }

    /// It is gone.
    pub(super) fn connection_ended(&self) {
        self.watch.connection_ended();
    }

    fn wake(&self) {
        self.task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .wake_by_ref();
    }
}

impl Waits for Session {
    fn look(&self) {
        if self.watch.time_left(&self.limits).is_none() {
            self.decide(Verdict::Late);
        } else if !self.is_closing() && self.closing.is_cancelled() {
            self.is_closing.store(true, Ordering::Release);
            self.wake();
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_is_read_as_it_was_written() {
        for verdict in Verdict::ALL {
            assert_eq!(Verdict::of_number(verdict as u8), verdict);
        }
    }
}
