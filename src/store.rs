//! Where pending authorizations and bound codes are kept: seven verbs, each atomic.
//!
//! ```text
//! hold     a new pending authorization            -> the handle that replaces the client's state
//! pending  read one; good until it expires
//! bind     a code that the upstream issued for it -> the handle that replaces the code; to one sign-in, ever
//! redeem   judge a request by a code and claim it: exactly one caller that matches gets it, until it is settled
//! settle   burn it, or release it
//! discard  kill a pending authorization that cannot be trusted
//! owners   whose codes and sign-ins these are or were; claims nothing
//! ```
//!
//! There is no get-then-delete pair anywhere: a find that is followed by a delete lets two redemptions through.
//! Full or unreachable means that new requests are refused. To make room nothing is evicted but a sign-in that was never gone
//! on with: that of a redirect that was never followed ([`Place::Entry`]). So a flood of requests that follow none evicts only
//! itself, and no attacker can throw out a login that is under way.

pub(crate) mod memory;
mod settings;
mod verbs;

#[cfg(test)]
mod contract;
#[cfg(test)]
pub(crate) mod failing;

use std::fmt;

use crate::flow::{BoundCode, PendingAuthorization, Presented, Settlement};
pub(crate) use crate::flow::{Candidate, CodeLengths};
use crate::oauth::{AuthorizationCode, Digest};

pub(crate) use crate::network::Network;
pub use memory::MemoryStore;
pub(crate) use memory::random;
pub(crate) use settings::Limit;
pub use settings::Settings;
pub use verbs::{Bound, Held, Pending, Place, Redeemed, StoreError};
pub(crate) use verbs::{Claim, Owner, Statistics};

#[cfg(test)]
use failing::Verb;

/// One store per upstream.
pub(crate) enum Store {
    /// In this process.
    Memory(MemoryStore),
    /// In this process, and out of reach when a test says so.
    #[cfg(test)]
    Failing(failing::FailingStore),
}

#[expect(
    clippy::unused_async,
    reason = "the verbs wait for other backends, and callers are not to know which one they have"
)]
impl Store {
    /// Changes what may be kept from now on ([`MemoryStore::configure`]).
    pub(crate) fn configure(&self, settings: &Settings) {
        match self {
            Self::Memory(memory) => memory.configure(settings),
            #[cfg(test)]
            Self::Failing(failing) => failing.memory().configure(settings),
        }
    }

    /// Keeps a new pending authorization that comes from that network. `None`: it comes from many, through a proxy that does not
    /// say from whom.
    pub(crate) async fn hold(
        &self,
        place: Place,
        pending: &PendingAuthorization,
        network: Option<Network>,
    ) -> Result<Held, StoreError> {
        match self {
            Self::Memory(memory) => memory.hold(place, pending, network),
            #[cfg(test)]
            Self::Failing(failing) => {
                let memory = failing.answers(Verb::Hold)?;
                memory.hold(place, pending, network)
            }
        }
    }

    /// Reads a pending authorization; it stays. From now on it was followed ([`Place::Entry`]).
    pub(crate) async fn pending(&self, key: Digest) -> Result<Pending, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.pending(key)),
            #[cfg(test)]
            Self::Failing(failing) => Ok(failing.answers(Verb::Pending)?.pending(key)),
        }
    }

    /// Binds a code to the pending authorization under `pending`. A code that comes again for the same sign-in is bound
    /// again under a fresh handle, and stays as it is under its digest. That it was bound is remembered for
    /// `pending` + `code`. There is room for the codes of all sign-ins that were let in, unless their network makes far more of
    /// them than sign-ins do.
    pub(crate) async fn bind(
        &self,
        pending: Digest,
        place: Place,
        code: AuthorizationCode,
    ) -> Result<Bound, StoreError> {
        match self {
            Self::Memory(memory) => memory.bind(pending, place, code),
            #[cfg(test)]
            Self::Failing(failing) => failing.answers(Verb::Bind)?.bind(pending, place, code),
        }
    }

    /// Judges a request by the code under that key, and claims the code for it if it matches, in one step. `judge` is
    /// called for a code that may be redeemed, and for no other; perhaps more than once, and the last time counts.
    pub(crate) async fn redeem(
        &self,
        key: Digest,
        judge: impl FnMut(&BoundCode) -> Presented,
    ) -> Result<Redeemed, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.redeem(key, judge)),
            #[cfg(test)]
            Self::Failing(failing) => Ok(failing.answers(Verb::Redeem)?.redeem(key, judge)),
        }
    }

    /// Whose these are or were, as long as they are remembered, in the order of the question. Claims nothing.
    pub(crate) async fn owners(
        &self,
        candidates: &[Candidate],
    ) -> Result<Vec<Option<Owner>>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.owners(candidates)),
            #[cfg(test)]
            Self::Failing(failing) => Ok(failing.answers(Verb::Owners)?.owners(candidates)),
        }
    }

    /// How long the codes are that [`Store::owners`] may know.
    pub(crate) fn code_lengths(&self) -> CodeLengths {
        match self {
            Self::Memory(memory) => memory.code_lengths(),
            // What cannot be asked may know every code.
            #[cfg(test)]
            Self::Failing(_) => CodeLengths::ANY,
        }
    }

    /// Ends a claim.
    pub(crate) async fn settle(
        &self,
        claim: Claim,
        settlement: Settlement,
    ) -> Result<(), StoreError> {
        match self {
            Self::Memory(memory) => memory.settle(claim, settlement),
            #[cfg(test)]
            Self::Failing(failing) => failing.answers(Verb::Settle)?.settle(claim, settlement),
        }
        Ok(())
    }

    /// Kills a pending authorization and everything bound to it from now on: what it was for cannot be trusted.
    pub(crate) async fn discard(&self, pending: Digest) -> Result<(), StoreError> {
        match self {
            Self::Memory(memory) => memory.discard(pending),
            #[cfg(test)]
            Self::Failing(failing) => failing.answers(Verb::Discard)?.discard(pending),
        }
        Ok(())
    }

    /// Drops what has expired, a few records at a time; called every second or so.
    pub(crate) fn sweep(&self) {
        match self {
            Self::Memory(memory) => memory.sweep(),
            #[cfg(test)]
            Self::Failing(failing) => failing.memory().sweep(),
        }
    }

    /// Numbers for metrics and readiness.
    pub(crate) fn statistics(&self) -> Statistics {
        match self {
            Self::Memory(memory) => memory.statistics(),
            #[cfg(test)]
            Self::Failing(failing) => failing.memory().statistics(),
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.statistics()).finish()
    }
}
