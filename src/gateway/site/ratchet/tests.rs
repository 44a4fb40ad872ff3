use serde_json::json;

use super::*;
use crate::policy::ClientRule;
use crate::telemetry::tally::Numbers;

const NOW: u64 = 20_000 * DAY + 5;

/// The counts of a client that has signed in for ten days.
fn row(last_bad: u64) -> Row {
    let numbers = Numbers {
        s256: 3,
        verified: 3,
        ..Numbers::default()
    };
    let row = json!({
        "first_seen": NOW - 10 * DAY, "last_seen": NOW, "last_good": NOW, "last_bad": last_bad,
        "days": [{ "day": NOW / DAY, "numbers": numbers }],
    });
    serde_json::from_value(row).unwrap()
}

fn observed() -> Rule {
    Rule {
        mode: Mode::Report,
        ..Rule::default()
    }
}

struct Scene {
    promote: Promote,
    rules: Rules,
    promotions: Promotions,
}

impl Scene {
    fn new(promote: Promote) -> Self {
        Self {
            promote,
            rules: Rules::new(observed(), []),
            promotions: Promotions::default(),
        }
    }

    fn turn(&self, rows: &[(&str, &Row)], now: u64) -> Turned {
        let rows = rows
            .iter()
            .map(|(client, row)| (Name::Client((*client).into()), (*row).clone()));
        let rows: Vec<_> = rows.collect();
        self.turn_with(&rows, &rows, now)
    }

    /// `own`: what this gate counted; `all`: what all gates counted.
    fn turn_with(&self, own: &[(Name, Row)], all: &[(Name, Row)], now: u64) -> Turned {
        let ratchet = Ratchet {
            promote: self.promote,
            rules: &self.rules,
            promotions: &self.promotions,
        };
        let mut turned = ratchet.fall_back(own, now);
        ratchet.promote(all, now, &mut turned);
        turned
    }

    fn enforced(&self) -> Vec<String> {
        self.promotions.enforced()
    }
}

const AFTER: Promote = Promote::Enforce { days: 7 };
const PROPOSE: Promote = Promote::Propose { days: 7 };

#[test]
fn a_client_is_promoted_after_days_of_nothing_but_good_requests() {
    let with = |change: fn(&mut Row)| {
        let mut row = row(0);
        change(&mut row);
        row
    };
    for (why, row, is_promoted) in [
        ("good for ten days", row(0), true),
        ("a bad one long ago", row(NOW - 7 * DAY - 1), true),
        ("a bad one seven days ago", row(NOW - 7 * DAY), false),
        ("a bad one now", row(NOW), false),
        (
            "seen for a week",
            with(|row| row.first_seen = NOW - 7 * DAY),
            true,
        ),
        (
            "seen for less",
            with(|row| row.first_seen = NOW - 7 * DAY + 1),
            false,
        ),
        (
            "a code that could not be judged",
            with(|row| row.last_uncertain = NOW - 7 * DAY),
            false,
        ),
        (
            "no complete sign-in lately",
            with(|row| row.last_good = NOW - 8 * DAY),
            false,
        ),
        ("never seen", with(|row| *row = Row::default()), false),
        (
            "codes without a verifier",
            with(|row| row.days[0].numbers.unverified = 1),
            false,
        ),
        (
            "no code was redeemed",
            with(|row| row.days[0].numbers.verified = 0),
            false,
        ),
        (
            "a reported one of an unknown time",
            with(|row| row.days[0].numbers.reported = 1),
            false,
        ),
    ] {
        let scene = Scene::new(AFTER);
        let turned = scene.turn(&[("spa", &row)], NOW);
        assert_eq!(!turned.promoted.is_empty(), is_promoted, "{why}");
        assert_eq!(scene.enforced().len(), usize::from(is_promoted), "{why}");
        let proposing = Scene::new(PROPOSE);
        let turned = proposing.turn(&[("spa", &row)], NOW);
        assert_eq!(!turned.proposed.is_empty(), is_promoted, "{why}");
        assert!(proposing.enforced().is_empty(), "{why}");
        assert_eq!(
            Scene::new(Promote::Off).turn(&[("spa", &row)], NOW),
            Turned::default()
        );
    }
}

