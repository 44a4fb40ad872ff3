//! All tables. Makes room by removing expired records, and then by evicting sign-ins whose redirect was never followed.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use foldhash::quality::RandomState;

use super::record::{Class, Code, Record, SignIn, Stage};
use super::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use super::sync::{DashMap, MAP_SHARDS};
use super::table::{Shard, Slot, Table};
use super::usage::{Holder, Room, Usage, WITH_CODES};
use crate::clock::Timestamp;
use crate::flow::Application;
use crate::oauth::Digest;
use crate::store::operations::{Statistics, StoreError};
use crate::store::settings::{Limit, Settings};

/// How long an expired record stays, so that it is reported as expired and not as unknown.
pub(super) const GRACE: Duration = Duration::from_mins(1);

/// The number of records that are removed at once.
const BATCH: usize = 64;

/// So often one request searches for room. What has expired may be traces, which free none.
const SEARCHES: usize = 16;

/// The number of expired records that are removed with each added one: more than one, so that a backlog shrinks under load.
const PER_ADDITION: usize = 2;

/// There may be this many times the capacity of traces: four codes for each sign-in, with the default lifetimes.
const TRACES: usize = 4;

/// The number of sign-ins that are evicted at once. It is small, because the browsers of some may be about to follow the redirect.
const EVICTED: u64 = 4;

pub(super) struct Tables {
    pub(super) settings: ArcSwap<Settings>,
    pub(super) sign_ins: Table<SignIn>,
    pub(super) codes: Table<Code>,
    pub(super) usage: Usage,
    /// What applications ask for, which is as large as the rest of a sign-in. By a part of the client's digest: clients with the same
    /// part share less.
    applications: DashMap<[u8; 2], Arc<Application>, RandomState>,
    /// The time until which the store is full. The default: not known, because a record was added.
    full: AtomicU64,
    /// Where the next search for records begins.
    turn: AtomicUsize,
    traces: AtomicUsize,
    refused: AtomicU64,
    evicted: AtomicU64,
}

impl Tables {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            settings: ArcSwap::from_pointee(settings.clone()),
            sign_ins: Table::new(),
            codes: Table::new(),
            usage: Usage::new(),
            applications: DashMap::with_hasher_and_shard_amount(RandomState::default(), MAP_SHARDS),
            full: AtomicU64::new(0),
            turn: AtomicUsize::new(0),
            traces: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    /// Returns the shared value that is equal to this one.
    pub(super) fn share(&self, application: &Arc<Application>) -> Arc<Application> {
        let [first, second, ..] = *application.client.as_bytes();
        let entry = self.applications.entry([first % 64, second]);
        let mut shared = entry.or_insert_with(|| Arc::clone(application));
        if *shared != *application {
            *shared = Arc::clone(application);
        }
        Arc::clone(&shared)
    }

    /// Counts a new sign-in. At a limit, removes expired records at once; then evicts sign-ins whose redirect was not followed, and
    /// only those that count towards this limit.
    pub(super) fn make_room(&self, room: &Room, now: Timestamp) -> Result<(), StoreError> {
        let settings = self.settings.load();
        let mut searches = 0..SEARCHES;
        loop {
            let Err(met) = self.usage.add(room, 1, &settings) else {
                return Ok(());
            };
            // A flood of requests to a full store must not search it each time: nothing was added, and nothing expires before.
            let full = Timestamp::from_millis(self.full.load(Ordering::Relaxed));
            if met.holder == Holder::Everyone && full > now {
                return Err(self.refuse(met.limit, full.since(now)));
            }
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let may_search = searches.next().is_some();
            if may_search && (self.drop_due(turn, now) > 0 || self.evict(turn, met.holder)) {
                continue;
            }
            let sign_ins = self.sign_ins.shards(0);
            let sign_ins = sign_ins.filter_map(|mut shard| shard.first(met.holder));
            let codes = self.codes.shards(0);
            let codes = codes.filter_map(|mut shard| shard.first(met.holder));
            // If none of the oldest records counts, all have expired after the lifetime of a sign-in.
            let until = sign_ins.chain(codes).min();
            let until = until.unwrap_or_else(|| now.after(settings.pending));
            if met.holder == Holder::Everyone {
                self.full.store(until.as_millis(), Ordering::Relaxed);
            }
            return Err(self.refuse(met.limit, until.since(now)));
        }
    }

    /// Counts a code, or another record for which no room is made.
    pub(super) fn admit<R: Record>(&self, record: &R) -> Result<(), StoreError> {
        let settings = self.settings.load();
        // Each code becomes a trace.
        if self.traces.load(Ordering::Relaxed) >= settings.capacity.saturating_mul(TRACES) {
            return Err(self.refuse(Limit::Capacity, settings.code));
        }
        let added = self.usage.add(&record.room(), WITH_CODES, &settings);
        // There is room when the oldest code has expired, redeemed or not.
        added.map_err(|met| self.refuse(met.limit, settings.code))
    }

