//! Random histories of operations: the store agrees with a simple model, also under concurrency.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

use super::bind::LEEWAY;
use super::*;
use crate::flow::{CODES_PER_AUTHORIZATION, RELEASES_PER_CODE, Settlement};
use crate::store::Candidate;

#[derive(Debug, Clone)]
enum Op {
    Hold(Name, u8, u8),
    Read(Index),
    Bind(Index, bool, Name),
    Redeem(Index, Presented),
    Ask(Index, Index),
    Settle(Index, Settlement),
    Discard(Index),
    Advance(Duration),
    Sweep,
}

/// `None`: a new handle, or a new code. `Some`: one of a few names, so that operations collide.
type Name = Option<u8>;

fn op() -> impl Strategy<Value = Op> {
    let name = || prop_oneof![Just(None), (0..2u8).prop_map(Some)];
    let settlement = prop_oneof![
        1 => Just(Settlement::Burn),
        8 => Just(Settlement::Release),
        4 => Just(Settlement::Wait),
    ];
    let presented = prop_oneof![
        4 => Just(Presented::Matches),
        3 => Just(Presented::Unproven),
        1 => Just(Presented::Differs),
        1 => Just(Presented::WrongVerifier),
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
        6 => (any::<Index>(), any::<bool>(), name()).prop_map(|(pending, hidden, name)| Op::Bind(pending, hidden, name)),
        12 => (any::<Index>(), presented).prop_map(|(code, presented)| Op::Redeem(code, presented)),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(code, pending)| Op::Ask(code, pending)),
        9 => (any::<Index>(), settlement).prop_map(|(claim, settlement)| Op::Settle(claim, settlement)),
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
    hidden: bool,
    /// A later one under the same values has another deadline.
    sign_in: (Key, Duration),
    client: Digest,
    challenge: Option<CodeChallenge>,
    state: Answer,
    wrong: u8,
    released: u8,
}

/// What became of an upstream's code.
type Codes = HashMap<String, ModelCode>;

/// `Answer` doubles as the state of a code: the answer to a redemption.
#[derive(Default)]
struct Model {
    now: Duration,
    pending: HashMap<Key, ModelPending>,
    codes: Codes,
    pending_keys: Vec<Key>,
    /// All keys that were ever returned, with the names of their codes.
    code_keys: Vec<(Key, String)>,
    claims: Vec<(Claim, String, Duration)>,
    bindings: usize,
}

impl Model {
    fn live(&self, key: &Key) -> Option<&PendingAuthorization> {
        self.pending
            .get(key)
            .filter(|there| there.deadline > self.now)?
            .request
            .as_ref()
    }

    async fn apply(&mut self, store: &Store, clock: &Time, op: Op) {
        match op {
            Op::Hold(name, client, challenge) => {
                let request = request(&client.to_string(), challenge);
                self.hold(store, name.map(|name| digest(&name.to_string())), request)
                    .await;
            }
            Op::Read(at) if !self.pending_keys.is_empty() => {
                let key = at.get(&self.pending_keys).clone();
                let read = store.pending(&key).await.unwrap();
                let over = self.pending[&key].deadline <= self.now;
                match self.live(&key) {
                    Some(request) => assert_eq!(read, Pending::Live(Box::new(request.clone()))),
                    None if over => assert!(matches!(read, Pending::Expired | Pending::Unknown)),
                    None => assert_eq!(read, Pending::Conflict),
                }
            }
            Op::Bind(at, hidden, name) if !self.pending_keys.is_empty() => {
                let key = at.get(&self.pending_keys).clone();
                self.bindings += 1;
                let fresh = format!("fresh {}", self.bindings);
                let name = name.map_or(fresh, |name| format!("code {name}"));
                self.bind(store, &key, hidden, name).await;
            }
            Op::Redeem(at, presented) if !self.code_keys.is_empty() => {
                self.redeem(store, &at.get(&self.code_keys).clone(), presented)
                    .await;
            }
            Op::Ask(code, pending) if !self.code_keys.is_empty() => {
                let (code, pending) = (code.get(&self.code_keys), pending.get(&self.pending_keys));
                self.ask(store, code, pending).await;
            }
            Op::Settle(at, settlement) if !self.claims.is_empty() => {
                let claim = self.claims.swap_remove(at.index(self.claims.len()));
                self.settle(store, claim, settlement).await;
            }
            Op::Discard(at) if !self.pending_keys.is_empty() => {
                let key = at.get(&self.pending_keys).clone();
                store.discard(&key).await.unwrap();
                self.pending.get_mut(&key).unwrap().request = None;
            }
            Op::Advance(step) => {
                clock.advance(step);
                self.now += step;
            }
            Op::Sweep => store.sweep(),
            Op::Read(_)
            | Op::Bind(..)
            | Op::Redeem(..)
            | Op::Ask(..)
            | Op::Settle(..)
            | Op::Discard(_) => {}
        }
    }

