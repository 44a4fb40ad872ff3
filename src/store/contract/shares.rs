//! The contract of bounded stores: what is evicted, and when there is room again.

use super::*;
use crate::flow::{CODES_PER_AUTHORIZATION, Candidate};
use crate::store::{Held, Limit, Network, StoreError};

/// A quarter of the capacity.
const SHARE: usize = 16;

fn network(number: u8) -> Network {
    Network::of([192, 0, number, 1].into())
}

async fn begin(store: &Store, client: &str, from: Option<Network>) -> Result<Digest, StoreError> {
    match store.hold(Place::Entry, &request(client, 1), from).await? {
        Held::Handle(handle) => Ok(handle.digest()),
        other @ (Held::New | Held::Again | Held::Conflict | Held::Spilled(_)) => {
            panic!("{other:?}")
        }
    }
}

async fn hold_from(store: &Store, client: &str, from: Network) -> Result<Digest, StoreError> {
    let request = request(client, 1);
    match store.hold(Place::Handle, &request, Some(from)).await? {
        Held::Handle(handle) => Ok(handle.digest()),
        other @ (Held::New | Held::Again | Held::Conflict | Held::Spilled(_)) => {
            panic!("{other:?}")
        }
    }
}

/// Begins sign-ins whose redirects are not followed, ten for each client.
async fn begin_many(store: &Store, number: usize) -> Vec<Digest> {
    let mut keys = Vec::new();
    for number in 0..number {
        let client = format!("client {}", number / 10);
        keys.push(begin(store, &client, None).await.unwrap());
    }
    keys
}

/// The limit that was reached, and the time until there is room.
fn refused<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> (Limit, Duration) {
    match answer {
        Err(StoreError::NoRoom(limit, wait)) => (limit, wait),
        other => panic!("{other:?}"),
    }
}

pub(in crate::store) fn one_network_cannot_take_the_whole_store(make: Make) {
    run(async {
        let (store, clock) = make();
        let mut keys = Vec::new();
        for number in 0..SHARE {
            let client = format!("client {}", number % 8);
            keys.push(hold_from(&store, &client, network(1)).await.unwrap());
            clock.advance(second());
        }
        let more = begin(&store, "client", Some(network(1))).await;
        assert_eq!(refused(more).0, Limit::Network);
        for other in [Some(network(2)), None] {
            begin(&store, "client", other).await.unwrap();
        }
        for key in keys {
            assert!(is_live(&store, &key.into()).await);
        }
        clock.advance(settings().pending);
        begin(&store, "client", Some(network(1))).await.unwrap();
    });
}

pub(in crate::store) fn the_sign_ins_of_a_network_are_limited_per_second(make: Make) {
    run(async {
        let (store, clock) = make();
        let from = Some(network(1));
        for _ in 0..10 {
            begin(&store, "client", from).await.unwrap();
        }
        let (limit, wait) = refused(begin(&store, "client", from).await);
        assert_eq!((limit, wait), (Limit::Rate, second()));
        begin(&store, "client", Some(network(2))).await.unwrap();
        clock.advance(wait.saturating_sub(millisecond()));
        let (limit, wait) = refused(begin(&store, "client", from).await);
        assert_eq!((limit, wait), (Limit::Rate, millisecond()));
        clock.advance(wait);
        begin(&store, "client", from).await.unwrap();
        assert_eq!(refused(begin(&store, "client", from).await).0, Limit::Rate);
        assert_eq!(store.statistics().refused, 3);
    });
}

pub(in crate::store) fn an_unfollowed_sign_in_lives_a_minute(make: Make) {
    run(async {
        let (store, clock) = make();
        let minute = Duration::from_mins(1);
        let followed = begin(&store, "a", None).await.unwrap();
        let bound = begin(&store, "b", None).await.unwrap();
        let asked = begin(&store, "c", None).await.unwrap();
        let late = begin(&store, "d", None).await.unwrap();
        assert_eq!(store.statistics().unfollowed, 4);
        clock.advance(minute.saturating_sub(millisecond()));
        assert_eq!(
            store.pending(&followed.into()).await,
            Ok(Pending::Live(Box::new(request("a", 1))))
        );
        bind(&store, &bound.into(), "code").await;
        let alive = store
            .owners(&[Candidate::State(asked.into())])
            .await
            .unwrap();
        assert_eq!(alive, [owner(digest("c"), true)]);
        assert_eq!(store.statistics().unfollowed, 2);
        clock.advance(millisecond());
        assert!(is_live(&store, &followed.into()).await && is_live(&store, &bound.into()).await);
        for key in [asked, late] {
            let gone = store.pending(&key.into()).await;
            assert!(matches!(gone, Ok(Pending::Expired | Pending::Unknown)));
        }
        // A full lifetime, from the time at which it was followed.
        clock.advance(settings().pending.saturating_sub(2 * millisecond()));
        assert!(is_live(&store, &followed.into()).await);
        clock.advance(millisecond());
        assert!(!is_live(&store, &followed.into()).await);
        clock.advance(10 * settings().pending);
        store.sweep();
        let left = store.statistics();
        assert_eq!((left.pending, left.unfollowed, left.codes), (0, 0, 0));
    });
}

