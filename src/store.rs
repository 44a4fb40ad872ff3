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

pub mod memory;

#[cfg(test)]
mod contract;
#[cfg(test)]
pub(crate) mod failing;

use std::fmt;
use std::time::Duration;

use crate::flow::{BoundCode, Handle, PendingAuthorization, Presented, Settlement};
pub use crate::flow::{Candidate, CodeLengths};
use crate::oauth::{AuthorizationCode, Digest};

pub use crate::network::Network;
pub use memory::MemoryStore;
pub(crate) use memory::random;

#[cfg(test)]
use failing::Verb;

/// How long records live and how many there may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// From the authorization request to the code.
    pub pending: Duration,
    /// From the code to the token.
    pub code: Duration,
    /// Records of all kinds, tombstones included; at this number new requests are refused.
    pub capacity: usize,
    /// The largest share of `capacity`, 0 to 1, that the pending authorizations of one client may hold.
    pub per_client: f64,
    /// The largest share of `capacity`, 0 to 1, that the sign-ins from one [`Network`] may hold.
    pub per_network: f64,
    /// How many sign-ins a second one [`Network`] may begin, at least one; ten seconds' worth at once.
    pub network_rate: u32,
    /// Wrong verifiers before a code is burnt.
    pub attempts: u8,
}

impl Settings {
    /// What holds where nothing else is configured.
    pub const DEFAULT: Self = Self {
        pending: Duration::from_mins(15),
        code: Duration::from_mins(5),
        capacity: 1_000_000,
        per_client: 0.5,
        per_network: 0.125,
        network_rate: 100,
        attempts: 3,
    };
}

impl Default for Settings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What new records may not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// [`Settings::capacity`].
    Capacity,
    /// [`Settings::per_client`].
    Client,
    /// [`Settings::per_network`].
    Network,
    /// [`Settings::network_rate`].
    Rate,
}

impl Limit {
    /// As the log tells it.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Capacity => "the store is full",
            Self::Client => "one client holds its whole share of the store",
            Self::Network => "one network holds its whole share of the store",
            Self::Rate => "one network begins too many sign-ins a second",
        }
    }
}

/// Why a record could not be kept or read: the request is refused, never let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no room, and when there will be some.
    #[error("{}", .0.reason())]
    NoRoom(Limit, Duration),
    /// No random bytes could be had.
    #[error("no randomness")]
    Entropy,
    /// It does not answer. What was asked of it may have been done or not.
    #[error("the store cannot be reached")]
    Unreachable,
}

/// Under what a record is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Under a fresh handle (`codes = "handle"`).
    Handle,
    /// The same, of a sign-in whose browser has yet to follow a redirect to it (`entry = "redirect"`). It lives for a minute,
    /// and makes room first, until it is read ([`Store::pending`]) or gets a code.
    Entry,
    /// Under values that travel anyway (`codes = "upstream"`): a digest of redirect target and state, or of a code.
    Digest(Digest),
}

/// What [`Store::hold`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// Under this handle.
    Handle(Handle),
    /// Under the digest that was given.
    New,
    /// An equal record was there already: a reload.
    Again,
    /// A record with another challenge or client was there: neither can be trusted, both are dead until they expire.
    Conflict,
}

/// What [`Store::pending`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pending {
    /// Alive.
    Live(Box<PendingAuthorization>),
    /// It was there, and its time is over.
    Expired,
    /// Two different requests came under the same values.
    Conflict,
    /// Never there, or gone long ago.
    Unknown,
}

/// What [`Store::bind`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// The client gets this in place of the code.
    Handle(Handle),
    /// Under the digest that was given.
    Digest,
    /// This authorization has yielded [`crate::flow::CODES_PER_AUTHORIZATION`] codes already.
    TooMany,
    /// This code was bound before, to another sign-in, and stays bound to that one alone.
    Elsewhere,
    /// The pending authorization is gone.
    Unknown,
}

/// What [`Store::redeem`] found. The reasons stay distinct in events; clients see one `invalid_grant`. Whose code it was
/// ([`crate::oauth::ClientId::digest`]) is known as long as it is remembered: a dead code is judged by its owner's rule.
#[derive(Debug)]
pub enum Redeemed {
    /// The request matches, and the caller owns the code until it settles the claim.
    Claimed(Claim),
    /// The code is there, and the request does not match it. This excludes nobody else.
    Mismatch(Digest),
    /// Someone else is redeeming it, or has.
    AlreadyRedeemed(Digest),
    /// Burnt by wrong verifiers, or by more releases than there may be.
    Burnt(Digest),
    /// Its time is over.
    Expired(Digest),
    /// Nothing that is redeemed here, or gone long ago. Whose it is can be known all the same: the upstream's own code of a
    /// client that has a handle in its place.
    Unknown(Option<Digest>),
}

