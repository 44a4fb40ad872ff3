//! The store in the memory of this process.
//!
//! - `record`: sign-ins, bound codes and traces; `shards`: tables of them, from which records are removed in the order of their
//!   deadlines.
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
//! `bind` needs three records. It locks their shards one after another: traces, codes, sign-ins.
//!
//! **Traces.** A code is bound to one sign-in only: an attacker who injects another user's code into an answer to their own sign-in
//! must not get it bound there, too. So each code leaves a trace with its digest as the key, which remembers the sign-in. It lives
//! for `pending` + `code`, because a code may be valid at the upstream for longer than here (RFC 6749 section 4.1.2 recommends ten
//! minutes at most). Meanwhile the same sign-in may yield the code again. Traces count towards no limit.
//!
//! **Adopted** records were made by a store that keeps them in handles. A trace of an adopted code protects it like any other.
//!
//! **Tombstones** and conflicts are records whose secrets are wiped. They count towards the limits until they expire.

#[cfg(test)]
#[cfg(shuttle)]
mod model;
mod record;
mod shards;
mod sync;
mod tables;
#[cfg(test)]
mod tests;
mod usage;

use std::fmt;
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::flow::{
    BoundCode, CODES_PER_AUTHORIZATION, Candidate, CodeLengths, HandleKey, PendingAuthorization,
    Presented, Purpose, RELEASES_PER_CODE, Settlement,
};
use crate::network::Network;
use crate::oauth::{AuthorizationCode, Digest};

use super::entropy;
use super::operations::{
    Bound, Claim, Held, Owner, Pending, Place, Redeemed, Statistics, StoreError,
};
use super::pace::Pace;
use super::settings::{Limit, Settings};
use record::{Code, Fate, SignIn, Stage, Trace, owner};
use shards::{Kind, Record as _};
use sync::atomic::{AtomicU32, AtomicU64, Ordering};
use tables::Tables;

/// How long a sign-in waits for its browser to follow the redirect. Even a slow browser takes seconds only.
const UNFOLLOWED: Duration = Duration::from_mins(1);

/// The number of records that one sweep removes: a few milliseconds of work, because requests wait meanwhile.
const PER_SWEEP: usize = 32 * 1024;

/// Pending authorizations and codes in this process's memory. See the module's documentation.
pub struct MemoryStore {
    key: HandleKey,
    clock: Clock,
    tables: Tables,
    pace: Pace,
    /// The number of the next sign-in.
    next: AtomicU32,
    /// The lengths of all codes that were ever bound, as [`CodeLengths`].
    code_lengths: [AtomicU64; CodeLengths::WORDS],
}

