//! The verbs, one promise after the other.

use std::collections::HashSet;

use super::*;
use crate::flow::{CODES_PER_AUTHORIZATION, RELEASES_PER_CODE, Settlement};
use crate::store::{Candidate, Owner};

pub(in crate::store) fn a_pending_authorization_is_read_back_as_it_was_held_and_stays(make: Make) {
    let plain = CodeChallenge::Plain("p".repeat(43).into());
    let variants = [
        request("client", 1),
        PendingAuthorization {
            challenge: Some(plain),
            ..request("client", 1)
        },
        PendingAuthorization {
            challenge: None,
            redirect: None,
            state: ClientState::Absent,
            response_type: None,
            ..request("client", 1)
        },
        PendingAuthorization {
            state: ClientState::Bare,
            response_type: Some("code id_token".into()),
            response_mode: Some("form_post".into()),
            browser: Some(digest("browser")),
            ..request("client", 1)
        },
        PendingAuthorization {
            state: ClientState::Value("".into()),
            response_type: Some("".into()),
            ..request("", 0)
        },
        PendingAuthorization {
            state: ClientState::Value("ü\0&=%2B+ ".repeat(200).into()),
            ..request("client", 1)
        },
    ];
    run(async {
        let (store, _clock) = make();
        let mut keys = Vec::new();
        for (number, pending) in variants.iter().enumerate() {
            keys.push((hold(&store, pending).await, pending));
            let key = digest(&number.to_string());
            assert_eq!(store.hold(Place::Digest(key), pending).await, Ok(Held::New));
            keys.push((key, pending));
        }
        for (key, pending) in keys.iter().chain(&keys) {
            let live = Pending::Live(Box::new((*pending).clone()));
            assert_eq!(store.pending(*key).await, Ok(live));
        }
    });
}

pub(in crate::store) fn handles_are_distinct_and_lead_to_their_own_records(make: Make) {
    run(async {
        let (store, _clock) = make();
        let mut texts = HashSet::new();
        for number in 0..6 {
            let pending = request(&number.to_string(), number);
            let Ok(Held::Handle(handle)) = store.hold(Place::Handle, &pending).await else {
                panic!()
            };
            texts.insert(handle.expose().to_owned());
            for name in ["a", "b", "c"] {
                let bound = bind(&store, handle.digest(), &format!("{name}{number}")).await;
                let claim = claim(&store, bound.digest()).await;
                assert_eq!(claim.bound().client(), pending.client);
                assert_eq!(claim.bound().code().expose(), format!("{name}{number}"));
                texts.insert(bound.expose().to_owned());
            }
        }
        assert_eq!(texts.len(), 24);
        assert!(texts.iter().all(|text| text.len() == 32));
    });
}

pub(in crate::store) fn a_state_handle_is_no_code_and_a_code_handle_is_no_state(make: Make) {
    run(async {
        let (store, _clock) = make();
        let pending = hold(&store, &request("client", 1)).await;
        let bound = bind(&store, pending, "code").await.digest();
        assert_eq!(redeem(&store, pending).await, Answer::Gone);
        assert_eq!(store.pending(bound).await, Ok(Pending::Unknown));
        let again = store.bind(bound, Place::Handle, code("other")).await;
        assert_eq!(again, Ok(Bound::Unknown));
        assert_eq!(redeem(&store, bound).await, Answer::Claimed);
    });
}

pub(in crate::store) fn a_code_is_claimed_with_what_it_was_bound_to(make: Make) {
    run(async {
        let without = PendingAuthorization {
            challenge: None,
            redirect: None,
            ..request("other", 0)
        };
        for pending in [request("client", 7), without] {
            let (store, _clock) = make();
            let held = hold(&store, &pending).await;
            let own = digest("the code's own");
            let handle = bind(&store, held, "code ü").await.digest();
            let bound = store.bind(held, Place::Digest(own), code("code ü")).await;
            assert_eq!(bound, Ok(Bound::Digest));
            for key in [handle, own] {
                let claim = claim(&store, key).await;
                assert_eq!(claim.bound().code().expose(), "code ü");
                assert_eq!(claim.bound().challenge(), pending.challenge.as_ref());
                assert_eq!(claim.bound().client(), pending.client);
                assert_eq!(claim.bound().redirect(), pending.redirect);
            }
        }
    });
}

pub(in crate::store) fn a_claimed_code_is_nobody_elses_also_when_its_owner_dies(make: Make) {
    run(async {
        let (store, clock) = make();
        let key = bound(&store, "code").await;
        let owner = claim(&store, key).await;
        assert_eq!(redeem(&store, key).await, Answer::AlreadyRedeemed);
        drop(owner);
        assert_eq!(redeem(&store, key).await, Answer::AlreadyRedeemed);
        clock.advance(settings().code.saturating_sub(millisecond()));
        assert_eq!(redeem(&store, key).await, Answer::AlreadyRedeemed);
        clock.advance(millisecond());
        assert_eq!(redeem(&store, key).await, Answer::Gone);
    });
}

