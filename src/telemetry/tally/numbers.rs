//! One row of the tally.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{Decided, Step, Violation};
use crate::oauth::CodeChallengeMethod;

const DAY: u64 = 86_400;

/// The days that are kept.
pub(crate) const DAYS: u64 = 30;

/// What a decision counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    /// A sign-in began, with this challenge.
    Began(Challenge),
    /// A code was redeemed, or would have been. `is_verified`: its sign-in began with a challenge.
    Redeemed { is_verified: bool },
    /// Something else was refused, or would have been.
    Other,
}

/// The challenge of an authorization request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Challenge {
    S256,
    Plain,
    Malformed,
    None,
}

impl Count {
    /// `None`: the decision is not counted.
    pub(super) fn of(
        step: Step,
        decided: Decided,
        violation: Option<&Violation>,
        method: Option<CodeChallengeMethod>,
    ) -> Option<Self> {
        match step {
            Step::Begins => Some(Self::Began(match (violation, method) {
                (Some(Violation::MalformedChallenge(_)), _)
                | (Some(Violation::MethodNotAllowed { .. }), None) => Challenge::Malformed,
                (_, Some(CodeChallengeMethod::S256)) => Challenge::S256,
                (_, Some(CodeChallengeMethod::Plain)) => Challenge::Plain,
                (_, None) => Challenge::None,
            })),
            Step::Redeems => Some(Self::Redeemed {
                is_verified: method.is_some(),
            }),
            Step::Other if decided == Decided::Allowed => None,
            Step::Other => Some(Self::Other),
        }
    }
}

/// The numbers of one day, or of all days.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Numbers {
    /// Authorization requests by their challenge.
    pub(crate) s256: u32,
    pub(crate) plain: u32,
    pub(crate) malformed: u32,
    pub(crate) none: u32,
    /// Token requests with a code that were allowed: with a verifier that was checked, and without.
    pub(crate) verified: u32,
    pub(crate) unverified: u32,
    /// Sign-ins that were refused, and those that enforcement would have refused.
    pub(crate) refused: u32,
    pub(crate) reported: u32,
}

impl Numbers {
    fn each<'n>(&'n mut self, other: &'n Self) -> [(&'n mut u32, u32); 8] {
        [
            (&mut self.s256, other.s256),
            (&mut self.plain, other.plain),
            (&mut self.malformed, other.malformed),
            (&mut self.none, other.none),
            (&mut self.verified, other.verified),
            (&mut self.unverified, other.unverified),
            (&mut self.refused, other.refused),
            (&mut self.reported, other.reported),
        ]
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (own, more) in self.each(other) {
            *own = own.saturating_add(more);
        }
    }

    /// Sign-ins that began.
    pub(crate) fn sign_ins(&self) -> u32 {
        let all = [self.s256, self.plain, self.malformed, self.none];
        all.into_iter().fold(0, u32::saturating_add)
    }

    /// Sign-ins that fail under enforcement.
    pub(crate) fn failing(&self) -> u32 {
        self.refused.saturating_add(self.reported)
    }
}

/// The numbers of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Day {
    /// Days since 1970-01-01 UTC.
    pub(crate) day: u64,
    pub(crate) numbers: Numbers,
}

/// What is known about a client. Times are in seconds since 1970; 0: never.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) first_seen: u64,
    pub(crate) last_seen: u64,
    /// The last sign-in that ended with a verified challenge, and the last one that enforcement does not allow.
    pub(crate) last_good: u64,
    pub(crate) last_bad: u64,
    /// The origin of the redirect URI with which it was first seen.
    pub(crate) origin: Option<Box<str>>,
    /// The last days with a decision, in order.
    pub(crate) days: VecDeque<Day>,
    /// All decisions with a violation, by its code.
    pub(crate) violations: BTreeMap<Box<str>, u32>,
    /// How often each hint was given, by its code.
    #[serde(default)]
    pub(crate) hints: BTreeMap<Box<str>, u32>,
}

