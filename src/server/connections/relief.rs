//! Takes places back from networks above their share when places become scarce. Otherwise the network that came first
//! could keep most of them, the next one half of the rest, and the tenth none.

use std::sync::atomic::Ordering;

use super::members::{Group, Members, Places, spare};
use crate::server::in_flight::InFlight;
use crate::server::peer::{level, scarce};
use crate::server::session::Session;

/// If places are scarce, closes connections of networks that have more than their share, until the share is met.
pub(super) fn relieve<'i>(
    members: &mut Members,
    in_flight: impl Iterator<Item = &'i InFlight>,
    limit: usize,
) {
    // The fewest free places of all upstreams.
    let free: Vec<_> = in_flight.map(|one| one.free(limit)).collect();
    let requests = free.iter().filter_map(|[requests, _]| *requests).min();
    let uploads = free.iter().filter_map(|[_, uploads]| *uploads).min();
    let connections = members.places.free(members.taken);
    let mut groups: Vec<_> = members
        .groups
        .iter_mut()
        .filter_map(|(network, group)| network.is_some().then_some(group))
        .collect();
    let count = |group: &Group| group.members.len();
    take_back(&mut groups, connections, count, |_| true);
    let count = |group: &Group| group.held.requests.load(Ordering::Relaxed);
    let has = |session: &Session| session.watch.held.requests.load(Ordering::Relaxed) > 0;
    take_back(&mut groups, requests, count, has);
    let count = |group: &Group| group.held.uploads.load(Ordering::Relaxed);
    let has = |session: &Session| session.watch.held.uploads.load(Ordering::Relaxed) > 0;
    take_back(&mut groups, uploads, count, has);
}

impl Places {
    /// The number of free places, if they are scarce. `None` also if peers may have all places: then networks have no
    /// share.
    fn free(&self, taken: usize) -> Option<usize> {
        let free = scarce(taken, self.all).filter(|_| self.per_peer < self.all);
        free.map(|free| free.max(self.few()))
    }
}

fn take_back(
    groups: &mut [&mut Group],
    free: Option<usize>,
    count: impl Fn(&Group) -> usize,
    has: impl Fn(&Session) -> bool,
) {
    let Some(free) = free else {
        return;
    };
    let own: Vec<_> = groups.iter().map(|group| count(group)).collect();
    let level = level(&own, free);
    for (group, own) in groups.iter_mut().zip(own) {
        // A network may take one more than the level at any time.
        if own > level + 1 {
            let group = std::iter::once(&mut **group);
            spare(group, own - level, 0, |_, session, _| has(session));
        }
    }
}
