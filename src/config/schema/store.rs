//! `[store]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::key::{Integer, Key, Later, Section, Share, Time, Words};
use crate::store::Settings;

const DEFAULT: Settings = Settings::DEFAULT;

/// How long a record may live.
const LIFE: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_hours(24);

pub(crate) static STORE: Section = Section {
    path: "store",
    list: false,
    comment: "pending authorizations and codes",
    text: "What the gate remembers: authorizations that are under way, and codes that have not been redeemed. It is in memory, so \
           a restart forgets it.",
    keys: &[
        &KIND,
        &PENDING,
        &CODE,
        &CAPACITY,
        &PER_CLIENT,
        &PER_NETWORK,
        &NETWORK_RATE,
        &ATTEMPTS,
        &URL,
        &KEY_PREFIX,
        &DEADLINE,
        &KEYS,
    ],
};

pub(crate) static KIND: Key<Words<()>> = Key::new(
    "kind",
    Words::new((), &[("memory", (), "in the memory of this process")]).later(&["redis", "sealed"]),
    "",
)
.text("Where records are kept.")
.restart();

pub(crate) static PENDING: Key<Time> = Key::new(
    "pending",
    Time(DEFAULT.pending, LIFE),
    "from the authorization request to the code",
)
.text("How long a user has for the login. After it the sign-in ends with `expired_sign_in`.")
.restart();

pub(crate) static CODE: Key<Time> = Key::new(
    "code",
    Time(DEFAULT.code, LIFE),
    "from the code to the token",
)
.text(
    "How long a code can be redeemed. RFC 6749 section 4.1.2 recommends at most ten minutes; the upstream's own limit holds as \
     well.",
)
.restart();

pub(crate) static CAPACITY: Key<Integer<usize>> = Key::new(
    "capacity",
    Integer(DEFAULT.capacity, 1_000..=1_000_000_000),
    "records; when full, new requests are refused, and no sign-in that is under way is evicted",
)
.text(
    "The most records of one upstream. When it is full, sign-ins whose redirect was never followed make room first; after them new \
     sign-ins are refused (503). No sign-in that has gone on is evicted.",
)
.restart();

pub(crate) static PER_CLIENT: Key<Share> = Key::new(
    "per_client",
    Share(DEFAULT.per_client),
    "the largest share of capacity that the sign-ins of one client may hold",
)
.text("The largest share of `capacity` that the sign-ins of one client may hold.")
.restart();

pub(crate) static PER_NETWORK: Key<Share> = Key::new(
    "per_network",
    Share(DEFAULT.per_network),
    "the largest share of it that sign-ins from one network (an IPv4 /24, an IPv6 /56) may hold",
)
.text(
    "The largest share of `capacity` that sign-ins from one network (an IPv4 /24, an IPv6 /56) may hold.",
)
.restart();

pub(crate) static NETWORK_RATE: Key<Integer<u32>> = Key::new(
    "network_rate",
    Integer(DEFAULT.network_rate, 1..=1_000_000),
    "sign-ins a second that one network may begin; ten seconds' worth at once",
)
.text(
    "How many sign-ins one network (an IPv4 /24, an IPv6 /56) may begin in a second, with ten seconds' worth at once. More are \
     refused with 429 (`too_many_sign_ins`).",
)
.restart();

pub(crate) static ATTEMPTS: Key<Integer<u8>> = Key::new(
    "attempts",
    Integer(DEFAULT.attempts, 1..=100),
    "wrong verifiers before a code is burnt",
)
.text(
    "How many wrong verifiers a code survives. After the last one it is of no use (`burnt_code`).",
)
.restart();

pub(crate) static URL: Key<Later> = Key::new("url", Later::Whole(Some("kind")), "");
pub(crate) static KEY_PREFIX: Key<Later> = Key::new("key_prefix", Later::Whole(Some("kind")), "");
pub(crate) static DEADLINE: Key<Later> = Key::new("deadline", Later::Whole(Some("kind")), "");
pub(crate) static KEYS: Key<Later> = Key::new("keys", Later::Whole(Some("kind")), "");
