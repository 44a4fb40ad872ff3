//! The states of a connection, each in one word that other threads can read: one for the reading side, one for the
//! writing side.
//!
//! | phase | waiting for | ends with |
//! |---|---|---|
//! | [`Phase::FirstByte`] | the first byte after accept | bytes: `Head` |
//! | [`Phase::Head`] | the rest of a request head | the end of the head: `Answer` |
//! | [`Phase::Answer`] | the gate or the upstream, not the client | a need for more of the body: `Body`; the end of the response: `Idle` |
//! | [`Phase::Body`] | more of the request body | bytes or the end of the body: `Answer`; the end of the response: `Idle` |
//! | [`Phase::Idle`] | the next request | bytes: `Head` |
//!
//! The writing side is independent: a client may send its next request without reading the last response.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Timestamp;

/// Ordered: connections in an earlier phase are more dispensable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::server) enum Phase {
    Idle,
    FirstByte,
    Head,
    Body,
    Answer,
}

/// An event that may change the phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The connection has got a place.
    Accepted,
    Bytes,
    HeadEnded,
    /// More of the body is needed than has been received.
    BodyWanted,
    /// A part of the body was received, or its end.
    BodyCame,
    /// hyper has the whole response, or the request was given up.
    AnswerEnded,
}

impl Phase {
    /// All variants, ordered by number.
    const ALL: [Self; 5] = [
        Self::Idle,
        Self::FirstByte,
        Self::Head,
        Self::Body,
        Self::Answer,
    ];

    /// The next phase. `None`: the phase and its time limit continue.
    pub(super) fn after(self, step: Step) -> Option<Self> {
        match (step, self) {
            (Step::Accepted, _) => Some(Self::FirstByte),
            (Step::Bytes, Self::FirstByte | Self::Idle) => Some(Self::Head),
            // The head may have been received together with the previous request.
            (Step::HeadEnded, _) | (Step::BodyCame, Self::Body) => Some(Self::Answer),
            (Step::BodyWanted, Self::Answer) => Some(Self::Body),
            (Step::AnswerEnded, _) => Some(Self::Idle),
            // Further bytes do not extend a time limit, and a body that outlasts its response has none here.
            (Step::Bytes | Step::BodyWanted | Step::BodyCame, _) => None,
        }
    }

    /// Whether a request has begun. Such a connection is closed only if its network is above its share.
    pub(in crate::server) fn is_within_request(self) -> bool {
        matches!(self, Self::Body | Self::Answer)
    }
}

/// The state of the reading side, and since when. Ordered: the most dispensable first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::server) struct Wait {
    pub(in crate::server) phase: Phase,
    pub(in crate::server) since: Timestamp,
}

/// A state that fits one word.
pub(super) trait Word: Copy {
    fn to_word(self) -> u64;
    fn of_word(word: u64) -> Self;
}

/// The number of the phase in the low bits, the milliseconds above.
impl Word for Wait {
    fn to_word(self) -> u64 {
        self.since.as_millis() << PHASE_BITS | self.phase as u64
    }

    fn of_word(word: u64) -> Self {
        let number = usize::try_from(word & ((1 << PHASE_BITS) - 1)).unwrap_or_default();
        Self {
            phase: Phase::ALL.get(number).copied().unwrap_or(Phase::Answer),
            since: Timestamp::from_millis(word >> PHASE_BITS),
        }
    }
}

const PHASE_BITS: u32 = 3;

/// The state of the writing side: since when the client's socket has accepted nothing. Zero, or the milliseconds plus one.
impl Word for Option<Timestamp> {
    fn to_word(self) -> u64 {
        self.map_or(0, |since| since.as_millis() + 1)
    }

    fn of_word(word: u64) -> Self {
        word.checked_sub(1).map(Timestamp::from_millis)
    }
}

/// A state that the connection's worker changes, and that other workers read when they look for connections to close.
#[derive(Debug)]
pub(super) struct Shared<T> {
    word: AtomicU64,
    state: std::marker::PhantomData<T>,
}

impl<T: Word> Shared<T> {
    pub(super) fn new(state: T) -> Self {
        Self {
            word: AtomicU64::new(state.to_word()),
            state: std::marker::PhantomData,
        }
    }

    pub(super) fn get(&self) -> T {
        T::of_word(self.word.load(Ordering::Relaxed))
    }

    pub(super) fn set(&self, state: T) {
        self.word.store(state.to_word(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: [u64; 4] = [0, 1, 7, 1 << 50];

    #[test]
    fn every_state_survives_its_conversion_to_a_word() {
        for millis in TIMES {
            let since = Timestamp::from_millis(millis);
            for phase in Phase::ALL {
                let wait = Wait { phase, since };
                let shared = Shared::new(wait);
                assert_eq!(shared.get(), wait);
            }
            for stuck in [None, Some(since)] {
                let shared = Shared::new(None);
                shared.set(stuck);
                assert_eq!(shared.get(), stuck);
            }
        }
    }

    #[test]
    fn each_step_changes_each_phase_as_specified() {
        use Phase::{Answer, Body, FirstByte, Head, Idle};
        let table = [
            (Step::Accepted, [FirstByte; 5]),
            (Step::Bytes, [Head, Head, Head, Body, Answer]),
            (Step::HeadEnded, [Answer; 5]),
            (Step::BodyWanted, [Idle, FirstByte, Head, Body, Body]),
            (Step::BodyCame, [Idle, FirstByte, Head, Answer, Answer]),
            (Step::AnswerEnded, [Idle; 5]),
        ];
        for (step, after) in table {
            for (phase, after) in Phase::ALL.into_iter().zip(after) {
                let reached = phase.after(step).unwrap_or(phase);
                assert_eq!(reached, after, "{step:?} in {phase:?}");
            }
        }
        // Repeated events do not restart the time of a phase.
        assert_eq!(Head.after(Step::Bytes), None);
        assert_eq!(Body.after(Step::BodyWanted), None);
    }
}
