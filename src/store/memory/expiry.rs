//! Making room: dropping what is over, from the head of each log.

use std::time::Duration;

use super::MemoryStore;
use super::sync::atomic::Ordering;
use super::table::{SHARDS, Table};
use super::usage::Room;
use crate::clock::Timestamp;
use crate::oauth::Digest;
use crate::store::StoreError;

/// How long an expired record stays, so that it can be told from one that never was.
pub(super) const GRACE: Duration = Duration::from_mins(1);

/// How many records are dropped under one lock.
const BATCH: usize = 64;

/// How many records of the same shard are dropped with each one that is added: more than one, so that a store
/// under load gets rid of a backlog by itself.
const PER_ADDITION: usize = 2;

/// How many records one sweep drops: a few milliseconds' worth, since it runs beside requests.
const PER_SWEEP: usize = 32 * 1024;

/// Of pending authorizations, then of codes, whose end makes room; then of traces, which take none.
const WITH_ROOM: usize = 2 * SHARDS;
const ALL_SHARDS: usize = 3 * SHARDS;

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
        self.pending.shrink();
        self.codes.shrink();
        self.traces.shrink();
        self.usage.shrink();
    }

    /// One batch of [`MemoryStore::sweep`]; returns how many records were dropped, zero when nothing is due.
    pub fn sweep_batch(&self) -> usize {
        self.drop_batch(before_grace(self.clock.now()), ALL_SHARDS)
    }

    /// Room for a pending authorization of that weight. At capacity, what has expired makes room at once.
    pub(super) fn room(
        &self,
        client: Digest,
        weight: usize,
        now: Timestamp,
    ) -> Result<Room<'_>, StoreError> {
        loop {
            match self.usage.reserve(client, weight) {
                Ok(room) => return Ok(room),
                Err(error) if !self.make_room(now) => {
                    self.usage.refuse();
                    return Err(error);
                }
                Err(_) => {}
            }
        }
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
                0 => &self.pending,
                1 => &self.codes,
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
        let dropped = table.drop_expired(shard, until, limit);
        for record in &dropped {
            let origin = record.origin.and_then(|name| self.origins.resolve(name));
            self.usage.remove(
                origin.map(|origin| origin.client),
                record.state,
                record.bytes,
            );
        }
        dropped.len()
    }
}

fn before_grace(now: Timestamp) -> Timestamp {
    let grace = u64::try_from(GRACE.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(grace))
}
