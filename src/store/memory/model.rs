//! Every way in which threads can take turns: the promises of the store that two threads could break together, under a
//! model checker. It decides at each lock and each atomic who goes on, by many random schedules and as many with a few well-placed
//! switches. A deadlock is a failure, too.
//!
//! Seen to fail: everything with two redemptions when `redeem` reads a record's state and sets it under two locks; the code
//! that came for two authorizations when `settle` does not ask whether the claim still holds; the last one when an index
//! entry is removed whatever it leads to by then.

use std::sync::Arc;
use std::time::Duration;

use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;

use super::*;
use crate::clock::ManualClock;
use crate::flow::ClientState;
use crate::oauth::CodeChallenge;
use crate::store::contract::settings;

const SCHEDULES: usize = 500;
/// Switches at places where they are not needed: three are enough for most races.
const SWITCHES: usize = 3;

fn many(model: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(model.clone(), SCHEDULES);
    shuttle::check_pct(model, SCHEDULES, SWITCHES);
}

/// A store with one pending authorization and one code, both under digests: nothing about it is random.
struct Scene {
    store: MemoryStore,
    time: ManualClock,
    /// Claims that are not settled yet.
    owners: AtomicUsize,
    /// Claims that ended in a token.
    tokens: AtomicUsize,
}

fn pending_key() -> Digest {
    Digest::of("correlation", &[b"pending"])
}

fn code_key() -> Digest {
    Digest::of("code", &[b"code"])
}

fn request(challenge: u8) -> PendingAuthorization {
    PendingAuthorization {
        challenge: Some(CodeChallenge::S256([challenge; 32])),
        client: Digest::of("client_id", &[b"client"]),
        redirect: None,
        state: ClientState::Absent,
        response_type: None,
        response_mode: None,
        browser: None,
    }
}

fn code() -> AuthorizationCode {
    AuthorizationCode::new("code").unwrap()
}

impl Scene {
    fn empty() -> Arc<Self> {
        let (clock, time) = Clock::manual();
        Arc::new(Self {
            store: MemoryStore::new(settings(), HandleKey::for_upstream("model"), clock),
            time,
            owners: AtomicUsize::new(0),
            tokens: AtomicUsize::new(0),
        })
    }

    fn with_code() -> Arc<Self> {
        let scene = Self::empty();
        let held = scene.store.hold(Place::Digest(pending_key()), &request(1));
        assert_eq!(held, Ok(Held::New));
        assert_eq!(scene.bind(), Ok(Bound::Digest));
        scene
    }

    fn bind(&self) -> Result<Bound, StoreError> {
        self.store
            .bind(pending_key(), Place::Digest(code_key()), code())
    }

    /// A token request: whoever gets the code is alone with it until it settles.
    fn redeem(&self, settlement: Settlement) -> bool {
        let Redeemed::Claimed(claim) = self.store.redeem(code_key()) else {
            return false;
        };
        let others = self.owners.fetch_add(1, Ordering::SeqCst);
        assert_eq!(others, 0, "two have claimed one code");
        if settlement == Settlement::Burn {
            let before = self.tokens.fetch_add(1, Ordering::SeqCst);
            assert_eq!(before, 0, "one code has bought two tokens");
        }
        self.owners.fetch_sub(1, Ordering::SeqCst);
        self.store.settle(claim, settlement);
        true
    }

    /// What is left when everything is over: nothing, and nobody who counted wrongly.
    fn ends_empty(&self) {
        self.time
            .advance(settings().pending + settings().code + 2 * expiry::GRACE);
        self.store.sweep();
        let Statistics {
            pending,
            codes,
            tombstones,
            ..
        } = self.store.statistics();
        assert_eq!((pending, codes, tombstones), (0, 0, 0));
    }
}

