//! One row of the tally.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::also::{Also, Neighbour};
use super::codes::Codes;
use super::told::Told;
use crate::oauth::CodeChallengeMethod;
use crate::policy::Violation;
use crate::telemetry::decided::Decided;
use crate::telemetry::step::Step;

const DAY: u64 = 86_400;

/// The days that are kept.
pub(crate) const DAYS: u64 = 30;

/// The most redirect origins of a row, besides the first one.
const OTHER_ORIGINS: usize = 8;

/// How many of the last good sign-ins are kept with their times.
pub(crate) const GOOD: usize = 20;

/// What a decision counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    /// A sign-in began, with this challenge.
    Began(Challenge),
    /// A code was redeemed, or would have been. `is_verified`: its sign-in began with a challenge.
    Redeemed { is_verified: bool },
    /// The server sent a code without a request.
    Unrequested,
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
            Step::Unrequested if violation.is_some() => Some(Self::Unrequested),
            Step::Other | Step::Unrequested if decided == Decided::Allowed => None,
            Step::Other | Step::Unrequested => Some(Self::Other),
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
    /// Token requests with a code of which the gate cannot tell to which sign-in it belongs.
    #[serde(default)]
    pub(crate) uncertain: u32,
    /// Sign-ins that were refused, and those that enforcement would have refused.
    pub(crate) refused: u32,
    pub(crate) reported: u32,
}

impl Numbers {
    fn each<'n>(&'n mut self, other: &'n Self) -> [(&'n mut u32, u32); 9] {
        [
            (&mut self.s256, other.s256),
            (&mut self.plain, other.plain),
            (&mut self.malformed, other.malformed),
            (&mut self.none, other.none),
            (&mut self.verified, other.verified),
            (&mut self.unverified, other.unverified),
            (&mut self.uncertain, other.uncertain),
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

/// What happened on one day.
#[expect(
    clippy::struct_field_names,
    reason = "it is written so to the snapshot"
)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Day {
    /// Days since 1970-01-01 UTC.
    pub(crate) day: u64,
    pub(crate) numbers: Numbers,
    /// Decisions with a violation, by its code.
    #[serde(default, skip_serializing_if = "Codes::is_empty")]
    pub(crate) violations: Codes,
    /// How often each hint was given, by its code.
    #[serde(default, skip_serializing_if = "Codes::is_empty")]
    pub(crate) hints: Codes,
}

/// What is known about a client. Times are in seconds since 1970; 0: never.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) first_seen: u64,
    pub(crate) last_seen: u64,
    /// The last sign-in that ended with a verified challenge, and the last one that enforcement does not allow.
    pub(crate) last_good: u64,
    pub(crate) last_bad: u64,
    /// The last code that cannot be judged.
    #[serde(default)]
    pub(crate) last_uncertain: u64,
    /// When the last good sign-ins ended, in order: how many of them followed the last bad one shows whether the client was mended.
    #[serde(default)]
    pub(crate) good: VecDeque<u64>,
    /// The origin of the redirect URI with which it was first seen.
    pub(crate) origin: Option<Box<str>>,
    /// Those of its other redirect URIs, in order; the first ones of many.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) other_origins: BTreeSet<Box<str>>,
    /// What its requests show beside PKCE. Most clients have nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) also: Option<Box<Also>>,
    /// When this process last changed it.
    #[serde(skip)]
    pub(crate) changed: u64,
    /// The last days with a decision, in order.
    pub(crate) days: VecDeque<Day>,
    /// All violations and hints, as earlier versions kept them: without their days.
    #[serde(default, skip_serializing, rename = "violations")]
    pub(crate) undated_violations: Codes,
    #[serde(default, skip_serializing, rename = "hints")]
    pub(crate) undated_hints: Codes,
}

impl Row {
    pub(super) fn add(&mut self, count: Count, told: &Told<'_>, now: u64) {
        let (decided, violation) = (told.decided, told.violation);
        if self.first_seen == 0 || now < self.first_seen {
            self.first_seen = now; // the clock may step
        }
        self.last_seen = self.last_seen.max(now);
        self.changed = self.changed.max(now);
        let mut numbers = Numbers::default();
        match (count, violation) {
            _ if told.is_uncertain => {
                numbers.uncertain = 1;
                self.last_uncertain = self.last_uncertain.max(now);
            }
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
            (Count::Redeemed { .. } | Count::Unrequested | Count::Other, _) => {}
        }
        if let (Count::Began(_), Some(origin)) = (count, told.redirect_origin) {
            self.note_origin(origin);
        }
        if count == Count::Began(Challenge::Plain) && decided != Decided::Refused {
            self.also().note(Neighbour::Plain, now);
        }
        if violation.is_some_and(|violation| ends_sign_in(count, violation)) {
            self.last_bad = self.last_bad.max(now);
            match decided {
                Decided::Refused => numbers.refused = 1,
                Decided::Reported | Decided::Allowed => numbers.reported = 1,
            }
        }
        if let Some(day) = self.of_day(now / DAY) {
            day.numbers.add(&numbers);
            if let Some(violation) = violation {
                day.violations.one_more(violation.label());
            }
            if let Some(hint) = told.hint {
                day.hints.one_more(hint);
            }
        }
    }

    /// Counts a code that cannot be judged. Its decision was counted already.
    pub(super) fn add_uncertain(&mut self, now: u64) {
        self.last_uncertain = self.last_uncertain.max(now);
        if let Some(day) = self.of_day(now / DAY) {
            day.numbers.uncertain = day.numbers.uncertain.saturating_add(1);
        }
    }

