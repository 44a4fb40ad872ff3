//! What handles and keys say about whose a sign-in or a code is.

use std::sync::Arc;
use std::time::Duration;

use super::fields::{issued, owner_of};
use super::keyspace::Keyspace;
use super::link::{Command, Value};
use crate::flow::{Application, Candidate, Handle, Key, PendingAuthorization, Purpose};
use crate::oauth::Digest;
use crate::store::envelope::{Dead, Envelopes, Opened};
use crate::store::operations::{Issued, Owner, Pending};

/// The record in a handle and how much longer it is valid, or what `pending` returns for it. `None`: it contains none. Whether
/// it was discarded is checked when a code is bound: reading must not depend on Redis.
pub(super) fn in_handle(
    envelopes: &Envelopes,
    handle: &Handle,
) -> Option<Result<(PendingAuthorization, Duration), Pending>> {
    match envelopes.open(Purpose::State, handle) {
        Ok(Opened {
            record,
            left: Some(left),
        }) => Some(Ok((record, left))),
        Ok(Opened { left: None, .. }) | Err(Dead::Expired) => Some(Err(Pending::Expired)),
        Err(Dead::Forged) => Some(Err(Pending::Unknown)),
        Err(Dead::Short) => None,
    }
}

/// What has to be asked about a candidate, and what its handle says.
enum Question {
    /// The sign-in, or why there is none, according to its handle. `None`: it has no handle with a record.
    SignIn(Digest, Option<Result<Arc<Application>, Pending>>),
    /// A code in this form; with a handle, the application in it.
    Code(Digest, Issued, Option<Arc<Application>>),
    /// It is not in Redis.
    Nowhere,
}

/// What to ask about some candidates.
pub(super) struct Questions(Vec<Question>);

impl Questions {
    pub(super) fn about(envelopes: &Envelopes, candidates: &[Candidate]) -> Self {
        let about = |candidate: &Candidate| match candidate {
            Candidate::State(key) => {
                let read = key.handle().and_then(|of| in_handle(envelopes, of));
                let read = read.map(|read| read.map(|(record, _)| record.application));
                Question::SignIn(key.digest(), read)
            }
            Candidate::Code(Key::Digest(raw)) => Question::Code(*raw, Issued::Raw, None),
            Candidate::Code(Key::Handle(handle)) => match envelopes.open_code(handle) {
                Ok(Opened { record, .. }) => {
                    let (raw, of) = (record.code.digest(), record.application);
                    Question::Code(raw, Issued::Handle, Some(of))
                }
                Err(Dead::Expired | Dead::Forged | Dead::Short) => Question::Nowhere,
            },
        };
        Self(candidates.iter().map(about).collect())
    }

    /// One command for each candidate that is in Redis, and one for the time.
    pub(super) fn commands(&self, keyspace: &Keyspace) -> Vec<Command> {
        let mut commands = Vec::new();
        for question in &self.0 {
            let (kind, key, fields): (_, _, &[&[u8]]) = match question {
                Question::SignIn(key, _) => ("s", key, &[b"owner", b"dead"]),
                Question::Code(key, ..) => (
                    "c",
                    key,
                    &[b"owner", b"issued", b"until", b"claim", b"burnt"],
                ),
                Question::Nowhere => continue,
            };
            let key = keyspace.key(kind, *key);
            if commands.is_empty() {
                commands.push(Command::new("TIME").beside(&key));
            }
            let ask = Command::new("HMGET").key(&key);
            commands.push(fields.iter().fold(ask, |ask, field| ask.arg(field)));
        }
        commands
    }

    /// The owners by these answers, in the order of the candidates. `None`: the answers are not what the gate wrote.
    pub(super) fn owners(&self, answers: &[Value]) -> Option<Vec<Option<Owner>>> {
        let (now, mut answers) = match answers.split_first() {
            Some((time, answers)) => (millis(time)?, answers.iter()),
            None => (0, answers.iter()),
        };
        let owner = |question: &Question| {
            Some(match question {
                Question::Nowhere => None,
                Question::SignIn(_, read) => {
                    let [owner, dead] = answers.next()?.list() else {
                        return None;
                    };
                    let alive = *dead == Value::Nil;
                    match read {
                        Some(Ok(application)) => Some(Owner::of(application, alive)),
                        Some(Err(_)) => None,
                        None => owner_of(owner, alive),
                    }
                }
                Question::Code(_, form, application) => {
                    let [owner, issued_as, until, claim, burnt] = answers.next()?.list() else {
                        return None;
                    };
                    let until = until.text().and_then(|until| until.parse::<u64>().ok());
                    let alive = until.is_some_and(|until| now < until)
                        && issued_as.text() == Some(issued(*form))
                        && (claim, burnt) == (&Value::Nil, &Value::Nil);
                    let of_handle = application.as_deref().map(|of| Owner::of(of, false));
                    owner_of(owner, alive).or(of_handle)
                }
            })
        };
        self.0.iter().map(owner).collect()
    }
}

/// The answer to `TIME`, in milliseconds.
fn millis(time: &Value) -> Option<u64> {
    let [seconds, micros] = time.list() else {
        return None;
    };
    let number = |value: &Value| value.text()?.parse::<u64>().ok();
    Some(number(seconds)?.saturating_mul(1000) + number(micros)? / 1000)
}
