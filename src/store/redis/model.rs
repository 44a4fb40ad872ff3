//! A model of a server: the five scripts in Rust, and keys that expire. The contract of stores is tested with it, too, so that it
//! agrees with the scripts on a real server.
//!
//! The simulator uses it ([`crate::simulation`]), and breaks one rule at a time ([`Mutation`]).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use super::link::stand_in::Call;
use super::link::{Failed, Value};

#[cfg(test)]
mod tests;

/// A rule that the model does not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// A code that is claimed can be claimed by another request.
    ClaimWithoutNx,
    /// A release ends any claim, not only its own.
    ReleaseWithoutFence,
    /// A code can be claimed on a server on which it was not bound.
    ClaimOnAnotherRun,
    /// The sign-in of a code is not compared.
    BindWithoutTrace,
    /// A sign-in gets its code again after the code has expired, as a new one.
    BindExpired,
    /// `WAIT` is answered before a replica has the writes.
    ConfirmWithoutReplica,
}

type Fields = Vec<(&'static str, Vec<u8>)>;

/// A hash.
#[derive(Debug, Clone, Default)]
struct Entry {
    fields: Fields,
    /// The last millisecond in which it exists. `None`: it does not expire.
    expires: Option<u64>,
}

impl Entry {
    fn get(&self, field: &str) -> Option<&[u8]> {
        let found = self.fields.iter().find(|(name, _)| *name == field);
        found.map(|(_, value)| value.as_slice())
    }

    fn set(&mut self, field: &'static str, value: &[u8]) {
        self.delete(field);
        self.fields.push((field, value.to_vec()));
    }

    fn delete(&mut self, field: &str) {
        self.fields.retain(|(name, _)| *name != field);
    }

    /// `HINCRBY .. 1`.
    fn increase(&mut self, field: &'static str) -> u64 {
        let number = number(self.get(field)) + 1;
        self.set(field, number.to_string().as_bytes());
        number
    }
}

/// What a key was before a write.
#[derive(Debug, Clone)]
struct Write {
    number: u64,
    at: u64,
    key: Vec<u8>,
    before: Option<Entry>,
}

/// One server process.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// Its `master_replid`.
    run: String,
    entries: HashMap<Vec<u8>, Entry>,
    /// Keys by their last millisecond, to be removed after it.
    due: BinaryHeap<Reverse<(u64, Vec<u8>)>>,
    /// The last writes, which a replica that takes over may lack.
    writes: VecDeque<Write>,
    /// The number of writes until now.
    written: u64,
    mutation: Option<Mutation>,
}

/// How long a write is remembered, in milliseconds: the longest delay of a replica.
const REMEMBERED: u64 = 10_000;

impl Server {
    pub(crate) fn new(run: &str, mutation: Option<Mutation>) -> Self {
        Self {
            run: run.to_owned(),
            entries: HashMap::new(),
            due: BinaryHeap::new(),
            writes: VecDeque::new(),
            written: 0,
            mutation,
        }
    }

    /// The number of writes until now, for [`Server::confirm`].
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// `WAIT` is answered: the replicas have so many writes, and none that takes over lacks them.
    pub(crate) fn confirm(&mut self, writes: u64) {
        if self.mutation == Some(Mutation::ConfirmWithoutReplica) {
            return;
        }
        while self
            .writes
            .front()
            .is_some_and(|write| write.number <= writes)
        {
            self.writes.pop_front();
        }
    }

    /// A replica of this server that takes over: it lacks the writes after `since` that were not confirmed.
    pub(crate) fn replica(&self, run: &str, since: u64) -> Self {
        let mut replica = self.clone();
        run.clone_into(&mut replica.run);
        while let Some(write) = replica.writes.pop_back() {
            if write.at <= since {
                break;
            }
            match write.before {
                Some(before) => replica.entries.insert(write.key, before),
                None => replica.entries.remove(&write.key),
            };
        }
        replica.writes.clear();
        replica
    }

    /// The server run on which the code with this key was bound, as far as this server knows.
    pub(crate) fn run_of(&self, code: &[u8]) -> Option<String> {
        let run = self.entries.get(code)?.get("run")?;
        Some(text(run).to_owned())
    }

    /// The run of this server, if the code with this key was bound on it and is claimed.
    pub(crate) fn claimed_on(&self, code: &[u8]) -> Option<String> {
        self.entries.get(code)?.get("claim")?;
        self.run_of(code).filter(|run| *run == self.run)
    }

