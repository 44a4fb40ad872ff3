//! The store in Redis or Valkey, for several gates in front of one upstream.
//!
//! - `fields`: what keys contain, and the arguments of scripts, as bytes.
//! - `kept`: what is known of a code without a handle.
//! - `keyspace`: calls about the keys of one upstream, and how they ended.
//! - `link`: one worker's access to the servers, inside a deadline.
//! - `owners`: whose a sign-in or a code is.
//! - `scripts`: one script for each operation that changes something, and the answers.
//! - `seats`: the counts of the review of all gates.
//! - `workers`: each worker has a link of its own.
//!
//! **What is where.** Sign-ins are in Redis (`kind = "redis"`), or in their handles (`kind = "sealed"`, `claims = "redis"`). A code
//! under a handle is in that handle in either case. Redis keeps what handles cannot remember: how many codes a sign-in has, whether
//! it was discarded, to which sign-in a code was bound, and what became of the code. With `codes = "upstream"` sign-ins and codes have
//! no handles, and their records are in Redis.
//!
//! **Keys.** Hashes, all with the hash tag `{prefix:upstream}`, so that each operation is one script on one node of a cluster:
//!
//! ```text
//! {pkce-gate:legacy}:s:0123…  a sign-in: record, instance, mark, codes, dead
//! {pkce-gate:legacy}:c:0123…  a code of the upstream: instance and mark of its sign-in, owner, issued, run, until, claim, wrong,
//!                             released, burnt, record
//! {pkce-gate:legacy}:r:0123…  the redirect URIs of a client to which codes were sent
//! {pkce-gate:legacy}:seat:0   which gate has this seat
//! {pkce-gate:legacy}:counts:0 the counts of that gate for the review
//! ```
//!
//! **One record for each code.** Its key is the digest of the upstream's code, which a handle contains. However many handles were made
//! for a code, it is redeemed once. It can be redeemed `until` a time of the server's clock, and stays for `pending` longer, because it
//! may be valid at the upstream for longer than here: meanwhile no sign-in gets it again, not even its own.
//!
//! **Secrecy.** Records are encrypted ([`super::seal`]), keys are digests. An attacker who reads all of Redis cannot redeem
//! anything, and finds neither codes nor states nor handles. One who writes to it can invalidate sign-ins, remove claims, and let
//! errors (not codes) go to another redirect URI.
//!
//! **Lost writes.** A server that takes over, or that restarts, may lack the last writes, and an old one may go on for a while. A
//! code is therefore claimed only in the history of writes in which it was bound (`run`, the server's `master_replid`, which each
//! takeover and each restart replaces); elsewhere it is dead. Sign-ins survive a failover, codes that were not redeemed before it do
//! not. A failover can lose a code or the mark of a discarded sign-in: then a code that the upstream issues a second time is bound to
//! another sign-in, whose verifier has to match. If every replica must have each write (`min_replicas`), it loses neither.
//!
//! **Time.** Records expire by the server's clock. A claim stays until its code expires, so burning a claimed code needs no call.

mod fields;
mod kept;
mod keyspace;
mod link;
#[cfg(test)]
mod model;
mod owners;
mod scripts;
pub(crate) mod seats;
mod workers;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::calls::Verb;
use super::entropy;
use super::envelope::{Dead, Envelopes, LEEWAY, Opened, millis};
use super::memory::MemoryStore;
use super::operations::{Bound, Claim, Held, Issued, Owner, Pending, Place, Redeemed, StoreError};
use super::seal::Unopened;
use super::settings::Settings;
use crate::flow::{
    BoundCode, CODES_PER_AUTHORIZATION, Candidate, Key, PendingAuthorization, Presented, Purpose,
    Settlement,
};
use crate::network::Network;
use crate::oauth::{AuthorizationCode, Digest};
use fields::{decimal, lifetime, mark, owner_bytes};
use kept::Kept;
pub(crate) use keyspace::Keyspace;
use link::Command;
#[cfg(not(test))]
use link::Value;
#[cfg(test)]
pub(crate) use link::stand_in::{Answer, Call, StandIn};
pub(crate) use link::{Deployment, Target};
#[cfg(test)]
pub(crate) use link::{Failed, Value};
#[cfg(test)]
pub(crate) use model::{Mutation, Server};
use owners::{Questions, in_handle};
use scripts::{BIND, DISCARD, HOLD, REDEEM, release};
use seats::Seats;

