//! How many sign-ins a network may begin per second.

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foldhash::quality::RandomState;

use super::settings::BURST;
use crate::clock::Timestamp;
use crate::network::Network;

/// For each bucket, the theoretical arrival time of the generic cell rate algorithm, in microseconds. Networks of one bucket share
/// a rate; which networks these are cannot be foreseen.
pub(super) struct Pace {
    due: Box<[AtomicU64]>,
    buckets: RandomState,
}

impl Pace {
    const BUCKETS: usize = 1 << 16;

    pub(super) fn new() -> Self {
        Self {
            due: (0..Self::BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            buckets: RandomState::default(),
        }
    }

    /// Counts a sign-in that this network begins, unless it begins more than `rate` a second; a burst may have ten seconds' worth.
    /// `Err`: the time until the next one is possible.
    pub(super) fn admit(
        &self,
        network: Option<Network>,
        rate: u32,
        now: Timestamp,
    ) -> Result<(), Duration> {
        let Some(due) = self.bucket(network) else {
            return Ok(());
        };
        let relaxed = Ordering::Relaxed;
        let counted = due.fetch_update(relaxed, relaxed, |due| next(due, rate, now).ok());
        counted.or_else(|due| next(due, rate, now)).map(drop)
    }

    /// The same without counting it.
    pub(super) fn may_begin(
        &self,
        network: Option<Network>,
        rate: u32,
        now: Timestamp,
    ) -> Result<(), Duration> {
        let due = self.bucket(network);
        let due = due.map_or(0, |due| due.load(Ordering::Relaxed));
        next(due, rate, now).map(drop)
    }

    /// `None`: the network is unknown.
    fn bucket(&self, network: Option<Network>) -> Option<&AtomicU64> {
        let hash = self.buckets.hash_one(network?.as_bytes());
        let bucket = usize::try_from(hash).unwrap_or_default() % Self::BUCKETS;
        self.due.get(bucket)
    }
}

/// The next arrival time after `due`, both in microseconds. `Err`: the time until it is early enough.
fn next(due: u64, rate: u32, now: Timestamp) -> Result<u64, Duration> {
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let now = micros(now.since(Timestamp::default()));
    let due = due
        .max(now)
        .saturating_add(1_000_000 / u64::from(rate.max(1)));
    match due.saturating_sub(now.saturating_add(micros(BURST))) {
        0 => Ok(due),
        early => Err(Duration::from_micros(early)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_begins_its_rate_and_a_burst_and_others_are_not_affected() {
        let pace = Pace::new();
        let network = |text: &str| Some(Network::of(text.parse().unwrap()));
        let (busy, other) = (network("192.0.2.1"), network("198.51.100.1"));
        let mut now = Timestamp::from_millis(1000);
        let begun = (0..5000)
            .take_while(|_| pace.admit(busy, 100, now).is_ok())
            .count();
        assert_eq!(begun, 1000);
        assert_eq!(pace.admit(other, 100, now), Ok(()));
        assert_eq!(pace.admit(None, 100, now), Ok(()));
        let Err(wait) = pace.admit(busy, 100, now) else {
            panic!("above the rate");
        };
        now = now.after(wait);
        assert_eq!(pace.admit(busy, 100, now), Ok(()));
        assert!(pace.admit(busy, 100, now).is_err());
    }
}