    /// Carries out a command at this time of the server's clock, in milliseconds.
    pub(crate) fn run(&mut self, now: u64, call: &Call) -> Result<Value, Failed> {
        self.expire(now);
        let words: Vec<&[u8]> = call.words.iter().map(Vec::as_slice).collect();
        match (call.script, words.as_slice()) {
            (Some(script), [_, _, keys, rest @ ..]) => {
                let keys = usize::try_from(number(Some(keys))).unwrap_or(usize::MAX);
                let (keys, args) = rest.split_at_checked(keys).ok_or(Failed::Garbage)?;
                for key in keys {
                    self.remember(now, key);
                }
                self.script(now, script, keys, args)
                    .map(|expiries| self.set_expiries(now, expiries))
            }
            (None, [b"HMGET", key, fields @ ..]) => {
                let entry = self.entries.get(*key);
                let read = |field: &&[u8]| value(entry.and_then(|entry| entry.get(text(field))));
                Ok(Value::List(fields.iter().map(read).collect()))
            }
            (None, [b"TIME"]) => {
                let parts = [now / 1000, now % 1000 * 1000];
                let parts = parts.map(|part| Value::Bytes(part.to_string().into_bytes()));
                Ok(Value::List(parts.to_vec()))
            }
            _ => Err(Failed::Refused("ERR unknown command".to_owned())),
        }
    }

    fn expire(&mut self, now: u64) {
        while let Some(Reverse((last, _))) = self.due.peek()
            && *last < now
            && let Some(Reverse((_, key))) = self.due.pop()
        {
            let is_over = |entry: &Entry| entry.expires.is_some_and(|last| last < now);
            if self.entries.get(&key).is_some_and(is_over) {
                self.entries.remove(&key);
            }
        }
    }

    fn remember(&mut self, at: u64, key: &[u8]) {
        let is_old = |write: &Write| write.at + REMEMBERED < at;
        while self.writes.front().is_some_and(is_old) {
            self.writes.pop_front();
        }
        let (before, key) = (self.entries.get(key).cloned(), key.to_vec());
        self.written += 1;
        self.writes.push_back(Write {
            number: self.written,
            at,
            key,
            before,
        });
    }

    /// `PEXPIRE`, after a script.
    fn set_expiries(&mut self, now: u64, done: Done) -> Value {
        for (key, lifetime) in done.expiries {
            if let Some(entry) = self.entries.get_mut(&key) {
                let last = now + lifetime;
                entry.expires = Some(last);
                self.due.push(Reverse((last, key)));
            }
        }
        done.answer
    }

    fn script(
        &mut self,
        now: u64,
        script: &str,
        keys: &[&[u8]],
        args: &[&[u8]],
    ) -> Result<Done, Failed> {
        match (script, keys, args) {
            (HOLD, [sign_in], args) => self.hold(sign_in, args),
            (BIND, [sign_in, code], args) => self.bind(now, [sign_in, code], args),
            (REDEEM, [code], [issued, mark, presented, id, attempts]) => {
                Ok(self.redeem(now, code, [issued, mark, presented, id, attempts]))
            }
            (RELEASE, [code], [id, counts, releases]) => {
                Ok(self.release(code, id, *counts == b"1", number(Some(releases))))
            }
            (DISCARD, [sign_in], args) => Ok(self.discard(sign_in, args)),
            _ => Err(Failed::Garbage),
        }
    }

    /// `scripts/hold.lua`
    fn hold(&mut self, sign_in: &[u8], args: &[&[u8]]) -> Result<Done, Failed> {
        let [record, instance, lifetime, mark, may_replace, owner] = args else {
            return Err(Failed::Garbage);
        };
        if let Some(there) = self.entries.get_mut(sign_in) {
            if there.get("dead").is_some() {
                return Ok(Done::answer("conflict"));
            }
            if let Some(of) = there.get("mark") {
                if of == *mark {
                    return Ok(Done::answer("again"));
                }
                if *may_replace != b"1" || there.get("codes").is_none() {
                    there.delete("record");
                    there.set("dead", b"1");
                    return Ok(Done::answer("conflict"));
                }
                self.entries.remove(sign_in);
            }
        }
        let entry = self.entries.entry(sign_in.to_vec()).or_default();
        entry.set("record", record);
        entry.set("instance", instance);
        entry.set("mark", mark);
        entry.set("owner", owner);
        Ok(Done::answer("new").expiring(sign_in, lifetime))
    }

    /// `scripts/bind.lua`
    fn bind(&mut self, now: u64, keys: [&[u8]; 2], args: &[&[u8]]) -> Result<Done, Failed> {
        let [
            of_record,
            of_code,
            most,
            owner,
            issued,
            record,
            mark,
            in_handle @ ..,
        ] = args
        else {
            return Err(Failed::Garbage);
        };
        let [sign_in_key, code_key] = keys;
        let sign_in = self.entries.get(sign_in_key);
        let known = sign_in.and_then(|there| there.get("instance"));
        let instance = known.or(in_handle.first().copied()).map(<[u8]>::to_vec);
        let (Some(instance), None) = (instance, sign_in.and_then(|there| there.get("dead"))) else {
            return Ok(Done::answer("unknown"));
        };
        let marked = sign_in.and_then(|there| there.get("mark"));
        if marked.is_some_and(|of| of != *mark) {
            return Ok(Done::answer("unknown"));
        }
        let is_kept = known.is_some();
        let codes = number(sign_in.and_then(|there| there.get("codes")));
        if let Some(code) = self.entries.get(code_key) {
            let is = |field: &str, value: &[u8]| code.get(field) == Some(value);
            let is_own = is("instance", &instance);
            let is_live = now < number(code.get("until")) && is("run", self.run.as_bytes());
            if is_own && is("issued", issued) && is_live {
                return Ok(Done::answer("again"));
            }
            let is_broken = match self.mutation {
                Some(Mutation::BindWithoutTrace) => !is_own,
                Some(Mutation::BindExpired) => is_own,
                _ => false,
            };
            if !is_broken {
                return Ok(Done::answer("elsewhere"));
            }
            self.entries.remove(code_key);
        }
        if codes >= number(Some(most)) {
            return Ok(Done::answer("full"));
        }
        let mut done = Done::answer("bound");
        let sign_in = self.entries.entry(sign_in_key.to_vec()).or_default();
        sign_in.increase("codes");
        if !is_kept {
            sign_in.set("instance", &instance);
            let lifetime = in_handle.get(1).ok_or(Failed::Garbage)?;
            done = done.expiring(sign_in_key, lifetime);
        }
        let code = self.entries.entry(code_key.to_vec()).or_default();
        let until = now + number(Some(of_code));
        code.set("instance", &instance);
        code.set("issued", issued);
        code.set("until", until.to_string().as_bytes());
        code.set("run", self.run.as_bytes());
        code.set("owner", owner);
        code.set("mark", mark);
        if !record.is_empty() {
            code.set("record", record);
        }
        Ok(done.expiring(code_key, of_record))
    }