    async fn hold(&mut self, store: &Store, at: Option<Digest>, request: PendingAuthorization) {
        let place = at.map_or(Place::Handle, Place::Digest);
        let held = store.hold(place, &request, None).await.unwrap();
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
            let key = Key::from(handle);
            self.pending_keys.push(key.clone());
            assert!(self.pending.insert(key, new).is_none());
            return;
        };
        let key = Key::from(key);
        let there = self
            .pending
            .get_mut(&key)
            .filter(|there| there.deadline > self.now);
        // A sign-in that has its code is replaced by a later one.
        let makes_way = |there: &&mut ModelPending| {
            let other = there
                .request
                .as_ref()
                .is_some_and(|there| *there != request);
            let is_own = request.browser.is_some();
            other && is_own && there.codes > 0 && there.deadline < deadline
        };
        let expected = match there.filter(|there| !makes_way(there)) {
            None => {
                self.pending_keys.push(key.clone());
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

    async fn bind(&mut self, store: &Store, pending: &Key, hidden: bool, name: String) {
        let issued = if hidden { Issued::Handle } else { Issued::Raw };
        let bound = store.bind_to(pending, issued, code(&name)).await.unwrap();
        let Some(request) = self.live(pending).cloned() else {
            assert_eq!(bound, Bound::Unknown);
            return;
        };
        let now = self.now;
        let there = self.pending.get_mut(pending).unwrap();
        let sign_in = (pending.clone(), there.deadline);
        let known = self.codes.get(&name);
        if let Some(known) = known.filter(|known| known.deadline + settings().pending > now) {
            let is_own = known.sign_in == sign_in && known.hidden == hidden;
            if !is_own || known.deadline <= now {
                assert_eq!(bound, Bound::Elsewhere);
            } else if let Bound::Handle(handle) = bound {
                assert!(hidden);
                self.code_keys.push((handle.into(), name));
            } else {
                assert_eq!((bound, hidden), (Bound::Raw, false));
            }
            return;
        }
        if bound == Bound::Elsewhere {
            let until = known.map(|known| known.deadline + settings().pending + LEEWAY);
            assert!(until.is_some_and(|until| until > now));
            return;
        }
        if there.codes == CODES_PER_AUTHORIZATION {
            assert_eq!(bound, Bound::TooMany);
            return;
        }
        there.codes += 1;
        let key = match (hidden, bound) {
            (true, Bound::Handle(handle)) => handle.into(),
            (false, Bound::Raw) => raw(&name),
            (_, bound) => panic!("{bound:?}"),
        };
        // Older keys of this name are of a code that is forgotten.
        self.code_keys.retain(|(_, older)| *older != name);
        self.code_keys.push((key, name.clone()));
        let code = ModelCode {
            deadline: now + settings().code,
            hidden,
            sign_in,
            client: request.application.client,
            challenge: request.challenge,
            state: Answer::Claimed,
            wrong: 0,
            released: 0,
        };
        self.codes.insert(name, code);
    }

    async fn redeem(&mut self, store: &Store, (key, name): &(Key, String), presented: Presented) {
        let there = self.codes.get_mut(name).unwrap();
        let expected = match (there.deadline > self.now, there.state, presented) {
            (false, _, _) => Answer::Gone,
            (true, Answer::Claimed, Presented::Matches | Presented::Unproven) => Answer::Claimed,
            (true, Answer::Claimed, Presented::Differs) => Answer::Mismatch,
            (true, Answer::Claimed, Presented::WrongVerifier) => {
                there.wrong += 1;
                if there.wrong == settings().attempts {
                    there.state = Answer::Burnt;
                }
                Answer::Mismatch
            }
            (true, state, _) => state,
        };
        match store.redeem(key, |_| presented).await.unwrap() {
            Redeemed::Claimed(claim) => {
                assert_eq!(expected, Answer::Claimed);
                assert_eq!(claim.bound().challenge(), there.challenge.as_ref());
                assert_eq!(claim.bound().code.expose(), name);
                assert_eq!(claim.is_proved(), presented == Presented::Matches);
                there.state = Answer::AlreadyRedeemed;
                self.claims.push((claim, name.clone(), there.deadline));
            }
            Redeemed::Mismatch(_) => assert_eq!(expected, Answer::Mismatch),
            Redeemed::AlreadyRedeemed(_) => assert_eq!(expected, Answer::AlreadyRedeemed),
            Redeemed::Burnt(_) => assert_eq!(expected, Answer::Burnt),
            Redeemed::Expired(_) | Redeemed::Unknown(_) => assert_eq!(expected, Answer::Gone),
        }
    }

    async fn ask(&self, store: &Store, (key, name): &(Key, String), pending: &Key) {
        let there = &self.codes[name];
        let question = [
            Candidate::Code(key.clone()),
            Candidate::Code(raw(name)),
            Candidate::State(pending.clone()),
        ];
        let answer = store.owners(&question).await.unwrap();
        let is_alive = there.deadline > self.now && there.state == Answer::Claimed;
        if is_alive {
            assert_eq!(answer[0], owner(there.client, true));
        } else {
            assert!(answer[0].is_none_or(|owner| !owner.alive && owner.client == there.client));
        }
        if there.deadline + settings().pending > self.now {
            assert_eq!(answer[1], owner(there.client, is_alive && !there.hidden));
        }
        match self.live(pending) {
            Some(request) => assert_eq!(answer[2], owner(request.application.client, true)),
            None => assert!(answer[2].is_none_or(|owner| !owner.alive)),
        }
    }

    /// A late claim has no effect.
    async fn settle(
        &mut self,
        store: &Store,
        (claim, name, deadline): (Claim, String, Duration),
        settlement: Settlement,
    ) {
        let there = self.codes.get_mut(&name).unwrap();
        let counts = claim.is_proved() && settlement == Settlement::Release;
        store.settle(claim, settlement).await.unwrap();
        if there.deadline != deadline || settlement == Settlement::Burn {
            return;
        }
        there.released += u8::from(counts);
        there.state = if there.released > RELEASES_PER_CODE {
            Answer::Burnt
        } else {
            Answer::Claimed
        };
    }
}

pub(in crate::store) fn any_history_agrees_with_the_model(make: Make) {
    // Short enough that no client reaches its share.
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
                model.redeem(&store, &key, Presented::Matches).await;
            }
        });
    });
}

