//! `[limits]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::key::{Integer, Key, Section, Size, Time};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The range of timeouts: shorter ones would fail every request, longer ones would not limit anything.
pub(crate) const TIMEOUT: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_hours(1);

pub(crate) static LIMITS: Section = Section {
    path: "limits",
    list: false,
    keys: &[
        &HEADER_BYTES,
        &HEADERS,
        &URI_BYTES,
        &FORM_BYTES,
        &FORM_PAIRS,
        &RESPONSE_SCAN_BYTES,
        &CONNECTIONS,
        &CONNECTIONS_PER_PEER,
        &IN_FLIGHT,
        &FIRST_BYTE,
        &HEADER_READ,
        &BODY_READ,
        &IDLE,
    ],
    later: &[],
};

// hyper's read buffer has at least 8 KiB.
pub(crate) static HEADER_BYTES: Key<Size> =
    Key::new("header_bytes", Size::new(32 * KIB, 8 * KIB..=MIB));

pub(crate) static HEADERS: Key<Integer<usize>> = Key::new("headers", Integer(64, 8..=1024));

pub(crate) static URI_BYTES: Key<Size> = Key::new("uri_bytes", Size::new(16 * KIB, KIB..=64 * KIB));

pub(crate) static FORM_BYTES: Key<Size> =
    Key::new("form_bytes", Size::new(64 * KIB, KIB..=16 * MIB));

pub(crate) static FORM_PAIRS: Key<Integer<usize>> = Key::new("form_pairs", Integer(64, 8..=4096));

pub(crate) static RESPONSE_SCAN_BYTES: Key<Size> =
    Key::new("response_scan_bytes", Size::new(MIB, KIB..=64 * MIB));

pub(crate) static CONNECTIONS: Key<Integer<usize>> =
    Key::new("connections", Integer(4096, 1..=1_000_000));

pub(crate) static CONNECTIONS_PER_PEER: Key<Integer<usize>> =
    Key::new("connections_per_peer", Integer(512, 1..=1_000_000));

pub(crate) static IN_FLIGHT: Key<Integer<usize>> =
    Key::new("in_flight", Integer(512, 1..=1_000_000));

pub(crate) static FIRST_BYTE: Key<Time> = Key::new("first_byte", Time::new(seconds(5), TIMEOUT));

pub(crate) static HEADER_READ: Key<Time> = Key::new("header_read", Time::new(seconds(10), TIMEOUT));

pub(crate) static BODY_READ: Key<Time> = Key::new("body_read", Time::new(seconds(10), TIMEOUT));

pub(crate) static IDLE: Key<Time> = Key::new("idle", Time::new(seconds(60), TIMEOUT));

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
