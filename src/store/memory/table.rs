//! Maps of records.
//!
//! A record is read and changed under the lock of its shard of the map. With `codes = "upstream"` an attacker can choose keys,
//! which are digests of values in requests. The map uses a randomly keyed hash, so that chosen keys do not collide.

use foldhash::quality::RandomState;

use super::queue::Queue;
use super::record::Record;
use super::sync::atomic::{AtomicUsize, Ordering};
use super::sync::{DashMap, Entry, SHARDS};
use crate::clock::Timestamp;
use crate::oauth::Digest;

/// Records of one kind. They are boxed, because up to half of the map's slots are empty.
pub(super) struct Table<R> {
    records: DashMap<Digest, Box<R>, RandomState>,
    /// Memory of the records, in bytes.
    bytes: AtomicUsize,
    pub(super) queue: Queue,
}

/// The place of a key in a table. The shard is locked as long as it exists.
pub(super) struct Slot<'t, R> {
    pub(super) table: &'t Table<R>,
    key: Digest,
    entry: Entry<'t, Digest, Box<R>>,
}

impl<R: Record> Table<R> {
    pub(super) fn new() -> Self {
        Self {
            records: DashMap::with_hasher_and_shard_amount(RandomState::default(), SHARDS),
            bytes: AtomicUsize::new(0),
            queue: Queue::default(),
        }
    }

    /// Reads or changes the record with this key, while its shard is locked.
    pub(super) fn with<T>(&self, key: Digest, f: impl FnOnce(&mut R) -> T) -> Option<T> {
        self.records.get_mut(&key).map(|mut record| f(&mut record))
    }

    /// Locks the place of this key. Neither the same thread nor a queue may use this table meanwhile.
    pub(super) fn lock(&self, key: Digest) -> Slot<'_, R> {
        let entry = self.records.entry(key);
        Slot {
            table: self,
            key,
            entry,
        }
    }

    /// Removes the record with this key if `goes` returns true.
    pub(super) fn remove_if(&self, key: Digest, goes: impl FnOnce(&R) -> bool) -> Option<Box<R>> {
        let (_, removed) = self.records.remove_if(&key, |_, record| goes(record))?;
        self.bytes.fetch_sub(removed.bytes(), Ordering::Relaxed);
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

    /// Memory, in bytes, that of the queue included.
    pub(super) fn bytes(&self) -> usize {
        // A map's capacity is seven eighths of its slots, and a slot has a byte of metadata.
        let slots = self.records.capacity() * 8 / 7;
        slots * (size_of::<(Digest, usize)>() + 1)
            + self.bytes.load(Ordering::Relaxed)
            + self.queue.bytes()
    }
}

impl<R: Record> Slot<'_, R> {
    /// Whether there is a record in this place.
    pub(super) fn any(&mut self) -> bool {
        matches!(self.entry, Entry::Occupied(_))
    }

    /// The record in this place, if it has not expired.
    pub(super) fn live(&mut self, now: Timestamp) -> Option<&mut R> {
        match &mut self.entry {
            Entry::Occupied(there) => {
                Some(&mut **there.get_mut()).filter(|there| !there.is_over(now))
            }
            Entry::Vacant(_) => None,
        }
    }

    /// Adds a record, with its deadline in `queue`. Returns the record that was in its place.
    pub(super) fn put(self, record: R, queue: &Queue) -> Option<Box<R>> {
        let bytes = &self.table.bytes;
        bytes.fetch_add(record.bytes(), Ordering::Relaxed);
        queue.push(self.key, record.deadline());
        let record = Box::new(record);
        let replaced = match self.entry {
            Entry::Vacant(vacant) => {
                vacant.insert(record);
                return None;
            }
            Entry::Occupied(mut there) => there.insert(record),
        };
        bytes.fetch_sub(replaced.bytes(), Ordering::Relaxed);
        Some(replaced)
    }
}
