//! Binding a code, the only operation on more than one record.
//!
//! A code is bound to one sign-in only: an attacker who injects another user's code into an answer to their own sign-in must
//! not get it bound there, too. So each code leaves a trace with its digest as the key, which remembers the sign-in. The trace lives for
//! `pending` + `code`, because a code may be valid at the upstream for longer than here (RFC 6749 section 4.1.2 recommends ten
//! minutes at most). Meanwhile the same sign-in may yield the code again, which extends its life.
//!
//! Locks: the shard of the trace is locked while the code is added, and the shard of the code while the sign-in is read and
//! counted: traces, codes, sign-ins, in this order.

use std::sync::Arc;

use super::entropy;
use super::record::{Asked, Code, Origin, Record as _, SignInUse, Stage, Trace};
use super::tables::Tables;
use super::usage::Met;
use crate::clock::Timestamp;
use crate::flow::{CODES_PER_AUTHORIZATION, HandleKey, Purpose};
use crate::oauth::{AuthorizationCode, Digest};
use crate::store::operations::{Bound, Place, StoreError};
use crate::store::settings::{Limit, Settings};

/// A code to bind.
#[derive(Clone, Copy)]
pub(super) struct New<'n> {
    pub(super) code: &'n AuthorizationCode,
    pub(super) place: Place,
    pub(super) now: Timestamp,
}

/// Why a code leaves no new trace.
enum Stop {
    /// It has a trace already: it was bound to this sign-in before.
    Again,
    /// The code is not bound.
    Not(Result<Bound, StoreError>),
}

/// Binds a code to the sign-in with the key `pending`. `key` signs its handle.
pub(super) fn bind(
    tables: &Tables,
    key: &HandleKey,
    pending: Digest,
    new: New<'_>,
) -> Result<Bound, StoreError> {
    let now = new.now;
    let found = tables.followed(pending, now, |sign_in| {
        let deadline = sign_in.deadline;
        sign_in.is_waiting(now).then_some(SignInUse {
            key: pending,
            deadline,
        })
    });
    let Some(sign_in) = found.flatten() else {
        return Ok(Bound::Unknown);
    };
    let settings = tables.settings.load();
    let deadline = now.after(settings.pending).after(settings.code);
    let raw = new.code.digest();
    let lives_until = now.after(settings.code);
    let met = |there: &mut Trace| {
        if there.is_over(now) {
            None
        } else if there.sign_in == sign_in.name() {
            // The trace must outlive the code, which lives longer after a reload with a longer lifetime.
            if there.deadline < lives_until {
                there.deadline = lives_until;
                tables.queues.traces.push(raw, lives_until);
            }
            Some(Stop::Again)
        } else {
            Some(Stop::Not(Ok(Bound::Elsewhere)))
        }
    };
    let mut bound = Ok(Bound::Unknown);
    let make = || {
        let (new, asked) = add(tables, &settings, key, sign_in, new, false)?;
        bound = Ok(new);
        Ok(Trace {
            deadline,
            asked,
            sign_in: sign_in.name(),
        })
    };
    let (queue, traces) = (&tables.queues.traces, &tables.traces);
    match traces.add(queue, raw, met, make) {
        Ok(_) => {
            tables.drop_some(queue, traces, now);
            bound
        }
        Err(Stop::Not(answer)) => answer,
        Err(Stop::Again) => match add(tables, &settings, key, sign_in, new, true) {
            Ok((bound, _)) => Ok(bound),
            Err(Stop::Not(answer)) => answer,
            Err(Stop::Again) => Ok(Bound::Unknown),
        },
    }
}

/// Adds the record of the code. `again`: the same sign-in has yielded this code before.
fn add(
    tables: &Tables,
    settings: &Settings,
    key: &HandleKey,
    sign_in: SignInUse,
    new: New<'_>,
    again: bool,
) -> Result<(Bound, Arc<Asked>), Stop> {
    let (key, bound) = match new.place {
        Place::Digest(key) => (key, Bound::Digest),
        Place::Handle | Place::Entry => {
            let minted = entropy::mint(key, Purpose::Code);
            let handle = minted.map_err(|error| Stop::Not(Err(error)))?;
            (handle.digest(), Bound::Handle(handle))
        }
    };
    let mut of = None;
    let met = |there: &mut Code| {
        let instead = if again {
            Bound::Digest
        } else {
            Bound::Elsewhere
        };
        (!there.is_over(new.now)).then_some(Stop::Not(Ok(instead)))
    };
    let make = || {
        let origin = take(tables, sign_in, new.now).map_err(|instead| Stop::Not(Ok(instead)))?;
        let asked = Arc::clone(&origin.asked);
        let code = Code::new(new.code, origin, new.now.after(settings.code));
        // There is room when the oldest code has expired, redeemed or not.
        let refuse = |met| match met {
            Met::Limit(limit) => tables.refuse(limit, settings.code),
            Met::Rate(wait) => tables.refuse(Limit::Rate, wait),
        };
        if let Some(room) = code.room() {
            let counted = tables.usage.add_code(room, settings, new.now);
            counted.map_err(|met| Stop::Not(Err(refuse(met))))?;
        }
        of = Some(asked);
        Ok(code)
    };
    let replaced = tables.codes.add(&tables.queues.codes, key, met, make)?;
    if let Some(replaced) = replaced {
        tables.account_for(&*replaced);
    }
    tables.drop_some(&tables.queues.codes, &tables.codes, new.now);
    let asked = of.ok_or(Stop::Not(Ok(Bound::Unknown)))?;
    Ok((bound, asked))
}

/// Counts a code of the sign-in. `Err`: it may not have another one.
fn take(tables: &Tables, of: SignInUse, now: Timestamp) -> Result<Origin, Bound> {
    let taken = tables
        .sign_ins
        .with(of.key, |sign_in| match &mut sign_in.stage {
            Stage::Waiting { codes } if sign_in.deadline == of.deadline && of.deadline > now => {
                if *codes >= CODES_PER_AUTHORIZATION {
                    return Err(Bound::TooMany);
                }
                *codes += 1;
                Ok(sign_in.origin())
            }
            Stage::Waiting { .. } | Stage::Unfollowed | Stage::Conflict => Err(Bound::Unknown),
        });
    taken.unwrap_or(Err(Bound::Unknown))
}