impl Row {
    pub(super) fn add(
        &mut self,
        count: Count,
        decided: Decided,
        violation: Option<&Violation>,
        now: u64,
    ) {
        if self.first_seen == 0 || now < self.first_seen {
            self.first_seen = now; // the clock may step
        }
        self.last_seen = self.last_seen.max(now);
        let mut numbers = Numbers::default();
        match (count, violation) {
            (Count::Began(challenge), _) => match challenge {
                Challenge::S256 => numbers.s256 = 1,
                Challenge::Plain => numbers.plain = 1,
                Challenge::Malformed => numbers.malformed = 1,
                Challenge::None => numbers.none = 1,
            },
            (Count::Redeemed { is_verified: true }, None) => numbers.verified = 1,
            (Count::Redeemed { is_verified: false }, None) => numbers.unverified = 1,
            // In report mode it is forwarded.
            (Count::Redeemed { is_verified: false }, Some(Violation::MissingChallenge))
                if decided == Decided::Reported =>
            {
                numbers.unverified = 1;
            }
            (Count::Redeemed { .. } | Count::Other, _) => {}
        }
        match violation {
            None if count == (Count::Redeemed { is_verified: true }) => {
                self.last_good = self.last_good.max(now);
            }
            None => {}
            Some(violation) => {
                one_more(&mut self.violations, violation.label());
                if ends_sign_in(count, violation) {
                    self.last_bad = self.last_bad.max(now);
                    match decided {
                        Decided::Refused => numbers.refused = 1,
                        Decided::Reported | Decided::Allowed => numbers.reported = 1,
                    }
                }
            }
        }
        self.add_on(now / DAY, &numbers);
    }

    /// Counts a hint.
    pub(super) fn note(&mut self, hint: &'static str) {
        one_more(&mut self.hints, hint);
    }

    /// Adds to the numbers of a day. Only the last days are kept, by the newest one that was seen.
    fn add_on(&mut self, day: u64, numbers: &Numbers) {
        let newest = self.days.back().map_or(day, |last| last.day.max(day));
        let oldest = newest.saturating_sub(DAYS - 1);
        while self.days.front().is_some_and(|first| first.day < oldest) {
            self.days.pop_front();
        }
        if day < oldest {
            return;
        }
        let at = self.days.partition_point(|known| known.day < day);
        match self.days.get_mut(at).filter(|known| known.day == day) {
            Some(known) => known.numbers.add(numbers),
            None => self.days.insert(
                at,
                Day {
                    day,
                    numbers: *numbers,
                },
            ),
        }
    }

    /// The numbers of the days from this one on.
    pub(crate) fn since(&self, day: u64) -> Numbers {
        let days = self.days.iter().filter(|known| known.day >= day);
        days.fold(Numbers::default(), |mut all, known| {
            all.add(&known.numbers);
            all
        })
    }

    /// Adds the numbers of another gate, or of an earlier process.
    pub(crate) fn merge(&mut self, other: &Self) {
        let seen = [self.first_seen, other.first_seen];
        let seen = seen.into_iter().filter(|seen| *seen > 0).min();
        self.first_seen = seen.unwrap_or_default();
        self.last_seen = self.last_seen.max(other.last_seen);
        self.last_good = self.last_good.max(other.last_good);
        self.last_bad = self.last_bad.max(other.last_bad);
        if self.origin.is_none() {
            self.origin.clone_from(&other.origin);
        }
        for day in &other.days {
            self.add_on(day.day, &day.numbers);
        }
        for (own, more) in [
            (&mut self.violations, &other.violations),
            (&mut self.hints, &other.hints),
        ] {
            for (code, number) in more {
                let own = own.entry(code.clone()).or_default();
                *own = own.saturating_add(*number);
            }
        }
    }
}

fn one_more(numbers: &mut BTreeMap<Box<str>, u32>, code: &'static str) {
    match numbers.get_mut(code) {
        Some(number) => *number = number.saturating_add(1),
        None => drop(numbers.insert(code.into(), 1)),
    }
}

/// Whether a violation ends a sign-in that was good so far. One at the token endpoint does so only if the code belongs to a sign-in with
/// a challenge, because anyone can send codes that belong to none; and not if the challenge is the reason, because the authorization
/// request was counted for that.
fn ends_sign_in(count: Count, violation: &Violation) -> bool {
    match (count, violation) {
        (
            Count::Redeemed { .. },
            Violation::MissingChallenge
            | Violation::MalformedChallenge(_)
            | Violation::MethodNotAllowed { .. }
            | Violation::UnknownMethod,
        )
        | (Count::Redeemed { is_verified: false } | Count::Other, _) => false,
        (Count::Began(_) | Count::Redeemed { is_verified: true }, _) => true,
    }
}
