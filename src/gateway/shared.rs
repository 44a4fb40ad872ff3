//! The state that all workers of a process share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use tokio_util::task::TaskTracker;

use crate::clock::calendar::Doubt;
use crate::clock::{Clock, date};
use crate::telemetry::{Event, RequestId, Telemetry};

use super::site::Site;
use super::snapshot::Snapshot;
use crate::store::RedisStore;

/// The state that all workers of a process share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The configuration in force.
    current: ArcSwap<Snapshot>,
    pub(crate) clock: Clock,
    pub(crate) telemetry: Telemetry,
    /// Claims that are being settled, whether or not their client still waits.
    pub(crate) settlements: TaskTracker,
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
            settlements: TaskTracker::new(),
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

    /// Logs once when a store ceases to answer, and once when it answers again.
    pub(super) fn watch_store(&self, site: &Site, redis: &RedisStore) {
        let upstream = &site.state.telemetry;
        let trouble = redis
            .keyspace()
            .trouble()
            .filter(|_| !redis.keyspace().is_reachable());
        let was_lost = &site.state.is_store_lost;
        match (was_lost.swap(trouble.is_some(), Ordering::Relaxed), trouble) {
            (false, Some(problem)) => self.telemetry.tell(&Event::StoreLost { upstream, problem }),
            (true, None) => self.telemetry.tell(&Event::StoreBack { upstream }),
            (false, None) | (true, Some(_)) => {}
        }
        if let Some(policy) = redis.keyspace().evicts()
            && !site.state.store_evicts.swap(true, Ordering::Relaxed)
        {
            let policy = policy.to_owned();
            self.telemetry
                .tell(&Event::StoreEvicts { upstream, policy });
        }
    }

    /// Logs once that the clocks of gates differ.
    pub(super) fn watch_clocks(&self, site: &Site) {
        let upstream = &site.state.telemetry;
        let is_new =
            site.store.made_ahead() > 0 && !site.state.clocks_differ.swap(true, Ordering::Relaxed);
        if is_new {
            self.telemetry.tell(&Event::ClocksDiffer { upstream });
        }
    }

    /// The id of the next request.
    pub(super) fn next_request(&self) -> RequestId {
        RequestId(self.next_request.fetch_add(1, Ordering::Relaxed))
    }
}