pub(in crate::store) fn a_redeemed_code_is_named_a_replay_until_it_would_have_expired(make: Make) {
    run(async {
        let (store, clock) = make();
        let key = bound(&store, "code").await;
        clock.advance(second());
        let claim = claim(&store, key).await;
        store.settle(claim, Settlement::Burn).await.unwrap();
        assert_eq!(redeem(&store, key).await, Answer::AlreadyRedeemed);
        clock.advance(settings().code.saturating_sub(second() + millisecond()));
        store.sweep();
        assert_eq!(redeem(&store, key).await, Answer::AlreadyRedeemed);
        clock.advance(millisecond());
        assert_eq!(redeem(&store, key).await, Answer::Gone);
    });
}

pub(in crate::store) fn a_released_code_can_be_redeemed_again(make: Make) {
    run(async {
        let (store, _clock) = make();
        let key = bound(&store, "code").await;
        for _ in 0..10 {
            let claim = claim(&store, key).await;
            assert_eq!(claim.bound().code().expose(), "code");
            store.settle(claim, Settlement::Release).await.unwrap();
        }
        assert_eq!(redeem(&store, key).await, Answer::Claimed);
    });
}

pub(in crate::store) fn the_last_wrong_verifier_burns_the_code(make: Make) {
    run(async {
        let (store, clock) = make();
        let key = bound(&store, "code").await;
        for _ in 0..settings().attempts {
            let answer = present(&store, key, Presented::WrongVerifier).await;
            assert_eq!(answer, Answer::Mismatch);
        }
        for presented in [
            Presented::Matches,
            Presented::Differs,
            Presented::WrongVerifier,
        ] {
            assert_eq!(present(&store, key, presented).await, Answer::Burnt);
        }
        clock.advance(settings().code.saturating_sub(millisecond()));
        assert_eq!(redeem(&store, key).await, Answer::Burnt);
        clock.advance(millisecond());
        assert_eq!(redeem(&store, key).await, Answer::Gone);
    });
}

pub(in crate::store) fn attempts_and_releases_are_counted_apart(make: Make) {
    run(async {
        let (store, _clock) = make();
        let key = bound(&store, "code").await;
        for attempt in 1..=RELEASES_PER_CODE {
            let claim = claim(&store, key).await;
            store.settle(claim, Settlement::Release).await.unwrap();
            if attempt < settings().attempts {
                let answer = present(&store, key, Presented::WrongVerifier).await;
                assert_eq!(answer, Answer::Mismatch);
            }
        }
        let answer = present(&store, key, Presented::WrongVerifier).await;
        assert_eq!(answer, Answer::Mismatch);
        assert_eq!(redeem(&store, key).await, Answer::Burnt);
        // Another code of the same authorization has attempts of its own.
        let pending = hold(&store, &request("client", 1)).await;
        let (one, other) = (
            bind(&store, pending, "1").await,
            bind(&store, pending, "2").await,
        );
        for _ in 0..settings().attempts {
            present(&store, one.digest(), Presented::WrongVerifier).await;
        }
        assert_eq!(redeem(&store, one.digest()).await, Answer::Burnt);
        assert_eq!(redeem(&store, other.digest()).await, Answer::Claimed);
    });
}

pub(in crate::store) fn the_eleventh_release_burns_the_code(make: Make) {
    run(async {
        let (store, clock) = make();
        let key = bound(&store, "code").await;
        for _ in 0..=RELEASES_PER_CODE {
            let claim = claim(&store, key).await;
            store.settle(claim, Settlement::Release).await.unwrap();
        }
        assert_eq!(redeem(&store, key).await, Answer::Burnt);
        assert_eq!(
            (store.statistics().codes, store.statistics().tombstones),
            (0, 1)
        );
        clock.advance(settings().code);
        assert_eq!(redeem(&store, key).await, Answer::Gone);
    });
}

pub(in crate::store) fn what_differs_claims_nothing_and_costs_nothing(make: Make) {
    run(async {
        let (store, _clock) = make();
        let key = bound(&store, "code").await;
        for _ in 0..1000 {
            let redeemed = store.redeem(key, |_| Presented::Differs).await;
            assert!(
                matches!(redeemed, Ok(Redeemed::Mismatch(client)) if client == digest("client"))
            );
        }
        let claim = claim(&store, key).await;
        assert_eq!(
            present(&store, key, Presented::Differs).await,
            Answer::AlreadyRedeemed
        );
        store.settle(claim, Settlement::Burn).await.unwrap();
        assert_eq!(
            present(&store, key, Presented::Differs).await,
            Answer::AlreadyRedeemed
        );
    });
}

