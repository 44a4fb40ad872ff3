//! The store in the memory of this process.
//!
//! - `record`: sign-ins, bound codes and traces; `applications`: what they share.
//! - `table`: maps of records; `queue`: their deadlines; `tables`: all tables, and how they make room.
//! - `usage`: the limits for all records, for each client and for each network.
//! - `bind`: the operation on three records.
//! - `sync`: locks and atomics, which a model checker can replace.
//!
//! `docs/src/operations.md` has the memory that a record takes; the `memory` mode of `benches/store.rs` measures it.
//!
//! **Expiry.** A record expires at its deadline, to the millisecond. It is removed a minute later, so that a late request gets
//! "expired" and not "unknown"; at a limit it is removed at once. Each added record removes up to two expired ones, and
//! [`MemoryStore::sweep`] removes the rest, 64 at a time. No operation iterates over live records.
//!
//! **Atomicity.** An operation reads and changes a record while the record's shard is locked; `redeem` also judges there. `bind`
//! adds the code while the shard of its trace is locked, and reads the sign-in while the shard of the code is locked: traces,
//! codes, sign-ins, in this order. Queues are locked last, and one at a time.
//!
//! **Traces** remember to which sign-in each code was bound, for longer than the code lives here, so that it is never bound to
//! another one (`bind`). Each bound code has one. They count towards no limit.
//!
//! **Tombstones** and conflicts are records whose secrets are wiped. They count towards the limits until they expire.

mod applications;
mod bind;
#[cfg(test)]
#[cfg(shuttle)]
mod model;
mod queue;
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
use crate::flow::{
    BoundCode, CodeLengths, HandleKey, PendingAuthorization, Presented, Purpose, RELEASES_PER_CODE,
    Settlement,
};
use crate::oauth::{AuthorizationCode, Digest};

use super::entropy;
use super::operations::{
    Bound, Claim, Held, Owner, Pending, Place, Redeemed, Statistics, StoreError,
};
use super::settings::Settings;
use crate::flow::Candidate;
use crate::network::Network;
use record::{Code, Fate, Record, SignIn, Stage};
use sync::atomic::{AtomicU64, Ordering};
use tables::Tables;

/// How long a sign-in waits for its browser to follow the redirect. Even a slow browser takes seconds only.
const UNFOLLOWED: Duration = Duration::from_mins(1);