#[test]
fn a_promotion_is_told_once_and_never_taken_back() {
    let scene = Scene::new(AFTER);
    assert_eq!(scene.turn(&[("spa", &row(0))], NOW).promoted, ["spa"]);
    assert_eq!(scene.turn(&[("spa", &row(0))], NOW + 60), Turned::default());
    let fallen = row(NOW + 60);
    let turned = scene.turn(&[("spa", &fallen)], NOW + 61);
    assert_eq!(turned.downgraded.len(), 1);
    assert!(turned.downgraded[0].1.is_enforced);
    assert_eq!(
        scene.turn(&[("spa", &row(NOW + 70))], NOW + 71),
        Turned::default(),
        "once a day"
    );
    let later = scene.turn(&[("spa", &row(NOW + 2 * DAY))], NOW + 2 * DAY);
    assert_eq!(later.downgraded.len(), 1);
    let quiet = scene.turn(&[("spa", &row(NOW + 2 * DAY))], NOW + 4 * DAY);
    assert_eq!(quiet, Turned::default(), "the same request again");
    for promote in [Promote::Off, PROPOSE] {
        let changed = Scene {
            promote,
            ..Scene::new(AFTER)
        };
        changed.promotions.add(scene.promotions.get());
        changed.turn(&[("spa", &row(NOW))], NOW + 3 * DAY);
        assert_eq!(changed.enforced(), ["spa"]);
    }
}

#[test]
fn a_proposal_is_withdrawn_when_the_client_falls_back() {
    let scene = Scene::new(PROPOSE);
    assert_eq!(scene.turn(&[("spa", &row(0))], NOW).proposed, ["spa"]);
    let turned = scene.turn(&[("spa", &row(NOW + 60))], NOW + 61);
    assert_eq!(turned.downgraded.len(), 1);
    assert!(scene.promotions.get().is_empty());
}

#[test]
fn a_proposed_client_is_promoted_when_the_configuration_says_so() {
    let mut scene = Scene::new(PROPOSE);
    scene.turn(&[("spa", &row(0))], NOW);
    scene.promote = AFTER;
    assert_eq!(scene.turn(&[("spa", &row(0))], NOW + 60).promoted, ["spa"]);
}

#[test]
fn a_client_whose_mode_is_written_is_not_promoted() {
    for promoted in [None, Some(observed().enforced())] {
        let client = ClientRule {
            promoted: promoted.clone(),
            ..ClientRule::lasting("spa", observed())
        };
        let scene = Scene {
            rules: Rules::new(observed(), [(ClientId::new("spa").digest(), client)]),
            ..Scene::new(AFTER)
        };
        let turned = scene.turn(&[("spa", &row(0))], NOW);
        assert_eq!(turned.promoted.len(), usize::from(promoted.is_some()));
    }
    let enforced = Scene {
        rules: Rules::default(),
        ..Scene::new(AFTER)
    };
    assert_eq!(enforced.turn(&[("spa", &row(0))], NOW), Turned::default());
}

/// The rule of a promoted client applies to names that some server takes for it.
#[test]
fn a_client_is_not_promoted_beside_one_of_a_similar_name_that_is_not_ready() {
    for (other, is_promoted) in [("SPA", false), ("spa2", true)] {
        let scene = Scene::new(AFTER);
        scene.turn(&[("spa", &row(0)), (other, &row(NOW))], NOW);
        assert_eq!(!scene.enforced().is_empty(), is_promoted, "{other}");
    }
    let scene = Scene::new(AFTER);
    scene.turn(&[("spa", &row(0)), ("SPA", &row(0))], NOW);
    assert_eq!(scene.enforced(), ["SPA", "spa"]);
}

#[test]
fn the_number_of_promotions_is_bounded() {
    let scene = Scene::new(AFTER);
    let names: Vec<String> = (0..MOST + 5)
        .map(|number| format!("c{number:06}x"))
        .collect();
    let (row, bad) = (row(0), row(NOW + DAY));
    let rows: Vec<_> = names.iter().map(|name| (name.as_str(), &row)).collect();
    let mut promoted = 0;
    for turn in 0.. {
        let turned = scene.turn(&rows, NOW + turn);
        assert!(turned.promoted.len() <= AT_ONCE);
        promoted += turned.promoted.len();
        if !turned.is_full() {
            break;
        }
    }
    assert_eq!(promoted, MOST);
    let fallen = names.iter().map(|name| (name.as_str(), &bad));
    let fallen: Vec<_> = fallen.collect();
    let told = [1, 2].map(|turn| scene.turn(&fallen, NOW + DAY + turn).downgraded);
    assert!(told.iter().all(|clients| clients.len() == AT_ONCE));
    assert_ne!(told[0], told[1], "the others follow");
}

