//! Making room: dropping what is over, from the head of each log; and what was begun and never gone on with.

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

/// How long an expired record stays, so that it can be told from one that never was.
pub(super) const GRACE: Duration = Duration::from_mins(1);

/// How many records are dropped under one lock.
const BATCH: usize = 64;

/// How many records of the same shard are dropped with each one that is added: more than one, so that a store
/// under load gets rid of a backlog by itself.
const PER_ADDITION: usize = 2;

/// How many records one sweep drops: a few milliseconds' worth, since it runs beside requests.
const PER_SWEEP: usize = 32 * 1024;

/// How many sign-ins whose redirect was not followed are evicted at once: no more than are needed, or some of those whose browser
/// is about to follow it.
const EVICTED: usize = 4;

/// Of unfollowed sign-ins, of pending authorizations, then of codes, whose end makes room; then of traces, which take none.
const WITH_ROOM: usize = 3 * SHARDS;
const ALL_SHARDS: usize = 4 * SHARDS;

impl MemoryStore {
    /// Drops what expired a minute ago: a few milliseconds' work at most, in small batches. What is left over is
    /// for the next time.
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

    /// One batch of [`MemoryStore::sweep`]; returns how many records were dropped, zero when nothing is due.
    pub fn sweep_batch(&self) -> usize {
        self.drop_batch(before_grace(self.clock.now()), ALL_SHARDS)
    }

    /// Room for a pending authorization of that weight. At capacity, what has expired makes room at once; and then those sign-ins
    /// that were never gone on with, the oldest first: where it is a share that is used up, those of its holder alone.
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

    /// How long it takes until there is room for more of that holder's.
    pub(super) fn wait(&self, limit: Limit, holder: Holder, now: Timestamp) -> Duration {
        let first = [&self.unfollowed, &self.pending, &self.codes]
            .into_iter()
            .filter_map(|table| table.first_deadline(|record| self.counts(limit, holder, record)))
            .min();
        // When none of them is the oldest of its shard, it is known when all of them are over.
        first.map_or(self.limits.pending(), |first| first.since(now))
    }

    /// Whether that record takes room of what is used up.
    fn counts(&self, limit: Limit, holder: Holder, record: &Record<'_>) -> bool {
        match limit {
            Limit::Capacity => true,
            Limit::Client => self.client_of(record) == holder.client,
            Limit::Network | Limit::Rate => record.network() == holder.network,
        }
    }

    /// Whether there was a sign-in to evict.
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

    /// Drops what is due in the shard of a record that was just added.
    pub(super) fn drop_some(&self, table: &Table, key: Digest, now: Timestamp) {
        self.drop_expired(table, table.shard(key), before_grace(now), PER_ADDITION);
    }

    /// Whether there was anything to drop. Looking into all shards for every request that a flood sends would help
    /// the flood: when nothing has expired by now, nothing will before the next millisecond.
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

    /// The next batch of any of the first `shards`.
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
