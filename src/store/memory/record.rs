//! Sign-ins and bound codes.

use std::sync::Arc;

use super::usage::Room;
use crate::clock::Timestamp;
use crate::flow::{
    Application, BoundCode, CODES_PER_AUTHORIZATION, ClientState, OwnVerifier,
    PendingAuthorization, Pkce, Presented, Purpose, RELEASES_PER_CODE, Settlement,
};
use crate::oauth::{AuthorizationCode, CodeChallenge, Digest};
use crate::store::operations::{Bound, Claim, Held, Issued, Redeemed};

pub(super) trait Record {
    fn key(&self) -> Digest;

    /// It changes only outside the table.
    fn deadline(&self) -> Timestamp;

    fn class(&self) -> Class;

    /// The room that the record takes as long as it exists in its class.
    fn room(&self) -> Room;

    /// Memory, in bytes. It does not change.
    fn bytes(&self) -> usize;

    /// Called after the deadline. Whether the record stays, with a later one.
    fn stays(&mut self) -> bool {
        false
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.deadline() <= now
    }
}

/// What a record is counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    SignIn,
    /// A sign-in whose redirect was not followed: the only records that are evicted.
    Unfollowed,
    Code,
    /// What remains of a redeemed or burnt code.
    Tombstone,
    /// What remains of any code after its deadline.
    Trace,
}

impl Class {
    pub(super) const ALL: usize = 5;
}

/// A pending authorization. It has the fields of [`PendingAuthorization`] themselves, and so fits into 128 bytes.
pub(super) struct SignIn {
    key: Digest,
    pub(super) deadline: Timestamp,
    pub(super) application: Arc<Application>,
    pkce: Pkce,
    state: ClientState,
    browser: Option<Digest>,
    /// Distinguishes it from others with the same key, for longer than its codes are remembered.
    pub(super) number: u32,
    /// [`super::usage::Usage::name`]
    pub(super) network: u32,
    /// The length of its texts, and what its own verifier takes.
    texts: u32,
    pub(super) stage: Stage,
    /// The number of codes that were bound to it.
    codes: u8,
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
        let own = pending.own.as_ref().map_or(0, |_| OF_OWN);
        Self {
            key,
            deadline,
            application: pending.application,
            pkce: Pkce::new(pending.challenge, pending.own),
            state: pending.state,
            browser: pending.browser,
            number,
            network: 0,
            texts: u32::try_from(texts + own).unwrap_or(u32::MAX),
            stage: Stage::Waiting,
            codes: 0,
            is_adopted: false,
        }
    }

    pub(super) fn pending(&self) -> PendingAuthorization {
        PendingAuthorization {
            application: Arc::clone(&self.application),
            challenge: self.pkce.challenge().cloned(),
            own: self.pkce.own().cloned(),
            state: self.state.clone(),
            browser: self.browser,
        }
    }

    /// Whether codes can be bound to it.
    pub(super) fn waits(&self, now: Timestamp) -> bool {
        self.stage == Stage::Waiting && self.deadline > now
    }

    /// Binds another code.
    pub(super) fn bind(&mut self, code: AuthorizationCode) -> Result<BoundCode, Bound> {
        if self.codes == CODES_PER_AUTHORIZATION {
            return Err(Bound::TooMany);
        }
        self.codes += 1;
        Ok(BoundCode {
            application: Arc::clone(&self.application),
            code,
            pkce: self.pkce.clone(),
        })
    }

    /// Undoes [`SignIn::bind`] for a code that found no room, if this is the sign-in with that number.
    pub(super) fn unbind(&mut self, number: u32) {
        if self.number == number {
            self.codes = self.codes.saturating_sub(1);
        }
    }

    /// Decides about a request with the key of this live sign-in. `None`: it replaces this one. `deadline`: its own.
    pub(super) fn meet(
        &mut self,
        pending: &PendingAuthorization,
        deadline: Timestamp,
    ) -> Option<Held> {
        let (of, asks) = (&self.application, &pending.application);
        let is_waiting = self.stage == Stage::Waiting;
        let is_same = (of.client, of.redirect) == (asks.client, asks.redirect)
            && self.pkce.challenge() == pending.challenge.as_ref();
        if is_waiting && is_same {
            return Some(Held::Again);
        }
        // A sign-in that has yielded its code can be replaced: the user signs in again, and the client uses one state for all
        // sign-ins. The code stays bound. Not at the same time, because then neither is the next. And only with
        // the browser's cookie, because another person may know the other values.
        let is_next = self.codes > 0 && self.deadline < deadline && pending.browser.is_some();
        if is_waiting && is_next {
            return None;
        }
        self.discard();
        Some(Held::Conflict)
    }

    /// Wipes the secrets. The record stays until its deadline.
    pub(super) fn discard(&mut self) {
        self.stage = Stage::Conflict;
        self.pkce = Pkce::NONE;
        self.state = ClientState::Absent;
        self.browser = None;
    }
}

