//! Report mode that does not end.

use crate::policy::{Mode, Rules};

const DAY: u64 = 86_400;

/// How long an upstream may be in report mode without an end, in days.
const PATIENCE: u64 = 30;

/// After how many days the warning becomes an error.
const TOO_LONG: u64 = 90;

/// How far report mode has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reporting {
    /// Days since its requests are counted.
    pub(crate) days: u64,
    /// The day by which it is to end.
    pub(crate) until: Option<u64>,
    /// Whether that day has passed, or it has none and lasts for thirty days.
    pub(crate) is_overdue: bool,
    /// Whether it is overdue, and lasts for ninety days.
    pub(crate) is_long: bool,
}

impl Reporting {
    /// `None`: clients without an exception are not in report mode. `began` and `now`: seconds since 1970.
    pub(super) fn of(rules: &Rules, until: Option<u64>, began: u64, now: u64) -> Option<Self> {
        let days = now.saturating_sub(began) / DAY;
        let is_overdue = match until {
            Some(until) => until < now / DAY,
            None => days >= PATIENCE,
        };
        (rules.default_rule().mode == Mode::Report).then_some(Self {
            days,
            until,
            is_overdue,
            is_long: is_overdue && days >= TOO_LONG,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Rule;

    #[test]
    fn report_mode_is_overdue_after_its_day_or_after_thirty_days_without_one_and_too_long_after_ninety()
     {
        const NOW: u64 = 20_000 * DAY + 7;
        let rules = |mode| {
            let rule = Rule {
                mode,
                ..Rule::default()
            };
            Rules::new(rule, [])
        };
        let report = rules(Mode::Report);
        for (until, days, is_overdue, is_long) in [
            (None, 0, false, false),
            (None, 29, false, false),
            (None, 30, true, false),
            (None, 89, true, false),
            (None, 90, true, true),
            (Some(20_000), 90, false, false),
            (Some(19_999), 1, true, false),
            (Some(19_999), 90, true, true),
        ] {
            let found = Reporting::of(&report, until, NOW - days * DAY, NOW);
            let expected = Reporting {
                days,
                until,
                is_overdue,
                is_long,
            };
            assert_eq!(found, Some(expected));
        }
        for mode in [Mode::Enforce, Mode::Off] {
            assert_eq!(Reporting::of(&rules(mode), None, 0, NOW), None);
        }
    }
}
