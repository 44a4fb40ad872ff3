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
pub(super) struct NetworkName(pub(super) u32);

impl NetworkName {
    /// The name of sign-ins whose network is not known: they have no share.
    pub(super) const NONE: Self = Self(0);
}

/// Whose room a record takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holder {
    /// `None`: it counts for no client.
    pub(super) client: Option<Digest>,
    pub(super) network: NetworkName,
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
    /// Weights of each client's sign-ins.
    clients: DashMap<Digest, usize, RandomState>,
    networks: DashMap<NetworkName, Share, RandomState>,
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

/// What one network has.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    weight: usize,
    /// When as many sign-ins as have begun would have begun at the rate that is allowed, in microseconds (the generic cell
    /// rate algorithm: one number says how much of the burst is used up).
    due: u64,
}

/// Room for one record, given back unless it is kept. It is counted before the record is there: whatever drops a record must
/// find it counted.
#[must_use = "room that is not kept is given back at once"]
pub(super) struct Room<'a> {
    usage: &'a Usage,
    holder: Holder,
    weight: usize,
    /// What the network's rate gets back, in microseconds.
    interval: u64,
}

impl Room<'_> {
    /// The record is there.
    pub(super) fn keep(mut self) {
        self.weight = 0;
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if self.weight > 0 {
            self.usage.end(self.holder, self.weight, self.interval);
        }
    }
}

impl Usage {
    pub(super) fn new() -> Self {
        Self {
            total: AtomicUsize::new(0),
            clients: DashMap::with_hasher_and_shard_amount(RandomState::default(), SHARDS),
            networks: DashMap::with_hasher_and_shard_amount(RandomState::default(), SHARDS),
            names: RandomState::default(),
        }
    }

    pub(super) fn name(&self, network: Option<Network>) -> NetworkName {
        network.map_or(NetworkName::NONE, |network| {
            let [_, _, _, _, hash @ ..] = self.names.hash_one(network.as_bytes()).to_be_bytes();
            NetworkName(u32::from_be_bytes(hash).max(1))
        })
    }

    /// Room for a new sign-in.
    pub(super) fn begin(
        &self,
        holder: Holder,
        weight: usize,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<Room<'_>, Met> {
        let interval = 1_000_000 / u64::from(settings.network_rate.max(1));
        let now = now.as_millis().saturating_mul(1000);
        // Before anything is evicted for it: a network that begins too many must not drive out others.
        self.change(holder.network, |network| {
            let due = network.due.max(now).saturating_add(interval);
            let early = due.saturating_sub(now.saturating_add(micros(BURST)));
            if early > 0 {
                return Err(Met::Rate(Duration::from_micros(early)));
            }
            network.add(weight, settings.network_share())?;
            network.due = due;
            Ok(())
        })?;
        self.count(holder, weight, 1, settings, interval)
    }

    /// Room for a code of a sign-in that was let in.
    pub(super) fn add_code(
        &self,
        holder: Holder,
        weight: usize,
        settings: &Settings,
    ) -> Result<Room<'_>, Met> {
        let share = settings.network_share().saturating_mul(WITH_CODES);
        self.change(holder.network, |network| network.add(weight, share))?;
        self.count(holder, weight, WITH_CODES, settings, 0)
    }

    /// A record is gone.
    pub(super) fn remove(&self, (holder, weight): (Holder, usize)) {
        self.end(holder, weight, 0);
    }

    /// Gives memory back after a flood of clients and networks.
    pub(super) fn shrink(&self) {
        if self.clients.capacity() > 4096 && self.clients.len() < self.clients.capacity() / 16 {
            self.clients.shrink_to_fit();
        }
        if self.networks.capacity() > 4096 && self.networks.len() < self.networks.capacity() / 16 {
            self.networks.shrink_to_fit();
        }
    }

    /// Memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.clients.capacity() * 8 / 7 * (size_of::<(Digest, usize)>() + 1)
            + self.networks.capacity() * 8 / 7 * (size_of::<(NetworkName, Share)>() + 1)
    }

    /// How many clients have sign-ins.
    pub(super) fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Counts a record whose network has counted it already, unless there are too many: so many `times` the capacity.
    fn count(
        &self,
        holder: Holder,
        weight: usize,
        times: usize,
        settings: &Settings,
        interval: u64,
    ) -> Result<Room<'_>, Met> {
        let capacity = settings.capacity.saturating_mul(times);
        // The last record may be a heavy one: room for it alone would be asked for in vain again and again.
        let more = |total| (total < capacity).then_some(total + weight);
        let total = &self.total;
        if total
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_err()
        {
            self.leave(holder.network, weight, interval);
            return Err(Met::Limit(Limit::Capacity));
        }
        let mut room = Room {
            usage: self,
            holder,
            weight,
            interval,
        };
        if let Some(client) = holder.client {
            let mut held = self.clients.entry(client).or_default();
            // Counted first, so that the room that is given back was counted as a whole.
            *held += weight;
            if *held - weight >= settings.client_share() {
                drop(held);
                return Err(Met::Limit(Limit::Client));
            }
        }
        // From now on the sign-in counts as begun, even if it is not kept.
        room.interval = 0;
        Ok(room)
    }

    fn change(
        &self,
        network: NetworkName,
        change: impl FnOnce(&mut Share) -> Result<(), Met>,
    ) -> Result<(), Met> {
        if network == NetworkName::NONE {
            return Ok(());
        }
        let answer = change(&mut self.networks.entry(network).or_default());
        if answer.is_err() {
            // A network that was refused its first record is not remembered.
            self.leave(network, 0, 0);
        }
        answer
    }

    fn end(&self, holder: Holder, weight: usize, interval: u64) {
        self.leave(holder.network, weight, interval);
        self.total.fetch_sub(weight, Ordering::Relaxed);
        if let Some(client) = holder.client {
            self.clients.remove_if_mut(&client, |_, held| {
                *held = held.saturating_sub(weight);
                *held == 0
            });
        }
    }

    /// A network without records is forgotten.
    fn leave(&self, network: NetworkName, weight: usize, interval: u64) {
        if network != NetworkName::NONE {
            self.networks.remove_if_mut(&network, |_, share| {
                share.weight = share.weight.saturating_sub(weight);
                share.due = share.due.saturating_sub(interval);
                share.weight == 0
            });
        }
    }

    #[cfg(test)]
    pub(super) fn networks(&self) -> usize {
        self.networks.len()
    }
}

impl Share {
    fn add(&mut self, weight: usize, limit: usize) -> Result<(), Met> {
        if self.weight >= limit {
            return Err(Met::Limit(Limit::Network));
        }
        self.weight += weight;
        Ok(())
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
