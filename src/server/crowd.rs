//! All connections, over all workers: who gets a place when few are left, and which connection gives way.
//!
//! Each [`Peer`] but a trusted proxy has at most so many places, and each [`Network`] has a share of them ([`has_room`]). Past it
//! connections of its own give way, or the new one is closed. What a network took earlier, and is more than its share by now, is
//! taken back ([`relief`]): a network that holds what it gets keeps out no other, whatever its connections wait for.
//!
//! When all places are taken, those connections are closed that can best be spared: first of networks that have more than a few, of
//! those the idle ones, longest first, then those that have sent nothing yet, then those whose head has not ended. A connection
//! whose request is being answered, or whose body is on its way, stays.
//!
//! As the places fill up, nobody may take as long as before ([`Patience`]): what holds a place by waiting loses it sooner.

mod relief;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::Notify;

use crate::clock::Timestamp;

use super::Settings;
use super::peer::{Held, Peer, has_room};
use super::session::Session;
use crate::network::Network;

/// The share of a network's connections, and of all, that give way at once: finding them takes a look at each.
const NETWORKS_BATCH: usize = 16;
const BATCH: usize = 64;
/// The share of all places that are a few: what a network has of them counts as no more than what others have.
const FEW: usize = 256;

/// What a connection waits for, in the order in which it is spared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Spare {
    /// A request, after it had one.
    Idle,
    /// Its first byte.
    Silent,
    /// The end of a head.
    Head,
    /// More of a body.
    Body,
    /// That its answer is read.
    Unread,
}

impl Spare {
    /// Such a connection gives way only where its network has more than its share.
    pub(super) fn is_within_request(self) -> bool {
        match self {
            Self::Idle | Self::Silent | Self::Head => false,
            Self::Body | Self::Unread => true,
        }
    }
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
    members: Mutex<Members>,
    /// Somebody has left.
    left: Notify,
    patience: Arc<Patience>,
}

#[derive(Debug)]
struct Members {
    places: Places,
    /// Places that are taken, those of connections that give way included.
    taken: usize,
    next: u64,
    /// Of each network; those of all proxies are one.
    groups: BTreeMap<Option<Network>, Group>,
}

/// The connections of one network, without those that were told to give way.
#[derive(Debug, Default)]
struct Group {
    held: Arc<Held>,
    members: BTreeMap<u64, (Peer, Arc<Session>)>,
    /// How many each peer has; there are 256 of them at most.
    peers: Vec<(Peer, usize)>,
}

impl Group {
    fn enter(&mut self, number: u64, peer: Peer, session: Arc<Session>) {
        self.members.insert(number, (peer, session));
        match self.peers.iter_mut().find(|(of, _)| *of == peer) {
            Some((_, count)) => *count += 1,
            None => self.peers.push((peer, 1)),
        }
    }

    fn leave(&mut self, number: u64) -> Option<Arc<Session>> {
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

    fn of_peer(&self, peer: Peer) -> usize {
        let found = self.peers.iter().find(|(of, _)| *of == peer);
        found.map_or(0, |(_, count)| *count)
    }
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

    /// Changes how many there may be. Those that are there stay until a place is needed.
    pub fn set(&self, places: Places) {
        self.members().places = places;
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
            spare(groups.values_mut(), most, few, |_, _, spare| {
                !spare.is_within_request()
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
            session.is_of(Arc::clone(&group.held));
        }
        Ok(Place {
            crowd: self.clone(),
            network,
            number,
        })
    }

    fn members(&self) -> std::sync::MutexGuard<'_, Members> {
        let members = &self.0.members;
        members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    /// As configured.
    pub fn of(settings: &Settings) -> Self {
        Self {
            all: settings.connections,
            per_peer: settings.connections_per_peer,
            proxies: settings.trusted_proxies.clone(),
        }
    }

    /// Whether the network has room for another connection of that peer, after some of its own have given way.
    fn make_room(&self, group: &mut Group, peer: Peer, taken: usize) -> bool {
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

    fn few(&self) -> usize {
        (self.all / FEW).max(1)
    }
}

/// Tells at most so many of those that may that they give way: first of networks that have more than a few, of them those that can
/// best be spared. They count for their network no more. How many.
fn spare<'m>(
    groups: impl Iterator<Item = &'m mut Group>,
    most: usize,
    few: usize,
    may: impl Fn(Peer, &Session, Spare) -> bool,
) -> usize {
    let mut groups: Vec<_> = groups.collect();
    let mut found: Vec<(bool, Spare, Timestamp, usize, u64)> = Vec::new();
    for (at, group) in groups.iter().enumerate() {
        let has_few = group.members.len() <= few;
        for (number, (peer, session)) in &group.members {
            if let Some((spare, since)) = session.spare()
                && may(*peer, session, spare)
            {
                found.push((has_few || *peer == Peer::Proxy, spare, since, at, *number));
            }
        }
    }
    if found.len() > most {
        found.select_nth_unstable(most);
        found.truncate(most);
    }
    for (_, spare, _, at, number) in &found {
        let session = groups.get_mut(*at).and_then(|group| group.leave(*number));
        if let Some(session) = session {
            session.give_way(*spare);
        }
    }
    found.len()
}

/// A place; free when it is dropped.
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
    use super::super::place::InFlight;
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

    /// Whatever its connections wait for: these never give way by themselves.
    #[test]
    fn networks_that_hold_all_they_get_leave_as_much_to_others() {
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

    /// What one holds that came first is taken back, request by request: whatever else of its network waits for its client stays.
    #[test]
    fn uploads_of_a_network_that_has_more_than_its_share_give_way_and_nothing_else_does() {
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
        assert_eq!(first.len(), 7, "as many as are free now");
        assert!(second.iter().chain(&third).all(stays));
        assert!(!gives_way(&form), "it has no place of a request");
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
