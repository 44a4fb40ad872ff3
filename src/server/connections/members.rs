//! The connections by network, and the order in which they are closed.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use crate::network::Network;
use crate::server::peer::{Held, Peer, has_room};
use crate::server::session::Session;
use crate::server::settings::Settings;
use crate::server::watch::{Phase, Wait};

/// The fraction of a network's connections that is closed at once, because the search examines each connection.
const NETWORKS_BATCH: usize = 16;
/// The fraction of all places that counts as few: a network with no more than that is not preferred for closing.
const FEW: usize = 256;

/// The limits on connections.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// Of all peers together.
    pub all: usize,
    /// Of one peer.
    pub per_peer: usize,
    pub proxies: Vec<IpNet>,
}

#[derive(Debug)]
pub(super) struct Members {
    pub(super) places: Places,
    /// Places taken, including those of connections that were told to close.
    pub(super) taken: usize,
    pub(super) next: u64,
    /// The connections of each network; `None` is the group of all proxies.
    pub(super) groups: BTreeMap<Option<Network>, Group>,
}

/// The connections of one network, except those that were told to close.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) held: Arc<Held>,
    pub(super) members: BTreeMap<u64, (Peer, Arc<Session>)>,
    /// The number of connections of each peer; a network has at most 256 peers.
    peers: Vec<(Peer, usize)>,
}

impl Group {
    pub(super) fn enter(&mut self, number: u64, peer: Peer, session: Arc<Session>) {
        self.members.insert(number, (peer, session));
        match self.peers.iter_mut().find(|(of, _)| *of == peer) {
            Some((_, count)) => *count += 1,
            None => self.peers.push((peer, 1)),
        }
    }

    pub(super) fn leave(&mut self, number: u64) -> Option<Arc<Session>> {
        let (peer, session) = self.members.remove(&number)?;
        if let Some(at) = self.peers.iter().position(|(of, _)| *of == peer)
            && let Some((_, count)) = self.peers.get_mut(at)
        {
            *count -= 1;
            if *count == 0 {
                self.peers.swap_remove(at);
            }
        }
        Some(session)
    }

    pub(super) fn of_peer(&self, peer: Peer) -> usize {
        let found = self.peers.iter().find(|(of, _)| *of == peer);
        found.map_or(0, |(_, count)| *count)
    }
}

impl Places {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            all: settings.connections,
            per_peer: settings.connections_per_peer,
            proxies: settings.trusted_proxies.clone(),
        }
    }

    /// Whether the network has room for another connection of this peer, if necessary after closing some of its own.
    pub(super) fn make_room(&self, group: &mut Group, peer: Peer, taken: usize) -> bool {
        // If one peer may have all places, shares are disabled by configuration.
        if self.per_peer >= self.all {
            return true;
        }
        let own = group.members.len();
        let of = if group.of_peer(peer) >= self.per_peer {
            Some(peer)
        } else if own >= self.few() && !has_room(own, taken, self.all) {
            None
        } else {
            return true;
        };
        let most = (own.min(self.per_peer) / NETWORKS_BATCH).max(1);
        let found = spare(std::iter::once(group), most, 0, |its, _, phase| {
            of.is_none_or(|of| of == its) && !phase.is_within_request()
        });
        found > 0
    }

    pub(super) fn few(&self) -> usize {
        (self.all / FEW).max(1)
    }
}

/// A connection that can be closed, ordered by precedence.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// Whether its network has no more than a few connections, or it belongs to a proxy.
    is_of_few: bool,
    wait: Wait,
    group: usize,
    number: u64,
}

/// Tells at most `most` of the connections for which `may` is true to close: first those of networks with more than
/// `few`, among them the most dispensable. They no longer count for their network. Returns their number.
pub(super) fn spare<'m>(
    groups: impl Iterator<Item = &'m mut Group>,
    most: usize,
    few: usize,
    may: impl Fn(Peer, &Session, Phase) -> bool,
) -> usize {
    let mut groups: Vec<_> = groups.collect();
    let mut found: Vec<Candidate> = Vec::new();
    for (at, group) in groups.iter().enumerate() {
        let has_few = group.members.len() <= few;
        for (number, (peer, session)) in &group.members {
            if let Some(wait) = session.watch.spare()
                && may(*peer, session, wait.phase)
            {
                found.push(Candidate {
                    is_of_few: has_few || *peer == Peer::Proxy,
                    wait,
                    group: at,
                    number: *number,
                });
            }
        }
    }
    if found.len() > most {
        found.select_nth_unstable(most);
        found.truncate(most);
    }
    for one in &found {
        let group = groups.get_mut(one.group);
        if let Some(session) = group.and_then(|group| group.leave(one.number)) {
            session.give_way(one.wait.phase);
        }
    }
    found.len()
}
