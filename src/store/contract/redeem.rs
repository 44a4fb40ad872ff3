//! The contract of `redeem`.

use super::*;
use crate::flow::{OwnVerifier, Settlement};

pub(in crate::store) fn a_code_is_claimed_with_what_it_was_bound_to(make: Make) {
    run(async {
        let without = PendingAuthorization {
            application: Application {
                redirect: None,
                ..(*request("other", 0).application).clone()
            }
            .into(),
            challenge: None,
            ..request("other", 0)
        };
        let with_own = PendingAuthorization {
            own: Some(OwnVerifier::new([9; 32])),
            ..request("client", 8)
        };
        for pending in [request("client", 7), without, with_own] {
            let (store, _clock) = make();
            let held = hold(&store, &pending).await;
            let handle = bind(&store, &held, "code ü").await;
            let bound = store.bind_to(&held, Issued::Raw, code("code ä")).await;
            assert_eq!(bound, Ok(Bound::Raw));
            for (key, name) in [(handle, "code ü"), (raw("code ä"), "code ä")] {
                let claim = claim(&store, &key).await;
                assert_eq!(claim.bound().code.expose(), name);
                assert_eq!(claim.bound().challenge(), pending.challenge.as_ref());
                assert_eq!(claim.bound().pkce.own(), pending.own.as_ref());
                assert_eq!(claim.bound().application.client, pending.application.client);
                assert_eq!(
                    claim.bound().application.redirect,
                    pending.application.redirect
                );
            }
        }
    });
}

pub(in crate::store) fn a_code_stays_claimed_even_if_its_claim_is_dropped(make: Make) {
    run(async {
        let (store, clock) = make();
        let key = bound(&store, "code").await;
        let owner = claim(&store, &key).await;
        assert_eq!(redeem(&store, &key).await, Answer::AlreadyRedeemed);
        drop(owner);
        assert_eq!(redeem(&store, &key).await, Answer::AlreadyRedeemed);
        clock.advance(settings().code.saturating_sub(millisecond()));
        assert_eq!(redeem(&store, &key).await, Answer::AlreadyRedeemed);
        clock.advance(millisecond());
        assert_eq!(redeem(&store, &key).await, Answer::Gone);
    });
}

pub(in crate::store) fn redeeming_a_redeemed_code_is_reported_as_a_replay_until_it_expires(
    make: Make,
) {
    run(async {
        let (store, clock) = make();
        let key = bound(&store, "code").await;
        clock.advance(second());
        let claim = claim(&store, &key).await;
        store.settle(claim, Settlement::Burn).await.unwrap();
        assert_eq!(redeem(&store, &key).await, Answer::AlreadyRedeemed);
        clock.advance(settings().code.saturating_sub(second() + millisecond()));
        store.sweep();
        assert_eq!(redeem(&store, &key).await, Answer::AlreadyRedeemed);
        clock.advance(millisecond());
        assert_eq!(redeem(&store, &key).await, Answer::Gone);
    });
}

pub(in crate::store) fn the_last_wrong_verifier_burns_the_code(make: Make) {
    run(async {
        let (store, clock) = make();
        let key = bound(&store, "code").await;
        for _ in 0..settings().attempts {
            let answer = present(&store, &key, Presented::WrongVerifier).await;
            assert_eq!(answer, Answer::Mismatch);
        }
        for presented in [
            Presented::Matches,
            Presented::Differs,
            Presented::WrongVerifier,
        ] {
            assert_eq!(present(&store, &key, presented).await, Answer::Burnt);
        }
        clock.advance(settings().code.saturating_sub(millisecond()));
        assert_eq!(redeem(&store, &key).await, Answer::Burnt);
        clock.advance(millisecond());
        assert_eq!(redeem(&store, &key).await, Answer::Gone);
    });
}

