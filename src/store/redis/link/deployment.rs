//! What all workers share about one deployment.

#[cfg(test)]
pub(crate) mod stand_in;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::roots::NoRoots;

use super::breaker::Breaker;
use super::cluster::Cluster;
use super::connection::Entrance;
use super::place::{Place, Way};
use super::target::{Address, Kind, Target};
use super::tls::Tls;

/// One deployment of Redis or Valkey. Each worker has a `Link` to it.
pub(crate) struct Deployment {
    pub(super) deadline: Duration,
    /// So many replicas must have a write before it counts.
    pub(super) min_replicas: u32,
    entrance: Arc<Entrance>,
    /// Of the server, or of the whole cluster as long as its nodes are unknown.
    breaker: Arc<Breaker>,
    pub(super) shape: Shape,
    /// Answers in place of the servers.
    #[cfg(test)]
    pub(super) stand_in: Option<Arc<dyn stand_in::StandIn>>,
}

#[derive(Debug)]
pub(super) enum Shape {
    One(Way),
    Cluster(Cluster),
}

impl Deployment {
    /// Loads the roots for TLS (`ca`, or the system's); opens no connection. Every call ends within `deadline`.
    pub(crate) fn new(
        target: &Target,
        ca: Option<&Path>,
        deadline: Duration,
        clock: &Clock,
    ) -> Result<Self, NoRoots> {
        let shape = match &target.kind {
            Kind::Single(address) => Shape::One(Way::At(address.clone())),
            Kind::Sentinel { sentinels, master } => {
                Shape::One(Way::Master(sentinels.clone(), master.as_str().into()))
            }
            Kind::Cluster(seeds) => Shape::Cluster(Cluster::new(seeds.clone(), clock.clone())),
        };
        let tls = target.tls.then(|| Tls::new(ca)).transpose()?;
        let entrance = Entrance::new(tls, target.credentials.clone(), target.database);
        Ok(Self {
            deadline,
            min_replicas: 0,
            entrance: Arc::new(entrance),
            breaker: Arc::new(Breaker::new(clock.clone())),
            shape,
            #[cfg(test)]
            stand_in: None,
        })
    }

    /// Requires that so many replicas have a write before it counts.
    #[must_use]
    pub(crate) fn with_min_replicas(self, min_replicas: u32) -> Self {
        Self {
            min_replicas,
            ..self
        }
    }

    /// A deployment without servers.
    #[cfg(test)]
    pub(crate) fn simulated(stand_in: Arc<dyn stand_in::StandIn>, clock: &Clock) -> Self {
        let target = Target::parse("redis://127.0.0.1:1").expect("it is an address");
        let deployment = Self::new(&target, None, Duration::ZERO, clock);
        Self {
            stand_in: Some(stand_in),
            ..deployment.expect("it needs no roots")
        }
    }

    pub(super) fn breaker(&self) -> &Arc<Breaker> {
        &self.breaker
    }

    pub(super) fn place(&self, way: Way) -> Place {
        Place::new(way, Arc::clone(&self.entrance), Arc::clone(&self.breaker))
    }

    /// A place for one node of a cluster.
    pub(super) fn node(&self, cluster: &Cluster, address: &Address) -> Place {
        let way = Way::At(address.clone());
        Place::new(way, Arc::clone(&self.entrance), cluster.breaker(address))
    }

    /// Which server cannot be connected to and why, or which replicas are missing, for operators; contains no secret. `None`: the last
    /// attempt succeeded.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.entrance.trouble().or_else(|| {
            let connected = match &self.shape {
                Shape::One(_) => self.breaker.replicas.missing(),
                Shape::Cluster(cluster) => cluster.missing_replicas(),
            };
            let required = self.min_replicas;
            connected.map(|connected| {
                if connected < required {
                    format!("only {connected} of {required} replicas are connected")
                } else {
                    format!("fewer than {required} of {connected} replicas confirm that they have the last write")
                }
            })
        })
    }

    /// Whether the last calls or probes of any worker were answered, and replicas confirmed writes; in a cluster, by and of every
    /// master. False until the first answer.
    /// Costs next to nothing.
    pub(crate) fn is_reachable(&self) -> bool {
        match &self.shape {
            Shape::One(_) => self.breaker.is_reachable(),
            Shape::Cluster(cluster) => cluster.is_reachable(),
        }
    }
}

impl fmt::Debug for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Deployment").field(&self.shape).finish()
    }
}
