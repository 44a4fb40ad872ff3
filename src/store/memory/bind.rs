//! Binding a code: the one verb that concerns more than one record.
//!
//! A raw code is bound to one sign-in, ever: whoever gets a stranger's code into an answer to a sign-in of its own must not
//! have it bound there too. So each raw code leaves a trace, under its digest: to which sign-in it was bound. The trace
//! lives for `pending` + `code`, because codes may live longer at the upstream than here (RFC 6749, section 4.1.2
//! recommends ten minutes at most), and for so long the same sign-in may yield the code again, which then lives on.
//!
//! Locks: the trace's entry of the index is held while the code is added, and the code's while the pending authorization is
//! read and counts: traces, codes, pending authorizations, in this order.

use super::network::{Met, NetworkName};
use super::origin::{Origin, OriginName};
use super::record::{Head, Record, State, pack_code, pack_trace};
use super::table::Added;
use super::usage::{Holder, weight};
use super::usage::{MINTS, NO_PLACE};
use super::{MemoryStore, entropy};
use crate::clock::Timestamp;
use crate::flow::{CODES_PER_AUTHORIZATION, Purpose};
use crate::oauth::{AuthorizationCode, CodeChallenge, Digest};
use crate::store::settings::Limit;
use crate::store::verbs::{Bound, Place, StoreError};

/// One use of the key of a pending authorization: under values that travel anyway the next one has the same key, and a later
/// deadline.
#[derive(Clone, Copy)]
struct SignIn {
    key: Digest,
    deadline: Timestamp,
}

impl SignIn {
    /// Both in one, because there are as many of these as codes.
    fn name(self) -> Digest {
        let mut name = *self.key.as_bytes();
        let deadline = self.deadline.as_millis().to_le_bytes();
        for (byte, deadline) in name.iter_mut().zip(deadline) {
            *byte ^= deadline;
        }
        Digest::from_bytes(name)
    }
}

/// What a code takes over from its pending authorization, whose end it may outlive.
struct Binding {
    origin: OriginName,
    holder: Holder,
    challenge: Option<CodeChallenge>,
}

/// Why a code leaves no new trace.
enum Stop {
    /// It has one: it was bound to this sign-in before.
    Again,
    /// It is not bound.
    Not(Result<Bound, StoreError>),
}

impl MemoryStore {
    pub(super) fn bind_to(
        &self,
        pending: Digest,
        place: Place,
        code: &AuthorizationCode,
        now: Timestamp,
    ) -> Result<Bound, StoreError> {
        let deadline = |record: &mut Record<'_>| is_alive(record, now).then(|| record.deadline());
        let Some(deadline) = self.followed(pending, now, deadline).flatten() else {
            return Ok(Bound::Unknown);
        };
        let sign_in = SignIn {
            key: pending,
            deadline,
        };
        let raw = code.digest();
        let mut bound = None;
        let traced = self.traces.add(
            raw,
            |there| meet_trace(there, sign_in, now),
            || {
                let (new, origin) = self.bind_in(place, sign_in, code, now, false)?;
                bound = Some(new);
                let head = Head {
                    key: raw,
                    deadline: now.after(self.limits.pending()).after(self.limits.code()),
                    origin: without_redirect(origin),
                    // A trace takes no room.
                    network: NetworkName::NONE,
                };
                pack_trace(head, sign_in.name()).ok_or(Stop::Not(Ok(Bound::Unknown)))
            },
        );
        match traced {
            Added::New => {
                self.drop_some(&self.traces, raw, now);
                bound.ok_or(NO_PLACE)
            }
            Added::Not(Stop::Not(answer)) => answer,
            Added::Not(Stop::Again) => match self.bind_in(place, sign_in, code, now, true) {
                Ok((bound, _)) => Ok(bound),
                Err(Stop::Not(answer)) => answer,
                Err(Stop::Again) => Ok(Bound::Unknown),
            },
            // The hash of another one stands there. The code cannot be remembered, and so it is not handed out either.
            Added::NoRoom => Err(NO_PLACE),
        }
    }

