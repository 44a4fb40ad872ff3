//! The tables and their queues. Makes room by removing expired records, and then by evicting sign-ins whose redirect was never
//! followed.

use std::time::Duration;

use arc_swap::ArcSwap;

use super::applications::Applications;
use super::queue::{Due, Queue};
use super::record::{Code, Kind, Record, SignIn, Stage, Trace};
use super::sync::atomic::{AtomicUsize, Ordering};
use super::table::{Slot, Table};
use super::usage::{Counts, Met, Room, Usage};
use crate::clock::Timestamp;
use crate::oauth::Digest;
use crate::store::operations::{Statistics, StoreError};
use crate::store::settings::{Limit, Settings};

/// How long an expired record stays, so that it is reported as expired and not as unknown.
pub(super) const GRACE: Duration = Duration::from_mins(1);

/// The number of records that are removed at once.
const BATCH: usize = 64;

/// The number of expired records that are removed with each added one: more than one, so that a backlog shrinks under load.
const PER_ADDITION: usize = 2;

/// The number of records that one sweep removes: a few milliseconds of work, because requests wait meanwhile.
const PER_SWEEP: usize = 32 * 1024;

/// The number of sign-ins that are evicted at once. It is small, because the browsers of some may be about to follow the redirect.
const EVICTED: u64 = 4;

/// The number of records that are examined to find one of the same client or network.
const LOOKED_AT: usize = 128;

pub(super) struct Tables {
    pub(super) settings: ArcSwap<Settings>,
    pub(super) sign_ins: Table<SignIn>,
    /// The deadlines of sign-ins whose redirect has not been followed. The queue of the table has the others.
    pub(super) unfollowed: Queue,
    /// The position in `unfollowed` at which the next search for a sign-in to evict begins.
    evicting: AtomicUsize,
    pub(super) codes: Table<Code>,
    /// The keys are digests of the upstream's codes.
    pub(super) traces: Table<Trace>,
    pub(super) applications: Applications,
    pub(super) usage: Usage,
    pub(super) counts: Counts,
}