impl Record for SignIn {
    fn key(&self) -> Digest {
        self.key
    }

    fn deadline(&self) -> Timestamp {
        self.deadline
    }

    fn class(&self) -> Class {
        match self.stage {
            Stage::Unfollowed => Class::Unfollowed,
            Stage::Waiting | Stage::Conflict => Class::SignIn,
        }
    }

    fn room(&self) -> Room {
        let client = (!self.is_adopted).then_some(self.application.client);
        Room::new(self.bytes(), self.network, client)
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.texts as usize
    }
}

/// A bound code, or what remains of one.
pub(super) struct Code {
    /// The core of its handle.
    key: Digest,
    deadline: Timestamp,
    /// How long it is bound to its sign-in, and to no other.
    forgotten: Timestamp,
    pub(super) fate: Fate,
    /// [`SignIn::number`]
    sign_in: u32,
    /// [`super::usage::Usage::name`]
    pub(super) network: u32,
    /// The length of its texts, and what its own verifier takes.
    texts: u16,
    /// The number of wrong verifiers.
    attempts: u8,
    /// The number of releases after a correct verifier.
    releases: u8,
    issued: Issued,
}

/// How a request presents a code.
#[derive(Clone, Copy)]
pub(super) struct Form {
    pub(super) issued: Issued,
    /// What the handle is for, if it is one.
    pub(super) purpose: Option<Purpose>,
}

/// The code is only here while it can be redeemed.
pub(super) enum Fate {
    Bound(BoundCode),
    /// The claim has the code, and returns it with a release.
    Claimed(Arc<Application>),
    Redeemed(Arc<Application>),
    Burnt(Arc<Application>),
    Expired(Arc<Application>),
}

impl Code {
    pub(super) fn new(
        key: Digest,
        bound: BoundCode,
        issued: Issued,
        sign_in: u32,
        deadline: Timestamp,
        forgotten: Timestamp,
    ) -> Self {
        let plain = plain(bound.challenge()).map_or(0, str::len);
        let own = bound.pkce.own().map_or(0, |_| OF_OWN);
        let texts = u16::try_from(bound.code.expose().len() + plain + own);
        Self {
            key,
            deadline,
            forgotten,
            fate: Fate::Bound(bound),
            sign_in,
            network: 0,
            texts: texts.unwrap_or(u16::MAX),
            attempts: 0,
            releases: 0,
            issued,
        }
    }

    /// Whether the code is still bound to its sign-in, also if it cannot be redeemed any more.
    pub(super) fn is_remembered(&self, now: Timestamp) -> bool {
        self.forgotten > now
    }

    /// Whether `sign_in` gets this code again in the same form.
    pub(super) fn is_again(&self, sign_in: u32, issued: Issued, now: Timestamp) -> bool {
        (self.sign_in, self.issued) == (sign_in, issued) && !self.has_expired(now)
    }

    fn has_expired(&self, now: Timestamp) -> bool {
        matches!(self.fate, Fate::Expired(_)) || self.is_over(now)
    }

    /// Whether it can be redeemed in this form.
    pub(super) fn is_alive(&self, issued: Issued, now: Timestamp) -> bool {
        matches!(self.fate, Fate::Bound(_)) && self.issued == issued && !self.is_over(now)
    }

