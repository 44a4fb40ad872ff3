//! All connections, over all workers: who gets a place when few are left, and which connection gives way.
//!
//! When the places are taken, those connections are closed that can best be spared: first those that have been idle
//! longest, then those that have sent nothing yet, then those whose head has not ended. A connection whose request is being
//! answered, or whose body is on its way, stays. Each [`Peer`] but a trusted proxy has a share of the places; past it one of the peer's own connections gives way, or the new one is closed.
//!
//! As the places fill up, nobody may take as long as before ([`Patience`]): what holds a place by waiting loses it sooner.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::Notify;

use crate::clock::Timestamp;

use super::peer::Peer;
use super::session::Session;

/// The share of a peer's connections, and of all, that give way at once: finding them takes a look at each.
const PEERS_BATCH: usize = 16;
const BATCH: usize = 64;

/// What a connection waits for, in the order in which it is spared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Spare {
    /// A request, after it had one.
    Idle,
    /// Its first byte.
    Silent,
    /// The end of a head.
    Head,
}

/// How many connections there may be.
#[derive(Debug, Clone)]
pub struct Places {
    /// Altogether.
    pub all: usize,
    /// Of one peer.
    pub per_peer: usize,
    /// Networks of trusted proxies.
    pub proxies: Vec<IpNet>,
}

/// All connections. Clones are the same.
#[derive(Debug, Clone)]
pub struct Crowd(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    places: Places,
    members: Mutex<Members>,
    /// Somebody has left.
    left: Notify,
    patience: Arc<Patience>,
}

#[derive(Debug, Default)]
struct Members {
    /// Places that are taken, those of connections that give way included.
    taken: usize,
    next: u64,
    groups: HashMap<Peer, HashMap<u64, Arc<Session>>>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// The peer has its share, and none of its connections can be spared.
    Peer,
    /// All are taken. If any can be spared, it was told so.
    All,
}

impl Crowd {
    /// Nobody is there yet.
    pub fn new(places: Places) -> Self {
        Self(Arc::new(Inner {
            places,
            members: Mutex::default(),
            left: Notify::new(),
            patience: Arc::default(),
        }))
    }

    /// How much of its time a connection may take.
    pub(super) fn patience(&self) -> Arc<Patience> {
        Arc::clone(&self.0.patience)
    }

    /// Takes a place, for a connection from that address. Waits where all are taken. `None`: the peer has its share.
    pub(super) async fn place(&self, address: IpAddr, session: &Arc<Session>) -> Option<Place> {
        loop {
            let mut left = std::pin::pin!(self.0.left.notified());
            // From here on nobody leaves unnoticed.
            left.as_mut().enable();
            match self.enter(address, session) {
                Ok(place) => return Some(place),
                Err(Full::Peer) => return None,
                Err(Full::All) => left.await,
            }
        }
    }

    fn enter(&self, address: IpAddr, session: &Arc<Session>) -> Result<Place, Full> {
        let Places {
            all,
            per_peer,
            proxies,
        } = &self.0.places;
        let peer = Peer::of(address, proxies);
        let mut members = self.members();
        let has_share = peer != Peer::Proxy && per_peer < all;
        if let Some(group) = members.groups.get_mut(&peer)
            && has_share
            && group.len() >= *per_peer
        {
            let batch = (per_peer / PEERS_BATCH).max(1);
            if spare(std::iter::once(group), batch) == 0 {
                return Err(Full::Peer);
            }
        }
        if members.taken >= *all {
            spare(members.groups.values_mut(), (all / BATCH).max(1));
            return Err(Full::All);
        }
        members.taken += 1;
        members.next += 1;
        let number = members.next;
        let group = members.groups.entry(peer).or_default();
        group.insert(number, Arc::clone(session));
        self.0.patience.set(members.taken, *all);
        Ok(Place {
            crowd: self.clone(),
            peer,
            number,
        })
    }

