//! The counts of the review of all gates with one Redis.
//!
//! Each gate has a seat, and overwrites its own counts there. So a call that is repeated, or whose answer is lost, changes no sum.
//! A gate that stops leaves its seat, and one that crashed loses it after an hour; the next gate in that seat goes on from its
//! counts. So there are as many seats with counts as there were gates at the same time.
//!
//! The counts are sealed, each for its seat and its field: Redis learns no client, and cannot move or change one.

use std::collections::HashMap;
use std::time::Duration;

use super::fields::lifetime;
use super::keyspace::Keyspace;
use super::link::{Command, Value};
use super::scripts::{LEAVE, SEAT};
use crate::oauth::Digest;
use crate::store::calls::Verb;
use crate::store::operations::StoreError;
use crate::store::seal::Sealer;

/// The most gates that share their counts.
pub(crate) const SEATS: u8 = 64;

/// How long a seat is kept for a gate that is silent.
const LEASE: Duration = Duration::from_hours(1);

/// How long counts are kept in a seat that is empty: longer than the review shows.
const KEPT: Duration = Duration::from_hours(31 * 24);

/// How many counts are written, or read, with one call.
const AT_ONCE: usize = 100;

/// How many calls read the counts of a seat at most: several times what the most rows of a gate take.
const MOST_SCANS: usize = 10_000;

/// What a gate identifies itself by. Random.
pub(crate) type Gate = [u8; 16];

/// Whether counts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Done,
    /// These, but the seat had none: Redis has lost the others.
    Alone,
    /// None: the seat is another gate's.
    NotOurs,
}

/// A count: what it is of, and its text.
pub(crate) type Count = (Digest, String);

/// A field of a hash, and its sealed value.
type Sealed = (Vec<u8>, Vec<u8>);

/// What a seat has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) texts: Vec<String>,
    /// How many counts were sealed with a key that this gate does not have, or for another public URL, or were changed.
    pub(crate) unreadable: usize,
}

/// The counts of one upstream.
pub(crate) struct Seats<'s> {
    pub(super) keyspace: &'s Keyspace,
    pub(super) sealer: &'s Sealer,
}

