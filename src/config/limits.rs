//! `[limits]`: what a connection and a request may cost.

use std::time::Duration;

use super::schema::limits as keys;
use super::tree::Table;
use crate::http::Limits;

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
    let most = limits.get(&keys::CONNECTIONS);
    let per_peer = limits.find(&keys::CONNECTIONS_PER_PEER);
    Connections {
        most,
        per_peer: per_peer.unwrap_or_else(|| share(most)),
        header_bytes: limits.get(&keys::HEADER_BYTES),
        headers: limits.get(&keys::HEADERS),
        first_byte: limits.get(&keys::FIRST_BYTE),
        header_read: limits.get(&keys::HEADER_READ),
        body_read: limits.get(&keys::BODY_READ),
        idle: limits.get(&keys::IDLE),
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
        uri_bytes: limits.get(&keys::URI_BYTES),
        form_bytes: limits.get(&keys::FORM_BYTES),
        form_pairs: limits.get(&keys::FORM_PAIRS),
        response_scan_bytes: limits.get(&keys::RESPONSE_SCAN_BYTES),
        in_flight: limits.get(&keys::IN_FLIGHT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{UPSTREAM, check, config};

    #[test]
    fn what_is_written_holds() {
        let limits = "header_bytes = \"8KiB\"\nuri_bytes = \"4KiB\"\nconnections = 10\n\
                      in_flight = 2\nfirst_byte = \"500ms\"\nidle = \"5s\"";
        let config = config(&format!("[limits]\n{limits}\n{UPSTREAM}"));
        assert_eq!(config.server.header_bytes, 8 * 1024);
        assert_eq!(
            (config.server.connections, config.limits.in_flight),
            (10, 2)
        );
        assert_eq!(config.limits.uri_bytes, 4 * 1024);
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
