//! Model checks of the store's guarantees that a race of threads could break. The model checker chooses at each lock
//! and each atomic which thread continues: many random schedules, and as many with a few well-placed switches. A
//! deadlock is a failure, too.
//!
//! These bugs were introduced to see the checks fail: `redeem` reads and sets a record's state under two locks (fails
//! all checks with two redemptions); `bind` looks for a trace before it adds one (those with two sign-ins).

use std::sync::Arc;
use std::time::Duration;

use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;

use super::*;
use crate::clock::ManualClock;
use crate::flow::{Application, ClientState, RELEASES_PER_CODE};
use crate::oauth::CodeChallenge;
use crate::store::contract::settings;

const SCHEDULES: usize = 500;
/// Number of preemptions per schedule; three are enough for most races.
const SWITCHES: usize = 3;

fn many(model: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(model.clone(), SCHEDULES);
    shuttle::check_pct(model, SCHEDULES, SWITCHES);
}

/// A store with one pending authorization and one code, both stored under digests, so that nothing is random.
struct Scene {
    store: MemoryStore,
    time: ManualClock,
    owners: AtomicUsize,
    /// Claims that were settled with a token.
    tokens: AtomicUsize,
}

fn pending_key() -> Digest {
    Digest::of("correlation", &[b"pending"])
}

fn code_key() -> Key {
    code().digest().into()
}

fn request(challenge: u8) -> PendingAuthorization {
    PendingAuthorization {
        application: Application {
            client: Digest::of("client_id", &[b"client"]),
            redirect: None,
            response_type: None,
            response_mode: None,
            pushed: None,
        }
        .into(),
        challenge: Some(CodeChallenge::S256([challenge; 32])),
        own: None,
        state: ClientState::Absent,
        browser: None,
    }
}

fn matches(_bound: &BoundCode) -> Presented {
    Presented::Matches
}

fn code() -> AuthorizationCode {
    AuthorizationCode::new("code").unwrap()
}

impl Scene {
    fn empty() -> Arc<Self> {
        let (clock, time) = Clock::manual();
        Arc::new(Self {
            store: MemoryStore::new(&settings(), HandleKey::for_upstream("model"), clock),
            time,
            owners: AtomicUsize::new(0),
            tokens: AtomicUsize::new(0),
        })
    }

    fn with_code() -> Arc<Self> {
        let scene = Self::empty();
        let held = scene
            .store
            .hold(Place::Digest(pending_key()), &request(1), None);
        assert_eq!(held, Ok(Held::New));
        assert_eq!(scene.bind(), Ok(Bound::Raw));
        scene
    }

    fn bind(&self) -> Result<Bound, StoreError> {
        self.store.bind(pending_key(), Issued::Raw, code())
    }

    /// A token request. Checks that it owns the code alone until it settles.
    fn redeem(&self, settlement: Settlement) -> bool {
        let Redeemed::Claimed(claim) = self.store.redeem(&code_key(), matches) else {
            return false;
        };
        let others = self.owners.fetch_add(1, Ordering::SeqCst);
        assert_eq!(others, 0, "two requests have claimed one code");
        if settlement == Settlement::Burn {
            let before = self.tokens.fetch_add(1, Ordering::SeqCst);
            assert_eq!(before, 0, "one code was redeemed for two tokens");
        }
        self.owners.fetch_sub(1, Ordering::SeqCst);
        self.store.settle(claim, settlement);
        true
    }

