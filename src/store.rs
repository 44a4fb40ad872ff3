//! Storage of pending authorizations and bound codes: seven atomic operations.
//!
//! ```text
//! hold     stores a new pending authorization; returns the handle that replaces the client's state
//! pending  reads a pending authorization, any number of times until it expires
//! bind     binds a code of the upstream to one pending authorization, ever; returns the handle that replaces the code
//! redeem   judges a request by a code and claims the code for exactly one caller that matches, until it is settled
//! settle   ends a claim: burns the code or releases it
//! discard  invalidates a pending authorization that cannot be trusted
//! owners   returns the clients that codes and sign-ins belong or belonged to; claims nothing
//! ```
//!
//! A read followed by a separate delete would let two redemptions pass, so no operation is split like that. If the
//! store is full or unreachable, new requests are refused. Only one kind of record is evicted to make room: sign-ins
//! whose redirect was never followed ([`Place::Entry`]). So a flood of requests that follow no redirect evicts only
//! itself, and an attacker cannot evict a login in progress.

mod calls;
mod entropy;
mod envelope;
pub(crate) mod memory;
mod operations;
mod pace;
mod redis;
mod seal;
mod sealed;
mod settings;

#[cfg(test)]
mod contract;
#[cfg(test)]
pub(crate) mod failing;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::flow::{
    BoundCode, ClientState, Handle, Key, PendingAuthorization, Presented, Settlement,
};
pub(crate) use crate::flow::{Candidate, CodeLengths};
use crate::oauth::AuthorizationCode;

pub(crate) use crate::network::Network;
pub(crate) use entropy::random;
pub(crate) use envelope::Envelopes;
pub use memory::MemoryStore;
#[cfg(test)]
pub(crate) use operations::Spilled;
pub use operations::{Bound, Held, Issued, Pending, Place, Redeemed, StoreError};
pub(crate) use operations::{Claim, Owner, Statistics};
#[cfg(test)]
pub(crate) use redis::{Answer, Call, Failed, Mutation, Server, StandIn, Value};
pub(crate) use redis::{Deployment, Keyspace, RedisStore, SignIns, Target, seats};
pub(crate) use seal::{KeyError, SealKeys, Sealer, key_of};
pub(crate) use sealed::SealedStore;
pub use settings::Settings;
pub(crate) use settings::{KeyFile, Kind, Limit, Remote};

#[cfg(test)]
use failing::Verb;

pub(crate) enum Store {
    Memory(Arc<MemoryStore>),
    Sealed(SealedStore),
    Redis(Box<RedisStore>),
    /// A memory store that fails on demand.
    #[cfg(test)]
    Failing(Box<failing::FailingStore>),
}

impl Store {
    /// Applies changed limits to future records ([`MemoryStore::configure`]).
    pub(crate) fn configure(&self, settings: &Settings) {
        match self {
            Self::Memory(memory) => memory.configure(settings),
            Self::Sealed(sealed) => sealed.memory().configure(settings),
            Self::Redis(redis) => redis.memory().configure(settings),
            #[cfg(test)]
            Self::Failing(failing) => failing.memory().configure(settings),
        }
    }

