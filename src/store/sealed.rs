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
use super::memory::{Lifetime, MemoryStore};
use super::operations::{Bound, Claim, Held, Issued, Owner, Pending, Place, Redeemed, StoreError};
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
    /// The lifetime of pending authorizations.
    lifetime: Duration,
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
            lifetime: settings.pending,
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
                self.envelopes.seal_sign_in(pending, self.lifetime)
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
        issued: Issued,
        code: AuthorizationCode,
        lifetime: Option<Duration>,
    ) -> Result<Bound, StoreError> {
        let in_memory = |code| {
            let memory = &self.memory;
            memory.bind_within(pending.digest(), issued, code, lifetime)
        };
        let sign_in = pending.digest();
        let opened = pending
            .handle()
            .map(|handle| self.open::<PendingAuthorization>(Purpose::State, handle));
        let (record, until) = match opened {
            Some(Ok(opened)) => opened,
            None | Some(Err(Dead::Short)) => return in_memory(code),
            Some(Err(Dead::Expired | Dead::Forged)) => return Ok(Bound::Unknown),
        };
        self.memory.adopt_sign_in(sign_in, &record, until)?;
        if issued == Issued::Raw {
            return in_memory(code);
        }
        let (purpose, bound) = (code.kind().into(), record.bind(code.clone()));
        let lifetime = Lifetime {
            own: lifetime,
            longer: LEEWAY,
        };
        let (kept, left) = self.memory.bind_for(sign_in, issued, code, lifetime)?;
        match kept {
            Bound::Handle(_) => {
                // A handle for a code that comes again lives no longer than the first one.
                let left = left.saturating_sub(LEEWAY);
                if left.is_zero() {
                    return Ok(Bound::Elsewhere);
                }
                self.envelopes.seal(purpose, bound, left).map(Bound::Handle)
            }
            Bound::Raw | Bound::TooMany | Bound::Elsewhere | Bound::Unknown => Ok(kept),
        }
    }

    pub(crate) fn redeem(
        &self,
        key: &Key,
        judge: impl FnMut(&BoundCode) -> Presented,
    ) -> Result<Redeemed, StoreError> {
        let opened = key.handle().map(|handle| self.open_code(handle));
        match opened {
            Some(Ok((bound, until))) => {
                self.memory.adopt_code(&bound, until)?;
                Ok(self.memory.redeem_opened(bound, judge))
            }
            Some(Err(Dead::Expired)) => Ok(Redeemed::Expired(None)),
            Some(Err(Dead::Forged)) => Ok(Redeemed::Unknown(None)),
            None | Some(Err(Dead::Short)) => Ok(self.memory.redeem(key, judge)),
        }
    }

    pub(crate) fn owners(&self, candidates: &[Candidate]) -> Vec<Option<Owner>> {
        let here = self.memory.owners(candidates);
        let both = candidates.iter().zip(here);
        both.map(|(candidate, here)| self.owner(candidate, here))
            .collect()
    }

    /// The owner of a candidate. `here`: according to the memory store, which knows what became of a sign-in.
    fn owner(&self, candidate: &Candidate, here: Option<Owner>) -> Option<Owner> {
        let (Candidate::State(key) | Candidate::Code(key)) = candidate;
        let Some(handle) = key.handle() else {
            return here;
        };
        let opened = match candidate {
            Candidate::State(_) => {
                let opened = self.open::<PendingAuthorization>(Purpose::State, handle);
                opened.map(|(record, _)| (record.application, here))
            }
            Candidate::Code(_) => {
                let opened = self.open_code(handle);
                opened.map(|(record, _)| {
                    let here = self.memory.owner_of_opened(&record);
                    (record.application, here)
                })
            }
        };
        match opened {
            Ok((application, here)) => {
                let alive = here.is_none_or(|here| here.alive);
                Some(Owner::of(&application, alive))
            }
            Err(Dead::Short) => here,
            Err(Dead::Expired | Dead::Forged) => here.map(|here| Owner {
                alive: false,
                ..here
            }),
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

    /// The same for the handle of a code.
    fn open_code(&self, handle: &Handle) -> Result<(BoundCode, Timestamp), Dead> {
        match handle.purpose() {
            Purpose::State => Err(Dead::Forged),
            purpose @ (Purpose::Code | Purpose::Device | Purpose::PushedRequest) => {
                self.open(purpose, handle)
            }
        }
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
