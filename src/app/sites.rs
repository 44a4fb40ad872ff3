//! The sites of a configuration. The state of upstreams that existed before, by name, is kept.

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::{Config, Upstream};
use crate::flow::HandleKey;
use crate::gateway::Snapshot;
use crate::gateway::site::{Destination, Site, SiteState};
use crate::store::{MemoryStore, Store};
use crate::telemetry::Telemetry;
use crate::upstream::{Connector, TlsError};

#[derive(Debug, thiserror::Error)]
#[error("upstream {name:?}: {source}")]
pub(crate) struct NoTls {
    name: String,
    source: TlsError,
}

pub(super) struct Maker {
    pub(super) telemetry: Telemetry,
    pub(super) clock: Clock,
    /// Wraps the memory store of each upstream.
    pub(super) store: Box<dyn Fn(MemoryStore) -> Store + Send + Sync>,
}

impl Maker {
    /// Creates all sites of a configuration, with the state of the previous one.
    pub(super) fn snapshot(
        &self,
        config: &Config,
        before: Option<&Snapshot>,
    ) -> Result<Arc<Snapshot>, NoTls> {
        // Not more than requests in flight, over all workers, because there are descriptors for that many.
        let most_idle = config
            .limits
            .in_flight
            .div_ceil(config.server.workers.max(1));
        let site = |upstream: &Upstream| {
            let before = before.and_then(|before| before.site(&upstream.gateway.name));
            self.site(config, upstream, most_idle, before.map(Arc::as_ref))
        };
        let sites = config.upstreams.iter().map(site);
        let sites = sites.collect::<Result<Vec<_>, _>>()?;
        let proxies = config.server.trusted_proxies.clone();
        Ok(Arc::new(Snapshot::new(sites, config.limits, proxies)))
    }

    fn site(
        &self,
        config: &Config,
        upstream: &Upstream,
        most_idle: usize,
        before: Option<&Site>,
    ) -> Result<Arc<Site>, NoTls> {
        let name = &upstream.gateway.name;
        let connector = Connector::new(&upstream.connection).map_err(|source| NoTls {
            name: name.clone(),
            source,
        })?;
        let destination = Destination {
            settings: upstream.connection.clone(),
            connector,
            most_idle,
        };
        let same = before.filter(|before| before.destination.is_same(&destination));
        let destination = same.map_or_else(
            || Arc::new(destination),
            |same| Arc::clone(&same.destination),
        );
        let state = before.map_or_else(
            || Arc::new(self.state(config, name)),
            |before| Arc::clone(&before.state),
        );
        let site = Site::new(upstream.gateway.clone(), destination, state);
        Ok(Arc::new(match before {
            Some(before) => site.after(before),
            None => site,
        }))
    }

    fn state(&self, config: &Config, name: &str) -> SiteState {
        let key = HandleKey::for_upstream(name);
        let memory = MemoryStore::new(&config.store, key, self.clock.clone());
        let telemetry = self.telemetry.metrics().upstream(name);
        SiteState::new(name, telemetry, Arc::new((self.store)(memory)))
    }
}
