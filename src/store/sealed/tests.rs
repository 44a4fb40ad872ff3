use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::clock::{Clock, ManualClock};
use crate::flow::{Application, ClientState};
use crate::store::contract::{
    Answer, Time, bind, claim, hold, is_live, redeem, request, run, settings, suite,
};
use crate::store::seal::SealKeys;
use crate::store::{Spilled, Store};

const A: (&str, [u8; 32]) = ("a", [1; 32]);
const B: (&str, [u8; 32]) = ("b", [2; 32]);

suite!(make);

fn make() -> (Store, Time) {
    let (clock, manual) = Clock::manual();
    (replica(&clock, &manual, &[A]), manual.into())
}

/// A store of its own process: it has the keys, and remembers nothing of the others.
fn replica(clock: &Clock, wall: &ManualClock, keys: &[(&str, [u8; 32])]) -> Store {
    at(clock, wall, sealer(keys, "test", "https://login.example"))
}

fn sealer(keys: &[(&str, [u8; 32])], upstream: &str, url: &str) -> Sealer {
    Sealer::new(SealKeys::of(keys), upstream, url)
}

fn at(clock: &Clock, wall: &ManualClock, sealer: Sealer) -> Store {
    let key = HandleKey::for_upstream("test");
    let memory = MemoryStore::new(&settings(), key.clone(), clock.clone());
    let wall = WallClock::Manual(wall.clone());
    let memory = Arc::new(memory);
    Store::Sealed(SealedStore::new(&settings(), sealer, key, wall, memory))
}

#[test]
fn another_replica_finishes_a_sign_in() {
    run(async {
        let (clock, wall) = Clock::manual();
        let [one, other] = [(); 2].map(|()| replica(&clock, &wall, &[A]));
        let pending = hold(&one, &request("client", 1)).await;
        assert!(is_live(&other, &pending).await);
        let code = bind(&other, &pending, "code").await;
        let claimed = claim(&one, &code).await;
        assert_eq!(claimed.bound().code.expose(), "code");
        assert_eq!(
            claimed.bound().application,
            request("client", 1).application
        );
        one.settle(claimed, Settlement::Burn).await.unwrap();
        assert_eq!(redeem(&one, &code).await, Answer::AlreadyRedeemed);
        // What `claims = "local"` does not promise: the other replica has not seen the redemption.
        assert_eq!(redeem(&other, &code).await, Answer::Claimed);
    });
}

#[test]
fn a_restart_forgets_no_sign_in_and_no_code() {
    run(async {
        let (clock, wall) = Clock::manual();
        let before = replica(&clock, &wall, &[A]);
        let pending = hold(&before, &request("client", 1)).await;
        let code = bind(&before, &pending, "code").await;
        drop(before);
        let after = replica(&clock, &wall, &[A]);
        assert_eq!(redeem(&after, &code).await, Answer::Claimed);
        assert_eq!(redeem(&after, &code).await, Answer::AlreadyRedeemed);
        let second = bind(&after, &pending, "second").await;
        assert_eq!(redeem(&after, &second).await, Answer::Claimed);
    });
}

#[test]
fn a_handle_of_a_removed_key_is_expired() {
    run(async {
        let (clock, wall) = Clock::manual();
        let before = replica(&clock, &wall, &[A]);
        let pending = hold(&before, &request("client", 1)).await;
        let code = bind(&before, &pending, "code").await;
        let rotated = replica(&clock, &wall, &[B, A]);
        assert!(is_live(&rotated, &pending).await);
        let removed = replica(&clock, &wall, &[B]);
        assert_eq!(removed.pending(&pending).await, Ok(Pending::Expired));
        let redeemed = removed.redeem(&code, |_| Presented::Matches).await;
        assert!(matches!(redeemed, Ok(Redeemed::Expired(None))));
        assert_eq!(
            removed.owners(&[Candidate::Code(code)]).await,
            Ok(vec![None])
        );
    });
}

#[test]
fn a_handle_of_another_upstream_or_url_is_unknown() {
    run(async {
        let (clock, wall) = Clock::manual();
        let own = replica(&clock, &wall, &[A]);
        let pending = hold(&own, &request("client", 1)).await;
        let code = bind(&own, &pending, "code").await;
        for (upstream, url) in [
            ("other", "https://login.example"),
            ("test", "https://other.example"),
        ] {
            let other = at(&clock, &wall, sealer(&[A], upstream, url));
            assert_eq!(other.pending(&pending).await, Ok(Pending::Unknown));
            let redeemed = other.redeem(&code, |_| Presented::Matches).await;
            assert!(matches!(redeemed, Ok(Redeemed::Unknown(None))));
        }
    });
}

