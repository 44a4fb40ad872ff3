//! Counters of records by kind, client and network, and the enforcement of the limits.
//!
//! A record counts as one for every [`UNIT`] bytes or part of it: client states and codes are stored in full, and long
//! ones must not take more memory than the capacity implies.
//!
//! New pending authorizations are refused when the capacity or the share of a client or network is used up, or when a
//! network begins too many per second. Codes count towards the capacity and the network's share, but are refused only
//! at [`WITH_CODES`] times either: their login was already admitted, and a flood of other requests must not break it.
//! That is more than logins need even with codes of a kilobyte, because a code lives for a third of a pending
//! authorization's lifetime.

use std::sync::Arc;
use std::time::Duration;

use super::limits::Limits;
use super::mix::Mix;
use super::mix::SHARDS;
use super::network::{Met, NetworkName, Networks};
use super::record::State;
use super::sync::DashMap;
use super::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::clock::Timestamp;
use crate::oauth::Digest;
use crate::store::settings::Limit;
use crate::store::verbs::{Statistics, StoreError};

/// The error for a record whose hash collides with another one's. Improbable; a retry gets another hash.
pub(super) const NO_PLACE: StoreError = StoreError::NoRoom(Limit::Capacity, Duration::from_secs(1));

/// Attempts to create a handle whose hash does not collide; already one collision is improbable.
pub(super) const MINTS: usize = 4;

/// Bytes that count as one record.
const UNIT: usize = 256;

/// The factor by which codes may exceed the capacity and a network's share.
pub(super) const WITH_CODES: usize = 3;

/// The number of records that a record of `bytes` bytes counts as.
pub(super) fn weight(bytes: usize) -> usize {
    1 + bytes.saturating_sub(1) / UNIT
}

pub(super) struct Usage {
    limits: Arc<Limits>,
    records: AtomicUsize,
    /// Records of each client that has any.
    clients: DashMap<Digest, usize, Mix>,
    networks: Networks,
    pending: AtomicUsize,
    /// The unfollowed ones among `pending`.
    unfollowed: AtomicUsize,
    codes: AtomicUsize,
    tombstones: AtomicUsize,
    refused: AtomicU64,
    evicted: AtomicU64,
}

/// The client and the network that a record counts for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holder {
    /// `None`: the record does not count for a client.
    pub(super) client: Option<Digest>,
    pub(super) network: NetworkName,
}

impl Holder {
    /// A client's share is for pending authorizations only, so that codes do not prevent new sign-ins.
    fn without_client(self) -> Self {
        Self {
            client: None,
            ..self
        }
    }
}

/// Room reserved for one record; given back on drop unless it is used. It is counted before the record is stored,
/// because a record must be counted whenever it is dropped.
#[must_use = "unused room is given back at once"]
pub(super) struct Room<'a> {
    usage: &'a Usage,
    holder: Holder,
    state: State,
    weight: usize,
    used: bool,
}

