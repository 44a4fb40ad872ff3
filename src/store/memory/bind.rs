//! Binding a code: the only operation on more than one record.
//!
//! A raw code is bound to one sign-in, ever: an attacker who injects another user's code into an answer to an own
//! sign-in must not get it bound there. So each raw code leaves a trace under its digest that names its sign-in. The
//! trace lives for `pending` + `code`, because codes may live longer at the upstream than here (RFC 6749 section 4.1.2
//! recommends ten minutes at most). During that time the same sign-in may yield the code again, which extends its life.
//!
//! Locks: the index entry of the trace is held while the code is added, and that of the code while the pending
//! authorization is read and counted. The order is traces, codes, pending authorizations.

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

/// One use of the key of a pending authorization. With `codes = "upstream"` a later sign-in may have the same key, but
/// has a later deadline.
#[derive(Clone, Copy)]
struct SignIn {
    key: Digest,
    deadline: Timestamp,
}

impl SignIn {
    /// Key and deadline combined into one digest, to save memory: there are as many of these as codes.
    fn name(self) -> Digest {
        let mut name = *self.key.as_bytes();
        let deadline = self.deadline.as_millis().to_le_bytes();
        for (byte, deadline) in name.iter_mut().zip(deadline) {
            *byte ^= deadline;
        }
        Digest::from_bytes(name)
    }
}

/// The data that a code copies from its pending authorization, which may expire first.
struct Binding {
    origin: OriginName,
    holder: Holder,
    challenge: Option<CodeChallenge>,
}

/// Why no new trace is stored for a code.
enum Stop {
    /// There is one already: the code was bound to this sign-in before.
    Again,
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
                    // A trace does not count towards the network's share.
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
            // The trace's slot is taken by another hash. A code that cannot be remembered is not issued either.
            Added::NoRoom => Err(NO_PLACE),
        }
    }

    /// Adds the code under a new handle or under the given digest.
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

    /// The error for a lack of room. After the lifetime of a code, the codes that take the room now have expired.
    fn no_room(&self, met: Met) -> StoreError {
        self.usage.refuse();
        match met {
            Met::Limit(limit) => StoreError::NoRoom(limit, self.limits.code()),
            Met::Rate(wait) => StoreError::NoRoom(Limit::Rate, wait),
        }
    }

    /// Counts a further code of the pending authorization. `Err`: none is allowed.
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

/// Decides about a code that already has a trace. `None`: the trace has expired and is replaced.
fn meet_trace(there: &mut Record<'_>, sign_in: SignIn, now: Timestamp) -> Option<Stop> {
    if there.is_over(now) {
        None
    } else if there.digest() == Ok(Some(sign_in.name())) {
        Some(Stop::Again)
    } else {
        Some(Stop::Not(Ok(Bound::Elsewhere)))
    }
}

/// Decides about a code stored under the same key. `None`: it has expired and is replaced.
fn meet_code(there: &mut Record<'_>, now: Timestamp, again: bool) -> Option<Bound> {
    if there.is_over(now) {
        None
    } else if again {
        Some(Bound::Digest)
    } else {
        Some(Bound::Elsewhere)
    }
}

/// A trace names the client of a code only, not its redirect URI.
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
