//! A cluster of three masters with a replica each.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::contents::Garbage;
use super::resp::Reply;
use super::{Kind, LOOK, Options, Redis, free_port, wait_until};

/// After so many looks a failover is asked for again: on a busy machine the servers give one up after five seconds.
const GIVEN_UP: u128 = 6_000 / LOOK.as_millis();

/// The number of hash slots.
const SLOTS: u16 = 16_384;
const MASTERS: usize = 3;

/// A node is down when it has been silent for three seconds, so that a busy machine does not look like a failure.
const CLUSTER: &str = "cluster-enabled yes\ncluster-config-file nodes.conf\ncluster-node-timeout 3000\n\
                       cluster-replica-validity-factor 0\ncluster-allow-replica-migration no\n\
                       repl-diskless-sync yes\nrepl-diskless-sync-delay 0\n";

pub(crate) struct Cluster {
    nodes: Vec<Redis>,
}

impl Cluster {
    pub(crate) fn six() -> Self {
        Self::of(&Options::default())
    }

    /// Every node with these options.
    pub(crate) fn of(options: &Options) -> Self {
        let (mut nodes, mut buses) = (Vec::new(), Vec::new());
        for _ in 0..2 * MASTERS {
            let bus = free_port();
            let lines = format!("{CLUSTER}cluster-port {bus}\n");
            nodes.push(Redis::start_with(Kind::Server, options.clone(), &lines));
            buses.push(bus);
        }
        let cluster = Self { nodes };
        cluster.join(&buses);
        cluster
    }

