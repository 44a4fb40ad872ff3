//! Histories: a store does what a few lines of bookkeeping say, and concurrency changes nothing about it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::flow::{CODES_PER_AUTHORIZATION, Settlement};

#[derive(Debug, Clone)]
enum Op {
    Hold(Name, u8, u8),
    Read(Index),
    Bind(Index, Name),
    Redeem(Index),
    Settle(Index, Settlement),
    Discard(Index),
    Advance(Duration),
    Sweep,
}

/// `None`: under a fresh handle. A few digests, so that they meet.
type Name = Option<u8>;

fn op() -> impl Strategy<Value = Op> {
    let name = || prop_oneof![Just(None), (0..2u8).prop_map(Some)];
    let settlement = prop_oneof![
        1 => Just(Settlement::Burn),
        1 => Just(Settlement::Release),
        2 => Just(Settlement::WrongVerifier),
    ];
    let step = prop_oneof![
        Just(millisecond()),
        Just(second()),
        Just(Duration::from_secs(100)),
        Just(settings().code.saturating_sub(millisecond())),
        Just(settings().code),
        Just(settings().pending.saturating_sub(settings().code)),
    ];
    prop_oneof![
        4 => (name(), 0..2u8, 0..2u8).prop_map(|(name, client, challenge)| Op::Hold(name, client, challenge)),
        2 => any::<Index>().prop_map(Op::Read),
        6 => (any::<Index>(), name()).prop_map(|(pending, name)| Op::Bind(pending, name)),
        6 => any::<Index>().prop_map(Op::Redeem),
        6 => (any::<Index>(), settlement).prop_map(|(claim, settlement)| Op::Settle(claim, settlement)),
        1 => any::<Index>().prop_map(Op::Discard),
        3 => step.prop_map(Op::Advance),
        1 => Just(Op::Sweep),
    ]
}

#[derive(Clone)]
struct ModelPending {
    deadline: Duration,
    /// `None`: a conflict.
    request: Option<PendingAuthorization>,
    codes: u8,
}

struct ModelCode {
    deadline: Duration,
    pending: Digest,
    challenge: Option<CodeChallenge>,
    name: String,
    state: Answer,
    wrong: u8,
}

/// `Answer` doubles as a state here: what a redemption would be answered.
#[derive(Default)]
struct Model {
    now: Duration,
    pending: HashMap<Digest, ModelPending>,
    codes: HashMap<Digest, ModelCode>,
    pending_keys: Vec<Digest>,
    code_keys: Vec<Digest>,
    claims: Vec<Claim>,
    bindings: usize,
}

impl Model {
    fn live(&self, key: Digest) -> Option<&PendingAuthorization> {
        self.pending
            .get(&key)
            .filter(|there| there.deadline > self.now)?
            .request
            .as_ref()
    }

    async fn apply(&mut self, store: &Store, clock: &ManualClock, op: Op) {
        match op {
            Op::Hold(name, client, challenge) => {
                let request = request(&client.to_string(), challenge);
                self.hold(store, name.map(|name| digest(&name.to_string())), request)
                    .await;
            }
            Op::Read(at) if !self.pending_keys.is_empty() => {
                let key = *at.get(&self.pending_keys);
                let read = store.pending(key).await.unwrap();
                let over = self.pending[&key].deadline <= self.now;
                match self.live(key) {
                    Some(request) => assert_eq!(read, Pending::Live(Box::new(request.clone()))),
                    None if over => assert!(matches!(read, Pending::Expired | Pending::Unknown)),
                    None => assert_eq!(read, Pending::Conflict),
                }
            }
            Op::Bind(at, name) if !self.pending_keys.is_empty() => {
                let key = *at.get(&self.pending_keys);
                self.bind(store, key, name.map(|name| digest(&format!("code {name}"))))
                    .await;
            }
            Op::Redeem(at) if !self.code_keys.is_empty() => {
                self.redeem(store, *at.get(&self.code_keys)).await;
            }
            Op::Settle(at, settlement) if !self.claims.is_empty() => {
                let claim = self.claims.swap_remove(at.index(self.claims.len()));
                self.settle(store, claim, settlement).await;
            }
            Op::Discard(at) if !self.pending_keys.is_empty() => {
                let key = *at.get(&self.pending_keys);
                store.discard(key).await.unwrap();
                self.pending.get_mut(&key).unwrap().request = None;
            }
            Op::Advance(step) => {
                clock.advance(step);
                self.now += step;
            }
            Op::Sweep => store.sweep(),
            Op::Read(_) | Op::Bind(..) | Op::Redeem(_) | Op::Settle(..) | Op::Discard(_) => {}
        }
    }

