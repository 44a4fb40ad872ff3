//! Ending a connection from outside: for its time limit, for its place, or for the shutdown of the gate.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio_util::sync::CancellationToken;

use crate::clock::rounds::Waits;

use super::settings::Settings;
use super::watch::{Phase, Watch};

/// The verdicts on a connection. Higher ones override lower ones, and none is taken back.
const STAY: u8 = 0;
/// Its place is needed: it closes as soon as it is between two requests.
const GIVE_WAY: u8 = 1;
/// Its place is needed: it closes as soon as it waits for its client, even within a request.
const GIVE_WAY_AT_ONCE: u8 = 2;
const LATE: u8 = 3;

/// The control block of one connection, checked by the worker's rounds.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) watch: Arc<Watch>,
    limits: Arc<Settings>,
    closing: CancellationToken,
    /// Atomic, because other workers may need the place.
    verdict: AtomicU8,
    /// Whether the gate shuts down, so that the connection must close after the current request.
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
            verdict: AtomicU8::new(STAY),
            task: Mutex::new(Waker::noop().clone()),
        }
    }

    /// Sets the task to wake when a decision changes.
    pub(super) fn tell(&self, task: &Waker) {
        self.task().clone_from(task);
    }

    fn decide(&self, verdict: u8) {
        self.verdict.fetch_max(verdict, Ordering::Release);
        self.task().wake_by_ref();
    }

    pub(super) fn is_over(&self) -> bool {
        self.verdict.load(Ordering::Acquire) == LATE
    }

    /// Tells the connection to close because its place is needed. `found` is the state in which it was found.
    pub(super) fn give_way(&self, found: Phase) {
        self.decide(if found.is_within_request() {
            GIVE_WAY_AT_ONCE
        } else {
            GIVE_WAY
        });
    }

    /// Whether its place is needed and it still is in a state in which it may close.
    pub(super) fn gives_way(&self) -> bool {
        let verdict = self.verdict.load(Ordering::Acquire);
        matches!(verdict, GIVE_WAY | GIVE_WAY_AT_ONCE)
            && self
                .watch
                .spare()
                .is_some_and(|now| verdict == GIVE_WAY_AT_ONCE || !now.phase.is_within_request())
    }

    /// Whether the connection must close after the current request.
    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    fn task(&self) -> MutexGuard<'_, Waker> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waits for Session {
    fn look(&self) {
        if self.watch.time_left(&self.limits).is_none() {
            self.decide(LATE);
        } else if !self.is_closing() && self.closing.is_cancelled() {
            self.is_closing.store(true, Ordering::Release);
            self.task().wake_by_ref();
        }
    }
}