pub(in crate::store) fn a_mismatching_request_neither_claims_nor_counts(make: Make) {
    run(async {
        let (store, _clock) = make();
        let key = bound(&store, "code").await;
        for _ in 0..1000 {
            let redeemed = store.redeem(&key, |_| Presented::Differs).await;
            assert!(
                matches!(redeemed, Ok(Redeemed::Mismatch(client)) if client == digest("client"))
            );
        }
        let claim = claim(&store, &key).await;
        assert_eq!(
            present(&store, &key, Presented::Differs).await,
            Answer::AlreadyRedeemed
        );
        store.settle(claim, Settlement::Burn).await.unwrap();
        assert_eq!(
            present(&store, &key, Presented::Differs).await,
            Answer::AlreadyRedeemed
        );
    });
}

pub(in crate::store) fn a_request_is_judged_by_the_code_that_it_names_and_never_claims_a_dead_one(
    make: Make,
) {
    run(async {
        let (store, clock) = make();
        let pending = hold(&store, &request("client", 7)).await;
        let [claimed, burnt, expired] = [
            bind(&store, &pending, "claimed").await,
            bind(&store, &pending, "burnt").await,
            bind(&store, &pending, "expired").await,
        ];
        let mut judged = Vec::new();
        let redeemed = store.redeem(&claimed, |bound| {
            judged.push((
                bound.code.expose().to_owned(),
                bound.application.client,
                bound.application.redirect,
                bound.challenge().cloned(),
            ));
            Presented::Matches
        });
        assert!(matches!(redeemed.await, Ok(Redeemed::Claimed(_))));
        let same = request("client", 7);
        let expected = (
            "claimed".to_owned(),
            same.application.client,
            same.application.redirect,
            same.challenge,
        );
        assert!(!judged.is_empty() && judged.iter().all(|judged| *judged == expected));
        for _ in 0..settings().attempts {
            present(&store, &burnt, Presented::WrongVerifier).await;
        }
        for key in [
            claimed,
            burnt,
            digest("never bound").into(),
            code("burnt").digest().into(),
        ] {
            assert_ne!(redeem(&store, &key).await, Answer::Claimed);
        }
        clock.advance(settings().code);
        assert_eq!(redeem(&store, &expired).await, Answer::Gone);
    });
}

/// An attacker with a stolen handle must not block the rightful client by repeated requests: here the client redeems
/// the code while a mismatching request is judged.
pub(in crate::store) fn mismatching_requests_do_not_block_the_rightful_client(make: Make) {
    let (store, _clock) = make();
    for round in 0..12 {
        let key = run(bound(&store, &round.to_string()));
        let (asks, asked) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let (store, key) = (&store, &key);
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
                    // Time for the client to win already or to wait. Either is correct, so the length does not matter.
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

pub(in crate::store) fn concurrent_attempts_are_all_counted(make: Make) {
    let (store, _clock) = make();
    let key = run(bound(&store, "code"));
    let answers = concurrently(200, async |_| {
        present(&store, &key, Presented::WrongVerifier).await
    });
    let counted = |answer| answers.iter().filter(|given| **given == answer).count();
    let attempts = usize::from(settings().attempts);
    assert_eq!(
        (counted(Answer::Mismatch), counted(Answer::Burnt)),
        (attempts, 200 - attempts)
    );
}

pub(in crate::store) fn a_code_expires_at_its_own_deadline_and_outlives_its_pending_authorization(
    make: Make,
) {
    run(async {
        let (store, clock) = make();
        let pending = hold(&store, &request("client", 9)).await;
        clock.advance(settings().pending.saturating_sub(second()));
        let (early, late) = (
            bind(&store, &pending, "1").await,
            bind(&store, &pending, "2").await,
        );
        clock.advance(settings().code.saturating_sub(millisecond()));
        store.sweep();
        assert!(!is_live(&store, &pending).await);
        let claim = claim(&store, &early).await;
        assert_eq!(
            claim.bound().challenge(),
            Some(&CodeChallenge::S256([9; 32]))
        );
        clock.advance(millisecond());
        assert_eq!(redeem(&store, &late).await, Answer::Gone);
    });
}

pub(in crate::store) fn of_two_hundred_redemptions_exactly_one_wins(make: Make) {
    let (store, _clock) = make();
    for round in 0..6 {
        let key = run(bound(&store, &round.to_string()));
        let answers = concurrently(200, async |_| redeem(&store, &key).await);
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