/// Where the records of sign-ins with handles are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignIns {
    InRedis,
    InHandles,
}

/// See the module's documentation.
pub(crate) struct RedisStore {
    envelopes: Envelopes,
    sign_ins: SignIns,
    settings: Settings,
    keyspace: Keyspace,
    fails_readiness: bool,
    /// What a memory store or a sealed one kept under an earlier configuration. Also limits how many sign-ins a network begins.
    memory: Arc<MemoryStore>,
}

impl RedisStore {
    pub(crate) fn new(
        settings: &Settings,
        envelopes: Envelopes,
        sign_ins: SignIns,
        keyspace: Keyspace,
        memory: Arc<MemoryStore>,
    ) -> Self {
        Self {
            envelopes,
            sign_ins,
            settings: settings.clone(),
            keyspace,
            fails_readiness: false,
            memory,
        }
    }

    /// Whether sign-ins are in their handles.
    pub(super) fn spills(&self) -> bool {
        matches!(self.sign_ins, SignIns::InHandles)
    }

    pub(super) fn envelopes(&self) -> &Envelopes {
        &self.envelopes
    }

    pub(crate) fn memory(&self) -> &Arc<MemoryStore> {
        &self.memory
    }

    pub(crate) fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    pub(crate) fn made_ahead(&self) -> u64 {
        self.envelopes.made_ahead()
    }

    pub(crate) fn failing_readiness(self, fails_readiness: bool) -> Self {
        Self {
            fails_readiness,
            ..self
        }
    }

    /// Goes on with the counters of the same store under an earlier configuration.
    #[must_use]
    pub(crate) fn after(mut self, before: &Self) -> Self {
        self.keyspace.count_on(&before.keyspace);
        self
    }