pub(in crate::store) fn a_request_is_judged_by_the_code_that_it_names_and_by_none_that_is_dead(
    make: Make,
) {
    run(async {
        let (store, clock) = make();
        let never = |_: &BoundCode| -> Presented { panic!("judged by a dead code") };
        let pending = hold(&store, &request("client", 7)).await;
        let [claimed, burnt, expired] = [
            bind(&store, pending, "claimed").await.digest(),
            bind(&store, pending, "burnt").await.digest(),
            bind(&store, pending, "expired").await.digest(),
        ];
        let mut judged = Vec::new();
        let redeemed = store.redeem(claimed, |bound| {
            judged.push((
                bound.code().expose().to_owned(),
                bound.client(),
                bound.redirect(),
                bound.challenge().cloned(),
            ));
            Presented::Matches
        });
        assert!(matches!(redeemed.await, Ok(Redeemed::Claimed(_))));
        let same = request("client", 7);
        let expected = (
            "claimed".to_owned(),
            same.client,
            same.redirect,
            same.challenge,
        );
        assert!(!judged.is_empty() && judged.iter().all(|judged| *judged == expected));
        for _ in 0..settings().attempts {
            present(&store, burnt, Presented::WrongVerifier).await;
        }
        for key in [
            claimed,
            burnt,
            digest("never bound"),
            code("burnt").digest(),
        ] {
            assert!(store.redeem(key, never).await.is_ok());
        }
        clock.advance(settings().code);
        assert!(store.redeem(expired, never).await.is_ok());
    });
}

/// A stolen handle and much asking must not keep the rightful client out: it asks while a request that differs is judged.
pub(in crate::store) fn whoever_hammers_with_what_differs_keeps_nobody_out(make: Make) {
    let (store, _clock) = make();
    for round in 0..12 {
        let key = run(bound(&store, &round.to_string()));
        let (asks, asked) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let store = &store;
            let mut rightful = None;
            let redeemed = run(store.redeem(key, |_| {
                if rightful.is_none() {
                    let asks = asks.clone();
                    rightful = Some(scope.spawn(move || {
                        run(async {
                            asks.send(()).unwrap();
                            redeem(store, key).await
                        })
                    }));
                    asked.recv().unwrap();
                    // Some time, in which it wins already or has to wait. Both are right, however long it is.
                    std::thread::sleep(5 * millisecond());
                }
                Presented::Differs
            }));
            assert!(matches!(
                redeemed,
                Ok(Redeemed::Mismatch(_) | Redeemed::AlreadyRedeemed(_))
            ));
            assert_eq!(rightful.unwrap().join().unwrap(), Answer::Claimed);
        });
    }
}

pub(in crate::store) fn the_attempts_of_many_at_once_are_all_counted(make: Make) {
    let (store, _clock) = make();
    let key = run(bound(&store, "code"));
    let answers = concurrently(200, async |_| {
        present(&store, key, Presented::WrongVerifier).await
    });
    let counted = |answer| answers.iter().filter(|given| **given == answer).count();
    let attempts = usize::from(settings().attempts);
    assert_eq!(
        (counted(Answer::Mismatch), counted(Answer::Burnt)),
        (attempts, 200 - attempts)
    );
}

pub(in crate::store) fn owners_are_told_in_the_order_of_the_question(make: Make) {
    run(async {
        let (store, clock) = make();
        let [one, other] = [
            hold(&store, &request("one", 1)).await,
            hold(&store, &request("other", 2)).await,
        ];
        let [used, fresh] = [
            bind(&store, one, "used").await.digest(),
            bind(&store, other, "fresh").await.digest(),
        ];
        let claim = claim(&store, used).await;
        let owner = |client, alive| {
            let client = digest(client);
            Some(Owner { client, alive })
        };
        let question = [
            Candidate::Code(fresh),
            Candidate::State(one),
            Candidate::Code(digest("nobody's")),
            Candidate::Code(used),
            Candidate::State(one),
            Candidate::State(fresh),
            Candidate::Code(other),
            Candidate::State(digest("nobody's")),
            Candidate::State(other),
        ];
        let mut answer = vec![
            owner("other", true),
            owner("one", true),
            None,
            owner("one", false),
            owner("one", true),
            None,
            None,
            None,
            owner("other", true),
        ];
        assert_eq!(store.owners(&question).await, Ok(answer.clone()));
        assert_eq!(store.owners(&[]).await, Ok(Vec::new()));
        // It has claimed nothing, and what is dead is known as well.
        store.settle(claim, Settlement::Burn).await.unwrap();
        store.discard(one).await.unwrap();
        for dead in [1, 4] {
            answer[dead] = owner("one", false);
        }
        assert_eq!(store.owners(&question).await, Ok(answer));
        clock.advance(settings().code);
        let late = store.owners(&question[..1]).await.unwrap();
        assert!(late[0].is_none_or(|owner| !owner.alive));
    });
}

