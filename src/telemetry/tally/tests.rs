use proptest::prelude::*;

use super::*;
use crate::oauth::CodeChallengeMethod;
use crate::policy::Violation;
use crate::telemetry::decided::Decided;

const DAY: u64 = 86_400;
const NOW: u64 = 20_000 * DAY + 5;

#[derive(Default)]
struct Scene(Tally);

impl Scene {
    fn tell(&self, step: Step, client: &str, violation: Option<&Violation>, now: u64) {
        self.tell_from(step, client, "https://a.test", violation, now);
    }

    fn tell_from(
        &self,
        step: Step,
        client: &str,
        origin: &str,
        violation: Option<&Violation>,
        now: u64,
    ) {
        let has_challenge = !matches!(violation, Some(Violation::MissingChallenge));
        let told = Told {
            step,
            decided: if violation.is_some() {
                Decided::Reported
            } else {
                Decided::Allowed
            },
            violation,
            client: Some(client),
            method: has_challenge.then_some(CodeChallengeMethod::S256),
            redirect_origin: Some(origin),
            is_uncertain: false,
            hint: None,
        };
        self.0.count(&told, now);
        if step == Step::Redeems && violation.is_none() {
            self.accept(client, now);
        }
    }

    /// The server answers with a token.
    fn accept(&self, client: &str, now: u64) {
        let accepted = Accepted {
            client: Some(client),
            is_verified: true,
            is_authenticated: false,
            neighbour: None,
        };
        self.0.note_accepted(&accepted, now);
    }

    fn row(&self, name: &Name) -> Option<Row> {
        let rows = self.0.rows();
        let row = rows.into_iter().find(|(known, _)| known == name);
        row.map(|(_, row)| row)
    }

    fn client(&self, name: &str) -> Row {
        let row = self.row(&Name::Client(name.into()));
        row.unwrap_or_else(|| panic!("{name}"))
    }
}

#[test]
fn sign_ins_are_counted_by_client_and_day() {
    let scene = Scene::default();
    scene.tell(Step::Begins, "spa", None, NOW);
    scene.tell(Step::Redeems, "spa", None, NOW + 3);
    scene.tell(Step::Begins, "erp", Some(&Violation::MissingChallenge), NOW);
    // The code of that sign-in has no challenge, so this is the same failure.
    scene.tell(
        Step::Redeems,
        "erp",
        Some(&Violation::MissingChallenge),
        NOW + 1,
    );
    scene.tell(
        Step::Redeems,
        "spa",
        Some(&Violation::VerifierMismatch),
        NOW + DAY,
    );
    scene.tell(Step::Other, "spa", None, NOW + DAY);
    let spa = scene.client("spa");
    assert_eq!((spa.first_seen, spa.last_seen), (NOW, NOW + DAY));
    assert_eq!((spa.last_good, spa.last_bad), (NOW + 3, NOW + DAY));
    let first = Numbers {
        s256: 1,
        verified: 1,
        ..Numbers::default()
    };
    let second = Numbers {
        reported: 1,
        ..Numbers::default()
    };
    assert_eq!(
        spa.days.iter().map(|day| day.numbers).collect::<Vec<_>>(),
        [first, second]
    );
    assert_eq!(spa.since(NOW / DAY + 1), second);
    let erp = scene.client("erp").since(0);
    assert_eq!((erp.none, erp.sign_ins(), erp.failing()), (1, 1, 1));
    let violations = |name| {
        let row = scene.client(name);
        let all = row.violations_since(0).into_iter();
        all.map(|(code, number)| (code.to_owned(), number))
            .collect::<Vec<_>>()
    };
    assert_eq!(violations("erp"), [("missing_challenge".to_owned(), 2)]);
    assert_eq!(violations("spa"), [("verifier_mismatch".to_owned(), 1)]);
}

#[test]
fn requests_that_begin_nothing_make_no_row() {
    let scene = Scene::default();
    scene.tell(Step::Redeems, "a", Some(&Violation::UnknownCode), NOW);
    scene.tell(Step::Other, "b", Some(&Violation::UnknownCode), NOW);
    assert_eq!(scene.0.rows().len(), 1);
    let others = scene.row(&Name::Others).unwrap();
    assert_eq!(others.violations_since(0), [("unknown_code", 2)]);
}

