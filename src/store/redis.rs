//! The store in Redis or Valkey, for several gates in front of one upstream.
//!
//! - `link`: one worker's access to the servers, inside a deadline.
//! - `scripts`: one script for each operation that changes something, and the answers.
//! - `workers`: each worker has a link of its own.
//!
//! **What is where.** Sign-ins are in Redis (`kind = "redis"`), or in their handles (`kind = "sealed"`, `claims = "redis"`). A code
//! under a handle is in that handle in either case. Redis keeps what handles cannot remember: whether a code was claimed or burnt,
//! how many verifiers were wrong, to which sign-in a code was bound, how many codes a sign-in has, and whether it was discarded.
//! With `codes = "upstream"` sign-ins and codes have no handles, and their records are in Redis.
//!
//! **Keys.** Hashes, all with the hash tag `{prefix:upstream}`, so that each operation is one script on one node of a cluster:
//!
//! ```text
//! {pkce-gate:legacy}:s:0123…  a sign-in: record, instance, mark, codes, dead
//! {pkce-gate:legacy}:t:0123…  the trace of an upstream's code: instance of its sign-in, owner
//! {pkce-gate:legacy}:c:0123…  a code: run, owner, claim, wrong, released, burnt, record
//! {pkce-gate:legacy}:r:0123…  the redirect URIs of a client to which codes were sent
//! ```
//!
//! **Secrecy.** Records are encrypted ([`super::seal`]), keys are digests. An attacker who reads all of Redis cannot redeem
//! anything, and finds neither codes nor states nor handles. One who writes to it can invalidate sign-ins, remove claims, and let
//! errors (not codes) go to another redirect URI.
//!
//! **Lost writes.** A server that takes over, or that restarts, may lack the last writes, and an old one may go on for a while. A
//! code is therefore claimed only on the server run that it was bound on (`run`, the server's `run_id`); elsewhere it is dead.
//! Sign-ins survive a failover, codes that were not redeemed before it do not. A failover can lose a trace or the mark of a
//! discarded sign-in: then a code that the upstream issues a second time is bound to another sign-in, whose verifier has to match.
//!
//! **Time.** Records expire by the server's clock. A claim stays until its code expires, so burning a claimed code needs no call.

mod link;
#[cfg(test)]
mod model;
mod scripts;
mod workers;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::calls::{Calls, Trouble, Verb};
use super::entropy;
use super::envelope::{Dead, Envelopes, LEEWAY, Opened, millis};
use super::memory::MemoryStore;
use super::operations::{Bound, Claim, Held, Owner, Pending, Place, Redeemed, StoreError};
use super::seal::Unopened;
use super::settings::Settings;
use crate::flow::wire;
use crate::flow::{
    Application, BoundCode, CODES_PER_AUTHORIZATION, Candidate, Handle, Key, PendingAuthorization,
    Presented, Purpose, RELEASES_PER_CODE, Settlement,
};
use crate::network::Network;
use crate::oauth::{AuthorizationCode, Digest};
use link::Command;
#[cfg(test)]
pub(crate) use link::stand_in::{Answer, Call, StandIn};
pub(crate) use link::{Deployment, Target};
#[cfg(not(test))]
use link::{Failed, Value};
#[cfg(test)]
pub(crate) use link::{Failed, Value};
#[cfg(test)]
pub(crate) use model::{Mutation, Server};
use scripts::{BIND, DISCARD, HOLD, LEARN, REDEEM, RELEASE};
use workers::Workers;

/// How long a learned redirect URI is known. Each gate learns it again after its start.
const LEARNED: Duration = Duration::from_hours(30 * 24);

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
    /// The hash tag with the colon after it.
    prefix: String,
    workers: Workers,
    calls: Arc<Calls>,
    /// `maxmemory-policy`, once a server has told it.
    policy: Arc<OnceLock<String>>,
    fails_readiness: bool,
    /// What a memory store or a sealed one kept under an earlier configuration. Also limits how many sign-ins a network begins.
    memory: Arc<MemoryStore>,
}