    pub(super) fn refuse(&self, limit: Limit, wait: Duration) -> StoreError {
        self.refused.fetch_add(1, Ordering::Relaxed);
        StoreError::NoRoom(limit, wait)
    }

    /// Reads or changes a sign-in, and marks its redirect as followed, which extends its lifetime.
    pub(super) fn followed<T>(
        &self,
        key: Digest,
        now: Timestamp,
        f: impl FnOnce(&mut SignIn) -> T,
    ) -> Option<T> {
        let mut slot = self.sign_ins.lock(key);
        let is_first = |sign_in: &mut SignIn| sign_in.stage == Stage::Unfollowed;
        if slot.live(now).is_some_and(is_first)
            && let Some(mut sign_in) = slot.take()
        {
            sign_in.stage = Stage::Waiting;
            sign_in.deadline = now.after(self.settings.load().pending);
            slot.shard.put(sign_in);
        }
        slot.get().map(f)
    }

    /// Adds a record, and removes a few expired ones.
    pub(super) fn put<R: Record>(&self, slot: &mut Slot<'_, R>, record: R, now: Timestamp) {
        if let Some(replaced) = slot.take() {
            self.forget(&*replaced);
        }
        slot.shard.put(Box::new(record));
        if self.full.load(Ordering::Relaxed) > 0 {
            self.full.store(0, Ordering::Relaxed);
        }
        self.expire(&mut slot.shard, PER_ADDITION, before_grace(now));
    }

    /// Removes expired records of a shard. Returns their number.
    fn expire<R: Record>(&self, shard: &mut Shard<R>, limit: usize, until: Timestamp) -> usize {
        let popped = std::iter::from_fn(|| {
            let mut record = shard.pop(until)?;
            self.forget(&*record);
            if record.stays() {
                self.traces.fetch_add(1, Ordering::Relaxed);
                shard.put(record);
            }
            Some(())
        });
        popped.take(limit).count()
    }

    /// Stops counting a record that was taken out.
    fn forget<R: Record>(&self, record: &R) {
        self.usage.remove(&record.room());
        if record.class() == Class::Trace {
            self.traces.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Frees memory that no record uses.
    pub(super) fn shrink(&self) {
        self.usage.shrink();
        let is_used = |application: &mut Arc<Application>| Arc::strong_count(application) > 1;
        self.applications
            .retain(|_, application| is_used(application));
    }

    /// One batch of a sweep. Returns the number of deadlines that were due.
    pub(super) fn sweep(&self, now: Timestamp) -> usize {
        self.drop_due(self.turn.fetch_add(1, Ordering::Relaxed), before_grace(now))
    }

    /// Removes a batch of records that have expired at `until`. Returns their number.
    fn drop_due(&self, turn: usize, until: Timestamp) -> usize {
        let sign_ins = self.drop_from(&self.sign_ins, turn, BATCH, until);
        sign_ins + self.drop_from(&self.codes, turn, BATCH - sign_ins, until)
    }

    fn drop_from<R: Record>(
        &self,
        table: &Table<R>,
        turn: usize,
        limit: usize,
        until: Timestamp,
    ) -> usize {
        let mut dropped = 0;
        for mut shard in table.shards(turn) {
            dropped += self.expire(&mut shard, limit - dropped, until);
            if dropped == limit {
                break;
            }
        }
        dropped
    }

    /// Evicts sign-ins that count for `holder`, and returns whether there were any. Many of others may precede them, so each
    /// attempt examines other ones.
    fn evict(&self, turn: usize, holder: Holder) -> bool {
        let mut evicted = 0;
        for mut shard in self.sign_ins.shards(turn) {
            while evicted < EVICTED
                && let Some(sign_in) = shard.evict(turn, holder)
            {
                self.forget(&*sign_in);
                evicted += 1;
            }
            if evicted > 0 {
                break;
            }
        }
        self.evicted.fetch_add(evicted, Ordering::Relaxed);
        evicted > 0
    }

    /// Numbers for metrics and readiness.
    pub(super) fn statistics(&self) -> Statistics {
        let (holders, usage) = self.usage.size();
        let application = size_of::<Application>() + 2 * size_of::<usize>();
        let applications = self.applications.len().max(holders) * application;
        let unfollowed = self.sign_ins.len(Class::Unfollowed);
        Statistics {
            pending: self.sign_ins.len(Class::SignIn) + unfollowed,
            unfollowed,
            codes: self.codes.len(Class::Code),
            tombstones: self.codes.len(Class::Tombstone),
            bytes: self.sign_ins.bytes() + self.codes.bytes() + applications + usage,
            refused: self.refused.load(Ordering::Relaxed),
            evicted: self.evicted.load(Ordering::Relaxed),
        }
    }
}

fn before_grace(now: Timestamp) -> Timestamp {
    let grace = u64::try_from(GRACE.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(grace))
}