    /// After everything has expired, the store is empty and its counters are zero.
    fn ends_empty(&self) {
        self.time
            .advance(settings().pending + settings().code + 2 * tables::GRACE);
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
fn concurrent_guesses_do_not_exceed_the_attempts() {
    many(|| {
        let scene = Scene::with_code();
        let guess = |scene: &Scene| {
            let judged = |_: &usize| {
                let redeemed = scene
                    .store
                    .redeem(&code_key(), |_| Presented::WrongVerifier);
                matches!(redeemed, Redeemed::Mismatch(_))
            };
            let guesses = (0..3).filter(judged).count();
            scene.tokens.fetch_add(guesses, Ordering::SeqCst);
        };
        at_once(&scene, [guess, guess, guess]);
        let guesses = scene.tokens.load(Ordering::SeqCst);
        assert_eq!(guesses, usize::from(settings().attempts));
        scene.ends_empty();
    });
}

#[test]
fn an_expired_code_is_never_redeemed_while_others_settle_or_sweep() {
    many(|| {
        let scene = Scene::with_code();
        let expire = |scene: &Scene| {
            scene.time.advance(settings().code);
            assert!(!matches!(
                scene.store.redeem(&code_key(), matches),
                Redeemed::Claimed(_)
            ));
            scene.time.advance(tables::GRACE);
            scene.store.sweep();
            assert!(!matches!(
                scene.store.redeem(&code_key(), matches),
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
fn binding_a_code_again_during_redemption_does_not_revive_it() {
    many(|| {
        let scene = Scene::with_code();
        let redeem = |scene: &Scene| {
            scene.redeem(Settlement::Burn);
        };
        let bind = |scene: &Scene| assert_eq!(scene.bind(), Ok(Bound::Raw));
        at_once(&scene, [redeem, bind, redeem]);
        assert_eq!(scene.tokens.load(Ordering::SeqCst), 1);
        assert!(!scene.redeem(Settlement::Burn));
        scene.ends_empty();
    });
}

#[test]
fn mismatching_requests_never_block_a_matching_one() {
    many(|| {
        let scene = Scene::with_code();
        let hammer = |scene: &Scene| {
            for _ in 0..2 {
                let redeemed = scene.store.redeem(&code_key(), |_| Presented::Differs);
                assert!(matches!(
                    redeemed,
                    Redeemed::Mismatch(_) | Redeemed::AlreadyRedeemed(_)
                ));
            }
        };
        let redeem = |scene: &Scene| assert!(scene.redeem(Settlement::Burn));
        at_once(&scene, [hammer, redeem, hammer]);
        scene.ends_empty();
    });
}

#[test]
fn concurrent_releases_do_not_exceed_the_maximum() {
    many(|| {
        let scene = Scene::with_code();
        let release = |scene: &Scene| {
            for _ in 0..RELEASES_PER_CODE {
                if scene.redeem(Settlement::Release) {
                    scene.tokens.fetch_add(1, Ordering::SeqCst);
                }
            }
        };
        at_once(&scene, [release, release]);
        let released = scene.tokens.load(Ordering::SeqCst);
        assert!(released <= usize::from(RELEASES_PER_CODE) + 1);
        scene.ends_empty();
    });
}

#[test]
fn of_two_sign_ins_with_one_code_one_gets_it_and_keeps_it() {
    for hidden in [[false, false], [true, false], [false, true], [true, true]] {
        many(move || {
            let scene = Scene::empty();
            let keys = [b"one", b"two"].map(|name| Digest::of("correlation", &[name]));
            for (key, challenge) in keys.iter().zip([1, 2]) {
                let held = scene
                    .store
                    .hold(Place::Digest(*key), &request(challenge), None);
                assert_eq!(held, Ok(Held::New));
            }
            let threads = [0, 1].map(|sign_in: usize| {
                let scene = Arc::clone(&scene);
                thread::spawn(move || {
                    let issued = if hidden[sign_in] {
                        Issued::Handle
                    } else {
                        Issued::Raw
                    };
                    match scene.store.bind(keys[sign_in], issued, code()) {
                        Ok(Bound::Handle(handle)) => Some(handle.into()),
                        Ok(Bound::Raw) => Some(code_key()),
                        Ok(Bound::Elsewhere) => None,
                        other => panic!("{other:?}"),
                    }
                })
            });
            let bound = threads.map(|thread| thread.join().unwrap());
            let winner = match bound {
                [Some(key), None] => (key, 1),
                [None, Some(key)] => (key, 2),
                other => panic!("{other:?}"),
            };
            let Redeemed::Claimed(claim) = scene.store.redeem(&winner.0, matches) else {
                panic!("the code is valid");
            };
            let challenge = Some(CodeChallenge::S256([winner.1; 32]));
            assert_eq!(claim.bound().challenge(), challenge.as_ref());
            scene.ends_empty();
        });
    }
}

#[test]
fn a_code_stays_with_its_first_sign_in_during_redemption() {
    many(|| {
        let scene = Scene::with_code();
        let redeem = |scene: &Scene| {
            scene.redeem(Settlement::Burn);
        };
        let bind = |scene: &Scene| {
            let other = Digest::of("correlation", &[b"other"]);
            let held = scene.store.hold(Place::Digest(other), &request(2), None);
            assert_eq!(held, Ok(Held::New));
            let bound = scene.store.bind(other, Issued::Raw, code());
            assert_eq!(bound, Ok(Bound::Elsewhere));
        };
        at_once(&scene, [redeem, bind, redeem]);
        assert_eq!(scene.tokens.load(Ordering::SeqCst), 1);
        scene.ends_empty();
    });
}

#[test]
fn concurrent_requests_with_the_same_values_conflict() {
    many(|| {
        let scene = Scene::empty();
        let victim = |scene: &Scene| {
            drop(
                scene
                    .store
                    .hold(Place::Digest(pending_key()), &request(1), None),
            );
        };
        let attacker = |scene: &Scene| {
            drop(
                scene
                    .store
                    .hold(Place::Digest(pending_key()), &request(2), None),
            );
        };
        let answer = |scene: &Scene| drop(scene.bind());
        at_once(&scene, [victim, attacker, answer]);
        assert_eq!(scene.store.pending(pending_key()), Pending::Conflict);
        assert_eq!(scene.bind(), Ok(Bound::Unknown));
        scene.ends_empty();
    });
}

#[test]
fn a_record_added_while_its_predecessor_is_dropped_stays() {
    many(|| {
        let scene = Scene::with_code();
        scene
            .time
            .advance(settings().pending + tables::GRACE + Duration::from_secs(1));
        let sweep = |scene: &Scene| scene.store.sweep();
        let again = |scene: &Scene| {
            let held = scene
                .store
                .hold(Place::Digest(pending_key()), &request(2), None);
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

#[test]
fn two_requests_that_follow_a_redirect_at_once_both_find_the_sign_in() {
    many(|| {
        let scene = Scene::empty();
        let held = scene.store.hold(Place::Entry, &request(1), None);
        let Ok(Held::Handle(handle)) = held else {
            panic!("there is room");
        };
        let key = handle.digest();
        let threads = [true, true, false].map(|follows| {
            let scene = Arc::clone(&scene);
            thread::spawn(move || {
                if follows {
                    let found = scene.store.pending(key);
                    assert_eq!(found, Pending::Live(Box::new(request(1))));
                } else {
                    let owners = scene.store.owners(&[Candidate::State(key.into())]);
                    assert!(owners[0].is_some_and(|owner| owner.alive));
                    scene.store.sweep();
                }
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        scene
            .time
            .advance(settings().pending - Duration::from_millis(1));
        assert_eq!(
            scene.store.pending(key),
            Pending::Live(Box::new(request(1)))
        );
        scene.time.advance(Duration::from_millis(1));
        scene.ends_empty();
    });
}
