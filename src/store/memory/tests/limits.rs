//! What happens at a limit.

use super::*;

#[test]
fn after_a_shorter_lifetime_expired_records_make_room_behind_older_ones_that_live_on() {
    let small = Settings {
        capacity: 20,
        per_client: 1.0,
        ..settings()
    };
    let (store, clock) = store(&small);
    let old = hold(&store, "client");
    let pending_time = Duration::from_secs(10);
    store.configure(&Settings {
        pending: pending_time,
        ..small
    });
    for _ in 1..20 {
        hold(&store, "client");
    }
    let full = store.hold(Place::Handle, &pending("client"), None);
    assert_eq!(full, Err(StoreError::NoRoom(Limit::Capacity, pending_time)));
    clock.advance(pending_time);
    for _ in 1..20 {
        hold(&store, "client");
    }
    assert!(matches!(store.pending(old), Pending::Live(_)));
    clock.advance(settings().pending + GRACE);
    store.sweep();
    assert_eq!(entries(&store), [0; 4]);
}

#[test]
fn a_client_finds_its_own_sign_ins_to_evict_behind_many_of_others() {
    let (store, _clock) = store(&Settings {
        capacity: 3000,
        per_client: 0.3,
        ..settings()
    });
    let begin = |client: &str| store.hold(Place::Entry, &pending(client), None);
    for number in 0..1000 {
        begin(&format!("other {}", number % 10)).unwrap();
    }
    let answers: Vec<_> = (0..2000).map(|_| begin("client")).collect();
    let refused = answers.iter().filter(|answer| answer.is_err()).count();
    // Each refusal looks at other ones, and soon its own are found.
    assert!(refused < 20, "{refused}");
    assert!(answers.last().is_some_and(Result::is_ok));
    // All of the others are left, and what is the client's share.
    let left = store.statistics().unfollowed;
    assert!((1890..=1900).contains(&left), "{left}");
}

#[test]
fn a_code_that_found_no_room_does_not_count_for_its_sign_in() {
    let small = Settings {
        capacity: 1,
        per_client: 1.0,
        ..settings()
    };
    let (store, clock) = store(&small);
    let held = hold(&store, "client");
    bind(&store, held, "1");
    bind(&store, held, "2");
    for number in 3..10 {
        let code = AuthorizationCode::new(&number.to_string()).unwrap();
        let refused = store.bind(held, Issued::Handle, code);
        assert!(matches!(
            refused,
            Err(StoreError::NoRoom(Limit::Capacity, _))
        ));
    }
    clock.advance(small.code + GRACE);
    store.sweep();
    bind(&store, held, "3");
    bind(&store, held, "4");
}

#[test]
fn the_number_of_traces_is_limited() {
    let small = Settings {
        capacity: 10,
        per_client: 1.0,
        code: Duration::from_secs(1),
        ..settings()
    };
    let (store, clock) = store(&small);
    let held: Vec<_> = (0..9).map(|_| hold(&store, "client")).collect();
    let code = |number: usize| AuthorizationCode::new(&number.to_string()).unwrap();
    for number in 0..40 {
        bind(&store, held[number / 5], &number.to_string());
        clock.advance(small.code);
        // The store is full, so that what has expired makes room at once.
        drop(store.hold(Place::Handle, &pending("client"), None));
    }
    let refused = store.bind(held[8], Issued::Handle, code(40));
    assert_eq!(
        refused,
        Err(StoreError::NoRoom(Limit::Capacity, small.code))
    );
    clock.advance(small.pending + small.code + GRACE);
    store.sweep();
    assert_eq!(entries(&store), [0; 4]);
    let again = hold(&store, "client");
    bind(&store, again, "40");
}

#[test]
fn a_sign_in_that_is_added_to_a_full_store_can_be_evicted_from_it() {
    let small = Settings {
        capacity: 20,
        per_client: 1.0,
        ..settings()
    };
    let (store, _clock) = store(&small);
    for _ in 0..20 {
        hold(&store, "client");
    }
    let begin = || store.hold(Place::Entry, &pending("client"), None);
    assert_eq!(limit(&begin()), Some(Limit::Capacity));
    store.configure(&Settings {
        capacity: 21,
        ..small
    });
    for _ in 0..3 {
        assert!(matches!(begin(), Ok(Held::Handle(_))));
    }
    assert_eq!(store.statistics().evicted, 2);
}

#[test]
fn a_network_that_has_used_up_its_share_evicts_nothing_of_others() {
    let (store, _clock) = store(&Settings {
        capacity: 20,
        per_client: 1.0,
        ..settings()
    });
    let from = Some(Network::of([192, 0, 2, 1].into()));
    let begin = |place, from| store.hold(place, &pending("client"), from);
    for _ in 0..5 {
        begin(Place::Handle, from).unwrap();
    }
    for _ in 5..20 {
        begin(Place::Entry, None).unwrap();
    }
    assert_eq!(limit(&begin(Place::Entry, from)), Some(Limit::Network));
    assert_eq!(store.statistics().evicted, 0);
}