    pub(super) fn also(&mut self) -> &mut Also {
        self.also.get_or_insert_default()
    }

    fn note_origin(&mut self, origin: &str) {
        match &self.origin {
            Some(first) if **first == *origin => {}
            None => self.origin = Some(origin.into()),
            Some(_) if self.other_origins.contains(origin) => {}
            Some(_) => {
                self.other_origins.insert(origin.into());
                self.bound_origins();
            }
        }
    }

    /// Of too many, the first ones are kept, so that the order in which they came does not matter.
    fn bound_origins(&mut self) {
        while self.other_origins.len() > OTHER_ORIGINS {
            self.other_origins.pop_last();
        }
    }

    /// Whether a sign-in with this redirect origin began, as far as known.
    pub(crate) fn has_origin(&self, origin: &str) -> bool {
        self.origin.as_deref() == Some(origin) || self.other_origins.contains(origin)
    }

    /// Notes that a sign-in with a verified challenge ended with a token.
    pub(super) fn note_good(&mut self, now: u64) {
        self.last_good = self.last_good.max(now);
        let at = self.good.partition_point(|known| *known <= now);
        self.good.insert(at, now);
        if self.good.len() > GOOD {
            self.good.pop_front();
        }
    }

    /// The numbers of a day. `None`: it is too long ago. Only the last days are kept, by the newest one that was seen.
    fn of_day(&mut self, day: u64) -> Option<&mut Day> {
        let newest = self.days.back().map_or(day, |last| last.day.max(day));
        let oldest = newest.saturating_sub(DAYS - 1);
        while self.days.front().is_some_and(|first| first.day < oldest) {
            self.days.pop_front();
        }
        if day < oldest {
            return None;
        }
        let at = self.days.partition_point(|known| known.day < day);
        if self.days.get(at).is_none_or(|known| known.day != day) {
            let new = Day {
                day,
                numbers: Numbers::default(),
                violations: Codes::default(),
                hints: Codes::default(),
            };
            self.days.insert(at, new);
        }
        self.days.get_mut(at)
    }

    /// The numbers of the days from this one on.
    pub(crate) fn since(&self, day: u64) -> Numbers {
        let days = self.days.iter().filter(|known| known.day >= day);
        days.fold(Numbers::default(), |mut all, known| {
            all.add(&known.numbers);
            all
        })
    }

    /// Violations of the days from this one on, those of the latest days first, and then the most frequent ones.
    pub(crate) fn violations_since(&self, day: u64) -> Vec<(&str, u32)> {
        self.codes_since(day, |day| &day.violations)
    }

    /// The same for hints.
    pub(crate) fn hints_since(&self, day: u64) -> Vec<(&str, u32)> {
        self.codes_since(day, |day| &day.hints)
    }

    fn codes_since(&self, since: u64, of: impl Fn(&Day) -> &Codes) -> Vec<(&str, u32)> {
        let mut all: Vec<(&str, u32, u64)> = Vec::new();
        for day in self.days.iter().filter(|day| day.day >= since) {
            for (code, more) in of(day).iter() {
                match all.iter_mut().find(|(known, ..)| *known == code) {
                    Some((_, number, last)) => {
                        *number = number.saturating_add(more);
                        *last = day.day;
                    }
                    None => all.push((code, more, day.day)),
                }
            }
        }
        all.sort_by_key(|(_, number, last)| std::cmp::Reverse((*last, *number)));
        let codes = all.into_iter().map(|(code, number, _)| (code, number));
        codes.collect()
    }

    /// When the good sign-ins after the last bad one ended, in order; not more than the last [`GOOD`].
    pub(crate) fn good_since_bad(&self) -> impl ExactSizeIterator<Item = u64> {
        let first = self.good.partition_point(|good| *good <= self.last_bad);
        self.good.range(first..).copied()
    }

    /// Adds the numbers of another gate, or of an earlier process.
    pub(crate) fn merge(&mut self, other: &Self) {
        let seen = [self.first_seen, other.first_seen];
        let seen = seen.into_iter().filter(|seen| *seen > 0).min();
        self.first_seen = seen.unwrap_or_default();
        self.last_seen = self.last_seen.max(other.last_seen);
        self.last_good = self.last_good.max(other.last_good);
        self.last_bad = self.last_bad.max(other.last_bad);
        self.changed = self.changed.max(other.changed);
        for good in &other.good {
            self.note_good(*good);
        }
        self.last_uncertain = self.last_uncertain.max(other.last_uncertain);
        for origin in other.origin.iter().chain(&other.other_origins) {
            self.note_origin(origin);
        }
        if let Some(also) = &other.also {
            self.also().merge(also);
        }
        for theirs in &other.days {
            if let Some(day) = self.of_day(theirs.day) {
                day.numbers.add(&theirs.numbers);
                day.violations.merge(&theirs.violations);
                day.hints.merge(&theirs.hints);
            }
        }
        // They count as of the day to which they are most likely to belong.
        let last = if other.last_bad > 0 {
            other.last_bad
        } else {
            other.last_seen
        };
        if (!other.undated_violations.is_empty() || !other.undated_hints.is_empty())
            && let Some(day) = self.of_day(last / DAY)
        {
            day.violations.merge(&other.undated_violations);
            day.hints.merge(&other.undated_hints);
        }
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
        (Count::Began(_) | Count::Redeemed { is_verified: true } | Count::Unrequested, _) => true,
    }
}
