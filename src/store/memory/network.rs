//! How much of the store the sign-ins from one network hold, and how many it may begin a second.

use std::sync::Arc;
use std::time::Duration;

use super::limits::Limits;
use super::mix::Mix;
use super::mix::SHARDS;
use super::sync::DashMap;
use crate::clock::Timestamp;
use crate::network::Network;
use crate::store::settings::Limit;

/// How many seconds' worth of sign-ins may begin at once: a class of students, an office in the morning.
const BURST: Duration = Duration::from_secs(10);

/// A network as it stands in a record: four bytes of a keyed hash, or zero. Of networks that meet in one name, which only chance can
/// bring about, both together have the share of one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct NetworkName(u32);

impl NetworkName {
    /// Of what has no share: it comes from many.
    pub(super) const NONE: Self = Self(0);

    pub(super) fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(u32::from_le_bytes(bytes))
    }

    pub(super) fn to_bytes(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }
}

/// What a new record would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// How many there may be.
    Limit(Limit),
    /// How many may begin a second, and so long it has to wait.
    Rate(Duration),
}

/// Every network that has records.
pub(super) struct Networks {
    mix: Mix,
    limits: Arc<Limits>,
    uses: DashMap<NetworkName, Use, Mix>,
}

/// What one network has.
#[derive(Debug, Clone, Copy)]
struct Use {
    records: usize,
    /// When as many sign-ins as have begun would have begun at the rate that is allowed, in microseconds (the generic cell rate
    /// algorithm: one number says how much of the burst is used up).
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

    /// One more sign-in of that weight begins, unless too many do, or there are too many records.
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

    /// Counts records of that weight, unless they would exceed the share, so many times over.
    pub(super) fn add(
        &self,
        network: NetworkName,
        weight: usize,
        shares: usize,
    ) -> Result<(), Met> {
        self.change(network, |network| self.add_to(network, weight, shares))
    }

    /// One that was refused its first record is not remembered.
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

    /// A sign-in that was begun has no room: its network may begin another one for it.
    pub(super) fn undo(&self, network: NetworkName, weight: usize) {
        self.end(network, weight, self.limits.interval());
    }

    /// They are gone. A network without any is forgotten.
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

    /// Gives memory back after a flood of networks.
    pub(super) fn shrink(&self) {
        if self.uses.capacity() > 4096 && self.uses.len() < self.uses.capacity() / 16 {
            self.uses.shrink_to_fit();
        }
    }

    /// Memory, in bytes.
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
