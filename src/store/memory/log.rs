//! Records in the order in which they were added.
//!
//! All records of a log have the same lifetime, so the oldest always expires first: the log is its own queue of
//! deadlines, and dropping expired records needs no search. Records are allocated in segments of 14 KB, not one by one,
//! which saves the allocator's rounding and overhead for each; memory is freed by whole segments. Dropped records are
//! wiped.
//!
//! ```text
//! segment   record, record, …
//! record    2 bytes length, then its bytes; length 65535: a record alone in a segment of its own size
//! ```

use std::collections::VecDeque;

use super::wipe::wipe;

/// The position of a record: the number of its segment and the offset in it. A position is reused only after 262,144
/// further segments (3.7 GB); until then, the position of a dropped record is invalid. Stored as bytes, because an
/// integer would need alignment in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position([u8; 4]);

impl Position {
    fn new(number: u32, offset: u32) -> Self {
        Self((number << OFFSET_BITS | offset).to_ne_bytes())
    }

    fn number(self) -> u32 {
        u32::from_ne_bytes(self.0) >> OFFSET_BITS
    }

    fn offset(self) -> u32 {
        u32::from_ne_bytes(self.0) & MAX_OFFSET
    }
}

const OFFSET_BITS: u32 = 14;
const NUMBERS: u32 = 1 << (u32::BITS - OFFSET_BITS);
const MAX_OFFSET: u32 = (1 << OFFSET_BITS) - 1;

/// The largest size class without overhead in jemalloc. To larger allocations it adds a page, so that they do not all
/// map to the same cache lines.
const SEGMENT: usize = 14 * 1024;
const PAGE: usize = 4096;
const LENGTH: usize = size_of::<u16>();
const ALONE: u16 = u16::MAX;

#[derive(Debug)]
pub(super) struct Segment(Vec<u8>);

impl Segment {
    /// Bytes allocated, including the allocator's overhead and the entry in the queue.
    pub(super) fn cost(&self) -> usize {
        let bytes = self.0.capacity();
        let added = if bytes > SEGMENT { PAGE } else { 0 };
        bytes + added + size_of::<Self>()
    }
}

#[derive(Default)]
pub(super) struct Log {
    segments: VecDeque<Segment>,
    first: u32,
    /// The offset of the first record in it.
    head: usize,
}

impl Log {
    /// Appends a record. `None`: all positions are in use.
    pub(super) fn append(&mut self, record: &[u8]) -> Option<Position> {
        let framed = record.len().checked_add(LENGTH)?;
        let fits = |Segment(segment): &Segment| segment.len() + framed <= SEGMENT;
        if !self.segments.back().is_some_and(fits) {
            if self.segments.len() + 1 >= usize::try_from(NUMBERS).ok()? {
                return None;
            }
            self.segments
                .push_back(Segment(Vec::with_capacity(framed.max(SEGMENT))));
        }
        let distance = u32::try_from(self.segments.len() - 1).ok()?;
        let Segment(segment) = self.segments.back_mut()?;
        let offset = u32::try_from(segment.len()).ok()?;
        let length = u16::try_from(record.len())
            .ok()
            .filter(|_| framed <= SEGMENT);
        segment.extend_from_slice(&length.unwrap_or(ALONE).to_le_bytes());
        segment.extend_from_slice(record);
        let number = self.first.wrapping_add(distance) % NUMBERS;
        Some(Position::new(number, offset))
    }

    /// The record at a position, unless it was dropped.
    pub(super) fn get_mut(&mut self, position: Position) -> Option<&mut [u8]> {
        let offset = usize::try_from(position.offset()).ok()?;
        let distance = position.number().wrapping_sub(self.first) % NUMBERS;
        if distance == 0 && offset < self.head {
            return None;
        }
        let Segment(segment) = self.segments.get_mut(usize::try_from(distance).ok()?)?;
        record_at(segment, offset)
    }

    pub(super) fn head(&mut self) -> Option<(Position, &mut [u8])> {
        let offset = u32::try_from(self.head).ok()?;
        let position = Position::new(self.first, offset);
        Some((
            position,
            record_at(&mut self.segments.front_mut()?.0, self.head)?,
        ))
    }

