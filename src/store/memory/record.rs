//! The three kinds of records: sign-ins, bound codes, and traces, which remember to which sign-in a code was bound.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

use foldhash::quality::RandomState;
use zeroize::Zeroize as _;

use super::sync::RwLock;
use super::sync::atomic::AtomicUsize;
use super::usage::{Counts, NetworkName, Room, weight};
use crate::clock::Timestamp;
use crate::flow::{BoundCode, ClientState, PendingAuthorization};
use crate::oauth::{AuthorizationCode, CodeChallenge, Digest, RedirectDigest};
use crate::store::operations::Owner;

/// A record of one of the store's tables.
pub(super) trait Record {
    /// The record counts as expired from this time on.
    fn deadline(&self) -> Timestamp;

    /// The room that the record takes as long as it exists. `None`: it takes no room.
    fn room(&self) -> Option<Room>;

    /// The counter that includes this record. `None`: only the length of its table does.
    fn count<'c>(&self, counts: &'c Counts) -> Option<&'c AtomicUsize>;

    /// Memory outside the record itself, in bytes.
    fn texts(&self) -> usize;

    fn is_over(&self, now: Timestamp) -> bool {
        self.deadline() <= now
    }
}

/// A pending authorization.
pub(super) struct SignIn {
    pub(super) deadline: Timestamp,
    pub(super) stage: Stage,
    /// See [`weight`].
    weight: u32,
    network: NetworkName,
    pub(super) asked: Arc<Asked>,
    pub(super) challenge: Option<CodeChallenge>,
    browser: Option<Digest>,
    state: ClientState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The browser has not followed the redirect to it yet ([`crate::store::Place::Entry`]).
    Unfollowed,
    /// Waits for codes from the upstream. `codes`: those bound so far.
    Waiting { codes: u8 },
    /// Two different requests had the same key, or the sign-in was discarded. Its secrets are wiped.
    Conflict,
}

impl SignIn {
    pub(super) fn new(
        pending: &PendingAuthorization,
        asked: Arc<Asked>,
        room: Room,
        stage: Stage,
        deadline: Timestamp,
    ) -> Self {
        Self {
            deadline,
            stage,
            weight: u32::try_from(room.weight).unwrap_or(u32::MAX),
            network: room.network,
            asked,
            challenge: pending.challenge.clone(),
            browser: pending.browser,
            state: pending.state.clone(),
        }
    }

    /// The room that a pending authorization takes.
    pub(super) fn room_of(pending: &PendingAuthorization, network: NetworkName) -> Room {
        let texts = [
            pending.state.as_str(),
            pending.response_type.as_deref(),
            pending.response_mode.as_deref(),
        ];
        let texts: usize = texts.into_iter().flatten().map(str::len).sum();
        let weight = weight(size_of::<Self>() + plain(pending.challenge.as_ref()) + texts);
        let client = Some(pending.client);
        Room {
            weight,
            client,
            network,
        }
    }

    pub(super) fn read(&self) -> PendingAuthorization {
        PendingAuthorization {
            challenge: self.challenge.clone(),
            client: self.asked.client,
            redirect: self.asked.redirect,
            state: self.state.clone(),
            response_type: self.asked.response_type.clone(),
            response_mode: self.asked.response_mode.clone(),
            browser: self.browser,
        }
    }

    pub(super) fn origin(&self) -> Origin {
        Origin {
            asked: Arc::clone(&self.asked),
            challenge: self.challenge.clone(),
            network: self.network,
        }
    }

    /// Whether `pending` is the same request once more, after a reload in the browser.
    pub(super) fn is_of(&self, pending: &PendingAuthorization) -> bool {
        let asked = (self.asked.client, self.asked.redirect);
        self.challenge == pending.challenge && asked == (pending.client, pending.redirect)
    }

    pub(super) fn is_waiting(&self, now: Timestamp) -> bool {
        matches!(self.stage, Stage::Waiting { .. }) && !self.is_over(now)
    }

