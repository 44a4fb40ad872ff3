//! Records by their keys, and queues that say when they expire.
//!
//! A record is read and changed under the lock of its shard of the map. Keys can be chosen: in `codes = "upstream"` they are
//! digests of values that a client sends. The map's hash is keyed at random, so that chosen keys spread like others.

use std::collections::VecDeque;
use std::sync::PoisonError;

use foldhash::quality::RandomState;

use super::record::Record;
use super::sync::atomic::{AtomicUsize, Ordering};
use super::sync::{DashMap, Entry, Mutex, MutexGuard, SHARDS};
use crate::clock::Timestamp;
use crate::oauth::Digest;

/// A slot of the map and the byte that the map adds to it.
const SLOT: usize = size_of::<(Digest, usize)>() + 1;

/// Records of one kind. Boxed, because a map keeps half of its slots empty.
pub(super) struct Table<R> {
    records: DashMap<Digest, Box<R>, RandomState>,
    /// Memory of the records, in bytes.
    bytes: AtomicUsize,
}

impl<R: Record> Table<R> {
    pub(super) fn new() -> Self {
        Self {
            records: DashMap::with_hasher_and_shard_amount(RandomState::default(), SHARDS),
            bytes: AtomicUsize::new(0),
        }
    }

    /// Reads or changes the record under a key, and no other thread does at the same time.
    pub(super) fn with<T>(&self, key: Digest, f: impl FnOnce(&mut R) -> T) -> Option<T> {
        let mut record = self.records.get_mut(&key)?;
        Some(self.change(&mut record, f))
    }

    /// Adds a record, atomically with what is decided about the one under the same key (`met`; `None` replaces it), and with
    /// what has to be true elsewhere (`make`). Neither may use this table. Returns the record that was replaced.
    pub(super) fn add<T>(
        &self,
        queue: &Queue,
        key: Digest,
        met: impl FnOnce(&mut R) -> Option<T>,
        make: impl FnOnce() -> Result<R, T>,
    ) -> Result<Option<Box<R>>, T> {
        let mut entry = self.records.entry(key);
        if let Entry::Occupied(there) = &mut entry
            && let Some(instead) = self.change(there.get_mut(), met)
        {
            return Err(instead);
        }
        let record = Box::new(make()?);
        self.bytes.fetch_add(bytes(&*record), Ordering::Relaxed);
        queue.push(key, record.deadline());
        let replaced = match entry {
            Entry::Vacant(vacant) => {
                vacant.insert(record);
                None
            }
            Entry::Occupied(mut there) => Some(there.insert(record)),
        };
        Ok(replaced.inspect(|record| self.discount(record)))
    }

    /// Drops the record under a key if it `goes`.
    pub(super) fn remove_if(&self, key: Digest, goes: impl FnOnce(&R) -> bool) -> Option<Box<R>> {
        let (_, removed) = self.records.remove_if(&key, |_, record| goes(record))?;
        self.discount(&removed);
        Some(removed)
    }

    /// Gives memory of the map back after a flood. Only when few records are left, so that it is done quickly.
    pub(super) fn shrink(&self) {
        if self.records.capacity() > 64 * SHARDS && self.len() < self.records.capacity() / 16 {
            self.records.shrink_to_fit();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        // A map's capacity is seven eighths of its slots.
        self.records.capacity() * 8 / 7 * SLOT + self.bytes.load(Ordering::Relaxed)
    }

    /// What a change wipes is free at once.
    fn change<T>(&self, record: &mut R, change: impl FnOnce(&mut R) -> T) -> T {
        let before = bytes(record);
        let answer = change(record);
        self.bytes
            .fetch_sub(before - bytes(record), Ordering::Relaxed);
        answer
    }

    fn discount(&self, record: &R) {
        self.bytes.fetch_sub(bytes(record), Ordering::Relaxed);
    }
}

fn bytes<R: Record>(record: &R) -> usize {
    size_of::<R>() + record.texts().next_multiple_of(16)
}

/// When which records expire. Records that live equally long come in the order of their deadlines. After a reload with a shorter
/// lifetime they do not: each lane is in order, and there are as many as there are lifetimes in use. A record that has got
/// another deadline meanwhile, or is gone, is passed over when its old deadline comes up.
#[derive(Default)]
pub(super) struct Queue(Mutex<Vec<Lane>>);

/// In chunks: a queue that grows as a whole would copy all of itself.
type Lane = VecDeque<VecDeque<Due>>;

/// The key of a record and its deadline, which together name one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) key: Digest,
    pub(super) deadline: Timestamp,
}

