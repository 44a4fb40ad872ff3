//! How many records there are, whose they are, and how many there may be.
//!
//! A pending authorization counts as one for each begun [`UNIT`] bytes: the client's state is kept as it came, and long ones
//! must not cost more memory than the capacity promises.
//!
//! New pending authorizations are refused at capacity and at a client's share of it. Codes are counted against
//! both but never refused: the login that they end was let in when it began, and a flood of other people's
//! requests must not undo it. So there are at most [`CODES_PER_AUTHORIZATION`] records more for each pending
//! authorization that was let in: six times the capacity, were all of them to end at once in five codes each.
//!
//! [`CODES_PER_AUTHORIZATION`]: crate::flow::CODES_PER_AUTHORIZATION

use super::mix::Mix;
use super::record::State;
use super::sync::DashMap;
use super::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use super::table::SHARDS;
use crate::oauth::Digest;
use crate::store::{Settings, Statistics, StoreError};

/// Bytes of a record that count as one.
const UNIT: usize = 256;

/// As how many records a pending authorization of that many bytes counts.
pub(super) fn weight(bytes: usize) -> usize {
    1 + bytes.saturating_sub(1) / UNIT
}

pub(super) struct Usage {
    capacity: usize,
    /// `None`: one client may have everything.
    share: Option<usize>,
    records: AtomicUsize,
    /// Records of each client that has any.
    clients: DashMap<Digest, usize, Mix>,
    pending: AtomicUsize,
    codes: AtomicUsize,
    tombstones: AtomicUsize,
    refused: AtomicU64,
}

/// Room for one record, given back unless it is used. It is counted before the record is there: whatever drops a
/// record must find it counted.
#[must_use = "room that is not used is given back at once"]
pub(super) struct Room<'a> {
    usage: &'a Usage,
    client: Digest,
    state: State,
    weight: usize,
    used: bool,
}

impl Usage {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            capacity: settings.capacity,
            share: share(settings),
            records: AtomicUsize::new(0),
            clients: DashMap::with_hasher_and_shard_amount(Mix::new(), SHARDS),
            pending: AtomicUsize::new(0),
            codes: AtomicUsize::new(0),
            tombstones: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Room for a pending authorization.
    pub(super) fn reserve(&self, client: Digest, weight: usize) -> Result<Room<'_>, StoreError> {
        // The last one may be a heavy one: room for it alone would be asked for in vain again and again.
        let more = |records| (records < self.capacity).then_some(records + weight);
        self.records
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .map_err(|_| StoreError::Full)?;
        if self.count(client, weight, self.share) {
            self.pending.fetch_add(1, Ordering::Relaxed);
            Ok(self.room(client, State::Pending, weight))
        } else {
            self.records.fetch_sub(weight, Ordering::Relaxed);
            Err(StoreError::ClientShare)
        }
    }

    /// Room for a code: there always is.
    pub(super) fn reserve_code(&self, client: Digest) -> Room<'_> {
        self.records.fetch_add(1, Ordering::Relaxed);
        self.count(client, 1, None);
        self.codes.fetch_add(1, Ordering::Relaxed);
        self.room(client, State::Bound, 1)
    }

    /// A code has become a tombstone.
    pub(super) fn bury_code(&self) {
        self.codes.fetch_sub(1, Ordering::Relaxed);
        self.tombstones.fetch_add(1, Ordering::Relaxed);
    }

    /// A record of that many bytes was dropped.
    pub(super) fn remove(&self, client: Option<Digest>, state: State, bytes: usize) {
        let (kind, weight) = match state {
            State::Pending | State::Conflict => (&self.pending, weight(bytes)),
            State::Bound | State::Claimed => (&self.codes, 1),
            State::Redeemed | State::Burnt => (&self.tombstones, 1),
            // Not counted: there is one for each code, which was.
            State::Trace => return,
        };
        kind.fetch_sub(1, Ordering::Relaxed);
        self.give_back(client, weight);
    }

    fn give_back(&self, client: Option<Digest>, weight: usize) {
        self.records.fetch_sub(weight, Ordering::Relaxed);
        if let Some(client) = client {
            self.discount(client, weight);
        }
    }

    pub(super) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives memory back after a flood of clients.
    pub(super) fn shrink(&self) {
        if self.clients.capacity() > 4096 && self.clients.len() < self.clients.capacity() / 16 {
            self.clients.shrink_to_fit();
        }
    }

    /// All but the bytes that the records themselves take.
    pub(super) fn statistics(&self) -> Statistics {
        Statistics {
            pending: self.pending.load(Ordering::Relaxed),
            codes: self.codes.load(Ordering::Relaxed),
            tombstones: self.tombstones.load(Ordering::Relaxed),
            bytes: self.clients.capacity() * 8 / 7 * (size_of::<(Digest, usize)>() + 1),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    fn room(&self, client: Digest, state: State, weight: usize) -> Room<'_> {
        Room {
            usage: self,
            client,
            state,
            weight,
            used: false,
        }
    }

    /// So many more for this client, unless it has `limit`.
    fn count(&self, client: Digest, weight: usize, limit: Option<usize>) -> bool {
        if self.share.is_none() {
            return true;
        }
        let mut records = self.clients.entry(client).or_insert(0);
        let fits = limit.is_none_or(|limit| *records < limit);
        if fits {
            *records += weight;
        }
        fits
    }

    fn discount(&self, client: Digest, weight: usize) {
        if self.share.is_some() {
            self.clients.remove_if_mut(&client, |_, records| {
                *records = records.saturating_sub(weight);
                *records == 0
            });
        }
    }

    #[cfg(test)]
    pub(super) fn clients(&self) -> usize {
        self.clients.len()
    }
}

impl Room<'_> {
    /// The record is there.
    pub(super) fn fill(mut self) {
        self.used = true;
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if !self.used {
            let kind = if self.state == State::Pending {
                &self.usage.pending
            } else {
                &self.usage.codes
            };
            kind.fetch_sub(1, Ordering::Relaxed);
            self.usage.give_back(Some(self.client), self.weight);
        }
    }
}

/// At least one record: a share of nothing would lock a client out of an empty store.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a share of a number of records, rounded down; float casts saturate"
)]
fn share(settings: &Settings) -> Option<usize> {
    (settings.per_client < 1.0)
        .then(|| ((settings.capacity as f64 * settings.per_client) as usize).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_down_and_never_nothing() {
        let with = |capacity, per_client| {
            share(&Settings {
                capacity,
                per_client,
                ..Settings::default()
            })
        };
        assert_eq!(with(9, 0.5), Some(4));
        assert_eq!(with(9, 0.0), Some(1));
        assert_eq!(with(9, -1.0), Some(1));
        assert_eq!(with(9, 1.0), None);
        assert_eq!(with(9, f64::NAN), None);
    }
}
