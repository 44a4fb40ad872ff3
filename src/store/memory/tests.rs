//! Tests of what only this store guarantees; the rest is in the contract.

mod adopted;
mod limits;
mod secrets;

use super::tables::GRACE;
use super::*;
use crate::clock::ManualClock;
use crate::flow::{Application, ClientState};
use crate::oauth::CodeChallenge;
use crate::store::Limit;
use crate::store::contract::{Time, bounded_suite, settings, suite};
use crate::store::{Settings, Store};
use record::{Class, Fate};
use std::sync::Arc;
use std::time::Duration;

suite!(make);
bounded_suite!(make);

fn make() -> (Store, Time) {
    let (store, clock) = store(&settings());
    (Store::Memory(store.into()), clock.into())
}

/// Of the tables, clients and networks.
fn entries(store: &MemoryStore) -> [usize; 4] {
    let tables = &store.tables;
    let Statistics {
        pending,
        codes,
        tombstones,
        ..
    } = store.statistics();
    [
        pending,
        codes + tombstones,
        tables.codes.len(Class::Trace),
        tables.usage.size().0,
    ]
}

fn store(settings: &Settings) -> (MemoryStore, ManualClock) {
    let (clock, manual) = Clock::manual();
    (
        MemoryStore::new(settings, HandleKey::for_upstream("test"), clock),
        manual,
    )
}

fn roomy() -> Settings {
    Settings {
        capacity: 20_000,
        per_client: 0.9,
        ..settings()
    }
}

fn pending(client: &str) -> PendingAuthorization {
    PendingAuthorization {
        own: None,
        application: Application {
            client: Digest::of("client_id", &[client.as_bytes()]),
            redirect: None,
            response_type: Some("code".into()),
            response_mode: None,
            pushed: None,
        }
        .into(),
        challenge: Some(CodeChallenge::S256([7; 32])),
        state: ClientState::value("the client's own state"),
        browser: None,
    }
}