/// Whose something is or was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// [`crate::oauth::ClientId::digest`]. Of two that a conflict is between, the first.
    pub client: Digest,
    /// A pending authorization that a request can go on with; a code that may be redeemed under this very key, now.
    pub alive: bool,
    /// Where its redirect URI leads ([`crate::oauth::RedirectDigest::target`]), and so where the client gets its code. `None`: the
    /// request had none, or it is not remembered any more.
    pub target: Option<Digest>,
}

/// The one right to redeem a code. Dropped without [`Store::settle`] (the client went away, a panic) it stays
/// claimed, and so is never redeemed again: whether the upstream saw the code is then unknown.
#[derive(Debug)]
#[must_use = "a claim that is not settled is lost with its code"]
pub struct Claim {
    key: Digest,
    fence: u64,
    bound: BoundCode,
    is_proved: bool,
}

impl Claim {
    /// For stores; `fence` tells it from the claims of whatever else stands under that key at another time. `is_proved`: the
    /// request brought the verifier ([`Presented::Matches`]).
    pub(crate) fn new(key: Digest, fence: u64, bound: BoundCode, is_proved: bool) -> Self {
        Self {
            key,
            fence,
            bound,
            is_proved,
        }
    }

    /// What has to be true of whoever redeems it.
    pub fn bound(&self) -> &BoundCode {
        &self.bound
    }

    /// For stores.
    pub(crate) fn key(&self) -> Digest {
        self.key
    }

    /// For stores.
    pub(crate) fn fence(&self) -> u64 {
        self.fence
    }

    /// For stores: whether its release counts.
    pub(crate) fn is_proved(&self) -> bool {
        self.is_proved
    }
}

/// What an operator wants to know of a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Pending authorizations.
    pub pending: usize,
    /// Those among them whose redirect has not been followed yet.
    pub unfollowed: usize,
    /// Bound codes, claimed ones included.
    pub codes: usize,
    /// What is left of redeemed and burnt codes, so that a replay is named a replay.
    pub tombstones: usize,
    /// Memory that the records take, in bytes, overhead of the maps included.
    pub bytes: usize,
    /// Requests that were refused because there was no room ([`Limit`]).
    pub refused: u64,
    /// Sign-ins whose redirect was not followed, and that have made room.
    pub evicted: u64,
}

/// One store per upstream.
pub enum Store {
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
    /// Keeps a new pending authorization that comes from that network. `None`: it comes from many, through a proxy that does not
    /// say from whom.
    pub async fn hold(
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
    pub async fn pending(&self, key: Digest) -> Result<Pending, StoreError> {
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
    pub async fn bind(
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
    pub async fn redeem(
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
    pub async fn owners(&self, candidates: &[Candidate]) -> Result<Vec<Option<Owner>>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.owners(candidates)),
            #[cfg(test)]
            Self::Failing(failing) => Ok(failing.answers(Verb::Owners)?.owners(candidates)),
        }
    }

    /// How long the codes are that [`Store::owners`] may know.
    pub fn code_lengths(&self) -> CodeLengths {
        match self {
            Self::Memory(memory) => memory.code_lengths(),
            // What cannot be asked may know every code.
            #[cfg(test)]
            Self::Failing(_) => CodeLengths::ANY,
        }
    }

    /// Ends a claim.
    pub async fn settle(&self, claim: Claim, settlement: Settlement) -> Result<(), StoreError> {
        match self {
            Self::Memory(memory) => memory.settle(claim, settlement),
            #[cfg(test)]
            Self::Failing(failing) => failing.answers(Verb::Settle)?.settle(claim, settlement),
        }
        Ok(())
    }

    /// Kills a pending authorization and everything bound to it from now on: what it was for cannot be trusted.
    pub async fn discard(&self, pending: Digest) -> Result<(), StoreError> {
        match self {
            Self::Memory(memory) => memory.discard(pending),
            #[cfg(test)]
            Self::Failing(failing) => failing.answers(Verb::Discard)?.discard(pending),
        }
        Ok(())
    }

    /// Drops what has expired, a few records at a time; called every second or so.
    pub fn sweep(&self) {
        match self {
            Self::Memory(memory) => memory.sweep(),
            #[cfg(test)]
            Self::Failing(failing) => failing.memory().sweep(),
        }
    }

    /// Numbers for metrics and readiness.
    pub fn statistics(&self) -> Statistics {
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
