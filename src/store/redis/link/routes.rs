//! A worker's places: which server a command goes to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::breaker::Breaker;
use super::cluster::Cluster;
use super::connection::{Connection, lock};
use super::deployment::{Deployment, Shape};
use super::failed::Failed;
use super::place::Place;
use super::target::Address;

#[derive(Debug)]
pub(super) struct Routes {
    pub(super) deployment: Arc<Deployment>,
    /// The server, or the master that Sentinel names. `None` in a cluster.
    one: Option<Arc<Place>>,
    /// The nodes of a cluster that this worker has called.
    nodes: Mutex<HashMap<Address, Arc<Place>>>,
}

impl Routes {
    pub(super) fn new(deployment: Arc<Deployment>) -> Self {
        let one = match &deployment.shape {
            Shape::One(way) => Some(Arc::new(deployment.place(way.clone()))),
            Shape::Cluster(_) => None,
        };
        Self {
            deployment,
            one,
            nodes: Mutex::default(),
        }
    }

    fn cluster(&self) -> Option<&Cluster> {
        match &self.deployment.shape {
            Shape::One(_) => None,
            Shape::Cluster(cluster) => Some(cluster),
        }
    }

    fn node(&self, cluster: &Cluster, address: &Address) -> Arc<Place> {
        let mut nodes = lock(&self.nodes);
        let new = || Arc::new(self.deployment.node(cluster, address));
        Arc::clone(nodes.entry(address.clone()).or_insert_with(new))
    }

    /// The place for a slot as far as it is known now, and the breaker that decides about a call there.
    pub(super) fn known(&self, slot: Option<u16>) -> (Option<Arc<Place>>, Arc<Breaker>) {
        let place = match self.cluster() {
            None => self.one.clone(),
            Some(cluster) => {
                let map = cluster.map();
                let master = map.master(slot.unwrap_or_default());
                master.map(|master| self.node(cluster, master))
            }
        };
        let breaker = match &place {
            Some(place) => &place.breaker,
            None => self.deployment.breaker(),
        };
        let breaker = Arc::clone(breaker);
        (place, breaker)
    }

    /// The place for a slot; reads the cluster's map if it is in doubt.
    pub(super) async fn find(&self, slot: Option<u16>) -> Result<Arc<Place>, Failed> {
        if let Some(cluster) = self.cluster() {
            cluster
                .current(|address| self.node(cluster, address))
                .await?;
        }
        self.known(slot).0.ok_or(Failed::Unreachable)
    }

    /// The place of the master, or of every master of a cluster.
    pub(super) async fn all(&self) -> Result<Vec<Arc<Place>>, Failed> {
        let Some(cluster) = self.cluster() else {
            return Ok(self.one.iter().cloned().collect());
        };
        let map = cluster
            .current(|address| self.node(cluster, address))
            .await?;
        if !map.is_complete() {
            return Err(Failed::Unreachable);
        }
        let masters = map.masters();
        Ok(masters
            .iter()
            .map(|master| self.node(cluster, master))
            .collect())
    }

    /// The place that a node names in place of itself, as `host:port`; without a host, the node means its own. `None` if this is
    /// no cluster, or the name is not an address.
    pub(super) fn named(&self, by: &Connection, name: &str) -> Option<Arc<Place>> {
        let cluster = self.cluster()?;
        let mut address = Address::announced(name)?;
        if address.host.is_empty() {
            address.host.clone_from(&by.address().host);
        }
        Some(self.node(cluster, &address))
    }

    /// The cluster's map may be wrong.
    pub(super) fn doubt(&self) {
        if let Some(cluster) = self.cluster() {
            cluster.doubt();
        }
    }
}
