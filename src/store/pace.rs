//! How many sign-ins a network may begin per second, for stores that do not count the records of a network.

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
        let Some(network) = network else {
            return Ok(());
        };
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let now = micros(now.since(Timestamp::default()));
        let interval = 1_000_000 / u64::from(rate.max(1));
        let hash = self.buckets.hash_one(network.as_bytes());
        let bucket = usize::try_from(hash % (1 << 16)).unwrap_or_default();
        let Some(due) = self.due.get(bucket) else {
            return Ok(());
        };
        let latest = now.saturating_add(micros(BURST));
        let next =
            |due: u64| Some(due.max(now).saturating_add(interval)).filter(|due| *due <= latest);
        let relaxed = Ordering::Relaxed;
        due.fetch_update(relaxed, relaxed, next)
            .map(drop)
            .map_err(|due| {
                let wait = due.max(now).saturating_add(interval).saturating_sub(latest);
                Duration::from_micros(wait)
            })
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
