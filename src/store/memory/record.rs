//! Sign-ins, bound codes and traces.

use std::sync::Arc;
use std::time::Duration;

use super::shards::Record;
use super::usage::Room;
use crate::clock::Timestamp;
use crate::flow::{Application, BoundCode, ClientState, PendingAuthorization};
use crate::oauth::{AuthorizationCode, CodeChallenge, Digest};
use crate::store::operations::Owner;

/// A pending authorization. It has the fields of [`PendingAuthorization`] themselves, and so fits into 128 bytes.
pub(super) struct SignIn {
    pub(super) key: Digest,
    pub(super) deadline: Timestamp,
    pub(super) application: Arc<Application>,
    challenge: Option<CodeChallenge>,
    state: ClientState,
    browser: Option<Digest>,
    /// Distinguishes it from others with the same key, for longer than its codes are remembered.
    pub(super) number: u32,
    /// [`super::usage::Usage::name`]
    pub(super) network: u32,
    /// The length of its texts.
    texts: u32,
    pub(super) stage: Stage,
    /// The number of codes that were bound to it.
    pub(super) codes: u8,
    /// Whether it was made by another store, and counts towards no share.
    pub(super) is_adopted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The browser has not followed the redirect to it yet ([`crate::store::Place::Entry`]).
    Unfollowed,
    /// Waits for codes from the upstream.
    Waiting,
    /// Two different requests had the same key, or the sign-in was discarded. Its secrets are wiped.
    Conflict,
}

impl SignIn {
    pub(super) fn new(
        key: Digest,
        pending: PendingAuthorization,
        number: u32,
        deadline: Timestamp,
    ) -> Self {
        let texts = [
            pending.state.as_str(),
            pending.application.response_type.as_deref(),
            pending.application.response_mode.as_deref(),
            plain(pending.challenge.as_ref()),
        ];
        let texts: usize = texts.into_iter().flatten().map(str::len).sum();
        Self {
            key,
            deadline,
            application: pending.application,
            challenge: pending.challenge,
            state: pending.state,
            browser: pending.browser,
            number,
            network: 0,
            texts: u32::try_from(texts).unwrap_or(u32::MAX),
            stage: Stage::Waiting,
            codes: 0,
            is_adopted: false,
        }
    }

    pub(super) fn pending(&self) -> PendingAuthorization {
        PendingAuthorization {
            application: Arc::clone(&self.application),
            challenge: self.challenge.clone(),
            state: self.state.clone(),
            browser: self.browser,
        }
    }

    pub(super) fn bind(&self, code: AuthorizationCode) -> BoundCode {
        BoundCode {
            application: Arc::clone(&self.application),
            code,
            challenge: self.challenge.clone(),
        }
    }

    /// Whether codes can be bound to it.
    pub(super) fn waits(&self, now: Timestamp) -> bool {
        self.stage == Stage::Waiting && self.deadline > now
    }

    /// Whether `pending` is the same request once more, after a reload in the browser.
    pub(super) fn is_of(&self, pending: &PendingAuthorization) -> bool {
        let (of, asks) = (&self.application, &pending.application);
        self.challenge == pending.challenge
            && (of.client, of.redirect) == (asks.client, asks.redirect)
    }

    /// Wipes the secrets. The record stays until its deadline.
    pub(super) fn discard(&mut self) {
        self.stage = Stage::Conflict;
        self.challenge = None;
        self.state = ClientState::Absent;
        self.browser = None;
    }
}

/// Boxed, because places stay empty where sign-ins were followed or evicted.
impl Record for Box<SignIn> {
    fn key(&self) -> Digest {
        self.key
    }

    fn left(&self, now: Timestamp) -> Duration {
        self.deadline.since(now)
    }

    fn room(&self) -> Room {
        let client = (!self.is_adopted).then_some(self.application.client);
        Room::new(self.bytes(), self.network, client)
    }

    fn bytes(&self) -> usize {
        size_of::<SignIn>() + self.texts as usize
    }
}

/// A bound code, or the tombstone of one.
pub(super) struct Code {
    pub(super) key: Digest,
    pub(super) deadline: Timestamp,
    pub(super) fate: Fate,
    network: u32,
    /// The length of its texts.
    texts: u16,
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
    pub(super) fn new(key: Digest, bound: BoundCode, network: u32, deadline: Timestamp) -> Self {
        let plain = plain(bound.challenge.as_ref()).map_or(0, str::len);
        let texts = u16::try_from(bound.code.expose().len() + plain);
        Self {
            key,
            deadline,
            fate: Fate::Bound(bound),
            network,
            texts: texts.unwrap_or(u16::MAX),
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

    pub(super) fn application(&self) -> &Arc<Application> {
        match &self.fate {
            Fate::Bound(bound) => &bound.application,
            Fate::Claimed(of) | Fate::Redeemed(of) | Fate::Burnt(of) => of,
        }
    }
}

impl Record for Code {
    fn key(&self) -> Digest {
        self.key
    }

    fn left(&self, now: Timestamp) -> Duration {
        self.deadline.since(now)
    }

    fn room(&self) -> Room {
        // Only sign-ins count towards a client's share, so that codes cannot prevent new sign-ins.
        Room::new(size_of::<Self>() + self.bytes(), self.network, None)
    }

    fn bytes(&self) -> usize {
        self.texts.into()
    }

    fn is_tombstone(&self) -> bool {
        matches!(self.fate, Fate::Redeemed(_) | Fate::Burnt(_))
    }
}

/// Remembers to which sign-in a code of the upstream was bound.
pub(super) struct Trace {
    /// The digest of the code.
    pub(super) key: Digest,
    pub(super) application: Arc<Application>,
    /// [`SignIn::number`]
    pub(super) sign_in: u32,
    /// The lower half of the time in milliseconds, because traces are the most numerous records.
    deadline: u32,
}

impl Trace {
    pub(super) fn new(key: Digest, code: &Code, sign_in: u32, deadline: Timestamp) -> Self {
        Self {
            key,
            application: Arc::clone(code.application()),
            sign_in,
            deadline: low(deadline),
        }
    }
}

/// The lower half of a time in milliseconds.
fn low(time: Timestamp) -> u32 {
    let [.., a, b, c, d] = time.as_millis().to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

impl Record for Trace {
    fn key(&self) -> Digest {
        self.key
    }

    fn left(&self, now: Timestamp) -> Duration {
        // Traces live for two days at most. If one was there for 25 days more, it would only remember its code again.
        let left = self.deadline.wrapping_sub(low(now));
        Duration::from_millis(if left < 1 << 31 { left.into() } else { 0 })
    }

    fn room(&self) -> Room {
        Room::NONE
    }

    fn bytes(&self) -> usize {
        0
    }
}

/// `alive`: as in [`Owner`].
pub(super) fn owner(application: &Application, alive: bool) -> Owner {
    Owner {
        client: application.client,
        alive,
        target: application.redirect.map(|redirect| redirect.target),
    }
}

/// The challenge, if it takes memory of its own.
fn plain(challenge: Option<&CodeChallenge>) -> Option<&str> {
    match challenge {
        Some(CodeChallenge::Plain(challenge)) => Some(challenge),
        Some(CodeChallenge::S256(_) | CodeChallenge::Useless(_)) | None => None,
    }
}
