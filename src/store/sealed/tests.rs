use std::sync::Arc;

use super::*;
use crate::clock::{Clock, ManualClock};
use crate::flow::ClientState;
use crate::store::Store;
use crate::store::contract::{
    Answer, Time, bind, claim, hold, is_live, redeem, request, run, settings, suite,
};
use crate::store::seal::SealKeys;

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

#[test]
fn a_state_that_is_too_long_is_refused() {
    run(async {
        let (store, _clock) = make();
        let pending = PendingAuthorization {
            state: ClientState::value("s".repeat(8192)),
            ..request("client", 1)
        };
        let held = store.hold(Place::Handle, &pending, None).await;
        assert_eq!(held, Err(StoreError::TooLong));
    });
}
