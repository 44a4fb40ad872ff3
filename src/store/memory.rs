//! The store in the memory of this process.
//!
//! - `record`: sign-ins and bound codes, and what becomes of one; `table`: records of one kind, and the queue of their deadlines.
//! - `usage`: the limits for all records, for each client and for each network; `tables`: how room is made.
//! - `sync`: locks and atomics, which a model checker can replace.
//!
//! `docs/src/operations.md` has the memory that a record takes; the `memory` mode of `benches/store.rs` measures it.
//!
//! **Expiry.** A record expires at its deadline, to the millisecond. It is removed a minute later, so that a late request gets
//! "expired" and not "unknown"; at a limit it is removed at once. Each added record removes up to two expired ones, and
//! [`MemoryStore::sweep`] removes the rest, 64 at a time. No operation iterates over live records.
//!
//! **Atomicity.** An operation reads and changes a record while the record's shard is locked; `redeem` also judges there. Only
//! `bind` needs two records. It locks their shards one after another: codes, sign-ins.
//!
//! **One record for each code.** The handle for a code is computed from the upstream's code with a secret of this store, so either
//! finds the record. A code is bound to one sign-in only: an attacker who injects another user's code into an answer to their own
//! sign-in must not get it bound there, too. After its deadline the record stays for `pending` as a trace, because a code may be
//! valid at the upstream for longer than here (RFC 6749 section 4.1.2 recommends ten minutes at most). Meanwhile the same sign-in
//! may yield the code again: it gets the same handle, and what became of the code is not forgotten. Traces do not
//! count towards the capacity; if there are too many of them, codes are refused.
//!
//! **Adopted** records were made by a store that keeps them in handles.
//!
//! **Tombstones** and conflicts are records whose secrets are wiped. They count towards the limits until they expire.

#[cfg(test)]
#[cfg(shuttle)]
mod model;
mod record;
mod sync;
mod table;
mod tables;
#[cfg(test)]
mod tests;
mod usage;

use std::fmt;
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::flow::handle;
use crate::flow::{
    BoundCode, Candidate, CodeLengths, HandleKey, Key, LengthsSeen, PendingAuthorization,
    Presented, Purpose, Settlement,
};
use crate::network::Network;
use crate::oauth::{AuthorizationCode, Digest};

use super::entropy;
use super::operations::{
    Bound, Claim, Held, Issued, Owner, Pending, Place, Redeemed, Statistics, StoreError,
};
use super::pace::Pace;
use super::settings::{Limit, Settings};
use record::{Code, Form, Record as _, SignIn, Stage};
use sync::atomic::{AtomicU32, Ordering};
use tables::Tables;

/// How long a sign-in waits for its browser to follow the redirect. Even a slow browser takes seconds only.
const UNFOLLOWED: Duration = Duration::from_mins(1);

/// The number of records that one sweep removes: a few milliseconds of work, because requests wait meanwhile.
const PER_SWEEP: usize = 32 * 1024;

/// How long a code can be redeemed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lifetime {
    /// `None`: [`Settings::code`].
    pub(crate) own: Option<Duration>,
    /// So much longer.
    pub(crate) longer: Duration,
}

/// Pending authorizations and codes in this process's memory. See the module's documentation.
pub struct MemoryStore {
    key: HandleKey,
    /// From which handles of codes are computed. `Err`: there were no random bytes.
    secret: Result<[u8; 32], StoreError>,
    clock: Clock,
    tables: Tables,
    pace: Pace,
    /// The number of the next sign-in.
    next: AtomicU32,
    /// Of all codes that were ever bound.
    lengths: LengthsSeen,
}

impl MemoryStore {
    /// An empty store; `key` makes its handles.
    pub fn new(settings: &Settings, key: HandleKey, clock: Clock) -> Self {
        Self {
            key,
            secret: entropy::random(),
            clock,
            tables: Tables::new(settings),
            pace: Pace::new(),
            next: AtomicU32::new(0),
            lengths: LengthsSeen::default(),
        }
    }

    /// Counts a sign-in towards the rate of its network, wherever it is kept.
    pub(crate) fn admit(&self, network: Option<Network>) -> Result<(), StoreError> {
        let rate = self.tables.settings.load().network_rate;
        let admitted = self.pace.admit(network, rate, self.clock.now());
        admitted.map_err(|wait| self.tables.refuse(Limit::Rate, wait))
    }

