//! The ratchet (`promote`): clients that send nothing but good requests are enforced before their upstream is.

use super::problem::Problem;
use super::tree::Table;
use super::value::{Kind, Wrong};
use crate::gateway::settings::Promote;
use crate::policy::{Mode, Rule};
use crate::store;
use crate::telemetry::tally::DAYS;

const PROMOTE: Kind<Promote> = Kind::new("a promotion", "propose after 7d", promote)
    .pattern("^(off|(propose )?after [0-9]+d)$");

/// Reads `promote`.
pub(super) fn read(pkce: &Table<'_>, rule: &Rule) -> Promote {
    let promote = pkce.text("promote", &PROMOTE, Promote::Off);
    if promote != Promote::Off && rule.mode != Mode::Report && pkce.is_good("mode") {
        let message = format!("{} has no effect", pkce.name("promote"));
        let label = "only clients in report mode are promoted";
        let help = "remove it, or write mode = \"report\"";
        pkce.push(Problem::warning(pkce.at("promote"), message, label, help));
        return Promote::Off;
    }
    promote
}

/// Reports clients that would be promoted by the gate itself, where nothing keeps that over a restart.
pub(super) fn needs_snapshot(pkce: &Table<'_>, promote: Promote, review: &Table<'_>) {
    if matches!(promote, Promote::Enforce { .. }) && review.lacks("snapshot") {
        let message = format!("{} needs the file of the review", pkce.name("promote"));
        let label = "a restart would take back the enforcement of promoted clients";
        let help = "add snapshot = \"/var/lib/pkce-gate/review.json\" below [review], or write \"propose after …\"";
        pkce.push(Problem::error(pkce.at("promote"), message, label, help));
    }
}

/// Warns where gates that share handles would each promote by what they have counted themselves.
pub(super) fn needs_a_shared_store(pkce: &Table<'_>, promote: Promote, kind: &store::Kind) {
    let is_local = matches!(kind, store::Kind::Sealed { claims: None, .. });
    if is_local && matches!(promote, Promote::Enforce { .. }) {
        let message = format!("{} may differ between gates", pkce.name("promote"));
        let label = "with this store, each gate promotes by what it has counted itself";
        let help = "with one gate, nothing; with several, write \"propose after …\", or a store in Redis, which the gates share";
        pkce.push(Problem::warning(pkce.at("promote"), message, label, help));
    }
}