/// Does all of it at once.
fn at_once<const N: usize>(scene: &Arc<Scene>, parts: [fn(&Scene); N]) {
    let threads = parts.map(|part| {
        let scene = Arc::clone(scene);
        thread::spawn(move || part(&scene))
    });
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn of_two_redemptions_one_gets_the_code() {
    many(|| {
        let scene = Scene::with_code();
        let redeem = |scene: &Scene| {
            scene.redeem(Settlement::Burn);
        };
        at_once(&scene, [redeem, redeem]);
        assert_eq!(scene.tokens.load(Ordering::SeqCst), 1);
        scene.ends_empty();
    });
}

#[test]
fn a_released_code_has_one_owner_at_a_time_and_buys_one_token() {
    many(|| {
        let scene = Scene::with_code();
        let fail = |scene: &Scene| {
            scene.redeem(Settlement::Release);
        };
        let succeed = |scene: &Scene| {
            while !scene.redeem(Settlement::Burn) && scene.tokens.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
        };
        at_once(&scene, [fail, succeed, succeed]);
        assert_eq!(scene.tokens.load(Ordering::SeqCst), 1);
        scene.ends_empty();
    });
}

#[test]
fn nobody_gets_more_guesses_than_there_are_attempts() {
    many(|| {
        let scene = Scene::with_code();
        let guess = |scene: &Scene| {
            let guesses = (0..3)
                .filter(|_| scene.redeem(Settlement::WrongVerifier))
                .count();
            scene.tokens.fetch_add(guesses, Ordering::SeqCst);
        };
        at_once(&scene, [guess, guess, guess]);
        assert!(scene.tokens.load(Ordering::SeqCst) <= usize::from(settings().attempts));
        scene.ends_empty();
    });
}

#[test]
fn a_code_is_never_redeemed_after_its_time_whoever_expires_or_settles_it() {
    many(|| {
        let scene = Scene::with_code();
        let expire = |scene: &Scene| {
            scene.time.advance(settings().code);
            assert!(!matches!(
                scene.store.redeem(code_key()),
                Redeemed::Claimed(_)
            ));
            scene.time.advance(expiry::GRACE);
            scene.store.sweep();
            assert!(!matches!(
                scene.store.redeem(code_key()),
                Redeemed::Claimed(_)
            ));
        };
        let release = |scene: &Scene| {
            scene.redeem(Settlement::Release);
        };
        let redeem = |scene: &Scene| {
            scene.redeem(Settlement::Burn);
        };
        at_once(&scene, [expire, release, redeem]);
        assert!(!scene.redeem(Settlement::Burn));
        scene.ends_empty();
    });
}

#[test]
fn a_code_that_comes_again_while_it_is_redeemed_is_not_alive_again() {
    many(|| {
        let scene = Scene::with_code();
        let redeem = |scene: &Scene| {
            scene.redeem(Settlement::Burn);
        };
        let bind = |scene: &Scene| assert_eq!(scene.bind(), Ok(Bound::Digest));
        at_once(&scene, [redeem, bind, redeem]);
        assert_eq!(scene.tokens.load(Ordering::SeqCst), 1);
        assert!(!scene.redeem(Settlement::Burn));
        scene.ends_empty();
    });
}

#[test]
fn a_code_that_comes_for_two_authorizations_stays_burnt_whoever_releases_it() {
    many(|| {
        let scene = Scene::with_code();
        let release = |scene: &Scene| {
            scene.redeem(Settlement::Release);
        };
        let bind = |scene: &Scene| {
            let other = Digest::of("correlation", &[b"other"]);
            let held = scene.store.hold(Place::Digest(other), &request(2));
            assert_eq!(held, Ok(Held::New));
            let bound = scene.store.bind(other, Place::Digest(code_key()), code());
            assert_eq!(bound, Ok(Bound::Unknown));
        };
        at_once(&scene, [release, bind, release]);
        assert!(!scene.redeem(Settlement::Burn));
        scene.ends_empty();
    });
}

#[test]
fn of_two_requests_under_the_same_values_neither_gets_the_others_code() {
    many(|| {
        let scene = Scene::empty();
        let victim = |scene: &Scene| {
            drop(scene.store.hold(Place::Digest(pending_key()), &request(1)));
        };
        let attacker = |scene: &Scene| {
            drop(scene.store.hold(Place::Digest(pending_key()), &request(2)));
        };
        let answer = |scene: &Scene| drop(scene.bind());
        at_once(&scene, [victim, attacker, answer]);
        assert_eq!(scene.store.pending(pending_key()), Pending::Conflict);
        assert_eq!(scene.bind(), Ok(Bound::Unknown));
        scene.ends_empty();
    });
}

#[test]
fn what_is_held_while_its_predecessor_is_dropped_stays() {
    many(|| {
        let scene = Scene::with_code();
        scene
            .time
            .advance(settings().pending + expiry::GRACE + Duration::from_secs(1));
        let sweep = |scene: &Scene| scene.store.sweep();
        let again = |scene: &Scene| {
            let held = scene.store.hold(Place::Digest(pending_key()), &request(2));
            assert_eq!(held, Ok(Held::New));
        };
        at_once(&scene, [sweep, again, sweep]);
        assert_eq!(
            scene.store.pending(pending_key()),
            Pending::Live(Box::new(request(2)))
        );
        scene.ends_empty();
    });
}
