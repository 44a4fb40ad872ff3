//! Records one behind the other, in the order in which they came.
//!
//! All records of one kind live equally long, so the oldest is always the next to expire: the log is its own
//! queue of deadlines, and dropping what has expired never looks for anything. Records are not allocated one by
//! one, but in segments of sixteen kilobytes: that saves the allocator's eight to twenty-three bytes per record,
//! and memory goes back in whole segments. What is dropped is wiped.
//!
//! ```text
//! segment   a record, a record, …
//! record    2 bytes length, then its bytes; length 65535: alone in a segment of its own size
//! ```

use std::collections::VecDeque;

use zeroize::Zeroize as _;

/// Where a record stands: the number of its segment, and the offset in it. A position is used again only after
/// 262,144 further segments, four gigabytes, and until then leads nowhere once its record is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position(u32);

const OFFSET_BITS: u32 = 14;
const NUMBERS: u32 = 1 << (u32::BITS - OFFSET_BITS);
const MAX_OFFSET: usize = (1 << OFFSET_BITS) - 1;

/// With the allocator's own sixteen bytes four pages.
const SEGMENT: usize = 16 * 1024 - 16;
const LENGTH: usize = size_of::<u16>();
const ALONE: u16 = u16::MAX;

#[derive(Default)]
pub(super) struct Log {
    segments: VecDeque<Vec<u8>>,
    /// The number of the first segment.
    first: u32,
    /// The offset of the first record in it.
    head: usize,
}

impl Log {
    /// Adds a record. `None`: there is no position left for it.
    pub(super) fn append(&mut self, record: &[u8]) -> Option<Position> {
        let framed = record.len().checked_add(LENGTH)?;
        let fits = |segment: &Vec<u8>| segment.len() + framed <= SEGMENT;
        if !self.segments.back().is_some_and(fits) {
            if self.segments.len() + 1 >= usize::try_from(NUMBERS).ok()? {
                return None;
            }
            self.segments
                .push_back(Vec::with_capacity(framed.max(SEGMENT)));
        }
        let distance = u32::try_from(self.segments.len() - 1).ok()?;
        let segment = self.segments.back_mut()?;
        let offset = u32::try_from(segment.len()).ok()?;
        let length = u16::try_from(record.len())
            .ok()
            .filter(|_| framed <= SEGMENT);
        segment.extend_from_slice(&length.unwrap_or(ALONE).to_le_bytes());
        segment.extend_from_slice(record);
        let number = self.first.wrapping_add(distance) % NUMBERS;
        Some(Position(number << OFFSET_BITS | offset))
    }

    /// The record there, unless it was dropped.
    pub(super) fn get_mut(&mut self, position: Position) -> Option<&mut [u8]> {
        let number = position.0 >> OFFSET_BITS;
        let offset = usize::try_from(position.0).ok()? & MAX_OFFSET;
        let distance = number.wrapping_sub(self.first) % NUMBERS;
        if distance == 0 && offset < self.head {
            return None;
        }
        let segment = self.segments.get_mut(usize::try_from(distance).ok()?)?;
        record_at(segment, offset)
    }

    /// The oldest record and its position.
    pub(super) fn head(&mut self) -> Option<(Position, &mut [u8])> {
        let offset = u32::try_from(self.head).ok()?;
        let position = Position(self.first << OFFSET_BITS | offset);
        Some((position, record_at(self.segments.front_mut()?, self.head)?))
    }

    /// Wipes and drops the oldest record; returns how many bytes of memory went with it.
    pub(super) fn pop(&mut self) -> usize {
        let Some(segment) = self.segments.front_mut() else {
            return 0;
        };
        if let Some(record) = record_at(segment, self.head) {
            record.zeroize();
            self.head += LENGTH + record.len();
        } else {
            self.head = segment.len();
        }
        if self.head < segment.len() {
            return 0;
        }
        self.head = 0;
        self.first = self.first.wrapping_add(1) % NUMBERS;
        self.segments
            .pop_front()
            .map_or(0, |segment| cost(&segment))
    }

    /// What the newest segment took, if the last record began one.
    pub(super) fn grown(&self, position: Position) -> usize {
        match self.segments.back() {
            Some(segment) if position.0 & ((1 << OFFSET_BITS) - 1) == 0 => cost(segment),
            Some(_) | None => 0,
        }
    }

    #[cfg(test)]
    pub(super) fn contains(&self, needle: &[u8]) -> bool {
        self.segments
            .iter()
            .any(|segment| segment.windows(needle.len()).any(|at| at == needle))
    }
}

/// A store that goes takes its secrets with it.
impl Drop for Log {
    fn drop(&mut self) {
        for segment in &mut self.segments {
            segment.zeroize();
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

/// With the allocator's overhead and the queue's entry.
fn cost(segment: &Vec<u8>) -> usize {
    segment.capacity() + 16 + size_of::<Vec<u8>>()
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
                    memory -= log.pop();
                    dead.push(position);
                }
                for (position, record) in &alive {
                    prop_assert_eq!(log.get_mut(*position), Some(&mut record.clone()[..]));
                }
                for position in &dead {
                    prop_assert_eq!(log.get_mut(*position), None);
                }
                prop_assert_eq!(memory, log.segments.iter().map(cost).sum::<usize>());
            }
            for _ in 0..alive.len() {
                memory -= log.pop();
            }
            prop_assert_eq!(memory, 0, "an empty log keeps no memory");
            prop_assert_eq!(log.pop(), 0);
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
