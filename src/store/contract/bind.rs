//! The contract of `bind`.

use std::collections::{HashMap, HashSet};

use super::*;
use crate::flow::{CODES_PER_AUTHORIZATION, Settlement};
use crate::store::Candidate;

/// A store whose handles have times of the wall clock remembers codes for so much longer, in case it steps.
pub(super) const LEEWAY: Duration = Duration::from_mins(1);

pub(in crate::store) fn five_codes_can_be_bound_and_no_more(make: Make) {
    run(async {
        let (store, _clock) = make();
        let pending = hold(&store, &request("client", 1)).await;
        let mut keys = Vec::new();
        for number in 0..CODES_PER_AUTHORIZATION {
            keys.push(bind(&store, &pending, &number.to_string()).await);
        }
        for issued in [Issued::Handle, Issued::Raw] {
            let sixth = store.bind_to(&pending, issued, code("sixth")).await;
            assert_eq!(sixth, Ok(Bound::TooMany));
        }
        assert_eq!(redeem(&store, &raw("code")).await, Answer::Gone);
        for (number, key) in keys.into_iter().enumerate() {
            let claim = claim(&store, &key).await;
            assert_eq!(claim.bound().code.expose(), number.to_string());
            store.settle(claim, Settlement::Burn).await.unwrap();
        }
        // A redeemed code still counts.
        let sixth = store.bind_to(&pending, Issued::Handle, code("sixth")).await;
        assert_eq!(sixth, Ok(Bound::TooMany));
        assert!(is_live(&store, &pending).await);
    });
}

pub(in crate::store) fn nothing_can_be_bound_to_an_unknown_authorization(make: Make) {
    run(async {
        let (store, _clock) = make();
        for issued in [Issued::Handle, Issued::Raw] {
            let bound = store.bind_to(&named("nobody"), issued, code("code")).await;
            assert_eq!(bound, Ok(Bound::Unknown));
        }
        assert_eq!(redeem(&store, &raw("code")).await, Answer::Gone);
        assert_eq!(store.pending(&named("nobody")).await, Ok(Pending::Unknown));
    });
}

pub(in crate::store) fn a_repeated_code_is_bound_once(make: Make) {
    run(async {
        let (store, _clock) = make();
        let pending = hold(&store, &request("client", 1)).await;
        for _ in 0..=2 * CODES_PER_AUTHORIZATION {
            let bound = store.bind_to(&pending, Issued::Raw, code("code")).await;
            assert_eq!(bound, Ok(Bound::Raw));
        }
        let first = claim(&store, &raw("code")).await;
        let bound = store.bind_to(&pending, Issued::Raw, code("code")).await;
        assert_eq!(bound, Ok(Bound::Raw));
        assert_eq!(
            redeem(&store, &raw("code")).await,
            Answer::AlreadyRedeemed,
            "the code stays claimed"
        );
        store.settle(first, Settlement::Burn).await.unwrap();
        let bound = store.bind_to(&pending, Issued::Raw, code("code")).await;
        assert_eq!(bound, Ok(Bound::Raw));
        assert_eq!(
            redeem(&store, &raw("code")).await,
            Answer::AlreadyRedeemed,
            "the code stays redeemed"
        );
        for number in 1..CODES_PER_AUTHORIZATION {
            bind(&store, &pending, &number.to_string()).await;
        }
        let sixth = store.bind_to(&pending, Issued::Handle, code("sixth")).await;
        assert_eq!(sixth, Ok(Bound::TooMany));
        let bound = store.bind_to(&pending, Issued::Raw, code("code")).await;
        assert_eq!(
            bound,
            Ok(Bound::Raw),
            "a code that is bound already does not count again"
        );
    });
}

