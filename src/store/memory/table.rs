//! Maps of records, and queues of their deadlines.
//!
//! A record is read and changed under the lock of its shard of the map. With `codes = "upstream"` an attacker can choose keys,
//! which are digests of values in requests. The map uses a randomly keyed hash, so that chosen keys do not collide.

use std::collections::VecDeque;
use std::sync::PoisonError;

use foldhash::quality::RandomState;

use super::record::Record;
use super::sync::atomic::{AtomicUsize, Ordering};
use super::sync::{DashMap, Entry, Mutex, MutexGuard, SHARDS};
use crate::clock::Timestamp;
use crate::oauth::Digest;

/// The size of a slot of the map, with the byte of metadata.
const SLOT: usize = size_of::<(Digest, usize)>() + 1;

/// Records of one kind. They are boxed, because up to half of the map's slots are empty.
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

    /// Reads or changes the record with this key, while its shard is locked.
    pub(super) fn with<T>(&self, key: Digest, f: impl FnOnce(&mut R) -> T) -> Option<T> {
        let mut record = self.records.get_mut(&key)?;
        Some(self.change(&mut record, f))
    }

    /// Adds the record that `make` returns, while the shard is locked. If there is a record with this key already, `met` decides:
    /// `None` replaces it, `Some` ends with that error. Neither may use this table. Returns the replaced record.
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

    /// Removes the record with this key if `goes` returns true.
    pub(super) fn remove_if(&self, key: Digest, goes: impl FnOnce(&R) -> bool) -> Option<Box<R>> {
        let (_, removed) = self.records.remove_if(&key, |_, record| goes(record))?;
        self.discount(&removed);
        Some(removed)
    }

    /// Frees memory of the map after a flood. Only if few records are left, so that it is quick.
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

    /// Changes a record and updates the memory count.
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

/// The deadlines of records. Records with equal lifetimes are added in the order of their deadlines. After a reload with a shorter
/// lifetime they are not, so there is a lane for each lifetime in use, and each lane is in order. An entry is ignored if its
/// record has been removed or has another deadline by then.
#[derive(Default)]
pub(super) struct Queue(Mutex<Vec<Lane>>);

/// In chunks, so that growing does not copy the whole queue.
type Lane = VecDeque<VecDeque<Due>>;

/// The key and the deadline of a record, which together identify it.
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

    /// Removes and returns up to `limit` entries with deadlines up to `until`.
    pub(super) fn take(&self, limit: usize, until: Timestamp) -> Vec<Due> {
        let mut taken = Vec::new();
        let mut lanes = self.lanes();
        let mut is_emptied = false;
        for lane in lanes.iter_mut() {
            while taken.len() < limit
                && let Some(chunk) = lane.front_mut()
            {
                match chunk.pop_front_if(|due| due.deadline <= until) {
                    Some(due) => taken.push(due),
                    None if chunk.is_empty() => {
                        lane.pop_front();
                        is_emptied |= lane.is_empty();
                    }
                    None => break,
                }
            }
        }
        if is_emptied {
            lanes.retain(|lane| !lane.is_empty());
        }
        taken
    }

    /// Returns `limit` entries after the first `passed`, without removing them.
    pub(super) fn some(&self, passed: usize, limit: usize) -> Vec<Due> {
        let lanes = self.lanes();
        let dues = lanes.iter().flatten().flatten();
        dues.skip(passed).take(limit).copied().collect()
    }

    /// Returns the first `limit` entries of each lane in the order of their deadlines, without removing them.
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

    /// Removes these entries.
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
        // No code panics while it holds this lock, and a poisoned queue would still be valid.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