#[test]
fn the_number_of_rows_is_bounded_and_the_rest_is_counted() {
    let scene = Scene::default();
    scene.0.set_most(200);
    for number in 0..1_000 {
        let (client, origin) = (format!("c{number}"), format!("https://{number}.test"));
        scene.tell_from(Step::Begins, &client, &origin, None, NOW);
    }
    scene.tell(Step::Begins, &"x".repeat(LONGEST_NAME + 1), None, NOW);
    assert_eq!(scene.0.rows().len(), 201);
    let others = scene.row(&Name::Others).unwrap().since(0);
    assert_eq!(others.sign_ins(), 801);
}

/// A flood of made-up names takes no place from configured clients.
#[test]
fn configured_clients_have_rows_of_their_own() {
    let scene = Scene::default();
    scene.0.set_most(10);
    scene.0.expect(["erp", "spa"].into_iter());
    for number in 0..100 {
        scene.tell(Step::Begins, &format!("c{number}"), None, NOW);
    }
    scene.tell(Step::Begins, "erp", Some(&Violation::MissingChallenge), NOW);
    assert_eq!(scene.client("erp").since(0).failing(), 1);
    assert_eq!(scene.client("spa"), Row::default());
}

/// A client that was mended last week is not shown with its reasons of last month.
#[test]
fn violations_and_hints_age_and_the_latest_come_first() {
    let scene = Scene::default();
    for (violation, days) in [
        (Violation::MissingChallenge, 0),
        (Violation::MissingChallenge, 0),
        (Violation::VerifierMismatch, 8),
        (Violation::ReplayedCode, 9),
    ] {
        scene.tell(Step::Begins, "a", Some(&violation), NOW + days * DAY);
    }
    let row = scene.client("a");
    let (old, wrong, again) = (
        ("missing_challenge", 2),
        ("verifier_mismatch", 1),
        ("replayed_code", 1),
    );
    assert_eq!(row.violations_since(0), [again, wrong, old]);
    assert_eq!(row.violations_since(NOW / DAY + 1), [again, wrong]);
    scene.tell(Step::Begins, "a", None, NOW + 31 * DAY);
    assert_eq!(scene.client("a").violations_since(0), [again, wrong]);
}

#[test]
fn good_sign_ins_after_the_last_bad_one_are_known_with_their_times() {
    let scene = Scene::default();
    let good_since = || scene.client("a").good_since_bad().collect::<Vec<_>>();
    let bad = Some(&Violation::VerifierMismatch);
    scene.tell(Step::Begins, "a", None, NOW);
    scene.tell(Step::Redeems, "a", None, NOW + 1);
    assert_eq!(good_since(), [NOW + 1]);
    scene.tell(Step::Redeems, "a", bad, NOW + 2);
    assert_eq!(good_since(), [0_u64; 0]);
    for second in 3..100 {
        scene.tell(Step::Redeems, "a", None, NOW + second);
    }
    assert_eq!(
        good_since(),
        (80..100).map(|second| NOW + second).collect::<Vec<_>>()
    );
    scene.tell(Step::Redeems, "a", bad, NOW + 98);
    assert_eq!(good_since(), [NOW + 99]);
}

/// Earlier versions kept all violations and hints without their days.
#[test]
fn rows_of_earlier_versions_are_read() {
    let numbers = serde_json::json!({
        "s256": 0, "plain": 0, "malformed": 1, "none": 0, "verified": 0, "unverified": 0, "refused": 0, "reported": 1,
    });
    let earlier = serde_json::json!({
        "first_seen": NOW, "last_seen": NOW + DAY, "last_good": 0, "last_bad": NOW, "origin": null,
        "days": [{ "day": NOW / DAY, "numbers": numbers }],
        "violations": { "malformed_challenge": 7 },
        "hints": { "hex_challenge": 3 },
    });
    let row: Row = serde_json::from_value(earlier).unwrap();
    let tally = Tally::default();
    tally.restore([(Name::Client("old".into()), row)]);
    let scene = Scene(tally);
    let row = scene.client("old");
    assert_eq!(
        row.violations_since(NOW / DAY),
        [("malformed_challenge", 7)]
    );
    assert_eq!(row.hints_since(NOW / DAY), [("hex_challenge", 3)]);
    assert_eq!(row.violations_since(NOW / DAY + 1), []);
    let again = serde_json::to_value(&row).unwrap();
    assert_eq!(serde_json::from_value::<Row>(again).unwrap(), row);
}

