//! The contract of `bind`.

use std::collections::HashSet;

use super::*;
use crate::flow::{CODES_PER_AUTHORIZATION, Settlement};
use crate::store::Candidate;

pub(in crate::store) fn five_codes_can_be_bound_and_no_more(make: Make) {
    run(async {
        let (store, _clock) = make();
        let pending = hold(&store, &request("client", 1)).await;
        let mut keys = Vec::new();
        for number in 0..CODES_PER_AUTHORIZATION {
            keys.push(bind(&store, &pending, &number.to_string()).await);
        }
        for place in [Place::Handle, Place::Digest(digest("code"))] {
            let sixth = store.bind_to(&pending, place, code("sixth")).await;
            assert_eq!(sixth, Ok(Bound::TooMany));
        }
        assert_eq!(redeem(&store, &named("code")).await, Answer::Gone);
        for (number, key) in keys.into_iter().enumerate() {
            let claim = claim(&store, &key).await;
            assert_eq!(claim.bound().code.expose(), number.to_string());
            store.settle(claim, Settlement::Burn).await.unwrap();
        }
        // A redeemed code still counts.
        let sixth = store.bind_to(&pending, Place::Handle, code("sixth")).await;
        assert_eq!(sixth, Ok(Bound::TooMany));
        assert!(is_live(&store, &pending).await);
    });
}

pub(in crate::store) fn nothing_can_be_bound_to_an_unknown_authorization(make: Make) {
    run(async {
        let (store, _clock) = make();
        for place in [Place::Handle, Place::Digest(digest("code"))] {
            let bound = store.bind_to(&named("nobody"), place, code("code")).await;
            assert_eq!(bound, Ok(Bound::Unknown));
        }
        assert_eq!(redeem(&store, &named("code")).await, Answer::Gone);
        assert_eq!(store.pending(&named("nobody")).await, Ok(Pending::Unknown));
    });
}

pub(in crate::store) fn a_repeated_code_is_bound_once(make: Make) {
    run(async {
        let (store, _clock) = make();
        let pending = hold(&store, &request("client", 1)).await;
        let place = Place::Digest(digest("code"));
        for _ in 0..=2 * CODES_PER_AUTHORIZATION {
            let bound = store.bind_to(&pending, place, code("code")).await;
            assert_eq!(bound, Ok(Bound::Digest));
        }
        let first = claim(&store, &named("code")).await;
        let bound = store.bind_to(&pending, place, code("code")).await;
        assert_eq!(bound, Ok(Bound::Digest));
        assert_eq!(
            redeem(&store, &named("code")).await,
            Answer::AlreadyRedeemed,
            "the code stays claimed"
        );
        store.settle(first, Settlement::Burn).await.unwrap();
        let bound = store.bind_to(&pending, place, code("code")).await;
        assert_eq!(bound, Ok(Bound::Digest));
        assert_eq!(
            redeem(&store, &named("code")).await,
            Answer::AlreadyRedeemed,
            "the code stays redeemed"
        );
        for number in 1..CODES_PER_AUTHORIZATION {
            bind(&store, &pending, &number.to_string()).await;
        }
        let sixth = store.bind_to(&pending, Place::Handle, code("sixth")).await;
        assert_eq!(sixth, Ok(Bound::TooMany));
        let bound = store.bind_to(&pending, place, code("code")).await;
        assert_eq!(
            bound,
            Ok(Bound::Digest),
            "a code that is bound already does not count again"
        );
    });
}

pub(in crate::store) fn a_repeated_code_under_handles_is_counted_each_time(make: Make) {
    run(async {
        let (store, _clock) = make();
        let pending = hold(&store, &request("client", 1)).await;
        let mut handles = HashSet::new();
        for _ in 0..CODES_PER_AUTHORIZATION {
            handles.insert(bind(&store, &pending, "code").await);
        }
        assert_eq!(handles.len(), usize::from(CODES_PER_AUTHORIZATION));
        let sixth = store.bind_to(&pending, Place::Handle, code("code")).await;
        assert_eq!(sixth, Ok(Bound::TooMany));
        for handle in handles {
            assert_eq!(claim(&store, &handle).await.bound().code.expose(), "code");
        }
    });
}

/// An attacker who injects another user's code into an answer to an own sign-in neither gets the code nor invalidates
/// it.
pub(in crate::store) fn a_code_stays_with_its_first_sign_in(make: Make) {
    run(async {
        let places = |name| [Place::Handle, Place::Digest(code(name).digest())];
        for (first, second) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            for settlement in [None, Some(Settlement::Release), Some(Settlement::Burn)] {
                let (store, _clock) = make();
                let victim = hold(&store, &request("client", 1)).await;
                let thief = hold(&store, &request("client", 2)).await;
                let key = match store
                    .bind_to(&victim, places("code")[first], code("code"))
                    .await
                {
                    Ok(Bound::Handle(handle)) => Key::from(handle),
                    Ok(Bound::Digest) => code("code").digest().into(),
                    other => panic!("{other:?}"),
                };
                let owner = match settlement {
                    None => None,
                    Some(_) => Some(claim(&store, &key).await),
                };
                for _ in 0..3 {
                    let stolen = store
                        .bind_to(&thief, places("code")[second], code("code"))
                        .await;
                    assert_eq!(stolen, Ok(Bound::Elsewhere));
                }
                let nobody = store
                    .bind_to(&named("nobody"), places("code")[second], code("code"))
                    .await;
                assert_eq!(nobody, Ok(Bound::Unknown));
                if let (Some(owner), Some(settlement)) = (owner, settlement) {
                    assert_eq!(redeem(&store, &key).await, Answer::AlreadyRedeemed);
                    store.settle(owner, settlement).await.unwrap();
                }
                if settlement == Some(Settlement::Burn) {
                    assert_eq!(redeem(&store, &key).await, Answer::AlreadyRedeemed);
                } else {
                    let claim = claim(&store, &key).await;
                    let challenge = request("client", 1).challenge;
                    assert_eq!(claim.bound().challenge.as_ref(), challenge.as_ref());
                }
                // The refused bindings did not count for the other sign-in.
                for number in 0..CODES_PER_AUTHORIZATION {
                    bind(&store, &thief, &number.to_string()).await;
                }
            }
        }
    });
}