/// A gate that another one follows, and two replicas.
#[test]
fn promotions_of_two_processes_add_up() {
    let promotion = |since, is_enforced| Promotion {
        since,
        is_enforced,
        downgraded: 0,
    };
    let of = |all: &[(&str, Promotion)]| -> Promoted {
        let all = all
            .iter()
            .map(|(client, promotion)| ((*client).into(), *promotion));
        all.collect()
    };
    let one = of(&[("a", promotion(5, true)), ("b", promotion(3, false))]);
    let other = of(&[
        ("a", promotion(7, false)),
        ("b", promotion(4, true)),
        ("c", promotion(1, false)),
    ]);
    let both = of(&[
        ("a", promotion(5, true)),
        ("b", promotion(4, true)),
        ("c", promotion(1, false)),
    ]);
    for (first, second) in [(&one, &other), (&other, &one)] {
        let promotions = Promotions::default();
        promotions.add(first.clone());
        assert!(promotions.add(second.clone()));
        assert!(!promotions.add(second.clone()), "nothing is new");
        assert_eq!(promotions.get(), both);
    }
}

/// A bad request at another gate.
#[test]
fn a_proposal_is_withdrawn_by_what_all_gates_counted() {
    let scene = Scene::new(PROPOSE);
    scene.turn(&[("spa", &row(0))], NOW);
    let all = [(Name::Client("spa".into()), row(NOW + 60))];
    let turned = scene.turn_with(&[], &all, NOW + 61);
    assert_eq!(turned.downgraded.len(), 1);
    assert!(scene.promotions.get().is_empty());
    // An enforced client stays so, and the gate that it asked says that it fell back.
    let scene = Scene::new(AFTER);
    scene.turn(&[("spa", &row(0))], NOW);
    assert_eq!(scene.turn_with(&[], &all, NOW + 61), Turned::default());
    assert_eq!(scene.enforced(), ["spa"]);
}

/// Else one request with an invented name would prevent a promotion for ever.
#[test]
fn a_similar_name_that_was_not_used_for_a_month_prevents_no_promotion() {
    let idle = |last_seen| Row {
        first_seen: NOW - 60 * DAY,
        last_seen,
        ..Row::default()
    };
    for (last_seen, is_promoted) in [(NOW - 30 * DAY, false), (NOW - 30 * DAY - 1, true)] {
        let scene = Scene::new(AFTER);
        scene.turn(&[("spa", &row(0)), ("SPA", &idle(last_seen))], NOW);
        assert_eq!(!scene.enforced().is_empty(), is_promoted);
    }
}

/// Its requests may be of any client, so the first promotion would break it.
#[test]
fn no_client_is_promoted_while_a_client_with_request_objects_signs_in() {
    let with = |code: &str, verified: u32, day: u64| {
        let row = json!({
            "first_seen": NOW - 10 * DAY, "last_seen": NOW, "last_good": 0, "last_bad": NOW,
            "origin": null,
            "days": [{
                "day": day,
                "numbers": Numbers { unverified: verified, reported: 1, ..Numbers::default() },
                "violations": { code: 1 },
            }],
        });
        serde_json::from_value::<Row>(row).unwrap()
    };
    let today = NOW / DAY;
    for (why, row, is_in_the_way) in [
        (
            "a request object",
            with("request_object_refused", 1, today),
            true,
        ),
        ("a request_uri", with("unknown_request_uri", 1, today), true),
        (
            "no sign-in was completed",
            with("request_object_refused", 0, today),
            false,
        ),
        (
            "long ago",
            with("request_object_refused", 1, today - 8),
            false,
        ),
        (
            "another violation",
            with("missing_challenge", 1, today),
            false,
        ),
    ] {
        let rows = [("spa", &self::row(0)), ("erp", &row)];
        let scene = Scene::new(AFTER);
        let promoted = scene.turn(&rows, NOW).promoted.len();
        assert_eq!(promoted, usize::from(!is_in_the_way), "{why}");
        // What the operator does about a proposal, the operator decides.
        assert_eq!(
            Scene::new(PROPOSE).turn(&rows, NOW).proposed,
            ["spa"],
            "{why}"
        );
    }
}
