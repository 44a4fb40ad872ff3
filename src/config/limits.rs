//! `[limits]`: what a connection and a request may cost.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::tree::Table;
use crate::http::Limits;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// For timeouts: below it nothing works, above it nothing is bounded.
pub(super) const TIMEOUT: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_hours(1);

/// The part that concerns connections.
#[derive(Debug)]
pub(super) struct Connections {
    pub(super) most: usize,
    pub(super) per_peer: usize,
    pub(super) header_bytes: usize,
    pub(super) headers: usize,
    pub(super) first_byte: Duration,
    pub(super) header_read: Duration,
    pub(super) body_read: Duration,
    pub(super) idle: Duration,
}

/// Reads the part that concerns connections.
pub(super) fn connections(limits: &Table<'_>) -> Connections {
    let seconds = Duration::from_secs;
    let most = limits.integer("connections", 4096, 1..=1_000_000);
    Connections {
        most,
        per_peer: limits.integer("connections_per_peer", share(most), 1..=1_000_000),
        // hyper reads a head into a buffer of 8 KiB at least.
        header_bytes: limits.size("header_bytes", 32 * KIB, 8 * KIB..=MIB),
        headers: limits.integer("headers", 64, 8..=1024),
        first_byte: limits.duration("first_byte", seconds(5), TIMEOUT),
        header_read: limits.duration("header_read", seconds(10), TIMEOUT),
        body_read: limits.duration("body_read", seconds(10), TIMEOUT),
        idle: limits.duration("idle", seconds(60), TIMEOUT),
    }
}

/// An eighth, but not so little that one browser or test bench fills it.
fn share(connections: usize) -> usize {
    const LEAST: usize = 64;
    (connections / 8).max(LEAST).min(connections)
}

/// Reads the part that concerns requests.
pub(super) fn requests(limits: &Table<'_>, headers: usize) -> Limits {
    Limits {
        headers,
        uri_bytes: limits.size("uri_bytes", 16 * KIB, KIB..=64 * KIB),
        form_bytes: limits.size("form_bytes", 64 * KIB, KIB..=16 * MIB),
        form_pairs: limits.integer("form_pairs", 64, 8..=4096),
        response_scan_bytes: limits.size("response_scan_bytes", MIB, KIB..=64 * MIB),
        in_flight: limits.integer("in_flight", 512, 1..=1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{UPSTREAM, check, config};
    use super::*;

    #[test]
    fn what_is_written_holds() {
        let limits = "header_bytes = \"8KiB\"\nuri_bytes = \"4KiB\"\nconnections = 10\n\
                      in_flight = 2\nfirst_byte = \"500ms\"\nidle = \"5s\"";
        let config = config(&format!("[limits]\n{limits}\n{UPSTREAM}"));
        assert_eq!(config.server.header_bytes, 8 * KIB);
        assert_eq!(
            (config.server.connections, config.limits.in_flight),
            (10, 2)
        );
        assert_eq!(config.limits.uri_bytes, 4 * KIB);
        assert_eq!(config.server.first_byte, Duration::from_millis(500));
        assert_eq!(config.server.idle, Duration::from_secs(5));
    }

    #[test]
    fn a_peer_has_an_eighth_of_the_connections_unless_something_else_is_written() {
        for (limits, per_peer) in [
            ("", 512),
            ("connections = 800", 100),
            ("connections = 100", 64),
            ("connections = 10", 10),
            ("connections_per_peer = 7", 7),
        ] {
            let config = config(&format!("[limits]\n{limits}\n{UPSTREAM}"));
            assert_eq!(config.server.connections_per_peer, per_peer, "{limits}");
        }
    }

    #[test]
    fn a_timeout_can_be_met() {
        check(
            "[limits]\nbody_read = \"0s\"",
            &[
                "2:13 error: `limits.body_read` is out of range | it goes from \"10ms\" to \"1h\" | \
               write for example body_read = \"10s\"",
            ],
        );
    }
}
