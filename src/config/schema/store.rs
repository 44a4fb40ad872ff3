//! `[store]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::key::{Integer, Key, Section, Share, Time, Words};
use crate::store::Settings;

const DEFAULT: Settings = Settings::DEFAULT;

/// The range of record lifetimes.
const LIFE: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_hours(24);

pub(crate) static STORE: Section = Section {
    path: "store",
    list: false,
    keys: &[
        &KIND,
        &PENDING,
        &CODE,
        &CAPACITY,
        &PER_CLIENT,
        &PER_NETWORK,
        &NETWORK_RATE,
        &ATTEMPTS,
    ],
    later: &[
        ("url", None),
        ("key_prefix", None),
        ("deadline", None),
        ("keys", None),
    ],
};

pub(crate) static KIND: Key<Words<()>> = Key::new(
    "kind",
    Words::new((), &[("memory", ())]).later(&["redis", "sealed"]),
);

pub(crate) static PENDING: Key<Time> = Key::new("pending", Time::new(DEFAULT.pending, LIFE));

pub(crate) static CODE: Key<Time> = Key::new("code", Time::new(DEFAULT.code, LIFE));

pub(crate) static CAPACITY: Key<Integer<usize>> =
    Key::new("capacity", Integer(DEFAULT.capacity, 1_000..=1_000_000_000));

pub(crate) static PER_CLIENT: Key<Share> = Key::new("per_client", Share(DEFAULT.per_client));

pub(crate) static PER_NETWORK: Key<Share> = Key::new("per_network", Share(DEFAULT.per_network));

pub(crate) static NETWORK_RATE: Key<Integer<u32>> =
    Key::new("network_rate", Integer(DEFAULT.network_rate, 1..=1_000_000));

pub(crate) static ATTEMPTS: Key<Integer<u8>> =
    Key::new("attempts", Integer(DEFAULT.attempts, 1..=100));