    async fn hold(&mut self, store: &Store, at: Option<Digest>, request: PendingAuthorization) {
        let place = at.map_or(Place::Handle, Place::Digest);
        let held = store.hold(place, &request).await.unwrap();
        let deadline = self.now + settings().pending;
        let new = ModelPending {
            deadline,
            request: Some(request.clone()),
            codes: 0,
        };
        let Some(key) = at else {
            let Held::Handle(handle) = held else {
                panic!("{held:?}")
            };
            self.pending_keys.push(handle.digest());
            assert!(self.pending.insert(handle.digest(), new).is_none());
            return;
        };
        let there = self
            .pending
            .get_mut(&key)
            .filter(|there| there.deadline > self.now);
        let expected = match there {
            None => {
                self.pending_keys.push(key);
                self.pending.insert(key, new);
                Held::New
            }
            Some(there) if there.request.as_ref() == Some(&request) => Held::Again,
            Some(there) => {
                there.request = None;
                Held::Conflict
            }
        };
        assert_eq!(held, expected);
    }

    async fn bind(&mut self, store: &Store, pending: Digest, at: Option<Digest>) {
        self.bindings += 1;
        // A code under its own digest is always the same code.
        let name = at.map_or_else(|| self.bindings.to_string(), |at| format!("{at:?}"));
        let place = at.map_or(Place::Handle, Place::Digest);
        let bound = store.bind(pending, place, code(&name)).await.unwrap();
        let Some(request) = self.live(pending).cloned() else {
            assert_eq!(bound, Bound::Unknown);
            return;
        };
        let there = at.and_then(|at| self.codes.get_mut(&at));
        if let Some(there) = there.filter(|there| there.deadline > self.now) {
            if there.pending == pending {
                assert_eq!(bound, Bound::Digest);
            } else {
                assert_eq!(bound, Bound::Unknown);
                if there.state == Answer::Claimed || self.claims.iter().any(|c| Some(c.key()) == at)
                {
                    there.state = Answer::Burnt;
                }
            }
            return;
        }
        let count = &mut self.pending.get_mut(&pending).unwrap().codes;
        if *count == CODES_PER_AUTHORIZATION {
            assert_eq!(bound, Bound::TooMany);
            return;
        }
        *count += 1;
        let key = match (at, bound) {
            (None, Bound::Handle(handle)) => handle.digest(),
            (Some(at), Bound::Digest) => at,
            (_, bound) => panic!("{bound:?}"),
        };
        // A claim of what was there before would be settled against the wrong record: its owner is long dead.
        self.claims.retain(|claim| claim.key() != key);
        self.code_keys.push(key);
        let challenge = request.challenge;
        let deadline = self.now + settings().code;
        let state = Answer::Claimed;
        let code = ModelCode {
            deadline,
            pending,
            challenge,
            name,
            state,
            wrong: 0,
        };
        self.codes.insert(key, code);
    }

    async fn redeem(&mut self, store: &Store, key: Digest) {
        let there = self.codes.get_mut(&key).unwrap();
        let expected = if there.deadline > self.now {
            there.state
        } else {
            Answer::Gone
        };
        match store.redeem(key).await.unwrap() {
            Redeemed::Claimed(claim) => {
                assert_eq!(expected, Answer::Claimed);
                assert_eq!(claim.bound().challenge(), there.challenge.as_ref());
                assert_eq!(claim.bound().code().expose(), there.name);
                there.state = Answer::AlreadyRedeemed;
                self.claims.push(claim);
            }
            Redeemed::AlreadyRedeemed(_) => assert_eq!(expected, Answer::AlreadyRedeemed),
            Redeemed::Burnt(_) => assert_eq!(expected, Answer::Burnt),
            Redeemed::Expired(_) | Redeemed::Unknown => assert_eq!(expected, Answer::Gone),
        }
    }