    fn join(&self, buses: &[u16]) {
        let is_done = |reply: Reply| assert_eq!(reply, Reply::Text("OK".to_owned()));
        for (number, node) in self.nodes.iter().enumerate() {
            let epoch = (number + 1).to_string();
            is_done(node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]));
        }
        for (node, bus) in self.nodes.iter().zip(buses) {
            let (port, bus) = (node.port.to_string(), bus.to_string());
            is_done(self.nodes[0].command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]));
        }
        let (masters, replicas) = self.nodes.split_at(MASTERS);
        let third = usize::from(SLOTS) / MASTERS;
        for (number, master) in masters.iter().enumerate() {
            let last = if number + 1 == MASTERS {
                usize::from(SLOTS)
            } else {
                (number + 1) * third
            };
            let (first, last) = ((number * third).to_string(), (last - 1).to_string());
            is_done(master.command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]));
        }
        for (master, replica) in masters.iter().zip(replicas) {
            let id = master.command(&["CLUSTER", "MYID"]).text();
            let follows = || {
                let reply = replica.look(&["CLUSTER", "REPLICATE", &id]);
                reply.is_some_and(|reply| reply.text() == "OK") // an error until it knows the master
            };
            wait_until(follows, || self.state());
        }
        self.wait();
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Redis::address).collect()
    }

    pub(crate) fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// The slot of a key.
    pub(crate) fn slot(&self, key: &[u8]) -> u16 {
        let running = self.nodes.iter().find(|node| node.is_running());
        let node = running.expect("a node runs");
        let reply = node.command(&[b"CLUSTER", &b"KEYSLOT"[..], key]);
        reply.text().parse().expect("a slot")
    }

    /// The running master of a slot, as all running nodes say. Waits until it exists.
    #[track_caller]
    pub(crate) fn master_of(&self, slot: u16) -> &Redis {
        wait_until(|| self.agreed(slot).is_some(), || self.state());
        self.agreed(slot).unwrap_or_else(|| self.master_of(slot))
    }

    /// Kills the master of a slot and returns it. Its replica needs at least three seconds to take its place.
    #[track_caller]
    pub(crate) fn kill(&self, slot: u16) -> &Redis {
        let master = self.master_of(slot);
        master.kill();
        master
    }

    /// Waits until each running node says that the cluster serves all slots, and each running replica has its master's data.
    #[track_caller]
    pub(crate) fn wait(&self) {
        wait_until(|| self.is_complete(), || self.state());
    }

    /// Makes the replica of a slot its master while both run, and waits until all nodes say so.
    #[track_caller]
    pub(crate) fn failover(&self, slot: u16) {
        let old = self.master_of(slot).port;
        let id = self.master_of(slot).command(&["CLUSTER", "MYID"]).text();
        let is_its_replica = |node: &&Redis| {
            let answer = node.look(&["CLUSTER", "NODES"]);
            let nodes = answer.map_or(String::new(), |answer| answer.text());
            let mut own = nodes.lines().filter(|line| line.contains("myself"));
            own.any(|line| line.split(' ').nth(3) == Some(&id))
        };
        let mut running = self.nodes.iter().filter(|node| node.is_running());
        let replica = running
            .find(is_its_replica)
            .expect("the slot has a replica");
        let looks = Cell::new(0_u128);
        let has_moved = || {
            let looked = looks.replace(looks.get() + 1);
            if looked.is_multiple_of(GIVEN_UP) {
                // Refused by one that is the master already.
                let _ = replica.look(&["CLUSTER", "FAILOVER"]);
            }
            self.agreed(slot).is_some_and(|master| master.port != old)
        };
        wait_until(has_moved, || self.state());
    }

    fn agreed(&self, slot: u16) -> Option<&Redis> {
        let running: Vec<_> = self.running().collect();
        let named: Vec<_> = running.iter().map(|node| named_by(node, slot)).collect();
        let port = (*named.first()?)?;
        let all = named.iter().all(|named| *named == Some(port));
        let mut running = running.into_iter().filter(|_| all);
        running.find(|node| node.port == port && node.info("role") == "master")
    }

    fn running(&self) -> impl Iterator<Item = &Redis> {
        self.nodes.iter().filter(|node| node.is_running())
    }

    fn is_complete(&self) -> bool {
        self.running().all(|node| {
            let state = node.look(&["CLUSTER", "INFO"]);
            let state = state.map_or(String::new(), |state| state.text());
            state.contains("cluster_state:ok")
                && state.contains(&format!("cluster_slots_ok:{SLOTS}"))
                && state.contains(&format!("cluster_known_nodes:{}", self.nodes.len()))
                && (node.info("role") == "master" || node.info("master_link_status") == "up")
        }) && self.masters().count() == MASTERS
    }

    /// The running masters.
    fn masters(&self) -> impl Iterator<Item = &Redis> {
        self.running().filter(|node| node.info("role") == "master")
    }

    fn state(&self) -> String {
        let nodes = self.running().map(|node| {
            let state = node.look(&["CLUSTER", "NODES"]);
            format!(
                "{}:\n{}",
                node.port,
                state.map_or(String::new(), |s| s.text())
            )
        });
        nodes.collect()
    }

    /// Sends a command to the master of the key's slot.
    #[track_caller]
    pub(crate) fn command<W: AsRef<[u8]>>(&self, key: &[u8], words: &[W]) -> Reply {
        self.master_of(self.slot(key)).command(words)
    }

    pub(crate) fn keys(&self) -> Vec<Vec<u8>> {
        self.masters().flat_map(Redis::keys).collect()
    }

    /// Every key with its strings.
    pub(crate) fn dump(&self) -> BTreeMap<Vec<u8>, Vec<Vec<u8>>> {
        self.masters().flat_map(Redis::dump).collect()
    }

    pub(crate) fn garbage(&self, pattern: &str, by: Garbage) -> usize {
        let replaced = self.masters().map(|master| master.garbage(pattern, by));
        replaced.sum()
    }
}

/// The port of a slot's master as this node says.
fn named_by(node: &Redis, slot: u16) -> Option<u16> {
    let ranges = node.look(&["CLUSTER", "SLOTS"])?.items();
    ranges.into_iter().find_map(|range| {
        let range = range.items();
        let bound = |index: usize| range.get(index)?.text().parse::<u16>().ok();
        if !(bound(0)?..=bound(1)?).contains(&slot) {
            return None;
        }
        let master = range.get(2)?.clone().items();
        master.get(1)?.text().parse().ok()
    })
}