    /// The part of it that is in the memory of this process.
    #[cfg_attr(
        not(test),
        expect(clippy::unnecessary_wraps, reason = "the store of tests has none")
    )]
    pub(crate) fn memory(&self) -> Option<&Arc<MemoryStore>> {
        match self {
            Self::Memory(memory) => Some(memory),
            Self::Sealed(sealed) => Some(sealed.memory()),
            Self::Redis(redis) => Some(redis.memory()),
            #[cfg(test)]
            Self::Failing(_) => None,
        }
    }

    /// The part of it that is in Redis.
    pub(crate) fn redis(&self) -> Option<&RedisStore> {
        match self {
            Self::Redis(redis) => Some(redis),
            Self::Memory(_) | Self::Sealed(_) => None,
            #[cfg(test)]
            Self::Failing(_) => None,
        }
    }

    /// Handles that were made in the future: the clock of another gate, or the own one, is wrong.
    pub(crate) fn made_ahead(&self) -> u64 {
        match self {
            Self::Memory(_) => 0,
            Self::Sealed(sealed) => sealed.made_ahead(),
            Self::Redis(redis) => redis.made_ahead(),
            #[cfg(test)]
            Self::Failing(_) => 0,
        }
    }

    // The calls to Redis are boxed, so that the futures of the other stores stay small.

    /// Stores a new pending authorization. `network` is the network of the client; `None` if it is unknown, because the
    /// request comes through a proxy that does not name it.
    pub(crate) async fn hold(
        &self,
        place: Place,
        pending: &PendingAuthorization,
        network: Option<Network>,
    ) -> Result<Held, StoreError> {
        match self {
            Self::Memory(memory) => memory.hold(place, pending, network),
            Self::Sealed(sealed) => sealed.hold(place, pending, network),
            Self::Redis(redis) => Box::pin(redis.hold(place, pending, network)).await,
            #[cfg(test)]
            Self::Failing(failing) => {
                let memory = failing.answers(Verb::Hold)?;
                memory.hold(place, pending, network)
            }
        }
    }

    /// Reads a pending authorization without removing it, and marks its redirect as followed ([`Place::Entry`]).
    pub(crate) async fn pending(&self, key: &Key) -> Result<Pending, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.pending(key.digest())),
            Self::Sealed(sealed) => Ok(sealed.pending(key)),
            Self::Redis(redis) => Box::pin(redis.pending(key)).await,
            #[cfg(test)]
            Self::Failing(failing) => Ok(failing.answers(Verb::Pending)?.pending(key.digest())),
        }
    }

    /// Binds a code to the pending authorization stored under `pending`, which was read as `record`, so that a remote
    /// store need not be asked for it again. The store remembers for `pending` + `code` which sign-in the code was bound
    /// to. If that one yields the code again while it can be redeemed, the client gets it again in the same form: however
    /// many handles a code has, it has one record, and is redeemed once. Codes of admitted sign-ins find room, unless their
    /// network has far more codes than sign-ins produce.
    pub(crate) async fn bind(
        &self,
        pending: &Key,
        record: &PendingAuthorization,
        issued: Issued,
        code: AuthorizationCode,
    ) -> Result<Bound, StoreError> {
        self.bind_within(pending, record, issued, code, None).await
    }

    /// The same for a code that can be redeemed for so long. `None`: for [`Settings::code`].
    pub(crate) async fn bind_within(
        &self,
        pending: &Key,
        record: &PendingAuthorization,
        issued: Issued,
        code: AuthorizationCode,
        lifetime: Option<Duration>,
    ) -> Result<Bound, StoreError> {
        let digest = pending.digest();
        match self {
            Self::Memory(memory) => memory.bind_within(digest, issued, code, lifetime),
            Self::Sealed(sealed) => sealed.bind(pending, issued, code, lifetime),
            Self::Redis(redis) => {
                Box::pin(redis.bind(pending, record, issued, code, lifetime)).await
            }
            #[cfg(test)]
            Self::Failing(failing) => {
                let memory = failing.answers(Verb::Bind)?;
                memory.bind_within(digest, issued, code, lifetime)
            }
        }
    }

    /// Reads the pending authorization and binds a code to it.
    #[cfg(test)]
    pub(crate) async fn bind_to(
        &self,
        pending: &Key,
        issued: Issued,
        code: AuthorizationCode,
    ) -> Result<Bound, StoreError> {
        let record = match self.pending(pending).await? {
            Pending::Live(record) => *record,
            // Binding has to refuse it by itself.
            Pending::Expired | Pending::Conflict | Pending::Unknown => contract::request("none", 9),
        };
        self.bind(pending, &record, issued, code).await
    }

    /// Judges a request by the code stored under `key` and, if it matches, claims the code, in one step. `judge` is
    /// called only for a code that can be redeemed; if it is called more than once, the last call counts.
    pub(crate) async fn redeem(
        &self,
        key: &Key,
        judge: impl FnMut(&BoundCode) -> Presented,
    ) -> Result<Redeemed, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.redeem(key, judge)),
            Self::Sealed(sealed) => sealed.redeem(key, judge),
            Self::Redis(redis) => Box::pin(redis.redeem(key, judge)).await,
            #[cfg(test)]
            Self::Failing(failing) => Ok(failing.answers(Verb::Redeem)?.redeem(key, judge)),
        }
    }

    /// The owner of each candidate, in the same order, as long as the store remembers it. Claims nothing.
    pub(crate) async fn owners(
        &self,
        candidates: &[Candidate],
    ) -> Result<Vec<Option<Owner>>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.owners(candidates)),
            Self::Sealed(sealed) => Ok(sealed.owners(candidates)),
            Self::Redis(redis) => Box::pin(redis.owners(candidates)).await,
            #[cfg(test)]
            Self::Failing(failing) => Ok(failing.answers(Verb::Owners)?.owners(candidates)),
        }
    }

    /// The lengths of the codes that [`Store::owners`] may know.
    pub(crate) fn code_lengths(&self) -> CodeLengths {
        match self {
            Self::Memory(memory) => memory.code_lengths(),
            Self::Sealed(sealed) => sealed.memory().code_lengths(),
            // Codes may have been bound by another gate.
            Self::Redis(_) => CodeLengths::ANY,
            // An unreachable store may know any code.
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
            Self::Sealed(sealed) => sealed.settle(claim, settlement),
            Self::Redis(redis) => return Box::pin(redis.settle(claim, settlement)).await,
            #[cfg(test)]
            Self::Failing(failing) => failing.answers(Verb::Settle)?.settle(claim, settlement),
        }
        Ok(())
    }

    /// How long a sign-in that begins now lasts.
    pub(crate) fn lifetime(&self) -> Duration {
        match self {
            Self::Memory(memory) => memory.lifetime(),
            Self::Sealed(sealed) => sealed.memory().lifetime(),
            Self::Redis(redis) => redis.memory().lifetime(),
            #[cfg(test)]
            Self::Failing(failing) => failing.memory().lifetime(),
        }
    }

    /// Whether it gives the browser states that are too long for a handle ([`Held::Spilled`]).
    pub(crate) fn spills(&self) -> bool {
        match self {
            Self::Sealed(_) => true,
            Self::Redis(redis) => redis.spills(),
            Self::Memory(_) => false,
            #[cfg(test)]
            Self::Failing(_) => false,
        }
    }

    /// The client's state of a sign-in, as its browser has kept it ([`Held::Spilled`]). `None`: it is altered, or not of this
    /// sign-in.
    pub(crate) fn spilled_state(&self, handle: &Handle, sealed: &str) -> Option<ClientState> {
        match self {
            Self::Sealed(store) => store.envelopes().spilled_state(handle, sealed),
            Self::Redis(redis) => redis.envelopes().spilled_state(handle, sealed),
            Self::Memory(_) => None,
            #[cfg(test)]
            Self::Failing(_) => None,
        }
    }

    /// Invalidates a pending authorization, so that no further code can be bound to it.
    pub(crate) async fn discard(&self, pending: &Key) -> Result<(), StoreError> {
        match self {
            Self::Memory(memory) => memory.discard(pending.digest()),
            Self::Sealed(sealed) => return sealed.discard(pending),
            Self::Redis(redis) => return Box::pin(redis.discard(pending)).await,
            #[cfg(test)]
            Self::Failing(failing) => failing.answers(Verb::Discard)?.discard(pending.digest()),
        }
        Ok(())
    }

    /// Drops expired records in small batches; called about once a second.
    pub(crate) fn sweep(&self) {
        match self {
            Self::Memory(memory) => memory.sweep(),
            Self::Sealed(sealed) => sealed.memory().sweep(),
            Self::Redis(redis) => redis.memory().sweep(),
            #[cfg(test)]
            Self::Failing(failing) => failing.memory().sweep(),
        }
    }

    /// Counters for metrics and readiness.
    pub(crate) fn statistics(&self) -> Statistics {
        match self {
            Self::Memory(memory) => memory.statistics(),
            Self::Sealed(sealed) => sealed.memory().statistics(),
            Self::Redis(redis) => redis.memory().statistics(),
            #[cfg(test)]
            Self::Failing(failing) => failing.memory().statistics(),
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_tuple("Store");
        shown.field(&self.statistics());
        if let Some(redis) = self.redis() {
            shown.field(redis);
        }
        shown.finish()
    }
}