pub(in crate::store) fn a_raw_code_is_known_by_its_owner_wherever_it_is_bound(make: Make) {
    run(async {
        let (store, clock) = make();
        let pending = hold(&store, &request("client", 1)).await;
        let handle = bind(&store, pending, "behind a handle").await.digest();
        let (hidden, open) = (code("behind a handle").digest(), code("open").digest());
        let bound = store.bind(pending, Place::Digest(open), code("open")).await;
        assert_eq!(bound, Ok(Bound::Digest));
        let keys = [handle, hidden, open];
        let owners = async || {
            let owners = store.owners(&keys.map(Candidate::Code)).await.unwrap();
            owners.into_iter().map(Option::unwrap).collect::<Vec<_>>()
        };
        let alive = async || {
            owners()
                .await
                .iter()
                .map(|owner| owner.alive)
                .collect::<Vec<_>>()
        };
        assert!(
            owners()
                .await
                .iter()
                .all(|owner| owner.client == digest("client"))
        );
        // The upstream's own code redeems nothing where a handle stands in its place, but it is known whose it is.
        assert_eq!(alive().await, [true, false, true]);
        let redeemed = store.redeem(hidden, matches).await;
        assert!(
            matches!(redeemed, Ok(Redeemed::Unknown(Some(client))) if client == digest("client"))
        );
        drop(claim(&store, open).await);
        assert_eq!(alive().await, [true, false, false]);
        // Codes may live longer at the upstream than here.
        clock.advance(settings().code);
        store.sweep();
        let raw = store.owners(&keys.map(Candidate::Code)[1..]).await.unwrap();
        let client = digest("client");
        let dead = Some(Owner {
            client,
            alive: false,
        });
        assert_eq!(raw, [dead, dead]);
        clock.advance(settings().pending.saturating_sub(millisecond()));
        store.sweep();
        let raw = store.owners(&keys.map(Candidate::Code)[1..]).await.unwrap();
        assert_eq!(raw, [dead, dead]);
        assert_eq!(redeem(&store, open).await, Answer::Gone);
    });
}

pub(in crate::store) fn a_pending_authorization_expires_at_its_deadline(make: Make) {
    run(async {
        let (store, clock) = make();
        clock.advance(second());
        let key = hold(&store, &request("client", 1)).await;
        clock.advance(settings().pending.saturating_sub(millisecond()));
        store.sweep();
        assert!(
            is_live(&store, key).await,
            "a millisecond before its deadline"
        );
        bind(&store, key, "in time").await;
        clock.advance(millisecond());
        assert!(!is_live(&store, key).await, "at its deadline");
        let late = store.bind(key, Place::Handle, code("late")).await;
        assert_eq!(late, Ok(Bound::Unknown));
        store.sweep();
        assert!(!is_live(&store, key).await);
    });
}

pub(in crate::store) fn a_code_expires_at_its_own_deadline_and_outlives_its_pending_authorization(
    make: Make,
) {
    run(async {
        let (store, clock) = make();
        let pending = hold(&store, &request("client", 9)).await;
        clock.advance(settings().pending.saturating_sub(second()));
        let (early, late) = (
            bind(&store, pending, "1").await,
            bind(&store, pending, "2").await,
        );
        clock.advance(settings().code.saturating_sub(millisecond()));
        store.sweep();
        assert!(!is_live(&store, pending).await);
        let claim = claim(&store, early.digest()).await;
        assert_eq!(
            claim.bound().challenge(),
            Some(&CodeChallenge::S256([9; 32]))
        );
        clock.advance(millisecond());
        assert_eq!(redeem(&store, late.digest()).await, Answer::Gone);
    });
}

pub(in crate::store) fn a_claim_that_is_settled_too_late_changes_nothing(make: Make) {
    run(async {
        for settlement in [Settlement::Release, Settlement::Burn] {
            for swept in [false, true] {
                let (store, clock) = make();
                let key = bound(&store, "code").await;
                let claim = claim(&store, key).await;
                clock.advance(settings().code);
                if swept {
                    clock.advance(settings().code);
                    store.sweep();
                }
                store.settle(claim, settlement).await.unwrap();
                assert_eq!(redeem(&store, key).await, Answer::Gone);
            }
        }
    });
}

pub(in crate::store) fn five_codes_can_be_bound_and_no_more(make: Make) {
    run(async {
        let (store, _clock) = make();
        let pending = hold(&store, &request("client", 1)).await;
        let mut keys = Vec::new();
        for number in 0..CODES_PER_AUTHORIZATION {
            keys.push(bind(&store, pending, &number.to_string()).await.digest());
        }
        for place in [Place::Handle, Place::Digest(digest("code"))] {
            let sixth = store.bind(pending, place, code("sixth")).await;
            assert_eq!(sixth, Ok(Bound::TooMany));
        }
        assert_eq!(redeem(&store, digest("code")).await, Answer::Gone);
        for (number, key) in keys.into_iter().enumerate() {
            let claim = claim(&store, key).await;
            assert_eq!(claim.bound().code().expose(), number.to_string());
            store.settle(claim, Settlement::Burn).await.unwrap();
        }
        // What has been redeemed makes no room for more.
        let sixth = store.bind(pending, Place::Handle, code("sixth")).await;
        assert_eq!(sixth, Ok(Bound::TooMany));
        assert!(is_live(&store, pending).await);
    });
}