impl RedisStore {
    /// `prefix` and the upstream's name are the beginning of all keys.
    pub(crate) fn new(
        settings: &Settings,
        envelopes: Envelopes,
        sign_ins: SignIns,
        (prefix, upstream): (&str, &str),
        deployment: Arc<Deployment>,
        memory: Arc<MemoryStore>,
    ) -> Self {
        Self {
            envelopes,
            sign_ins,
            settings: settings.clone(),
            // A brace in a name would end the hash tag.
            prefix: format!("{{{}:{}}}:", unbraced(prefix), unbraced(upstream)),
            workers: Workers::new(deployment),
            calls: Arc::default(),
            policy: Arc::default(),
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

    pub(crate) fn calls(&self) -> &Calls {
        &self.calls
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
        self.calls = Arc::clone(&before.calls);
        self
    }

    /// Why the servers did not answer the last calls.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.workers.deployment().trouble()
    }

    /// Whether the gate is not ready while the servers are out of reach.
    pub(crate) fn fails_readiness(&self) -> bool {
        self.fails_readiness
    }

    /// Whether the servers answered the last calls.
    pub(crate) fn is_reachable(&self) -> bool {
        self.workers.deployment().is_reachable()
    }

    /// Asks the servers whether they answer. To be called about once a second by each worker.
    pub(crate) fn probe(&self) -> impl Future<Output = ()> + Send + use<> {
        let (link, policy) = (self.workers.link(), Arc::clone(&self.policy));
        async move {
            // The result is in the deployment.
            if link.probe().await.is_ok()
                && policy.get().is_none()
                && let Ok(answer) = link.send(&Command::new("INFO").arg(b"memory")).await
                && let Some(text) = answer.text()
                && let Some((_, after)) = text.split_once("maxmemory_policy:")
            {
                let _known = policy.set(after.lines().next().unwrap_or_default().to_owned());
            }
        }
    }

    /// The server's `maxmemory-policy`, if it is known and lets a full server remove records that are still valid.
    pub(crate) fn evicts(&self) -> Option<&str> {
        let policy = self.policy.get().map(String::as_str);
        policy.filter(|policy| *policy != "noeviction")
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
        let mark = mark(pending)?;
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
        let command = HOLD.command(&[&self.key("s", key)], &args);
        let answer = self.call(Verb::Hold, command).await?;
        match answer.text() {
            Some("new") => Ok(Held::New),
            Some("again") => Ok(Held::Again),
            Some("conflict") => Ok(Held::Conflict),
            _ => Err(self.garbage(Verb::Hold)),
        }
    }

    pub(crate) async fn pending(&self, key: &Key) -> Result<Pending, StoreError> {
        if let Some(handle) = key.handle()
            && let Some(read) = self.in_handle(handle)
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
            .key(&self.key("s", digest))
            .arg(b"record")
            .arg(b"dead");
        let answer = self.call(Verb::Pending, get).await?;
        match answer.list() {
            [_, Value::Bytes(_)] => Ok(Pending::Conflict),
            [Value::Nil, Value::Nil] => Ok(Pending::Unknown),
            [Value::Bytes(record), Value::Nil] => {
                let place = digest.as_bytes();
                match self.envelopes.sealer.open(Purpose::State, place, record) {
                    Ok(record) => Ok(Pending::Live(Box::new(record))),
                    Err(Unopened::ForeignKey) => Ok(Pending::Expired),
                    Err(Unopened::Forged) => Err(self.garbage(Verb::Pending)),
                }
            }
            _ => Err(self.garbage(Verb::Pending)),
        }
    }

    /// The record in a handle and how much longer it is valid, or what `pending` returns for it. `None`: it contains none. Whether
    /// it was discarded is checked when a code is bound: reading must not depend on Redis.
    fn in_handle(
        &self,
        handle: &Handle,
    ) -> Option<Result<(PendingAuthorization, Duration), Pending>> {
        match self.envelopes.open(Purpose::State, handle) {
            Ok(Opened {
                record,
                left: Some(left),
            }) => Some(Ok((record, left))),
            Ok(Opened { left: None, .. }) | Err(Dead::Expired) => Some(Err(Pending::Expired)),
            Err(Dead::Forged) => Some(Err(Pending::Unknown)),
            Err(Dead::Short) => None,
        }
    }

    pub(crate) async fn bind(
        &self,
        pending: &Key,
        record: &PendingAuthorization,
        place: Place,
        code: AuthorizationCode,
    ) -> Result<Bound, StoreError> {
        let digest = pending.digest();
        let in_handle = pending.handle().and_then(|handle| self.in_handle(handle));
        let left = match in_handle {
            Some(Ok((_, left))) => Some(left),
            Some(Err(_)) => return Ok(Bound::Unknown),
            None if self.memory.pending(digest) != Pending::Unknown => {
                return self.memory.bind(digest, place, code);
            }
            // The script checks that it is still there.
            None => None,
        };
        let raw = code.digest();
        let mark = mark(record)?;
        let bound = record.clone().bind(code);
        let (key, value, handle) = match place {
            Place::Digest(key) => {
                let sealed = self
                    .envelopes
                    .sealer
                    .seal(Purpose::Code, key.as_bytes(), &bound)?;
                (key, sealed, None)
            }
            Place::Handle | Place::Entry => {
                let handle =
                    self.envelopes
                        .seal(Purpose::Code, bound.clone(), self.settings.code)?;
                (handle.digest(), Vec::new(), Some(handle))
            }
        };
        let keys = [
            self.key("s", digest),
            self.key("t", raw),
            self.key("c", key),
        ];
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let lifetimes = (self.settings.pending, self.settings.code);
        let numbers = [
            lifetime(lifetimes.0 + lifetimes.1),
            lifetime(lifetimes.1),
            decimal(CODES_PER_AUTHORIZATION.into()),
        ];
        let owner = owner_bytes(&bound.application);
        let mut args: Vec<&[u8]> = numbers.iter().map(Vec::as_slice).collect();
        args.extend([&owner[..], &value, mark.as_bytes()]);
        let left = left.map(|left| lifetime(left + LEEWAY));
        if let Some(left) = &left {
            args.extend([&digest.as_bytes()[..], left]);
        }
        let answer = self.call(Verb::Bind, BIND.command(&keys, &args)).await?;
        match (answer.text(), handle) {
            (Some("bound"), Some(handle)) => Ok(Bound::Handle(handle)),
            (Some("bound" | "again"), None) => Ok(Bound::Digest),
            (Some("elsewhere"), _) => Ok(Bound::Elsewhere),
            (Some("full"), _) => Ok(Bound::TooMany),
            (Some("unknown"), _) => Ok(Bound::Unknown),
            _ => Err(self.garbage(Verb::Bind)),
        }
    }

    pub(crate) async fn redeem(
        &self,
        key: &Key,
        mut judge: impl FnMut(&BoundCode) -> Presented,
    ) -> Result<Redeemed, StoreError> {
        let digest = key.digest();
        let bound = match key.handle() {
            Some(handle) => match self.envelopes.open::<BoundCode>(Purpose::Code, handle) {
                Ok(Opened { record, left }) => {
                    // A sealed store may have bound it, under an earlier configuration.
                    if left.is_some() {
                        let here = self.memory.redeem(digest, &mut judge);
                        if !matches!(here, Redeemed::Unknown(_)) {
                            return Ok(here);
                        }
                    }
                    // By the server's clock, not by the one in the handle: it has the same lifetime.
                    record
                }
                Err(Dead::Expired) => return Ok(Redeemed::Expired(None)),
                Err(Dead::Forged) => return Ok(Redeemed::Unknown(None)),
                Err(Dead::Short) => return Ok(self.memory.redeem(digest, judge)),
            },
            None => match self.kept(digest).await? {
                Kept::Code(bound) => bound,
                Kept::Dead(redeemed) => return Ok(redeemed),
                Kept::Nowhere => return Ok(self.memory.redeem(digest, judge)),
            },
        };
        self.claim(digest, bound, judge).await
    }

    /// Judges a redemption by its code, which does not change, and claims the code if it matches and is still bound.
    async fn claim(
        &self,
        key: Digest,
        bound: BoundCode,
        mut judge: impl FnMut(&BoundCode) -> Presented,
    ) -> Result<Redeemed, StoreError> {
        let presented = judge(&bound);
        let word: &[u8] = match presented {
            Presented::Matches | Presented::Unproven => b"matches",
            Presented::Differs => b"differs",
            Presented::WrongVerifier => b"wrong",
        };
        let id: [u8; 8] = entropy::random()?;
        let attempts = decimal(self.settings.attempts.into());
        let command = REDEEM.command(&[&self.key("c", key)], &[word, &id, &attempts]);
        let answer = self.call(Verb::Redeem, command).await?;
        let client = bound.application.client;
        Ok(match answer.list().first().and_then(Value::text) {
            Some("yours") => {
                let is_proved = presented == Presented::Matches;
                let fence = u64::from_be_bytes(id);
                Redeemed::Claimed(Claim::new(key, fence, bound, is_proved).shared())
            }
            Some("mismatch") => Redeemed::Mismatch(client),
            Some("claimed") => Redeemed::AlreadyRedeemed(client),
            Some("burnt") => Redeemed::Burnt(client),
            Some("gone") => Redeemed::Expired(Some(client)),
            _ => return Err(self.garbage(Verb::Redeem)),
        })
    }

    /// The code under a digest.
    async fn kept(&self, key: Digest) -> Result<Kept, StoreError> {
        let code = Command::new("HMGET").key(&self.key("c", key));
        let code = code
            .arg(b"record")
            .arg(b"claim")
            .arg(b"burnt")
            .arg(b"owner");
        let trace = Command::new("HGET").key(&self.key("t", key)).arg(b"owner");
        let answers = self.call_all(Verb::Redeem, &[code, trace]).await?;
        let [code, trace] = answers.as_slice() else {
            return Err(self.garbage(Verb::Redeem));
        };
        let owner = |value: &Value| owner_of(value, false).map(|owner| owner.client);
        Ok(match code.list() {
            [Value::Bytes(record), ..] => {
                match self
                    .envelopes
                    .sealer
                    .open(Purpose::Code, key.as_bytes(), record)
                {
                    Ok(bound) => Kept::Code(bound),
                    Err(Unopened::ForeignKey) => Kept::Dead(Redeemed::Expired(owner(trace))),
                    Err(Unopened::Forged) => return Err(self.garbage(Verb::Redeem)),
                }
            }
            [Value::Nil, _, Value::Bytes(_), of] => match owner(of) {
                Some(owner) => Kept::Dead(Redeemed::Burnt(owner)),
                None => return Err(self.garbage(Verb::Redeem)),
            },
            [Value::Nil, Value::Nil, Value::Nil, Value::Nil] => match owner(trace) {
                None => Kept::Nowhere,
                owner => Kept::Dead(Redeemed::Unknown(owner)),
            },
            _ => return Err(self.garbage(Verb::Redeem)),
        })
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
        let counts: &[u8] = if claim.is_proved() { b"1" } else { b"" };
        let (key, id) = (self.key("c", claim.key()), claim.fence().to_be_bytes());
        let releases = decimal(RELEASES_PER_CODE.into());
        let release = || RELEASE.command(&[&key], &[&id, counts, &releases]);
        match self.call(Verb::Settle, release()).await {
            Ok(_) => Ok(()),
            // The claim's id makes it safe to repeat: a second release changes nothing.
            Err(_) => self.call(Verb::Settle, release()).await.map(drop),
        }
    }

    pub(crate) async fn discard(&self, pending: &Key) -> Result<(), StoreError> {
        let digest = pending.digest();
        let in_handle = pending.handle().and_then(|handle| self.in_handle(handle));
        if let Some(Ok((record, left))) = &in_handle {
            // So that this process knows without asking Redis.
            let until = self.memory.now().after(*left + LEEWAY);
            self.memory.adopt_sign_in(digest, record, until)?;
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
        let command = DISCARD.command(&[&self.key("s", digest)], &args);
        self.call(Verb::Discard, command).await.map(drop)
    }

    pub(crate) async fn owners(
        &self,
        candidates: &[Candidate],
    ) -> Result<Vec<Option<Owner>>, StoreError> {
        let here = self.memory.owners(candidates);
        let commands: Vec<Command> = candidates
            .iter()
            .flat_map(|of| self.questions(of))
            .collect();
        let answers = self.call_all(Verb::Owners, &commands).await?;
        if answers.len() != commands.len() {
            return Err(self.garbage(Verb::Owners));
        }
        let mut pairs = answers.chunks_exact(2);
        let owners = candidates.iter().zip(here).map(|(candidate, here)| {
            let pair = pairs.next().unwrap_or_default();
            here.map_or_else(|| self.owner(candidate, pair), |here| Ok(Some(here)))
        });
        owners.collect()
    }

    /// Remembers a redirect URI to which the upstream has sent a code for this client. A client has at most `most`.
    pub(crate) async fn learn(
        &self,
        client: Digest,
        redirect: Digest,
        most: usize,
    ) -> Result<(), StoreError> {
        let most = decimal(most.try_into().unwrap_or(u64::MAX));
        let args: [&[u8]; 3] = [redirect.as_bytes(), &lifetime(LEARNED), &most];
        let command = LEARN.command(&[&self.key("r", client)], &args);
        self.call(Verb::Redirects, command).await.map(drop)
    }

    /// Which of these redirect URIs was learned for this client, the first one.
    pub(crate) async fn learned(
        &self,
        client: Digest,
        redirects: &[Digest],
    ) -> Result<Option<Digest>, StoreError> {
        let command = Command::new("HMGET").key(&self.key("r", client));
        let fields = redirects.iter().map(Digest::as_bytes);
        let command = fields.fold(command, |command, field| command.arg(field));
        let answer = self.call(Verb::Redirects, command).await?;
        if answer.list().len() != redirects.len() {
            return Err(self.garbage(Verb::Redirects));
        }
        let mut both = redirects.iter().zip(answer.list());
        let found = both.find(|(_, answer)| **answer != Value::Nil);
        Ok(found.map(|(redirect, _)| *redirect))
    }

    /// What to ask about a candidate: two commands.
    fn questions(&self, candidate: &Candidate) -> [Command; 2] {
        let ask = |kind: &str, key: &Key, fields: [&[u8]; 4]| {
            let command = Command::new("HMGET").key(&self.key(kind, key.digest()));
            fields.into_iter().fold(command, Command::arg)
        };
        match candidate {
            Candidate::State(key) => {
                let sign_in = ask("s", key, [b"owner", b"dead", b"owner", b"dead"]);
                [sign_in.clone(), sign_in]
            }
            Candidate::Code(key) => [
                ask("c", key, [b"owner", b"claim", b"burnt", b"run"]),
                ask("t", key, [b"owner", b"instance", b"owner", b"instance"]),
            ],
        }
    }

    fn owner(&self, candidate: &Candidate, answers: &[Value]) -> Result<Option<Owner>, StoreError> {
        let garbage = || self.garbage(Verb::Owners);
        let [first, second] = answers else {
            return Err(garbage());
        };
        match candidate {
            Candidate::State(key) => {
                let [owner, dead, ..] = first.list() else {
                    return Err(garbage());
                };
                let alive = *dead == Value::Nil;
                let in_handle = key.handle().and_then(|handle| self.in_handle(handle));
                Ok(match in_handle {
                    Some(Ok((record, _))) => Some(Owner::of(&record.application, alive)),
                    Some(Err(_)) => None,
                    None => owner_of(owner, alive),
                })
            }
            Candidate::Code(key) => {
                let ([owner, claim, burnt, _], [trace, ..]) = (first.list(), second.list()) else {
                    return Err(garbage());
                };
                let alive = *owner != Value::Nil && *claim == Value::Nil && *burnt == Value::Nil;
                let in_handle = || {
                    let opened = self
                        .envelopes
                        .open::<BoundCode>(Purpose::Code, key.handle()?);
                    let application = opened.ok()?.record.application;
                    Some(Owner::of(&application, false))
                };
                let kept = owner_of(owner, alive).or_else(|| owner_of(trace, false));
                Ok(kept.or_else(in_handle))
            }
        }
    }

    fn key(&self, kind: &str, digest: Digest) -> Vec<u8> {
        use fmt::Write as _;
        let mut key = format!("{}{kind}:", self.prefix);
        for byte in digest.as_bytes() {
            // Writing to a string cannot fail.
            let _ = write!(key, "{byte:02x}");
        }
        key.into_bytes()
    }

    async fn call(&self, verb: Verb, command: Command) -> Result<Value, StoreError> {
        let result = self.workers.link().send(&command).await;
        self.counted(verb, result)
    }

    async fn call_all(&self, verb: Verb, commands: &[Command]) -> Result<Vec<Value>, StoreError> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let result = self.workers.link().send_all(commands).await;
        self.counted(verb, result)
    }

    fn counted<T>(&self, verb: Verb, result: Result<T, Failed>) -> Result<T, StoreError> {
        self.calls.count(verb, result.as_ref().err().map(trouble));
        result.map_err(|failed| match failed {
            Failed::Unreachable | Failed::Refused(_) | Failed::Garbage => StoreError::Unreachable,
            Failed::Deadline => StoreError::Deadline,
            Failed::Full => StoreError::NoRoom(super::Limit::Capacity, FULL),
        })
    }

    /// An answer, or a record in it, that this store did not write.
    fn garbage(&self, verb: Verb) -> StoreError {
        self.calls.count(verb, Some(Trouble::Garbage));
        StoreError::Unreachable
    }
}

fn trouble(failed: &Failed) -> Trouble {
    match failed {
        Failed::Unreachable => Trouble::Unreachable,
        Failed::Deadline => Trouble::Deadline,
        Failed::Full => Trouble::Full,
        Failed::Refused(_) => Trouble::Refused,
        Failed::Garbage => Trouble::Garbage,
    }
}

/// When a full server is asked again.
const FULL: Duration = Duration::from_secs(1);

/// What is known under the digest of a code.
enum Kept {
    Code(BoundCode),
    Dead(Redeemed),
    Nowhere,
}

/// Equal for requests that are equal after a reload in the browser: with the same client, redirect URI and challenge.
fn mark(pending: &PendingAuthorization) -> Result<Digest, StoreError> {
    let application = Application {
        client: pending.application.client,
        redirect: pending.application.redirect,
        response_type: None,
        response_mode: None,
    };
    let bytes = wire::to_bytes(&(application, pending.challenge.clone()));
    let bytes = bytes.ok_or(StoreError::TooLong)?;
    Ok(Digest::of("mark", &[&bytes]))
}

/// The client, and the target of the redirect URI if there is one.
fn owner_bytes(application: &Application) -> Vec<u8> {
    let target = application.redirect.map(|redirect| redirect.target);
    let digests = [Some(application.client), target];
    let digests = digests.iter().flatten();
    digests.flat_map(|digest| *digest.as_bytes()).collect()
}

fn owner_of(value: &Value, alive: bool) -> Option<Owner> {
    let Value::Bytes(bytes) = value else {
        return None;
    };
    let (client, target) = bytes.split_first_chunk()?;
    Some(Owner {
        client: Digest::from_bytes(*client),
        alive,
        target: target.first_chunk().copied().map(Digest::from_bytes),
    })
}

/// For PEXPIRE: a server treats a key as expired after its last millisecond, the gate in it.
fn lifetime(lifetime: Duration) -> Vec<u8> {
    decimal(millis(lifetime).saturating_sub(1))
}

fn decimal(number: u64) -> Vec<u8> {
    number.to_string().into_bytes()
}

fn unbraced(name: &str) -> String {
    name.replace(['{', '}'], "_")
}

/// Prints no record and no password.
impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisStore")
            .field(self.workers.deployment())
            .field(&self.trouble())
            .field(&self.calls.numbers().collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests;
