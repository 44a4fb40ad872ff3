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

use super::record::{Code, Kind as _, Record, SignIn, Stage, Trace};
use super::tables::Tables;
use super::usage::{Met, NetworkName};
use crate::clock::Timestamp;
use crate::flow::{CODES_PER_AUTHORIZATION, HandleKey, Purpose};
use crate::oauth::{AuthorizationCode, Digest};
use crate::store::entropy;
use crate::store::operations::{Bound, Place, StoreError};
use crate::store::settings::Limit;

impl Tables {
    /// Binds a code to the sign-in with the key `pending`. `handles` signs its handle.
    pub(super) fn bind(
        &self,
        pending: Digest,
        place: Place,
        code: AuthorizationCode,
        handles: &HandleKey,
        now: Timestamp,
    ) -> Result<Bound, StoreError> {
        let until = |sign_in: &mut Record<SignIn>| {
            let is_waiting = matches!(sign_in.value.stage, Stage::Waiting { .. });
            (is_waiting && !sign_in.is_over(now)).then_some(sign_in.deadline)
        };
        let Some(until) = self.followed(pending, now, until).flatten() else {
            return Ok(Bound::Unknown);
        };
        let settings = self.settings.load();
        let expires = now.after(settings.code);
        let (raw, sign_in) = (code.digest(), Trace::name(pending, until));
        let mut trace = self.traces.lock(raw);
        let is_again = match trace.live(now) {
            None => false,
            Some(there) if there.value.sign_in != sign_in => return Ok(Bound::Elsewhere),
            Some(there) => {
                // The trace must outlive the code, which lives longer after a reload with a longer lifetime.
                if there.deadline < expires {
                    there.deadline = expires;
                    self.traces.queue.push(raw, expires);
                }
                true
            }
        };
        let (key, bound) = match place {
            Place::Digest(key) => (key, Bound::Digest),
            Place::Handle | Place::Entry => {
                let handle = entropy::mint(handles, Purpose::Code)?;
                (handle.digest(), Bound::Handle(handle))
            }
        };
        let mut slot = self.codes.lock(key);
        if slot.live(now).is_some() {
            return Ok(if is_again {
                Bound::Digest
            } else {
                Bound::Elsewhere
            });
        }
        let take = |sign_in: &mut Record<SignIn>| take(sign_in, until, code, now, expires);
        let record = match self.sign_ins.with(pending, take) {
            Some(Ok(record)) => record,
            Some(Err(instead)) => return Ok(instead),
            None => return Ok(Bound::Unknown),
        };
        if let Err(met) = self.usage.add_code(record.room(), &settings, now) {
            // There is room when the oldest code has expired, redeemed or not.
            return Err(match met {
                Met::Limit(limit) => self.refuse(limit, settings.code),
                Met::Rate(wait) => self.refuse(Limit::Rate, wait),
            });
        }
        let application = Arc::clone(record.value.application());
        self.put(slot, record, &self.codes.queue, now);
        if !is_again {
            let of = Trace {
                application,
                sign_in,
            };
            let record = Record::new(of, NetworkName::NONE, expires.after(settings.pending));
            self.put(trace, record, &self.traces.queue, now);
        }
        Ok(bound)
    }
}

/// Makes the record of another code of the sign-in. `until`: the deadline by which the sign-in was found. `Err`: it may not have one.
fn take(
    sign_in: &mut Record<SignIn>,
    until: Timestamp,
    code: AuthorizationCode,
    now: Timestamp,
    expires: Timestamp,
) -> Result<Record<Code>, Bound> {
    match &mut sign_in.value.stage {
        Stage::Waiting { codes } if sign_in.deadline == until && until > now => {
            if *codes >= CODES_PER_AUTHORIZATION {
                return Err(Bound::TooMany);
            }
            *codes += 1;
            let code = Code::new(sign_in.value.pending.bind(code));
            Ok(Record::new(code, sign_in.network, expires))
        }
        Stage::Waiting { .. } | Stage::Unfollowed | Stage::Conflict => Err(Bound::Unknown),
    }
}
