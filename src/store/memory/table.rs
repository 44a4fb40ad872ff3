//! Records of one kind: an index of positions, and logs with the records.
//!
//! The index maps a key to a position in a log. It contains six bytes of a keyed hash instead of the key's sixteen; the
//! full key is in the record and is compared there. The hash is keyed because keys can be chosen: with `codes =
//! "upstream"` they are digests of values that a client sends, and an attacker who could compute the hash could try
//! millions per second until many fall into the same place. A key whose hash collides with another one is not stored:
//! one in 300 million at a million records.
//!
//! Locks: a log may be locked while an index entry is held, never the other way round, and never two logs or two
//! entries of one table. The log decides: an index entry without its record is ignored.

use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::PoisonError;

use super::log::{Log, Position, Segment};
use super::mix::{Mix, SHARDS};
use super::network::NetworkName;
use super::origin::OriginName;
use super::record::{Record, State};
use super::sync::atomic::{AtomicUsize, Ordering};
use super::sync::{DashMap, Entry, Mutex, MutexGuard};
use crate::clock::Timestamp;
use crate::oauth::Digest;

/// Bytes of an index slot, including the byte that the map adds.
const SLOT: usize = size_of::<(Slot, Position)>() + 1;

/// Six bytes of the keyed hash of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot([u8; 6]);

/// Repeats bytes, because the map takes the shard from the upper bits and the place in it from the lower ones, which
/// must differ.
impl Hash for Slot {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut hash = [0; 8];
        for (to, from) in hash
            .iter_mut()
            .zip(self.0.iter().chain(self.0.iter().skip(4)))
        {
            *to = *from;
        }
        state.write_u64(u64::from_le_bytes(hash));
    }
}

/// The hasher for slots, which are hashes already.
#[derive(Debug, Default)]
struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

