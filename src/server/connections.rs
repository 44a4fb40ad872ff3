//! All connections of all workers: which ones are admitted when places become scarce, and which ones are closed.
//!
//! Each [`Peer`] except a trusted proxy has a maximum number of places, and each [`Network`] a share of them
//! ([`super::peer::has_room`]). Beyond it, other connections of the same peer or network are closed, or the new one is.
//! A network that took more than its present share earlier loses the difference ([`relief`]), whatever its connections
//! wait for, so it cannot keep out others.
//!
//! When all places are taken, the most dispensable connections are closed: first those of networks that have more than
//! a few; among them the idle ones, longest first, then those that have sent nothing yet, then those with an incomplete
//! head. A connection whose request is being answered, or whose body is being received, is kept.
//!
//! As places become scarce, all time limits become shorter ([`Patience`]), so that waiting connections are closed
//! sooner.

mod members;
mod relief;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::in_flight::InFlight;
use super::peer::Peer;
use super::session::Session;
use super::time_limits::Patience;
use crate::network::Network;
pub(crate) use members::Places;
use members::{Members, spare};

/// The fraction of all connections that is closed at once, because the search examines each connection.
const BATCH: usize = 64;

/// All connections. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Crowd(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    members: Mutex<Members>,
    /// Notified when a connection has ended.
    left: Notify,
    patience: Arc<Patience>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// The peer's share is used up, and none of its connections can be closed.
    Peer,
    /// All places are taken. Connections that can be closed have been told to.
    All,
}

impl Crowd {
    pub(crate) fn new(places: Places) -> Self {
        let members = Members {
            places,
            taken: 0,
            next: 0,
            groups: BTreeMap::new(),
        };
        Self(Arc::new(Inner {
            members: Mutex::new(members),
            left: Notify::new(),
            patience: Arc::default(),
        }))
    }

    /// Changes the limits. Existing connections stay until a place is needed.
    pub(crate) fn set(&self, places: Places) {
        self.members().places = places;
    }

    /// The factor by which time limits are shortened.
    pub(super) fn patience(&self) -> Arc<Patience> {
        Arc::clone(&self.0.patience)
    }

    /// Takes a place for a connection from this address. Waits if all are taken. `None`: the peer's share is used up.
    pub(super) async fn place(&self, address: IpAddr, session: &Arc<Session>) -> Option<Place> {
        loop {
            let mut left = std::pin::pin!(self.0.left.notified());
            // Enabled before the attempt, so that no notification is missed.
            left.as_mut().enable();
            match self.enter(address, session) {
                Ok(place) => return Some(place),
                Err(Full::Peer) => return None,
                Err(Full::All) => left.await,
            }
        }
    }

    fn enter(&self, address: IpAddr, session: &Arc<Session>) -> Result<Place, Full> {
        let mut members = self.members();
        let Members {
            places,
            taken,
            next,
            groups,
        } = &mut *members;
        let peer = Peer::of(address, &places.proxies);
        let network = peer.network();
        if let Some(group) = groups.get_mut(&network)
            && network.is_some()
            && !places.make_room(group, peer, *taken)
        {
            return Err(Full::Peer);
        }
        if *taken >= places.all {
            let most = (places.all / BATCH).max(1);
            let few = places.few();
            spare(groups.values_mut(), most, few, |_, _, phase| {
                !phase.is_within_request()
            });
            return Err(Full::All);
        }
        *taken += 1;
        *next += 1;
        let number = *next;
        self.0.patience.set(*taken, places.all);
        let group = groups.entry(network).or_default();
        group.enter(number, peer, Arc::clone(session));
        if network.is_some() {
            let _first = session.watch.network.set(Arc::clone(&group.held));
        }
        Ok(Place {
            crowd: self.clone(),
            network,
            number,
        })
    }