    /// The time on the clock of its deadlines.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// How long a sign-in that begins now lasts.
    pub(crate) fn lifetime(&self) -> Duration {
        self.tables.settings.load().pending
    }

    /// Changes the settings. Existing records keep their deadlines. If there are more than the new limits allow, new ones are
    /// refused until there is room.
    pub(crate) fn configure(&self, settings: &Settings) {
        self.tables.settings.store(settings.clone().into());
    }

    /// Stores a new pending authorization from this network.
    pub fn hold(
        &self,
        place: Place,
        pending: &PendingAuthorization,
        network: Option<Network>,
    ) -> Result<Held, StoreError> {
        let (tables, now) = (&self.tables, self.clock.now());
        let settings = tables.settings.load();
        let meet = |there: &mut SignIn| there.meet(pending, now.after(settings.pending));
        // Checked before the limits: the same request after a reload in the browser needs no room.
        if let Place::Digest(key) = place
            && let Some(held) = tables.sign_ins.lock(key).live(now).and_then(meet)
        {
            return Ok(held);
        }
        let (key, held) = match place {
            Place::Digest(key) => (key, Held::New),
            Place::Handle | Place::Entry => {
                let handle = entropy::mint(&self.key, Purpose::State)?;
                (handle.digest(), Held::Handle(handle))
            }
        };
        let mut sign_in = self.sign_in(key, pending, now.after(settings.pending));
        sign_in.network = tables.usage.name(network);
        if place == Place::Entry {
            sign_in.stage = Stage::Unfollowed;
            sign_in.deadline = now.after(UNFOLLOWED.min(settings.pending));
        }
        let room = sign_in.room();
        // Before other sign-ins are evicted: a network above its rate must not evict any.
        let may_begin = self.pace.may_begin(network, settings.network_rate, now);
        may_begin.map_err(|wait| tables.refuse(Limit::Rate, wait))?;
        tables.make_room(&room, now)?;
        self.admit(network)
            .inspect_err(|_| tables.usage.remove(&room))?;
        let mut slot = tables.sign_ins.lock(key);
        if let Some(instead) = slot.live(now).and_then(meet) {
            tables.usage.remove(&room);
            return match place {
                Place::Digest(_) => Ok(instead),
                // A new handle that exists already was not random.
                Place::Handle | Place::Entry => Err(StoreError::Entropy),
            };
        }
        tables.put(&mut slot, sign_in, now);
        Ok(held)
    }

    /// Reads a pending authorization, and marks its redirect as followed.
    pub fn pending(&self, key: Digest) -> Pending {
        let now = self.clock.now();
        let read = |sign_in: &mut SignIn| match sign_in.stage {
            _ if sign_in.is_over(now) => Pending::Expired,
            Stage::Conflict => Pending::Conflict,
            Stage::Unfollowed | Stage::Waiting => Pending::Live(Box::new(sign_in.pending())),
        };
        let read = self.tables.followed(key, now, read);
        read.unwrap_or(Pending::Unknown)
    }

    /// Binds a code to the pending authorization with the key `pending`.
    pub fn bind(
        &self,
        pending: Digest,
        issued: Issued,
        code: AuthorizationCode,
    ) -> Result<Bound, StoreError> {
        self.bind_within(pending, issued, code, None)
    }

    /// The same for a code that can be redeemed for so long. `None`: for [`Settings::code`].
    pub(crate) fn bind_within(
        &self,
        pending: Digest,
        issued: Issued,
        code: AuthorizationCode,
        lifetime: Option<Duration>,
    ) -> Result<Bound, StoreError> {
        let lifetime = Lifetime {
            own: lifetime,
            longer: Duration::ZERO,
        };
        let bound = self.bind_for(pending, issued, code, lifetime);
        bound.map(|(bound, _)| bound)
    }

