//! What ends a connection from outside: its time, or the end of the gate.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::clock::rounds::Waits;

use super::Settings;
use super::crowd::Spare;
use super::peer::Held;
use super::watch::{Cut, Watch};

/// One connection, as the worker's rounds see it.
pub(super) struct Session {
    watch: Arc<Watch>,
    limits: Arc<Settings>,
    closing: CancellationToken,
    is_over: AtomicBool,
    gives_way: AtomicBool,
    /// Also in the middle of a request.
    gives_way_at_once: AtomicBool,
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
            is_over: AtomicBool::new(false),
            gives_way: AtomicBool::new(false),
            gives_way_at_once: AtomicBool::new(false),
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

    /// Its time is over.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// How well it can be spared ([`Watch::spare`]).
    pub(super) fn spare(&self) -> Option<(Spare, Timestamp)> {
        self.watch.spare()
    }

    /// What it has of the places of requests.
    pub(super) fn held(&self) -> &Held {
        self.watch.held()
    }

    /// Its place is needed; it was found to be in that state.
    pub(super) fn give_way(&self, found: Spare) {
        self.gives_way_at_once
            .store(found.is_within_request(), Ordering::Release);
        self.gives_way.store(true, Ordering::Release);
        self.wake();
    }

    /// Its place is needed, and it can be spared still.
    pub(super) fn gives_way(&self) -> bool {
        self.gives_way.load(Ordering::Acquire)
            && self.watch.spare().is_some_and(|(now, _)| {
                !now.is_within_request() || self.gives_way_at_once.load(Ordering::Acquire)
            })
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
            self.is_over.store(true, Ordering::Release);
            self.wake();
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