/// Codes may live longer at the upstream (RFC 6749 section 4.1.2), so they are remembered for `pending` + `code`.
pub(in crate::store) fn a_code_is_remembered_for_longer_than_it_lives(make: Make) {
    run(async {
        for redeemed in [false, true] {
            let (store, clock) = make();
            let key = bound(&store, "code").await;
            if redeemed {
                let claim = claim(&store, &key).await;
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
                    let stolen = store.bind_to(&thief, place, code("code")).await;
                    assert_eq!(stolen, Ok(Bound::Elsewhere));
                }
            }
            clock.advance(millisecond());
            let later = hold(&store, &request("client", 3)).await;
            bind(&store, &later, "code").await;
        }
    });
}

/// Even if the remains of the first binding are still stored under the code's digest.
pub(in crate::store) fn a_forgotten_code_can_be_bound_to_the_next_sign_in(make: Make) {
    run(async {
        let (store, clock) = make();
        let own = code("code").digest();
        let first = hold(&store, &request("first", 1)).await;
        let bound = store
            .bind_to(&first, Place::Digest(own), code("code"))
            .await;
        assert_eq!(bound, Ok(Bound::Digest));
        clock.advance(settings().pending + settings().code);
        let next = hold(&store, &request("next", 2)).await;
        let handle = bind(&store, &next, "code").await;
        let owners = store
            .owners(&[Candidate::Code(own.into()), Candidate::Code(handle)])
            .await
            .unwrap();
        let client = digest("next");
        let expected = [false, true].map(|alive| owner(client, alive));
        assert_eq!(owners, expected);
        match store.redeem(&own.into(), matches).await {
            Ok(Redeemed::Expired(Some(owner)) | Redeemed::Unknown(Some(owner))) => {
                assert_eq!(owner, client);
            }
            other => panic!("{other:?}"),
        }
    });
}

/// A client that always sends the same state has the same key for all its sign-ins.
pub(in crate::store) fn a_later_sign_in_with_the_same_values_is_distinct(make: Make) {
    run(async {
        for place in [Place::Handle, Place::Digest(code("code").digest())] {
            let (store, clock) = make();
            let values = Place::Digest(digest("values"));
            let held = store.hold(values, &request("client", 1), None).await;
            assert_eq!(held, Ok(Held::New));
            clock.advance(settings().pending.saturating_sub(millisecond()));
            let bound = store.bind_to(&named("values"), place, code("code")).await;
            assert!(matches!(bound, Ok(Bound::Handle(_) | Bound::Digest)));
            let again = store.bind_to(&named("values"), place, code("code")).await;
            assert!(matches!(again, Ok(Bound::Handle(_) | Bound::Digest)));
            clock.advance(millisecond());
            let held = store.hold(values, &request("client", 2), None).await;
            assert_eq!(held, Ok(Held::New));
            let stolen = store.bind_to(&named("values"), place, code("code")).await;
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
        match store.bind_to(&sign_ins[sign_in], place, code("code")).await {
            Ok(Bound::Handle(_) | Bound::Digest | Bound::TooMany) => Some(sign_in),
            Ok(Bound::Elsewhere) => None,
            other => panic!("{other:?}"),
        }
    });
    let winners: HashSet<_> = answers.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
}

pub(in crate::store) fn of_two_hundred_bindings_exactly_five_succeed(make: Make) {
    let (store, _clock) = make();
    let pending = run(hold(&store, &request("client", 1)));
    let answers = concurrently(200, async |time| {
        // Half of them under handles, half under ten digests, each several times.
        let name = (time % 20).to_string();
        let place = if time % 20 < 10 {
            Place::Digest(digest(&name))
        } else {
            Place::Handle
        };
        match store.bind_to(&pending, place, code(&name)).await.unwrap() {
            Bound::Handle(handle) => Some(Key::from(handle)),
            Bound::Digest => Some(digest(&name).into()),
            Bound::TooMany => None,
            Bound::Elsewhere | Bound::Unknown => panic!(),
        }
    });
    let keys: HashSet<_> = answers.into_iter().flatten().collect();
    assert_eq!(keys.len(), usize::from(CODES_PER_AUTHORIZATION));
    for key in keys {
        assert_eq!(run(redeem(&store, &key)), Answer::Claimed);
    }
}