pub(in crate::store) fn nothing_can_be_bound_to_what_is_not_there(make: Make) {
    run(async {
        let (store, _clock) = make();
        for place in [Place::Handle, Place::Digest(digest("code"))] {
            let bound = store.bind(digest("nobody"), place, code("code")).await;
            assert_eq!(bound, Ok(Bound::Unknown));
        }
        assert_eq!(redeem(&store, digest("code")).await, Answer::Gone);
        assert_eq!(store.pending(digest("nobody")).await, Ok(Pending::Unknown));
    });
}

pub(in crate::store) fn an_equal_request_under_the_same_values_is_the_same_record(make: Make) {
    run(async {
        let (store, clock) = make();
        let place = Place::Digest(digest("values"));
        assert_eq!(
            store.hold(place, &request("client", 1)).await,
            Ok(Held::New)
        );
        clock.advance(second());
        assert_eq!(
            store.hold(place, &request("client", 1)).await,
            Ok(Held::Again)
        );
        bind(&store, digest("values"), "code").await;
        clock.advance(settings().pending.saturating_sub(second()));
        assert!(
            !is_live(&store, digest("values")).await,
            "a reload prolongs nothing"
        );
    });
}

pub(in crate::store) fn a_different_request_under_the_same_values_kills_both(make: Make) {
    let first = request("client", 1);
    let other_redirect = Some(RedirectUri::new("https://app.example/other").digest());
    let different = [
        request("client", 2),
        request("other", 1),
        PendingAuthorization {
            challenge: None,
            ..first.clone()
        },
        PendingAuthorization {
            redirect: None,
            ..first.clone()
        },
        PendingAuthorization {
            redirect: other_redirect,
            ..first.clone()
        },
    ];
    run(async {
        for different in different {
            let (store, clock) = make();
            let key = digest("values");
            assert_eq!(store.hold(Place::Digest(key), &first).await, Ok(Held::New));
            clock.advance(second());
            let second_one = store.hold(Place::Digest(key), &different).await;
            assert_eq!(second_one, Ok(Held::Conflict));
            for pending in [&first, &different] {
                let later = store.hold(Place::Digest(key), pending).await;
                assert_eq!(later, Ok(Held::Conflict), "it stays a conflict");
            }
            assert_eq!(store.pending(key).await, Ok(Pending::Conflict));
            let bound = store.bind(key, Place::Handle, code("after")).await;
            assert_eq!(bound, Ok(Bound::Unknown));
            let bound = store
                .bind(key, Place::Digest(digest("code")), code("after"))
                .await;
            assert_eq!(bound, Ok(Bound::Unknown));
            assert_eq!(redeem(&store, digest("code")).await, Answer::Gone);
            clock.advance(settings().pending.saturating_sub(second()));
            let next = store.hold(Place::Digest(key), &different).await;
            assert_eq!(next, Ok(Held::New), "until it would have expired");
        }
    });
}

pub(in crate::store) fn a_sign_in_that_has_its_code_makes_way_under_its_digest(make: Make) {
    let from_browser = |challenge| PendingAuthorization {
        browser: Some(digest("cookie")),
        ..request("client", challenge)
    };
    let (first, second_one) = (from_browser(1), from_browser(2));
    run(async {
        let (store, clock) = make();
        let place = Place::Digest(digest("values"));
        assert_eq!(store.hold(place, &first).await, Ok(Held::New));
        let before = bind(&store, digest("values"), "before").await.digest();
        clock.advance(second());
        assert_eq!(store.hold(place, &first).await, Ok(Held::Again), "a reload");
        assert_eq!(store.hold(place, &second_one).await, Ok(Held::New));
        let live = Box::new(second_one);
        let found = store.pending(digest("values")).await;
        assert_eq!(found, Ok(Pending::Live(live)));
        // Without a code of its own it makes way for none.
        assert_eq!(store.hold(place, &first).await, Ok(Held::Conflict));
        assert_eq!(
            redeem(&store, before).await,
            Answer::Claimed,
            "it keeps its code"
        );
    });
}