impl MemoryStore {
    /// An empty store; `key` makes its handles.
    pub fn new(settings: &Settings, key: HandleKey, clock: Clock) -> Self {
        Self {
            key,
            clock,
            tables: Tables::new(settings),
            pace: Pace::new(),
            next: AtomicU32::new(0),
            code_lengths: Default::default(),
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
        let meet = |there: &mut Box<SignIn>| meet(there, pending, now.after(settings.pending));
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
        let mut kind = Kind::Lasting(settings.pending);
        if place == Place::Entry {
            kind = Kind::Unfollowed;
            sign_in.stage = Stage::Unfollowed;
            sign_in.deadline = now.after(UNFOLLOWED.min(settings.pending));
        }
        let sign_in = Box::new(sign_in);
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
        tables.put(&mut slot, kind, sign_in, now);
        Ok(held)
    }

    /// Reads a pending authorization, and marks its redirect as followed.
    pub fn pending(&self, key: Digest) -> Pending {
        let now = self.clock.now();
        let read = |sign_in: &mut SignIn| match sign_in.stage {
            _ if sign_in.deadline <= now => Pending::Expired,
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
        place: Place,
        code: AuthorizationCode,
    ) -> Result<Bound, StoreError> {
        self.bind_and_remember(pending, place, code, Duration::ZERO)
    }

    /// The same, and remembers the code for so much longer than it can be redeemed.
    pub(crate) fn bind_and_remember(
        &self,
        pending: Digest,
        place: Place,
        code: AuthorizationCode,
        longer: Duration,
    ) -> Result<Bound, StoreError> {
        self.note_length(&code);
        let (tables, now) = (&self.tables, self.clock.now());
        let number = |sign_in: &mut SignIn| sign_in.waits(now).then_some(sign_in.number);
        let Some(sign_in) = tables.followed(pending, now, number).flatten() else {
            return Ok(Bound::Unknown);
        };
        let settings = tables.settings.load();
        let lifetime = settings.code + longer;
        let raw = code.digest();
        let mut trace = tables.traces.lock(raw);
        let known = trace
            .live(now)
            .map(|there| (there.sign_in, there.left(now)));
        if known.is_some_and(|(other, _)| other != sign_in) {
            return Ok(Bound::Elsewhere);
        }
        let (key, bound) = match place {
            Place::Digest(key) => (key, Bound::Digest),
            Place::Handle | Place::Entry => {
                let handle = entropy::mint(&self.key, Purpose::Code)?;
                (handle.digest(), Bound::Handle(handle))
            }
        };
        let mut slot = tables.codes.lock(key);
        if slot.live(now).is_some() {
            return Ok(known.map_or(Bound::Elsewhere, |_| Bound::Digest));
        }
        let take = |there: &mut Box<SignIn>| {
            if there.number != sign_in || !there.waits(now) {
                return Err(Bound::Unknown);
            }
            if there.codes == CODES_PER_AUTHORIZATION {
                return Err(Bound::TooMany);
            }
            there.codes += 1;
            Ok((there.bind(code), there.network))
        };
        let taken = tables.sign_ins.with(pending, take);
        let code = match taken.unwrap_or(Err(Bound::Unknown)) {
            Ok((bound, network)) => Code::new(key, bound, network, now.after(lifetime)),
            Err(instead) => return Ok(instead),
        };
        tables.admit(&code)?;
        let traced = match known {
            None => lifetime.max(settings.code + settings.pending),
            // The trace must outlive the code, which may live longer after a reload.
            Some((_, left)) if left < lifetime => lifetime,
            Some(_) => Duration::ZERO,
        };
        if !traced.is_zero() {
            let remembers = Trace::new(raw, &code, sign_in, now.after(traced));
            tables.put(&mut trace, Kind::Lasting(traced), remembers, now);
        }
        tables.put(&mut slot, Kind::Lasting(lifetime), code, now);
        Ok(bound)
    }

    /// Before a code can be looked up. Most codes have a length that is known already.
    fn note_length(&self, code: &AuthorizationCode) {
        let (word, bit) = CodeLengths::place(code.expose().len());
        if let Some(known) = self.code_lengths.get(word)
            && known.load(Ordering::Acquire) & bit == 0
        {
            known.fetch_or(bit, Ordering::Release);
        }
    }

    /// The lengths of all codes that were ever bound here.
    pub(crate) fn code_lengths(&self) -> CodeLengths {
        let load = |word: &AtomicU64| word.load(Ordering::Acquire);
        CodeLengths::from_words(self.code_lengths.each_ref().map(load))
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
        let sign_in = Box::new(sign_in);
        tables.admit(&sign_in)?;
        tables.put(&mut slot, Kind::Adopted, sign_in, now);
        Ok(())
    }

    /// The same for a code. It is not stored if the upstream's code is bound here already, so that it is unknown.
    pub(crate) fn adopt_code(
        &self,
        key: Digest,
        bound: &BoundCode,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        self.note_length(&bound.code);
        let (tables, now) = (&self.tables, self.clock.now());
        let raw = bound.code.digest();
        let mut trace = tables.traces.lock(raw);
        let mut slot = tables.codes.lock(key);
        if slot.get().is_some() || trace.live(now).is_some() || until <= now {
            return Ok(());
        }
        let code = Code::new(key, bound.clone(), 0, until);
        tables.admit(&code)?;
        // Of no sign-in that is here.
        let sign_in = self.next.fetch_add(1, Ordering::Relaxed);
        let remembered = until.after(tables.settings.load().pending);
        let remembers = Trace::new(raw, &code, sign_in, remembered);
        tables.put(&mut trace, Kind::Adopted, remembers, now);
        tables.put(&mut slot, Kind::Adopted, code, now);
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

    /// Judges a request by the code with this key, and claims the code for it if it matches, in one step.
    pub fn redeem(&self, key: Digest, judge: impl FnMut(&BoundCode) -> Presented) -> Redeemed {
        let (tables, now) = (&self.tables, self.clock.now());
        // Always looked up, so that the time does not reveal whether the code exists.
        let traced = tables.traces.with(key, |trace| trace.application.client);
        let attempts = tables.settings.load().attempts;
        let redeemed = tables.codes.with(key, |code| {
            if code.is_over(now) {
                // It may be older than the trace.
                return Redeemed::Expired(Some(traced.unwrap_or(code.application().client)));
            }
            let redeemed = redeem_from(code, attempts, judge);
            if code.is_tombstone() && matches!(redeemed, Redeemed::Mismatch(_)) {
                tables.tombstones.fetch_add(1, Ordering::Relaxed);
            }
            redeemed
        });
        redeemed.unwrap_or(Redeemed::Unknown(traced))
    }

    /// Returns the owner of each candidate, in the same order. `None`: unknown or forgotten.
    pub(crate) fn owners(&self, candidates: &[Candidate]) -> Vec<Option<Owner>> {
        let (tables, now) = (&self.tables, self.clock.now());
        let owner_of = |candidate: &Candidate| match candidate {
            Candidate::State(key) => tables.sign_ins.with(key.digest(), |sign_in| {
                let alive = sign_in.stage != Stage::Conflict && !sign_in.is_over(now);
                owner(&sign_in.application, alive)
            }),
            Candidate::Code(key) => {
                let key = key.digest();
                // Both are always looked up, as in `redeem`. An expired code may be older than the trace.
                let traced = tables
                    .traces
                    .with(key, |trace| owner(&trace.application, false));
                let found = tables.codes.with(key, |code| {
                    let is_over = code.is_over(now);
                    let alive = matches!(code.fate, Fate::Bound(_)) && !is_over;
                    (owner(code.application(), alive), is_over)
                });
                match found {
                    Some((owner, false)) => Some(owner),
                    found => traced.or(found.map(|(owner, _)| owner)),
                }
            }
        };
        candidates.iter().map(owner_of).collect()
    }

    /// Ends a claim. An expired code stays expired, and a later code with the same key is not changed.
    pub fn settle(&self, claim: Claim, settlement: Settlement) {
        let (key, deadline, counts) = (claim.key(), claim.fence(), claim.is_proved());
        let bound = claim.into_bound();
        self.tables.codes.with(key, |code| {
            let Fate::Claimed(_) = code.fate else {
                return;
            };
            if code.deadline.as_millis() != deadline {
                return;
            }
            let fate = match settlement {
                Settlement::Burn => Fate::Redeemed,
                Settlement::Release => {
                    code.releases = code.releases.saturating_add(counts.into());
                    if code.releases <= RELEASES_PER_CODE {
                        code.fate = Fate::Bound(bound);
                        return;
                    }
                    Fate::Burnt
                }
            };
            code.enter(fate);
            self.tables.tombstones.fetch_add(1, Ordering::Relaxed);
        });
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

/// Decides about a request with the key of a live sign-in. `None`: it replaces that one. `deadline`: that of the new one.
fn meet(
    there: &mut Box<SignIn>,
    pending: &PendingAuthorization,
    deadline: Timestamp,
) -> Option<Held> {
    if there.stage == Stage::Waiting && there.is_of(pending) {
        return Some(Held::Again);
    }
    // A sign-in that has yielded its code can be replaced: the user signs in again, and the client uses one state for all
    // sign-ins. The code stays bound. Not at the same time, because then neither is the next. And only with
    // the browser's cookie, because another person may know the other values.
    let is_next = there.codes > 0 && there.deadline < deadline && pending.browser.is_some();
    if there.stage == Stage::Waiting && is_next {
        return None;
    }
    there.discard();
    Some(Held::Conflict)
}

/// Redeems a code that has not expired.
fn redeem_from(
    code: &mut Code,
    attempts: u8,
    mut judge: impl FnMut(&BoundCode) -> Presented,
) -> Redeemed {
    let (key, fence) = (code.key, code.deadline.as_millis());
    let bound = match &code.fate {
        Fate::Bound(bound) => bound,
        Fate::Claimed(of) | Fate::Redeemed(of) => return Redeemed::AlreadyRedeemed(of.client),
        Fate::Burnt(of) => return Redeemed::Burnt(of.client),
    };
    let client = bound.application.client;
    let presented = judge(bound);
    match presented {
        Presented::Matches | Presented::Unproven => {
            let is_proved = presented == Presented::Matches;
            if let Some(bound) = code.enter(Fate::Claimed) {
                return Redeemed::Claimed(Claim::new(key, fence, bound, is_proved));
            }
        }
        Presented::Differs => {}
        Presented::WrongVerifier => {
            code.attempts = code.attempts.saturating_add(1);
            if code.attempts >= attempts {
                code.enter(Fate::Burnt);
            }
        }
    }
    Redeemed::Mismatch(client)
}

/// Prints numbers only, because records contain secrets.
impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryStore")
            .field(&self.statistics())
            .finish()
    }
}