pub(in crate::store) fn only_unfollowed_sign_ins_are_evicted(make: Make) {
    run(async {
        let (store, _clock) = make();
        let keys = begin_many(&store, settings().capacity).await;
        let (followed, left) = keys.split_at(settings().capacity / 2);
        for key in followed {
            assert!(is_live(&store, &(*key).into()).await);
        }
        // A flood of requests that follow no redirect.
        for number in 0..1000 {
            begin(&store, &format!("flood {number}"), None)
                .await
                .unwrap();
        }
        for key in followed {
            assert!(is_live(&store, &(*key).into()).await);
        }
        for key in left {
            assert!(!is_live(&store, &(*key).into()).await);
        }
        let statistics = store.statistics();
        assert!(statistics.pending <= settings().capacity, "{statistics:?}");
        assert!(statistics.evicted >= 1000, "{statistics:?}");
        assert_eq!(statistics.refused, 0);
    });
}

pub(in crate::store) fn a_network_above_its_rate_evicts_nothing(make: Make) {
    run(async {
        let (store, _clock) = make();
        begin_many(&store, settings().capacity).await;
        let mut begun = 0;
        for _ in 0..200 {
            match begin(&store, "client", Some(network(1))).await {
                Ok(_) => begun += 1,
                other => assert_eq!(refused(other).0, Limit::Rate),
            }
        }
        assert_eq!(begun, 10);
        let evicted = store.statistics().evicted;
        assert!((10..=40).contains(&evicted), "{evicted}");
    });
}

pub(in crate::store) fn evicted_sign_ins_count_towards_the_rate_of_their_network(make: Make) {
    run(async {
        let (store, _clock) = make();
        let mut own = Vec::new();
        for _ in 0..10 {
            own.push(begin(&store, "client", Some(network(1))).await.unwrap());
        }
        for number in 0..1000 {
            begin(&store, &format!("flood {number}"), None)
                .await
                .unwrap();
        }
        for key in own {
            assert!(!is_live(&store, &key.into()).await);
        }
        let next = begin(&store, "client", Some(network(1))).await;
        assert_eq!(refused(next).0, Limit::Rate);
    });
}

pub(in crate::store) fn a_flood_that_uses_up_a_share_evicts_only_its_own_sign_ins(make: Make) {
    run(async {
        let (store, clock) = make();
        let honest = begin(&store, "honest", Some(network(1))).await.unwrap();
        // A flood of one client, from unknown networks.
        let mut flood = Vec::new();
        for _ in 0..200 {
            flood.push(begin(&store, "flooded", None).await.unwrap());
        }
        let candidates: Vec<_> = flood
            .into_iter()
            .map(|key| Candidate::State(key.into()))
            .collect();
        let alive = async || {
            let owners = store.owners(&candidates).await.unwrap();
            owners.into_iter().flatten().filter(|of| of.alive).count()
        };
        let before = alive().await;
        assert!((28..=32).contains(&before), "{before}");
        // A flood from one network at the maximum rate, for many clients. It is refused where records of others are in
        // front of its own.
        let mut met = 0;
        for number in 0..40 {
            match begin(&store, &number.to_string(), Some(network(2))).await {
                Ok(_) => {}
                other => {
                    assert_eq!(refused(other).0, Limit::Network);
                    met += 1;
                }
            }
            clock.advance(second());
        }
        let evicted = store.statistics().evicted;
        assert!(evicted > 168 || met > 0, "its share was used up");
        assert_eq!(alive().await, before);
        assert!(is_live(&store, &honest.into()).await);
    });
}