    /// The same. Also returns how long the code can be redeemed.
    pub(crate) fn bind_for(
        &self,
        pending: Digest,
        issued: Issued,
        code: AuthorizationCode,
        lifetime: Lifetime,
    ) -> Result<(Bound, Duration), StoreError> {
        let refuse = |instead| Ok((instead, Duration::ZERO));
        self.lengths.add(code.expose().len());
        let (tables, now) = (&self.tables, self.clock.now());
        let number = |sign_in: &mut SignIn| sign_in.waits(now).then_some(sign_in.number);
        let Some(number) = tables.followed(pending, now, number).flatten() else {
            return refuse(Bound::Unknown);
        };
        let settings = tables.settings.load();
        let entropy = entropy::derived(self.secret?, code.digest());
        let (key, bound) = match issued {
            Issued::Handle => {
                let purpose = code.kind().into();
                let handle = entropy::mint_from(&self.key, purpose, entropy)?;
                (handle.core(), Bound::Handle(handle))
            }
            Issued::Raw => (handle::core(entropy), Bound::Raw),
        };
        let mut slot = tables.codes.lock(key);
        let there = slot.get();
        if let Some(there) = there.filter(|there| there.is_remembered(now)) {
            if !there.is_again(number, issued, now) {
                return refuse(Bound::Elsewhere);
            }
            return Ok((bound, there.deadline().since(now)));
        }
        let take = |there: &mut SignIn| {
            if there.number != number || !there.waits(now) {
                return Err(Bound::Unknown);
            }
            Ok((there.bind(code)?, there.network))
        };
        let taken = tables.sign_ins.with(pending, take);
        let (code, network) = match taken.unwrap_or(Err(Bound::Unknown)) {
            Ok(taken) => taken,
            Err(instead) => return refuse(instead),
        };
        let lifetime = lifetime.own.unwrap_or(settings.code) + lifetime.longer;
        let until = now.after(lifetime);
        let forgotten = until.after(settings.pending);
        let mut code = Code::new(key, code, issued, number, until, forgotten);
        code.network = network;
        tables.admit(&code).inspect_err(|_| {
            let undo = |there: &mut SignIn| there.unbind(number);
            tables.sign_ins.with(pending, undo);
        })?;
        tables.put(&mut slot, code, now);
        Ok((bound, lifetime))
    }

    /// The key of the record of a code of the upstream: the core of its handle.
    fn code_key(&self, raw: Digest) -> Result<Digest, StoreError> {
        self.secret
            .map(|secret| handle::core(entropy::derived(secret, raw)))
    }

    /// The lengths of all codes that were ever bound here.
    pub(crate) fn code_lengths(&self) -> CodeLengths {
        self.lengths.get()
    }

    /// Stores the sign-in of a handle that contains it, unless there is or was one with this key, or `until` has passed. Like
    /// codes, it counts towards no client's share and is refused later than new sign-ins.
    pub(crate) fn adopt_sign_in(
        &self,
        key: Digest,
        pending: &PendingAuthorization,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let (tables, now) = (&self.tables, self.clock.now());
        let mut slot = tables.sign_ins.lock(key);
        if slot.get().is_some() || until <= now {
            return Ok(());
        }
        let mut sign_in = self.sign_in(key, pending, until);
        sign_in.is_adopted = true;
        tables.admit(&sign_in)?;
        tables.put(&mut slot, sign_in, now);
        Ok(())
    }

    /// The same for a code.
    pub(crate) fn adopt_code(&self, bound: &BoundCode, until: Timestamp) -> Result<(), StoreError> {
        self.lengths.add(bound.code.expose().len());
        let (tables, now) = (&self.tables, self.clock.now());
        let key = self.code_key(bound.code.digest())?;
        let mut slot = tables.codes.lock(key);
        if slot.get().is_some_and(|there| there.is_remembered(now)) || until <= now {
            return Ok(());
        }
        // Of no sign-in that is here.
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let forgotten = until.after(tables.settings.load().pending);
        let bound = bound.clone();
        let code = Code::new(key, bound, Issued::Handle, number, until, forgotten);
        tables.admit(&code)?;
        tables.put(&mut slot, code, now);
        Ok(())
    }

    /// A new sign-in, which waits for codes.
    fn sign_in(&self, key: Digest, pending: &PendingAuthorization, deadline: Timestamp) -> SignIn {
        let shared = PendingAuthorization {
            application: self.tables.share(&pending.application),
            ..pending.clone()
        };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        SignIn::new(key, shared, number, deadline)
    }