    /// Wipes and drops the oldest record. Returns a segment that became empty, so that the caller can free it after
    /// releasing the lock: freeing may take time.
    pub(super) fn pop(&mut self) -> Option<Segment> {
        let Segment(segment) = self.segments.front_mut()?;
        if let Some(record) = record_at(segment, self.head) {
            wipe(record);
            self.head += LENGTH + record.len();
        } else {
            self.head = segment.len();
        }
        if self.head < segment.len() {
            return None;
        }
        self.head = 0;
        self.first = self.first.wrapping_add(1) % NUMBERS;
        let emptied = self.segments.pop_front();
        if self.segments.is_empty() {
            // Otherwise the queue of a past flood would stay in the middle of the heap and keep it from shrinking.
            self.segments.shrink_to_fit();
        }
        emptied
    }

    /// The cost of the newest segment, if the record at `position` began it.
    pub(super) fn grown(&self, position: Position) -> usize {
        match self.segments.back() {
            Some(segment) if position.offset() == 0 => segment.cost(),
            Some(_) | None => 0,
        }
    }

    #[cfg(test)]
    pub(super) fn contains(&self, needle: &[u8]) -> bool {
        self.segments
            .iter()
            .any(|Segment(segment)| segment.windows(needle.len()).any(|at| at == needle))
    }
}

/// Wipes the secrets of all remaining records.
impl Drop for Log {
    fn drop(&mut self) {
        for Segment(segment) in &mut self.segments {
            wipe(segment);
        }
    }
}

fn record_at(segment: &mut [u8], offset: usize) -> Option<&mut [u8]> {
    let (length, rest) = segment
        .get_mut(offset..)?
        .split_first_chunk_mut::<LENGTH>()?;
    match u16::from_le_bytes(*length) {
        ALONE => Some(rest),
        length => rest.get_mut(..usize::from(length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_record_is_found_until_it_is_dropped(
            lengths in prop::collection::vec(prop_oneof![29 => 0usize..300, 1 => 16_000usize..70_000], 1..100),
            drops in prop::collection::vec(0usize..3, 200),
            first in prop_oneof![Just(0), Just(NUMBERS - 1), Just(NUMBERS - 3)],
        ) {
            let mut log = Log::default();
            log.first = first;
            let (mut alive, mut dead, mut memory) = (VecDeque::new(), Vec::new(), 0);
            for (index, (length, drops)) in lengths.into_iter().zip(drops).enumerate() {
                let record = vec![u8::try_from(index % 251).unwrap(); length];
                let position = log.append(&record).unwrap();
                memory += log.grown(position);
                alive.push_back((position, record));
                for _ in 0..drops {
                    let Some((position, record)) = alive.pop_front() else { break };
                    prop_assert_eq!(log.head(), Some((position, &mut record.clone()[..])));
                    memory -= log.pop().map_or(0, |segment| segment.cost());
                    dead.push(position);
                }
                for (position, record) in &alive {
                    prop_assert_eq!(log.get_mut(*position), Some(&mut record.clone()[..]));
                }
                for position in &dead {
                    prop_assert_eq!(log.get_mut(*position), None);
                }
                prop_assert_eq!(memory, log.segments.iter().map(Segment::cost).sum::<usize>());
            }
            for _ in 0..alive.len() {
                memory -= log.pop().map_or(0, |segment| segment.cost());
            }
            prop_assert_eq!(memory, 0, "an empty log keeps no memory");
            prop_assert!(log.pop().is_none());
            prop_assert!(log.head().is_none());
        }
    }

    #[test]
    fn a_dropped_record_is_wiped_even_if_its_segment_stays() {
        let mut log = Log::default();
        log.append(b"a secret").unwrap();
        log.append(b"another").unwrap();
        assert!(log.contains(b"a secret"));
        log.pop();
        assert!(!log.contains(b"secret"));
        assert!(log.contains(b"another"));
    }
}
