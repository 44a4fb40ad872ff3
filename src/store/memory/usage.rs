//! How much room sign-ins and codes take, whose it is, and how much there may be.
//!
//! A record counts as one for each begun [`UNIT`] bytes: the client's state and the upstream's code are kept as they came, and
//! long ones must not cost more memory than the capacity promises.
//!
//! A new sign-in is refused at the capacity, at a client's share of it, at a network's, and when a network begins too many a
//! second. Codes count against the capacity and the network's share, and are refused only at [`WITH_CODES`] times either: the
//! sign-in that they complete was let in when it began, and a flood of other requests must not undo it. That is more than
//! sign-ins need, with codes of a kilobyte each, because a code lives for a third of the time of a sign-in.

use std::hash::BuildHasher as _;
use std::time::Duration;

use foldhash::quality::RandomState;

use super::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use super::sync::{DashMap, SHARDS};
use crate::clock::Timestamp;
use crate::network::Network;
use crate::oauth::Digest;
use crate::store::settings::{Limit, Settings};

/// Bytes of a record that count as one.
const UNIT: usize = 256;

/// How many times the capacity, and a network's share of it, there may be together with the codes.
const WITH_CODES: usize = 3;

/// How many seconds' worth of sign-ins a network may begin at once: a class of students, an office in the morning.
const BURST: Duration = Duration::from_secs(10);

/// As how many records one of that many bytes counts.
pub(super) fn weight(bytes: usize) -> usize {
    1 + bytes.saturating_sub(1) / UNIT
}

/// Four bytes of a keyed hash of a network, or zero. Networks that meet in one name, by chance only, share one share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct NetworkName(u32);

impl NetworkName {
    /// The name of sign-ins whose network is not known: they have no share.
    const NONE: Self = Self(0);
}

/// The room that a record takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) weight: usize,
    /// `None`: it counts for no client.
    pub(super) client: Option<Digest>,
    pub(super) network: NetworkName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Holder {
    Client(Digest),
    Network(NetworkName),
}

/// What one holder has.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    weight: usize,
    /// Of a network: when as many sign-ins as have begun would have begun at the rate that is allowed, in microseconds (the
    /// generic cell rate algorithm: one number says how much of the burst is used up).
    due: u64,
}

/// What a new record would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// How many there may be.
    Limit(Limit),
    /// How many sign-ins a network may begin a second; the next one after that time.
    Rate(Duration),
}

pub(super) struct Usage {
    /// Weights of all sign-ins and codes.
    total: AtomicUsize,
    shares: DashMap<Holder, Share, RandomState>,
    names: RandomState,
}

/// What [`crate::store::Statistics`] tells besides how long the tables are.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) unfollowed: AtomicUsize,
    pub(super) tombstones: AtomicUsize,
    pub(super) refused: AtomicU64,
    pub(super) evicted: AtomicU64,
}

impl Usage {
    pub(super) fn new() -> Self {
        Self {
            total: AtomicUsize::new(0),
            shares: DashMap::with_hasher_and_shard_amount(RandomState::default(), SHARDS),
            names: RandomState::default(),
        }
    }

    pub(super) fn name(&self, network: Option<Network>) -> NetworkName {
        network.map_or(NetworkName::NONE, |network| {
            let [_, _, _, _, hash @ ..] = self.names.hash_one(network.as_bytes()).to_be_bytes();
            NetworkName(u32::from_be_bytes(hash).max(1))
        })
    }

    /// Counts a new sign-in, before it is there: whatever drops a record must find it counted.
    pub(super) fn begin(&self, room: Room, settings: &Settings, now: Timestamp) -> Result<(), Met> {
        let interval = 1_000_000 / u64::from(settings.network_rate.max(1));
        self.add(room, 1, settings, interval, now)
    }

    /// Counts a new code of a sign-in that was let in.
    pub(super) fn add_code(
        &self,
        room: Room,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<(), Met> {
        self.add(room, WITH_CODES, settings, 0, now)
    }

    /// A record is gone, or was not added.
    pub(super) fn remove(&self, room: Room) {
        self.total.fetch_sub(room.weight, Ordering::Relaxed);
        self.leave(Holder::Network(room.network), room.weight, 0);
        if let Some(client) = room.client {
            self.leave(Holder::Client(client), room.weight, 0);
        }
    }

    /// Gives memory back after a flood of clients and networks.
    pub(super) fn shrink(&self) {
        if self.shares.capacity() > 4096 && self.holders() < self.shares.capacity() / 16 {
            self.shares.shrink_to_fit();
        }
    }

    /// Memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.shares.capacity() * 8 / 7 * (size_of::<(Holder, Share)>() + 1)
    }

    /// How many clients and networks have records.
    pub(super) fn holders(&self) -> usize {
        self.shares.len()
    }

    /// Counts a record, unless there are too many: so many `times` the capacity, and a network's share of it.
    fn add(
        &self,
        room: Room,
        times: usize,
        settings: &Settings,
        interval: u64,
        now: Timestamp,
    ) -> Result<(), Met> {
        let Room {
            weight, network, ..
        } = room;
        let now = now.as_millis().saturating_mul(1000);
        let network = Holder::Network(network);
        let share = settings.network_share().saturating_mul(times);
        // Before anything is evicted for it: a network that begins too many must not drive out others.
        self.join(network, weight, share, interval, now)?;
        let capacity = settings.capacity.saturating_mul(times);
        // The last record may be a heavy one: room for it alone would be asked for in vain again and again.
        let more = |total| (total < capacity).then_some(total + weight);
        let total = &self.total;
        let relaxed = Ordering::Relaxed;
        if total.fetch_update(relaxed, relaxed, more).is_err() {
            self.leave(network, weight, interval);
            return Err(Met::Limit(Limit::Capacity));
        }
        let share = settings.client_share();
        let join = |client| self.join(Holder::Client(client), weight, share, 0, now);
        room.client.map_or(Ok(()), join).inspect_err(|_| {
            total.fetch_sub(weight, Ordering::Relaxed);
            self.leave(network, weight, interval);
        })
    }

    /// One more record of a holder. `interval`: the time between two sign-ins of a network, in microseconds, as `now` is.
    fn join(
        &self,
        holder: Holder,
        weight: usize,
        share: usize,
        interval: u64,
        now: u64,
    ) -> Result<(), Met> {
        if holder == Holder::Network(NetworkName::NONE) {
            return Ok(());
        }
        let mut has = self.shares.entry(holder).or_default();
        let due = has.due.max(now).saturating_add(interval);
        let met = match due.saturating_sub(now.saturating_add(micros(BURST))) {
            0 if has.weight < share => {
                has.weight += weight;
                has.due = due;
                return Ok(());
            }
            0 => Met::Limit(match holder {
                Holder::Client(_) => Limit::Client,
                Holder::Network(_) => Limit::Network,
            }),
            early => Met::Rate(Duration::from_micros(early)),
        };
        drop(has);
        // A holder that was refused its first record is not remembered.
        self.leave(holder, 0, 0);
        Err(met)
    }

    /// A holder without records is forgotten.
    fn leave(&self, holder: Holder, weight: usize, interval: u64) {
        self.shares.remove_if_mut(&holder, |_, has| {
            has.weight = has.weight.saturating_sub(weight);
            has.due = has.due.saturating_sub(interval);
            has.weight == 0
        });
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
