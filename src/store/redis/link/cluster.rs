//! Which node of a cluster is responsible for which hash slots.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::task::JoinSet;

use crate::clock::Clock;

use super::breaker::Breaker;
use super::connection::lock;
use super::failed::Failed;
use super::place::Place;
use super::target::Address;
use super::value::Value;

/// The shortest time between two readings of the map.
const READINGS: Duration = Duration::from_millis(50);

/// The masters by hash slot, and all nodes.
#[derive(Debug, Default)]
pub(super) struct Map {
    /// Sorted by the first slot.
    ranges: Vec<Range>,
    nodes: Vec<Address>,
}

#[derive(Debug)]
struct Range {
    first: i64,
    last: i64,
    master: Address,
}

impl Map {
    /// The master of a slot.
    pub(super) fn master(&self, slot: u16) -> Option<&Address> {
        let slot = i64::from(slot);
        let at = self.ranges.partition_point(|range| range.first <= slot);
        let range = self.ranges.get(at.checked_sub(1)?)?;
        (slot <= range.last).then_some(&range.master)
    }

    /// All masters, each once.
    pub(super) fn masters(&self) -> Vec<Address> {
        let mut masters: Vec<_> = self
            .ranges
            .iter()
            .map(|range| range.master.clone())
            .collect();
        masters.sort_unstable();
        masters.dedup();
        masters
    }

    /// Masters and replicas.
    fn nodes(&self) -> &[Address] {
        &self.nodes
    }

    /// Whether every slot has a master.
    pub(super) fn is_complete(&self) -> bool {
        let mut next = 0;
        self.ranges.iter().all(|range| {
            let follows = range.first == next;
            next = range.last + 1;
            follows
        }) && next == i64::from(super::command::SLOTS)
    }

    /// Reads the answer to `CLUSTER SLOTS`: `[first, last, [host, port, ..] of the master, [host, port, ..] of each replica ..]`
    /// for each range. A node that does not know its own host name is at `asked`. `None` if no slot has a master.
    fn read(answer: &Value, asked: &Address) -> Option<Self> {
        let mut map = Self::default();
        for range in answer.list() {
            let [first, last, nodes @ ..] = range.list() else {
                return None;
            };
            let mut nodes = nodes.iter().map(|node| node_address(node, asked));
            let master = nodes.next()??;
            map.nodes.push(master.clone());
            map.nodes.extend(nodes.flatten());
            map.ranges.push(Range {
                first: first.number()?,
                last: last.number()?,
                master,
            });
        }
        map.ranges.sort_by_key(|range| range.first);
        map.nodes.sort_unstable();
        map.nodes.dedup();
        (!map.ranges.is_empty()).then_some(map)
    }
}

fn node_address(node: &Value, asked: &Address) -> Option<Address> {
    let [host, port, ..] = node.list() else {
        return None;
    };
    let port = u16::try_from(port.number()?).ok()?;
    let host = match host.text() {
        Some("?") => return None,
        Some("") | None => asked.host.clone(),
        Some(host) => host.to_owned(),
    };
    Some(Address { host, port })
}

/// What all workers know about a cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    clock: Clock,
    seeds: Vec<Address>,
    map: ArcSwap<Map>,
    breakers: Mutex<HashMap<Address, Arc<Breaker>>>,
    is_stale: AtomicBool,
    /// When the map was last asked for, in milliseconds.
    asked_at: AtomicU64,
    reading: tokio::sync::Mutex<()>,
}

impl Cluster {
    pub(super) fn new(seeds: Vec<Address>, clock: Clock) -> Self {
        Self {
            clock,
            seeds,
            map: ArcSwap::default(),
            breakers: Mutex::default(),
            is_stale: AtomicBool::new(true),
            asked_at: AtomicU64::new(0),
            reading: tokio::sync::Mutex::new(()),
        }
    }

    pub(super) fn map(&self) -> Arc<Map> {
        self.map.load_full()
    }

    /// A node failed, or said that another is responsible: the map is read again soon.
    pub(super) fn doubt(&self) {
        self.is_stale.store(true, Ordering::Relaxed);
    }

    pub(super) fn breaker(&self, of: &Address) -> Arc<Breaker> {
        let mut breakers = lock(&self.breakers);
        let new = || Arc::new(Breaker::new(self.clock.clone()));
        Arc::clone(breakers.entry(of.clone()).or_insert_with(new))
    }

    fn is_open(&self, of: &Address) -> bool {
        let breakers = lock(&self.breakers);
        breakers.get(of).is_some_and(|breaker| breaker.is_open())
    }

    /// Whether every slot has a master, and every master has answered and has a closed breaker.
    pub(super) fn is_reachable(&self) -> bool {
        let map = self.map();
        let answers = |master: &Address| self.breaker(master).is_reachable();
        map.is_complete() && map.masters().iter().all(answers)
    }