pub(in crate::store) fn what_has_expired_makes_way_under_its_digest(make: Make) {
    run(async {
        for swept in [false, true] {
            let (store, clock) = make();
            let (values, own) = (digest("values"), digest("code"));
            assert_eq!(
                store
                    .hold(Place::Digest(values), &request("client", 1))
                    .await,
                Ok(Held::New)
            );
            clock.advance(settings().pending);
            if swept {
                clock.advance(settings().pending);
                store.sweep();
            }
            assert_eq!(
                store
                    .hold(Place::Digest(values), &request("other", 2))
                    .await,
                Ok(Held::New)
            );
            let Ok(Pending::Live(live)) = store.pending(values).await else {
                panic!()
            };
            assert_eq!(*live, request("other", 2));
            let bound = store.bind(values, Place::Digest(own), code("1")).await;
            assert_eq!(bound, Ok(Bound::Digest));
            clock.advance(settings().code);
            let other = hold(&store, &request("third", 3)).await;
            let bound = store.bind(other, Place::Digest(own), code("2")).await;
            assert_eq!(bound, Ok(Bound::Digest));
            assert_eq!(claim(&store, own).await.bound().client(), digest("third"));
            // What was there before goes in its own time and takes nothing with it.
            clock.advance(settings().code.saturating_sub(second()));
            store.sweep();
            assert!(is_live(&store, values).await);
            assert_eq!(redeem(&store, own).await, Answer::AlreadyRedeemed);
        }
    });
}

pub(in crate::store) fn a_code_that_comes_again_is_bound_once(make: Make) {
    run(async {
        let (store, _clock) = make();
        let pending = hold(&store, &request("client", 1)).await;
        let place = Place::Digest(digest("code"));
        for _ in 0..=2 * CODES_PER_AUTHORIZATION {
            let bound = store.bind(pending, place, code("code")).await;
            assert_eq!(bound, Ok(Bound::Digest));
        }
        let first = claim(&store, digest("code")).await;
        let bound = store.bind(pending, place, code("code")).await;
        assert_eq!(bound, Ok(Bound::Digest));
        assert_eq!(
            redeem(&store, digest("code")).await,
            Answer::AlreadyRedeemed,
            "it stays claimed"
        );
        store.settle(first, Settlement::Burn).await.unwrap();
        let bound = store.bind(pending, place, code("code")).await;
        assert_eq!(bound, Ok(Bound::Digest));
        assert_eq!(
            redeem(&store, digest("code")).await,
            Answer::AlreadyRedeemed,
            "and redeemed"
        );
        for number in 1..CODES_PER_AUTHORIZATION {
            bind(&store, pending, &number.to_string()).await;
        }
        let sixth = store.bind(pending, Place::Handle, code("sixth")).await;
        assert_eq!(sixth, Ok(Bound::TooMany));
        let bound = store.bind(pending, place, code("code")).await;
        assert_eq!(
            bound,
            Ok(Bound::Digest),
            "what is bound already is not one too many"
        );
    });
}

pub(in crate::store) fn a_code_that_comes_again_under_handles_is_counted_each_time(make: Make) {
    run(async {
        let (store, _clock) = make();
        let pending = hold(&store, &request("client", 1)).await;
        let mut handles = HashSet::new();
        for _ in 0..CODES_PER_AUTHORIZATION {
            handles.insert(bind(&store, pending, "code").await.digest());
        }
        assert_eq!(handles.len(), usize::from(CODES_PER_AUTHORIZATION));
        let sixth = store.bind(pending, Place::Handle, code("code")).await;
        assert_eq!(sixth, Ok(Bound::TooMany));
        for handle in handles {
            assert_eq!(claim(&store, handle).await.bound().code().expose(), "code");
        }
    });
}

/// Whoever gets a stranger's code into an answer to a sign-in of its own neither has it nor kills it.
pub(in crate::store) fn a_code_stays_with_its_first_sign_in(make: Make) {
    run(async {
        let places = |name| [Place::Handle, Place::Digest(code(name).digest())];
        for (first, second) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            for settlement in [None, Some(Settlement::Release), Some(Settlement::Burn)] {
                let (store, _clock) = make();
                let victim = hold(&store, &request("client", 1)).await;
                let thief = hold(&store, &request("client", 2)).await;
                let key = match store
                    .bind(victim, places("code")[first], code("code"))
                    .await
                {
                    Ok(Bound::Handle(handle)) => handle.digest(),
                    Ok(Bound::Digest) => code("code").digest(),
                    other => panic!("{other:?}"),
                };
                let owner = match settlement {
                    None => None,
                    Some(_) => Some(claim(&store, key).await),
                };
                for _ in 0..3 {
                    let stolen = store
                        .bind(thief, places("code")[second], code("code"))
                        .await;
                    assert_eq!(stolen, Ok(Bound::Elsewhere));
                }
                let nobody = store
                    .bind(digest("nobody"), places("code")[second], code("code"))
                    .await;
                assert_eq!(nobody, Ok(Bound::Unknown));
                if let (Some(owner), Some(settlement)) = (owner, settlement) {
                    assert_eq!(redeem(&store, key).await, Answer::AlreadyRedeemed);
                    store.settle(owner, settlement).await.unwrap();
                }
                if settlement == Some(Settlement::Burn) {
                    assert_eq!(redeem(&store, key).await, Answer::AlreadyRedeemed);
                } else {
                    let claim = claim(&store, key).await;
                    let challenge = request("client", 1).challenge;
                    assert_eq!(claim.bound().challenge(), challenge.as_ref());
                }
                // What was refused has cost the other sign-in nothing.
                for number in 0..CODES_PER_AUTHORIZATION {
                    bind(&store, thief, &number.to_string()).await;
                }
            }
        }
    });
}

