//! The store without records: a handle contains its record, encrypted ([`super::seal`]). After a restart, and in another replica
//! with the same key files, it is worth the same.
//!
//! A handle cannot remember what became of it: whether its code was redeemed, how many verifiers were wrong, whether the sign-in
//! was discarded. This process remembers that in a memory store ([`SealedStore::memory`]): the first operation that depends on
//! it adds the record of the handle there ([`MemoryStore::adopt_sign_in`], [`MemoryStore::adopt_code`]), and from then on the
//! memory store decides as for records of its own. So within one process everything holds that the memory store promises. Across
//! replicas, and across a restart, a code can be presented again; whether it is redeemed twice is then up to the upstream.
//!
//! Records under digests (`codes = "upstream"`) are in the memory store only.
//!
//! **Time.** Handles carry times of the wall clock, because no other clock is shared. One that was made in the future, by more
//! than [`LEEWAY`], is refused: what became of it is remembered for its lifetime and [`LEEWAY`] only.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::envelope::{Dead, Envelopes, LEEWAY, Opened};
use super::memory::MemoryStore;
use super::operations::{Bound, Claim, Held, Owner, Pending, Place, Redeemed, StoreError};
use super::seal::Sealer;
use super::settings::Settings;
use crate::clock::{Timestamp, WallClock};
use crate::flow::wire::Wire;
use crate::flow::{
    BoundCode, Candidate, Handle, HandleKey, Key, PendingAuthorization, Presented, Purpose,
    Settlement,
};
use crate::network::Network;
use crate::oauth::AuthorizationCode;

/// See the module's documentation.
pub(crate) struct SealedStore {
    envelopes: Envelopes,
    /// The lifetimes of pending authorizations and of codes.
    lifetimes: (Duration, Duration),
    memory: Arc<MemoryStore>,
}

impl SealedStore {
    /// `key` makes its handles. `memory` may have records from an earlier configuration; their handles stay valid.
    pub(crate) fn new(
        settings: &Settings,
        sealer: Sealer,
        key: HandleKey,
        clock: WallClock,
        memory: Arc<MemoryStore>,
    ) -> Self {
        Self {
            envelopes: Envelopes::new(key, sealer, clock),
            lifetimes: (settings.pending, settings.code),
            memory,
        }
    }

    /// What this process remembers, for the same store under another configuration.
    pub(crate) fn memory(&self) -> &Arc<MemoryStore> {
        &self.memory
    }

    pub(super) fn envelopes(&self) -> &Envelopes {
        &self.envelopes
    }

    /// Handles that were made in the future: the clock of another replica, or this one, is wrong.
    pub(crate) fn made_ahead(&self) -> u64 {
        self.envelopes.made_ahead()
    }

    pub(crate) fn hold(
        &self,
        place: Place,
        pending: &PendingAuthorization,
        network: Option<Network>,
    ) -> Result<Held, StoreError> {
        match place {
            Place::Digest(_) => self.memory.hold(place, pending, network),
            Place::Handle | Place::Entry => {
                self.memory.admit(network)?;
                let (lifetime, _) = self.lifetimes;
                self.envelopes.seal_sign_in(pending, lifetime)
            }
        }
    }

    pub(crate) fn pending(&self, key: &Key) -> Pending {
        // Discarded here, or under an earlier configuration.
        let here = || self.memory.pending(key.digest());
        let Some(handle) = key.handle() else {
            return here();
        };
        match self.open::<PendingAuthorization>(Purpose::State, handle) {
            Ok((record, _)) => match here() {
                Pending::Conflict => Pending::Conflict,
                Pending::Live(_) | Pending::Expired | Pending::Unknown => {
                    Pending::Live(Box::new(record))
                }
            },
            Err(Dead::Expired) => Pending::Expired,
            Err(Dead::Forged) => Pending::Unknown,
            Err(Dead::Short) => here(),
        }
    }

