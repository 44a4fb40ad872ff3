//! What all workers of a process share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ipnet::IpNet;

use crate::clock::Clock;
use crate::clock::calendar::Doubt;
use crate::http::Limits;
use crate::route::Routes;
use crate::telemetry::{Event, RequestId, Telemetry};

use super::site::Site;

/// What all workers share.
#[derive(Debug)]
pub struct Shared {
    /// In the order of the configuration.
    pub sites: Vec<Arc<Site>>,
    pub(super) routes: Routes,
    pub(super) limits: Limits,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) clock: Clock,
    pub(super) telemetry: Telemetry,
    clock_in_doubt: AtomicBool,
    /// The upper half of every request id is drawn at start, so that ids of two runs differ.
    next_request: AtomicU64,
}

impl Shared {
    /// `id_seed` is random.
    pub fn new(
        sites: Vec<Arc<Site>>,
        limits: Limits,
        trusted_proxies: Vec<IpNet>,
        clock: Clock,
        telemetry: Telemetry,
        id_seed: u32,
    ) -> Self {
        let routes = Routes::new(sites.iter().map(|site| site.settings.territory()));
        let next_request = AtomicU64::new(u64::from(id_seed) << 32);
        Self {
            sites,
            routes,
            limits,
            trusted_proxies,
            clock,
            telemetry,
            clock_in_doubt: AtomicBool::new(false),
            next_request,
        }
    }

    /// Where events go.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Tells once when the machine's clock begins to show what cannot be.
    pub(super) fn watch_clock(&self, doubt: Option<Doubt>) {
        let is_new = !self.clock_in_doubt.swap(doubt.is_some(), Ordering::Relaxed);
        if let (true, Some(doubt)) = (is_new, doubt) {
            self.telemetry.tell(&Event::ClockInDoubt(doubt));
        }
    }

    /// The name of the next request.
    pub(super) fn next_request(&self) -> RequestId {
        RequestId(self.next_request.fetch_add(1, Ordering::Relaxed))
    }

    /// What time it is.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
}
