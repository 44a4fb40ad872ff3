//! The sites of a configuration. The state of upstreams that existed before, by name, is kept.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::clock::{Clock, WallClock};
use crate::config::{Config, NamedFile, Upstream};
use crate::flow::HandleKey;
use crate::gateway::site::{Destination, Site, SiteState};
use crate::gateway::{self, Snapshot};
use crate::roots::NoRoots;
use crate::store::{
    Deployment, Envelopes, KeyError, Keyspace, Kind, MemoryStore, RedisStore, Remote, SealKeys,
    SealedStore, Sealer, SignIns, Store,
};
use crate::telemetry::Telemetry;
use crate::upstream::{Connector, TlsError};

/// Why the files that a configuration names cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("upstream {name:?}: {source}")]
    Tls { name: String, source: TlsError },
    #[error("store.keys: {0}")]
    Keys(#[from] KeyError),
    #[error("store.url: {0}")]
    Redis(#[from] NoRoots),
}

pub(super) struct Maker {
    pub(super) telemetry: Telemetry,
    pub(super) clock: Clock,
    /// Makes a store with this memory, instead of the configured one. For tests.
    pub(super) instead: Option<Box<dyn Fn(MemoryStore) -> Store + Send + Sync>>,
    pub(super) deployments: Mutex<Vec<Known>>,
}

/// A deployment of Redis that is in use.
pub(super) struct Known {
    at: Remote,
    ca: Option<NamedFile>,
    deployment: Weak<Deployment>,
}

impl Maker {
    /// Creates all sites of a configuration, with the state of the previous one.
    pub(super) fn snapshot(
        &self,
        config: &Config,
        before: Option<&Snapshot>,
    ) -> Result<Arc<Snapshot>, Unusable> {
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
    ) -> Result<Arc<Site>, Unusable> {
        let name = &upstream.gateway.name;
        let connector = Connector::new(&upstream.connection).map_err(|source| Unusable::Tls {
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
            || {
                let telemetry = self.telemetry.metrics().upstream(name);
                Arc::new(SiteState::new(name, telemetry))
            },
            |before| Arc::clone(&before.state),
        );
        let tally = state.telemetry.tally();
        tally.set_most(config.review.rows);
        let clients = upstream.gateway.rules.clients();
        tally.expect(clients.map(|client| client.id.as_str()));
        let store = self.store(config, upstream, before)?;
        let site = Site::new(upstream.gateway.clone(), destination, state, store);
        Ok(Arc::new(match before {
            Some(before) => site.after(before),
            None => site,
        }))
    }

    /// The store of an upstream. It keeps the records of the previous configuration, also if it is of another kind.
    fn store(
        &self,
        config: &Config,
        upstream: &Upstream,
        before: Option<&Site>,
    ) -> Result<Arc<Store>, Unusable> {
        let gateway::Settings {
            name,
            public_origin,
            ..
        } = &upstream.gateway;
        let (settings, key) = (&config.store, HandleKey::for_upstream(name));
        let before = before.map(|before| &before.store);
        let memory = before.and_then(|before| before.memory()).cloned();
        let new = || MemoryStore::new(settings, key.clone(), self.clock.clone());
        if let Some(instead) = &self.instead {
            let made = || Arc::new(instead(new()));
            return Ok(before.map_or_else(made, Arc::clone));
        }
        let memory = memory.unwrap_or_else(|| Arc::new(new()));
        let sealer = |keys| {
            let keys = SealKeys::read(keys)?;
            Ok::<_, Unusable>(Sealer::new(keys, name, public_origin))
        };
        let shared = |sealer, key, sign_ins, at: &Remote, memory| {
            let envelopes = Envelopes::new(key, sealer, WallClock::System);
            let keyspace = Keyspace::new(self.deployment(at, config)?, &at.prefix, name);
            let redis = RedisStore::new(settings, envelopes, sign_ins, keyspace, memory);
            let redis = redis.failing_readiness(at.fails_readiness);
            Ok::<_, Unusable>(Store::Redis(
                match before.and_then(|before| before.redis()) {
                    Some(before) => Box::new(redis.after(before)),
                    None => Box::new(redis),
                },
            ))
        };
        Ok(match &config.kind {
            Kind::Memory => match before {
                Some(before) if matches!(**before, Store::Memory(_)) => Arc::clone(before),
                _ => Arc::new(Store::Memory(memory)),
            },
            Kind::Sealed { keys, claims: None } => {
                let (sealer, clock) = (sealer(keys)?, WallClock::System);
                let store = SealedStore::new(settings, sealer, key, clock, memory);
                Arc::new(Store::Sealed(store))
            }
            Kind::Sealed {
                keys,
                claims: Some(at),
            } => Arc::new(shared(sealer(keys)?, key, SignIns::InHandles, at, memory)?),
            Kind::Redis { keys, at } => {
                Arc::new(shared(sealer(keys)?, key, SignIns::InRedis, at, memory)?)
            }
        })
    }

    /// The connections to this deployment, which all upstreams share, and later configurations.
    fn deployment(&self, at: &Remote, config: &Config) -> Result<Arc<Deployment>, Unusable> {
        let mut files = config.files.iter();
        let ca = files.find(|file| Some(&file.path) == at.ca.as_ref());
        let mut known = self
            .deployments
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known.retain(|known| known.deployment.strong_count() > 0);
        let mut all = known.iter();
        let same = all.find(|known| known.at == *at && known.ca.as_ref() == ca);
        if let Some(deployment) = same.and_then(|known| known.deployment.upgrade()) {
            return Ok(deployment);
        }
        let path = at.ca.as_deref();
        let deployment = Deployment::new(&at.target, path, at.deadline, &self.clock)?;
        let deployment = Arc::new(deployment.with_min_replicas(at.min_replicas));
        known.push(Known {
            at: at.clone(),
            ca: ca.cloned(),
            deployment: Arc::downgrade(&deployment),
        });
        Ok(deployment)
    }
}
