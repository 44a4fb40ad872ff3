//! The three kinds of records: sign-ins, bound codes, and traces, which remember to which sign-in a code was bound.

use std::sync::Arc;

use super::sync::atomic::AtomicUsize;
use super::usage::{Counts, NetworkName, Room, weight};
use crate::clock::Timestamp;
use crate::flow::{Application, BoundCode, ClientState, PendingAuthorization};
use crate::oauth::{CodeChallenge, Digest};
use crate::store::operations::Owner;

/// A record of one of the store's tables.
pub(super) struct Record<K> {
    /// The record counts as expired from this time on. It also distinguishes the record from later ones with the same key.
    pub(super) deadline: Timestamp,
    /// Memory of the record, in bytes, as it was added.
    bytes: u32,
    pub(super) network: NetworkName,
    pub(super) value: K,
}

/// A kind of record.
pub(super) trait Kind {
    /// Whether records of this kind count towards the limits ([`super::usage`]).
    const IS_LIMITED: bool = true;

    fn application(&self) -> &Arc<Application>;

    /// The client to whose share the record counts.
    fn holder(&self) -> Option<Digest> {
        None
    }

    /// The counter that includes this record. `None`: only the length of its table does.
    fn count<'c>(&self, _counts: &'c Counts) -> Option<&'c AtomicUsize> {
        None
    }

    /// Memory outside the record itself, in bytes.
    fn texts(&self) -> usize {
        0
    }
}

impl<K: Kind> Record<K> {
    pub(super) fn new(value: K, network: NetworkName, deadline: Timestamp) -> Self {
        let bytes = size_of::<Self>() + value.texts().next_multiple_of(16);
        Self {
            deadline,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            network,
            value,
        }
    }

    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.deadline <= now
    }

    pub(super) fn bytes(&self) -> usize {
        usize::try_from(self.bytes).unwrap_or(usize::MAX)
    }

    /// The room that the record takes as long as it exists, if its kind is limited.
    pub(super) fn room(&self) -> Room {
        Room {
            weight: weight(self.bytes()),
            client: self.value.holder(),
            network: self.network,
        }
    }

    /// `alive`: as in [`Owner`].
    pub(super) fn owner(&self, alive: bool) -> Owner {
        let application = self.value.application();
        Owner {
            client: application.client,
            alive,
            target: application.redirect.map(|redirect| redirect.target),
        }
    }
}

/// A pending authorization.
pub(super) struct SignIn {
    pub(super) stage: Stage,
    pub(super) pending: PendingAuthorization,
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
    /// Whether `pending` is the same request once more, after a reload in the browser.
    pub(super) fn is_of(&self, pending: &PendingAuthorization) -> bool {
        let (of, asks) = (&self.pending.application, &pending.application);
        self.pending.challenge == pending.challenge
            && (of.client, of.redirect) == (asks.client, asks.redirect)
    }

    /// Wipes the secrets. The record stays until its deadline.
    pub(super) fn discard(&mut self) {
        self.stage = Stage::Conflict;
        self.pending = PendingAuthorization {
            application: Arc::clone(&self.pending.application),
            challenge: None,
            state: ClientState::Absent,
            browser: None,
        };
    }
}

impl Kind for SignIn {
    fn application(&self) -> &Arc<Application> {
        &self.pending.application
    }

    fn holder(&self) -> Option<Digest> {
        Some(self.pending.application.client)
    }

    fn count<'c>(&self, counts: &'c Counts) -> Option<&'c AtomicUsize> {
        (self.stage == Stage::Unfollowed).then_some(&counts.unfollowed)
    }

    fn texts(&self) -> usize {
        let application = &self.pending.application;
        let texts = [
            self.pending.state.as_str(),
            application.response_type.as_deref(),
            application.response_mode.as_deref(),
        ];
        let texts: usize = texts.into_iter().flatten().map(str::len).sum();
        texts + plain(self.pending.challenge.as_ref())
    }
}

/// A bound code, or the tombstone of one.
pub(super) struct Code {
    pub(super) fate: Fate,
    /// The number of wrong verifiers.
    pub(super) attempts: u8,
    /// The number of releases after a correct verifier.
    pub(super) releases: u8,
}

/// The code is only here while it can be redeemed. Later states keep the record, so that a replay is distinguished from an unknown
/// code.
pub(super) enum Fate {
    Bound(BoundCode),
    /// The claim has the code, and returns it with a release.
    Claimed(Arc<Application>),
    Redeemed(Arc<Application>),
    Burnt(Arc<Application>),
}

impl Code {
    pub(super) fn new(bound: BoundCode) -> Self {
        Self {
            fate: Fate::Bound(bound),
            attempts: 0,
            releases: 0,
        }
    }

    /// Changes the fate, and returns the code if it was bound.
    pub(super) fn enter(&mut self, fate: fn(Arc<Application>) -> Fate) -> Option<BoundCode> {
        let fate = fate(Arc::clone(self.application()));
        match std::mem::replace(&mut self.fate, fate) {
            Fate::Bound(bound) => Some(bound),
            Fate::Claimed(_) | Fate::Redeemed(_) | Fate::Burnt(_) => None,
        }
    }
}

impl Kind for Code {
    fn application(&self) -> &Arc<Application> {
        match &self.fate {
            Fate::Bound(bound) => &bound.application,
            Fate::Claimed(of) | Fate::Redeemed(of) | Fate::Burnt(of) => of,
        }
    }

    fn count<'c>(&self, counts: &'c Counts) -> Option<&'c AtomicUsize> {
        matches!(self.fate, Fate::Redeemed(_) | Fate::Burnt(_)).then_some(&counts.tombstones)
    }

    fn texts(&self) -> usize {
        match &self.fate {
            Fate::Bound(bound) => bound.code.expose().len() + plain(bound.challenge.as_ref()),
            Fate::Claimed(_) | Fate::Redeemed(_) | Fate::Burnt(_) => 0,
        }
    }
}

/// Remembers to which sign-in an upstream's code was bound.
pub(super) struct Trace {
    pub(super) application: Arc<Application>,
    /// The key and the deadline of the sign-in: with `codes = "upstream"` a later sign-in can have the same key, but not the same
    /// deadline. In 16 bytes, because traces are the most numerous records.
    pub(super) sign_in: Digest,
}

impl Trace {
    pub(super) fn name(sign_in: Digest, deadline: Timestamp) -> Digest {
        let name = u128::from_le_bytes(*sign_in.as_bytes()) ^ u128::from(deadline.as_millis());
        Digest::from_bytes(name.to_le_bytes())
    }
}

impl Kind for Trace {
    const IS_LIMITED: bool = false;

    fn application(&self) -> &Arc<Application> {
        &self.application
    }
}

fn plain(challenge: Option<&CodeChallenge>) -> usize {
    match challenge {
        Some(CodeChallenge::Plain(challenge)) => challenge.len(),
        Some(CodeChallenge::S256(_) | CodeChallenge::Useless(_)) | None => 0,
    }
}