/// What one thread does to one of a few codes.
type Step = (Index, Presented, Settlement);

pub(in crate::store) fn no_interleaving_redeems_a_code_twice_or_late(make: Make) {
    let settlement = prop_oneof![
        6 => Just(Settlement::Release),
        2 => Just(Settlement::Wait),
        1 => Just(Settlement::Burn),
    ];
    let presented = prop_oneof![
        4 => Just(Presented::Matches),
        3 => Just(Presented::Unproven),
        1 => Just(Presented::Differs),
        1 => Just(Presented::WrongVerifier),
    ];
    let steps = prop::collection::vec((any::<Index>(), presented, settlement), 50..200);
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
    let [burns, wrong, released]: [Vec<AtomicUsize>; 3] =
        [(); 3].map(|()| keys.iter().map(|_| AtomicUsize::new(0)).collect());
    let now = AtomicU64::new(0);
    concurrently(steps.len(), async |step| {
        let (at, presented, settlement) = steps[step];
        let at = at.index(keys.len());
        if step % 10 == 0 {
            // Most of the race runs before the deadline, a part of it after the sweep.
            let passes = 11 * lifetime / steps.len() as u64;
            clock.advance(Duration::from_millis(passes));
            now.fetch_add(passes, Ordering::SeqCst);
            store.sweep();
        }
        if step % 8 == 0 {
            let pending = request(&format!("client {step}"), 1);
            let held = hold(&store, &pending).await;
            assert!(is_live(&store, &held).await);
            store.discard(&held).await.unwrap();
        }
        let late = now.load(Ordering::SeqCst) >= lifetime;
        let claim = match store.redeem(&keys[at], |_| presented).await.unwrap() {
            Redeemed::Claimed(claim) => claim,
            Redeemed::Mismatch(_) => {
                assert!(!late, "judged after the deadline");
                if presented == Presented::WrongVerifier {
                    let before = wrong[at].fetch_add(1, Ordering::SeqCst);
                    let attempts = usize::from(settings().attempts);
                    assert!(before < attempts, "one attempt too many");
                }
                return;
            }
            Redeemed::AlreadyRedeemed(_)
            | Redeemed::Burnt(_)
            | Redeemed::Expired(_)
            | Redeemed::Unknown(_) => return,
        };
        assert!(!late, "claimed after the deadline");
        let may_claim = [Presented::Matches, Presented::Unproven].contains(&presented);
        assert!(may_claim, "claimed by a mismatching request");
        assert_eq!(
            burns[at].load(Ordering::SeqCst),
            0,
            "claimed after the redemption"
        );
        assert_eq!(claim.bound().code.expose(), at.to_string());
        match settlement {
            Settlement::Burn => assert_eq!(burns[at].fetch_add(1, Ordering::SeqCst), 0),
            Settlement::Wait => {}
            Settlement::Release if presented == Presented::Unproven => {}
            Settlement::Release => {
                let before = released[at].fetch_add(1, Ordering::SeqCst);
                assert!(
                    before <= usize::from(RELEASES_PER_CODE),
                    "one release too many"
                );
            }
        }
        store.settle(claim, settlement).await.unwrap();
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
