//! Whether a client would break.

use super::model::{Exception, Verdict, counted};
use crate::policy::{Mode, Rule};
use crate::telemetry::tally::Row;

/// How long a bad sign-in counts although good ones followed it, in seconds. Another instance of the client may still be old.
const DOUBT: u64 = 86_400;

pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) why: String,
}

/// Judges a row by what it sent. `now`: seconds since 1970.
pub(super) fn verdict(rule: &Rule, row: &Row, exception: Option<&Exception>, now: u64) -> Judged {
    let all = row.since(0);
    let judged = |verdict, why: String| Judged { verdict, why };
    let in_force = exception.filter(|exception| !exception.has_ended && exception.until.is_some());
    let breaks = row.last_bad > 0
        && (row.last_bad >= row.last_good || now.saturating_sub(row.last_bad) < DOUBT);
    // The verdict changes a day later, but the owner of the client wants to see at once that its change works.
    let later = if row.last_good > row.last_bad {
        "; its last sign-in was good"
    } else if all.verified + all.unverified == 0 {
        "; no sign-in was completed"
    } else {
        ""
    };
    let reasons = || {
        let mut violations: Vec<_> = row.violations.iter().collect();
        violations.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
        let violations: Vec<_> = violations
            .iter()
            .take(3)
            .map(|(code, number)| format!("{code} ({number})"))
            .collect();
        violations.join(", ") + later
    };
    if let Some(until) = in_force.and_then(|exception| exception.until.as_deref()) {
        let now = if rule.mode == Mode::Off {
            "not judged, because its mode is off".to_owned()
        } else if breaks {
            format!("would break: {}", reasons())
        } else if all.verified > 0 && row.last_bad == 0 {
            "sends what enforcement needs".to_owned()
        } else {
            "no complete sign-in with PKCE yet".to_owned()
        };
        return judged(Verdict::Exempt, format!("exempt until {until}; {now}"));
    }
    if row.last_seen == 0 {
        return judged(
            Verdict::NotSeen,
            "no request since the counts began".to_owned(),
        );
    }
    if breaks {
        return judged(Verdict::WouldBreak, reasons());
    }
    if all.verified == 0 {
        return judged(
            Verdict::NotSeen,
            "no complete sign-in with PKCE yet".to_owned(),
        );
    }
    if !rule.challenge_required && all.none == 0 && all.unverified == 0 {
        let why = "every sign-in had PKCE, and require = \"public\" does not demand it".to_owned();
        return judged(Verdict::CouldBeRequired, why);
    }
    let earlier = if row.last_bad > 0 {
        ", the last bad one more than a day ago"
    } else {
        ""
    };
    judged(
        Verdict::Ready,
        format!(
            "{} with a verified challenge{earlier}",
            counted(all.verified, "token request")
        ),
    )
}
