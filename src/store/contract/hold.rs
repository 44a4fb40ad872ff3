//! The contract of `hold`, `pending` and `discard`.

use std::collections::HashSet;

use super::*;
use crate::flow::OwnVerifier;

pub(in crate::store) fn a_pending_authorization_can_be_read_back_repeatedly(make: Make) {
    let plain = CodeChallenge::Plain("p".repeat(43).into());
    let variants = [
        request("client", 1),
        PendingAuthorization {
            challenge: Some(plain),
            ..request("client", 1)
        },
        PendingAuthorization {
            application: Application {
                redirect: None,
                response_type: None,
                ..(*request("client", 1).application).clone()
            }
            .into(),
            challenge: None,
            state: ClientState::Absent,
            ..request("client", 1)
        },
        PendingAuthorization {
            application: Application {
                response_type: Some("code id_token".into()),
                response_mode: Some("form_post".into()),
                pushed: None,
                ..(*request("client", 1).application).clone()
            }
            .into(),
            state: ClientState::Bare,
            own: Some(OwnVerifier::new([3; 32])),
            browser: Some(digest("browser")),
            ..request("client", 1)
        },
        PendingAuthorization {
            application: Application {
                response_type: Some("".into()),
                ..(*request("", 0).application).clone()
            }
            .into(),
            state: ClientState::value(""),
            ..request("", 0)
        },
        PendingAuthorization {
            state: ClientState::value("ü\0&=%2B+ ".repeat(200)),
            ..request("client", 1)
        },
    ];
    run(async {
        let (store, _clock) = make();
        let mut keys = Vec::new();
        for (number, pending) in variants.iter().enumerate() {
            let handle = match store.hold(Place::Handle, pending, None).await {
                Ok(Held::Spilled(spilled)) => {
                    let state = store.spilled_state(&spilled.handle, &spilled.sealed);
                    assert_eq!(state, Some(pending.state.clone()));
                    let rest = PendingAuthorization {
                        state: ClientState::InCookie,
                        ..pending.clone()
                    };
                    (spilled.handle.into(), rest)
                }
                Ok(Held::Handle(handle)) => (handle.into(), pending.clone()),
                other => panic!("{other:?}"),
            };
            keys.push(handle);
            let key = digest(&number.to_string());
            assert_eq!(
                store.hold(Place::Digest(key), pending, None).await,
                Ok(Held::New)
            );
            keys.push((key.into(), pending.clone()));
        }
        for (key, pending) in keys.iter().chain(&keys) {
            let live = Pending::Live(Box::new(pending.clone()));
            assert_eq!(store.pending(key).await, Ok(live));
        }
    });
}

pub(in crate::store) fn each_handle_refers_to_its_own_record(make: Make) {
    run(async {
        let (store, _clock) = make();
        let mut texts = HashSet::new();
        for number in 0..6 {
            let pending = request(&number.to_string(), number);
            let Ok(Held::Handle(handle)) = store.hold(Place::Handle, &pending, None).await else {
                panic!()
            };
            texts.insert(handle.expose().to_owned());
            for name in ["a", "b", "c"] {
                let bound = bind(&store, &Key::from(&handle), &format!("{name}{number}")).await;
                let claim = claim(&store, &bound).await;
                assert_eq!(claim.bound().application.client, pending.application.client);
                assert_eq!(claim.bound().code.expose(), format!("{name}{number}"));
                texts.insert(bound.handle().unwrap().expose().to_owned());
            }
        }
        assert_eq!(texts.len(), 24);
    });
}

pub(in crate::store) fn handles_of_states_and_codes_are_not_interchangeable(make: Make) {
    run(async {
        let (store, _clock) = make();
        let pending = hold(&store, &request("client", 1)).await;
        let bound = bind(&store, &pending, "code").await;
        assert_eq!(redeem(&store, &pending).await, Answer::Gone);
        assert_eq!(store.pending(&bound).await, Ok(Pending::Unknown));
        let again = store.bind_to(&bound, Issued::Handle, code("other")).await;
        assert_eq!(again, Ok(Bound::Unknown));
        assert_eq!(redeem(&store, &bound).await, Answer::Claimed);
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
            is_live(&store, &key).await,
            "a millisecond before its deadline"
        );
        bind(&store, &key, "in time").await;
        clock.advance(millisecond());
        assert!(!is_live(&store, &key).await, "at its deadline");
        let late = store.bind_to(&key, Issued::Handle, code("late")).await;
        assert_eq!(late, Ok(Bound::Unknown));
        store.sweep();
        assert!(!is_live(&store, &key).await);
    });
}

pub(in crate::store) fn an_equal_request_with_the_same_values_is_the_same_record(make: Make) {
    run(async {
        let (store, clock) = make();
        let place = Place::Digest(digest("values"));
        assert_eq!(
            store.hold(place, &request("client", 1), None).await,
            Ok(Held::New)
        );
        clock.advance(second());
        assert_eq!(
            store.hold(place, &request("client", 1), None).await,
            Ok(Held::Again)
        );
        bind(&store, &named("values"), "code").await;
        clock.advance(settings().pending.saturating_sub(second()));
        assert!(
            !is_live(&store, &named("values")).await,
            "a reload does not extend the lifetime"
        );
    });
}