fn promote(text: &str) -> Result<Promote, Wrong> {
    const HELP: &str = "write \"off\", \"propose after 7d\" or \"after 7d\", with 1 to 30 days";
    if text == "off" {
        return Ok(Promote::Off);
    }
    let (is_proposal, after) = match text.strip_prefix("propose ") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let after = after.strip_prefix("after ");
    let after = after.ok_or_else(|| Wrong::new("it does not say after how many days", HELP))?;
    let days = after.strip_suffix('d');
    let days = days.ok_or_else(|| Wrong::new("the unit is d, for days", HELP))?;
    let is_number = days.bytes().all(|byte| byte.is_ascii_digit());
    let days = days
        .parse()
        .ok()
        .filter(|days| is_number && (1..=DAYS).contains(days));
    let days = days.ok_or_else(|| Wrong::new("that is not a number from 1 to 30", HELP))?;
    Ok(if is_proposal {
        Promote::Propose { days }
    } else {
        Promote::Enforce { days }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{UPSTREAM, check_upstream, config, problems};
    use crate::oauth::ClientId;

    #[test]
    fn a_promotion_is_proposed_or_made_after_some_days() {
        for (text, read) in [
            ("off", Some(Promote::Off)),
            ("propose after 7d", Some(Promote::Propose { days: 7 })),
            ("after 7d", Some(Promote::Enforce { days: 7 })),
            ("after 1d", Some(Promote::Enforce { days: 1 })),
            ("after 30d", Some(Promote::Enforce { days: 30 })),
            ("after 31d", None),
            ("after 0d", None),
            ("after +7d", None),
            ("after 7", None),
            ("after 7h", None),
            ("after d", None),
            ("after  7d", None),
            ("after 7d ", None),
            ("After 7d", None),
            ("7d", None),
            ("propose", None),
            ("propose 7d", None),
            ("propose propose after 7d", None),
            ("on", None),
            ("", None),
        ] {
            assert_eq!(promote(text).ok(), read, "{text:?}");
        }
    }

    /// What the review has to paste, and what the gate does by itself, are the same.
    #[test]
    fn a_promoted_client_has_the_rule_that_its_pasted_configuration_gives_it() {
        const CLIENT: &str = "[[upstream.client]]\nid = \"spa\"";
        let rule = |pkce: &str, client: &str, pasted: &str, is_promoted: bool| {
            let text = format!("[upstream.pkce]\nmode = \"report\"\n{pkce}\n{client}\n{pasted}");
            let config = config(&format!("{UPSTREAM}{text}"));
            let rules = config.upstreams[0].gateway.rules.clone();
            let promoted = rules.promoting(is_promoted.then_some("spa"));
            promoted.of_name(&ClientId::new("spa"), 0).clone()
        };
        for pkce in [
            "",
            "require = \"public\"",
            "codes = \"handle\"",
            "request_objects = \"read\"",
            "response_modes = [\"query\", \"jwt\"]",
            "grants = [\"authorization_code\"]",
        ] {
            let pasted = rule(pkce, CLIENT, "mode = \"enforce\"", false);
            assert_eq!(pasted.mode, Mode::Enforce);
            assert_eq!(rule(pkce, "", "", true), pasted, "{pkce}");
            for key in [
                "redirect_uris = [\"https://a.test/cb\"]",
                "type = \"confidential\"",
                "codes = \"handle\"",
            ] {
                let client = format!("{CLIENT}\n{key}");
                let pasted = rule(pkce, &client, "mode = \"enforce\"", false);
                assert_eq!(rule(pkce, &client, "", true), pasted, "{pkce} {key}");
            }
        }
        let written = rule("", CLIENT, "mode = \"report\"", true);
        assert_eq!(written.mode, Mode::Report);
    }

    /// It says how the client differs, not that it is not enforced.
    #[test]
    fn an_exception_with_an_end_does_not_take_a_promotion_back() {
        const EXCEPTION: &str = "[upstream.pkce]\nmode = \"report\"\n[[upstream.client]]\nid = \"spa\"\n\
            methods = [\"S256\", \"plain\"]\nuntil = \"2030-01-01\"\nowner = \"a@a.test\"\nreason = \"old\"";
        let config = config(&format!("{UPSTREAM}{EXCEPTION}"));
        let rules = config.upstreams[0].gateway.rules.clone();
        let spa = ClientId::new("spa");
        assert!(!rules.may_promote(&spa));
        assert!(rules.keeps_promotion(&spa));
        let rules = rules.promoting(["spa"]);
        for (today, is_plain_allowed) in [(0, true), (100_000, false)] {
            let rule = rules.of_name(&spa, today);
            assert_eq!(rule.mode, Mode::Enforce);
            assert_eq!(rule.plain_allowed, is_plain_allowed);
        }
    }

    #[test]
    fn gates_that_count_alone_are_warned_about() {
        let after = "[upstream.pkce]\nmode = \"report\"\npromote = \"after 7d\"\n[review]\nsnapshot = \"r\"\n";
        let keys = "keys = [{ id = \"a\", file = \"seal\" }]";
        let redis = "url = \"redis://127.0.0.1/0\"";
        for (store, is_warned) in [
            (String::new(), false),
            (format!("[store]\nkind = \"sealed\"\n{keys}\n"), true),
            (
                format!("[store]\nkind = \"sealed\"\nclaims = \"redis\"\n{redis}\n{keys}\n"),
                false,
            ),
            (
                format!("[store]\nkind = \"redis\"\n{redis}\n{keys}\n"),
                false,
            ),
        ] {
            let problems = problems(&format!("{UPSTREAM}{after}{store}"));
            let is_about = |problem: &String| problem.contains("may differ between gates");
            assert_eq!(problems.iter().any(is_about), is_warned, "{problems:?}");
        }
    }

    #[test]
    fn a_promotion_needs_report_mode_and_a_file_that_keeps_it() {
        const NOTHING: &str = "2:8 warning: nothing is refused at \"legacy\" | violations are recorded only | \
            write mode = \"enforce\" once the review shows that every client is ready";
        check_upstream(
            "[upstream.pkce]\npromote = \"propose after 7d\"",
            &[
                "2:11 warning: `upstream.pkce.promote` has no effect | only clients in report mode are promoted | \
               remove it, or write mode = \"report\"",
            ],
        );
        check_upstream(
            "[upstream.pkce]\nmode = \"report\"\npromote = \"propose after 7d\"",
            &[NOTHING],
        );
        check_upstream(
            "[upstream.pkce]\nmode = \"report\"\npromote = \"after 7d\"",
            &[
                NOTHING,
                "3:11 error: `upstream.pkce.promote` needs the file of the review | \
                 a restart would take back the enforcement of promoted clients | \
                 add snapshot = \"/var/lib/pkce-gate/review.json\" below [review], or write \"propose after …\"",
            ],
        );
    }
}
