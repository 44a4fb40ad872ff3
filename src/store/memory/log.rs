//! Records one behind the other, in the order in which they came.
//!
//! All records of one kind live equally long, so the oldest is always the next to expire: the log is its own
//! queue of deadlines, and dropping what has expired never looks for anything. Records are not allocated one by
//! one, but in segments of fourteen kilobytes: that saves what an allocator rounds up or adds to each of them, and
//! memory goes back in whole segments. What is dropped is wiped.
//!
//! ```text
//! segment   a record, a record, …
//! record    2 bytes length, then its bytes; length 65535: alone in a segment of its own size
//! ```

use std::collections::VecDeque;

use super::wipe::wipe;

/// Where a record stands: the number of its segment, and the offset in it. A position is used again only after
/// 262,144 further segments, 3.7 gigabytes, and until then leads nowhere once its record is dropped. Bytes, not a
/// number, because the index would have to align a number.
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

/// The largest size that jemalloc puts beside others of its kind. To what is larger it adds a page, so that such
/// allocations do not all begin at the same place of a processor's cache.
const SEGMENT: usize = 14 * 1024;
const PAGE: usize = 4096;
const LENGTH: usize = size_of::<u16>();
const ALONE: u16 = u16::MAX;

/// Memory for records.
#[derive(Debug)]
pub(super) struct Segment(Vec<u8>);

impl Segment {
    /// With what the allocator adds, and the queue's entry.
    pub(super) fn cost(&self) -> usize {
        let bytes = self.0.capacity();
        let added = if bytes > SEGMENT { PAGE } else { 0 };
        bytes + added + size_of::<Self>()
    }
}

#[derive(Default)]
pub(super) struct Log {
    segments: VecDeque<Segment>,
    /// The number of the first segment.
    first: u32,
    /// The offset of the first record in it.
    head: usize,
}

impl Log {
    /// Adds a record. `None`: there is no position left for it.
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

    /// The record there, unless it was dropped.
    pub(super) fn get_mut(&mut self, position: Position) -> Option<&mut [u8]> {
        let offset = usize::try_from(position.offset()).ok()?;
        let distance = position.number().wrapping_sub(self.first) % NUMBERS;
        if distance == 0 && offset < self.head {
            return None;
        }
        let Segment(segment) = self.segments.get_mut(usize::try_from(distance).ok()?)?;
        record_at(segment, offset)
    }

    /// The oldest record and its position.
    pub(super) fn head(&mut self) -> Option<(Position, &mut [u8])> {
        let offset = u32::try_from(self.head).ok()?;
        let position = Position::new(self.first, offset);
        Some((
            position,
            record_at(&mut self.segments.front_mut()?.0, self.head)?,
        ))
    }

    /// Wipes and drops the oldest record. A segment that was emptied with it is the caller's to free, without the
    /// lock: the allocator may take its time to give memory back.
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
            // Or what is left of a flood would sit in the middle of the heap and keep all of it.
            self.segments.shrink_to_fit();
        }
        emptied
    }

    /// What the newest segment took, if the last record began one.
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

/// A store that goes takes its secrets with it.
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
        fn what_was_appended_is_found_until_it_is_dropped(
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
    fn what_is_dropped_is_wiped_while_its_segment_lives() {
        let mut log = Log::default();
        log.append(b"a secret").unwrap();
        log.append(b"another").unwrap();
        assert!(log.contains(b"a secret"));
        log.pop();
        assert!(!log.contains(b"secret"));
        assert!(log.contains(b"another"));
    }
}
