//! The store in the memory of this process.
//!
//! Memory per record, in bytes, at a million records (measured with the `memory` mode of `benches/store.rs`):
//!
//! ```text
//!                                                           log   index   together
//! pending authorization, S256, client state of 64 bytes       128      25        155
//! bound code of 32 bytes, or its tombstone                     96      25        122
//! trace of a code, which lives four times as long              48      25         74
//! a record for a client or redirect URI beyond the 3584th     +48                +48
//! a trace for such a client or redirect URI                   +16                +16
//! a different client for every record                                 +52        +52
//! a different network for every record (computed)              +29 to 57  +29 to 57
//! ```
//!
//! - `record`: the packed form of a record; `origin`: clients and redirect URIs, stored once.
//! - `log`: records in the order of their deadlines; `table`: an index over logs.
//! - `bind`: the operation on three records; `expiry`: making room; `usage`: capacity, shares and counters; `network`:
//!   a network's share and rate.
//! - `entropy`: random bytes; `sync`: locks and atomics, which a model checker can replace.
//!
//! **Expiry.** A record expires at its deadline, to the millisecond. It is dropped a minute later, so that a late
//! request is told "expired" and not "unknown"; at capacity it is dropped at once. Every addition drops up to two
//! expired records, and [`MemoryStore::sweep`] the rest, 64 at a time; nothing iterates over live records. All records
//! in a log have the same lifetime, so those whose redirect has not been followed have separate logs. (After a reload
//! with a shorter lifetime, new records are dropped only after the older ones in front of them, but they expire in
//! time.)
//!
//! **Atomicity.** Each operation changes a record under the lock of its log, and `redeem` also judges under it. `bind`
//! adds the code while it holds the index entry of the code's trace, and reads and counts under the lock of the pending
//! authorization while it holds the entry of the code: the lock order is traces, codes, pending authorizations. A
//! sign-in whose redirect is followed moves between two tables while the entry of the second is held: pending
//! authorizations, then unfollowed ones.
//!
//! **Traces** record to which sign-in each raw code was bound, for longer than the code lives here, so that it is never
//! bound to another one (`bind`). There are as many traces as codes; they do not count towards the capacity.
//!
//! **Tombstones** and conflict markers are records with wiped secrets. Their memory is freed together with their log
//! segment, when they would have expired.

mod bind;
mod entropy;
mod expiry;
mod limits;
mod log;
mod mix;
#[cfg(test)]
#[cfg(shuttle)]
mod model;
mod network;
mod origin;
mod record;
mod sync;
mod table;
#[cfg(test)]
mod tests;
mod usage;
mod wipe;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::flow::{
    BoundCode, CodeLengths, HandleKey, PendingAuthorization, Presented, Purpose, RELEASES_PER_CODE,
    Settlement,
};
use crate::oauth::{AuthorizationCode, Digest};

use super::settings::Settings;
use super::verbs::{Bound, Claim, Held, Owner, Pending, Place, Redeemed, Statistics, StoreError};
use crate::flow::Candidate;
use crate::network::Network;
use limits::Limits;
use network::NetworkName;
use origin::{Origin, OriginName, Origins};
use record::{Head, Record, State, pack_pending};
use sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use table::{Added, Table};
use usage::{Holder, MINTS, NO_PLACE, Usage};

pub(crate) use entropy::random;

/// How long a sign-in waits for the browser to follow the redirect, which takes seconds even in slow browsers.
const UNFOLLOWED: Duration = Duration::from_mins(1);

/// A store in the memory of this process. See the module documentation.
pub struct MemoryStore {
    limits: Arc<Limits>,
    key: HandleKey,
    clock: Clock,
    /// Pending authorizations whose redirect has not been followed. They live for a minute, so they have separate logs.
    unfollowed: Table,
    pending: Table,
    codes: Table,
    /// Keyed by the digests of raw codes.
    traces: Table,
    origins: Origins,
    usage: Usage,
    /// The lengths of all codes ever bound, as [`CodeLengths`].
    code_lengths: [AtomicU64; CodeLengths::WORDS],
    /// The shard at which the sweep continues: of unfollowed sign-ins, pending authorizations, codes, traces.
    cursor: AtomicUsize,
    /// The shard from which unfollowed sign-ins are evicted next.
    evicting: AtomicUsize,
    /// The last millisecond, plus one, at which no record had expired; a second search in it is useless.
    nothing_expired: AtomicU64,
}

#[derive(Clone, Copy)]
struct New<'p> {
    /// [`State::Pending`] or [`State::Unfollowed`].
    state: State,
    origin: OriginName,
    network: NetworkName,
    pending: &'p PendingAuthorization,
}