    pub(crate) fn bind(
        &self,
        pending: &Key,
        place: Place,
        code: AuthorizationCode,
    ) -> Result<Bound, StoreError> {
        let Some(handle) = pending.handle() else {
            return self.memory.bind(pending.digest(), place, code);
        };
        let (record, until) = match self.open::<PendingAuthorization>(Purpose::State, handle) {
            Ok(opened) => opened,
            Err(Dead::Short) => return self.memory.bind(pending.digest(), place, code),
            Err(Dead::Expired | Dead::Forged) => return Ok(Bound::Unknown),
        };
        let sign_in = handle.digest();
        self.memory.adopt_sign_in(sign_in, &record, until)?;
        if let Place::Digest(_) = place {
            return self.memory.bind(sign_in, place, code);
        }
        let bound = record.bind(code.clone());
        let ours = self
            .envelopes
            .seal(Purpose::Code, bound, self.lifetimes.1)?;
        let key = Place::Digest(ours.digest());
        let bound = self.memory.bind_and_remember(sign_in, key, code, LEEWAY)?;
        Ok(match bound {
            Bound::Digest => Bound::Handle(ours),
            Bound::Handle(_) | Bound::TooMany | Bound::Elsewhere | Bound::Unknown => bound,
        })
    }

    pub(crate) fn redeem(
        &self,
        key: &Key,
        judge: impl FnMut(&BoundCode) -> Presented,
    ) -> Result<Redeemed, StoreError> {
        if let Some(handle) = key.handle() {
            match self.open::<BoundCode>(Purpose::Code, handle) {
                Ok((bound, until)) => {
                    self.memory.adopt_code(handle.digest(), &bound, until)?;
                }
                Err(Dead::Expired) => return Ok(Redeemed::Expired(None)),
                Err(Dead::Forged) => return Ok(Redeemed::Unknown(None)),
                Err(Dead::Short) => {}
            }
        }
        Ok(self.memory.redeem(key.digest(), judge))
    }

    pub(crate) fn owners(&self, candidates: &[Candidate]) -> Vec<Option<Owner>> {
        let mut owners = self.memory.owners(candidates);
        for (candidate, owner) in candidates.iter().zip(&mut owners) {
            match (owner.as_mut(), self.sealed_owner(candidate)) {
                // The memory store knows what became of it, the handle when it expires.
                (Some(owner), Some(sealed)) => owner.alive &= sealed.is_some(),
                (None, Some(sealed)) => *owner = sealed,
                (_, None) => {}
            }
        }
        owners
    }

    /// The owner according to a sealed handle; the inner `None`: it is dead. The outer `None`: it is not a sealed handle.
    #[expect(clippy::option_option, reason = "as documented")]
    fn sealed_owner(&self, candidate: &Candidate) -> Option<Option<Owner>> {
        let application = match candidate {
            Candidate::State(key) => {
                let opened = self.open::<PendingAuthorization>(Purpose::State, key.handle()?);
                opened.map(|(record, _)| record.application)
            }
            Candidate::Code(key) => {
                let opened = self.open::<BoundCode>(Purpose::Code, key.handle()?);
                opened.map(|(record, _)| record.application)
            }
        };
        match application {
            Ok(application) => Some(Some(Owner::of(&application, true))),
            Err(Dead::Short) => None,
            Err(Dead::Expired | Dead::Forged) => Some(None),
        }
    }

    pub(crate) fn settle(&self, claim: Claim, settlement: Settlement) {
        self.memory.settle(claim, settlement);
    }

    pub(crate) fn discard(&self, pending: &Key) -> Result<(), StoreError> {
        if let Some(handle) = pending.handle()
            && let Ok((record, until)) = self.open::<PendingAuthorization>(Purpose::State, handle)
        {
            self.memory.adopt_sign_in(handle.digest(), &record, until)?;
        }
        self.memory.discard(pending.digest());
        Ok(())
    }

    /// Opens a handle that is still valid. Also returns how long this process remembers what becomes of it: [`LEEWAY`] longer
    /// than it is valid, in case the wall clock steps back.
    fn open<R: Wire>(&self, purpose: Purpose, handle: &Handle) -> Result<(R, Timestamp), Dead> {
        // Read first: between the two clocks time may pass, and must not add to the lifetime.
        let now = self.memory.now();
        let Opened { record, left } = self.envelopes.open(purpose, handle)?;
        let left = left.ok_or(Dead::Expired)?;
        Ok((record, now.after(left + LEEWAY)))
    }
}

/// Prints numbers only, because records contain secrets.
impl fmt::Debug for SealedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SealedStore")
            .field(&self.memory.statistics())
            .finish()
    }
}

#[cfg(test)]
mod tests;