    /// Wipes the secrets. The record stays until its deadline.
    pub(super) fn discard(&mut self) {
        self.wipe();
        self.stage = Stage::Conflict;
        (self.challenge, self.browser) = (None, None);
        self.state = ClientState::Absent;
    }

    fn wipe(&mut self) {
        if let ClientState::Value(state) = &mut self.state {
            state.zeroize();
        }
    }
}

impl Record for SignIn {
    fn deadline(&self) -> Timestamp {
        self.deadline
    }

    fn room(&self) -> Option<Room> {
        Some(Room {
            weight: usize::try_from(self.weight).unwrap_or(usize::MAX),
            client: Some(self.asked.client),
            network: self.network,
        })
    }

    fn count<'c>(&self, counts: &'c Counts) -> Option<&'c AtomicUsize> {
        (self.stage == Stage::Unfollowed).then_some(&counts.unfollowed)
    }

    fn texts(&self) -> usize {
        self.state.as_str().map_or(0, str::len) + plain(self.challenge.as_ref())
    }
}

/// Wipes the client's state, which is often a CSRF token.
impl Drop for SignIn {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// The data that a code copies from its sign-in, because it may outlive the sign-in.
pub(super) struct Origin {
    pub(super) asked: Arc<Asked>,
    pub(super) challenge: Option<CodeChallenge>,
    pub(super) network: NetworkName,
}

/// A bound code, or the tombstone of one.
pub(super) struct Code {
    pub(super) deadline: Timestamp,
    pub(super) asked: Arc<Asked>,
    challenge: Option<CodeChallenge>,
    /// Wiped when it is dropped. `None`: redeemed or burnt.
    raw: Option<AuthorizationCode>,
    network: NetworkName,
    /// See [`weight`].
    weight: u8,
    pub(super) fate: Fate,
    /// The number of wrong verifiers.
    pub(super) attempts: u8,
    /// The number of releases after a correct verifier.
    pub(super) releases: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Bound,
    Claimed,
    Redeemed,
    Burnt,
}

impl Code {
    pub(super) fn new(code: &AuthorizationCode, of: Origin, deadline: Timestamp) -> Self {
        let Origin {
            asked,
            challenge,
            network,
        } = of;
        let weight = Self::weight_of(code, challenge.as_ref());
        Self {
            deadline,
            asked,
            challenge,
            raw: Some(code.clone()),
            network,
            weight: u8::try_from(weight).unwrap_or(u8::MAX),
            fate: Fate::Bound,
            attempts: 0,
            releases: 0,
        }
    }

    fn weight_of(code: &AuthorizationCode, challenge: Option<&CodeChallenge>) -> usize {
        weight(size_of::<Self>() + code.expose().len() + plain(challenge))
    }

    /// `None`: it is redeemed or burnt.
    pub(super) fn read(&self) -> Option<BoundCode> {
        let code = self.raw.clone()?;
        let (client, redirect) = (self.asked.client, self.asked.redirect);
        Some(BoundCode {
            code,
            challenge: self.challenge.clone(),
            client,
            redirect,
        })
    }

    /// Wipes the code. The record stays as a tombstone, so that a replay is distinguished from an unknown code.
    pub(super) fn bury(&mut self, fate: Fate) {
        self.fate = fate;
        (self.raw, self.challenge) = (None, None);
    }

    /// Distinguishes claims of this code from claims of a later code with the same key, which has a later deadline.
    pub(super) fn fence(&self) -> u64 {
        self.deadline.as_millis()
    }
}

impl Record for Code {
    fn deadline(&self) -> Timestamp {
        self.deadline
    }

    fn room(&self) -> Option<Room> {
        // Only sign-ins count towards a client's share, so that codes cannot prevent new sign-ins.
        Some(Room {
            weight: self.weight.into(),
            client: None,
            network: self.network,
        })
    }

