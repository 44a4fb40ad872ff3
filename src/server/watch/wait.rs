//! What a connection waits for, and how other threads read it: the reading side and the writing side each are one word.
//!
//! | phase | we wait for | ends with |
//! |---|---|---|
//! | [`Phase::FirstByte`] | the first byte after accept | bytes: `Head` |
//! | [`Phase::Head`] | the rest of a request head | the end of the head: `Answer` |
//! | [`Phase::Answer`] | nothing from the client: the gate or the upstream is at work | a body that is not here yet: `Body`; the end of the answer: `Idle` |
//! | [`Phase::Body`] | more of the request's body | bytes or the end of the body: `Answer`; the end of the answer: `Idle` |
//! | [`Phase::Idle`] | the next request | bytes: `Head` |
//!
//! The writing side is independent of that: a client may send its next request and not read the last answer.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Timestamp;

/// What we wait for on the reading side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    FirstByte,
    Idle,
    Head,
    Body,
    Answer,
}

/// What moves a connection from one phase to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The connection has a place.
    Accepted,
    /// Bytes were read from the socket.
    Bytes,
    /// A request head is complete.
    HeadEnded,
    /// More of a body was asked for than is here.
    BodyWanted,
    /// Some of the body came, or its end.
    BodyCame,
    /// hyper has all of the answer, or the request was given up.
    AnswerEnded,
}

impl Phase {
    /// In the order of their numbers.
    const ALL: [Self; 5] = [
        Self::FirstByte,
        Self::Idle,
        Self::Head,
        Self::Body,
        Self::Answer,
    ];

    /// The phase that begins with a step. `None`: the present one goes on, and so does its time.
    pub(super) fn after(self, step: Step) -> Option<Self> {
        match (step, self) {
            (Step::Accepted, _) => Some(Self::FirstByte),
            (Step::Bytes, Self::FirstByte | Self::Idle) => Some(Self::Head),
            // The head of a request may have come with the one before.
            (Step::HeadEnded, _) | (Step::BodyCame, Self::Body) => Some(Self::Answer),
            (Step::BodyWanted, Self::Answer) => Some(Self::Body),
            (Step::AnswerEnded, _) => Some(Self::Idle),
            // Bytes that drip extend no limit, and a body that outlasts its answer has none here.
            (Step::Bytes | Step::BodyWanted | Step::BodyCame, _) => None,
        }
    }

    /// Whether a request is being answered.
    pub(super) fn is_answering(self) -> bool {
        match self {
            Self::Body | Self::Answer => true,
            Self::FirstByte | Self::Idle | Self::Head => false,
        }
    }
}

/// The reading side: a phase, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) phase: Phase,
    pub(super) since: Timestamp,
}

/// The writing side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writes {
    /// The client's socket took what was written last.
    Flow,
    /// It takes nothing since then.
    Stuck(Timestamp),
}

/// A connection that waits for its client, in the order in which such connections are spared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::server) enum Spare {
    /// A request, after it had one.
    Idle,
    /// Its first byte.
    Silent,
    /// The end of a head.
    Head,
    /// More of a body.
    Body,
    /// That its answer is read.
    Unread,
}

/// How well a connection can be spared, and since when it has been so: in the order in which they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::server) struct Spared {
    pub(in crate::server) spare: Spare,
    pub(in crate::server) since: Timestamp,
}

impl Spare {
    /// Such a connection gives way only where its network has more than its share.
    pub(in crate::server) fn is_within_request(self) -> bool {
        match self {
            Self::Idle | Self::Silent | Self::Head => false,
            Self::Body | Self::Unread => true,
        }
    }
}

/// A state that is one word.
pub(super) trait Word: Copy {
    fn to_word(self) -> u64;
    fn of_word(word: u64) -> Self;
}

/// The phase's number below the milliseconds.
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

/// Zero, or one more than the milliseconds.
impl Word for Writes {
    fn to_word(self) -> u64 {
        match self {
            Self::Flow => 0,
            Self::Stuck(since) => since.as_millis() + 1,
        }
    }

    fn of_word(word: u64) -> Self {
        word.checked_sub(1)
            .map(Timestamp::from_millis)
            .map_or(Self::Flow, Self::Stuck)
    }
}

/// A state that its connection's worker changes, and other workers read when they look for connections to spare.
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
    fn every_state_is_read_as_it_was_written() {
        for millis in TIMES {
            let since = Timestamp::from_millis(millis);
            for phase in Phase::ALL {
                let wait = Wait { phase, since };
                let shared = Shared::new(wait);
                assert_eq!(shared.get(), wait);
            }
            for writes in [Writes::Flow, Writes::Stuck(since)] {
                let shared = Shared::new(Writes::Flow);
                shared.set(writes);
                assert_eq!(shared.get(), writes);
            }
        }
    }

    #[test]
    fn each_step_leads_from_each_phase_to_the_next_one() {
        use Phase::{Answer, Body, FirstByte, Head, Idle};
        let table = [
            (Step::Accepted, [FirstByte; 5]),
            (Step::Bytes, [Head, Head, Head, Body, Answer]),
            (Step::HeadEnded, [Answer; 5]),
            (Step::BodyWanted, [FirstByte, Idle, Head, Body, Body]),
            (Step::BodyCame, [FirstByte, Idle, Head, Answer, Answer]),
            (Step::AnswerEnded, [Idle; 5]),
        ];
        for (step, after) in table {
            for (phase, after) in Phase::ALL.into_iter().zip(after) {
                let reached = phase.after(step).unwrap_or(phase);
                assert_eq!(reached, after, "{step:?} in {phase:?}");
            }
        }
        // The time of a phase begins once.
        assert_eq!(Head.after(Step::Bytes), None);
        assert_eq!(Body.after(Step::BodyWanted), None);
    }
}
