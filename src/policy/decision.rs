//! Turns verdicts into decisions, and proves that a request was allowed ([`Cleared`]).

use super::rule::Mode;
use super::violation::Violation;

/// A request, with the proof that policy allowed it. Not `Clone`, so that one decision forwards one request.
#[derive(Debug)]
pub(crate) struct Cleared<T>(T);

impl<T> Cleared<T> {
    pub(crate) fn into_inner(self) -> T {
        self.0
    }

    /// Rewrites the request from what was judged. On an error the proof is lost.
    pub(crate) fn amend<E>(
        mut self,
        write: impl FnOnce(&mut T) -> Result<(), E>,
    ) -> Result<Self, E> {
        write(&mut self.0)?;
        Ok(self)
    }

    /// Changes the request.
    #[must_use]
    pub(crate) fn with(mut self, write: impl FnOnce(&mut T)) -> Self {
        write(&mut self.0);
        self
    }

    pub(crate) fn get(&self) -> &T {
        &self.0
    }
}

/// Clears a request that neither begins nor continues a sign-in, such as a login form of the server. If that is a mistake it
/// fails closed: a code in the answer belongs to no live sign-in, so it is not delivered.
pub(crate) fn nothing_to_judge<T>(subject: T) -> Cleared<T> {
    Cleared(subject)
}

/// The decision about a request.
#[derive(Debug)]
#[must_use]
pub(crate) enum Decision<T> {
    /// Forward: there is no violation, or the mode is off.
    Allow(Cleared<T>),
    /// Forward, and log the violation.
    Report(Cleared<T>, Violation),
    /// Refuse. Returns the subject to the caller.
    Refuse(T, Violation),
}

/// Applies the mode to a verdict: the violation of a request, or none. No other function reads the mode to decide about a
/// request. Enforce refuses exactly what report logs.
pub(crate) fn apply<T>(mode: Mode, subject: T, violation: Option<Violation>) -> Decision<T> {
    match (mode, violation) {
        (Mode::Enforce, Some(violation)) => Decision::Refuse(subject, violation),
        (Mode::Report, Some(violation)) => Decision::Report(Cleared(subject), violation),
        (Mode::Off, _) | (Mode::Enforce | Mode::Report, None) => Decision::Allow(Cleared(subject)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enforce_refuses_exactly_what_report_logs_and_off_does_neither() {
        for violation in [None, Some(Violation::MissingChallenge)] {
            let decide = |mode| apply(mode, (), violation.clone());
            let refused = matches!(decide(Mode::Enforce), Decision::Refuse(..));
            let recorded = matches!(decide(Mode::Report), Decision::Report(..));
            assert_eq!(
                (refused, recorded),
                (violation.is_some(), violation.is_some())
            );
            assert!(matches!(decide(Mode::Off), Decision::Allow(_)));
        }
    }
}