impl Tables {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            settings: ArcSwap::from_pointee(settings.clone()),
            sign_ins: Table::new(),
            unfollowed: Queue::default(),
            evicting: AtomicUsize::new(0),
            codes: Table::new(),
            traces: Table::new(),
            applications: Applications::default(),
            usage: Usage::new(),
            counts: Counts::default(),
        }
    }

    /// Counts a new sign-in. At a limit, removes expired records at once; then evicts sign-ins whose redirect was not followed.
    /// For the share of a client or network, only its own sign-ins are evicted.
    pub(super) fn make_room(
        &self,
        room: Room,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        loop {
            let (limit, wait) = match self.usage.begin(room, settings, now) {
                Ok(()) => return Ok(()),
                Err(Met::Rate(wait)) => (Limit::Rate, wait),
                Err(Met::Limit(_)) if self.drop_limited(now) > 0 => continue,
                Err(Met::Limit(limit)) if self.evict(limit, room) => continue,
                Err(Met::Limit(limit)) => (limit, self.wait(limit, room, settings, now)),
            };
            return Err(self.refuse(limit, wait));
        }
    }

    pub(super) fn refuse(&self, limit: Limit, wait: Duration) -> StoreError {
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
        StoreError::NoRoom(limit, wait)
    }

    /// Reads or changes a sign-in, and marks its redirect as followed, which extends its lifetime.
    pub(super) fn followed<T>(
        &self,
        key: Digest,
        now: Timestamp,
        f: impl FnOnce(&mut Record<SignIn>) -> T,
    ) -> Option<T> {
        self.sign_ins.with(key, |sign_in| {
            if sign_in.value.stage == Stage::Unfollowed && !sign_in.is_over(now) {
                sign_in.value.stage = Stage::Waiting { codes: 0 };
                sign_in.deadline = now.after(self.settings.load().pending);
                self.sign_ins.queue.push(key, sign_in.deadline);
                self.counts.unfollowed.fetch_sub(1, Ordering::Relaxed);
            }
            f(sign_in)
        })
    }

    /// Adds a record, and removes a few expired ones of its kind. `queue`: the queue for its deadline, in the same table.
    pub(super) fn put<K: Kind>(
        &self,
        slot: Slot<'_, K>,
        record: Record<K>,
        queue: &Queue,
        now: Timestamp,
    ) {
        let table = slot.table;
        if let Some(replaced) = slot.put(record, queue) {
            self.account_for(&replaced);
        }
        self.drop_due(table, queue, PER_ADDITION, before_grace(now));
    }

    /// Removes records that expired a minute ago, in small batches and for a few milliseconds at most.
    pub(super) fn sweep(&self, now: Timestamp) {
        let mut dropped = 0;
        while dropped < PER_SWEEP {
            match self.sweep_batch(now) {
                0 => break,
                batch => dropped += batch,
            }
        }
        self.sign_ins.shrink();
        self.codes.shrink();
        self.traces.shrink();
        self.usage.shrink();
        self.applications.shrink();
    }

    /// One batch of a sweep. Returns the number of deadlines that were due.
    pub(super) fn sweep_batch(&self, now: Timestamp) -> usize {
        let until = before_grace(now);
        let limited = self.drop_limited(until);
        let left = BATCH - limited;
        limited + self.drop_due(&self.traces, &self.traces.queue, left, until)
    }

    /// Gives back the room of a removed record.
    fn account_for<K: Kind>(&self, record: &Record<K>) {
        if K::IS_LIMITED {
            self.usage.remove(record.room());
        }
        if let Some(count) = record.value.count(&self.counts) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Removes a batch of expired sign-ins and codes. Returns the number of deadlines that were due.
    fn drop_limited(&self, until: Timestamp) -> usize {
        let (sign_ins, codes) = (&self.sign_ins, &self.codes);
        let mut dropped = self.drop_due(sign_ins, &self.unfollowed, BATCH, until);
        dropped += self.drop_due(sign_ins, &sign_ins.queue, BATCH - dropped, until);
        dropped + self.drop_due(codes, &codes.queue, BATCH - dropped, until)
    }

    fn drop_due<K: Kind>(
        &self,
        table: &Table<K>,
        queue: &Queue,
        limit: usize,
        until: Timestamp,
    ) -> usize {
        let due = queue.take(limit, until);
        for Due { key, deadline } in &due {
            if let Some(record) = table.remove_if(*key, |record| record.deadline == *deadline) {
                self.account_for(&record);
            }
        }
        due.len()
    }

    /// Evicts sign-ins, and returns whether there were any. If a share is used up, many sign-ins of others may precede its own, so
    /// each attempt examines the next ones.
    fn evict(&self, limit: Limit, room: Room) -> bool {
        let from = match limit {
            Limit::Capacity => 0,
            Limit::Client | Limit::Network | Limit::Rate => self.evicting.load(Ordering::Relaxed),
        };
        let (mut passed, mut evicted) = (Vec::new(), 0);
        for due in self.unfollowed.oldest(from, LOOKED_AT) {
            let mut is_others = false;
            let evict = |sign_in: &Record<SignIn>| {
                let is_it = sign_in.deadline == due.deadline;
                let is_it = is_it && sign_in.value.stage == Stage::Unfollowed;
                is_others = is_it && !counts(limit, room, sign_in);
                is_it && !is_others
            };
            let removed = self.sign_ins.remove_if(due.key, evict);
            if is_others {
                continue;
            }
            passed.push(due);
            if let Some(sign_in) = removed {
                self.account_for(&sign_in);
                evicted += 1;
            }
            if evicted == EVICTED {
                break;
            }
        }
        self.unfollowed.forget(&passed);
        if evicted == 0 {
            let next = from + LOOKED_AT;
            let next = if next < self.unfollowed.len() {
                next
            } else {
                0
            };
            self.evicting.store(next, Ordering::Relaxed);
        }
        self.counts.evicted.fetch_add(evicted, Ordering::Relaxed);
        evicted > 0
    }

    /// The time until there is room for another sign-in like this one.
    fn wait(&self, limit: Limit, room: Room, settings: &Settings, now: Timestamp) -> Duration {
        let (sign_ins, codes) = (&self.sign_ins, &self.codes);
        let first = [
            first(sign_ins, &self.unfollowed, limit, room),
            first(sign_ins, &sign_ins.queue, limit, room),
            first(codes, &codes.queue, limit, room),
        ];
        // If none of the oldest records counts, all have expired after the lifetime of a sign-in.
        let first = first.into_iter().flatten().min();
        first.map_or(settings.pending, |first| first.since(now))
    }

    /// Numbers for metrics and readiness.
    pub(super) fn statistics(&self) -> Statistics {
        let tombstones = self.counts.tombstones.load(Ordering::Relaxed);
        Statistics {
            pending: self.sign_ins.len(),
            unfollowed: self.counts.unfollowed.load(Ordering::Relaxed),
            codes: self.codes.len().saturating_sub(tombstones),
            tombstones,
            bytes: self.sign_ins.bytes()
                + self.unfollowed.bytes()
                + self.codes.bytes()
                + self.traces.bytes()
                + self.applications.bytes(self.usage.holders())
                + self.usage.bytes(),
            refused: self.counts.refused.load(Ordering::Relaxed),
            evicted: self.counts.evicted.load(Ordering::Relaxed),
        }
    }
}

/// The first deadline among the oldest records that count towards the limit.
fn first<K: Kind>(table: &Table<K>, queue: &Queue, limit: Limit, room: Room) -> Option<Timestamp> {
    let is_one = |due: &Due| {
        let is_it =
            |record: &mut Record<K>| record.deadline == due.deadline && counts(limit, room, record);
        table.with(due.key, is_it) == Some(true)
    };
    let mut oldest = queue.oldest(0, LOOKED_AT).into_iter();
    oldest.find(is_one).map(|due| due.deadline)
}

/// Whether a record counts towards the limit that `room` meets.
fn counts<K: Kind>(limit: Limit, room: Room, record: &Record<K>) -> bool {
    let of = record.room();
    match limit {
        Limit::Capacity => true,
        Limit::Client => of.client == room.client,
        Limit::Network | Limit::Rate => of.network == room.network,
    }
}

fn before_grace(now: Timestamp) -> Timestamp {
    let grace = u64::try_from(GRACE.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(grace))
}