pub(in crate::store) fn different_requests_with_the_same_values_invalidate_both(make: Make) {
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
            application: Application {
                redirect: None,
                ..(*first.application).clone()
            }
            .into(),
            ..first.clone()
        },
        PendingAuthorization {
            application: Application {
                redirect: other_redirect,
                ..(*first.application).clone()
            }
            .into(),
            ..first.clone()
        },
    ];
    run(async {
        for different in different {
            let (store, clock) = make();
            let key = digest("values");
            assert_eq!(
                store.hold(Place::Digest(key), &first, None).await,
                Ok(Held::New)
            );
            clock.advance(second());
            let second_one = store.hold(Place::Digest(key), &different, None).await;
            assert_eq!(second_one, Ok(Held::Conflict));
            for pending in [&first, &different] {
                let later = store.hold(Place::Digest(key), pending, None).await;
                assert_eq!(later, Ok(Held::Conflict), "the conflict stays");
            }
            assert_eq!(store.pending(&key.into()).await, Ok(Pending::Conflict));
            let bound = store
                .bind_to(&key.into(), Issued::Handle, code("after"))
                .await;
            assert_eq!(bound, Ok(Bound::Unknown));
            let bound = store.bind_to(&key.into(), Issued::Raw, code("after")).await;
            assert_eq!(bound, Ok(Bound::Unknown));
            assert_eq!(redeem(&store, &named("code")).await, Answer::Gone);
            clock.advance(settings().pending.saturating_sub(second()));
            let next = store.hold(Place::Digest(key), &different, None).await;
            assert_eq!(
                next,
                Ok(Held::New),
                "the conflict ends when the record would have expired"
            );
        }
    });
}

pub(in crate::store) fn a_sign_in_with_a_code_is_replaced_by_the_next_one_with_its_values(
    make: Make,
) {
    let from_browser = |challenge| PendingAuthorization {
        browser: Some(digest("cookie")),
        ..request("client", challenge)
    };
    let (first, second_one) = (from_browser(1), from_browser(2));
    run(async {
        let (store, clock) = make();
        let place = Place::Digest(digest("values"));
        assert_eq!(store.hold(place, &first, None).await, Ok(Held::New));
        let before = bind(&store, &named("values"), "before").await;
        clock.advance(second());
        assert_eq!(
            store.hold(place, &first, None).await,
            Ok(Held::Again),
            "a reload"
        );
        assert_eq!(store.hold(place, &second_one, None).await, Ok(Held::New));
        let live = Box::new(second_one);
        let found = store.pending(&named("values")).await;
        assert_eq!(found, Ok(Pending::Live(live)));
        // The second sign-in has no code yet, so it is not replaced.
        assert_eq!(store.hold(place, &first, None).await, Ok(Held::Conflict));
        assert_eq!(
            redeem(&store, &before).await,
            Answer::Claimed,
            "the first sign-in keeps its code"
        );
    });
}

pub(in crate::store) fn an_expired_record_is_replaced_under_its_digest(make: Make) {
    run(async {
        for swept in [false, true] {
            let (store, clock) = make();
            let values = digest("values");
            assert_eq!(
                store
                    .hold(Place::Digest(values), &request("client", 1), None)
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
                    .hold(Place::Digest(values), &request("other", 2), None)
                    .await,
                Ok(Held::New)
            );
            let Ok(Pending::Live(live)) = store.pending(&values.into()).await else {
                panic!()
            };
            assert_eq!(*live, request("other", 2));
            let bound = store
                .bind_to(&values.into(), Issued::Raw, code("code"))
                .await;
            assert_eq!(bound, Ok(Bound::Raw));
            let claim = claim(&store, &raw("code")).await;
            assert_eq!(claim.bound().application.client, digest("other"));
            // The expired record of that key is dropped without affecting the new one.
            clock.advance(settings().pending.saturating_sub(second()));
            store.sweep();
            assert!(is_live(&store, &values.into()).await);
        }
    });
}

pub(in crate::store) fn a_discarded_authorization_is_invalid_but_its_codes_are_not(make: Make) {
    run(async {
        let (store, _clock) = make();
        let pending = hold(&store, &request("client", 1)).await;
        let before = bind(&store, &pending, "before").await;
        store.discard(&pending).await.unwrap();
        store.discard(&named("nobody")).await.unwrap();
        assert!(!is_live(&store, &pending).await);
        for issued in [Issued::Handle, Issued::Raw] {
            let bound = store.bind_to(&pending, issued, code("after")).await;
            assert_eq!(bound, Ok(Bound::Unknown));
        }
        assert_eq!(redeem(&store, &before).await, Answer::Claimed);
    });
}

pub(in crate::store) fn of_two_hundred_conflicting_requests_none_survives(make: Make) {
    let (store, _clock) = make();
    let place = Place::Digest(digest("values"));
    let answers = concurrently(200, async |time| {
        let pending = request("client", u8::try_from(time % 2).unwrap());
        store.hold(place, &pending, None).await.unwrap()
    });
    let new = answers.iter().filter(|held| **held == Held::New).count();
    assert_eq!(new, 1);
    assert!(answers.contains(&Held::Conflict));
    assert_eq!(run(store.pending(&named("values"))), Ok(Pending::Conflict));
}

pub(in crate::store) fn debug_of_a_store_shows_no_secrets(make: Make) {
    run(async {
        let (store, _clock) = make();
        let pending = hold(&store, &request("client", 1)).await;
        let bound = bind(&store, &pending, "the upstream's code").await;
        let handle = bound.handle().unwrap();
        let claim = claim(&store, &bound).await;
        let live = store.pending(&pending).await;
        let shown = format!("{store:?} {claim:?} {live:?} {handle:?}");
        for secret in ["the upstream's code", "its own state", handle.expose()] {
            assert!(!shown.contains(secret), "{shown}");
        }
    });
}
