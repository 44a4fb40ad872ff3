//! The end of report mode (`report_until`). Report mode does not end by itself: refusals would surprise the clients' users. The gate
//! gets loud instead.

use super::client::ANNOUNCED;
use super::problem::Problem;
use super::tree::Table;
use crate::clock::date;
use crate::policy::{Mode, Rule};

/// Reads `report_until`, and warns before and after that day.
pub(super) fn read(pkce: &Table<'_>, rule: &Rule, today: u64) -> Option<u64> {
    let until = pkce.day("report_until")?;
    let at = pkce.at("report_until");
    if rule.mode != Mode::Report {
        if pkce.is_good("mode") {
            let message = format!("{} has no effect", pkce.name("report_until"));
            let help = "remove it, or write mode = \"report\"";
            pkce.push(Problem::warning(
                at,
                message,
                "the mode is not report",
                help,
            ));
        }
        return None;
    }
    let day = date::format(until);
    let help = "look at the review, write exceptions for the clients that would break, and then mode = \"enforce\"";
    let problem = if until < today {
        Problem::warning(
            at,
            format!("report mode was to end on {day}"),
            "nothing is refused since",
            help,
        )
    } else if until - today <= ANNOUNCED {
        let left = match until - today {
            0 => "this is its last day".to_owned(),
            1 => "1 day is left".to_owned(),
            days => format!("{days} days are left"),
        };
        Problem::warning(at, format!("report mode is to end on {day}"), left, help)
    } else {
        return Some(until);
    };
    pkce.push(problem);
    Some(until)
}

#[cfg(test)]
mod tests {
    use crate::clock::date;
    use crate::config::testing::{TODAY, check_upstream};

    #[test]
    fn the_end_of_report_mode_is_announced_and_then_complained_about() {
        const HELP: &str = "look at the review, write exceptions for the clients that would break, and then mode = \"enforce\"";
        const NOTHING: &str = "2:8 warning: nothing is refused at \"legacy\" | violations are recorded only | \
            write mode = \"enforce\" once the review shows that every client is ready";
        let today = date::parse(TODAY).unwrap();
        for (days, said) in [
            (-1, Some(("was to end", "nothing is refused since"))),
            (0, Some(("is to end", "this is its last day"))),
            (1, Some(("is to end", "1 day is left"))),
            (14, Some(("is to end", "14 days are left"))),
            (15, None),
        ] {
            let day = date::format(today.checked_add_signed(days).unwrap());
            let said = said.map(|(what, label)| {
                format!("3:16 warning: report mode {what} on {day} | {label} | {HELP}")
            });
            let expected: Vec<&str> = [NOTHING].into_iter().chain(said.as_deref()).collect();
            let text = format!("[upstream.pkce]\nmode = \"report\"\nreport_until = \"{day}\"");
            check_upstream(&text, &expected);
        }
        check_upstream(
            "[upstream.pkce]\nreport_until = \"2027-01-01\"",
            &[
                "2:16 warning: `upstream.pkce.report_until` has no effect | the mode is not report | \
               remove it, or write mode = \"report\"",
            ],
        );
    }
}