/// Upstream codes may live longer than they do here (RFC 6749, section 4.1.2): for `pending` + `code`.
pub(in crate::store) fn a_code_is_remembered_for_longer_than_it_lives(make: Make) {
    run(async {
        for redeemed in [false, true] {
            let (store, clock) = make();
            let key = bound(&store, "code").await;
            if redeemed {
                let claim = claim(&store, key).await;
                store.settle(claim, Settlement::Burn).await.unwrap();
            }
            let steps = [
                settings().code,
                settings().pending.saturating_sub(millisecond()),
            ];
            for step in steps {
                clock.advance(step);
                store.sweep();
                let thief = hold(&store, &request("client", 2)).await;
                for place in [Place::Handle, Place::Digest(code("code").digest())] {
                    let stolen = store.bind(thief, place, code("code")).await;
                    assert_eq!(stolen, Ok(Bound::Elsewhere));
                }
            }
            clock.advance(millisecond());
            let later = hold(&store, &request("client", 3)).await;
            bind(&store, later, "code").await;
        }
    });
}

/// Also where what is left of the first one still stands under the code's digest.
pub(in crate::store) fn a_code_that_comes_after_all_that_time_is_the_next_sign_ins(make: Make) {
    run(async {
        let (store, clock) = make();
        let own = code("code").digest();
        let first = hold(&store, &request("first", 1)).await;
        let bound = store.bind(first, Place::Digest(own), code("code")).await;
        assert_eq!(bound, Ok(Bound::Digest));
        clock.advance(settings().pending + settings().code);
        let next = hold(&store, &request("next", 2)).await;
        let handle = bind(&store, next, "code").await.digest();
        let owners = store
            .owners(&[Candidate::Code(own), Candidate::Code(handle)])
            .await
            .unwrap();
        let client = digest("next");
        let expected = [false, true].map(|alive| Some(Owner { client, alive }));
        assert_eq!(owners, expected);
        match store.redeem(own, matches).await {
            Ok(Redeemed::Expired(owner) | Redeemed::Unknown(Some(owner))) => {
                assert_eq!(owner, client);
            }
            other => panic!("{other:?}"),
        }
    });
}

/// Clients that send one state always have one key for all of their sign-ins.
pub(in crate::store) fn the_next_sign_in_under_the_same_values_is_another_one(make: Make) {
    run(async {
        for place in [Place::Handle, Place::Digest(code("code").digest())] {
            let (store, clock) = make();
            let values = Place::Digest(digest("values"));
            let held = store.hold(values, &request("client", 1)).await;
            assert_eq!(held, Ok(Held::New));
            clock.advance(settings().pending.saturating_sub(millisecond()));
            let bound = store.bind(digest("values"), place, code("code")).await;
            assert!(matches!(bound, Ok(Bound::Handle(_) | Bound::Digest)));
            let again = store.bind(digest("values"), place, code("code")).await;
            assert!(matches!(again, Ok(Bound::Handle(_) | Bound::Digest)));
            clock.advance(millisecond());
            let held = store.hold(values, &request("client", 2)).await;
            assert_eq!(held, Ok(Held::New));
            let stolen = store.bind(digest("values"), place, code("code")).await;
            assert_eq!(stolen, Ok(Bound::Elsewhere));
        }
    });
}

pub(in crate::store) fn of_two_hundred_sign_ins_with_one_code_exactly_one_gets_it(make: Make) {
    let (store, _clock) = make();
    let own = code("code").digest();
    let sign_ins: Vec<_> = (0..20)
        .map(|number| run(hold(&store, &request(&number.to_string(), number))))
        .collect();
    let answers = concurrently(200, async |time| {
        let sign_in = time % sign_ins.len();
        let place = if time % 3 == 0 {
            Place::Handle
        } else {
            Place::Digest(own)
        };
        match store.bind(sign_ins[sign_in], place, code("code")).await {
            Ok(Bound::Handle(_) | Bound::Digest | Bound::TooMany) => Some(sign_in),
            Ok(Bound::Elsewhere) => None,
            other => panic!("{other:?}"),
        }
    });
    let winners: HashSet<_> = answers.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
}

