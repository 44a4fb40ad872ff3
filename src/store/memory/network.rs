//! The share and the rate of sign-ins of each network.

use std::sync::Arc;
use std::time::Duration;

use super::limits::Limits;
use super::mix::Mix;
use super::mix::SHARDS;
use super::sync::DashMap;
use crate::clock::Timestamp;
use crate::network::Network;
use crate::store::settings::Limit;

/// How many seconds' worth of sign-ins may begin at once: for a class of students, or an office in the morning.
const BURST: Duration = Duration::from_secs(10);

/// The name of a network in a record: four bytes of a keyed hash, or zero. Networks whose names collide, which an
/// attacker cannot arrange, share one share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct NetworkName(u32);

impl NetworkName {
    /// The name for requests without a known network, which have no share.
    pub(super) const NONE: Self = Self(0);

    pub(super) fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(u32::from_le_bytes(bytes))
    }

    pub(super) fn to_bytes(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    Limit(Limit),
    /// The rate of sign-ins; the duration until the next one is allowed.
    Rate(Duration),
}

/// The use of the store by each network that has records.
pub(super) struct Networks {
    mix: Mix,
    limits: Arc<Limits>,
    uses: DashMap<NetworkName, Use, Mix>,
}

/// The records and the rate of one network.
#[derive(Debug, Clone, Copy)]
struct Use {
    records: usize,
    /// When the sign-ins begun so far would be due at the allowed rate, in microseconds (generic cell rate algorithm:
    /// this one number tells how much of the burst is used up).
    due: u64,
}

impl Use {
    const NONE: Self = Self { records: 0, due: 0 };
}

impl Networks {
    pub(super) fn new(limits: Arc<Limits>) -> Self {
        Self {
            mix: Mix::new(),
            limits,
            uses: DashMap::with_hasher_and_shard_amount(Mix::new(), SHARDS),
        }
    }

    pub(super) fn name(&self, network: Option<Network>) -> NetworkName {
        let Some(network) = network else {
            return NetworkName::NONE;
        };
        let [a, b, c, d, ..] = self.mix.hash(network.as_bytes()).to_le_bytes();
        NetworkName(u32::from_le_bytes([a, b, c, d]).max(1))
    }

    /// Counts a sign-in of the given weight, unless the rate or the share is exceeded.
    pub(super) fn begin(
        &self,
        network: NetworkName,
        weight: usize,
        now: Timestamp,
    ) -> Result<(), Met> {
        let now = now.as_millis().saturating_mul(1000);
        self.change(network, |network| {
            let next = network.due.max(now).saturating_add(self.limits.interval());
            let early = next.saturating_sub(now.saturating_add(micros(BURST)));
            if early > 0 {
                return Err(Met::Rate(Duration::from_micros(early)));
            }
            self.add_to(network, weight, 1)?;
            network.due = next;
            Ok(())
        })
    }

    /// Counts records of the given weight, unless they exceed `shares` times the network's share.
    pub(super) fn add(
        &self,
        network: NetworkName,
        weight: usize,
        shares: usize,
    ) -> Result<(), Met> {
        self.change(network, |network| self.add_to(network, weight, shares))
    }

    /// Forgets a network that is refused its first record.
    fn change(
        &self,
        network: NetworkName,
        change: impl FnOnce(&mut Use) -> Result<(), Met>,
    ) -> Result<(), Met> {
        if network == NetworkName::NONE {
            return Ok(());
        }
        let answer = change(&mut self.uses.entry(network).or_insert(Use::NONE));
        if answer.is_err() {
            self.remove(network, 0);
        }
        answer
    }

    fn add_to(&self, network: &mut Use, weight: usize, shares: usize) -> Result<(), Met> {
        let share = self.limits.per_network().saturating_mul(shares);
        if network.records >= share {
            return Err(Met::Limit(Limit::Network));
        }
        network.records += weight;
        Ok(())
    }

    /// Undoes [`Networks::begin`] for a sign-in that finds no room otherwise.
    pub(super) fn undo(&self, network: NetworkName, weight: usize) {
        self.end(network, weight, self.limits.interval());
    }

    /// Subtracts dropped records. A network without records is forgotten.
    pub(super) fn remove(&self, network: NetworkName, weight: usize) {
        self.end(network, weight, 0);
    }

    fn end(&self, network: NetworkName, weight: usize, early: u64) {
        if network == NetworkName::NONE {
            return;
        }
        self.uses.remove_if_mut(&network, |_, network| {
            network.records = network.records.saturating_sub(weight);
            network.due = network.due.saturating_sub(early);
            network.records == 0
        });
    }

    /// Frees memory after a flood of networks.
    pub(super) fn shrink(&self) {
        if self.uses.capacity() > 4096 && self.uses.len() < self.uses.capacity() / 16 {
            self.uses.shrink_to_fit();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.uses.capacity() * 8 / 7 * (size_of::<(NetworkName, Use)>() + 1)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.uses.len()
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
