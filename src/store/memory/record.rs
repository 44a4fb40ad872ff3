//! The three kinds of records: sign-ins, bound codes, and traces, which remember to which sign-in a code was bound.

use std::sync::Arc;

use super::sync::atomic::AtomicUsize;
use super::usage::{Counts, NetworkName, Room};
use crate::clock::Timestamp;
use crate::flow::{Application, BoundCode, ClientState, PendingAuthorization};
use crate::oauth::{CodeChallenge, Digest};
use crate::store::operations::Owner;

/// A record of one of the store's tables.
pub(super) trait Record: Sized {
    /// The record counts as expired from this time on. It also distinguishes the record from later ones with the same key.
    fn deadline(&self) -> Timestamp;

    fn application(&self) -> &Arc<Application>;

    /// The room that the record takes as long as it exists.
    fn room(&self) -> Room {
        Room::NONE
    }

    /// The counter that includes this record. `None`: only the length of its table does.
    fn count<'c>(&self, _counts: &'c Counts) -> Option<&'c AtomicUsize> {
        None
    }

    /// Memory of the record as it was added, in bytes.
    fn bytes(&self) -> usize {
        size_of::<Self>()
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.deadline() <= now
    }

    /// `alive`: as in [`Owner`].
    fn owner(&self, alive: bool) -> Owner {
        let application = self.application();
        Owner {
            client: application.client,
            alive,
            target: application.redirect.map(|redirect| redirect.target),
        }
    }
}

/// Memory of a record, in two bytes: in units of 16 bytes, or of 1024 bytes for a large one, which has the highest bit set. A form
/// may have 16 MiB.
#[derive(Clone, Copy)]
struct Size(u16);

impl Size {
    const LARGE: u16 = 1 << 15;

    /// Of a record of this kind that has texts of so many bytes in total.
    fn of<R>(texts: usize) -> Self {
        let bytes = size_of::<R>() + texts;
        let units = |unit| u16::try_from(bytes.div_ceil(unit)).unwrap_or(u16::MAX);
        match units(16) {
            small if small < Self::LARGE => Self(small),
            _ => Self(units(1024) | Self::LARGE),
        }
    }

    fn bytes(self) -> usize {
        let unit = if self.0 < Self::LARGE { 16 } else { 1024 };
        usize::from(self.0 & !Self::LARGE) * unit
    }
}

/// A pending authorization.
pub(super) struct SignIn {
    pub(super) deadline: Timestamp,
    pub(super) network: NetworkName,
    size: Size,
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
    pub(super) fn new(
        pending: PendingAuthorization,
        stage: Stage,
        network: NetworkName,
        deadline: Timestamp,
    ) -> Self {
        let application = &pending.application;
        let texts = [
            pending.state.as_str(),
            application.response_type.as_deref(),
            application.response_mode.as_deref(),
        ];
        let texts: usize = texts.into_iter().flatten().map(str::len).sum();
        Self {
            deadline,
            network,
            size: Size::of::<Self>(texts + plain(pending.challenge.as_ref())),
            stage,
            pending,
        }
    }

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

impl Record for SignIn {
    fn deadline(&self) -> Timestamp {
        self.deadline
    }

    fn application(&self) -> &Arc<Application> {
        &self.pending.application
    }

    fn room(&self) -> Room {
        let client = Some(self.pending.application.client);
        Room::new(self.bytes(), client, self.network)
    }

    fn count<'c>(&self, counts: &'c Counts) -> Option<&'c AtomicUsize> {
        (self.stage == Stage::Unfollowed).then_some(&counts.unfollowed)
    }

    fn bytes(&self) -> usize {
        self.size.bytes()
    }
}

/// A bound code, or the tombstone of one.
pub(super) struct Code {
    pub(super) deadline: Timestamp,
    network: NetworkName,
    size: Size,
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
    pub(super) fn new(bound: BoundCode, network: NetworkName, deadline: Timestamp) -> Self {
        let texts = bound.code.expose().len() + plain(bound.challenge.as_ref());
        Self {
            deadline,
            network,
            size: Size::of::<Self>(texts),
            fate: Fate::Bound(bound),
            attempts: 0,
            releases: 0,
        }
    }

    /// Changes the fate, and returns the code if it was bound.
    pub(super) fn enter(&mut self, fate: fn(Arc<Application>) -> Fate) -> Option<BoundCode> {
        let fate = fate(Arc::clone(self.fate.application()));
        match std::mem::replace(&mut self.fate, fate) {
            Fate::Bound(bound) => Some(bound),
            Fate::Claimed(_) | Fate::Redeemed(_) | Fate::Burnt(_) => None,
        }
    }
}

impl Fate {
    pub(super) fn application(&self) -> &Arc<Application> {
        match self {
            Self::Bound(bound) => &bound.application,
            Self::Claimed(of) | Self::Redeemed(of) | Self::Burnt(of) => of,
        }
    }
}

impl Record for Code {
    fn deadline(&self) -> Timestamp {
        self.deadline
    }

    fn application(&self) -> &Arc<Application> {
        self.fate.application()
    }

    fn room(&self) -> Room {
        // Only sign-ins count towards a client's share, so that codes cannot prevent new sign-ins.
        Room::new(self.bytes(), None, self.network)
    }

    fn count<'c>(&self, counts: &'c Counts) -> Option<&'c AtomicUsize> {
        matches!(self.fate, Fate::Redeemed(_) | Fate::Burnt(_)).then_some(&counts.tombstones)
    }

    fn bytes(&self) -> usize {
        self.size.bytes()
    }
}

/// Remembers to which sign-in an upstream's code was bound.
pub(super) struct Trace {
    pub(super) deadline: Timestamp,
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

impl Record for Trace {
    fn deadline(&self) -> Timestamp {
        self.deadline
    }

    fn application(&self) -> &Arc<Application> {
        &self.application
    }
}

/// The length of a `plain` challenge; the others take no memory of their own.
fn plain(challenge: Option<&CodeChallenge>) -> usize {
    match challenge {
        Some(CodeChallenge::Plain(challenge)) => challenge.len(),
        Some(CodeChallenge::S256(_) | CodeChallenge::Useless(_)) | None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_record_counts_as_less_than_it_takes() {
        for texts in [0, 1, 15, 64, 524_000, 524_288, 1 << 20, 16 << 20, 17 << 20] {
            let (takes, counts) = (
                size_of::<SignIn>() + texts,
                Size::of::<SignIn>(texts).bytes(),
            );
            assert!(
                takes <= counts && counts < takes + 1024,
                "{texts}: {counts}"
            );
        }
    }
}