pub(in crate::store) fn however_many_handles_a_code_has_it_is_redeemed_once(make: Make) {
    run(async {
        let (store, _clock) = make();
        let pending = hold(&store, &request("client", 1)).await;
        let mut handles = Vec::new();
        for _ in 0..=2 * CODES_PER_AUTHORIZATION {
            handles.push(bind(&store, &pending, "code").await);
        }
        let first = claim(&store, &handles[3]).await;
        assert_eq!(first.bound().code.expose(), "code");
        handles.push(bind(&store, &pending, "code").await);
        for handle in &handles {
            assert_eq!(redeem(&store, handle).await, Answer::AlreadyRedeemed);
        }
        store.settle(first, Settlement::Release).await.unwrap();
        let second = claim(&store, &handles[5]).await;
        store.settle(second, Settlement::Burn).await.unwrap();
        handles.push(bind(&store, &pending, "code").await);
        let candidates: Vec<_> = handles.iter().cloned().map(Candidate::Code).collect();
        let owners = store.owners(&candidates).await.unwrap();
        for (handle, of) in handles.iter().zip(owners) {
            assert_eq!(redeem(&store, handle).await, Answer::AlreadyRedeemed);
            assert_eq!(of, owner(digest("client"), false));
        }
        // The code counts once.
        for number in 1..CODES_PER_AUTHORIZATION {
            bind(&store, &pending, &number.to_string()).await;
        }
        let sixth = store.bind_to(&pending, Issued::Handle, code("sixth")).await;
        assert_eq!(sixth, Ok(Bound::TooMany));
        bind(&store, &pending, "code").await;
    });
}

pub(in crate::store) fn handles_of_one_code_share_its_attempts(make: Make) {
    run(async {
        let (store, _clock) = make();
        let pending = hold(&store, &request("client", 1)).await;
        for _ in 0..settings().attempts {
            let handle = bind(&store, &pending, "code").await;
            let wrong = present(&store, &handle, Presented::WrongVerifier).await;
            assert_eq!(wrong, Answer::Mismatch);
        }
        let handle = bind(&store, &pending, "code").await;
        assert_eq!(redeem(&store, &handle).await, Answer::Burnt);
    });
}

/// Also after a change of `codes`, so that it has one record.
pub(in crate::store) fn a_code_is_issued_in_one_form(make: Make) {
    run(async {
        let forms = [Issued::Handle, Issued::Raw];
        for (first, second) in [(0, 1), (1, 0)] {
            let (store, _clock) = make();
            let pending = hold(&store, &request("client", 1)).await;
            let bound = store.bind_to(&pending, forms[first], code("code")).await;
            assert!(matches!(bound, Ok(Bound::Handle(_) | Bound::Raw)));
            let other = store.bind_to(&pending, forms[second], code("code")).await;
            assert_eq!(other, Ok(Bound::Elsewhere));
        }
    });
}

/// Not even to its own sign-in: whether it was redeemed may be forgotten.
pub(in crate::store) fn an_expired_code_is_not_bound_again(make: Make) {
    run(async {
        for issued in [Issued::Handle, Issued::Raw] {
            for redeemed in [false, true] {
                let (store, clock) = make();
                let pending = hold(&store, &request("client", 1)).await;
                let key = match store.bind_to(&pending, issued, code("code")).await {
                    Ok(Bound::Handle(handle)) => handle.into(),
                    Ok(Bound::Raw) => raw("code"),
                    other => panic!("{other:?}"),
                };
                if redeemed {
                    let claim = claim(&store, &key).await;
                    store.settle(claim, Settlement::Burn).await.unwrap();
                }
                clock.advance(settings().code);
                store.sweep();
                for _ in 0..2 {
                    let again = store.bind_to(&pending, issued, code("code")).await;
                    assert_eq!(again, Ok(Bound::Elsewhere));
                }
                assert_eq!(redeem(&store, &key).await, Answer::Gone);
            }
        }
    });
}