    /// The counts of the review of all gates.
    pub(crate) fn seats(&self) -> Seats<'_> {
        Seats {
            keyspace: &self.keyspace,
            sealer: &self.envelopes.sealer,
        }
    }

    /// Whether the gate is not ready while the servers are out of reach.
    pub(crate) fn fails_readiness(&self) -> bool {
        self.fails_readiness
    }

    pub(crate) async fn hold(
        &self,
        place: Place,
        pending: &PendingAuthorization,
        network: Option<Network>,
    ) -> Result<Held, StoreError> {
        self.memory.admit(network)?;
        let lifetime = self.settings.pending;
        let digest = match (place, self.sign_ins) {
            (Place::Digest(digest), _) => digest,
            (Place::Handle | Place::Entry, SignIns::InHandles) => {
                return self.envelopes.seal_sign_in(pending, lifetime);
            }
            (Place::Handle | Place::Entry, SignIns::InRedis) => {
                let handle = entropy::mint(&self.envelopes.key, Purpose::State)?;
                self.keep(handle.digest(), handle.digest(), pending).await?;
                return Ok(Held::Handle(handle));
            }
        };
        let instance = Digest::from_bytes(entropy::random()?);
        self.keep(digest, instance, pending).await
    }

    /// Stores the record of a sign-in, unless there is one already.
    async fn keep(
        &self,
        key: Digest,
        instance: Digest,
        pending: &PendingAuthorization,
    ) -> Result<Held, StoreError> {
        let place = key.as_bytes();
        let record = self.envelopes.sealer.seal(Purpose::State, place, pending)?;
        let may_replace: &[u8] = if pending.browser.is_some() { b"1" } else { b"" };
        let mark = mark(&pending.application, pending.challenge.as_ref())?;
        let lifetime = lifetime(self.settings.pending);
        let owner = owner_bytes(&pending.application);
        let args: [&[u8]; 6] = [
            &record,
            instance.as_bytes(),
            &lifetime,
            mark.as_bytes(),
            may_replace,
            &owner,
        ];
        let command = HOLD.command(&[&self.keyspace.key("s", key)], &args);
        let answer = self.keyspace.write(Verb::Hold, command).await?;
        match answer.text() {
            Some("new") => Ok(Held::New),
            Some("again") => Ok(Held::Again),
            Some("conflict") => Ok(Held::Conflict),
            _ => Err(self.keyspace.garbage(Verb::Hold)),
        }
    }

    pub(crate) async fn pending(&self, key: &Key) -> Result<Pending, StoreError> {
        if let Some(handle) = key.handle()
            && let Some(read) = in_handle(&self.envelopes, handle)
        {
            return Ok(match read {
                Ok(_) if self.memory.pending(key.digest()) == Pending::Conflict => {
                    Pending::Conflict
                }
                Ok((record, _)) => Pending::Live(Box::new(record)),
                Err(pending) => pending,
            });
        }
        let digest = key.digest();
        let here = self.memory.pending(digest);
        if here != Pending::Unknown {
            return Ok(here);
        }
        let get = Command::new("HMGET")
            .key(&self.keyspace.key("s", digest))
            .arg(b"record")
            .arg(b"dead");
        let answer = self.keyspace.call(Verb::Pending, get).await?;
        match answer.list() {
            [_, Value::Bytes(_)] => Ok(Pending::Conflict),
            [Value::Nil, Value::Nil] => Ok(Pending::Unknown),
            [Value::Bytes(record), Value::Nil] => {
                let place = digest.as_bytes();
                match self.envelopes.sealer.open(Purpose::State, place, record) {
                    Ok(record) => Ok(Pending::Live(Box::new(record))),
                    Err(Unopened::ForeignKey) => Ok(Pending::Expired),
                    Err(Unopened::Forged) => Err(self.keyspace.garbage(Verb::Pending)),
                }
            }
            _ => Err(self.keyspace.garbage(Verb::Pending)),
        }
    }

    pub(crate) async fn bind(
        &self,
        pending: &Key,
        record: &PendingAuthorization,
        issued: Issued,
        code: AuthorizationCode,
        within: Option<Duration>,
    ) -> Result<Bound, StoreError> {
        let digest = pending.digest();
        let in_handle = pending
            .handle()
            .and_then(|handle| in_handle(&self.envelopes, handle));
        let left = match in_handle {
            Some(Ok((_, left))) => Some(left),
            Some(Err(_)) => return Ok(Bound::Unknown),
            None if self.memory.pending(digest) != Pending::Unknown => {
                return self.memory.bind_within(digest, issued, code, within);
            }
            // The script checks that it is still there.
            None => None,
        };
        let raw = code.digest();
        let of_memory = self.memory.owners(&[Candidate::Code(raw.into())]);
        if of_memory.into_iter().flatten().next().is_some() {
            // It was bound under an earlier configuration.
            return Ok(Bound::Elsewhere);
        }
        let mark = mark(&record.application, record.challenge.as_ref())?;
        let bound = record.clone().bind(code);
        let (sealer, remembered) = (&self.envelopes.sealer, self.settings.pending);
        let valid = within.unwrap_or(self.settings.code);
        let value = match issued {
            Issued::Raw => sealer.seal(Purpose::Code, raw.as_bytes(), &bound)?,
            Issued::Handle => Vec::new(),
        };
        let keys = [self.keyspace.key("s", digest), self.keyspace.key("c", raw)];
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let numbers = [
            lifetime(remembered + valid),
            decimal(millis(valid)),
            decimal(CODES_PER_AUTHORIZATION.into()),
        ];
        let owner = owner_bytes(&bound.application);
        let mut args: Vec<&[u8]> = numbers.iter().map(Vec::as_slice).collect();
        let form = fields::issued(issued).as_bytes();
        args.extend([&owner[..], form, &value, mark.as_bytes()]);
        let left = left.map(|left| lifetime(left + LEEWAY));
        if let Some(left) = &left {
            args.extend([&digest.as_bytes()[..], left]);
        }
        let command = BIND.command(&keys, &args);
        let answer = self.keyspace.write(Verb::Bind, command).await?;
        match answer.text() {
            // Another handle for a code that comes again is for the same record, whose time counts.
            Some("bound" | "again") => match issued {
                Issued::Raw => Ok(Bound::Raw),
                Issued::Handle => {
                    let purpose = bound.code.kind().into();
                    let handle = self.envelopes.seal(purpose, bound, valid)?;
                    Ok(Bound::Handle(handle))
                }
            },
            Some("elsewhere") => Ok(Bound::Elsewhere),
            Some("full") => Ok(Bound::TooMany),
            Some("unknown") => Ok(Bound::Unknown),
            _ => Err(self.keyspace.garbage(Verb::Bind)),
        }
    }

    pub(crate) async fn redeem(
        &self,
        key: &Key,
        mut judge: impl FnMut(&BoundCode) -> Presented,
    ) -> Result<Redeemed, StoreError> {
        match key {
            Key::Handle(handle) => match self.envelopes.open_code(handle) {
                Ok(Opened { record, left }) => {
                    // A sealed store may have bound it, under an earlier configuration.
                    if left.is_some() {
                        let here = self.memory.redeem_opened(record.clone(), &mut judge);
                        if !matches!(here, Redeemed::Unknown(_)) {
                            return Ok(here);
                        }
                    }
                    // By the server's clock, not by the one in the handle: it has the same lifetime.
                    self.claim(Issued::Handle, record, judge).await
                }
                Err(Dead::Expired) => Ok(Redeemed::Expired(None)),
                Err(Dead::Forged) => Ok(Redeemed::Unknown(None)),
                Err(Dead::Short) => Ok(self.memory.redeem(key, judge)),
            },
            Key::Digest(raw) => match self.kept(*raw).await? {
                Kept::Code(bound) => self.claim(Issued::Raw, bound, judge).await,
                Kept::Dead(redeemed) => Ok(redeemed),
                Kept::Nowhere => Ok(self.memory.redeem(key, judge)),
            },
        }
    }

    /// Judges a redemption by its code, which does not change, and claims the code if it matches and is still bound.
    async fn claim(
        &self,
        presented_as: Issued,
        bound: BoundCode,
        mut judge: impl FnMut(&BoundCode) -> Presented,
    ) -> Result<Redeemed, StoreError> {
        let presented = judge(&bound);
        let word: &[u8] = match presented {
            Presented::Matches | Presented::Unproven => b"matches",
            Presented::Differs => b"differs",
            Presented::WrongVerifier => b"wrong",
        };
        let raw = bound.code.digest();
        // The record of a raw code is the one that the mark belongs to.
        let mark = match presented_as {
            Issued::Handle => Some(mark(&bound.application, bound.challenge())?),
            Issued::Raw => None,
        };
        let mark: &[u8] = mark.as_ref().map_or(b"", |mark| mark.as_bytes());
        let id: [u8; 8] = entropy::random()?;
        let attempts = decimal(self.settings.attempts.into());
        let form = fields::issued(presented_as).as_bytes();
        let args: [&[u8]; 5] = [form, mark, word, &id, &attempts];
        let key = self.keyspace.key("c", raw);
        let command = REDEEM.command(&[&key], &args);
        let answer = self.keyspace.write(Verb::Redeem, command).await;
        if answer == Err(StoreError::TooFewReplicas) {
            // The claim may have been made, but nothing follows from it: the client may try again.
            let release = release(&key, id, false);
            let _lost = self.keyspace.call(Verb::Settle, release).await;
        }
        let answer = answer?;
        let client = bound.application.client;
        Ok(match answer.text() {
            Some("yours") => {
                let is_proved = presented == Presented::Matches;
                let fence = u64::from_be_bytes(id);
                Redeemed::Claimed(Claim::new(raw, fence, bound, is_proved).shared())
            }
            Some("mismatch") => Redeemed::Mismatch(client),
            Some("claimed") => Redeemed::AlreadyRedeemed(client),
            Some("burnt") => Redeemed::Burnt(client),
            Some("gone") => Redeemed::Expired(Some(client)),
            Some("unknown") => Redeemed::Unknown(Some(client)),
            _ => return Err(self.keyspace.garbage(Verb::Redeem)),
        })
    }

    /// The code with this digest, if its client has it in this form.
    async fn kept(&self, raw: Digest) -> Result<Kept, StoreError> {
        let command = Command::new("HMGET").key(&self.keyspace.key("c", raw));
        let command = command.arg(b"owner").arg(b"record");
        let answer = self.keyspace.call(Verb::Redeem, command).await?;
        let [owner, record] = answer.list() else {
            return Err(self.keyspace.garbage(Verb::Redeem));
        };
        let kept = Kept::read(&self.envelopes.sealer, raw, owner, record);
        kept.ok_or_else(|| self.keyspace.garbage(Verb::Redeem))
    }

    /// Ends a claim. A code that is burnt stays claimed, which is the same for everyone.
    pub(crate) async fn settle(
        &self,
        claim: Claim,
        settlement: Settlement,
    ) -> Result<(), StoreError> {
        if !claim.is_shared() {
            self.memory.settle(claim, settlement);
            return Ok(());
        }
        if settlement == Settlement::Burn {
            return Ok(());
        }
        let (key, id) = (
            self.keyspace.key("c", claim.key()),
            claim.fence().to_be_bytes(),
        );
        let counts = settlement == Settlement::Release && claim.is_proved();
        let release = || release(&key, id, counts);
        match self.keyspace.call(Verb::Settle, release()).await {
            Ok(_) => Ok(()),
            // The claim's id makes it safe to repeat: a second release changes nothing.
            Err(_) => self.keyspace.call(Verb::Settle, release()).await.map(drop),
        }
    }

    pub(crate) async fn discard(&self, pending: &Key) -> Result<(), StoreError> {
        let digest = pending.digest();
        let in_handle = pending
            .handle()
            .and_then(|handle| in_handle(&self.envelopes, handle));
        if let Some(Ok((record, left))) = &in_handle {
            // So that this process knows without asking Redis, if there is room.
            let until = self.memory.now().after(*left + LEEWAY);
            let _full = self.memory.adopt_sign_in(digest, record, until);
        }
        self.memory.discard(digest);
        let left = match &in_handle {
            Some(Ok((_, left))) => Some(lifetime(*left + LEEWAY)),
            Some(Err(_)) => return Ok(()),
            None => None,
        };
        let mut args: Vec<&[u8]> = Vec::new();
        if let Some(left) = &left {
            args.extend([&digest.as_bytes()[..], left]);
        }
        let command = DISCARD.command(&[&self.keyspace.key("s", digest)], &args);
        self.keyspace.write(Verb::Discard, command).await.map(drop)
    }

    pub(crate) async fn owners(
        &self,
        candidates: &[Candidate],
    ) -> Result<Vec<Option<Owner>>, StoreError> {
        let here = self.memory.owners(candidates);
        let questions = Questions::about(&self.envelopes, candidates);
        let commands = questions.commands(&self.keyspace);
        let answers = self.keyspace.call_all(Verb::Owners, &commands).await?;
        let owners = questions.owners(&answers);
        let owners = owners.ok_or_else(|| self.keyspace.garbage(Verb::Owners))?;
        let both = here.into_iter().zip(owners);
        Ok(both.map(|(here, there)| here.or(there)).collect())
    }
}

/// Prints no record and no password.
impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisStore").field(&self.keyspace).finish()
    }
}

#[cfg(test)]
mod tests;
