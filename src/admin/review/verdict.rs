//! Whether a client would break.

use super::model::{Exception, Verdict, counted};
use crate::clock::date;
use crate::policy::{Mode, Rule};
use crate::telemetry::tally::{GOOD, Row};

const DAY: u64 = 86_400;

/// How long a bad sign-in counts although good ones followed it, in seconds. Another instance of the client may still be old.
const DOUBT: u64 = DAY;

/// How many days before the last bad sign-in are looked at for its reasons.
const REASONS: u64 = 7;

/// The most reasons that are named.
const MOST: usize = 3;

pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) why: String,
}

/// Judges a row by what it sent. `now`: seconds since 1970.
pub(super) fn verdict(rule: &Rule, row: &Row, exception: Option<&Exception>, now: u64) -> Judged {
    let all = row.since(0);
    let judged = |verdict, why: String| Judged { verdict, why };
    let in_force = exception.filter(|exception| !exception.has_ended && exception.until.is_some());
    let breaks = breaks(row, now);
    if let Some(until) = in_force.and_then(|exception| exception.until.as_deref()) {
        let now = if rule.mode == Mode::Off {
            "not judged, because its mode is off".to_owned()
        } else if breaks {
            format!("would break: {}", reasons(row, now))
        } else if is_uncertain(row, now) {
            "cannot be judged for certain".to_owned()
        } else if all.verified > 0 {
            "sends what enforcement needs".to_owned() + &mended(row)
        } else {
            "no complete sign-in with PKCE yet".to_owned()
        };
        return judged(Verdict::Exempt, format!("exempt until {until}; {now}"));
    }
    if row.last_seen == 0 {
        return judged(
            Verdict::NotSeen,
            "no sign-in since the counts began".to_owned(),
        );
    }
    if is_uncertain(row, now) && !breaks {
        let why = format!(
            "{} of the last 30 days whose sign-in is uncertain; verified: {}. Enforcement could refuse this client",
            counted(all.uncertain, "code"),
            all.verified
        );
        return judged(Verdict::Uncertain, why);
    }
    if breaks {
        let ended = if all.verified + all.unverified > 0 {
            ""
        } else {
            "; no sign-in was completed"
        };
        return judged(Verdict::WouldBreak, reasons(row, now) + ended);
    }
    if all.verified == 0 || row.last_good == 0 {
        return judged(
            Verdict::NotSeen,
            "no complete sign-in with PKCE yet".to_owned(),
        );
    }
    if !rule.challenge_required && all.none == 0 && all.unverified == 0 {
        let why = "every sign-in had PKCE, and require = \"public\" does not demand it".to_owned();
        return judged(Verdict::CouldBeRequired, why + &mended(row));
    }
    judged(
        Verdict::Ready,
        format!(
            "{} with a verified challenge{}",
            counted(all.verified, "token request"),
            mended(row)
        ),
    )
}

fn breaks(row: &Row, now: u64) -> bool {
    row.last_bad > 0 && (row.last_bad >= row.last_good || now < ready_from(row))
}

/// Whether the last codes, or some of the last day, cannot be judged.
fn is_uncertain(row: &Row, now: u64) -> bool {
    let doubt = row.last_uncertain.saturating_add(DOUBT);
    row.last_uncertain > 0 && (row.last_uncertain >= row.last_good || now < doubt)
}

/// Judges codes that the server sends to an origin without a request. `is_known`: sign-ins with a redirect URI there began here, too.
pub(super) fn unrequested(row: &Row, is_known: bool) -> Judged {
    let number = row.since(0).failing();
    if is_known {
        let why = format!(
            "{} of the last 30 days with a code that fits no sign-in, although clients of this address sign in here: sent by the \
             server without a request, or the gate could not tell to which sign-in it belongs",
            counted(number, "answer")
        );
        return Judged {
            verdict: Verdict::Uncertain,
            why,
        };
    }
    Judged {
        verdict: Verdict::ServerInitiated,
        why: format!(
            "unbound_code_in_response ({number}): the server sends codes to this address without an authorization request, which enforcement \
             refuses"
        ),
    }
}

/// When a row whose last sign-in was good is ready, if no bad one follows.
fn ready_from(row: &Row) -> u64 {
    row.last_bad.saturating_add(DOUBT)
}

/// The time from which a row that would break is ready. `None`: it does not break, or no good sign-in has followed its last bad one.
pub(super) fn waits_until(row: &Row, now: u64) -> Option<u64> {
    let waits = row.last_good > row.last_bad && breaks(row, now);
    waits.then(|| ready_from(row))
}

/// The first good sign-in after the last bad one. `None`: there is no bad one, no good one after it, or so many that the first one is
/// not known any more.
pub(super) fn mended_since(row: &Row) -> Option<u64> {
    let mut good = row.good_since_bad();
    let is_known = row.last_bad > 0 && good.len() < GOOD;
    good.next().filter(|_| is_known)
}

/// The first day whose violations and hints matter now: some days before the last bad sign-in, or since it was mended.
pub(super) fn matters_from(row: &Row, now: u64) -> u64 {
    if row.last_bad > 0 && !breaks(row, now) {
        row.last_bad / DAY + 1
    } else {
        let last = if row.last_bad > 0 { row.last_bad } else { now };
        (last / DAY).saturating_sub(REASONS - 1)
    }
}

/// Why the row breaks, and whether good sign-ins follow.
fn reasons(row: &Row, now: u64) -> String {
    let violations = row.violations_since(matters_from(row, now)).into_iter();
    let violations: Vec<_> = violations
        .take(MOST)
        .map(|(code, number)| format!("{code} ({number})"))
        .collect();
    let mut reasons = if violations.is_empty() {
        // Its day is not kept any more.
        format!("the last bad sign-in was at {}", minute(row.last_bad))
    } else {
        violations.join(", ")
    };
    if let Some(ready) = waits_until(row, now) {
        let (good, ready) = (followed(row), minute(ready));
        reasons = format!("{reasons}; {good}; ready from {ready} on if no bad one follows");
    }
    reasons
}

/// What to add to the verdict on a row that had bad sign-ins in the days that are kept. Else empty.
fn mended(row: &Row) -> String {
    if row.violations_since(0).is_empty() || row.last_bad == 0 {
        return String::new();
    }
    let bad = minute(row.last_bad);
    let good = counted(number_since_bad(row), "good sign-in");
    match mended_since(row) {
        Some(since) => {
            let since = minute(since);
            format!("; mended since {since}: {good}, the last bad one at {bad}")
        }
        None => format!("; mended: at least {good} since the last bad one at {bad}"),
    }
}

/// How many good sign-ins followed the last bad one.
fn followed(row: &Row) -> String {
    let good = counted(number_since_bad(row), "good sign-in");
    match mended_since(row) {
        Some(since) => format!("{good} since {}", minute(since)),
        None => format!("at least {good} since {}", minute(row.last_bad)),
    }
}

/// The number of good sign-ins after the last bad one, if there are any. Earlier versions did not count them.
fn number_since_bad(row: &Row) -> usize {
    row.good_since_bad().len().max(1)
}

/// A time to the minute, for people.
fn minute(seconds: u64) -> String {
    let (day, of_day) = (seconds / DAY, seconds % DAY);
    let (hour, minute) = (of_day / 3600, of_day / 60 % 60);
    format!("{} {hour:02}:{minute:02} UTC", date::format(day))
}
