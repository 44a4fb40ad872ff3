//! Limits: how many records there may be in total, for each client and for each network.
//!
//! A record counts once for each [`UNIT`] bytes or part of them. States and codes are stored unchanged, and long ones must not take
//! more memory than the capacity allows.
//!
//! A new sign-in is refused if the capacity, the share of its client or the share of its network is used up, or if the network
//! begins too many sign-ins per second. Codes count towards the capacity and the share of the network, but are refused only at
//! [`WITH_CODES`] times these: their sign-in was admitted, and a flood of other requests must not stop it. That is enough even
//! with codes of a kilobyte, because a code lives for a third of the time of a sign-in.

use std::hash::BuildHasher as _;
use std::time::Duration;

use foldhash::quality::RandomState;

use super::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use super::sync::{DashMap, SHARDS};
use crate::clock::Timestamp;
use crate::network::Network;
use crate::oauth::Digest;
use crate::store::settings::{Limit, Settings};

/// Bytes that count as one record.
const UNIT: usize = 256;

/// Sign-ins and codes together may use this many times the capacity, and the share of a network.
const WITH_CODES: usize = 3;

/// A network may begin the sign-ins of this time at once: a class of students, an office in the morning.
const BURST: Duration = Duration::from_secs(10);

/// The number of records that a record of this size counts as.
pub(super) fn weight(bytes: usize) -> usize {
    1 + bytes.saturating_sub(1) / UNIT
}

/// Four bytes of a keyed hash of a network, or zero. Networks with equal hashes have one share together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct NetworkName(u32);

impl NetworkName {
    /// Sign-ins from an unknown network, which count towards no share.
    pub(super) const NONE: Self = Self(0);
}

/// The room that a record takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) weight: usize,
    /// `None`: it counts towards no client's share.
    pub(super) client: Option<Digest>,
    pub(super) network: NetworkName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Holder {
    Client(Digest),
    Network(NetworkName),
}

/// The records of one client or network.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    weight: usize,
    /// For a network, the theoretical arrival time of the generic cell rate algorithm, in microseconds: the time at which its
    /// sign-ins would have begun at the allowed rate. It says how much of the burst is used up.
    due: u64,
}

/// The limit that a new record would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// A number of records.
    Limit(Limit),
    /// The rate of sign-ins of the network. The next one is possible after this time.
    Rate(Duration),
}

pub(super) struct Usage {
    /// The sum of the weights of all sign-ins and codes.
    total: AtomicUsize,
    shares: DashMap<Holder, Share, RandomState>,
    names: RandomState,
}

/// Counters for [`crate::store::Statistics`]; the other numbers are the lengths of tables.
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

    /// Counts a new sign-in. Call it before adding the record, because removing a record subtracts it.
    pub(super) fn begin(&self, room: Room, settings: &Settings, now: Timestamp) -> Result<(), Met> {
        let interval = 1_000_000 / u64::from(settings.network_rate.max(1));
        self.add(room, 1, settings, interval, now)
    }

    /// Counts a new code of an admitted sign-in. Call it before adding the record.
    pub(super) fn add_code(
        &self,
        room: Room,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<(), Met> {
        self.add(room, WITH_CODES, settings, 0, now)
    }

    /// Subtracts a record that was removed, or not added.
    pub(super) fn remove(&self, room: Room) {
        self.total.fetch_sub(room.weight, Ordering::Relaxed);
        self.leave(Holder::Network(room.network), room.weight, 0);
        if let Some(client) = room.client {
            self.leave(Holder::Client(client), room.weight, 0);
        }
    }

    /// Frees memory after a flood of clients and networks.
    pub(super) fn shrink(&self) {
        if self.shares.capacity() > 4096 && self.holders() < self.shares.capacity() / 16 {
            self.shares.shrink_to_fit();
        }
    }

    /// Memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.shares.capacity() * 8 / 7 * (size_of::<(Holder, Share)>() + 1)
    }

    /// The number of clients and networks that have records.
    pub(super) fn holders(&self) -> usize {
        self.shares.len()
    }

    /// Counts a record, unless it would exceed `times` the capacity or the network's share, or the client's share.
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
        // Checked first, before other sign-ins are evicted for it: a network with too many must not evict those of others.
        self.join(network, weight, share, interval, now)?;
        let capacity = settings.capacity.saturating_mul(times);
        // The last record may exceed the capacity: otherwise a heavy one would never find room.
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

    /// Counts one more record of a client or network. `interval`: the time between two sign-ins of a network. Times are in
    /// microseconds.
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
        // Do not remember a holder whose first record is refused.
        self.leave(holder, 0, 0);
        Err(met)
    }

    /// Subtracts a record of a client or network, and forgets it if it has no other.
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
