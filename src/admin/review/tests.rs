use super::verdict::{matters_from, mended_since, verdict, waits_until};
use super::*;
use crate::gateway::settings::Promote;
use crate::gateway::site::ratchet::Promoted;
use crate::policy::{Mode, Rule, Rules};
use crate::telemetry::tally::{Codes, Numbers};

const NOW: u64 = 20_000 * DAY + 5;

fn row(numbers: Numbers, last_good: u64, last_bad: u64) -> Row {
    let mut row = serde_json::json!({
        "first_seen": NOW - 10 * DAY,
        "last_seen": last_good.max(last_bad),
        "last_good": last_good,
        "last_bad": last_bad,
        "good": [],
        "origin": null,
        "days": [{ "day": NOW / DAY - 1, "numbers": numbers, "violations": { "missing_challenge": 3 } }],
    });
    if last_good > 0 {
        row["good"] = vec![last_good - 60, last_good].into();
    }
    serde_json::from_value(row).unwrap()
}

fn exception(has_ended: bool) -> Exception {
    Exception {
        until: Some("2027-03-31".to_owned()),
        owner: None,
        reason: None,
        has_ended,
    }
}

#[test]
fn a_client_is_ready_when_its_last_day_was_good() {
    let report = Rule {
        mode: Mode::Report,
        ..Rule::default()
    };
    let public_only = Rule {
        challenge_required: false,
        ..Rule::default()
    };
    let good = Numbers {
        s256: 2,
        verified: 2,
        ..Numbers::default()
    };
    let none = Numbers {
        none: 1,
        ..Numbers::default()
    };
    for (rule, row, exception, expected) in [
        (&report, row(good, NOW, 0), None, Verdict::Ready),
        (&report, row(none, 0, NOW), None, Verdict::WouldBreak),
        (&report, row(good, NOW - 5, NOW), None, Verdict::WouldBreak),
        // Good ones followed, but not for a day yet.
        (
            &report,
            row(good, NOW, NOW - DAY / 2),
            None,
            Verdict::WouldBreak,
        ),
        (&report, row(good, NOW, NOW - DAY), None, Verdict::Ready),
        (&report, Row::default(), None, Verdict::NotSeen),
        // It began sign-ins, but none has ended.
        (
            &report,
            row(
                Numbers {
                    verified: 0,
                    ..good
                },
                NOW,
                0,
            ),
            None,
            Verdict::NotSeen,
        ),
        (
            &report,
            row(none, 0, NOW),
            Some(exception(false)),
            Verdict::Exempt,
        ),
        (
            &report,
            row(none, 0, NOW),
            Some(exception(true)),
            Verdict::WouldBreak,
        ),
        (
            &public_only,
            row(good, NOW, 0),
            None,
            Verdict::CouldBeRequired,
        ),
    ] {
        let judged = verdict(rule, &row, exception.as_ref(), NOW);
        assert_eq!(judged.verdict, expected, "{row:?}: {}", judged.why);
        assert!(!judged.why.is_empty());
    }
}

/// Its owner wants to know whether the change was enough.
#[test]
fn a_mended_client_is_told_what_followed_and_until_when_it_waits() {
    let good = Numbers {
        s256: 2,
        verified: 2,
        ..Numbers::default()
    };
    let why = |row: &Row| verdict(&Rule::default(), row, None, NOW).why;
    let waits = row(good, NOW, NOW - DAY / 2);
    assert_eq!(
        why(&waits),
        "missing_challenge (3); 2 good sign-ins since 2024-10-03 23:59 UTC; ready from 2024-10-04 12:00 UTC on if no bad one follows"
    );
    assert_eq!(waits_until(&waits, NOW), Some(NOW + DAY / 2));
    let mended = row(good, NOW, NOW - DAY);
    assert_eq!(
        why(&mended),
        "2 token requests with a verified challenge; mended since 2024-10-03 23:59 UTC: 2 good sign-ins, the last bad one at \
         2024-10-03 00:00 UTC"
    );
    assert_eq!(waits_until(&mended, NOW), None);
    assert_eq!(mended_since(&mended), Some(NOW - 60));
    // The first of many good ones is not known.
    let mut many = row(good, NOW, NOW - DAY);
    many.good = (0..20).map(|second| NOW - 20 + second).collect();
    assert!(why(&many).ends_with(
        "; mended: at least 20 good sign-ins since the last bad one at 2024-10-03 00:00 UTC"
    ));
    assert_eq!(mended_since(&many), None);
    // A month later it does not matter any more.
    many.days.clear();
    many.days
        .push_back(row(good, NOW, 0).days.pop_front().unwrap());
    many.days[0].violations = Codes::default();
    assert_eq!(why(&many), "2 token requests with a verified challenge");
    // Its reasons are older than what is kept.
    let mut old = row(Numbers::default(), 0, NOW - 40 * DAY);
    old.days.clear();
    assert_eq!(
        why(&old),
        "the last bad sign-in was at 2024-08-25 00:00 UTC; no sign-in was completed"
    );
}