    async fn settle(&mut self, store: &Store, claim: Claim, settlement: Settlement) {
        let there = self.codes.get_mut(&claim.key()).unwrap();
        store.settle(claim, settlement).await.unwrap();
        if there.state == Answer::Burnt {
            return;
        }
        match settlement {
            Settlement::Burn => {}
            Settlement::Release => there.state = Answer::Claimed,
            Settlement::WrongVerifier => {
                there.wrong += 1;
                let burnt = there.wrong >= settings().attempts;
                there.state = if burnt {
                    Answer::Burnt
                } else {
                    Answer::Claimed
                };
            }
        }
    }
}

pub(in crate::store) fn any_history_agrees_with_the_model(make: Make) {
    // Short enough that no client comes to its share.
    let histories = prop::collection::vec(op(), 1..90).prop_filter("too many", |ops| {
        ops.iter()
            .filter(|op| matches!(op, Op::Hold(..) | Op::Bind(..)))
            .count()
            <= 32
    });
    check(256, &histories, |history| {
        run(async {
            let (store, clock) = make();
            let mut model = Model::default();
            for op in history {
                model.apply(&store, &clock, op).await;
            }
            for key in model.code_keys.clone() {
                model.redeem(&store, key).await;
            }
        });
    });
}

/// What one of several threads does to one of a few codes.
type Step = (Index, Settlement);

pub(in crate::store) fn no_interleaving_lets_a_code_through_twice_or_late(make: Make) {
    let settlement = prop_oneof![
        4 => Just(Settlement::Release),
        2 => Just(Settlement::WrongVerifier),
        1 => Just(Settlement::Burn),
    ];
    let steps = prop::collection::vec((any::<Index>(), settlement), 50..200);
    check(48, &(1usize..6, steps), |(codes, steps)| {
        race(make, codes, &steps);
    });
}

fn race(make: Make, codes: usize, steps: &[Step]) {
    let (store, clock) = make();
    let lifetime = u64::try_from(settings().code.as_millis()).unwrap();
    let keys: Vec<_> = (0..codes)
        .map(|code| run(bound(&store, &code.to_string())))
        .collect();
    let [burns, wrong]: [Vec<AtomicUsize>; 2] =
        [(); 2].map(|()| keys.iter().map(|_| AtomicUsize::new(0)).collect());
    let now = AtomicU64::new(0);
    concurrently(steps.len(), async |step| {
        let (at, settlement) = steps[step];
        let at = at.index(keys.len());
        if step % 10 == 0 {
            // Most of the race is before the deadline, and a part of it after the sweep.
            let passes = 11 * lifetime / steps.len() as u64;
            clock.advance(Duration::from_millis(passes));
            now.fetch_add(passes, Ordering::SeqCst);
            store.sweep();
        }
        if step % 8 == 0 {
            let pending = request(&format!("client {step}"), 1);
            let held = hold(&store, &pending).await;
            assert!(is_live(&store, held).await);
            store.discard(held).await.unwrap();
        }
        let late = now.load(Ordering::SeqCst) >= lifetime;
        if let Redeemed::Claimed(claim) = store.redeem(keys[at]).await.unwrap() {
            assert!(!late, "claimed after its deadline");
            assert_eq!(
                burns[at].load(Ordering::SeqCst),
                0,
                "claimed after it was redeemed"
            );
            assert_eq!(claim.bound().code().expose(), at.to_string());
            match settlement {
                Settlement::Burn => assert_eq!(burns[at].fetch_add(1, Ordering::SeqCst), 0),
                Settlement::WrongVerifier => {
                    let before = wrong[at].fetch_add(1, Ordering::SeqCst);
                    assert!(
                        before < usize::from(settings().attempts),
                        "one attempt too many"
                    );
                }
                Settlement::Release => {}
            }
            store.settle(claim, settlement).await.unwrap();
        }
    });
}

fn check<T: std::fmt::Debug>(cases: u32, strategy: &impl Strategy<Value = T>, test: impl Fn(T)) {
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(cases)
    };
    let passed = TestRunner::new(config).run(strategy, |value| {
        test(value);
        Ok(())
    });
    if let Err(failure) = passed {
        panic!("{failure}");
    }
}
