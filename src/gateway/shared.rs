//! The state that all workers of a process share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::clock::calendar::Doubt;
use crate::clock::{Clock, date};
use crate::telemetry::{Event, RequestId, Telemetry};

use super::snapshot::Snapshot;

/// The state that all workers of a process share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The configuration in force.
    current: ArcSwap<Snapshot>,
    pub(super) clock: Clock,
    pub(super) telemetry: Telemetry,
    clock_in_doubt: AtomicBool,
    has_stopped: AtomicBool,
    /// The upper 32 bits of request ids are random for each run, so that the ids of two runs differ.
    next_request: AtomicU64,
}

impl Shared {
    /// `id_seed` must be random.
    pub(crate) fn new(
        snapshot: Arc<Snapshot>,
        clock: Clock,
        telemetry: Telemetry,
        id_seed: u32,
    ) -> Self {
        let next_request = AtomicU64::new(u64::from(id_seed) << 32);
        Self {
            current: ArcSwap::new(snapshot),
            clock,
            telemetry,
            clock_in_doubt: AtomicBool::new(false),
            has_stopped: AtomicBool::new(false),
            next_request,
        }
    }

    /// The configuration in force. Workers switch to it in [`super::Gateway::adopt`].
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Puts another configuration in force.
    pub(crate) fn replace(&self, snapshot: Arc<Snapshot>) {
        self.current.store(snapshot);
    }

    pub(crate) fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Logs once when the system clock becomes implausible.
    pub(super) fn watch_clock(&self, doubt: Option<Doubt>) {
        let is_new = !self.clock_in_doubt.swap(doubt.is_some(), Ordering::Relaxed);
        if let (true, Some(doubt)) = (is_new, doubt) {
            self.telemetry.tell(&Event::ClockInDoubt {
                shows: date::format(doubt.shows),
                holds: doubt.holds.map(date::format),
            });
        }
    }

    /// See [`super::Gateway::stop`].
    pub(super) fn stop(&self) {
        self.has_stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_stopped(&self) -> bool {
        self.has_stopped.load(Ordering::Relaxed)
    }

    /// The id of the next request.
    pub(super) fn next_request(&self) -> RequestId {
        RequestId(self.next_request.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }
}