    /// The key of a code's record, and the form in which it is presented.
    fn presented(&self, key: &Key) -> Option<(Digest, Form)> {
        let (key, issued, purpose) = match key {
            Key::Handle(handle) => (handle.core(), Issued::Handle, Some(handle.purpose())),
            Key::Digest(raw) => (self.code_key(*raw).ok()?, Issued::Raw, None),
        };
        Some((key, Form { issued, purpose }))
    }

    /// Judges a request by the code with this key, and claims the code for it if it matches, in one step.
    pub fn redeem(&self, key: &Key, judge: impl FnMut(&BoundCode) -> Presented) -> Redeemed {
        match self.presented(key) {
            Some((key, form)) => self.claim(key, form, None, judge),
            None => Redeemed::Unknown(None),
        }
    }

    /// The same for a handle that contains its code.
    pub(crate) fn redeem_opened(
        &self,
        opened: BoundCode,
        judge: impl FnMut(&BoundCode) -> Presented,
    ) -> Redeemed {
        let form = Form {
            issued: Issued::Handle,
            purpose: None,
        };
        match self.code_key(opened.code.digest()) {
            Ok(key) => self.claim(key, form, Some(opened), judge),
            Err(_) => Redeemed::Unknown(None),
        }
    }

    fn claim(
        &self,
        key: Digest,
        form: Form,
        opened: Option<BoundCode>,
        judge: impl FnMut(&BoundCode) -> Presented,
    ) -> Redeemed {
        let now = self.clock.now();
        let attempts = self.tables.settings.load().attempts;
        let redeem = |code: &mut Code| code.redeem(form, opened, attempts, now, judge);
        let redeemed = self.tables.codes.with(key, redeem);
        redeemed.unwrap_or(Redeemed::Unknown(None))
    }

    /// Returns the owner of each candidate, in the same order. `None`: unknown or forgotten.
    pub(crate) fn owners(&self, candidates: &[Candidate]) -> Vec<Option<Owner>> {
        let now = self.clock.now();
        let owner_of = |candidate: &Candidate| match candidate {
            Candidate::State(key) => self.tables.sign_ins.with(key.digest(), |sign_in| {
                let alive = sign_in.stage != Stage::Conflict && !sign_in.is_over(now);
                Owner::of(&sign_in.application, alive)
            }),
            Candidate::Code(key) => {
                let (key, form) = self.presented(key)?;
                self.code_owner(key, form.issued)
            }
        };
        candidates.iter().map(owner_of).collect()
    }

    /// The owner of the code in an opened handle.
    pub(crate) fn owner_of_opened(&self, opened: &BoundCode) -> Option<Owner> {
        let key = self.code_key(opened.code.digest()).ok()?;
        self.code_owner(key, Issued::Handle)
    }

    fn code_owner(&self, key: Digest, issued: Issued) -> Option<Owner> {
        let now = self.clock.now();
        self.tables.codes.with(key, |code| {
            Owner::of(code.application(), code.is_alive(issued, now))
        })
    }

    /// Ends a claim. An expired code stays expired, and a later code with the same key is not changed.
    pub fn settle(&self, claim: Claim, settlement: Settlement) {
        let settle = |key, claim| {
            self.tables
                .codes
                .with(key, |code| code.settle(claim, settlement))
        };
        settle(claim.key(), claim);
    }

    /// Discards a pending authorization: a conflict stays in its place until it expires. Codes that were bound before stay
    /// bound.
    pub(crate) fn discard(&self, pending: Digest) {
        let now = self.clock.now();
        self.tables.followed(pending, now, SignIn::discard);
    }

    /// Removes records that expired a minute ago, in small batches and for a few milliseconds at most.
    pub fn sweep(&self) {
        let mut dropped = 0;
        while dropped < PER_SWEEP {
            match self.sweep_batch() {
                0 => break,
                batch => dropped += batch,
            }
        }
        self.tables.shrink();
    }

    /// One batch of [`MemoryStore::sweep`]. Returns the number of deadlines that were due.
    pub fn sweep_batch(&self) -> usize {
        self.tables.sweep(self.clock.now())
    }

    /// Numbers for metrics and readiness.
    pub fn statistics(&self) -> Statistics {
        self.tables.statistics()
    }
}

/// Prints numbers only, because records contain secrets.
impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryStore")
            .field(&self.statistics())
            .finish()
    }
}