/// A server that redirects anywhere could fill the table.
#[test]
fn codes_without_a_request_are_counted_by_origin_up_to_a_limit() {
    let scene = Scene::default();
    let unbound = Violation::UnboundCodeInResponse("a code");
    for number in 0..100 {
        let origin = format!("https://{number}.test");
        let told = Told {
            step: Step::Unrequested,
            decided: Decided::Refused,
            violation: Some(&unbound),
            client: None,
            method: None,
            redirect_origin: Some(&origin),
            is_uncertain: false,
            hint: None,
        };
        scene.0.count(&told, NOW);
        scene.0.count(&told, NOW);
    }
    assert_eq!(scene.0.rows().len(), MOST_UNREQUESTED + 1);
    let first = scene
        .row(&Name::Unrequested("https://0.test".into()))
        .unwrap();
    assert_eq!((first.since(0).refused, first.since(0).sign_ins()), (2, 0));
    let others = scene.row(&Name::Others).unwrap();
    assert_eq!(others.since(0).refused, 100);
    let again = Tally::default();
    again.restore(scene.0.rows());
    assert_eq!(again.rows().len(), MOST_UNREQUESTED + 1);
}

#[test]
fn all_redirect_origins_of_a_client_are_known_up_to_a_limit() {
    let scene = Scene::default();
    for number in 0..100 {
        let origin = format!("https://{number}.test");
        scene.tell_from(Step::Begins, "a", &origin, None, NOW);
    }
    let row = scene.client("a");
    assert_eq!(row.origin.as_deref(), Some("https://0.test"));
    assert!(row.has_origin("https://0.test") && row.has_origin("https://1.test"));
    assert_eq!(row.other_origins.len(), 8);
}

/// Anyone can begin a sign-in in the name of a client. A user of the server can also send its token request, but not the client's secret.
#[test]
fn only_a_verified_redemption_that_the_server_accepts_is_a_good_sign_in() {
    let scene = Scene::default();
    scene.tell(Step::Begins, "spa", None, NOW);
    let told = Told {
        step: Step::Redeems,
        decided: Decided::Allowed,
        violation: None,
        client: Some("spa"),
        method: Some(CodeChallengeMethod::S256),
        redirect_origin: None,
        is_uncertain: false,
        hint: None,
    };
    scene.0.count(&told, NOW + 1);
    assert_eq!(scene.client("spa").since(0).verified, 1);
    assert_eq!(scene.client("spa").last_good, 0);
    scene.accept("spa", NOW + 1);
    assert_eq!(scene.client("spa").last_good, NOW + 1);
}

/// Clients that register themselves for each sign-in. Those that were there before keep their rows.
#[test]
fn many_names_with_one_redirect_origin_share_a_row() {
    let scene = Scene::default();
    for number in 0..NAMES_PER_ORIGIN + 20 {
        scene.tell(Step::Begins, &format!("c{number}"), None, NOW);
    }
    scene.tell(Step::Begins, "c1", None, NOW);
    scene.tell_from(Step::Begins, "other", "https://b.test", None, NOW);
    let shared = scene.row(&Name::Origin("https://a.test".into())).unwrap();
    assert_eq!(shared.since(0).sign_ins(), 20);
    assert_eq!(scene.client("c1").since(0).sign_ins(), 2);
    assert_eq!(scene.client("other").since(0).sign_ins(), 1);
    assert_eq!(scene.0.rows().len(), NAMES_PER_ORIGIN + 2);
}

proptest! {
    /// In whatever order the days come, and however the decisions are divided between gates.
    #[test]
    fn merged_rows_are_the_sum(
        decisions in prop::collection::vec((0..40_u64, any::<bool>(), any::<bool>(), any::<bool>()), 0..60),
    ) {
        let (all, gates) = (Scene::default(), [Scene::default(), Scene::default()]);
        for scene in [&all, &gates[0], &gates[1]] {
            scene.0.expect(["a"].into_iter());
        }
        for (day, is_bad, begins, at_second) in decisions {
            let now = NOW + day * DAY;
            for scene in [&all, &gates[usize::from(at_second)]] {
                let (step, violation) = if begins {
                    (Step::Begins, Violation::MissingChallenge)
                } else {
                    (Step::Redeems, Violation::VerifierMismatch)
                };
                scene.tell(step, "a", Some(&violation).filter(|_| is_bad), now);
            }
        }
        let merged = Scene::default();
        for gate in gates {
            merged.0.restore(gate.0.rows());
        }
        let [all, merged] = [all, merged].map(|scene| scene.0.rows());
        for (_, row) in &all {
            let days: Vec<u64> = row.days.iter().map(|day| day.day).collect();
            prop_assert!(days.is_sorted() && days.len() <= 30, "{:?}", days);
        }
        prop_assert_eq!(all, merged);
    }
}
