//! The arguments and results of the store's operations.

use std::fmt;
use std::time::Duration;

use crate::flow::{Application, BoundCode, Handle, PendingAuthorization};
use crate::oauth::Digest;

use super::settings::Limit;

/// Why an operation failed. The request is then refused, never forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The limit that is reached, and the time until there is room again.
    #[error("{}", .0.reason())]
    NoRoom(Limit, Duration),
    #[error("no random bytes available")]
    Entropy,
    /// The values of the request do not fit into a record.
    #[error(
        "the parameters are too long to be kept until the answer; shorten state, response_type or response_mode"
    )]
    TooLong,
    /// The store does not respond. The operation may have been carried out or not.
    #[error("the store cannot be reached")]
    Unreachable,
    /// The store has not answered in time. The operation may have been carried out or not.
    #[error("the store did not answer in time")]
    Deadline,
    /// The change may have been made, but fewer replicas than required have it, so a failover could lose it.
    #[error("too few replicas of the store have the change")]
    TooFewReplicas,
}

/// The key under which a sign-in is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A new handle (`codes = "handle"`).
    Handle,
    /// A new handle, for a sign-in whose browser has yet to follow a redirect (`entry = "redirect"`). Until the record
    /// is read ([`super::Store::pending`]) or gets a code, it lives for one minute and is evicted first.
    Entry,
    /// A digest of values that the protocol carries anyway (`codes = "upstream"`): of redirect target and state.
    Digest(Digest),
}

/// In which form the client gets a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issued {
    /// A handle replaces it (`codes = "handle"`).
    Handle,
    /// The upstream's own code (`codes = "upstream"`).
    Raw,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// Stored under this new handle.
    Handle(Handle),
    /// The same, without the client's state.
    Spilled(Box<Spilled>),
    /// Stored under the given digest.
    New,
    /// An equal record already existed: the page was reloaded.
    Again,
    /// A record with another challenge or client existed. Neither can be trusted, so both are invalid until they
    /// expire.
    Conflict,
}

/// A sign-in whose record is in its handle, except the client's state, which would make the handle too long. The browser keeps
/// it.
#[derive(Clone, PartialEq, Eq)]
pub struct Spilled {
    pub handle: Handle,
    /// The state, encrypted for this handle, in base64url ([`super::Store::spilled_state`]).
    pub sealed: String,
    /// How long the sign-in lasts.
    pub lifetime: Duration,
}

impl fmt::Debug for Spilled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spilled").field(&self.handle).finish()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pending {
    /// The record, which is valid.
    Live(Box<PendingAuthorization>),
    Expired,
    /// Two different requests used the same values.
    Conflict,
    /// Never stored, or already forgotten.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// The handle that the client receives in place of the code.
    Handle(Handle),
    /// The client receives the code itself.
    Raw,
    /// The authorization already has [`crate::flow::CODES_PER_AUTHORIZATION`] codes.
    TooMany,
    /// The code was bound before: to another sign-in, in another form, or so long ago that it has expired. That stays so.
    Elsewhere,
    /// The pending authorization does not exist any more.
    Unknown,
}

/// The result of [`super::Store::redeem`]. Events distinguish the reasons; clients see `invalid_grant` for all. The
/// digest is that of the client to which the code was issued ([`crate::oauth::ClientId::digest`]), so that a dead code
/// is judged by its owner's rule.
#[derive(Debug)]
pub enum Redeemed {
    /// The request matches. The caller owns the code until it settles the claim.
    Claimed(Claim),
    /// The code exists, but the request does not match it. Other callers can still redeem it.
    Mismatch(Digest),
    /// Another request is redeeming the code or has redeemed it.
    AlreadyRedeemed(Digest),
    /// Burnt by wrong verifiers or by too many releases.
    Burnt(Digest),
    /// `None`: a store without records does not know whose it was.
    Expired(Option<Digest>),
    /// Not a code that can be redeemed, or already forgotten. The owner may be known nevertheless: this is the
    /// upstream's own code, and its client has a handle for it.
    Unknown(Option<Digest>),
}

/// The client that a code or sign-in belongs or belonged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    /// [`crate::oauth::ClientId::digest`]; of two conflicting requests, that of the first.
    pub client: Digest,
    /// Whether a request can continue this sign-in, or redeem a code under this very key, now.
    pub alive: bool,
    /// The target of the redirect URI ([`crate::oauth::RedirectDigest::target`]). `None`: the request had no redirect
    /// URI, or it is forgotten.
    pub target: Option<Digest>,
}

impl Owner {
    pub(crate) fn of(application: &Application, alive: bool) -> Self {
        Self {
            client: application.client,
            alive,
            target: application.redirect.map(|redirect| redirect.target),
        }
    }
}

/// The exclusive right to redeem a code. If it is dropped without [`super::Store::settle`] (the client disconnected, a
/// panic), the code stays claimed and is never redeemed again, because the upstream may have seen it.
#[derive(Debug)]
#[must_use = "a code whose claim is not settled can never be redeemed"]
pub struct Claim {
    key: Digest,
    fence: u64,
    bound: BoundCode,
    is_proved: bool,
    is_shared: bool,
}

impl Claim {
    /// For stores. `fence` distinguishes this claim from those of other records under the same key. `is_proved`: the
    /// request contained the verifier ([`crate::flow::Presented::Matches`]).
    pub(crate) fn new(key: Digest, fence: u64, bound: BoundCode, is_proved: bool) -> Self {
        Self {
            key,
            fence,
            bound,
            is_proved,
            is_shared: false,
        }
    }

    /// A claim that other processes see, too.
    pub(crate) fn shared(self) -> Self {
        Self {
            is_shared: true,
            ..self
        }
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// The code, and the conditions for redeeming it.
    pub fn bound(&self) -> &BoundCode {
        &self.bound
    }

    pub(crate) fn into_bound(self) -> BoundCode {
        self.bound
    }

    pub(crate) fn key(&self) -> Digest {
        self.key
    }

    pub(crate) fn fence(&self) -> u64 {
        self.fence
    }

    /// Whether a release of this claim counts towards the maximum.
    pub(crate) fn is_proved(&self) -> bool {
        self.is_proved
    }
}

/// Counters of a store, for metrics and readiness.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    pub pending: usize,
    /// Pending authorizations whose redirect has not been followed yet.
    pub unfollowed: usize,
    /// Bound codes, including claimed ones.
    pub codes: usize,
    /// Remains of redeemed and burnt codes, kept so that a replay is reported as a replay.
    pub tombstones: usize,
    /// Memory used for records and maps, in bytes.
    pub bytes: usize,
    /// Requests refused for lack of room ([`Limit`]).
    pub refused: u64,
    /// Sign-ins evicted before their redirect was followed.
    pub evicted: u64,
}