pub(in crate::store) fn a_discarded_authorization_is_dead_and_its_codes_are_not(make: Make) {
    run(async {
        let (store, _clock) = make();
        let pending = hold(&store, &request("client", 1)).await;
        let before = bind(&store, pending, "before").await.digest();
        store.discard(pending).await.unwrap();
        store.discard(digest("nobody")).await.unwrap();
        assert!(!is_live(&store, pending).await);
        for place in [Place::Handle, Place::Digest(digest("code"))] {
            let bound = store.bind(pending, place, code("after")).await;
            assert_eq!(bound, Ok(Bound::Unknown));
        }
        assert_eq!(redeem(&store, before).await, Answer::Claimed);
    });
}

pub(in crate::store) fn of_two_hundred_redemptions_exactly_one_wins(make: Make) {
    let (store, _clock) = make();
    for round in 0..6 {
        let key = run(bound(&store, &round.to_string()));
        let answers = concurrently(200, async |_| redeem(&store, key).await);
        let won = answers
            .iter()
            .filter(|answer| **answer == Answer::Claimed)
            .count();
        let lost = answers
            .iter()
            .filter(|answer| **answer == Answer::AlreadyRedeemed)
            .count();
        assert_eq!((won, lost), (1, 199));
    }
}

pub(in crate::store) fn of_two_hundred_redemptions_with_failures_exactly_one_succeeds(make: Make) {
    let (store, _clock) = make();
    let key = run(bound(&store, "code"));
    // Two wrong verifiers and ten releases are not enough to burn it.
    let answers = concurrently(200, async |time| {
        let (presented, settlement) = match time % 20 {
            0 if time < 40 => (Presented::WrongVerifier, Settlement::Burn),
            1 => (Presented::Matches, Settlement::Release),
            2 if time > 150 => (Presented::Matches, Settlement::Burn),
            _ => (Presented::Differs, Settlement::Burn),
        };
        match store.redeem(key, |_| presented).await.unwrap() {
            Redeemed::Claimed(claim) => {
                assert_eq!(presented, Presented::Matches);
                store.settle(claim, settlement).await.unwrap();
                Some(settlement)
            }
            Redeemed::Mismatch(_) | Redeemed::AlreadyRedeemed(_) => None,
            other @ (Redeemed::Burnt(_) | Redeemed::Expired(_) | Redeemed::Unknown(_)) => {
                panic!("{other:?}")
            }
        }
    });
    let burnt = answers
        .iter()
        .filter(|answer| **answer == Some(Settlement::Burn))
        .count();
    assert!(burnt <= 1);
    let last = run(redeem(&store, key));
    assert_eq!(last == Answer::AlreadyRedeemed, burnt == 1, "{last:?}");
}

pub(in crate::store) fn of_two_hundred_bindings_exactly_five_succeed(make: Make) {
    let (store, _clock) = make();
    let pending = run(hold(&store, &request("client", 1)));
    let answers = concurrently(200, async |time| {
        // Half of them under handles, half under ten digests, each many times.
        let name = (time % 20).to_string();
        let place = if time % 20 < 10 {
            Place::Digest(digest(&name))
        } else {
            Place::Handle
        };
        match store.bind(pending, place, code(&name)).await.unwrap() {
            Bound::Handle(handle) => Some(handle.digest()),
            Bound::Digest => Some(digest(&name)),
            Bound::TooMany => None,
            Bound::Elsewhere | Bound::Unknown => panic!(),
        }
    });
    let keys: HashSet<_> = answers.into_iter().flatten().collect();
    assert_eq!(keys.len(), usize::from(CODES_PER_AUTHORIZATION));
    for key in keys {
        assert_eq!(run(redeem(&store, key)), Answer::Claimed);
    }
}

pub(in crate::store) fn of_two_hundred_different_requests_none_survives(make: Make) {
    let (store, _clock) = make();
    let place = Place::Digest(digest("values"));
    let answers = concurrently(200, async |time| {
        let pending = request("client", u8::try_from(time % 2).unwrap());
        store.hold(place, &pending).await.unwrap()
    });
    let new = answers.iter().filter(|held| **held == Held::New).count();
    assert_eq!(new, 1);
    assert!(answers.contains(&Held::Conflict));
    assert_eq!(run(store.pending(digest("values"))), Ok(Pending::Conflict));
}

pub(in crate::store) fn secrets_are_not_shown(make: Make) {
    run(async {
        let (store, _clock) = make();
        let pending = hold(&store, &request("client", 1)).await;
        let handle = bind(&store, pending, "the upstream's code").await;
        let claim = claim(&store, handle.digest()).await;
        let live = store.pending(pending).await;
        let shown = format!("{store:?} {claim:?} {live:?} {handle:?}");
        for secret in ["the upstream's code", "its own state", handle.expose()] {
            assert!(!shown.contains(secret), "{shown}");
        }
    });
}
