//! Records of one kind, in shards. A shard has an index of its records, and a queue of their deadlines.
//!
//! The queue also has deadlines that no record has any more, because it was taken out; they are passed over. The index finds a
//! record by a hash of its key, which is randomly keyed, because an attacker can choose keys (`codes = "upstream"`).

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, VecDeque};
use std::hash::BuildHasher as _;
use std::sync::PoisonError;

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use super::record::{Class, Record};
use super::sync::{Mutex, MutexGuard, SHARDS};
use super::usage::Holder;
use crate::clock::Timestamp;
use crate::oauth::Digest;

/// The number of records that are examined at once to find one that counts towards a limit.
const LOOKED_AT: usize = 8;

pub(super) struct Table<R> {
    shards: Vec<Mutex<Shard<R>>>,
    hasher: RandomState,
}

/// Records are boxed, so that a table that grows moves only pointers.
pub(super) struct Shard<R> {
    index: HashTable<Box<R>>,
    queue: BinaryHeap<Reverse<Due>>,
    /// Those of sign-ins that can be evicted. All have the same lifetime, so this is the order of their deadlines.
    unfollowed: VecDeque<Due>,
    /// The number of records of each class.
    counts: [usize; Class::ALL],
    bytes: usize,
    hasher: RandomState,
}

/// A deadline, and the hash of the key.
type Due = (Timestamp, u64);

/// The place of a key. Its shard is locked as long as it exists.
pub(super) struct Slot<'t, R> {
    pub(super) shard: MutexGuard<'t, Shard<R>>,
    key: Digest,
    hash: u64,
}

impl<R: Record> Table<R> {
    pub(super) fn new() -> Self {
        let hasher = RandomState::default();
        let shard = |_| {
            Mutex::new(Shard {
                index: HashTable::new(),
                queue: BinaryHeap::new(),
                unfollowed: VecDeque::new(),
                counts: [0; Class::ALL],
                bytes: 0,
                hasher: hasher.clone(),
            })
        };
        let shards = (0..SHARDS).map(shard).collect();
        Self { shards, hasher }
    }

    /// Locks one shard after another, from one that depends on `turn`.
    pub(super) fn shards(&self, turn: usize) -> impl Iterator<Item = MutexGuard<'_, Shard<R>>> {
        let shards = self.shards.iter().cycle().skip(turn % SHARDS);
        shards.take(SHARDS).map(lock)
    }

    #[expect(clippy::indexing_slicing, reason = "the number is less than SHARDS")]
    pub(super) fn lock(&self, key: Digest) -> Slot<'_, R> {
        let hash = self.hasher.hash_one(key);
        // By other bits than those that the index uses.
        let shard = (hash % (1 << 32) * SHARDS as u64) >> 32;
        let shard = lock(&self.shards[shard as usize]);
        Slot { shard, key, hash }
    }

    /// Reads or changes the record with this key, while its shard is locked. Its deadline does not change.
    pub(super) fn with<T>(&self, key: Digest, f: impl FnOnce(&mut R) -> T) -> Option<T> {
        let mut slot = self.lock(key);
        let record = slot.get()?;
        let before = record.class();
        let result = f(record);
        let after = record.class();
        slot.shard.count(before, -1);
        slot.shard.count(after, 1);
        Some(result)
    }

    /// The number of records of this class.
    pub(super) fn len(&self, class: Class) -> usize {
        let count = |shard: MutexGuard<'_, Shard<R>>| shard.counts.get(class as usize).copied();
        self.shards(0).filter_map(count).sum()
    }

    /// Memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let of = |shard: MutexGuard<'_, Shard<R>>| {
            let queues = shard.queue.capacity() + shard.unfollowed.capacity();
            queues * size_of::<Due>() + shard.index.allocation_size() + shard.bytes
        };
        self.shards(0).map(of).sum()
    }
}

fn lock<T>(shard: &Mutex<T>) -> MutexGuard<'_, T> {
    // No operation panics between two changes that belong together.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<R: Record> Slot<'_, R> {
    pub(super) fn get(&mut self) -> Option<&mut R> {
        let key = self.key;
        let found = self
            .shard
            .index
            .find_mut(self.hash, |record| record.key() == key);
        found.map(Box::as_mut)
    }

    /// The record, if it has not expired.
    pub(super) fn live(&mut self, now: Timestamp) -> Option<&mut R> {
        self.get().filter(|record| !record.is_over(now))
    }

    pub(super) fn take(&mut self) -> Option<Box<R>> {
        self.shard.take(self.hash, self.key)
    }
}

