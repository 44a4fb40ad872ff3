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
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::memory::MemoryStore;
use super::operations::{Bound, Claim, Held, Owner, Pending, Place, Redeemed, StoreError};
use super::seal::{Sealer, Unopened};
use super::settings::Settings;
use crate::clock::{Timestamp, WallClock};
use crate::flow::wire::{Reader, Wire, Writer};
use crate::flow::{
    Application, BoundCode, Candidate, Handle, HandleKey, Key, PendingAuthorization, Presented,
    Purpose, Settlement,
};
use crate::network::Network;
use crate::oauth::{AuthorizationCode, Digest};

/// By how much the wall clocks of replicas may differ.
const LEEWAY: Duration = Duration::from_mins(1);

/// See the module's documentation.
pub(crate) struct SealedStore {
    key: HandleKey,
    clock: WallClock,
    sealer: Sealer,
    /// Lifetimes of pending authorizations and codes.
    lifetimes: (Duration, Duration),
    memory: Arc<MemoryStore>,
    /// Handles that were made in the future.
    from_future: AtomicU64,
}

/// The times of a sealed record, in milliseconds since 1970.
struct Times {
    made: u64,
    expires: u64,
}

/// A code's handle: the code, and the sign-in that it was bound to ([`MemoryStore::adopt_code`]).
struct SealedCode {
    sign_in: Digest,
    bound: BoundCode,
}

/// A record that was opened.
struct Opened<R> {
    record: R,
    /// How long this process remembers what becomes of it: [`LEEWAY`] longer than it is valid, in case the wall clock steps
    /// back.
    until: Timestamp,
}

/// Why a handle cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dead {
    /// It was valid once.
    Expired,
    Forged,
    /// The memory store made it, under an earlier configuration.
    Short,
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
            key,
            clock,
            sealer,
            lifetimes: (settings.pending, settings.code),
            memory,
            from_future: AtomicU64::new(0),
        }
    }

    /// What this process remembers, for the same store under another configuration.
    pub(crate) fn memory(&self) -> &Arc<MemoryStore> {
        &self.memory
    }

    /// Handles that were made in the future: the clock of another replica, or this one, is wrong.
    pub(crate) fn from_future(&self) -> u64 {
        self.from_future.load(Ordering::Relaxed)
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
                let (lifetime, _) = self.lifetimes;
                let handle = self.seal(Purpose::State, pending.clone(), lifetime)?;
                Ok(Held::Handle(handle))
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
            Ok(opened) => match here() {
                Pending::Conflict => Pending::Conflict,
                Pending::Live(_) | Pending::Expired | Pending::Unknown => {
                    Pending::Live(Box::new(opened.record))
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
        let opened = match self.open::<PendingAuthorization>(Purpose::State, handle) {
            Ok(opened) => opened,
            Err(Dead::Short) => return self.memory.bind(pending.digest(), place, code),
            Err(Dead::Expired | Dead::Forged) => return Ok(Bound::Unknown),
        };
        let sign_in = handle.digest();
        self.memory
            .adopt_sign_in(sign_in, &opened.record, opened.until)?;
        if let Place::Digest(_) = place {
            return self.memory.bind(sign_in, place, code);
        }
        let sealed = SealedCode {
            sign_in,
            bound: opened.record.bind(code.clone()),
        };
        let (_, lifetime) = self.lifetimes;
        let ours = self.seal(Purpose::Code, sealed, lifetime)?;
        let bound = self
            .memory
            .bind(sign_in, Place::Digest(ours.digest()), code)?;
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
            match self.open::<SealedCode>(Purpose::Code, handle) {
                Ok(Opened { record, until }) => {
                    let SealedCode { sign_in, bound } = record;
                    self.memory
                        .adopt_code(handle.digest(), &bound, sign_in, until)?;
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
                opened.map(|opened| opened.record.application)
            }
            Candidate::Code(key) => {
                let opened = self.open::<SealedCode>(Purpose::Code, key.handle()?);
                opened.map(|opened| opened.record.bound.application)
            }
        };
        match application {
            Ok(application) => Some(Some(owner(&application))),
            Err(Dead::Short) => None,
            Err(Dead::Expired | Dead::Forged) => Some(None),
        }
    }

    pub(crate) fn settle(&self, claim: Claim, settlement: Settlement) {
        self.memory.settle(claim, settlement);
    }

    pub(crate) fn discard(&self, pending: &Key) -> Result<(), StoreError> {
        if let Some(handle) = pending.handle()
            && let Ok(Opened { record, until }) =
                self.open::<PendingAuthorization>(Purpose::State, handle)
        {
            self.memory.adopt_sign_in(handle.digest(), &record, until)?;
        }
        self.memory.discard(pending.digest());
        Ok(())
    }

    fn seal(
        &self,
        purpose: Purpose,
        record: impl Wire,
        lifetime: Duration,
    ) -> Result<Handle, StoreError> {
        let made = self.clock.millis();
        let expires = made.saturating_add(millis(lifetime));
        let with_times = (Times { made, expires }, record);
        let sealed = self.sealer.seal(purpose, b"", &with_times)?;
        self.key.wrap(purpose, &sealed).ok_or(StoreError::TooLong)
    }

    fn open<R: Wire>(&self, purpose: Purpose, handle: &Handle) -> Result<Opened<R>, Dead> {
        // Read first: between the two clocks time may pass, and `until` must not become later by it.
        let before = self.memory.now();
        let sealed = handle.sealed().ok_or(Dead::Short)?;
        let opened = self.sealer.open(purpose, b"", &sealed);
        let (Times { made, expires }, record) = opened.map_err(|why| match why {
            Unopened::ForeignKey => Dead::Expired,
            Unopened::Forged => Dead::Forged,
        })?;
        let now = self.clock.millis();
        if made > now {
            self.from_future.fetch_add(1, Ordering::Relaxed);
        }
        if made > now.saturating_add(millis(LEEWAY)) || expires <= now {
            return Err(Dead::Expired);
        }
        let left = Duration::from_millis(expires - now);
        let until = before.after(left + LEEWAY);
        Ok(Opened { record, until })
    }
}

fn owner(application: &Application) -> Owner {
    Owner {
        client: application.client,
        alive: true,
        target: application.redirect.map(|redirect| redirect.target),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Wire for Times {
    fn write(&self, to: &mut Writer) -> Option<()> {
        (self.made, self.expires).write(to)
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let (made, expires) = Wire::read(from)?;
        Some(Self { made, expires })
    }
}

impl Wire for SealedCode {
    fn write(&self, to: &mut Writer) -> Option<()> {
        self.sign_in.write(to)?;
        self.bound.write(to)
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            sign_in: Digest::read(from)?,
            bound: BoundCode::read(from)?,
        })
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