#[test]
fn hints_from_before_a_client_was_mended_are_left_out() {
    let mended = row(Numbers::default(), NOW, NOW - DAY);
    assert_eq!(matters_from(&mended, NOW), NOW / DAY);
    let broken = row(Numbers::default(), 0, NOW - 10 * DAY);
    assert_eq!(matters_from(&broken, NOW), NOW / DAY - 16);
    let good = row(Numbers::default(), NOW, 0);
    assert_eq!(matters_from(&good, NOW), NOW / DAY - 6);
}

#[test]
fn a_client_is_uncertain_until_a_day_without_a_code_that_cannot_be_judged() {
    let numbers = Numbers {
        s256: 4,
        verified: 3,
        uncertain: 1,
        ..Numbers::default()
    };
    let judged = |last_good, last_bad, last_uncertain| {
        let row = Row {
            last_uncertain,
            ..row(numbers, last_good, last_bad)
        };
        verdict(&Rule::default(), &row, None, NOW)
    };
    let uncertain = judged(NOW, 0, NOW - 9);
    assert_eq!(uncertain.verdict, Verdict::Uncertain);
    assert_eq!(
        uncertain.why,
        "1 code of the last 30 days whose sign-in is uncertain; verified: 3. Enforcement could refuse this client"
    );
    for (last_good, last_bad, last_uncertain, expected) in [
        (NOW, 0, NOW - DAY, Verdict::Ready),
        // No good one followed.
        (NOW - 2 * DAY, 0, NOW - DAY, Verdict::Uncertain),
        (NOW, NOW, NOW, Verdict::WouldBreak),
    ] {
        let judged = judged(last_good, last_bad, last_uncertain);
        assert_eq!(judged.verdict, expected, "{}", judged.why);
    }
}

/// Requests that belong to no sign-in, such as those of a scanner, are no client.
#[test]
fn the_headline_counts_clients_that_began_a_sign_in() {
    let mut others = broken("others", "");
    others.verdict = Verdict::NotSeen;
    others.authorization.none = 0;
    let all = [broken("client", "spa"), others];
    let headline = headline(&all, Mode::Report);
    assert_eq!((headline.clients, headline.not_seen), (1, 0));
    assert!(
        headline.text.starts_with("1 of 1 clients"),
        "{}",
        headline.text
    );
}

/// Its owner would remove the exception.
#[test]
fn an_exempt_client_is_not_called_ready_before_it_was_seen_to_be() {
    let good = Numbers {
        s256: 2,
        verified: 2,
        ..Numbers::default()
    };
    let off = Rule {
        mode: Mode::Off,
        ..Rule::default()
    };
    for (rule, row, said) in [
        (
            &Rule::default(),
            row(good, NOW, 0),
            "sends what enforcement needs",
        ),
        (
            &Rule::default(),
            Row::default(),
            "no complete sign-in with PKCE yet",
        ),
        (
            &Rule::default(),
            row(good, NOW - 1, NOW),
            "would break: missing_challenge (3)",
        ),
        (
            &off,
            row(good, NOW, 0),
            "not judged, because its mode is off",
        ),
    ] {
        let judged = verdict(rule, &row, Some(&exception(false)), NOW);
        assert_eq!(judged.why, format!("exempt until 2027-03-31; {said}"));
    }
}

/// Under enforcement nothing is only foretold.
#[test]
fn the_headline_says_what_happens_in_the_mode() {
    let clients = [broken("client", "spa")];
    let text = |mode| headline(&clients, mode).text;
    assert!(text(Mode::Report).starts_with("1 of 1 clients would break; enforcing"));
    assert!(text(Mode::Enforce).starts_with("1 of 1 clients fail; 0 of 1 sign-ins"));
}