    /// If a master misses replicas: how many were connected to it at the last probe.
    pub(super) fn missing_replicas(&self) -> Option<u32> {
        let masters = self.map().masters();
        let mut missing = masters.iter().map(|of| self.breaker(of).replicas.missing());
        missing.find_map(|missing| missing)
    }

    /// The map; reads it if it is in doubt. One caller at a time reads it, and the others use the map as it is. While a master
    /// does not answer, it is read often, to find the master's successor.
    pub(super) async fn current(
        &self,
        place: impl Fn(&Address) -> Arc<Place>,
    ) -> Result<Arc<Map>, Failed> {
        let map = self.map();
        let is_empty = map.ranges.is_empty();
        let now = self.clock.now().as_millis();
        let since = now.saturating_sub(self.asked_at.load(Ordering::Relaxed));
        let is_due = is_empty || u128::from(since) >= READINGS.as_millis();
        let has_failed = || map.masters().iter().any(|master| self.is_open(master));
        if !is_due || !(self.is_stale.load(Ordering::Relaxed) || has_failed()) {
            return Ok(map);
        }
        let _reading = if is_empty {
            let reading = self.reading.lock().await;
            let map = self.map();
            if !map.ranges.is_empty() {
                return Ok(map);
            }
            reading
        } else {
            match self.reading.try_lock() {
                Ok(reading) => reading,
                Err(_) => return Ok(map),
            }
        };
        self.asked_at.store(now, Ordering::Relaxed);
        match self.read(&map, place).await {
            Ok(read) => {
                let read = Arc::new(read);
                self.map.store(Arc::clone(&read));
                self.is_stale.store(false, Ordering::Relaxed);
                Ok(read)
            }
            Err(failed) if is_empty => Err(failed),
            Err(_) => Ok(map),
        }
    }

    /// Asks all nodes at once, except those that do not answer; the first answer counts.
    async fn read(
        &self,
        known: &Map,
        place: impl Fn(&Address) -> Arc<Place>,
    ) -> Result<Map, Failed> {
        let is_seed = |seed: &&Address| !known.nodes().contains(seed);
        let all = || {
            known
                .nodes()
                .iter()
                .chain(self.seeds.iter().filter(is_seed))
        };
        let mut asked: Vec<_> = all().filter(|node| !self.is_open(node)).collect();
        if asked.is_empty() {
            asked = all().collect();
        }
        let mut answers = JoinSet::new();
        for node in asked {
            let (place, node) = (place(node), node.clone());
            answers.spawn(async move {
                let connection = place.connection().await?;
                let answer = connection.ask_for("CLUSTER", &["SLOTS"]).await;
                if answer.as_ref().is_err_and(Failed::is_outage) {
                    place.leave(&connection);
                }
                Ok(Map::read(&answer?, &node))
            });
        }
        let mut failed = Failed::Unreachable;
        while let Some(answer) = answers.join_next().await {
            match answer {
                Ok(Ok(Some(map))) => return Ok(map),
                Ok(Err(why)) => failed = why,
                Ok(Ok(None)) | Err(_) => {}
            }
        }
        Err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(host: &str, port: i64) -> Value {
        let host = Value::Bytes(host.as_bytes().to_vec());
        Value::List(vec![host, Value::Int(port), Value::Nil])
    }

    fn range(first: i64, last: i64, nodes: Vec<Value>) -> Value {
        let slots = vec![Value::Int(first), Value::Int(last)];
        Value::List([slots, nodes].concat())
    }

    fn at(host: &str, port: u16) -> Address {
        let host = host.to_owned();
        Address { host, port }
    }

    #[test]
    fn the_map_names_the_master_of_each_slot() {
        let answer = Value::List(vec![
            range(8000, 16383, vec![node("", 2), node("c", 3)]),
            range(0, 7999, vec![node("a", 1)]),
        ]);
        let map = Map::read(&answer, &at("seed", 9)).unwrap();
        assert_eq!(map.master(7999), Some(&at("a", 1)));
        assert_eq!(map.master(8000), Some(&at("seed", 2)));
        assert_eq!(map.nodes(), [at("a", 1), at("c", 3), at("seed", 2)]);
        assert!(map.is_complete());
    }

    #[test]
    fn a_slot_without_a_master_makes_the_map_incomplete() {
        let answer = Value::List(vec![range(1, 16383, vec![node("a", 1)])]);
        let map = Map::read(&answer, &at("seed", 9)).unwrap();
        assert_eq!(map.master(0), None);
        assert!(!map.is_complete());
        assert!(Map::read(&Value::List(Vec::new()), &at("seed", 9)).is_none());
        assert!(Map::read(&Value::Nil, &at("seed", 9)).is_none());
    }
}
