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
    pub(crate) clock: Clock,
    pub(crate) telemetry: Telemetry,
    clock_in_doubt: AtomicBool,
    /// See [`super::Gateway::stop`].
    pub(super) has_stopped: AtomicBool,
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

    /// The id of the next request.
    pub(super) fn next_request(&self) -> RequestId {
        RequestId(self.next_request.fetch_add(1, Ordering::Relaxed))
    }
}
