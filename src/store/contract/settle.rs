//! The contract of `settle`.

use super::*;
use crate::flow::{RELEASES_PER_CODE, Settlement};

pub(in crate::store) fn a_released_code_can_be_redeemed_again(make: Make) {
    run(async {
        let (store, _clock) = make();
        let key = bound(&store, "code").await;
        for _ in 0..10 {
            let claim = claim(&store, &key).await;
            assert_eq!(claim.bound().code.expose(), "code");
            store.settle(claim, Settlement::Release).await.unwrap();
        }
        assert_eq!(redeem(&store, &key).await, Answer::Claimed);
    });
}

pub(in crate::store) fn attempts_and_releases_are_counted_separately(make: Make) {
    run(async {
        let (store, _clock) = make();
        let key = bound(&store, "code").await;
        for attempt in 1..=RELEASES_PER_CODE {
            let claim = claim(&store, &key).await;
            store.settle(claim, Settlement::Release).await.unwrap();
            if attempt < settings().attempts {
                let answer = present(&store, &key, Presented::WrongVerifier).await;
                assert_eq!(answer, Answer::Mismatch);
            }
        }
        let answer = present(&store, &key, Presented::WrongVerifier).await;
        assert_eq!(answer, Answer::Mismatch);
        assert_eq!(redeem(&store, &key).await, Answer::Burnt);
        // Another code of the same authorization has separate attempts.
        let pending = hold(&store, &request("client", 1)).await;
        let (one, other) = (
            bind(&store, &pending, "1").await,
            bind(&store, &pending, "2").await,
        );
        for _ in 0..settings().attempts {
            present(&store, &one, Presented::WrongVerifier).await;
        }
        assert_eq!(redeem(&store, &one).await, Answer::Burnt);
        assert_eq!(redeem(&store, &other).await, Answer::Claimed);
    });
}

pub(in crate::store) fn the_eleventh_release_burns_the_code(make: Make) {
    run(async {
        let (store, clock) = make();
        let key = bound(&store, "code").await;
        for _ in 0..=RELEASES_PER_CODE {
            let claim = claim(&store, &key).await;
            store.settle(claim, Settlement::Release).await.unwrap();
        }
        assert_eq!(redeem(&store, &key).await, Answer::Burnt);
        clock.advance(settings().code);
        assert_eq!(redeem(&store, &key).await, Answer::Gone);
    });
}

/// Anyone with a stolen code can send these, so they must not use up anything; the lifetime of the code limits them.
pub(in crate::store) fn releases_of_redemptions_without_proof_are_not_counted(make: Make) {
    run(async {
        let (store, clock) = make();
        let key = bound(&store, "code").await;
        let release = async |presented: Presented| match store.redeem(&key, |_| presented).await {
            Ok(Redeemed::Claimed(claim)) => {
                // The claim is exclusive nevertheless.
                assert_eq!(redeem(&store, &key).await, Answer::AlreadyRedeemed);
                store.settle(claim, Settlement::Release).await.unwrap();
            }
            other => panic!("{other:?}"),
        };
        for _ in 0..RELEASES_PER_CODE {
            for _ in 0..100 {
                release(Presented::Unproven).await;
            }
            release(Presented::Matches).await;
        }
        for _ in 0..100 {
            release(Presented::Unproven).await;
        }
        release(Presented::Matches).await;
        assert_eq!(redeem(&store, &key).await, Answer::Burnt);

        let other = bound(&store, "other").await;
        clock.advance(settings().code);
        let answer = present(&store, &other, Presented::Unproven).await;
        assert_eq!(answer, Answer::Gone);
    });
}

/// A redemption without proof uses up the code like any other.
pub(in crate::store) fn a_redemption_without_proof_redeems_a_code_once(make: Make) {
    run(async {
        let (store, _clock) = make();
        let key = bound(&store, "code").await;
        let Ok(Redeemed::Claimed(claim)) = store.redeem(&key, |_| Presented::Unproven).await else {
            panic!("the code is valid");
        };
        store.settle(claim, Settlement::Burn).await.unwrap();
        for presented in [Presented::Unproven, Presented::Matches] {
            let answer = present(&store, &key, presented).await;
            assert_eq!(answer, Answer::AlreadyRedeemed);
        }
    });
}

pub(in crate::store) fn settling_an_expired_claim_changes_nothing(make: Make) {
    run(async {
        for settlement in [Settlement::Release, Settlement::Burn] {
            for swept in [false, true] {
                let (store, clock) = make();
                let key = bound(&store, "code").await;
                let claim = claim(&store, &key).await;
                clock.advance(settings().code);
                if swept {
                    clock.advance(settings().code);
                    store.sweep();
                }
                store.settle(claim, settlement).await.unwrap();
                assert_eq!(redeem(&store, &key).await, Answer::Gone);
            }
        }
    });
}

pub(in crate::store) fn of_two_hundred_redemptions_with_failures_exactly_one_succeeds(make: Make) {
    let (store, _clock) = make();
    let key = run(bound(&store, "code"));
    // Two wrong verifiers and ten releases do not burn the code yet.
    let answers = concurrently(200, async |time| {
        let (presented, settlement) = match time % 20 {
            0 if time < 40 => (Presented::WrongVerifier, Settlement::Burn),
            1 => (Presented::Matches, Settlement::Release),
            2 if time > 150 => (Presented::Matches, Settlement::Burn),
            _ => (Presented::Differs, Settlement::Burn),
        };
        match store.redeem(&key, |_| presented).await.unwrap() {
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
    let last = run(redeem(&store, &key));
    assert_eq!(last == Answer::AlreadyRedeemed, burnt == 1, "{last:?}");
}