    fn members(&self) -> std::sync::MutexGuard<'_, Members> {
        let members = &self.0.members;
        members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells at most so many that they give way, those first that can best be spared. They count for their peer no more. How many.
fn spare<'m>(
    groups: impl Iterator<Item = &'m mut HashMap<u64, Arc<Session>>>,
    most: usize,
) -> usize {
    let mut groups: Vec<_> = groups.collect();
    let mut found: Vec<(Spare, Timestamp, usize, u64)> = Vec::new();
    for (at, group) in groups.iter().enumerate() {
        for (number, session) in group.iter() {
            let spare = session.spare();
            found.extend(spare.map(|(spare, since)| (spare, since, at, *number)));
        }
    }
    if found.len() > most {
        found.select_nth_unstable(most);
        found.truncate(most);
    }
    for (_, _, at, number) in &found {
        let session = groups.get_mut(*at).and_then(|group| group.remove(number));
        if let Some(session) = session {
            session.give_way();
        }
    }
    found.len()
}

/// A place; free when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Crowd,
    peer: Peer,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut members = self.crowd.members();
        members.taken -= 1;
        if let Some(group) = members.groups.get_mut(&self.peer) {
            group.remove(&self.number);
            if group.is_empty() {
                members.groups.remove(&self.peer);
            }
        }
        let inner = &self.crowd.0;
        inner.patience.set(members.taken, inner.places.all);
        drop(members);
        inner.left.notify_one();
    }
}

/// How much of its time a connection may take: all of it while a quarter of the places is free, and less with each that is
/// taken, down to an eighth when none is left.
#[derive(Debug)]
pub struct Patience(AtomicU32);

/// All of it.
const WHOLE: u32 = 1024;
/// What is left when no place is.
const LEAST: u32 = WHOLE / 8;

impl Default for Patience {
    fn default() -> Self {
        Self(AtomicU32::new(WHOLE))
    }
}

impl Patience {
    fn set(&self, taken: usize, all: usize) {
        let calm = all - all / 4;
        let share = match taken.checked_sub(calm) {
            None => WHOLE,
            Some(over) => {
                let over = over.min(all - calm);
                let range = usize::try_from(WHOLE - LEAST).unwrap_or_default();
                let less = over * range / (all - calm).max(1);
                WHOLE - u32::try_from(less).unwrap_or_default()
            }
        };
        self.0.store(share, Ordering::Relaxed);
    }

    /// So much of a time.
    pub(super) fn of(&self, time: Duration) -> Duration {
        time.saturating_mul(self.share()) / WHOLE
    }

    /// So much of a number of milliseconds.
    pub(super) fn of_millis(&self, millis: u64) -> u64 {
        millis.saturating_mul(self.share().into()) / u64::from(WHOLE)
    }

