//! Report mode that does not end.

use crate::policy::{Mode, Rules};

const DAY: u64 = 86_400;

/// How long an upstream may be in report mode without an end, in days.
const PATIENCE: u64 = 30;

/// How far report mode has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reporting {
    /// Days since its requests are counted.
    pub(crate) days: u64,
    /// The day by which it is to end.
    pub(crate) until: Option<u64>,
    /// Whether that day has passed, or it has none and lasts for thirty days.
    pub(crate) is_overdue: bool,
}

impl Reporting {
    /// `None`: clients without an exception are not in report mode. `began` and `now`: seconds since 1970.
    pub(super) fn of(rules: &Rules, until: Option<u64>, began: u64, now: u64) -> Option<Self> {
        let days = now.saturating_sub(began) / DAY;
        (rules.default_rule().mode == Mode::Report).then_some(Self {
            days,
            until,
            is_overdue: match until {
                Some(until) => until < now / DAY,
                None => days >= PATIENCE,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Rule;

    #[test]
    fn report_mode_is_overdue_after_its_day_or_after_thirty_days_without_one() {
        const NOW: u64 = 20_000 * DAY + 7;
        let rules = |mode| {
            let rule = Rule {
                mode,
                ..Rule::default()
            };
            Rules::new(rule, [])
        };
        let report = rules(Mode::Report);
        for (until, days, is_overdue) in [
            (None, 0, false),
            (None, 29, false),
            (None, 30, true),
            (Some(20_000), 90, false),
            (Some(19_999), 1, true),
        ] {
            let found = Reporting::of(&report, until, NOW - days * DAY, NOW);
            let expected = Reporting {
                days,
                until,
                is_overdue,
            };
            assert_eq!(found, Some(expected));
        }
        for mode in [Mode::Enforce, Mode::Off] {
            assert_eq!(Reporting::of(&rules(mode), None, 0, NOW), None);
        }
    }
}