    /// `scripts/redeem.lua`
    fn redeem(&mut self, now: u64, code: &[u8], args: [&[u8]; 5]) -> Done {
        let [issued, mark, presented, id, attempts] = args;
        let there = self.entries.get_mut(code);
        let Some(there) = there.filter(|there| there.get("issued").is_some()) else {
            return Done::answer("gone");
        };
        if there.get("issued") != Some(issued) {
            return Done::answer("unknown");
        }
        let is_over = now >= number(there.get("until"));
        if is_over || !mark.is_empty() && there.get("mark") != Some(mark) {
            return Done::answer("gone");
        }
        let is_foreign = there.get("run") != Some(self.run.as_bytes());
        if is_foreign && self.mutation != Some(Mutation::ClaimOnAnotherRun) {
            return Done::answer("gone");
        }
        if there.get("burnt").is_some() {
            return Done::answer("burnt");
        }
        if there.get("claim").is_some() && self.mutation != Some(Mutation::ClaimWithoutNx) {
            return Done::answer("claimed");
        }
        if presented == b"matches" {
            there.set("claim", id);
            return Done::answer("yours");
        }
        if presented == b"wrong" && there.increase("wrong") >= number(Some(attempts)) {
            there.set("burnt", b"1");
        }
        Done::answer("mismatch")
    }

    /// `scripts/release.lua`
    fn release(&mut self, code: &[u8], id: &[u8], counts: bool, releases: u64) -> Done {
        let is_fenced = self.mutation != Some(Mutation::ReleaseWithoutFence);
        let Some(there) = self.entries.get_mut(code) else {
            return Done::of(Value::Int(0));
        };
        if is_fenced && there.get("claim") != Some(id) {
            return Done::of(Value::Int(0));
        }
        if counts && there.increase("released") > releases {
            there.set("burnt", b"1");
        }
        there.delete("claim");
        Done::of(Value::Int(1))
    }

    /// `scripts/discard.lua`
    fn discard(&mut self, sign_in: &[u8], args: &[&[u8]]) -> Done {
        let done = Done::of(Value::Int(1));
        if let Some(there) = self.entries.get_mut(sign_in) {
            there.delete("record");
            there.set("dead", b"1");
            return done;
        }
        let [instance, lifetime, ..] = args else {
            return done;
        };
        let there = self.entries.entry(sign_in.to_vec()).or_default();
        there.set("instance", instance);
        there.set("dead", b"1");
        done.expiring(sign_in, lifetime)
    }
}

const HOLD: &str = include_str!("scripts/hold.lua");
const BIND: &str = include_str!("scripts/bind.lua");
const REDEEM: &str = include_str!("scripts/redeem.lua");
const RELEASE: &str = include_str!("scripts/release.lua");
const DISCARD: &str = include_str!("scripts/discard.lua");

/// The end of a script: its answer, and the keys that get a lifetime in milliseconds.
struct Done {
    answer: Value,
    expiries: Vec<(Vec<u8>, u64)>,
}

impl Done {
    fn of(answer: Value) -> Self {
        Self {
            answer,
            expiries: Vec::new(),
        }
    }

    fn answer(text: &str) -> Self {
        Self::of(Value::Bytes(text.as_bytes().to_vec()))
    }

    fn expiring(mut self, key: &[u8], lifetime: &[u8]) -> Self {
        self.expiries.push((key.to_vec(), number(Some(lifetime))));
        self
    }
}

fn value(field: Option<&[u8]>) -> Value {
    field.map_or(Value::Nil, |bytes| Value::Bytes(bytes.to_vec()))
}

fn text(word: &[u8]) -> &str {
    std::str::from_utf8(word).unwrap_or_default()
}

/// `tonumber`; zero for what is none.
fn number(word: Option<&[u8]>) -> u64 {
    text(word.unwrap_or_default()).parse().unwrap_or_default()
}
