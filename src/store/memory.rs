//! The store in this process.
//!
//! - `record`: what is kept of a sign-in, of a code, and of a code that was bound once (a trace); `table`: records by their
//!   keys, and queues that say when they expire; `tables`: all of them, and making room in them.
//! - `usage`: how much room there is, for a client and a network, and how many sign-ins a second a network may begin.
//! - `bind`: the verb with three records.
//! - `entropy`: random bytes; `sync`: locks and atomics, for which a model checker can step in.
//!
//! What a record costs at a million of them is in `docs/src/operations.md`; the `memory` mode of `benches/store.rs` measures it.
//!
//! **Expiry.** A record is over at its deadline, to the millisecond. It is dropped a minute later, so that a late request is
//! told "expired" and not "unknown"; at capacity it is dropped at once. Two go with each one that is added, and the rest with
//! [`MemoryStore::sweep`], 64 at a time: nothing ever walks over records that are alive.
//!
//! **Atomicity.** What a verb does to a record it does under the lock of the record; `redeem` judges there, too. `bind` adds
//! the code while it holds the place of the code's trace, and reads the sign-in while it holds the place of the code: traces,
//! codes, sign-ins, in this order. A queue is locked last, and never while another one is.
//!
//! **Traces** say of each raw code to which sign-in it was bound, for longer than the code lives here: it is never bound
//! to another one (`bind`). There are as many as codes, and they take no room.
//!
//! **Tombstones** and conflicts are records whose secrets are wiped. They take their room until they would have expired.

mod bind;
mod entropy;
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
use crate::flow::{
    BoundCode, CodeLengths, HandleKey, PendingAuthorization, Presented, Purpose, RELEASES_PER_CODE,
    Settlement,
};
use crate::oauth::{AuthorizationCode, Digest};

use super::operations::{
    Bound, Claim, Held, Owner, Pending, Place, Redeemed, Statistics, StoreError,
};
use super::settings::Settings;
use crate::flow::Candidate;
use crate::network::Network;
use record::{Code, Fate, Record as _, SignIn, Stage};
use sync::atomic::{AtomicU64, Ordering};
use tables::Tables;

pub(crate) use entropy::random;

/// How long a sign-in waits for its browser to follow the redirect: seconds for any browser, also a slow one.
const UNFOLLOWED: Duration = Duration::from_mins(1);

/// Pending authorizations and codes in this process's memory. See the module's documentation.
pub struct MemoryStore {
    key: HandleKey,
    clock: Clock,
    tables: Tables,
    /// How long the codes are that were bound, as [`CodeLengths`].
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

    /// Changes what may be kept from now on. Records that are there keep their deadlines; where they are more than there may be
    /// now, new ones are refused until there are fewer.
    pub(crate) fn configure(&self, settings: &Settings) {
        self.tables.settings.store(settings.clone().into());
    }

    /// Keeps a new pending authorization that comes from that network.
    pub fn hold(
        &self,
        place: Place,
        pending: &PendingAuthorization,
        network: Option<Network>,
    ) -> Result<Held, StoreError> {
        let (tables, now) = (&self.tables, self.clock.now());
        let settings = tables.settings.load();
        let meet = |there: &mut SignIn| meet(there, pending, now, now.after(settings.pending));
        // Before there is room for a new one: a reload needs none.
        if let Place::Digest(key) = place
            && let Some(Some(held)) = tables.sign_ins.with(key, meet)
        {
            return Ok(held);
        }
        let (stage, lifetime, queue) = if place == Place::Entry {
            let lifetime = UNFOLLOWED.min(settings.pending);
            (Stage::Unfollowed, lifetime, &tables.queues.unfollowed)
        } else {
            let stage = Stage::Waiting { codes: 0 };
            (stage, settings.pending, &tables.queues.sign_ins)
        };
        let (key, held) = match place {
            Place::Digest(key) => (key, Held::New),
            Place::Handle | Place::Entry => {
                let handle = entropy::mint(&self.key, Purpose::State)?;
                (handle.digest(), Held::Handle(handle))
            }
        };
        let room = SignIn::room_of(pending, tables.usage.name(network));
        tables.make_room(room, &settings, now)?;
        let make = || {
            let asked = tables.applications.share(pending);
            let deadline = now.after(lifetime);
            Ok(SignIn::new(pending, asked, room, stage, deadline))
        };
        match tables.sign_ins.add(queue, key, meet, make) {
            Ok(replaced) => {
                if stage == Stage::Unfollowed {
                    tables.counts.unfollowed.fetch_add(1, Ordering::Relaxed);
                }
                if let Some(replaced) = replaced {
                    tables.account_for(&*replaced);
                }
                tables.drop_some(queue, &tables.sign_ins, now);
                Ok(held)
            }
            Err(instead) => {
                tables.usage.remove(room);
                match place {
                    Place::Digest(_) => Ok(instead),
                    // A fresh handle that is there already was not drawn at random.
                    Place::Handle | Place::Entry => Err(StoreError::Entropy),
                }
            }
        }
    }