pub(in crate::store) fn concurrent_requests_that_follow_a_redirect_all_find_the_sign_in(
    make: Make,
) {
    let (store, _clock) = make();
    for round in 0..20 {
        let key = run(begin(&store, &round.to_string(), None)).unwrap();
        let found = concurrently(64, async |_| is_live(&store, &key.into()).await);
        assert!(found.into_iter().all(|live| live));
    }
    let statistics = store.statistics();
    assert_eq!((statistics.pending, statistics.unfollowed), (20, 0));
}

pub(in crate::store) fn long_codes_count_as_several_records(make: Make) {
    run(async {
        let (store, _clock) = make();
        let mut codes = 0;
        let long = |number: usize| format!("{number:04}{}", "x".repeat(1000));
        let refused = 'full: loop {
            let from = network(u8::try_from(codes).unwrap());
            let key = match hold_from(&store, &codes.to_string(), from).await {
                Ok(key) => key,
                Err(error) => break error,
            };
            for _ in 0..CODES_PER_AUTHORIZATION {
                match store
                    .bind_to(&key.into(), Issued::Handle, code(&long(codes)))
                    .await
                {
                    Ok(Bound::Handle(_)) => codes += 1,
                    Err(error) => break 'full error,
                    other => panic!("{other:?}"),
                }
            }
        };
        assert!(matches!(refused, StoreError::NoRoom(Limit::Capacity, _)));
        // Each counts as five records of the usual size.
        assert!((8..=15).contains(&codes), "{codes}");
    });
}

pub(in crate::store) fn one_network_cannot_fill_the_store_with_codes(make: Make) {
    run(async {
        let (store, clock) = make();
        let mut keys = Vec::new();
        for number in 0..SHARE {
            let client = format!("client {number}");
            keys.push(begin(&store, &client, Some(network(1))).await.unwrap());
            clock.advance(second());
        }
        let mut last = Ok(());
        let mut codes = 0;
        'full: for key in keys {
            for _ in 0..CODES_PER_AUTHORIZATION {
                let key = key.into();
                let bound = store.bind_to(&key, Issued::Handle, code(&codes.to_string()));
                last = bound.await.map(drop);
                if last.is_err() {
                    break 'full;
                }
                codes += 1;
            }
        }
        assert_eq!(refused(last).0, Limit::Network);
        assert_eq!(codes, 2 * SHARE, "two codes for each sign-in");
        let other = begin(&store, "client", Some(network(2))).await.unwrap();
        bind(&store, &other.into(), "its code").await;
    });
}

pub(in crate::store) fn codes_do_not_count_towards_a_clients_share(make: Make) {
    run(async {
        let (store, _clock) = make();
        // A third of the client's share; the codes alone are more than the share.
        for number in 0..10 {
            let key = hold(&store, &request("client", 1)).await;
            for code in 0..4 {
                bind(&store, &key, &format!("{number} {code}")).await;
            }
        }
        let held = begin(&store, "client", None).await;
        assert!(held.is_ok(), "{held:?}");
    });
}

pub(in crate::store) fn room_becomes_free_exactly_at_the_announced_time(make: Make) {
    for limit in [Limit::Capacity, Limit::Client, Limit::Network] {
        run(async {
            let (store, clock) = make();
            let from = |number: usize| {
                let other = u8::try_from(number / 8).unwrap() + 1;
                Some(network(if limit == Limit::Network { 1 } else { other }))
            };
            let client = |number: usize| {
                let other = number / 10;
                format!("client {}", if limit == Limit::Client { 0 } else { other })
            };
            let mut number = 0;
            let (met, wait) = loop {
                let request = request(&client(number), 1);
                match store.hold(Place::Handle, &request, from(number)).await {
                    Ok(_) => number += 1,
                    Err(StoreError::NoRoom(Limit::Rate, wait)) => {
                        clock.advance(wait);
                        continue;
                    }
                    refusal => break refused(refusal),
                }
                clock.advance(second());
            };
            assert_eq!(met, limit);
            clock.advance(wait.saturating_sub(millisecond()));
            let request = request(&client(number), 1);
            let early = store.hold(Place::Handle, &request, from(number)).await;
            assert_eq!(refused(early), (limit, millisecond()));
            clock.advance(millisecond());
            let held = store.hold(Place::Handle, &request, from(number)).await;
            assert!(held.is_ok(), "{limit:?}: {held:?}");
        });
    }
}
