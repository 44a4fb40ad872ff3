//! What handles and keys say about whose a sign-in or a code is.

use std::time::Duration;

use super::fields::owner_of;
use super::keyspace::Keyspace;
use super::link::{Command, Value};
use crate::flow::{BoundCode, Candidate, Handle, Key, PendingAuthorization, Purpose};
use crate::store::envelope::{Dead, Envelopes, Opened};
use crate::store::operations::{Owner, Pending, Redeemed};

/// What is known under the digest of a code.
pub(super) enum Kept {
    Code(BoundCode),
    Dead(Redeemed),
    Nowhere,
}

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

/// What to ask about a candidate: two commands.
pub(super) fn questions(keyspace: &Keyspace, candidate: &Candidate) -> [Command; 2] {
    let ask = |kind: &str, key: &Key, fields: [&[u8]; 4]| {
        let command = Command::new("HMGET").key(&keyspace.key(kind, key.digest()));
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

/// Whose a candidate is, by these answers and by itself. The outer `None`: the answers are not what the gate wrote.
#[expect(clippy::option_option, reason = "as documented")]
pub(super) fn owner(
    envelopes: &Envelopes,
    candidate: &Candidate,
    answers: &[Value],
) -> Option<Option<Owner>> {
    let [first, second] = answers else {
        return None;
    };
    match candidate {
        Candidate::State(key) => {
            let [owner, dead, ..] = first.list() else {
                return None;
            };
            let alive = *dead == Value::Nil;
            let in_handle = key.handle().and_then(|handle| in_handle(envelopes, handle));
            Some(match in_handle {
                Some(Ok((record, _))) => Some(Owner::of(&record.application, alive)),
                Some(Err(_)) => None,
                None => owner_of(owner, alive),
            })
        }
        Candidate::Code(key) => {
            let ([owner, claim, burnt, _], [trace, ..]) = (first.list(), second.list()) else {
                return None;
            };
            let alive = *owner != Value::Nil && *claim == Value::Nil && *burnt == Value::Nil;
            let in_handle = || {
                let opened = envelopes.open::<BoundCode>(Purpose::Code, key.handle()?);
                let application = opened.ok()?.record.application;
                Some(Owner::of(&application, false))
            };
            let kept = owner_of(owner, alive).or_else(|| owner_of(trace, false));
            Some(kept.or_else(in_handle))
        }
    }
}
