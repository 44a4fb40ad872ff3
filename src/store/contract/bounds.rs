//! The contract of bounded stores: which requests are refused, and which never are.

use super::*;
use crate::flow::Settlement;
use crate::store::{Limit, StoreError};

fn limit(answer: &Result<Held, StoreError>) -> Option<Limit> {
    match answer {
        Err(StoreError::NoRoom(limit, _)) => Some(*limit),
        Ok(_) | Err(_) => None,
    }
}

/// Fills the store, ten records for each client. Returns their keys.
async fn fill(store: &Store) -> Vec<Key> {
    let mut keys = Vec::new();
    for number in 0..settings().capacity {
        keys.push(hold(store, &request(&format!("client {}", number / 10), 1)).await);
    }
    keys
}

pub(in crate::store) fn a_full_store_refuses_new_requests_and_evicts_nothing(make: Make) {
    run(async {
        let (store, _clock) = make();
        let keys = fill(&store).await;
        for number in 0..100 {
            let client = number.to_string();
            let refused = store.hold(Place::Handle, &request(&client, 1), None).await;
            assert_eq!(limit(&refused), Some(Limit::Capacity));
            let refused = store
                .hold(Place::Digest(digest(&client)), &request(&client, 1), None)
                .await;
            assert_eq!(limit(&refused), Some(Limit::Capacity));
            assert_eq!(
                store.pending(&digest(&client).into()).await,
                Ok(Pending::Unknown)
            );
        }
        store.sweep();
        for key in keys {
            assert!(is_live(&store, &key).await);
        }
        let statistics = store.statistics();
        assert_eq!(
            (statistics.pending, statistics.refused),
            (settings().capacity, 200)
        );
    });
}

pub(in crate::store) fn one_client_cannot_take_the_whole_store(make: Make) {
    run(async {
        let (store, clock) = make();
        let half = settings().capacity / 2;
        let greedy = request("greedy", 1);
        let mut keys = Vec::new();
        for _ in 0..half {
            keys.push(hold(&store, &greedy).await);
        }
        for _ in 0..half {
            let refused = store.hold(Place::Handle, &greedy, None).await;
            assert_eq!(limit(&refused), Some(Limit::Client));
        }
        assert_eq!(store.statistics().refused, half as u64);
        for number in 0..half {
            hold(&store, &request(&number.to_string(), 1)).await;
        }
        for key in keys {
            assert!(is_live(&store, &key).await);
        }
        clock.advance(settings().pending);
        for _ in 0..half {
            hold(&store, &greedy).await;
        }
        assert_eq!(
            store.statistics().refused,
            half as u64,
            "expired records do not count towards the share"
        );
    });
}

pub(in crate::store) fn an_admitted_login_completes_in_a_full_store(make: Make) {
    run(async {
        let (store, _clock) = make();
        let keys = fill(&store).await;
        for (sign_in, key) in keys.into_iter().enumerate() {
            // Two codes each, as for a user who signs in twice.
            for number in 0..2 {
                let handle = bind(&store, &key, &format!("{sign_in} {number}")).await;
                let claim = claim(&store, &handle).await;
                store.settle(claim, Settlement::Burn).await.unwrap();
            }
        }
        let statistics = store.statistics();
        let codes = settings().capacity * 2;
        assert_eq!(
            (statistics.codes, statistics.tombstones, statistics.refused),
            (0, codes, 0)
        );
    });
}

pub(in crate::store) fn a_reload_needs_no_room(make: Make) {
    run(async {
        let (store, _clock) = make();
        let place = Place::Digest(digest("values"));
        let pending = request("client", 1);
        assert_eq!(store.hold(place, &pending, None).await, Ok(Held::New));
        while let Ok(Held::Handle(_)) = store.hold(Place::Handle, &pending, None).await {}
        let mut number = 0;
        while let Ok(Held::Handle(_)) = store.hold(Place::Handle, &request("other", 1), None).await
        {
            number += 1;
        }
        assert_eq!(number, settings().capacity / 2);
        assert_eq!(store.hold(place, &pending, None).await, Ok(Held::Again));
        assert_eq!(
            store.hold(place, &request("client", 2), None).await,
            Ok(Held::Conflict)
        );
    });
}