fn hold(store: &MemoryStore, client: &str) -> Digest {
    match store.hold(Place::Handle, &pending(client), None) {
        Ok(Held::Handle(handle)) => handle.digest(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_long_state_takes_as_much_room_as_it_needs() {
    let (store, clock) = store(&Settings {
        capacity: 20,
        per_client: 1.0,
        ..settings()
    });
    let long = PendingAuthorization {
        state: ClientState::value("s".repeat(70_000)),
        ..pending("long")
    };
    let Ok(Held::Handle(handle)) = store.hold(Place::Handle, &long, None) else {
        panic!("there was room");
    };
    assert_eq!(
        store.pending(handle.digest()),
        Pending::Live(Box::new(long.clone()))
    );
    assert_eq!(store.statistics().pending, 1);
    let short = pending("short");
    assert_eq!(
        limit(&store.hold(Place::Handle, &short, None)),
        Some(Limit::Capacity)
    );
    clock.advance(settings().pending + GRACE);
    store.sweep();
    for _ in 0..20 {
        hold(&store, "short");
    }
    assert_eq!(
        limit(&store.hold(Place::Handle, &short, None)),
        Some(Limit::Capacity)
    );
}

fn limit(answer: &Result<Held, StoreError>) -> Option<Limit> {
    match answer {
        Err(StoreError::NoRoom(limit, _)) => Some(*limit),
        Ok(_) | Err(_) => None,
    }
}

fn matches(_bound: &BoundCode) -> Presented {
    Presented::Matches
}

fn bind(store: &MemoryStore, pending: Digest, code: &str) -> Key {
    let code = AuthorizationCode::new(code).unwrap();
    match store.bind(pending, Issued::Handle, code) {
        Ok(Bound::Handle(handle)) => handle.into(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn records_are_reported_as_expired_for_a_minute_and_then_forgotten() {
    let (store, clock) = store(&roomy());
    let held = hold(&store, "client");
    let bound = bind(&store, held, "code");
    clock.advance(settings().code);
    store.sweep();
    assert!(matches!(
        store.redeem(&bound, matches),
        Redeemed::Expired(_)
    ));
    clock.advance(GRACE.saturating_sub(Duration::from_millis(1)));
    store.sweep();
    assert!(matches!(
        store.redeem(&bound, matches),
        Redeemed::Expired(_)
    ));
    clock.advance(Duration::from_millis(1));
    assert!(matches!(
        store.redeem(&bound, matches),
        Redeemed::Expired(_)
    ));
    store.sweep();
    assert_eq!(store.statistics().codes, 0);
    clock.advance(settings().pending.saturating_sub(settings().code + GRACE));
    store.sweep();
    assert_eq!(store.pending(held), Pending::Expired);
    clock.advance(GRACE);
    store.sweep();
    assert_eq!(store.pending(held), Pending::Unknown);
    assert_eq!(store.statistics().pending, 0);
    // A trace of the code is left, for as long as the upstream may accept it.
    assert!(matches!(
        store.redeem(&bound, matches),
        Redeemed::Expired(Some(_))
    ));
    clock.advance(settings().code);
    store.sweep();
    assert!(matches!(
        store.redeem(&bound, matches),
        Redeemed::Unknown(None)
    ));
}

#[test]
fn the_length_of_every_code_that_was_bound_is_known() {
    let (store, _clock) = store(&roomy());
    let key = hold(&store, "client");
    assert_eq!(store.code_lengths(), CodeLengths::default());
    for length in [1, 64, 300] {
        assert!(!store.code_lengths().has(length));
        bind(&store, key, &"x".repeat(length));
        assert!(store.code_lengths().has(length), "{length}");
    }
    assert!(!store.code_lengths().has(65));
}

#[test]
fn what_applications_ask_for_is_kept_once_up_to_a_limit() {
    let (store, _clock) = store(&roomy());
    let share = |client: &str| store.tables.share(&pending(client).application);
    let one = share("client");
    assert!((0..10).all(|_| Arc::ptr_eq(&one, &share("client"))));
    for client in 0..100_000 {
        let client = client.to_string();
        assert_eq!(share(&client), pending(&client).application);
    }
    let kept = store.statistics().bytes;
    assert!((200_000..4_000_000).contains(&kept), "{kept}");
    store.sweep();
    assert!(store.statistics().bytes < 100_000);
}

#[test]
fn additions_drop_expired_records_so_that_a_busy_store_needs_no_sweep() {
    let (store, clock) = store(&roomy());
    for round in 0..20 {
        for number in 0..500 {
            let held = hold(&store, "client");
            bind(&store, held, &format!("{round} {number}"));
        }
        clock.advance(settings().pending / 2);
    }
    // Those of the last two and a bit half-lives: the live ones, and those in the grace period.
    let statistics = store.statistics();
    assert!((1500..2250).contains(&statistics.pending), "{statistics:?}");
    assert!((500..1250).contains(&statistics.codes), "{statistics:?}");
}

#[test]
fn a_sweep_drops_all_expired_records_in_batches() {
    let (store, clock) = store(&roomy());
    for _ in 0..5_000 {
        hold(&store, "client");
    }
    clock.advance(settings().pending + GRACE);
    hold(&store, "client");
    let mut left = store.statistics().pending;
    while left > 1 {
        let batch = store.sweep_batch();
        assert!((1..=64).contains(&batch), "{batch} {left}");
        left -= batch;
        assert_eq!(store.statistics().pending, left);
    }
    assert_eq!(store.sweep_batch(), 0);
    assert_eq!(entries(&store)[0], 1);
}

#[test]
fn memory_is_freed_after_a_flood() {
    let (store, clock) = store(&roomy());
    let before = store.statistics().bytes;
    for client in 0..15_000 {
        let held = hold(&store, &client.to_string());
        if client % 3 == 0 {
            bind(&store, held, &client.to_string());
        }
    }
    let during = store.statistics();
    assert!(during.bytes > before + 15_000 * 100);
    clock.advance(settings().pending + settings().code + GRACE);
    store.sweep();
    let after = store.statistics();
    assert_eq!(entries(&store), [0; 4]);
    assert!(after.bytes - before < 100_000, "{after:?}");
}

/// Time advances meanwhile, so a record may expire before the thread that made it continues. Individual results are
/// therefore not checked, only the final state.
#[test]
fn concurrent_threads_leave_no_record_and_no_count_behind() {
    let (store, clock) = store(&roomy());
    let digests: Vec<_> = (0..4u8)
        .map(|name| Digest::of("values", &[&[name]]))
        .collect();
    std::thread::scope(|scope| {
        for thread in 0..6usize {
            let (store, clock, digests) = (&store, &clock, &digests);
            scope.spawn(move || {
                for round in 0..500 {
                    let values = digests[(round + thread) % digests.len()];
                    let held = hold(store, &format!("client {thread}"));
                    store
                        .hold(Place::Digest(values), &pending(&round.to_string()), None)
                        .unwrap();
                    // Sometimes a code that another thread has bound.
                    let name = format!("{} {round}", if round % 8 == 0 { 0 } else { thread });
                    let code = AuthorizationCode::new(&name).unwrap();
                    let own = Key::from(code.digest());
                    let issued = [Issued::Handle, Issued::Raw][round / 2 % 2];
                    let handle = match store.bind(held, issued, code).unwrap() {
                        Bound::Handle(handle) => Some(handle.into()),
                        Bound::Raw | Bound::TooMany | Bound::Elsewhere | Bound::Unknown => None,
                    };
                    for key in handle.into_iter().chain([own]) {
                        let presented = match round % 5 {
                            0 => Presented::Differs,
                            1 => Presented::WrongVerifier,
                            2 => Presented::Unproven,
                            _ => Presented::Matches,
                        };
                        if let Redeemed::Claimed(claim) = store.redeem(&key, |_| presented) {
                            let settlement = match round % 4 {
                                0 => Settlement::Release,
                                _ => Settlement::Burn,
                            };
                            store.settle(claim, settlement);
                        }
                    }
                    if round % 20 == 0 {
                        clock.advance(Duration::from_secs(40));
                        store.sweep();
                    }
                }
            });
        }
    });
    clock.advance(settings().pending + settings().code + GRACE);
    store.sweep();
    let left = store.statistics();
    assert_eq!((left.pending, left.codes, left.tombstones), (0, 0, 0));
    assert_eq!(entries(&store), [0; 4]);
    // Nothing is counted that is not there: the whole store can be filled again.
    let share = roomy().capacity * 9 / 10;
    for _ in 0..share {
        hold(&store, "client");
    }
    let more = |client| limit(&store.hold(Place::Handle, &pending(client), None));
    assert_eq!(more("client"), Some(Limit::Client));
    for _ in share..roomy().capacity {
        hold(&store, "other");
    }
    assert_eq!(more("other"), Some(Limit::Capacity));
}

#[test]
fn a_code_that_comes_again_has_the_same_handle_and_deadline() {
    let (store, clock) = store(&roomy());
    let held = hold(&store, "client");
    let first = bind(&store, held, "code");
    clock.advance(settings().code.saturating_sub(Duration::from_millis(1)));
    // Also after a reload with another lifetime.
    store.configure(&Settings {
        code: settings().code * 2,
        ..roomy()
    });
    let again = bind(&store, held, "code");
    assert_eq!(first, again);
    let other = bind(&store, held, "other");
    clock.advance(Duration::from_millis(1));
    assert!(matches!(
        store.redeem(&again, matches),
        Redeemed::Expired(_)
    ));
    assert!(matches!(
        store.redeem(&other, matches),
        Redeemed::Claimed(_)
    ));
}

#[test]
fn a_shorter_lifetime_does_not_shorten_what_is_remembered() {
    let (store, clock) = store(&roomy());
    bind(&store, hold(&store, "client"), "code");
    let second = Duration::from_secs(1);
    store.configure(&Settings {
        pending: second,
        code: second,
        ..roomy()
    });
    let left = settings().code + settings().pending;
    clock.advance(left.saturating_sub(second));
    store.sweep();
    let stolen = |client| {
        let code = AuthorizationCode::new("code").unwrap();
        store.bind(hold(&store, client), Issued::Handle, code)
    };
    assert_eq!(stolen("thief"), Ok(Bound::Elsewhere));
    clock.advance(second);
    assert!(matches!(stolen("next"), Ok(Bound::Handle(_))));
}

#[test]
fn handles_of_one_code_in_two_stores_differ() {
    let handles = [(); 2].map(|()| {
        let (store, _clock) = store(&roomy());
        bind(&store, hold(&store, "client"), "code")
    });
    assert_ne!(handles[0], handles[1]);
}

#[test]
fn records_are_as_small_as_the_manual_says() {
    assert_eq!([size_of::<SignIn>(), size_of::<Code>()], [128, 112]);
}

#[test]
fn a_late_claim_does_not_release_a_later_code_with_its_key() {
    let (store, clock) = store(&roomy());
    let code = AuthorizationCode::new("code").unwrap();
    let key = Key::from(code.digest());
    let claim = || {
        let held = hold(&store, "client");
        let bound = store.bind(held, Issued::Raw, code.clone());
        assert_eq!(bound, Ok(Bound::Raw));
        let Redeemed::Claimed(claim) = store.redeem(&key, matches) else {
            panic!()
        };
        claim
    };
    let early = claim();
    clock.advance(settings().code + settings().pending);
    let late = claim();
    store.settle(early, Settlement::Release);
    let again = store.redeem(&key, matches);
    assert!(matches!(again, Redeemed::AlreadyRedeemed(_)));
    store.settle(late, Settlement::Burn);
}