    /// Judges a request that presents the code in this form, and claims the code for it if it matches. `opened`: the record of
    /// the presented handle, if the handle contains it.
    pub(super) fn redeem(
        &mut self,
        Form { issued, purpose }: Form,
        opened: Option<BoundCode>,
        attempts: u8,
        now: Timestamp,
        mut judge: impl FnMut(&BoundCode) -> Presented,
    ) -> Redeemed {
        let client = self.application().client;
        if self.issued != issued {
            return Redeemed::Unknown(Some(client));
        }
        if self.has_expired(now) {
            return Redeemed::Expired(Some(client));
        }
        let bound = match &self.fate {
            Fate::Bound(bound) => opened.as_ref().unwrap_or(bound),
            Fate::Claimed(_) | Fate::Redeemed(_) => return Redeemed::AlreadyRedeemed(client),
            Fate::Burnt(_) | Fate::Expired(_) => return Redeemed::Burnt(client),
        };
        // The checksum of a handle is no secret, so anyone can give a handle another prefix.
        if purpose.is_some_and(|purpose| purpose != bound.code.kind().into()) {
            return Redeemed::Unknown(Some(client));
        }
        let client = bound.application.client;
        let presented = judge(bound);
        match presented {
            Presented::Matches | Presented::Unproven => {
                let is_proved = presented == Presented::Matches;
                if let Some(kept) = self.enter(Fate::Claimed) {
                    let bound = opened.unwrap_or(kept);
                    return Redeemed::Claimed(Claim::new(self.key, self.fence(), bound, is_proved));
                }
            }
            Presented::Differs => {}
            Presented::WrongVerifier => {
                self.attempts = self.attempts.saturating_add(1);
                if self.attempts >= attempts {
                    self.enter(Fate::Burnt);
                }
            }
        }
        Redeemed::Mismatch(client)
    }

    /// Ends a claim. An expired code stays expired, and a later code with the same key is not changed.
    pub(super) fn settle(&mut self, claim: Claim, settlement: Settlement) {
        if !matches!(self.fate, Fate::Claimed(_)) || self.fence() != claim.fence() {
            return;
        }
        match settlement {
            Settlement::Burn => {
                self.enter(Fate::Redeemed);
            }
            Settlement::Release | Settlement::Wait => {
                let counts = settlement == Settlement::Release && claim.is_proved();
                self.releases = self.releases.saturating_add(counts.into());
                if self.releases <= RELEASES_PER_CODE {
                    self.fate = Fate::Bound(claim.into_bound());
                } else {
                    self.enter(Fate::Burnt);
                }
            }
        }
    }

    fn fence(&self) -> u64 {
        self.deadline.as_millis()
    }

    /// Changes the fate, and returns the code if it was bound.
    fn enter(&mut self, fate: fn(Arc<Application>) -> Fate) -> Option<BoundCode> {
        let fate = fate(Arc::clone(self.application()));
        match std::mem::replace(&mut self.fate, fate) {
            Fate::Bound(bound) => Some(bound),
            Fate::Claimed(_) | Fate::Redeemed(_) | Fate::Burnt(_) | Fate::Expired(_) => None,
        }
    }

    pub(super) fn application(&self) -> &Arc<Application> {
        match &self.fate {
            Fate::Bound(bound) => &bound.application,
            Fate::Claimed(of) | Fate::Redeemed(of) | Fate::Burnt(of) | Fate::Expired(of) => of,
        }
    }
}

impl Record for Code {
    fn key(&self) -> Digest {
        self.key
    }

    fn deadline(&self) -> Timestamp {
        self.deadline
    }

    fn class(&self) -> Class {
        match self.fate {
            Fate::Bound(_) | Fate::Claimed(_) => Class::Code,
            Fate::Redeemed(_) | Fate::Burnt(_) => Class::Tombstone,
            Fate::Expired(_) => Class::Trace,
        }
    }

    fn room(&self) -> Room {
        if self.class() == Class::Trace {
            return Room::NONE;
        }
        // Only sign-ins count towards a client's share, so that codes cannot prevent new sign-ins.
        Room::new(self.bytes(), self.network, None)
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + usize::from(self.texts)
    }

    fn stays(&mut self) -> bool {
        self.enter(Fate::Expired);
        self.texts = 0;
        let before = std::mem::replace(&mut self.deadline, self.forgotten);
        before < self.forgotten
    }
}

/// What the gate's own verifier takes, in bytes.
const OF_OWN: usize = size_of::<Pkce>() + OwnVerifier::BYTES + 16;

/// The challenge, if it takes memory of its own.
fn plain(challenge: Option<&CodeChallenge>) -> Option<&str> {
    match challenge {
        Some(CodeChallenge::Plain(challenge)) => Some(challenge),
        Some(CodeChallenge::S256(_) | CodeChallenge::Useless(_)) | None => None,
    }
}