impl Seats<'_> {
    /// Takes a seat, if it is free.
    pub(crate) async fn take(&self, seat: u8, gate: &Gate) -> Result<bool, StoreError> {
        let written = self.call(seat, gate, b"take", &[]).await?;
        Ok(written != Written::NotOurs)
    }

    /// Writes counts of the gate that has this seat.
    pub(crate) async fn write(
        &self,
        seat: u8,
        gate: &Gate,
        counts: &[Count],
    ) -> Result<Written, StoreError> {
        let mut all = Written::Done;
        let empty = counts.is_empty().then_some(counts);
        for some in counts.chunks(AT_ONCE).chain(empty) {
            match self.call(seat, gate, b"keep", some).await? {
                Written::Done => {}
                Written::Alone => all = Written::Alone,
                Written::NotOurs => return Ok(Written::NotOurs),
            }
        }
        Ok(all)
    }

    async fn call(
        &self,
        seat: u8,
        gate: &Gate,
        what: &[u8],
        counts: &[Count],
    ) -> Result<Written, StoreError> {
        let sealed = self.sealed(&[seat], counts)?;
        let (lease, kept) = (lifetime(LEASE), lifetime(KEPT));
        let mut args: Vec<&[u8]> = vec![gate, what, &lease, &kept];
        for (field, value) in &sealed {
            args.extend([field.as_slice(), value]);
        }
        let keys = [self.place(seat), self.counts(&[seat])];
        let command = SEAT.command(&[&keys[0], &keys[1]], &args);
        match self.keyspace.call(Verb::Counts, command).await? {
            Value::Int(0) => Ok(Written::NotOurs),
            Value::Int(1) => Ok(Written::Done),
            Value::Int(2) => Ok(Written::Alone),
            Value::Int(_) | Value::Nil | Value::Bytes(_) | Value::List(_) => {
                Err(self.keyspace.garbage(Verb::Counts))
            }
        }
    }

    /// Leaves a seat.
    pub(crate) async fn leave(&self, seat: u8, gate: &Gate) -> Result<(), StoreError> {
        let command = LEAVE.command(&[&self.place(seat)], &[gate]);
        self.keyspace.call(Verb::Counts, command).await.map(drop)
    }

    /// The seats that have counts.
    pub(crate) async fn used(&self) -> Result<Vec<u8>, StoreError> {
        let ask = |seat: u8| Command::new("EXISTS").key(&self.counts(&[seat]));
        let commands: Vec<Command> = (0..SEATS).map(ask).collect();
        let answers = self.keyspace.call_all(Verb::Counts, &commands).await?;
        let used = (0..SEATS).zip(&answers);
        let used = used.filter(|(_, answer)| answer.number() == Some(1));
        Ok(used.map(|(seat, _)| seat).collect())
    }

    /// The counts of a seat.
    pub(crate) async fn read(&self, seat: u8) -> Result<Found, StoreError> {
        self.scan(&[seat]).await
    }

    /// Writes what all gates have in common.
    pub(crate) async fn share(&self, all: &[Count]) -> Result<(), StoreError> {
        let key = self.counts(COMMON);
        for some in all.chunks(AT_ONCE) {
            let sealed = self.sealed(COMMON, some)?;
            let command = Command::new("HSET").key(&key);
            let command = sealed.iter().fold(command, |command, (field, value)| {
                command.arg(field).arg(value)
            });
            let keep = Command::new("PEXPIRE").key(&key).arg(&lifetime(KEPT));
            let both = [command, keep];
            self.keyspace.call_all(Verb::Counts, &both).await?;
        }
        Ok(())
    }

    /// What all gates have in common.
    pub(crate) async fn shared(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.scan(COMMON).await?.texts)
    }

    /// Bounded, because an attacker who writes to Redis could make it endless.
    async fn scan(&self, place: &[u8]) -> Result<Found, StoreError> {
        let (key, mut cursor) = (self.counts(place), b"0".to_vec());
        // While the hash grows or shrinks, a field may be found twice.
        let mut all: HashMap<[u8; 16], Option<String>> = HashMap::new();
        for _ in 0..MOST_SCANS {
            let command = Command::new("HSCAN").key(&key).arg(&cursor);
            let command = command.arg(b"COUNT").arg(AT_ONCE.to_string().as_bytes());
            let answer = self.keyspace.call(Verb::Counts, command).await?;
            let [Value::Bytes(next), found] = answer.list() else {
                return Err(self.keyspace.garbage(Verb::Counts));
            };
            for pair in found.list().chunks_exact(2) {
                let [Value::Bytes(field), Value::Bytes(value)] = pair else {
                    return Err(self.keyspace.garbage(Verb::Counts));
                };
                let field = <[u8; 16]>::try_from(field.as_slice());
                // The other field is the gate's name.
                let Ok(field) = field else { continue };
                let text = self.sealer.open_text(&label(place, &field), value);
                all.insert(field, text.ok());
            }
            if next == b"0" {
                let number = all.len();
                let texts: Vec<String> = all.into_values().flatten().collect();
                return Ok(Found {
                    unreadable: number - texts.len(),
                    texts,
                });
            }
            cursor.clone_from(next);
        }
        Err(self.keyspace.garbage(Verb::Counts))
    }

    fn sealed(&self, place: &[u8], counts: &[Count]) -> Result<Vec<Sealed>, StoreError> {
        let sealed = counts.iter().map(|(of, text)| {
            let field = of.as_bytes();
            let value = self.sealer.seal_text(&label(place, field), text)?;
            Ok((field.to_vec(), value))
        });
        sealed.collect()
    }

    fn place(&self, seat: u8) -> Vec<u8> {
        self.keyspace.named(&format!("seat:{seat}"))
    }

    fn counts(&self, place: &[u8]) -> Vec<u8> {
        self.keyspace.named(&match place {
            [seat, ..] => format!("counts:{seat}"),
            [] => "counts:all".to_owned(),
        })
    }
}

/// The place of what all gates have in common.
const COMMON: &[u8] = &[];

/// For what a count is sealed.
fn label(place: &[u8], field: &[u8; 16]) -> Vec<u8> {
    [b"counts ", place, field].concat()
}
