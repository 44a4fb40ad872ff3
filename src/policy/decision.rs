//! From a verdict to a decision: the one place that reads the mode, and the proof that a request was allowed.

use super::rule::Mode;
use super::violation::Violation;

/// What a judge says about a request: the material to go on with, and the reason not to.
#[derive(Debug)]
#[must_use]
pub(crate) struct Verdict<T> {
    /// What the request would be forwarded with.
    pub subject: T,
    /// `None`: nothing is wrong.
    pub violation: Option<Violation>,
}

/// Proof that a request passed policy, with the request that it is about. It cannot be moved onto another one, and not `Clone`:
/// one decision forwards one request.
#[derive(Debug)]
pub(crate) struct Cleared<T>(T);

impl<T> Cleared<T> {
    /// The request, and the end of the proof.
    pub(crate) fn into_inner(self) -> T {
        self.0
    }

    /// The same request, written anew from what was judged. `Err`: it cannot be written, and the proof ends.
    pub(crate) fn amend<E>(
        mut self,
        write: impl FnOnce(&mut T) -> Result<(), E>,
    ) -> Result<Self, E> {
        write(&mut self.0)?;
        Ok(self)
    }

    /// The same request with other fields.
    #[must_use]
    pub(crate) fn with(mut self, write: impl FnOnce(&mut T)) -> Self {
        write(&mut self.0);
        self
    }

    /// A look at the request.
    pub(crate) fn get(&self) -> &T {
        &self.0
    }
}

/// A request that begins and continues nothing, such as a login form of the server's own (rule 4 of the walk): there is
/// nothing to judge, and a wrong pass fails closed, because the code in its answer has no live handle.
pub(crate) fn nothing_to_judge<T>(subject: T) -> Cleared<T> {
    Cleared(subject)
}

/// What happens to a request.
#[derive(Debug)]
#[must_use]
pub(crate) enum Decision<T> {
    /// Nothing is wrong, or nobody asked.
    Allow(Cleared<T>),
    /// It would have been refused: recorded, and forwarded all the same.
    Report(Cleared<T>, Violation),
    /// Refused; the material comes back so that a claim in it can be settled.
    Refuse(T, Violation),
}

/// The one function that reads the mode. Enforce refuses exactly what report records.
pub(crate) fn apply<T>(mode: Mode, verdict: Verdict<T>) -> Decision<T> {
    let Verdict { subject, violation } = verdict;
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
    fn enforce_refuses_exactly_what_report_records_and_off_does_neither() {
        for violation in [None, Some(Violation::MissingChallenge)] {
            let verdict = |v: &Option<Violation>| Verdict {
                subject: (),
                violation: v.clone(),
            };
            let refused = matches!(
                apply(Mode::Enforce, verdict(&violation)),
                Decision::Refuse(..)
            );
            let recorded = matches!(
                apply(Mode::Report, verdict(&violation)),
                Decision::Report(..)
            );
            assert_eq!(
                (refused, recorded),
                (violation.is_some(), violation.is_some())
            );
            assert!(matches!(
                apply(Mode::Off, verdict(&violation)),
                Decision::Allow(_)
            ));
        }
    }
}