    /// If places are scarce, closes connections of networks that have more than their share and that wait for their
    /// clients, until the share is met. Called regularly. `in_flight` are the requests to each upstream, `limit` the
    /// maximum for each.
    pub(crate) fn relieve<'i>(&self, in_flight: impl Iterator<Item = &'i InFlight>, limit: usize) {
        relief::relieve(&mut self.members(), in_flight, limit);
    }

    fn members(&self) -> std::sync::MutexGuard<'_, Members> {
        let members = &self.0.members;
        members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place for one connection; given back on drop.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Crowd,
    network: Option<Network>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut members = self.crowd.members();
        members.taken -= 1;
        if let Some(group) = members.groups.get_mut(&self.network) {
            drop(group.leave(self.number));
            if group.members.is_empty() {
                members.groups.remove(&self.network);
            }
        }
        let inner = &self.crowd.0;
        inner.patience.set(members.taken, members.places.all);
        drop(members);
        inner.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::super::in_flight::InFlight;
    use super::super::watch::Watch;
    use super::*;
    use crate::clock::{Clock, ManualClock};
    use std::time::Duration;

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

        /// A new connection that sends nothing, one second after the one before.
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
    fn the_longest_idle_connection_is_closed_first_and_an_answered_one_never() {
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
            assert_eq!(
                refused.err(),
                Some(Full::All),
                "it waits until a connection has ended"
            );
            assert!(gives_way(next), "{number}");
        }
        assert_eq!(room.comes("192.0.2.6").2.err(), Some(Full::All));
        assert!(!gives_way(&answered));
        assert_eq!(
            room.taken(),
            5,
            "a place is taken until its connection has ended"
        );
        drop(idle);
        assert!(room.comes("192.0.2.6").2.is_ok());
    }

    #[test]
    fn a_connection_told_to_close_stays_if_a_request_has_begun() {
        let room = Room::new(1, 1);
        let guest = room.comes("192.0.2.1");
        is_idle(&guest);
        assert_eq!(room.comes("192.0.2.2").2.err(), Some(Full::All));
        guest.0.request_begins();
        assert!(!gives_way(&guest));
    }

    #[test]
    fn a_peer_above_its_share_loses_only_its_own_connections() {
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

    /// Whatever the connections wait for; these do not end by themselves.
    #[test]
    fn networks_that_take_all_they_can_leave_a_share_to_others() {
        let steps: [fn(&Watch); 3] = [
            |_| {},
            Watch::has_bytes,
            |watch| {
                watch.request_begins();
                watch.waits_for_body();
            },
        ];
        for step in steps {
            let room = Room::new(90, 50);
            let mut guests: Vec<Guest> = Vec::new();
            for _ in 0..9 {
                for network in 1..=8 {
                    for host in 0..60 {
                        let guest = room.comes(&format!("192.0.{network}.{host}"));
                        step(&guest.0);
                        guests.extend(guest.2.is_ok().then_some(guest));
                        guests.retain(|guest| !gives_way(guest));
                    }
                }
                room.crowd.relieve(std::iter::empty(), 1);
                guests.retain(|guest| !gives_way(guest));
            }
            let comes = |other| room.comes(&format!("192.0.{other}.1"));
            let others: Vec<_> = (100..105).map(comes).collect();
            room.crowd.relieve(std::iter::empty(), 1);
            let is_in = |guest: &Guest| guest.2.is_ok() && !gives_way(guest);
            assert!(others.iter().all(is_in), "{} are taken", room.taken());
        }
    }

    /// What the first network holds is taken back, upload by upload; other connections of it that wait for their
    /// clients stay.
    #[test]
    fn only_uploads_of_a_network_above_its_share_are_closed() {
        let (room, in_flight) = (Room::new(100, 90), InFlight::default());
        let upload = |address: &str| {
            let guest = room.comes(address);
            guest.0.request_begins();
            let places = in_flight.enter_upload(48, &guest.0);
            guest.0.waits_for_body();
            (guest, places)
        };
        let of = |address, count| (0..count).map(|_| upload(address)).collect::<Vec<_>>();
        let mut first = of("192.0.2.1", 12);
        let form = room.comes("192.0.2.1");
        form.0.request_begins();
        form.0.waits_for_body();
        let (second, third) = (of("198.51.100.1", 7), of("203.0.113.1", 3));
        let all = first.iter().chain(&second).chain(&third);
        assert!(all.clone().all(|(_, places)| places.is_some()));
        let stays = |(guest, _): &(Guest, _)| !gives_way(guest);
        for _ in 0..3 {
            room.crowd.relieve(std::iter::once(&in_flight), 48);
            first.retain(stays);
        }
        assert_eq!(first.len(), 7, "as many as are free by then");
        assert!(second.iter().chain(&third).all(stays));
        assert!(!gives_way(&form), "it holds no place of a request");
        let proxy = of("10.0.0.1", 6);
        room.crowd.relieve(std::iter::once(&in_flight), 48);
        assert!(proxy.iter().all(stays));
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
    fn time_limits_shrink_when_more_than_three_quarters_of_the_places_are_taken() {
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
        fn every_place_is_counted_and_given_back(steps in prop::collection::vec((0u8..6, 0u8..4), 1..60)) {
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
                    // Like a connection that was told to close.
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