    /// Adds the code where it is to be found.
    fn bind_in(
        &self,
        place: Place,
        sign_in: SignIn,
        code: &AuthorizationCode,
        now: Timestamp,
        again: bool,
    ) -> Result<(Bound, OriginName), Stop> {
        let stop = |error| Stop::Not(Err(error));
        if let Place::Digest(key) = place {
            let (added, origin) = self.bind_at(key, sign_in, code, now, again);
            return match (added, origin) {
                (Added::New, Some(origin)) => Ok((Bound::Digest, origin)),
                (Added::Not(answer), _) => Err(Stop::Not(answer)),
                (Added::New, None) | (Added::NoRoom, _) => Err(stop(NO_PLACE)),
            };
        }
        for _ in 0..MINTS {
            let handle = entropy::mint(&self.key, Purpose::Code).map_err(stop)?;
            match self.bind_at(handle.digest(), sign_in, code, now, false) {
                (Added::New, Some(origin)) => return Ok((Bound::Handle(handle), origin)),
                (Added::Not(answer), _) => return Err(Stop::Not(answer)),
                (Added::New, None) | (Added::NoRoom, _) => {}
            }
        }
        Err(stop(NO_PLACE))
    }

    fn bind_at(
        &self,
        key: Digest,
        sign_in: SignIn,
        code: &AuthorizationCode,
        now: Timestamp,
        again: bool,
    ) -> (Added<Result<Bound, StoreError>>, Option<OriginName>) {
        let deadline = now.after(self.limits.code());
        let mut room = None;
        let mut named = None;
        let added = self.codes.add(
            key,
            |there| meet_code(there, now, again).map(Ok),
            || {
                let Binding {
                    origin,
                    holder,
                    challenge,
                } = self.take_binding(sign_in, now).map_err(Ok)?;
                named = Some(origin);
                let head = Head {
                    key,
                    deadline,
                    origin,
                    network: holder.network,
                };
                let record = pack_code(head, challenge.as_ref(), code).ok_or(Ok(Bound::Unknown))?;
                let reserved = self
                    .usage
                    .reserve_code(holder, weight(record.as_ref().len()));
                room = Some(reserved.map_err(|met| Err(self.no_room(met)))?);
                Ok(record)
            },
        );
        if let (Added::New, Some(room)) = (&added, room) {
            room.fill();
            self.drop_some(&self.codes, key, now);
        }
        (added, named)
    }

    /// A code that nobody waits for any more makes room, and the oldest one is over when its time is.
    fn no_room(&self, met: Met) -> StoreError {
        self.usage.refuse();
        match met {
            Met::Limit(limit) => StoreError::NoRoom(limit, self.limits.code()),
            Met::Rate(wait) => StoreError::NoRoom(Limit::Rate, wait),
        }
    }

    /// Counts a code of the pending authorization. `Err`: it may not have one.
    fn take_binding(&self, sign_in: SignIn, now: Timestamp) -> Result<Binding, Bound> {
        let taken = self.pending.with(sign_in.key, |record| {
            if !is_alive(record, now) || record.deadline() != sign_in.deadline {
                return Err(Bound::Unknown);
            }
            if record.count() >= CODES_PER_AUTHORIZATION {
                return Err(Bound::TooMany);
            }
            let (name, origin) = self.origin_of(record).ok_or(Bound::Unknown)?;
            let challenge = record.challenge().map_err(|_| Bound::Unknown)?;
            record.count_one();
            Ok(Binding {
                origin: name,
                holder: Holder {
                    client: Some(origin.client),
                    network: record.network(),
                },
                challenge,
            })
        });
        taken.unwrap_or(Err(Bound::Unknown))
    }
}

/// What is made of a code that has left a trace. `None`: that one is over, and makes way.
fn meet_trace(there: &mut Record<'_>, sign_in: SignIn, now: Timestamp) -> Option<Stop> {
    if there.is_over(now) {
        None
    } else if there.digest() == Ok(Some(sign_in.name())) {
        Some(Stop::Again)
    } else {
        Some(Stop::Not(Ok(Bound::Elsewhere)))
    }
}

/// What is made of a code that stands where this one is to be. `None`: it is over, and makes way.
fn meet_code(there: &mut Record<'_>, now: Timestamp, again: bool) -> Option<Bound> {
    if there.is_over(now) {
        None
    } else if again {
        Some(Bound::Digest)
    } else {
        Some(Bound::Elsewhere)
    }
}

/// A trace says whose code it was, not where it led.
fn without_redirect(origin: OriginName) -> OriginName {
    match origin {
        OriginName::Number(number) => OriginName::Number(number),
        OriginName::Itself(origin) => OriginName::Itself(Origin {
            redirect: None,
            ..origin
        }),
    }
}

fn is_alive(pending: &Record<'_>, now: Timestamp) -> bool {
    pending.state() == State::Pending && !pending.is_over(now)
}
