//! Making room: dropping expired records from the head of each log, and evicting sign-ins whose redirect was never
//! followed.

use std::time::Duration;

use super::MemoryStore;
use super::mix::SHARDS;
use super::network::Met;
use super::record::{Record, State};
use super::sync::atomic::Ordering;
use super::table::{Dropped, Table};
use super::usage::{Holder, Room};
use crate::clock::Timestamp;
use crate::oauth::Digest;
use crate::store::settings::Limit;
use crate::store::verbs::StoreError;

/// How long an expired record is kept, so that it is reported as expired and not as unknown.
pub(super) const GRACE: Duration = Duration::from_mins(1);

/// The maximum number of records dropped under one lock.
const BATCH: usize = 64;

/// Expired records of the same shard that are dropped with each addition: more than one, so that a busy store reduces a
/// backlog by itself.
const PER_ADDITION: usize = 2;

/// The maximum number of records dropped by one sweep: a few milliseconds' work, since requests are served meanwhile.
const PER_SWEEP: usize = 32 * 1024;

/// Unfollowed sign-ins evicted at once: few, because the browsers of some are about to follow the redirect.
const EVICTED: usize = 4;

/// Shards of unfollowed sign-ins, pending authorizations and codes, which count towards the capacity; traces do not.
const WITH_ROOM: usize = 3 * SHARDS;
const ALL_SHARDS: usize = 4 * SHARDS;

impl MemoryStore {
    /// Drops records that expired at least a minute ago: a few milliseconds' work at most, in small batches. The next
    /// call drops the rest.
    pub fn sweep(&self) {
        let mut dropped = 0;
        while dropped < PER_SWEEP {
            match self.sweep_batch() {
                0 => break,
                batch => dropped += batch,
            }
        }
        self.unfollowed.shrink();
        self.pending.shrink();
        self.codes.shrink();
        self.traces.shrink();
        self.usage.shrink();
    }

    /// One batch of [`MemoryStore::sweep`]. Returns the number of dropped records; zero if there is nothing to drop.
    pub fn sweep_batch(&self) -> usize {
        self.drop_batch(before_grace(self.clock.now()), ALL_SHARDS)
    }

    /// Reserves room for a pending authorization of the given weight. At capacity, expired records are dropped at once,
    /// then the oldest unfollowed sign-ins are evicted; if a share is used up, only those of its holder.
    pub(super) fn room(
        &self,
        holder: Holder,
        (state, weight): (State, usize),
        now: Timestamp,
    ) -> Result<Room<'_>, StoreError> {
        loop {
            let (limit, wait) = match self.usage.reserve(holder, state, weight, now) {
                Ok(room) => return Ok(room),
                Err(Met::Rate(wait)) => (Limit::Rate, wait),
                Err(Met::Limit(limit)) if self.make_room(now) || self.evict(limit, holder) => {
                    continue;
                }
                Err(Met::Limit(limit)) => (limit, self.wait(limit, holder, now)),
            };
            self.usage.refuse();
            return Err(StoreError::NoRoom(limit, wait));
        }
    }

    /// The time until there is room for this holder.
    pub(super) fn wait(&self, limit: Limit, holder: Holder, now: Timestamp) -> Duration {
        let first = [&self.unfollowed, &self.pending, &self.codes]
            .into_iter()
            .filter_map(|table| table.first_deadline(|record| self.counts(limit, holder, record)))
            .min();
        // If none of the holder's records is the oldest of a shard, all have expired after a full lifetime.
        first.map_or(self.limits.pending(), |first| first.since(now))
    }

    /// Whether the record counts towards the limit.
    fn counts(&self, limit: Limit, holder: Holder, record: &Record<'_>) -> bool {
        match limit {
            Limit::Capacity => true,
            Limit::Client => self.client_of(record) == holder.client,
            Limit::Network | Limit::Rate => record.network() == holder.network,
        }
    }

    /// Evicts unfollowed sign-ins of one shard. Returns whether there were any.
    fn evict(&self, limit: Limit, holder: Holder) -> bool {
        let start = self.evicting.fetch_add(1, Ordering::Relaxed);
        (start..start + SHARDS).any(|shard| {
            let dropped = self
                .unfollowed
                .drop_while(shard % SHARDS, EVICTED, |record| {
                    record.state() == State::Followed || self.counts(limit, holder, record)
                });
            let is_evicted = |dropped: &&Dropped| dropped.state == State::Unfollowed;
            let evicted = dropped.iter().filter(is_evicted).count();
            self.usage.evict(evicted);
            self.account_for(&dropped);
            evicted > 0
        })
    }

    /// Drops expired records in the shard of a record that was just added.
    pub(super) fn drop_some(&self, table: &Table, key: Digest, now: Timestamp) {
        self.drop_expired(table, table.shard(key), before_grace(now), PER_ADDITION);
    }

    /// Drops expired records. Returns whether there were any. If there were none, it does not search again within the
    /// same millisecond, so that a flood cannot cause a search of all shards for each request.
    fn make_room(&self, now: Timestamp) -> bool {
        let stamp = now.as_millis().saturating_add(1);
        if self.nothing_expired.load(Ordering::Relaxed) == stamp {
            return false;
        }
        let dropped = self.drop_batch(now, WITH_ROOM);
        if dropped == 0 {
            self.nothing_expired.store(stamp, Ordering::Relaxed);
        }
        dropped > 0
    }

    /// Drops one batch from the next of the first `shards` shards that has any.
    fn drop_batch(&self, until: Timestamp, shards: usize) -> usize {
        let start = self.cursor.load(Ordering::Relaxed);
        for shard in (start..start + shards).map(|shard| shard % shards) {
            let table = match shard / SHARDS {
                0 => &self.unfollowed,
                1 => &self.pending,
                2 => &self.codes,
                _ => &self.traces,
            };
            let dropped = self.drop_expired(table, shard % SHARDS, until, BATCH);
            if dropped > 0 {
                self.cursor.store(shard, Ordering::Relaxed);
                return dropped;
            }
        }
        0
    }

    fn drop_expired(&self, table: &Table, shard: usize, until: Timestamp, limit: usize) -> usize {
        let dropped = table.drop_while(shard, limit, |record| record.is_over(until));
        self.account_for(&dropped);
        dropped.len()
    }

    fn account_for(&self, dropped: &[Dropped]) {
        for record in dropped {
            let origin = record.origin.and_then(|name| self.origins.resolve(name));
            let holder = Holder {
                client: origin.map(|origin| origin.client),
                network: record.network,
            };
            self.usage.remove(holder, record.state, record.bytes);
        }
    }
}

fn before_grace(now: Timestamp) -> Timestamp {
    let grace = u64::try_from(GRACE.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(grace))
}