    fn share(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::watch::Watch;
    use super::*;
    use crate::clock::{Clock, ManualClock};
    use proptest::prelude::*;
    use tokio_util::sync::CancellationToken;

    struct Room {
        crowd: Crowd,
        clock: Clock,
        hand: ManualClock,
    }

    type Guest = (Arc<Watch>, Arc<Session>, Result<Place, Full>);

    impl Room {
        fn new(all: usize, per_peer: usize) -> Self {
            let (clock, hand) = Clock::manual();
            let proxies = vec!["10.0.0.0/8".parse().unwrap()];
            let crowd = Crowd::new(Places {
                all,
                per_peer,
                proxies,
            });
            Self { crowd, clock, hand }
        }

        /// One that sends nothing yet, a second after the one before.
        fn comes(&self, address: &str) -> Guest {
            self.hand.advance(Duration::from_secs(1));
            let watch = Arc::new(Watch::new(self.clock.clone(), self.crowd.patience()));
            let settings = Arc::new(super::super::watch::testing::settings());
            let session = Session::new(Arc::clone(&watch), settings, CancellationToken::new());
            let session = Arc::new(session);
            let place = self.crowd.enter(address.parse().unwrap(), &session);
            (watch, session, place)
        }

        fn taken(&self) -> usize {
            self.crowd.members().taken
        }
    }

    fn is_idle((watch, ..): &Guest) {
        watch.request_begins();
        watch.response_ended();
    }

    fn gives_way((_, session, _): &Guest) -> bool {
        session.gives_way()
    }

    #[test]
    fn what_has_been_idle_longest_gives_way_and_what_is_answered_never_does() {
        let room = Room::new(5, 9);
        let answered = room.comes("192.0.2.1");
        answered.0.request_begins();
        let silent = room.comes("192.0.2.2");
        let idle = ["192.0.2.3", "192.0.2.4"].map(|address| {
            let guest = room.comes(address);
            is_idle(&guest);
            guest
        });
        let head = room.comes("192.0.2.5");
        head.0.has_bytes();
        for (number, next) in [&idle[0], &idle[1], &silent, &head].into_iter().enumerate() {
            assert!(!gives_way(next));
            let refused = room.comes("192.0.2.6").2;
            assert_eq!(refused.err(), Some(Full::All), "it waits until one is gone");
            assert!(gives_way(next), "{number}");
        }
        assert_eq!(room.comes("192.0.2.6").2.err(), Some(Full::All));
        assert!(!gives_way(&answered));
        assert_eq!(
            room.taken(),
            5,
            "a place is taken until its connection is gone"
        );
        drop(idle);
        assert!(room.comes("192.0.2.6").2.is_ok());
    }

    #[test]
    fn what_was_told_to_give_way_and_is_answered_by_then_stays() {
        let room = Room::new(1, 1);
        let guest = room.comes("192.0.2.1");
        is_idle(&guest);
        assert_eq!(room.comes("192.0.2.2").2.err(), Some(Full::All));
        guest.0.request_begins();
        assert!(!gives_way(&guest));
    }

    #[test]
    fn a_peer_that_has_its_share_takes_from_itself_alone() {
        let room = Room::new(100, 2);
        let other = room.comes("192.0.2.9");
        is_idle(&other);
        let own = [room.comes("192.0.2.1"), room.comes("192.0.2.1")];
        is_idle(&own[0]);
        own[1].0.request_begins();
        let third = room.comes("192.0.2.1");
        assert!(third.2.is_ok());
        assert!(gives_way(&own[0]) && !gives_way(&own[1]) && !gives_way(&other));
        third.0.request_begins();
        assert_eq!(room.comes("192.0.2.1").2.err(), Some(Full::Peer));
        assert!(room.comes("192.0.2.2").2.is_ok());
    }

    #[test]
    fn a_trusted_proxy_has_no_share() {
        let room = Room::new(100, 1);
        let busy = |address: &str| {
            let guest = room.comes(address);
            guest.0.request_begins();
            guest
        };
        let _one = busy("192.0.2.1");
        assert_eq!(busy("192.0.2.1").2.err(), Some(Full::Peer));
        let proxies = [busy("10.0.0.1"), busy("10.0.0.1"), busy("10.0.0.1")];
        assert!(proxies.iter().all(|(_, _, place)| place.is_ok()));
    }

    #[test]
    fn a_wait_has_all_of_its_time_until_three_quarters_are_taken_and_then_less() {
        let patience = Patience::default();
        let of = |taken| {
            patience.set(taken, 100);
            patience.of(Duration::from_secs(64)).as_secs()
        };
        assert_eq!((of(0), of(75)), (64, 64));
        assert!((of(76), of(90), of(99)) < (64, 40, 16));
        assert_eq!(of(100), 8);
        patience.set(4, 4);
        assert_eq!(patience.of(Duration::from_secs(64)).as_secs(), 8);
    }

    proptest! {
        #[test]
        fn places_are_counted_and_every_one_comes_back(steps in prop::collection::vec((0u8..6, 0u8..4), 1..60)) {
            let room = Room::new(6, 3);
            let mut guests: Vec<Guest> = Vec::new();
            for (action, peer) in steps {
                match action {
                    0..4 => {
                        let guest = room.comes(&format!("192.0.2.{peer}"));
                        match action {
                            0 => is_idle(&guest),
                            1 => guest.0.request_begins(),
                            2 => guest.0.has_bytes(),
                            _ => {}
                        }
                        guests.extend(guest.2.is_ok().then_some(guest));
                    }
                    4 if !guests.is_empty() => drop(guests.swap_remove(usize::from(peer) % guests.len())),
                    // As a connection does that was told.
                    _ => guests.retain(|guest| !gives_way(guest)),
                }
                prop_assert_eq!(room.taken(), guests.len());
                prop_assert!(room.taken() <= 6);
            }
            drop(guests);
            prop_assert_eq!(room.taken(), 0);
            prop_assert!(room.crowd.members().groups.is_empty());
        }
    }
}
