//! The tables and their queues. Makes room by removing expired records, and then by evicting sign-ins whose redirect was never
//! followed.

use std::time::Duration;

use arc_swap::ArcSwap;

use super::record::{Applications, Code, Record, SignIn, Stage, Trace};
use super::sync::atomic::{AtomicUsize, Ordering};
use super::table::{Due, Queue, Table};
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
const EVICTED: usize = 4;

/// The number of records that are examined to find one of the same client or network.
const LOOKED_AT: usize = 128;

pub(super) struct Tables {
    pub(super) settings: ArcSwap<Settings>,
    pub(super) sign_ins: Table<SignIn>,
    pub(super) codes: Table<Code>,
    /// The keys are digests of the upstream's codes.
    pub(super) traces: Table<Trace>,
    pub(super) queues: Queues,
    pub(super) applications: Applications,
    pub(super) usage: Usage,
    pub(super) counts: Counts,
}

/// The deadlines of each kind of record.
#[derive(Default)]
pub(super) struct Queues {
    /// Sign-ins whose redirect has not been followed.
    pub(super) unfollowed: Queue,
    pub(super) sign_ins: Queue,
    pub(super) codes: Queue,
    pub(super) traces: Queue,
    /// The position in `unfollowed` at which the next search for a sign-in to evict begins.
    evicting: AtomicUsize,
}

impl Tables {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            settings: ArcSwap::from_pointee(settings.clone()),
            sign_ins: Table::new(),
            codes: Table::new(),
            traces: Table::new(),
            queues: Queues::default(),
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
                Err(Met::Limit(_)) if self.drop_with_room(now) > 0 => continue,
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
        f: impl FnOnce(&mut SignIn) -> T,
    ) -> Option<T> {
        self.sign_ins.with(key, |sign_in| {
            if sign_in.stage == Stage::Unfollowed && !sign_in.is_over(now) {
                sign_in.stage = Stage::Waiting { codes: 0 };
                sign_in.deadline = now.after(self.settings.load().pending);
                self.queues.sign_ins.push(key, sign_in.deadline);
                self.counts.unfollowed.fetch_sub(1, Ordering::Relaxed);
            }
            f(sign_in)
        })
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
        match self.drop_with_room(until) {
            0 => self.drop_due(&self.queues.traces, &self.traces, BATCH, until),
            dropped => dropped,
        }
    }

    /// Removes a few expired records of the kind that was just added.
    pub(super) fn drop_some<R: Record>(&self, queue: &Queue, table: &Table<R>, now: Timestamp) {
        self.drop_due(queue, table, PER_ADDITION, before_grace(now));
    }

    /// Gives back the room of a removed record.
    pub(super) fn account_for(&self, record: &impl Record) {
        if let Some(room) = record.room() {
            self.usage.remove(room);
        }
        if let Some(count) = record.count(&self.counts) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Removes a batch of expired sign-ins or codes. Returns the number of deadlines that were due.
    fn drop_with_room(&self, until: Timestamp) -> usize {
        let Queues {
            unfollowed,
            sign_ins,
            codes,
            ..
        } = &self.queues;
        for queue in [unfollowed, sign_ins] {
            match self.drop_due(queue, &self.sign_ins, BATCH, until) {
                0 => {}
                dropped => return dropped,
            }
        }
        self.drop_due(codes, &self.codes, BATCH, until)
    }

    fn drop_due<R: Record>(
        &self,
        queue: &Queue,
        table: &Table<R>,
        limit: usize,
        until: Timestamp,
    ) -> usize {
        let due = queue.take(limit, until);
        for Due { key, deadline } in &due {
            if let Some(record) = table.remove_if(*key, |record| record.deadline() == *deadline) {
                self.account_for(&*record);
            }
        }
        due.len()
    }

    /// Evicts sign-ins, and returns whether there were any. If a share is used up, many sign-ins of others may precede its own, so
    /// each attempt examines the next ones.
    fn evict(&self, limit: Limit, room: Room) -> bool {
        let queue = &self.queues.unfollowed;
        let place = &self.queues.evicting;
        let from = match limit {
            Limit::Capacity => 0,
            Limit::Client | Limit::Network | Limit::Rate => place.load(Ordering::Relaxed),
        };
        let mut passed = Vec::new();
        let mut evicted = 0;
        for due in queue.some(from, LOOKED_AT) {
            let is_it = |sign_in: &SignIn| {
                sign_in.stage == Stage::Unfollowed && sign_in.deadline == due.deadline
            };
            let is_others = |sign_in: &mut SignIn| is_it(sign_in) && !counts(limit, room, sign_in);
            if self.sign_ins.with(due.key, is_others) == Some(true) {
                continue;
            }
            passed.push(due);
            if let Some(sign_in) = self.sign_ins.remove_if(due.key, is_it) {
                self.account_for(&*sign_in);
                evicted += 1;
                if evicted == EVICTED {
                    break;
                }
            }
        }
        queue.forget(&passed);
        if evicted == 0 {
            let next = from + LOOKED_AT;
            place.store(if next < queue.len() { next } else { 0 }, Ordering::Relaxed);
        }
        let sign_ins = u64::try_from(evicted).unwrap_or(u64::MAX);
        self.counts.evicted.fetch_add(sign_ins, Ordering::Relaxed);
        evicted > 0
    }

    /// The time until there is room for another sign-in like this one.
    fn wait(&self, limit: Limit, room: Room, settings: &Settings, now: Timestamp) -> Duration {
        let Queues {
            unfollowed,
            sign_ins,
            codes,
            ..
        } = &self.queues;
        let first = [
            first(unfollowed, &self.sign_ins, limit, room),
            first(sign_ins, &self.sign_ins, limit, room),
            first(codes, &self.codes, limit, room),
        ];
        // If none of the oldest records counts, all have expired after the lifetime of a sign-in.
        let first = first.into_iter().flatten().min();
        first.map_or(settings.pending, |first| first.since(now))
    }

    /// Numbers for metrics and readiness.
    pub(super) fn statistics(&self) -> Statistics {
        let load = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        let Queues {
            unfollowed,
            sign_ins,
            codes,
            traces,
            ..
        } = &self.queues;
        let queues = [unfollowed, sign_ins, codes, traces].map(Queue::bytes);
        let tombstones = load(&self.counts.tombstones);
        Statistics {
            pending: self.sign_ins.len(),
            unfollowed: load(&self.counts.unfollowed),
            codes: self.codes.len().saturating_sub(tombstones),
            tombstones,
            bytes: self.sign_ins.bytes()
                + self.codes.bytes()
                + self.traces.bytes()
                + queues.iter().sum::<usize>()
                + self.applications.bytes(self.usage.holders())
                + self.usage.bytes(),
            refused: self.counts.refused.load(Ordering::Relaxed),
            evicted: self.counts.evicted.load(Ordering::Relaxed),
        }
    }
}

/// The first deadline among the oldest records that count towards the limit.
fn first<R: Record>(
    queue: &Queue,
    table: &Table<R>,
    limit: Limit,
    room: Room,
) -> Option<Timestamp> {
    let is_one = |due: &Due| {
        let found = table.with(due.key, |record| {
            record.deadline() == due.deadline && counts(limit, room, record)
        });
        found == Some(true)
    };
    let mut oldest = queue.oldest(LOOKED_AT).into_iter();
    oldest.find(is_one).map(|due| due.deadline)
}

/// Whether a record counts towards the limit that `room` meets.
fn counts(limit: Limit, room: Room, record: &impl Record) -> bool {
    let Some(of) = record.room() else {
        return false;
    };
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