#[test]
fn handles_of_the_memory_store_stay_valid_when_it_is_replaced() {
    run(async {
        let (clock, wall) = Clock::manual();
        let key = HandleKey::for_upstream("test");
        let memory = Arc::new(MemoryStore::new(&settings(), key.clone(), clock));
        let before = Store::Memory(Arc::clone(&memory));
        let pending = hold(&before, &request("client", 1)).await;
        let code = bind(&before, &pending, "code").await;
        let sealer = sealer(&[A], "test", "https://login.example");
        let wall = WallClock::Manual(wall);
        let after = SealedStore::new(&settings(), sealer, key, wall, memory);
        let after = Store::Sealed(after);
        assert_eq!(redeem(&after, &code).await, Answer::Claimed);
        assert!(is_live(&after, &pending).await);
        let second = bind(&after, &pending, "second").await;
        assert_eq!(redeem(&after, &second).await, Answer::Claimed);
    });
}

#[test]
fn clocks_may_differ_by_a_minute() {
    run(async {
        let (clock, wall) = Clock::manual();
        let behind = wall.clone();
        let (_, ahead) = Clock::manual();
        for (difference, is_accepted) in [(60_000, true), (60_001, false)] {
            ahead.show(behind.now().after(Duration::from_millis(difference)));
            let (here, there) = (
                replica(&clock, &behind, &[A]),
                replica(&clock, &ahead, &[A]),
            );
            let pending = hold(&there, &request("client", 1)).await;
            assert_eq!(is_live(&here, &pending).await, is_accepted, "{difference}");
            assert!(is_live(&here, &hold(&here, &request("client", 1)).await).await);
            let Store::Sealed(here) = here else { panic!() };
            assert_eq!(here.made_ahead(), 1);
        }
    });
}

/// A request with a state of that many characters.
fn with_state(length: usize) -> PendingAuthorization {
    PendingAuthorization {
        state: ClientState::value("s".repeat(length)),
        ..request("client", 1)
    }
}

async fn spilled(store: &Store, pending: &PendingAuthorization) -> Spilled {
    match store.hold(Place::Handle, pending, None).await {
        Ok(Held::Spilled(spilled)) => *spilled,
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_handle_of_a_sign_in_is_longer_than_512_characters() {
    run(async {
        let (store, _clock) = make();
        let mut longest = 0;
        let mut is_spilled = false;
        for length in 0..800 {
            let pending = with_state(length);
            match store.hold(Place::Handle, &pending, None).await {
                Ok(Held::Handle(handle)) => {
                    assert!(!is_spilled, "{length}");
                    longest = handle.expose().len();
                    assert!(longest <= 512, "{length}");
                }
                Ok(Held::Spilled(spilled)) => {
                    is_spilled = true;
                    assert!(spilled.handle.expose().len() < 300, "{length}");
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(is_spilled && longest > 508, "{longest}");
        // Without a state there is nothing to leave out.
        let application = Application {
            response_type: Some("t".repeat(600).into()),
            ..(*request("client", 1).application).clone()
        };
        let pending = PendingAuthorization {
            application: application.into(),
            state: ClientState::Bare,
            ..request("client", 1)
        };
        let held = store.hold(Place::Handle, &pending, None).await;
        assert!(matches!(held, Ok(Held::Handle(_))), "{held:?}");
    });
}

#[test]
fn a_spilled_state_opens_for_its_own_sign_in_only() {
    run(async {
        let (clock, wall) = Clock::manual();
        let store = replica(&clock, &wall, &[A]);
        let pending = with_state(2000);
        let (one, other) = (
            spilled(&store, &pending).await,
            spilled(&store, &pending).await,
        );
        let again = replica(&clock, &wall, &[A]);
        for store in [&store, &again] {
            let state = store.spilled_state(&one.handle, &one.sealed);
            assert_eq!(state.as_ref(), Some(&pending.state));
            assert_eq!(store.spilled_state(&one.handle, &other.sealed), None);
        }
        for at in [0, 1, 8, 100, one.sealed.len() - 1] {
            let (start, rest) = one.sealed.split_at(at);
            let other = if rest.starts_with('A') { "B" } else { "A" };
            let changed = [start, other, rest.split_at(1).1].concat();
            for forged in [&changed, start] {
                assert_eq!(store.spilled_state(&one.handle, forged), None, "{at}");
            }
        }
        // A handle cannot stand for a state, nor a state for a handle.
        let sealed = URL_SAFE_NO_PAD.encode(one.handle.sealed().unwrap());
        assert_eq!(store.spilled_state(&one.handle, &sealed), None);
        let bytes = URL_SAFE_NO_PAD.decode(&one.sealed).unwrap();
        let handle = HandleKey::for_upstream("test")
            .wrap(Purpose::State, &bytes)
            .unwrap();
        assert_eq!(store.pending(&handle.into()).await, Ok(Pending::Unknown));
        // Another key, upstream or URL.
        let other_key = replica(&clock, &wall, &[B]);
        assert_eq!(other_key.spilled_state(&one.handle, &one.sealed), None);
        for (name, url) in [
            ("other", "https://login.example"),
            ("test", "https://other.example"),
        ] {
            let store = at(&clock, &wall, sealer(&[A], name, url));
            assert_eq!(store.spilled_state(&one.handle, &one.sealed), None);
        }
    });
}