    fn count<'c>(&self, counts: &'c Counts) -> Option<&'c AtomicUsize> {
        matches!(self.fate, Fate::Redeemed | Fate::Burnt).then_some(&counts.tombstones)
    }

    fn texts(&self) -> usize {
        let code = self.raw.as_ref().map_or(0, |code| code.expose().len());
        code + plain(self.challenge.as_ref())
    }
}

/// Remembers to which sign-in an upstream's code was bound.
pub(super) struct Trace {
    pub(super) deadline: Timestamp,
    pub(super) asked: Arc<Asked>,
    /// [`SignInUse::name`].
    pub(super) sign_in: Digest,
}

impl Record for Trace {
    fn deadline(&self) -> Timestamp {
        self.deadline
    }

    fn room(&self) -> Option<Room> {
        None
    }

    fn count<'c>(&self, _: &'c Counts) -> Option<&'c AtomicUsize> {
        None
    }

    fn texts(&self) -> usize {
        0
    }
}

/// Identifies a sign-in. With `codes = "upstream"` a later sign-in can have the same key; its deadline is later.
#[derive(Clone, Copy)]
pub(super) struct SignInUse {
    pub(super) key: Digest,
    pub(super) deadline: Timestamp,
}

impl SignInUse {
    /// Key and deadline in 16 bytes: traces are the most numerous records.
    pub(super) fn name(self) -> Digest {
        let key = u128::from_le_bytes(*self.key.as_bytes());
        let name = key ^ u128::from(self.deadline.as_millis());
        Digest::from_bytes(name.to_le_bytes())
    }
}

fn plain(challenge: Option<&CodeChallenge>) -> usize {
    match challenge {
        Some(CodeChallenge::Plain(challenge)) => challenge.len(),
        Some(CodeChallenge::S256(_) | CodeChallenge::Useless(_)) | None => 0,
    }
}

/// The parameters that all sign-ins of one application share.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    pub(super) client: Digest,
    pub(super) redirect: Option<RedirectDigest>,
    response_type: Option<Box<str>>,
    response_mode: Option<Box<str>>,
}

impl Asked {
    /// `alive`: as in [`Owner`].
    pub(super) fn owner(&self, alive: bool) -> Owner {
        Owner {
            client: self.client,
            alive,
            target: self.redirect.map(|redirect| redirect.target),
        }
    }
}

impl From<&PendingAuthorization> for Asked {
    fn from(pending: &PendingAuthorization) -> Self {
        Self {
            client: pending.client,
            redirect: pending.redirect,
            response_type: pending.response_type.clone(),
            response_mode: pending.response_mode.clone(),
        }
    }
}

/// Stores equal [`Asked`] values once, because each is as large as the rest of a sign-in.
#[derive(Default)]
pub(super) struct Applications(RwLock<HashSet<Arc<Asked>, RandomState>>);

impl Applications {
    /// The maximum number of shared values. Sign-ins of further clients have their own copies, which costs memory only.
    const LIMIT: usize = 3584;

    /// Returns the shared value for a request.
    pub(super) fn share(&self, pending: &PendingAuthorization) -> Arc<Asked> {
        let asked = Asked::from(pending);
        let full = {
            let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = known.get(&asked) {
                return Arc::clone(known);
            }
            known.len() >= Self::LIMIT
        };
        let asked = Arc::new(asked);
        if !full {
            let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
            known.insert(Arc::clone(&asked));
        }
        asked
    }

    /// Removes values that no record uses, if there are many.
    pub(super) fn shrink(&self) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= Self::LIMIT / 2 {
            known.retain(|asked| Arc::strong_count(asked) > 1);
        }
    }

    /// Memory in bytes, values that are not shared included. `clients`: the number of clients with sign-ins.
    pub(super) fn bytes(&self, clients: usize) -> usize {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.len().max(clients) * (size_of::<Asked>() + 2 * size_of::<usize>())
            + known.capacity() * (size_of::<usize>() + 1)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.read().unwrap().len()
    }
}