pub(super) struct Table {
    index: DashMap<Slot, Position, BuildHasherDefault<IdentityHasher>>,
    logs: Box<[Mutex<Log>]>,
    mix: Mix,
    segments: AtomicUsize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added<T> {
    New,
    /// The caller refused the record, for this reason.
    Not(T),
    /// The slot is taken by another key, or the log is full.
    NoRoom,
}

/// A dropped record, for accounting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dropped {
    key: Digest,
    position: Position,
    pub(super) origin: Option<OriginName>,
    pub(super) network: NetworkName,
    pub(super) state: State,
    pub(super) bytes: usize,
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            index: DashMap::with_capacity_and_hasher_and_shard_amount(
                0,
                BuildHasherDefault::default(),
                SHARDS,
            ),
            logs: (0..SHARDS).map(|_| Mutex::default()).collect(),
            mix: Mix::new(),
            segments: AtomicUsize::new(0),
        }
    }

    /// Calls `f` with the record under a key, while it holds the lock of the log.
    pub(super) fn with<T>(&self, key: Digest, f: impl FnOnce(&mut Record<'_>) -> T) -> Option<T> {
        let slot = self.slot(key);
        let position = *self.index.get(&slot)?;
        let mut log = self.log(Self::shard_of(slot))?;
        // The record may have been dropped since the lookup; then its position is invalid.
        record_under(&mut log, position, key).map(|mut record| f(&mut record))
    }

    /// Adds a record, atomically with the decision about an existing one (`met`; `None` replaces it) and with the
    /// preparation of the new one (`pack`). Neither may access this table.
    pub(super) fn add<T, B: AsRef<[u8]>>(
        &self,
        key: Digest,
        met: impl FnOnce(&mut Record<'_>) -> Option<T>,
        pack: impl FnOnce() -> Result<B, T>,
    ) -> Added<T> {
        let slot = self.slot(key);
        let shard = Self::shard_of(slot);
        let append = || match pack() {
            Ok(record) => self.append(shard, record.as_ref()).ok_or(Added::NoRoom),
            Err(reason) => Err(Added::Not(reason)),
        };
        match self.index.entry(slot) {
            Entry::Vacant(vacant) => match append() {
                Ok(position) => {
                    vacant.insert(position);
                    Added::New
                }
                Err(answer) => answer,
            },
            Entry::Occupied(mut occupied) => {
                if let Some(answer) = self.meet(shard, *occupied.get(), key, met) {
                    return answer;
                }
                match append() {
                    Ok(position) => {
                        occupied.insert(position);
                        Added::New
                    }
                    Err(answer) => answer,
                }
            }
        }
    }

    /// Drops the oldest records of a shard, at most `limit`, until `goes` returns false.
    pub(super) fn drop_while(
        &self,
        shard: usize,
        limit: usize,
        goes: impl Fn(&Record<'_>) -> bool,
    ) -> Vec<Dropped> {
        let mut dropped = Vec::new();
        let mut emptied = Vec::new();
        if let Some(mut log) = self.log(shard) {
            while dropped.len() < limit
                && let Some((position, bytes)) = log.head()
            {
                if let Some(record) = Record::open(bytes) {
                    if !goes(&record) {
                        break;
                    }
                    dropped.push(Dropped {
                        key: record.key(),
                        position,
                        origin: record.origin().ok(),
                        network: record.network(),
                        state: record.state(),
                        bytes: record.bytes(),
                    });
                }
                emptied.extend(log.pop());
            }
        }
        let freed = emptied.iter().map(Segment::cost).sum();
        self.segments.fetch_sub(freed, Ordering::Relaxed);
        for Dropped { key, position, .. } in &dropped {
            // Unless a newer record has replaced the entry.
            self.index
                .remove_if(&self.slot(*key), |_, now| now == position);
        }
        dropped
    }

    /// The earliest deadline among the oldest records of all shards for which `asked` is true. `None`: there are none.
    pub(super) fn first_deadline(&self, asked: impl Fn(&Record<'_>) -> bool) -> Option<Timestamp> {
        let of_shard = |shard| {
            let mut log = self.log(shard)?;
            let record = Record::open(log.head()?.1)?;
            asked(&record).then(|| record.deadline())
        };
        (0..SHARDS).filter_map(of_shard).min()
    }

    pub(super) fn shard(&self, key: Digest) -> usize {
        Self::shard_of(self.slot(key))
    }

    /// Frees memory of the index after a flood. Only when few entries are left, so that it is quick.
    pub(super) fn shrink(&self) {
        if self.index.capacity() > 64 * SHARDS && self.index.len() < self.index.capacity() / 16 {
            self.index.shrink_to_fit();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        // The capacity of a map is seven eighths of its slots.
        let index = self.index.capacity() * 8 / 7 * SLOT;
        let shards = SHARDS * (size_of::<Mutex<Log>>() + 128);
        index + shards + self.segments.load(Ordering::Relaxed)
    }

    fn meet<T>(
        &self,
        shard: usize,
        position: Position,
        key: Digest,
        met: impl FnOnce(&mut Record<'_>) -> Option<T>,
    ) -> Option<Added<T>> {
        let mut log = self.log(shard)?;
        let mut record = Record::open(log.get_mut(position)?)?;
        if record.key() == key {
            met(&mut record).map(Added::Not)
        } else {
            Some(Added::NoRoom)
        }
    }

    fn append(&self, shard: usize, record: &[u8]) -> Option<Position> {
        let mut log = self.log(shard)?;
        let position = log.append(record)?;
        self.segments
            .fetch_add(log.grown(position), Ordering::Relaxed);
        Some(position)
    }

    fn slot(&self, key: Digest) -> Slot {
        let mut slot = [0; 6];
        for (to, from) in slot
            .iter_mut()
            .zip(self.mix.hash(key.as_bytes()).to_le_bytes())
        {
            *to = from;
        }
        Slot(slot)
    }

    fn shard_of(Slot([.., byte]): Slot) -> usize {
        usize::from(byte) % SHARDS
    }

    /// Never `None`: every shard has a log.
    fn log(&self, shard: usize) -> Option<MutexGuard<'_, Log>> {
        // Poisoning is ignored: nothing panics while it holds this lock, and a log is valid after every step.
        self.logs
            .get(shard)
            .map(|log| log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[cfg(test)]
    pub(super) fn contains(&self, needle: &[u8]) -> bool {
        (0..SHARDS).any(|shard| self.log(shard).is_some_and(|log| log.contains(needle)))
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.index.len()
    }
}

fn record_under(log: &mut Log, position: Position, key: Digest) -> Option<Record<'_>> {
    Record::open(log.get_mut(position)?).filter(|record| record.key() == key)
}

#[cfg(test)]
#[cfg(not(shuttle))]
mod tests {
    use super::*;
    use std::collections::HashSet;

    use crate::flow::{ClientState, PendingAuthorization};
    use crate::store::memory::record::{Head, pack_pending};

    fn key(number: usize) -> Digest {
        Digest::of("key", &[&number.to_be_bytes()])
    }

    fn add(table: &Table, key: Digest) -> Added<()> {
        let pending = PendingAuthorization {
            challenge: None,
            client: key,
            redirect: None,
            state: ClientState::Absent,
            response_type: None,
            response_mode: None,
            browser: None,
        };
        let head = Head {
            key,
            deadline: Timestamp::from_millis(1),
            origin: OriginName::Number(0),
            network: NetworkName::NONE,
        };
        table.add(
            key,
            |_| Some(()),
            || Ok(pack_pending(State::Pending, head, &pending).unwrap()),
        )
    }

    #[test]
    fn keys_with_colliding_hashes_are_not_confused() {
        let table = Table::new();
        assert_eq!(add(&table, key(1)), Added::New);
        // The index now leads from the second key to the record of the first.
        let position = *table.index.get(&table.slot(key(1))).unwrap();
        table.index.insert(table.slot(key(2)), position);
        let shard = Table::shard_of(table.slot(key(1)));
        assert!(record_under(&mut table.log(shard).unwrap(), position, key(2)).is_none());
        assert_eq!(table.with(key(2), |_| ()), None);
        let same_shard = (2..9999)
            .map(key)
            .find(|key| table.shard(*key) == shard)
            .unwrap();
        table.index.insert(table.slot(same_shard), position);
        assert_eq!(table.with(same_shard, |_| ()), None);
        assert_eq!(add(&table, same_shard), Added::NoRoom);
        assert_eq!(table.with(key(1), |record| record.key()), Some(key(1)));
    }

    #[test]
    fn an_index_entry_without_a_record_is_replaced() {
        let table = Table::new();
        assert_eq!(add(&table, key(1)), Added::New);
        assert_eq!(add(&table, key(1)), Added::Not(()));
        let slot = table.slot(key(1));
        let position = *table.index.get(&slot).unwrap();
        assert_eq!(table.drop_while(table.shard(key(1)), 9, |_| true).len(), 1);
        table.index.insert(slot, position); // as if the entry had not been removed yet
        assert_eq!(table.with(key(1), |_| ()), None);
        assert_eq!(add(&table, key(1)), Added::New);
        assert!(table.with(key(1), |_| ()).is_some());
    }

    #[test]
    fn records_are_spread_over_shards_and_places() {
        let table = Table::new();
        for number in 0..64_000 {
            assert_eq!(add(&table, key(number)), Added::New);
        }
        let mut shards = [0; SHARDS];
        for number in 0..64_000 {
            shards[table.shard(key(number))] += 1;
        }
        assert!(
            shards.iter().all(|records| (800..1200).contains(records)),
            "{shards:?}"
        );
        // The map takes the shard from bits 51 to 56 of the hash.
        let hashes = (0..64_000).map(|number| table.index.hash_usize(&table.slot(key(number))));
        let first_shard = hashes.filter(|hash| hash >> 51 & 63 == 1);
        let places: HashSet<_> = first_shard.map(|hash| hash % 1024).collect();
        assert!(
            places.len() > 500,
            "the place in a shard depends on the shard: {}",
            places.len()
        );
    }
}