impl MemoryStore {
    /// Creates an empty store, whose handles are made with `key`.
    pub fn new(settings: &Settings, key: HandleKey, clock: Clock) -> Self {
        let limits = Arc::new(Limits::new(settings));
        Self {
            usage: Usage::new(Arc::clone(&limits)),
            limits,
            key,
            clock,
            unfollowed: Table::new(),
            pending: Table::new(),
            codes: Table::new(),
            traces: Table::new(),
            origins: Origins::new(),
            code_lengths: Default::default(),
            cursor: AtomicUsize::new(0),
            evicting: AtomicUsize::new(0),
            nothing_expired: AtomicU64::new(0),
        }
    }

    /// Changes the limits. Existing records keep their deadlines; if there are more than now allowed, new ones are
    /// refused until enough have expired.
    pub fn configure(&self, settings: &Settings) {
        self.limits.set(settings);
    }

    pub fn hold(
        &self,
        place: Place,
        pending: &PendingAuthorization,
        network: Option<Network>,
    ) -> Result<Held, StoreError> {
        let now = self.clock.now();
        // Before reserving room: a reload needs none.
        if let Place::Digest(key) = place
            && let Some(Some(held)) = self
                .pending
                .with(key, |there| self.meet(there, pending, now))
        {
            return Ok(held);
        }
        let origin = self.origins.name(Origin::of(pending));
        let state = match place {
            Place::Entry => State::Unfollowed,
            Place::Handle | Place::Digest(_) => State::Pending,
        };
        let weight = usage::weight(record::packed_length(origin, pending));
        let network = self.usage.networks().name(network);
        let holder = Holder {
            client: Some(pending.client),
            network,
        };
        let room = self.room(holder, (state, weight), now)?;
        let new = New {
            state,
            origin,
            network,
            pending,
        };
        let held = match place {
            Place::Handle | Place::Entry => self.hold_fresh(new, now)?,
            Place::Digest(key) => self.hold_at(key, new, now)?,
        };
        if matches!(held, Held::Handle(_) | Held::New) {
            room.fill();
        }
        Ok(held)
    }

    /// Reads a pending authorization without removing it, and marks its redirect as followed.
    pub fn pending(&self, key: Digest) -> Pending {
        let now = self.clock.now();
        let read = self.followed(key, now, |record| match record.state() {
            _ if record.is_over(now) => Pending::Expired,
            State::Pending => {
                let origin = self.origin_of(record);
                origin
                    .and_then(|(_, origin)| record.pending(origin).ok())
                    .map_or(Pending::Unknown, |pending| Pending::Live(Box::new(pending)))
            }
            State::Conflict
            | State::Unfollowed
            | State::Followed
            | State::Bound
            | State::Claimed
            | State::Redeemed
            | State::Burnt
            | State::Trace => Pending::Conflict,
        });
        // A redirect that was followed too late is reported as expired.
        let late = || self.unfollowed.with(key, |_| Pending::Expired);
        read.or_else(late).unwrap_or(Pending::Unknown)
    }

