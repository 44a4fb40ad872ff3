//! `[limits]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::key::{Integer, Key, Section, Size, Time};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// For timeouts: below it nothing works, above it nothing is bounded.
pub(crate) const TIMEOUT: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_hours(1);

pub(crate) static LIMITS: Section = Section {
    path: "limits",
    list: false,
    comment: "",
    text: "What one connection and one request may cost, and how many there may be.",
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
};

// hyper reads a head into a buffer of 8 KiB at least.
pub(crate) static HEADER_BYTES: Key<Size> = Key::new(
    "header_bytes",
    Size(32 * KIB, 8 * KIB..=MIB),
    "of a request head; above it 431",
)
.text("The longest head of a request, its target included. A longer one is answered with 431.");

pub(crate) static HEADERS: Key<Integer<usize>> =
    Key::new("headers", Integer(64, 8..=1024), "in a request")
        .text("The most header fields in a request. More are answered with 431.");

pub(crate) static URI_BYTES: Key<Size> =
    Key::new("uri_bytes", Size(16 * KIB, KIB..=64 * KIB), "").text(
        "The longest request target (path and query). A longer one is answered with 414. Keep it below `header_bytes`, which \
         includes it.",
    );

pub(crate) static FORM_BYTES: Key<Size> = Key::new(
    "form_bytes",
    Size(64 * KIB, KIB..=16 * MIB),
    "of a body at one of the endpoints below",
)
.text(
    "The longest body of an authorization or token request. Bodies of other requests are passed on as they come and have no \
     limit here.",
);

pub(crate) static FORM_PAIRS: Key<Integer<usize>> = Key::new(
    "form_pairs",
    Integer(64, 8..=4096),
    "in a query or body there",
)
.text("The most parameters in the query or the body of an authorization or token request.");

pub(crate) static RESPONSE_SCAN_BYTES: Key<Size> = Key::new(
    "response_scan_bytes",
    Size(MIB, KIB..=64 * MIB),
    "of an upstream page, read to find a code",
)
.text(
    "How much of a page or JSON document of the upstream is read to find a code in it. What the upstream sends piece by piece up \
     to this size arrives in one.",
);

pub(crate) static CONNECTIONS: Key<Integer<usize>> = Key::new(
    "connections",
    Integer(4096, 1..=1_000_000),
    "shared out by network (/24, /56) when three quarters are taken",
)
.text(
    "The most connections of clients at a time. When three quarters are taken, the networks that hold most of them (an IPv4 /24, \
     an IPv6 /56) give way to others, and the times below begin to shrink, down to an eighth. Each connection needs a file descriptor: see `LimitNOFILE=` of systemd or `ulimit -n`.",
);

pub(crate) static CONNECTIONS_PER_PEER: Key<Integer<usize>> = Key::new(
    "connections_per_peer",
    Integer(512, 1..=1_000_000),
    "of an IPv4 address or an IPv6 /64, trusted proxies excepted; by default an eighth",
)
.text("The most connections of one IPv4 address, or of one IPv6 /64. Trusted proxies are exempt.")
.absent("an eighth of `connections`, but at least 64");

pub(crate) static IN_FLIGHT: Key<Integer<usize>> = Key::new(
    "in_flight",
    Integer(512, 1..=1_000_000),
    "per upstream, until the client has taken the answer; above it 503. Uploads: half of it. Shared out likewise",
)
.text(
    "The most requests to one upstream at a time. A request holds its place until its answer has been written to the client; \
     beyond that the answer is 503 with `Retry-After`. Requests whose body is longer than `form_bytes` and still coming have half \
     of the places.",
);

pub(crate) static FIRST_BYTE: Key<Time> =
    Key::new("first_byte", Time(seconds(5), TIMEOUT), "from accept")
        .text("How long a new connection may be silent.");

pub(crate) static HEADER_READ: Key<Time> = Key::new(
    "header_read",
    Time(seconds(10), TIMEOUT),
    "for a request head",
)
.text("How long the head of a request may take, from its first byte to its end.");

pub(crate) static BODY_READ: Key<Time> = Key::new(
    "body_read",
    Time(seconds(10), TIMEOUT),
    "waiting for a body; each 500 bytes of it give a second more",
)
.text(
    "How long the gate waits for the body of a request. Each 500 bytes that arrive give a second more, so that a slow line gets \
     through and a trickle does not.",
);

pub(crate) static IDLE: Key<Time> = Key::new(
    "idle",
    Time(seconds(60), TIMEOUT),
    "a kept-alive connection without a request",
)
.text("How long a connection that is kept alive may wait for its next request.");

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