    /// Reads a pending authorization; it stays. From now on it was followed.
    pub fn pending(&self, key: Digest) -> Pending {
        let now = self.clock.now();
        let read = self
            .tables
            .followed(key, now, |sign_in| match sign_in.stage {
                _ if sign_in.is_over(now) => Pending::Expired,
                Stage::Conflict => Pending::Conflict,
                Stage::Unfollowed | Stage::Waiting { .. } => {
                    Pending::Live(Box::new(sign_in.read()))
                }
            });
        read.unwrap_or(Pending::Unknown)
    }

    /// Binds a code to the pending authorization under `pending`.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the caller's copy of the code ends here"
    )]
    pub fn bind(
        &self,
        pending: Digest,
        place: Place,
        code: AuthorizationCode,
    ) -> Result<Bound, StoreError> {
        // Before it can be asked for. Most are as long as those before.
        let (word, bit) = CodeLengths::place(code.expose().len());
        if let Some(known) = self.code_lengths.get(word)
            && known.load(Ordering::Acquire) & bit == 0
        {
            known.fetch_or(bit, Ordering::Release);
        }
        let new = bind::New {
            code: &code,
            place,
            now: self.clock.now(),
        };
        bind::bind(&self.tables, &self.key, pending, new)
    }

    /// How long the codes are that were ever bound here.
    pub(crate) fn code_lengths(&self) -> CodeLengths {
        let load = |word: &AtomicU64| word.load(Ordering::Acquire);
        CodeLengths::from_words(self.code_lengths.each_ref().map(load))
    }

    /// Judges a request by the code under that key, and claims the code for it if it matches, in one step.
    pub fn redeem(&self, key: Digest, judge: impl FnMut(&BoundCode) -> Presented) -> Redeemed {
        let (tables, now) = (&self.tables, self.clock.now());
        // Looked for in any case: that a code is there is not to be told by the time.
        let traced = tables.traces.with(key, |trace| trace.asked.client);
        let attempts = tables.settings.load().attempts;
        let redeem = |code: &mut Code| redeem_from(code, key, now, attempts, judge);
        let redeemed = tables.codes.with(key, |code| {
            let (alive, redeemed) = (code.fate, redeem(code));
            if code.fate == Fate::Burnt && alive == Fate::Bound {
                tables.counts.tombstones.fetch_add(1, Ordering::Relaxed);
            }
            redeemed
        });
        match (redeemed, traced) {
            // What is over may be older than the trace.
            (Some(Redeemed::Expired(_)), Some(owner)) => Redeemed::Expired(owner),
            (Some(redeemed), _) => redeemed,
            (None, owner) => Redeemed::Unknown(owner),
        }
    }

    /// Whose these are or were, as long as they are remembered; in the order of the question.
    pub(crate) fn owners(&self, candidates: &[Candidate]) -> Vec<Option<Owner>> {
        let (tables, now) = (&self.tables, self.clock.now());
        let owner_of = |candidate: &Candidate| match *candidate {
            Candidate::State(key) => tables.sign_ins.with(key, |sign_in| {
                sign_in
                    .asked
                    .owner(sign_in.stage != Stage::Conflict && !sign_in.is_over(now))
            }),
            Candidate::Code(key) => {
                // Both in any case, as in `redeem`. What is over may be older than the trace.
                let traced = tables.traces.with(key, |trace| trace.asked.owner(false));
                let found = tables.codes.with(key, |code| {
                    let is_over = code.is_over(now);
                    let alive = code.fate == Fate::Bound && !is_over;
                    (code.asked.owner(alive), is_over)
                });
                match found {
                    Some((owner, false)) => Some(owner),
                    found => traced.or(found.map(|(owner, _)| owner)),
                }
            }
        };
        candidates.iter().map(owner_of).collect()
    }

    /// Ends a claim. What has expired stays expired, and what has taken its place meanwhile is left alone.
    pub fn settle(&self, claim: Claim, settlement: Settlement) {
        let (key, fence, counts) = (claim.key(), claim.fence(), claim.is_proved());
        drop(claim); // its copy of the code is wiped before anything else happens
        self.tables.codes.with(key, |code| {
            if code.fate != Fate::Claimed || code.fence() != fence {
                return;
            }
            if settlement == Settlement::Release {
                code.releases = code.releases.saturating_add(counts.into());
                if code.releases <= RELEASES_PER_CODE {
                    code.fate = Fate::Bound;
                    return;
                }
            }
            code.bury(match settlement {
                Settlement::Burn => Fate::Redeemed,
                Settlement::Release => Fate::Burnt,
            });
            self.tables
                .counts
                .tombstones
                .fetch_add(1, Ordering::Relaxed);
        });
    }

    /// Kills a pending authorization: a conflict marker stays in its place until it would have expired. Codes that
    /// were bound before stay what they are.
    pub(crate) fn discard(&self, pending: Digest) {
        let now = self.clock.now();
        self.tables.followed(pending, now, SignIn::discard);
    }

    /// Drops what expired a minute ago: a few milliseconds' work at most, in small batches. What is left over is
    /// for the next time.
    pub fn sweep(&self) {
        self.tables.sweep(self.clock.now());
    }

    /// One batch of [`MemoryStore::sweep`]; returns how many deadlines were looked after, zero when nothing is due.
    pub fn sweep_batch(&self) -> usize {
        self.tables.sweep_batch(self.clock.now())
    }

    /// Numbers for metrics and readiness.
    pub fn statistics(&self) -> Statistics {
        self.tables.statistics()
    }
}

