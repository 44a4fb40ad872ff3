//! Counts the calls to a remote store, by operation and result.

use std::sync::atomic::{AtomicU64, Ordering};

/// An operation of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Hold,
    Pending,
    Bind,
    Redeem,
    Settle,
    Discard,
    Owners,
    Redirects,
    /// Those of the review.
    Counts,
}

impl Verb {
    pub(crate) const ALL: [Self; 9] = [
        Self::Hold,
        Self::Pending,
        Self::Bind,
        Self::Redeem,
        Self::Settle,
        Self::Discard,
        Self::Owners,
        Self::Redirects,
        Self::Counts,
    ];

    /// The value of the label in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Pending => "pending",
            Self::Bind => "bind",
            Self::Redeem => "redeem",
            Self::Settle => "settle",
            Self::Discard => "discard",
            Self::Owners => "owners",
            Self::Redirects => "redirects",
            Self::Counts => "counts",
        }
    }
}

/// Why a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    Unreachable,
    Deadline,
    /// The server has no memory left.
    Full,
    /// Fewer replicas than required have confirmed the change.
    TooFewReplicas,
    /// The server answered with an error, for example that the user may not do this.
    Refused,
    /// The answer, or a record in it, is not what the gate wrote.
    Garbage,
}

impl Trouble {
    pub(crate) const ALL: [Self; 6] = [
        Self::Unreachable,
        Self::Deadline,
        Self::Full,
        Self::TooFewReplicas,
        Self::Refused,
        Self::Garbage,
    ];

    /// The value of the label in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Deadline => "deadline",
            Self::Full => "full",
            Self::TooFewReplicas => "too_few_replicas",
            Self::Refused => "refused",
            Self::Garbage => "garbage",
        }
    }
}

/// Calls since the store was made.
#[derive(Debug, Default)]
pub(crate) struct Calls([[AtomicU64; Trouble::ALL.len() + 1]; Verb::ALL.len()]);

impl Calls {
    pub(crate) fn count(&self, verb: Verb, trouble: Option<Trouble>) {
        if let Some(counter) = self.counter(verb, trouble) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The number of calls with this result; `None`: they succeeded.
    pub(crate) fn number(&self, verb: Verb, trouble: Option<Trouble>) -> u64 {
        let counter = self.counter(verb, trouble);
        counter.map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Operation, result (`ok` or the trouble) and number, for all of which there were any.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let results = || [None].into_iter().chain(Trouble::ALL.map(Some));
        let all = Verb::ALL
            .into_iter()
            .flat_map(move |verb| results().map(move |it| (verb, it)));
        let numbers = all.map(|(verb, trouble)| {
            let result = trouble.map_or("ok", Trouble::as_str);
            (verb.as_str(), result, self.number(verb, trouble))
        });
        numbers.filter(|(_, _, number)| *number > 0)
    }

    fn counter(&self, verb: Verb, trouble: Option<Trouble>) -> Option<&AtomicU64> {
        let result = trouble.map_or(0, |trouble| trouble as usize + 1);
        self.0.get(verb as usize)?.get(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_of_operation_and_result_has_a_counter() {
        let calls = Calls::default();
        let troubles = || [None].into_iter().chain(Trouble::ALL.map(Some));
        for verb in Verb::ALL {
            for trouble in troubles() {
                assert_eq!(calls.number(verb, trouble), 0);
                calls.count(verb, trouble);
                assert_eq!(calls.number(verb, trouble), 1);
            }
        }
    }
}