pub(in crate::store) fn expired_records_make_room_without_a_sweep(make: Make) {
    run(async {
        let (store, clock) = make();
        fill(&store).await;
        clock.advance(settings().pending.saturating_sub(millisecond()));
        let refused = store.hold(Place::Handle, &request("client", 1), None).await;
        assert_eq!(limit(&refused), Some(Limit::Capacity));
        clock.advance(millisecond());
        let keys = fill(&store).await;
        for key in keys {
            assert!(is_live(&store, &key).await);
        }
        assert_eq!(store.statistics().refused, 1);
    });
}

pub(in crate::store) fn tombstones_and_conflicts_take_room_until_they_expire(make: Make) {
    run(async {
        let (store, clock) = make();
        let values = Place::Digest(digest("values"));
        for challenge in [1, 2] {
            store
                .hold(values, &request("a", challenge), None)
                .await
                .unwrap();
        }
        let held = hold(&store, &request("b", 1)).await;
        let key = bind(&store, &held, "code").await;
        let claim = claim(&store, &key).await;
        store.settle(claim, Settlement::Burn).await.unwrap();
        clock.advance(second());
        for number in 3..settings().capacity {
            hold(&store, &request(&format!("client {}", number % 8), 1)).await;
        }
        let full = store.hold(Place::Handle, &request("new", 1), None).await;
        assert_eq!(limit(&full), Some(Limit::Capacity));
        clock.advance(settings().code.saturating_sub(second()));
        hold(&store, &request("instead of the tombstone", 1)).await;
        let full = store.hold(Place::Handle, &request("new", 1), None).await;
        assert_eq!(limit(&full), Some(Limit::Capacity));
        clock.advance(settings().pending.saturating_sub(settings().code));
        hold(&store, &request("instead of the conflict", 1)).await;
        hold(&store, &request("instead of the other", 1)).await;
        let full = store.hold(Place::Handle, &request("new", 1), None).await;
        assert_eq!(limit(&full), Some(Limit::Capacity));
    });
}

pub(in crate::store) fn concurrent_requests_never_exceed_the_capacity(make: Make) {
    let (store, clock) = make();
    for _ in 0..3 {
        let answers = concurrently(400, async |time| {
            let request = request(&format!("client {}", time % 16), 1);
            match store.hold(Place::Handle, &request, None).await {
                Ok(Held::Handle(handle)) => Some(handle.digest()),
                Err(StoreError::NoRoom(Limit::Capacity | Limit::Client, _)) => None,
                other => panic!("{other:?}"),
            }
        });
        let held: Vec<_> = answers.into_iter().flatten().collect();
        assert_eq!(held.len(), settings().capacity);
        for key in held {
            assert!(run(is_live(&store, &key.into())));
        }
        clock.advance(settings().pending);
    }
}

pub(in crate::store) fn a_store_is_empty_after_everything_has_expired(make: Make) {
    run(async {
        let (store, clock) = make();
        let empty = store.statistics();
        let values = Place::Digest(digest("values"));
        for number in 0..10 {
            let pending = hold(&store, &request(&number.to_string(), number)).await;
            let name = |name| format!("{name} {number}");
            let redeemed = bind(&store, &pending, &name("redeemed")).await;
            let burnt = bind(&store, &pending, &name("burnt")).await;
            bind(&store, &pending, &name("never redeemed")).await;
            let claim = claim(&store, &redeemed).await;
            store.settle(claim, Settlement::Burn).await.unwrap();
            for _ in 0..settings().attempts {
                let answer = present(&store, &burnt, Presented::WrongVerifier).await;
                assert_eq!(answer, Answer::Mismatch);
            }
            store
                .hold(values, &request("conflict", number), None)
                .await
                .unwrap();
            store
                .hold(values, &request(&number.to_string(), 1), None)
                .await
                .unwrap();
            store.discard(&pending).await.unwrap();
        }
        let full = store.statistics();
        assert_eq!((full.pending, full.codes, full.tombstones), (11, 10, 20));
        assert!(full.bytes > empty.bytes);
        // Longer than any backend keeps expired records.
        clock.advance(10 * settings().pending);
        store.sweep();
        let left = store.statistics();
        assert_eq!((left.pending, left.codes, left.tombstones), (0, 0, 0));
        assert!(left.bytes < full.bytes);
    });
}