/// An attacker who injects another user's code into an answer to an own sign-in neither gets the code nor invalidates
/// it.
pub(in crate::store) fn a_code_stays_with_its_first_sign_in(make: Make) {
    run(async {
        let forms = [Issued::Handle, Issued::Raw];
        for (first, second) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            for settlement in [None, Some(Settlement::Release), Some(Settlement::Burn)] {
                let (store, _clock) = make();
                let victim = hold(&store, &request("client", 1)).await;
                let thief = hold(&store, &request("client", 2)).await;
                let key = match store.bind_to(&victim, forms[first], code("code")).await {
                    Ok(Bound::Handle(handle)) => Key::from(handle),
                    Ok(Bound::Raw) => raw("code"),
                    other => panic!("{other:?}"),
                };
                let owner = match settlement {
                    None => None,
                    Some(_) => Some(claim(&store, &key).await),
                };
                for _ in 0..3 {
                    let stolen = store.bind_to(&thief, forms[second], code("code")).await;
                    assert_eq!(stolen, Ok(Bound::Elsewhere));
                }
                let nobody = store
                    .bind_to(&named("nobody"), forms[second], code("code"))
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
                    assert_eq!(claim.bound().challenge(), challenge.as_ref());
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
                for issued in [Issued::Handle, Issued::Raw] {
                    let stolen = store.bind_to(&thief, issued, code("code")).await;
                    assert_eq!(stolen, Ok(Bound::Elsewhere));
                }
            }
            clock.advance(millisecond() + LEEWAY);
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
        let bound = store.bind_to(&first, Issued::Raw, code("code")).await;
        assert_eq!(bound, Ok(Bound::Raw));
        clock.advance(settings().pending + settings().code + LEEWAY);
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
        for issued in [Issued::Handle, Issued::Raw] {
            let (store, clock) = make();
            let values = Place::Digest(digest("values"));
            let held = store.hold(values, &request("client", 1), None).await;
            assert_eq!(held, Ok(Held::New));
            clock.advance(settings().pending.saturating_sub(millisecond()));
            let bound = store.bind_to(&named("values"), issued, code("code")).await;
            assert!(matches!(bound, Ok(Bound::Handle(_) | Bound::Raw)));
            let again = store.bind_to(&named("values"), issued, code("code")).await;
            assert!(matches!(again, Ok(Bound::Handle(_) | Bound::Raw)));
            clock.advance(millisecond());
            let held = store.hold(values, &request("client", 2), None).await;
            assert_eq!(held, Ok(Held::New));
            let stolen = store.bind_to(&named("values"), issued, code("code")).await;
            assert_eq!(stolen, Ok(Bound::Elsewhere));
        }
    });
}

pub(in crate::store) fn of_two_hundred_sign_ins_with_one_code_exactly_one_gets_it(make: Make) {
    let (store, _clock) = make();
    let sign_ins: Vec<_> = (0..20)
        .map(|number| run(hold(&store, &request(&number.to_string(), number))))
        .collect();
    let answers = concurrently(200, async |time| {
        let sign_in = time % sign_ins.len();
        let issued = if time % 3 == 0 {
            Issued::Handle
        } else {
            Issued::Raw
        };
        match store
            .bind_to(&sign_ins[sign_in], issued, code("code"))
            .await
        {
            Ok(Bound::Handle(_) | Bound::Raw) => Some(sign_in),
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
        // Half of them with handles, each code several times.
        let name = (time % 20).to_string();
        let issued = if time % 20 < 10 {
            Issued::Raw
        } else {
            Issued::Handle
        };
        match store.bind_to(&pending, issued, code(&name)).await.unwrap() {
            Bound::Handle(handle) => Some((name, Key::from(handle))),
            Bound::Raw => Some((name.clone(), raw(&name))),
            Bound::TooMany => None,
            Bound::Elsewhere | Bound::Unknown => panic!(),
        }
    });
    let keys: HashMap<_, _> = answers.into_iter().flatten().collect();
    assert_eq!(keys.len(), usize::from(CODES_PER_AUTHORIZATION));
    for key in keys.into_values() {
        assert_eq!(run(redeem(&store, &key)), Answer::Claimed);
    }
}
