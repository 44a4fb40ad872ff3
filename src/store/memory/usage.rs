//! Limits: how many records there may be in total, for each client and for each network.
//!
//! A record counts once for each [`UNIT`] bytes or part of them, because states and codes are stored unchanged, and long ones must
//! not take more memory than the capacity allows.
//!
//! A new sign-in is refused if the capacity, or the share of its client or of its network is used up. Codes count towards the capacity and the share of the network, but are refused only at
//! [`WITH_CODES`] times these: their sign-in was admitted, and a flood of other requests must not stop it. That is enough even
//! with codes of a kilobyte, because a code lives for a third of the time of a sign-in.

use std::hash::BuildHasher as _;

use foldhash::quality::RandomState;

use super::sync::{DashMap, MAP_SHARDS};
use crate::network::Network;
use crate::oauth::Digest;
use crate::store::settings::{Limit, Settings};

/// Bytes that count as one record.
const UNIT: usize = 256;

/// Sign-ins and codes together may use this many times the capacity, and the share of a network.
pub(super) const WITH_CODES: usize = 3;

/// Those whose records are counted. A network has four bytes of a keyed hash, which others may share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    Network(u32),
    Everyone,
    Client(Digest),
}

/// The room that a record takes.
pub(super) struct Room {
    weight: usize,
    holders: [Option<Holder>; 3],
}

impl Room {
    /// The room of a record that counts towards no limit.
    pub(super) const NONE: Self = Self {
        weight: 0,
        holders: [None; 3],
    };

    /// The room of a record of so many bytes. `network`: zero if it is unknown.
    pub(super) fn new(bytes: usize, network: u32, client: Option<Digest>) -> Self {
        let network = (network != 0).then_some(Holder::Network(network));
        // The network is first: one with too many sign-ins must not evict those of others.
        let holders = [network, Some(Holder::Everyone), client.map(Holder::Client)];
        let weight = bytes.div_ceil(UNIT);
        Self { weight, holders }
    }

    pub(super) fn counts_for(&self, holder: Holder) -> bool {
        self.holders.contains(&Some(holder))
    }
}

/// The limit that a new record would exceed.
pub(super) struct Met {
    pub(super) limit: Limit,
    pub(super) holder: Holder,
}

pub(super) struct Usage {
    /// The weight of each holder's records.
    shares: DashMap<Holder, usize, RandomState>,
    names: RandomState,
}

impl Usage {
    pub(super) fn new() -> Self {
        Self {
            shares: DashMap::with_hasher_and_shard_amount(RandomState::default(), MAP_SHARDS),
            names: RandomState::default(),
        }
    }

    /// The name of a network in records. Zero: it is unknown.
    pub(super) fn name(&self, network: Option<Network>) -> u32 {
        network.map_or(0, |network| {
            let [_, _, _, _, hash @ ..] = self.names.hash_one(network.as_bytes()).to_be_bytes();
            u32::from_be_bytes(hash).max(1)
        })
    }

    /// Counts a new record, unless `times` a limit would be exceeded.
    pub(super) fn add(&self, room: &Room, times: usize, settings: &Settings) -> Result<(), Met> {
        let holders = || room.holders.into_iter().flatten();
        for holder in holders() {
            let (limit, most) = match holder {
                Holder::Network(_) => (Limit::Network, settings.network_share()),
                Holder::Everyone => (Limit::Capacity, settings.capacity),
                Holder::Client(_) => (Limit::Client, settings.client_share()),
            };
            let mut weight = self.shares.entry(holder).or_default();
            // The last record may exceed the limit: otherwise a heavy one would never find room.
            if *weight < most.saturating_mul(times) {
                *weight += room.weight;
                continue;
            }
            drop(weight);
            // Do not remember a holder whose first record is refused.
            self.leave(holder, 0);
            let joined = holders().take_while(|joined| *joined != holder);
            joined.for_each(|joined| self.leave(joined, room.weight));
            return Err(Met { limit, holder });
        }
        Ok(())
    }

    /// Subtracts a record that was removed, or not added.
    pub(super) fn remove(&self, room: &Room) {
        let holders = room.holders.into_iter().flatten();
        holders.for_each(|holder| self.leave(holder, room.weight));
    }

    /// Subtracts a record of a holder, and forgets the holder if it has no other.
    fn leave(&self, holder: Holder, weight: usize) {
        self.shares.remove_if_mut(&holder, |_, has| {
            *has = has.saturating_sub(weight);
            *has == 0
        });
    }

    /// The number of clients and networks that have records, and memory in bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        let slots = self.shares.capacity() * 8 / 7;
        (
            self.shares.len(),
            slots * (size_of::<(Holder, usize)>() + 1),
        )
    }

    /// Frees memory after a flood of clients and networks.
    pub(super) fn shrink(&self) {
        if self.shares.capacity() > 4096 && self.shares.len() < self.shares.capacity() / 16 {
            self.shares.shrink_to_fit();
        }
    }
}