impl<R: Record> Shard<R> {
    /// Adds a record; there is none with its key.
    pub(super) fn put(&mut self, record: Box<R>) {
        let due = self.due(&record);
        if record.class() == Class::Unfollowed {
            self.unfollowed.push_back(due);
        } else {
            self.queue.push(Reverse(due));
        }
        self.count(record.class(), 1);
        self.bytes += record.bytes();
        let hasher = &self.hasher;
        self.index
            .insert_unique(due.1, record, |record| hasher.hash_one(record.key()));
    }

    /// Removes a record that has expired at `until`.
    pub(super) fn pop(&mut self, until: Timestamp) -> Option<Box<R>> {
        loop {
            let due = if self.unfollowed.front().is_some_and(|due| due.0 <= until) {
                self.unfollowed.pop_front()
            } else {
                let queue = self.queue.peek_mut().filter(|due| due.0.0 <= until);
                queue.map(|due| PeekMut::pop(due).0)
            };
            if let Some(record) = self.remove(due?) {
                return Some(record);
            }
        }
    }

    /// Removes an unfollowed sign-in that counts for `holder`: the oldest, or one of a few that depend on `turn`.
    pub(super) fn evict(&mut self, turn: usize, holder: Holder) -> Option<Box<R>> {
        while self
            .unfollowed
            .front()
            .is_some_and(|due| self.find(*due).is_none())
        {
            self.unfollowed.pop_front();
        }
        let from = turn
            .wrapping_mul(LOOKED_AT)
            .checked_rem(self.unfollowed.len())?;
        let some = (0..LOOKED_AT).chain(from..from + LOOKED_AT);
        let mut some = some.filter_map(|at| self.unfollowed.get(at).copied());
        let is_it =
            |record: &R| record.class() == Class::Unfollowed && record.room().counts_for(holder);
        let due = some.find(|due| self.find(*due).is_some_and(is_it))?;
        self.remove(due)
    }

    /// The first deadline of a few records that expire soon and count for `holder`.
    pub(super) fn first(&mut self, holder: Holder) -> Option<Timestamp> {
        while self
            .queue
            .peek()
            .is_some_and(|due| self.find(due.0).is_none())
        {
            self.queue.pop();
        }
        let soon = self.queue.iter().map(|due| due.0).take(LOOKED_AT);
        let soon = soon.chain(self.unfollowed.iter().copied().take(LOOKED_AT));
        let counts = |record: &R| record.room().counts_for(holder);
        let soon = soon.filter(|due| self.find(*due).is_some_and(counts));
        soon.map(|due| due.0).min()
    }

    fn find(&self, due: Due) -> Option<&R> {
        let found = self.index.find(due.1, |record| self.due(record) == due);
        found.map(Box::as_ref)
    }

    fn remove(&mut self, due: Due) -> Option<Box<R>> {
        let key = self.find(due)?.key();
        self.take(due.1, key)
    }

    fn due(&self, record: &R) -> Due {
        (record.deadline(), self.hasher.hash_one(record.key()))
    }

    fn take(&mut self, hash: u64, key: Digest) -> Option<Box<R>> {
        let entry = self.index.find_entry(hash, |record| record.key() == key);
        let entry = entry.ok()?;
        let (record, _) = entry.remove();
        self.count(record.class(), -1);
        self.bytes -= record.bytes();
        // After a flood. Few records are left, so it is quick.
        if self.index.len() * 16 + 16 < self.index.capacity() {
            let hasher = &self.hasher;
            self.index
                .shrink_to_fit(|record| hasher.hash_one(record.key()));
            self.queue.shrink_to_fit();
            self.unfollowed.shrink_to_fit();
        }
        Some(record)
    }

    fn count(&mut self, class: Class, by: isize) {
        if let Some(count) = self.counts.get_mut(class as usize) {
            *count = count.wrapping_add_signed(by);
        }
    }
}
