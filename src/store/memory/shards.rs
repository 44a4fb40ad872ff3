//! Records of one kind, in shards. The slab of a shard is also its queue.
//!
//! A shard has lanes, and a lane has records of one lifetime in the order in which they were added, which is that of their
//! deadlines: the first ones expire next. A record that is removed from the middle leaves an empty place. The index finds the
//! place of a record by a hash of its key, which is randomly keyed, because an attacker can choose keys (`codes = "upstream"`).

use std::collections::VecDeque;
use std::hash::BuildHasher as _;
use std::sync::PoisonError;
use std::time::Duration;

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use super::sync::{Mutex, MutexGuard, SHARDS};
use super::usage::{Holder, Room};
use crate::clock::Timestamp;
use crate::oauth::Digest;

/// Bytes that are allocated for records at once.
const CHUNK: usize = 8192;

/// The number of places that are examined at once to find a record that counts towards a limit.
const LOOKED_AT: usize = 8;

pub(super) trait Record {
    fn key(&self) -> Digest;

    /// The time from `now` to the deadline. Zero: the record has expired.
    fn left(&self, now: Timestamp) -> Duration;

    /// The room that the record takes as long as it exists.
    fn room(&self) -> Room;

    /// Memory outside the slab, in bytes. It does not change.
    fn bytes(&self) -> usize;

    /// Whether it is what remains of a redeemed or burnt code.
    fn is_tombstone(&self) -> bool {
        false
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.left(now).is_zero()
    }
}

/// What the records of a lane have in common.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Sign-ins whose redirect was not followed: the only records that are evicted.
    Unfollowed,
    /// They are added with this lifetime. After a reload there are lanes for the old and the new one.
    Lasting(Duration),
    /// They were made elsewhere, and are added with various lifetimes. Some are removed late.
    Adopted,
}

pub(super) struct Table<R> {
    shards: Vec<Mutex<Shard<R>>>,
    hasher: RandomState,
}

pub(super) struct Shard<R> {
    index: HashTable<Place>,
    lanes: Vec<Lane<R>>,
    /// Memory outside the slab, in bytes.
    bytes: usize,
    hasher: RandomState,
}

struct Lane<R> {
    kind: Kind,
    /// In chunks, so that growing copies nothing.
    places: VecDeque<Vec<Option<R>>>,
    /// The number of the first place.
    first: u32,
    /// The positions of the first record, and after the last one.
    front: usize,
    end: usize,
    /// Records, without empty places.
    len: usize,
}

/// The lane of a record, and the lower bytes of its number in the lane.
type Place = (u8, [u8; 3]);

/// The place of a key. Its shard is locked as long as it exists.
pub(super) struct Slot<'t, R> {
    pub(super) shard: MutexGuard<'t, Shard<R>>,
    place: Option<Place>,
    hash: u64,
}

impl<R: Record> Table<R> {
    pub(super) fn new() -> Self {
        let hasher = RandomState::default();
        let shard = |_| {
            Mutex::new(Shard {
                index: HashTable::new(),
                lanes: Vec::new(),
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
        let is_it = |place: &Place| get(&shard.lanes, *place).is_some_and(|it| it.key() == key);
        let place = shard.index.find(hash, is_it).copied();
        Slot { shard, place, hash }
    }

    /// Reads or changes the record with this key, while its shard is locked.
    pub(super) fn with<T>(&self, key: Digest, f: impl FnOnce(&mut R) -> T) -> Option<T> {
        self.lock(key).get().map(f)
    }

    /// The number of records in lanes of this kind, or in all.
    pub(super) fn len(&self, kind: Option<Kind>) -> usize {
        let counts = |lane: &&Lane<R>| kind.is_none_or(|kind| lane.kind == kind);
        let of = |lanes: &Vec<Lane<R>>| -> usize {
            lanes.iter().filter(counts).map(|lane| lane.len).sum()
        };
        self.shards(0).map(|shard| of(&shard.lanes)).sum()
    }

    /// Memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let of = |shard: MutexGuard<'_, Shard<R>>| {
            let chunks: usize = shard.lanes.iter().map(|lane| lane.places.len()).sum();
            chunks * CHUNK + shard.index.allocation_size() + shard.bytes
        };
        self.shards(0).map(of).sum()
    }
}

fn lock<T>(shard: &Mutex<T>) -> MutexGuard<'_, T> {
    // No operation panics between two changes that belong together.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn get<R>(lanes: &[Lane<R>], (lane, number): Place) -> Option<&R> {
    let lane = lanes.get(usize::from(lane))?;
    lane.get(lane.at(number))
}

/// The hash of the record in this place.
fn hash<R: Record>(lanes: &[Lane<R>], hasher: &RandomState, place: Place) -> u64 {
    get(lanes, place).map_or(0, |record| hasher.hash_one(record.key()))
}