    /// Binds a code to the pending authorization under `pending`.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the caller's copy of the code is wiped here"
    )]
    pub fn bind(
        &self,
        pending: Digest,
        place: Place,
        code: AuthorizationCode,
    ) -> Result<Bound, StoreError> {
        // Recorded before the code can be looked up. Usually the length is known already.
        let (word, bit) = CodeLengths::place(code.expose().len());
        if let Some(known) = self.code_lengths.get(word)
            && known.load(Ordering::Acquire) & bit == 0
        {
            known.fetch_or(bit, Ordering::Release);
        }
        self.bind_to(pending, place, &code, self.clock.now())
    }

    /// The lengths of all codes ever bound here.
    pub fn code_lengths(&self) -> CodeLengths {
        let load = |word: &AtomicU64| word.load(Ordering::Acquire);
        CodeLengths::from_words(self.code_lengths.each_ref().map(load))
    }

    /// Judges a request by the code under `key` and, if it matches, claims the code, in one step.
    pub fn redeem(&self, key: Digest, judge: impl FnMut(&BoundCode) -> Presented) -> Redeemed {
        let now = self.clock.now();
        // Always looked up, so that the response time does not reveal whether the code exists.
        let traced = self.traces.with(key, |record| self.client_of(record));
        let redeemed = self
            .codes
            .with(key, |record| self.redeem_from(record, now, judge));
        match (redeemed.flatten(), traced.flatten()) {
            // An expired record may be older than the trace, which names the current owner.
            (Some(Redeemed::Expired(_)), Some(owner)) => Redeemed::Expired(owner),
            (Some(redeemed), _) => redeemed,
            (None, owner) => Redeemed::Unknown(owner),
        }
    }

    /// The owner of each candidate, in the same order, as long as the store remembers it.
    pub fn owners(&self, candidates: &[Candidate]) -> Vec<Option<Owner>> {
        let now = self.clock.now();
        let owner = |record: &mut Record<'_>| {
            let (_, origin) = self.origin_of(record)?;
            Some(Owner {
                client: origin.client,
                target: origin.redirect.map(|redirect| redirect.target()),
                alive: !record.is_over(now)
                    && matches!(
                        record.state(),
                        State::Pending | State::Unfollowed | State::Bound
                    ),
            })
        };
        let owner_of = |candidate: &Candidate| match *candidate {
            Candidate::State(key) => self.sign_in(key, owner).flatten(),
            Candidate::Code(key) => {
                // Always both lookups, as in `redeem`. An expired code may be older than the trace.
                let traced = self.traces.with(key, owner).flatten();
                let in_time =
                    |record: &mut Record<'_>| Some((owner(record)?, !record.is_over(now)));
                match self.codes.with(key, in_time).flatten() {
                    Some((owner, true)) => Some(owner),
                    found => traced.or(found.map(|(owner, _)| owner)),
                }
            }
        };
        candidates.iter().map(owner_of).collect()
    }

    /// Ends a claim. An expired code stays expired, and a later record under the same key is left alone.
    pub fn settle(&self, claim: Claim, settlement: Settlement) {
        let (key, fence, counts) = (claim.key(), claim.fence(), claim.is_proved());
        drop(claim); // wipes its copy of the code first
        self.codes.with(key, |record| {
            if record.state() != State::Claimed || fence_of(record) != fence {
                return;
            }
            match settlement {
                Settlement::Burn => self.bury(record, State::Redeemed),
                Settlement::Release if counts && record.count_release() > RELEASES_PER_CODE => {
                    self.bury(record, State::Burnt);
                }
                Settlement::Release => record.set_state(State::Bound),
            }
        });
    }

    /// Invalidates a pending authorization: a conflict marker replaces it until it would have expired. Codes bound
    /// before stay valid.
    pub fn discard(&self, pending: Digest) {
        self.followed(pending, self.clock.now(), |record| {
            record.entomb(State::Conflict);
        });
    }

    /// Counters for metrics and readiness.
    pub fn statistics(&self) -> Statistics {
        let usage = self.usage.statistics();
        let tables = [&self.unfollowed, &self.pending, &self.codes, &self.traces];
        let records: usize = tables.into_iter().map(Table::bytes).sum();
        Statistics {
            bytes: usage.bytes + records + self.origins.bytes(),
            ..usage
        }
    }

    /// Reads or changes a pending authorization, and extends its life if its redirect was not followed before.
    fn followed<T>(
        &self,
        key: Digest,
        now: Timestamp,
        f: impl Fn(&mut Record<'_>) -> T,
    ) -> Option<T> {
        self.pending.with(key, &f).or_else(|| {
            self.unfollowed.with(key, |_| ())?;
            self.follow(key, now);
            self.pending.with(key, f)
        })
    }

    /// If two threads follow at once, the second finds the record that the first has moved: it is always in one of the
    /// two tables.
    fn follow(&self, key: Digest, now: Timestamp) {
        let deadline = now.after(self.limits.pending());
        let live = |record: &mut Record<'_>| {
            let is_live = record.state() == State::Unfollowed && !record.is_over(now);
            is_live.then(|| record.follow(deadline))
        };
        let take = || self.unfollowed.with(key, live).flatten().ok_or(());
        if self.pending.add(key, |_| Some(()), take) == Added::New {
            self.usage.follow();
            self.drop_some(&self.pending, key, now);
        }
    }

    /// Reads a pending authorization, followed or not, without following it.
    fn sign_in<T>(&self, key: Digest, read: impl Fn(&mut Record<'_>) -> T) -> Option<T> {
        let of_unfollowed =
            |record: &mut Record<'_>| (record.state() != State::Followed).then(|| read(record));
        let found = self.pending.with(key, &read);
        let found = found.or_else(|| self.unfollowed.with(key, of_unfollowed).flatten());
        // Another thread may have moved it between the two lookups.
        found.or_else(|| self.pending.with(key, read))
    }

    fn hold_fresh(&self, new: New<'_>, now: Timestamp) -> Result<Held, StoreError> {
        for _ in 0..MINTS {
            let handle = entropy::mint(&self.key, Purpose::State)?;
            if self.hold_at(handle.digest(), new, now) == Ok(Held::New) {
                return Ok(Held::Handle(handle));
            }
        }
        Err(NO_PLACE)
    }

    fn hold_at(&self, key: Digest, new: New<'_>, now: Timestamp) -> Result<Held, StoreError> {
        let New {
            state,
            origin,
            network,
            pending,
        } = new;
        let (table, lifetime) = if state == State::Unfollowed {
            (&self.unfollowed, UNFOLLOWED.min(self.limits.pending()))
        } else {
            (&self.pending, self.limits.pending())
        };
        let head = Head {
            key,
            deadline: now.after(lifetime),
            origin,
            network,
        };
        let record = pack_pending(state, head, pending).ok_or(NO_PLACE)?;
        match table.add(key, |there| self.meet(there, pending, now), || Ok(record)) {
            Added::New => {
                self.drop_some(table, key, now);
                Ok(Held::New)
            }
            Added::Not(instead) => Ok(instead),
            Added::NoRoom => Err(NO_PLACE),
        }
    }

    /// Decides about a record with the same key as a new one. `None`: it may be replaced.
    fn meet(
        &self,
        there: &mut Record<'_>,
        pending: &PendingAuthorization,
        now: Timestamp,
    ) -> Option<Held> {
        if there.is_over(now) {
            return None;
        }
        let origin = Origin::of(pending);
        let same = there.state() == State::Pending
            && there.challenge().as_ref() == Ok(&pending.challenge)
            && self.origin_of(there).is_some_and(|(_, of)| of == origin);
        if same {
            return Some(Held::Again);
        }
        // A sign-in that has yielded its code is complete. A user who signs in again under the same values, because the
        // client always sends the same state, replaces it; the code stays bound as it was. (Not within the same
        // millisecond: the deadline distinguishes two uses of the same values.)
        let is_later = there.deadline() < now.after(self.limits.pending());
        // Only if the values include the browser's cookie: otherwise an attacker may know them.
        let is_own = pending.browser.is_some();
        if there.state() == State::Pending && there.count() > 0 && is_later && is_own {
            return None;
        }
        there.entomb(State::Conflict);
        Some(Held::Conflict)
    }

    fn redeem_from(
        &self,
        record: &mut Record<'_>,
        now: Timestamp,
        mut judge: impl FnMut(&BoundCode) -> Presented,
    ) -> Option<Redeemed> {
        let client = self.client_of(record)?;
        Some(match record.state() {
            _ if record.is_over(now) => Redeemed::Expired(client),
            State::Bound => {
                let bound = self.bound_code(record)?;
                let presented = judge(&bound);
                match presented {
                    Presented::Matches | Presented::Unproven => {
                        record.set_state(State::Claimed);
                        let is_proved = presented == Presented::Matches;
                        let claim = Claim::new(record.key(), fence_of(record), bound, is_proved);
                        return Some(Redeemed::Claimed(claim));
                    }
                    Presented::Differs => {}
                    Presented::WrongVerifier => {
                        if record.count_one() >= self.limits.attempts() {
                            self.bury(record, State::Burnt);
                        }
                    }
                }
                Redeemed::Mismatch(client)
            }
            State::Claimed | State::Redeemed => Redeemed::AlreadyRedeemed(client),
            State::Burnt
            | State::Pending
            | State::Unfollowed
            | State::Followed
            | State::Conflict
            | State::Trace => Redeemed::Burnt(client),
        })
    }

    fn client_of(&self, record: &Record<'_>) -> Option<Digest> {
        Some(self.origin_of(record)?.1.client)
    }

    fn origin_of(&self, record: &Record<'_>) -> Option<(OriginName, Origin)> {
        let name = record.origin().ok()?;
        Some((name, self.origins.resolve(name)?))
    }

    fn bound_code(&self, record: &Record<'_>) -> Option<BoundCode> {
        let (_, origin) = self.origin_of(record)?;
        let (code, challenge) = record.code().ok()?;
        Some(BoundCode::restore(
            code,
            challenge,
            origin.client,
            origin.redirect,
        ))
    }

    fn bury(&self, record: &mut Record<'_>, state: State) {
        record.entomb(state);
        self.usage.bury_code();
    }
}

/// Distinguishes claims of successive codes under the same key by their deadlines.
fn fence_of(record: &Record<'_>) -> u64 {
    record.deadline().as_millis()
}

/// Prints counters only: records contain secrets.
impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryStore")
            .field(&self.statistics())
            .finish()
    }
}
