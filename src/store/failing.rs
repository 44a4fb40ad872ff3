//! A store that fails on demand, like a remote one. For tests.
//!
//! It keeps the whole contract while nothing fails. An operation that fails changes nothing. A real store may have
//! carried it out nevertheless; callers cannot tell, so they must refuse in both cases.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) use super::calls::Verb;
use super::memory::MemoryStore;
use super::operations::StoreError;

/// Determines which operations fail. Clones share their state.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outage(Arc<[Line; Verb::ALL.len()]>);

#[derive(Debug, Default)]
struct Line {
    /// Number of calls that still succeed, plus one; zero: all succeed.
    limit: AtomicUsize,
    failed: AtomicUsize,
}

impl Outage {
    /// Makes the operation fail from now on.
    pub(crate) fn begin(&self, verb: Verb) {
        self.begin_after(verb, 0);
    }

    /// Makes the operation fail after `calls` successful calls.
    pub(crate) fn begin_after(&self, verb: Verb, calls: usize) {
        let line = self.line(verb);
        line.failed.store(0, Ordering::SeqCst);
        line.limit.store(calls + 1, Ordering::SeqCst);
    }

    pub(crate) fn end(&self) {
        for verb in Verb::ALL {
            self.line(verb).limit.store(0, Ordering::SeqCst);
        }
    }

    /// Failures since the last [`Outage::begin`]. If it is zero, a test did not reach the place it is meant for.
    pub(crate) fn failures(&self, verb: Verb) -> usize {
        self.line(verb).failed.load(Ordering::SeqCst)
    }

    fn line(&self, verb: Verb) -> &Line {
        &self.0[verb as usize]
    }

    fn is_answered(&self, verb: Verb) -> bool {
        let line = self.line(verb);
        let answered = line
            .limit
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |limit| match limit {
                0 => Some(0),
                1 => None,
                more => Some(more - 1),
            })
            .is_ok();
        if !answered {
            line.failed.fetch_add(1, Ordering::SeqCst);
        }
        answered
    }
}

/// A memory store that fails when its [`Outage`] says so.
#[derive(Debug)]
pub(crate) struct FailingStore {
    memory: MemoryStore,
    outage: Outage,
}

impl FailingStore {
    pub(crate) fn new(memory: MemoryStore, outage: Outage) -> Self {
        Self { memory, outage }
    }

    /// The store, if the operation succeeds.
    pub(super) fn answers(&self, verb: Verb) -> Result<&MemoryStore, StoreError> {
        if self.outage.is_answered(verb) {
            Ok(&self.memory)
        } else {
            Err(StoreError::Unreachable)
        }
    }

    /// The store, for operations that cannot fail.
    pub(super) fn memory(&self) -> &MemoryStore {
        &self.memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::flow::{HandleKey, Presented, Settlement};
    use crate::store::contract::{
        Answer, Time, bind, bounded_suite, claim, code, digest, hold, is_live, named, redeem,
        request, run, settings, suite,
    };
    use crate::store::{Bound, Candidate, Issued, Place, Redeemed, Store};

    suite!(make);
    bounded_suite!(make);

    fn make() -> (Store, Time) {
        let (store, clock, _outage) = make_with_outage();
        (store, clock.into())
    }

    fn make_with_outage() -> (Store, ManualClock, Outage) {
        let (clock, manual) = Clock::manual();
        let memory = MemoryStore::new(&settings(), HandleKey::for_upstream("test"), clock);
        let outage = Outage::default();
        let store = Store::Failing(FailingStore::new(memory, outage.clone()).into());
        (store, manual, outage)
    }

    #[test]
    fn a_failing_operation_returns_an_error_and_changes_nothing() {
        run(async {
            let (store, _clock, outage) = make_with_outage();
            let pending = hold(&store, &request("client", 1)).await;
            let thief = hold(&store, &request("client", 2)).await;
            let fresh = bind(&store, &pending, "fresh").await;
            let [to_burn, to_release] = [
                bind(&store, &pending, "to burn").await,
                bind(&store, &pending, "to release").await,
            ];
            let claims = [
                claim(&store, &to_burn).await,
                claim(&store, &to_release).await,
            ];
            let before = store.statistics();
            for verb in Verb::ALL {
                outage.begin(verb);
            }

            let unreachable = StoreError::Unreachable;
            let values = Place::Digest(digest("values"));
            for (place, issued) in [(Place::Handle, Issued::Handle), (values, Issued::Raw)] {
                let held = store.hold(place, &request("client", 3), None).await;
                assert_eq!(held, Err(unreachable));
                let record = request("client", 1);
                let bound = store.bind(&pending, &record, issued, code("never bound"));
                assert_eq!(bound.await, Err(unreachable));
            }
            assert_eq!(store.pending(&pending).await, Err(unreachable));
            let never = |_: &_| -> Presented { panic!("judged by an unreachable store") };
            let redeemed = store.redeem(&fresh, never).await;
            assert_eq!(redeemed.err(), Some(unreachable));
            let owners = store.owners(&[Candidate::State(pending.clone())]).await;
            assert_eq!(owners, Err(unreachable));
            assert_eq!(store.discard(&pending).await, Err(unreachable));
            for (claim, settlement) in claims
                .into_iter()
                .zip([Settlement::Burn, Settlement::Release])
            {
                assert_eq!(store.settle(claim, settlement).await, Err(unreachable));
            }
            let asked = Verb::ALL.map(|verb| outage.failures(verb));
            // Redirect URIs are only kept in Redis.
            assert_eq!(asked, [2, 1, 2, 1, 2, 1, 1, 0, 0]);

            outage.end();
            assert_eq!(store.statistics(), before);
            assert!(is_live(&store, &pending).await);
            assert!(!is_live(&store, &named("values")).await);
            // A code whose binding failed can still be bound by any sign-in.
            let bound = store
                .bind_to(&thief, Issued::Handle, code("never bound"))
                .await;
            assert!(matches!(bound, Ok(Bound::Handle(_))));
            assert_eq!(redeem(&store, &fresh).await, Answer::Claimed);
            // A code whose claim could not be settled stays claimed.
            for key in [to_burn, to_release] {
                assert_eq!(redeem(&store, &key).await, Answer::AlreadyRedeemed);
            }
        });
    }

    #[test]
    fn an_outage_may_begin_in_the_middle() {
        run(async {
            let (store, _clock, outage) = make_with_outage();
            let pending = hold(&store, &request("client", 1)).await;
            let key = bind(&store, &pending, "code").await;
            outage.begin_after(Verb::Redeem, 2);
            for _ in 0..2 {
                let redeemed = store.redeem(&key, |_| Presented::Differs).await;
                assert!(matches!(redeemed, Ok(Redeemed::Mismatch(_))));
            }
            for _ in 0..2 {
                let redeemed = store.redeem(&key, |_| Presented::Matches).await;
                assert_eq!(redeemed.err(), Some(StoreError::Unreachable));
            }
            assert!(
                is_live(&store, &pending).await,
                "the other operations still succeed"
            );
        });
    }
}