impl<R: Record> Slot<'_, R> {
    pub(super) fn get(&mut self) -> Option<&mut R> {
        let (lane, number) = self.place?;
        let lane = self.shard.lanes.get_mut(usize::from(lane))?;
        lane.place(lane.at(number))?.as_mut()
    }

    /// The record, if it has not expired.
    pub(super) fn live(&mut self, now: Timestamp) -> Option<&mut R> {
        self.get().filter(|record| !record.is_over(now))
    }

    pub(super) fn take(&mut self) -> Option<R> {
        self.place.take().and_then(|place| self.shard.take(place))
    }

    /// Adds a record, after the one that was here has been taken.
    pub(super) fn put(&mut self, kind: Kind, record: R) {
        let shard = &mut *self.shard;
        shard.bytes += record.bytes();
        let fits = |lane: &Lane<R>| lane.kind == kind || lane.len == 0;
        let at = shard.lanes.iter().position(fits);
        // After hundreds of reloads in one lifetime, different kinds would be in the last lane, and some removed late.
        let lane = u8::try_from(at.unwrap_or(shard.lanes.len())).unwrap_or(u8::MAX);
        if usize::from(lane) == shard.lanes.len() {
            shard.lanes.push(Lane::new(kind));
        }
        if let Some(number) = shard
            .lanes
            .get_mut(usize::from(lane))
            .map(|lane| lane.push(kind, record))
        {
            let hash = |place: &Place| hash(&shard.lanes, &shard.hasher, *place);
            shard.index.insert_unique(self.hash, (lane, number), hash);
            self.place = Some((lane, number));
        }
    }
}

impl<R: Record> Shard<R> {
    /// Removes a record that has expired at `until`.
    pub(super) fn pop(&mut self, until: Timestamp) -> Option<R> {
        let due = (0..).zip(&self.lanes).find_map(|(number, lane)| {
            let is_due = lane.get(lane.front)?.is_over(until);
            is_due.then_some((number, lane.number(lane.front)))
        });
        self.take(due?)
    }

    /// Removes an unfollowed sign-in that counts for `holder`: the oldest, or one of a few that depend on `turn`.
    pub(super) fn evict(&mut self, turn: usize, holder: Holder) -> Option<R> {
        let mut lanes = (0..).zip(&self.lanes);
        let (number, lane) = lanes.find(|(_, lane)| lane.kind == Kind::Unfollowed)?;
        let turn = turn.wrapping_mul(LOOKED_AT);
        let from = lane.front + turn.checked_rem(lane.end - lane.front)?;
        let some = std::iter::once(lane.front).chain(from..from + LOOKED_AT);
        let at = lane.find(some, holder)?;
        self.take((number, lane.number(at)))
    }

    /// The shortest time that is left to one of the oldest records that count for `holder`.
    pub(super) fn first(&self, now: Timestamp, holder: Holder) -> Option<Duration> {
        let first = |lane: &Lane<R>| {
            let at = lane.find(lane.front..lane.front + LOOKED_AT, holder)?;
            lane.get(at).map(|record| record.left(now))
        };
        self.lanes.iter().filter_map(first).min()
    }

    fn take(&mut self, place: Place) -> Option<R> {
        let record = self.lanes.get_mut(usize::from(place.0))?.take(place.1)?;
        let hash = self.hasher.hash_one(record.key());
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == place) {
            entry.remove();
        }
        self.bytes -= record.bytes();
        // After a flood. Few records are left, so it is quick.
        if self.index.len() * 16 + 64 < self.index.capacity() {
            let hash = |place: &Place| self::hash(&self.lanes, &self.hasher, *place);
            self.index.shrink_to_fit(hash);
        }
        Some(record)
    }
}

impl<R> Lane<R> {
    const CHUNK: usize = CHUNK / size_of::<Option<R>>();

    fn new(kind: Kind) -> Self {
        Self {
            kind,
            places: VecDeque::new(),
            first: 0,
            front: 0,
            end: 0,
            len: 0,
        }
    }

    fn get(&self, at: usize) -> Option<&R> {
        let chunk = self.places.get(at / Self::CHUNK)?;
        chunk.get(at % Self::CHUNK)?.as_ref()
    }

    fn place(&mut self, at: usize) -> Option<&mut Option<R>> {
        let chunk = self.places.get_mut(at / Self::CHUNK)?;
        chunk.get_mut(at % Self::CHUNK)
    }

    /// The number of the place at this position.
    fn number(&self, at: usize) -> [u8; 3] {
        let at = u32::try_from(at).unwrap_or_default();
        let [_, number @ ..] = self.first.wrapping_add(at).to_be_bytes();
        number
    }

    /// The position of the place with this number.
    fn at(&self, [a, b, c]: [u8; 3]) -> usize {
        let number = u32::from_be_bytes([0, a, b, c]);
        (number.wrapping_sub(self.first) % (1 << 24)) as usize
    }

    fn push(&mut self, kind: Kind, record: R) -> [u8; 3] {
        self.kind = kind;
        if self.end.is_multiple_of(Self::CHUNK) {
            self.places.push_back(Vec::with_capacity(Self::CHUNK));
        }
        if let Some(chunk) = self.places.back_mut() {
            chunk.push(Some(record));
        }
        self.len += 1;
        self.end += 1;
        self.number(self.end - 1)
    }

    fn take(&mut self, number: [u8; 3]) -> Option<R> {
        let record = self.place(self.at(number))?.take()?;
        self.len -= 1;
        while self.front < self.end && self.get(self.front).is_none() {
            self.front += 1;
            if self.front == Self::CHUNK || self.front == self.end {
                self.places.pop_front();
                self.first = self
                    .first
                    .wrapping_add(u32::try_from(self.front).unwrap_or_default());
                self.end -= self.front;
                self.front = 0;
            }
        }
        Some(record)
    }
}

impl<R: Record> Lane<R> {
    /// The first of some positions with a record that counts for `holder`.
    fn find(&self, mut some: impl Iterator<Item = usize>, holder: Holder) -> Option<usize> {
        some.find(|at| self.get(*at).is_some_and(|it| it.room().counts_for(holder)))
    }
}
