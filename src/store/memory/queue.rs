//! Queues of deadlines.
//!
//! Records with equal lifetimes are added in the order of their deadlines. After a reload with a shorter lifetime they are not, so
//! there is a lane for each lifetime in use, and each lane is in order. An entry is ignored if its record has been removed or has
//! another deadline by then.

use std::collections::VecDeque;
use std::sync::PoisonError;

use super::sync::{Mutex, MutexGuard};
use crate::clock::Timestamp;
use crate::oauth::Digest;

/// The deadlines of some records of one table.
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
        let fits = |lane: &Lane| {
            let last = lane.back().and_then(VecDeque::back);
            last.is_none_or(|last| last.deadline <= deadline)
        };
        if !lanes.iter().any(fits) {
            lanes.push(Lane::new());
        }
        let Some(lane) = lanes.iter_mut().find(|lane| fits(lane)) else {
            return;
        };
        if lane.back().is_none_or(|last| last.len() == Self::CHUNK) {
            lane.push_back(VecDeque::with_capacity(Self::CHUNK));
        }
        if let Some(last) = lane.back_mut() {
            last.push_back(Due { key, deadline });
        }
    }

    /// Removes and returns up to `limit` entries with deadlines up to `until`.
    pub(super) fn take(&self, limit: usize, until: Timestamp) -> Vec<Due> {
        let mut taken = Vec::new();
        let mut lanes = self.lanes();
        for lane in lanes.iter_mut() {
            while taken.len() < limit
                && let Some(first) = lane.front_mut()
                && let Some(due) = first.pop_front_if(|due| due.deadline <= until)
            {
                taken.push(due);
                if first.is_empty() {
                    lane.pop_front();
                }
            }
        }
        lanes.retain(|lane| !lane.is_empty());
        taken
    }

    /// Returns up to `limit` entries of each lane after its first `passed`, in the order of their deadlines.
    pub(super) fn oldest(&self, passed: usize, limit: usize) -> Vec<Due> {
        let lanes = self.lanes();
        let of_lane = |lane| Iterator::skip(Lane::iter(lane).flatten(), passed).take(limit);
        let mut oldest: Vec<Due> = lanes.iter().flat_map(of_lane).copied().collect();
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