impl Queue {
    const CHUNK: usize = 512;

    pub(super) fn push(&self, key: Digest, deadline: Timestamp) {
        let mut lanes = self.lanes();
        let last = |lane: &Lane| lane.back().and_then(|chunk| chunk.back().copied());
        let fits = |lane: &Lane| last(lane).is_none_or(|last| last.deadline <= deadline);
        let place = lanes.iter().position(fits).unwrap_or(lanes.len());
        if place == lanes.len() {
            lanes.push(Lane::new());
        }
        let Some(lane) = lanes.get_mut(place) else {
            return;
        };
        let due = Due { key, deadline };
        match lane.back_mut() {
            Some(last) if last.len() < Self::CHUNK => last.push_back(due),
            Some(_) | None => {
                let mut chunk = VecDeque::with_capacity(Self::CHUNK);
                chunk.push_back(due);
                lane.push_back(chunk);
            }
        }
    }

    /// Takes the oldest out, at most `limit`, whose deadlines are not after `until`.
    pub(super) fn take(&self, limit: usize, until: Timestamp) -> Vec<Due> {
        let mut taken = Vec::new();
        let mut lanes = self.lanes();
        for lane in lanes.iter_mut() {
            while taken.len() < limit
                && let Some(chunk) = lane.front_mut()
            {
                match chunk.pop_front_if(|due| due.deadline <= until) {
                    Some(due) => taken.push(due),
                    None if chunk.is_empty() => drop(lane.pop_front()),
                    None => break,
                }
            }
        }
        lanes.retain(|lane| !lane.is_empty());
        taken
    }

    /// Some of the oldest, after so many that are passed over; they stay.
    pub(super) fn some(&self, passed: usize, limit: usize) -> Vec<Due> {
        let lanes = self.lanes();
        let dues = lanes.iter().flatten().flatten();
        dues.skip(passed).take(limit).copied().collect()
    }

    /// The oldest of each lane, at most `limit`, in the order of their deadlines; they stay.
    pub(super) fn oldest(&self, limit: usize) -> Vec<Due> {
        let lanes = self.lanes();
        let of_lane = |lane: &Lane| {
            lane.iter()
                .flatten()
                .take(limit)
                .copied()
                .collect::<Vec<_>>()
        };
        let mut oldest: Vec<Due> = lanes.iter().flat_map(of_lane).collect();
        oldest.sort_by_key(|due| due.deadline);
        oldest
    }

    /// Takes some out, wherever they are.
    pub(super) fn forget(&self, gone: &[Due]) {
        let mut left = gone.len();
        for lane in self.lanes().iter_mut() {
            for chunk in lane.iter_mut() {
                if left == 0 {
                    break;
                }
                let before = chunk.len();
                chunk.retain(|due| !gone.contains(due));
                left -= before - chunk.len();
            }
            lane.retain(|chunk| !chunk.is_empty());
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lanes().iter().flatten().map(VecDeque::len).sum()
    }

    /// Memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let chunks: usize = self.lanes().iter().map(VecDeque::len).sum();
        chunks * Self::CHUNK * size_of::<Due>()
    }

    fn lanes(&self) -> MutexGuard<'_, Vec<Lane>> {
        // Nothing panics while it holds this lock; if it did, the queue would still be a queue.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
