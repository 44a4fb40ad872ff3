//! Binding a code: the one verb that concerns two records.

use super::origin::OriginName;
use super::record::{Head, Record, State, pack_code};
use super::table::Added;
use super::{MINTS, MemoryStore, entropy};
use crate::clock::Timestamp;
use crate::flow::{CODES_PER_AUTHORIZATION, Purpose};
use crate::oauth::{AuthorizationCode, CodeChallenge, Digest};
use crate::store::{Bound, StoreError};

/// What a code takes over from its pending authorization, whose end it may outlive.
struct Binding {
    origin: OriginName,
    client: Digest,
    challenge: Option<CodeChallenge>,
}

impl MemoryStore {
    pub(super) fn bind_fresh(
        &self,
        pending: Digest,
        code: &AuthorizationCode,
        now: Timestamp,
    ) -> Result<Bound, StoreError> {
        for _ in 0..MINTS {
            let handle = entropy::mint(&self.key, Purpose::Code)?;
            match self.bind_at(handle.digest(), pending, None, code, now) {
                Added::New => return Ok(Bound::Handle(handle)),
                Added::Not(bound) => return Ok(bound),
                Added::NoRoom => {}
            }
        }
        Err(StoreError::Full)
    }

    pub(super) fn bind_digest(
        &self,
        pending: Digest,
        key: Digest,
        code: &AuthorizationCode,
        now: Timestamp,
    ) -> Result<Bound, StoreError> {
        // Before the code is looked at: what is gone burns nobody's code.
        if self.pending.with(pending, |record| is_alive(record, now)) != Some(true) {
            return Ok(Bound::Unknown);
        }
        match self.bind_at(key, pending, Some(pending), code, now) {
            Added::New => Ok(Bound::Digest),
            Added::Not(bound) => Ok(bound),
            Added::NoRoom => Err(StoreError::Full),
        }
    }

    fn bind_at(
        &self,
        key: Digest,
        pending: Digest,
        bound_for: Option<Digest>,
        code: &AuthorizationCode,
        now: Timestamp,
    ) -> Added<Bound> {
        let deadline = now.after(self.settings.code);
        let mut room = None;
        let added = self.codes.add(
            key,
            |there| self.meet_code(there, pending, now),
            || {
                let Binding {
                    origin,
                    client,
                    challenge,
                } = self.take_binding(pending, now)?;
                room = Some(self.usage.reserve_code(client));
                let head = Head {
                    key,
                    deadline,
                    origin,
                };
                pack_code(head, challenge.as_ref(), bound_for, code).ok_or(Bound::Unknown)
            },
        );
        if let (Added::New, Some(room)) = (&added, room) {
            room.fill();
            self.drop_some(&self.codes, key, now);
        }
        added
    }

    /// Counts a code of the pending authorization. `Err`: it may not have one.
    fn take_binding(&self, pending: Digest, now: Timestamp) -> Result<Binding, Bound> {
        let taken = self.pending.with(pending, |record| {
            if !is_alive(record, now) {
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
                client: origin.client,
                challenge,
            })
        });
        taken.unwrap_or(Err(Bound::Unknown))
    }

    /// What is made of a code that was bound already. `None`: it is over, and makes way.
    fn meet_code(&self, there: &mut Record<'_>, pending: Digest, now: Timestamp) -> Option<Bound> {
        if there.is_over(now) {
            return None;
        }
        if there.digest() == Ok(Some(pending)) {
            return Some(Bound::Digest);
        }
        match there.state() {
            State::Bound | State::Claimed => self.bury(there, State::Burnt),
            State::Redeemed | State::Burnt | State::Pending | State::Conflict => {}
        }
        Some(Bound::Unknown)
    }
}

fn is_alive(pending: &Record<'_>, now: Timestamp) -> bool {
    pending.state() == State::Pending && !pending.is_over(now)
}
