//! How many records there are, whose they are, and how many there may be.
//!
//! A record counts as one for each begun [`UNIT`] bytes: the client's state and the upstream's code are kept as they came, and
//! long ones must not cost more memory than the capacity promises.
//!
//! New pending authorizations are refused at capacity, at a client's share of it, and at a network's; and when a network begins too
//! many a second. Codes are counted against the capacity and the network's share, and refused at [`WITH_CODES`] times either
//! only: the login that they end was let in when it began, and a flood of other people's requests must not undo it. That is more
//! than logins need, with codes of a kilobyte each, because a code lives for a third of the time in which it is waited for.

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

/// There is no place for a record: its hash is another one's. It is improbable, and the next try has another one.
pub(super) const NO_PLACE: StoreError = StoreError::NoRoom(Limit::Capacity, Duration::from_secs(1));

/// How often a fresh handle may meet the hash of another one: once is improbable already.
pub(super) const MINTS: usize = 4;

/// Bytes of a record that count as one.
const UNIT: usize = 256;

/// How many times the capacity, and a network's share of it, there may be with the codes.
pub(super) const WITH_CODES: usize = 3;

/// As how many records one of that many bytes counts.
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
    /// Of these.
    unfollowed: AtomicUsize,
    codes: AtomicUsize,
    tombstones: AtomicUsize,
    refused: AtomicU64,
    evicted: AtomicU64,
}

/// Whose room a record takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holder {
    /// `None`: it counts for no client.
    pub(super) client: Option<Digest>,
    pub(super) network: NetworkName,
}

impl Holder {
    /// A client's share is of pending authorizations: who signs in at it is not shut out by the codes of others.
    fn without_client(self) -> Self {
        Self {
            client: None,
            ..self
        }
    }
}

/// Room for one record, given back unless it is used. It is counted before the record is there: whatever drops a
/// record must find it counted.
#[must_use = "room that is not used is given back at once"]
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

    /// Room for a pending authorization, which is [`State::Pending`] or [`State::Unfollowed`].
    pub(super) fn reserve(
        &self,
        holder: Holder,
        state: State,
        weight: usize,
        now: Timestamp,
    ) -> Result<Room<'_>, Met> {
        // Before anything is evicted for it: a network that begins too many must not drive out others.
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

    /// Room for a code of a sign-in that was let in.
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

    /// A redirect was followed.
    pub(super) fn follow(&self) {
        self.unfollowed.fetch_sub(1, Ordering::Relaxed);
    }

    /// A code has become a tombstone.
    pub(super) fn bury_code(&self) {
        self.codes.fetch_sub(1, Ordering::Relaxed);
        self.tombstones.fetch_add(1, Ordering::Relaxed);
    }

    /// A record of that many bytes was dropped.
    pub(super) fn remove(&self, holder: Holder, state: State, bytes: usize) {
        // There is a trace for each code, which was counted; and what was followed counts where it stands now.
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

    /// Gives memory back after a flood of clients.
    pub(super) fn shrink(&self) {
        if self.clients.capacity() > 4096 && self.clients.len() < self.clients.capacity() / 16 {
            self.clients.shrink_to_fit();
        }
        self.networks.shrink();
    }

    /// All but the bytes that the records themselves take.
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

    /// So many more, unless there are that many times as many as there may be.
    fn count(&self, holder: Holder, weight: usize, shares: usize) -> Result<(), Limit> {
        let capacity = self.limits.capacity().saturating_mul(shares);
        // The last one may be a heavy one: room for it alone would be asked for in vain again and again.
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

    /// So many more for this client, unless it has its share.
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
    /// The record is there.
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