/// What becomes of a request whose key is that of another sign-in. `None`: that one makes way. `deadline`: of the new one.
fn meet(
    there: &mut SignIn,
    pending: &PendingAuthorization,
    now: Timestamp,
    deadline: Timestamp,
) -> Option<Held> {
    if there.is_over(now) {
        return None;
    }
    if let Stage::Waiting { codes } = there.stage {
        if there.is_of(pending) {
            return Some(Held::Again);
        }
        // A sign-in that has yielded its code is no longer waited for: a user who signs in again under the same values, because
        // the client has one state for all, takes its place. The code stays bound to what it was bound to.
        // (Not within one millisecond: by its deadline one use of these values is told from the next.)
        // And not where a stranger may know the values: with the browser's cookie among them only the user's browser does.
        if codes > 0 && there.deadline < deadline && pending.browser.is_some() {
            return None;
        }
    }
    there.discard();
    Some(Held::Conflict)
}

fn redeem_from(
    code: &mut Code,
    key: Digest,
    now: Timestamp,
    attempts: u8,
    mut judge: impl FnMut(&BoundCode) -> Presented,
) -> Redeemed {
    let client = code.asked.client;
    match code.fate {
        _ if code.is_over(now) => Redeemed::Expired(client),
        Fate::Claimed | Fate::Redeemed => Redeemed::AlreadyRedeemed(client),
        Fate::Burnt => Redeemed::Burnt(client),
        Fate::Bound => {
            let Some(bound) = code.read() else {
                return Redeemed::Burnt(client);
            };
            let presented = judge(&bound);
            match presented {
                Presented::Matches | Presented::Unproven => {
                    code.fate = Fate::Claimed;
                    let is_proved = presented == Presented::Matches;
                    return Redeemed::Claimed(Claim::new(key, code.fence(), bound, is_proved));
                }
                Presented::Differs => {}
                Presented::WrongVerifier => {
                    code.attempts = code.attempts.saturating_add(1);
                    if code.attempts >= attempts {
                        code.bury(Fate::Burnt);
                    }
                }
            }
            Redeemed::Mismatch(client)
        }
    }
}

/// Numbers only: records are full of secrets.
impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryStore")
            .field(&self.statistics())
            .finish()
    }
}
