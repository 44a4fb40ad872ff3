//! What the verbs take and give.

use std::time::Duration;

use crate::flow::{BoundCode, Handle, PendingAuthorization};
use crate::oauth::Digest;

use super::settings::Limit;

/// Why a record could not be kept or read: the request is refused, never let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no room, and when there will be some.
    #[error("{}", .0.reason())]
    NoRoom(Limit, Duration),
    /// No random bytes could be had.
    #[error("no random bytes available")]
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
    /// and makes room first, until it is read ([`super::Store::pending`]) or gets a code.
    Entry,
    /// Under values that travel anyway (`codes = "upstream"`): a digest of redirect target and state, or of a code.
    Digest(Digest),
}

/// What [`super::Store::hold`] did.
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

/// What [`super::Store::pending`] found.
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

/// What [`super::Store::bind`] did.
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

/// What [`super::Store::redeem`] found. The reasons stay distinct in events; clients see one `invalid_grant`. Whose code it was
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
pub(crate) struct Owner {
    /// [`crate::oauth::ClientId::digest`]. Of two that a conflict is between, the first.
    pub client: Digest,
    /// A pending authorization that a request can go on with; a code that may be redeemed under this very key, now.
    pub alive: bool,
    /// Where its redirect URI leads ([`crate::oauth::RedirectDigest::target`]), and so where the client gets its code. `None`: the
    /// request had none, or it is not remembered any more.
    pub target: Option<Digest>,
}

/// The one right to redeem a code. Dropped without [`super::Store::settle`] (the client went away, a panic) it stays
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
    /// request brought the verifier ([`crate::flow::Presented::Matches`]).
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