/// Pending authorizations and codes in this process's memory. See the module's documentation.
pub struct MemoryStore {
    key: HandleKey,
    clock: Clock,
    tables: Tables,
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
            code_lengths: Default::default(),
        }
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
        let meet = |there: &mut SignIn| meet(there, pending, now.after(settings.pending));
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
        let (stage, lifetime, queue) = if place == Place::Entry {
            let lifetime = UNFOLLOWED.min(settings.pending);
            (Stage::Unfollowed, lifetime, &tables.unfollowed)
        } else {
            let stage = Stage::Waiting { codes: 0 };
            (stage, settings.pending, &tables.sign_ins.queue)
        };
        let shared = PendingAuthorization {
            application: tables.applications.share(&pending.application),
            ..pending.clone()
        };
        let network = tables.usage.name(network);
        let record = SignIn::new(shared, stage, network, now.after(lifetime));
        let room = record.room();
        tables.make_room(room, &settings, now)?;
        let mut slot = tables.sign_ins.lock(key);
        if let Some(instead) = slot.live(now).and_then(meet) {
            tables.usage.remove(room);
            return match place {
                Place::Digest(_) => Ok(instead),
                // A new handle that exists already was not random.
                Place::Handle | Place::Entry => Err(StoreError::Entropy),
            };
        }
        if stage == Stage::Unfollowed {
            tables.counts.unfollowed.fetch_add(1, Ordering::Relaxed);
        }
        tables.put(slot, record, queue, now);
        Ok(held)
    }

    /// Reads a pending authorization, and marks its redirect as followed.
    pub fn pending(&self, key: Digest) -> Pending {
        let now = self.clock.now();
        let read = |sign_in: &mut SignIn| match sign_in.stage {
            _ if sign_in.is_over(now) => Pending::Expired,
            Stage::Conflict => Pending::Conflict,
            Stage::Unfollowed | Stage::Waiting { .. } => {
                Pending::Live(Box::new(sign_in.pending.clone()))
            }
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
        // Before the code can be looked up. Most codes have a length that is known already.
        let (word, bit) = CodeLengths::place(code.expose().len());
        if let Some(known) = self.code_lengths.get(word)
            && known.load(Ordering::Acquire) & bit == 0
        {
            known.fetch_or(bit, Ordering::Release);
        }
        let now = self.clock.now();
        self.tables.bind(pending, place, code, &self.key, now)
    }

    /// The time on the clock of its deadlines.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Adds the record of a handle that contains it, unless a record with this key exists, or `until` has passed.
    pub(crate) fn adopt_sign_in(
        &self,
        key: Digest,
        pending: &PendingAuthorization,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let (tables, now) = (&self.tables, self.clock.now());
        let mut slot = tables.sign_ins.lock(key);
        if slot.any() || until <= now {
            return Ok(());
        }
        let network = tables.usage.name(None);
        let stage = Stage::Waiting { codes: 0 };
        let record = SignIn::new(pending.clone(), stage, network, until);
        let settings = tables.settings.load();
        if tables
            .usage
            .add_code(record.room(), &settings, now)
            .is_err()
        {
            return Err(tables.refuse(super::Limit::Capacity, until.since(now)));
        }
        tables.put(slot, record, &tables.sign_ins.queue, now);
        Ok(())
    }

    /// The same for a code that was bound to `sign_in`. If another sign-in has the upstream's code, nothing is added.
    pub(crate) fn adopt_code(
        &self,
        key: Digest,
        bound: &BoundCode,
        sign_in: Digest,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let (tables, now) = (&self.tables, self.clock.now());
        let _ = sign_in;
        let mut slot = tables.codes.lock(key);
        if slot.any() || until <= now {
            return Ok(());
        }
        let network = tables.usage.name(None);
        let record = Code::new(bound.clone(), network, until);
        let settings = tables.settings.load();
        if tables
            .usage
            .add_code(record.room(), &settings, now)
            .is_err()
        {
            return Err(tables.refuse(super::Limit::Capacity, until.since(now)));
        }
        tables.put(slot, record, &tables.codes.queue, now);
        Ok(())
    }

    /// The lengths of all codes that were ever bound here.
    pub(crate) fn code_lengths(&self) -> CodeLengths {
        let load = |word: &AtomicU64| word.load(Ordering::Acquire);
        CodeLengths::from_words(self.code_lengths.each_ref().map(load))
    }

    /// Judges a request by the code with this key, and claims the code for it if it matches, in one step.
    pub fn redeem(&self, key: Digest, judge: impl FnMut(&BoundCode) -> Presented) -> Redeemed {
        let (tables, now) = (&self.tables, self.clock.now());
        // Always looked up, so that the time does not reveal whether the code exists.
        let traced = tables.traces.with(key, |trace| trace.owner(false).client);
        let attempts = tables.settings.load().attempts;
        let redeemed = tables.codes.with(key, |code| {
            if code.is_over(now) {
                // It may be older than the trace.
                return Redeemed::Expired(Some(traced.unwrap_or(code.owner(false).client)));
            }
            let redeemed = redeem_from(code, key, attempts, judge);
            if matches!(code.fate, Fate::Burnt(_)) && !matches!(redeemed, Redeemed::Burnt(_)) {
                tables.counts.tombstones.fetch_add(1, Ordering::Relaxed);
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
                sign_in.owner(sign_in.stage != Stage::Conflict && !sign_in.is_over(now))
            }),
            Candidate::Code(key) => {
                let key = key.digest();
                // Both are always looked up, as in `redeem`. An expired code may be older than the trace.
                let traced = tables.traces.with(key, |trace| trace.owner(false));
                let found = tables.codes.with(key, |code| {
                    let is_over = code.is_over(now);
                    let alive = matches!(code.fate, Fate::Bound(_)) && !is_over;
                    (code.owner(alive), is_over)
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
            let tombstones = &self.tables.counts.tombstones;
            tombstones.fetch_add(1, Ordering::Relaxed);
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
        self.tables.sweep(self.clock.now());
    }

    /// One batch of [`MemoryStore::sweep`]. Returns the number of deadlines that were due.
    pub fn sweep_batch(&self) -> usize {
        self.tables.sweep_batch(self.clock.now())
    }

    /// Numbers for metrics and readiness.
    pub fn statistics(&self) -> Statistics {
        self.tables.statistics()
    }
}

/// Decides about a request with the key of a live sign-in. `None`: it replaces that one. `deadline`: that of the new one.
fn meet(there: &mut SignIn, pending: &PendingAuthorization, deadline: Timestamp) -> Option<Held> {
    if let Stage::Waiting { codes } = there.stage {
        if there.is_of(pending) {
            return Some(Held::Again);
        }
        // A sign-in that has yielded its code can be replaced: the user signs in again, and the client uses one state for all
        // sign-ins. The code stays bound. Not within one millisecond, because the deadline distinguishes the two. And only with
        // the browser's cookie, because another person may know the other values.
        if codes > 0 && there.deadline < deadline && pending.browser.is_some() {
            return None;
        }
    }
    there.discard();
    Some(Held::Conflict)
}

/// Redeems a code that has not expired.
fn redeem_from(
    code: &mut Code,
    key: Digest,
    attempts: u8,
    mut judge: impl FnMut(&BoundCode) -> Presented,
) -> Redeemed {
    let fence = code.deadline.as_millis();
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