#[test]
fn the_document_is_read_back_as_it_was_written() {
    let review = Review {
        generated: written(NOW),
        version: "1".to_owned(),
        upstreams: vec![Upstream {
            name: "a".to_owned(),
            mode: "report".to_owned(),
            gates: Some(Gates {
                counted: 2,
                is_complete: true,
                unreadable: 0,
            }),
            control: control::control(&Rules::default(), &[], None, NOW / DAY),
            also_seen: also::also_seen(&Rules::default(), &[]),
            headline: headline(&[], Mode::Report),
            promotion: promotion::ratchet(Promote::Off, &Promoted::new(), &Rules::default(), &[]),
            days: days(&[], NOW),
            routes: model::Routes {
                allow: vec!["/login".to_owned()],
                is_complete: true,
                denies: false,
                toml: String::new(),
            },
            clients: Vec::new(),
        }],
    };
    let text = serde_json::to_string(&review).unwrap();
    assert_eq!(serde_json::from_str::<Review>(&text).unwrap(), review);
    assert_eq!(review.generated, "2024-10-04T00:00:05Z");
    assert_eq!(review.upstreams[0].days.len(), 30);
}

fn broken(kind: &str, name: &str) -> Reviewed {
    let numbers = serde_json::json!({ "s256": 0, "plain": 0, "malformed": 0, "none": 1 });
    let row = serde_json::json!({
        "client_id": name, "kind": kind, "verdict": "would_break", "why": "", "mode": "report", "exception": null, "promotion": null,
        "first_seen": null, "last_seen": null, "last_good": null, "last_bad": null, "mended_since": null, "waits_until": null,
        "redirect_origin": null,
        "authorization": numbers, "redemption": { "verified": 0, "unverified": 0, "uncertain": 0, "violations": {} },
        "hints": [], "sign_ins": 1, "failed": 0, "failing": 1,
    });
    serde_json::from_value(row).unwrap()
}

/// Clients choose their names, and there may be thousands. A name in this sentence could read like an instruction.
#[test]
fn the_remediation_names_no_client() {
    let report = Rule {
        mode: Mode::Report,
        ..Rule::default()
    };
    let rules = Rules::new(report, []);
    let remediation =
        |clients: &[Reviewed]| control::control(&rules, clients, None, NOW / DAY).remediation;
    let odd = remediation(&[
        broken("client", "\u{1b}[31m\u{202e}\""),
        broken("others", ""),
    ]);
    assert!(
        odd.starts_with("tell the owners of the 2 clients below"),
        "{odd}"
    );
    let one = remediation(&[broken("client", "spa")]);
    assert!(
        one.starts_with("tell the owner of the client below"),
        "{one}"
    );
    let long = broken("client", &"x".repeat(512));
    let many = remediation(&vec![long; 10_000]);
    assert!(
        many.contains("10000 clients") && many.len() < 1000,
        "{many}"
    );
}

/// A client that is only configured does not count as an exception, and one that needs no challenge because it is confidential leaves the public
/// clients covered.
#[test]
fn evidence_and_clauses_are_about_what_the_rules_say() {
    let client = |id: &str, rule: Rule| {
        let id = ClientId::new(id);
        (id.digest(), ClientRule::lasting(id.as_str(), rule))
    };
    let report = Rule {
        mode: Mode::Report,
        ..Rule::default()
    };
    let confidential = Rule {
        challenge_required: false,
        ..Rule::default()
    };
    let observed = Rules::new(report.clone(), [client("spa", report)]);
    let observed = control::control(&observed, &[], None, NOW / DAY);
    let says_exception = |line: &String| line.contains("has an exception");
    assert!(
        !observed.evidence.iter().any(says_exception),
        "{observed:?}"
    );
    let all = ["b", "a"].map(|id| client(id, confidential.clone()));
    let public = Rules::new(Rule::default(), all);
    let public = control::control(&public, &[], None, NOW / DAY);
    assert_eq!(public.state, State::Partly);
    for id in ["a", "b"] {
        let line =
            format!("the confidential client {id:?} needs no challenge (require = \"public\")");
        assert!(public.evidence.contains(&line), "{public:?}");
    }
    let met = public.clauses.iter().filter(|clause| clause.is_met);
    assert_eq!(met.count(), 2, "{:?}", public.clauses);
}

#[test]
fn the_evidence_counts_clients_that_are_enforced_before_the_others() {
    let mut clients = ["a", "b", "c"].map(|id| broken("client", id));
    for client in &mut clients[..2] {
        client.mode = "enforce".to_owned();
    }
    clients[0].promotion = Some(model::Promotion {
        state: model::Promoted::Enforced,
        since: written(NOW),
        is_downgraded: false,
    });
    let report = Rule {
        mode: Mode::Report,
        ..Rule::default()
    };
    for (rule, expected) in [
        (
            report,
            Some("enforced before the others: 2 clients, 1 of them by promotion"),
        ),
        (Rule::default(), None),
    ] {
        let rules = Rules::new(rule, []);
        let evidence = control::control(&rules, &clients, None, NOW / DAY).evidence;
        let found = evidence
            .iter()
            .find(|line| line.contains("before the others"));
        assert_eq!(found.map(String::as_str), expected);
    }
}