impl Usage {
    pub(super) fn new(limits: Arc<Limits>) -> Self {
        Self {
            networks: Networks::new(Arc::clone(&limits)),
            limits,
            records: AtomicUsize::new(0),
            clients: DashMap::with_hasher_and_shard_amount(Mix::new(), SHARDS),
            pending: AtomicUsize::new(0),
            unfollowed: AtomicUsize::new(0),
            codes: AtomicUsize::new(0),
            tombstones: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    pub(super) fn networks(&self) -> &Networks {
        &self.networks
    }

    /// Reserves room for a pending authorization in the state [`State::Pending`] or [`State::Unfollowed`].
    pub(super) fn reserve(
        &self,
        holder: Holder,
        state: State,
        weight: usize,
        now: Timestamp,
    ) -> Result<Room<'_>, Met> {
        // Checked before anything is evicted: a network that exceeds its rate must not evict the sign-ins of others.
        self.networks.begin(holder.network, weight, now)?;
        if let Err(limit) = self.count(holder, weight, 1) {
            self.networks.undo(holder.network, weight);
            return Err(Met::Limit(limit));
        }
        self.pending.fetch_add(1, Ordering::Relaxed);
        if state == State::Unfollowed {
            self.unfollowed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(self.room(holder, state, weight))
    }

    /// Reserves room for a code of an admitted sign-in.
    pub(super) fn reserve_code(&self, holder: Holder, weight: usize) -> Result<Room<'_>, Met> {
        let holder = holder.without_client();
        self.networks.add(holder.network, weight, WITH_CODES)?;
        if let Err(limit) = self.count(holder, weight, WITH_CODES) {
            self.networks.remove(holder.network, weight);
            return Err(Met::Limit(limit));
        }
        self.codes.fetch_add(1, Ordering::Relaxed);
        Ok(self.room(holder, State::Bound, weight))
    }

    pub(super) fn follow(&self) {
        self.unfollowed.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn bury_code(&self) {
        self.codes.fetch_sub(1, Ordering::Relaxed);
        self.tombstones.fetch_add(1, Ordering::Relaxed);
    }

    /// Subtracts a dropped record of the given size.
    pub(super) fn remove(&self, holder: Holder, state: State, bytes: usize) {
        // Traces do not count, and a followed sign-in counts where it is now.
        let holder = match state {
            State::Trace | State::Followed => return,
            State::Pending | State::Unfollowed | State::Conflict => holder,
            State::Bound | State::Claimed | State::Redeemed | State::Burnt => {
                holder.without_client()
            }
        };
        self.uncount(state);
        self.give_back(holder, weight(bytes));
    }

    fn uncount(&self, state: State) {
        let kind = match state {
            State::Pending | State::Conflict => &self.pending,
            State::Unfollowed => {
                self.unfollowed.fetch_sub(1, Ordering::Relaxed);
                &self.pending
            }
            State::Bound | State::Claimed => &self.codes,
            State::Redeemed | State::Burnt => &self.tombstones,
            State::Trace | State::Followed => return,
        };
        kind.fetch_sub(1, Ordering::Relaxed);
    }

    fn give_back(&self, holder: Holder, weight: usize) {
        self.networks.remove(holder.network, weight);
        self.records.fetch_sub(weight, Ordering::Relaxed);
        if let Some(client) = holder.client {
            self.discount(client, weight);
        }
    }

    pub(super) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn evict(&self, sign_ins: usize) {
        let sign_ins = u64::try_from(sign_ins).unwrap_or(u64::MAX);
        self.evicted.fetch_add(sign_ins, Ordering::Relaxed);
    }

    /// Frees memory after a flood of clients.
    pub(super) fn shrink(&self) {
        if self.clients.capacity() > 4096 && self.clients.len() < self.clients.capacity() / 16 {
            self.clients.shrink_to_fit();
        }
        self.networks.shrink();
    }

    /// All counters; `bytes` without the records themselves.
    pub(super) fn statistics(&self) -> Statistics {
        Statistics {
            pending: self.pending.load(Ordering::Relaxed),
            unfollowed: self.unfollowed.load(Ordering::Relaxed),
            codes: self.codes.load(Ordering::Relaxed),
            tombstones: self.tombstones.load(Ordering::Relaxed),
            bytes: self.clients.capacity() * 8 / 7 * (size_of::<(Digest, usize)>() + 1)
                + self.networks.bytes(),
            refused: self.refused.load(Ordering::Relaxed),
            evicted: self.evicted.load(Ordering::Relaxed),
        }
    }

    fn room(&self, holder: Holder, state: State, weight: usize) -> Room<'_> {
        Room {
            usage: self,
            holder,
            state,
            weight,
            used: false,
        }
    }

    /// Counts records of the given weight, unless they exceed `shares` times the capacity or the client's share.
    fn count(&self, holder: Holder, weight: usize, shares: usize) -> Result<(), Limit> {
        let capacity = self.limits.capacity().saturating_mul(shares);
        // A heavy record may exceed the limit as the last one; otherwise it could be refused again and again.
        let more = |records| (records < capacity).then_some(records + weight);
        self.records
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .map_err(|_| Limit::Capacity)?;
        let fits = |client| self.count_client(client, weight);
        if holder.client.is_none_or(fits) {
            return Ok(());
        }
        self.records.fetch_sub(weight, Ordering::Relaxed);
        Err(Limit::Client)
    }

    /// Counts records of a client, unless its share is used up. Returns whether they were counted.
    fn count_client(&self, client: Digest, weight: usize) -> bool {
        let mut records = self.clients.entry(client).or_insert(0);
        let fits = *records < self.limits.per_client();
        if fits {
            *records += weight;
        }
        fits
    }

    fn discount(&self, client: Digest, weight: usize) {
        self.clients.remove_if_mut(&client, |_, records| {
            *records = records.saturating_sub(weight);
            *records == 0
        });
    }

    #[cfg(test)]
    pub(super) fn clients(&self) -> usize {
        self.clients.len()
    }
}

impl Room<'_> {
    /// Keeps the room, because the record is stored.
    pub(super) fn fill(mut self) {
        self.used = true;
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if !self.used {
            self.usage.uncount(self.state);
            self.usage.give_back(self.holder, self.weight);
        }
    }
}
