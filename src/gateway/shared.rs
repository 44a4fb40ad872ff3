//! What all workers of a process share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::clock::Clock;
use crate::clock::calendar::Doubt;
use crate::telemetry::{Event, RequestId, Telemetry};

use super::snapshot::Snapshot;

/// What all workers share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// What is in force.
    current: ArcSwap<Snapshot>,
    pub(super) clock: Clock,
    pub(super) telemetry: Telemetry,
    clock_in_doubt: AtomicBool,
    has_stopped: AtomicBool,
    /// The upper half of every request id is drawn at start, so that ids of two runs differ.
    next_request: AtomicU64,
}

impl Shared {
    /// `id_seed` is random.
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

    /// What is in force now. A worker takes it up a moment later ([`super::Gateway::adopt`]).
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Puts another configuration in force.
    pub(crate) fn replace(&self, snapshot: Arc<Snapshot>) {
        self.current.store(snapshot);
    }

    /// Where events go.
    pub(crate) fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Tells once when the machine's clock begins to show what cannot be.
    pub(super) fn watch_clock(&self, doubt: Option<Doubt>) {
        let is_new = !self.clock_in_doubt.swap(doubt.is_some(), Ordering::Relaxed);
        if let (true, Some(doubt)) = (is_new, doubt) {
            self.telemetry.tell(&Event::ClockInDoubt(doubt));
        }
    }

    /// Nothing is answered any more.
    pub(super) fn stop(&self) {
        self.has_stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_stopped(&self) -> bool {
        self.has_stopped.load(Ordering::Relaxed)
    }

    /// The name of the next request.
    pub(super) fn next_request(&self) -> RequestId {
        RequestId(self.next_request.fetch_add(1, Ordering::Relaxed))
    }

    /// What time it is.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }
}
