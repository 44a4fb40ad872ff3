//! Which connections there are, by network, and which of them give way first.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use crate::network::Network;
use crate::server::peer::{Held, Peer, has_room};
use crate::server::session::Session;
use crate::server::settings::Settings;
use crate::server::watch::{Spare, Spared};

/// The share of a network's connections that gives way at once: finding them takes a look at each.
const NETWORKS_BATCH: usize = 16;
/// The share of all places that are a few: what a network has of them counts as no more than what others have.
const FEW: usize = 256;

/// How many connections there may be.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// Altogether.
    pub all: usize,
    /// Of one peer.
    pub per_peer: usize,
    /// Networks of trusted proxies.
    pub proxies: Vec<IpNet>,
}

#[derive(Debug)]
pub(super) struct Members {
    pub(super) places: Places,
    /// Places that are taken, those of connections that give way included.
    pub(super) taken: usize,
    pub(super) next: u64,
    /// Of each network; those of all proxies are one.
    pub(super) groups: BTreeMap<Option<Network>, Group>,
}

/// The connections of one network, without those that were told to give way.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) held: Arc<Held>,
    pub(super) members: BTreeMap<u64, (Peer, Arc<Session>)>,
    /// How many each peer has; there are 256 of them at most.
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
    /// As configured.
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            all: settings.connections,
            per_peer: settings.connections_per_peer,
            proxies: settings.trusted_proxies.clone(),
        }
    }

    /// Whether the network has room for another connection of that peer, after some of its own have given way.
    pub(super) fn make_room(&self, group: &mut Group, peer: Peer, taken: usize) -> bool {
        // Where one peer may have all of them, that is what was asked for.
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
        let found = spare(std::iter::once(group), most, 0, |its, _, spare| {
            of.is_none_or(|of| of == its) && !spare.is_within_request()
        });
        found > 0
    }

    pub(super) fn few(&self) -> usize {
        (self.all / FEW).max(1)
    }
}

/// A connection that may give way, in the order in which they do.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// Its network has no more than a few, or it is a proxy's.
    is_of_few: bool,
    spared: Spared,
    group: usize,
    number: u64,
}

/// Tells at most so many of those that may that they give way: first of networks that have more than a few, of them those that can
/// best be spared. They count for their network no more. How many.
pub(super) fn spare<'m>(
    groups: impl Iterator<Item = &'m mut Group>,
    most: usize,
    few: usize,
    may: impl Fn(Peer, &Session, Spare) -> bool,
) -> usize {
    let mut groups: Vec<_> = groups.collect();
    let mut found: Vec<Candidate> = Vec::new();
    for (at, group) in groups.iter().enumerate() {
        let has_few = group.members.len() <= few;
        for (number, (peer, session)) in &group.members {
            if let Some(spared) = session.spare()
                && may(*peer, session, spared.spare)
            {
                found.push(Candidate {
                    is_of_few: has_few || *peer == Peer::Proxy,
                    spared,
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
            session.give_way(one.spared.spare);
        }
    }
    found.len()
}
