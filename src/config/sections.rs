//! Reads the sections that map directly to the settings of one component.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::context::Context;
use super::tree::Table;
use super::value::{ADDRESS, TEXT};
use crate::telemetry::{Format, Level, tally};
use crate::{admin, http, telemetry};

pub(super) const KIB: usize = 1024;
pub(super) const MIB: usize = 1024 * KIB;

/// The range of timeouts: shorter ones would fail every request, longer ones would not limit anything.
pub(super) const TIMEOUT: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_hours(1);

/// Reads `[admin]`.
pub(super) fn admin(table: &Table<'_>) -> admin::Settings {
    let address = ADDRESS.example("127.0.0.1:9901");
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, 9901));
    admin::Settings {
        listen: table.text("listen", &address, default),
    }
}

/// Reads `[review]`.
pub(super) fn review(table: &Table<'_>, context: &Context<'_>) -> tally::Settings {
    let file = TEXT.example("/var/lib/pkce-gate/review.json");
    let snapshot = table.find("snapshot", &file);
    tally::Settings {
        rows: table.integer("clients", tally::ROWS, 10..=100_000),
        snapshot: snapshot.map(|file| context.directory.join(file)),
    }
}

/// Reads `[log]`.
pub(super) fn log(table: &Table<'_>) -> telemetry::Settings {
    let levels = [
        ("error", Level::Error),
        ("warn", Level::Warn),
        ("info", Level::Info),
        ("debug", Level::Debug),
        ("trace", Level::Trace),
    ];
    let formats = [("json", Format::Json), ("text", Format::Text)];
    telemetry::Settings {
        level: table.words("level", Level::Info, &levels),
        format: table.words("format", Format::Json, &formats),
    }
}

/// Reads the keys of `[limits]` that concern requests.
pub(super) fn limits(table: &Table<'_>, headers: usize) -> http::Limits {
    http::Limits {
        headers,
        uri_bytes: table.size("uri_bytes", 16 * KIB, KIB..=64 * KIB),
        form_bytes: table.size("form_bytes", 64 * KIB, KIB..=16 * MIB),
        form_pairs: table.integer("form_pairs", 64, 8..=4096),
        response_scan_bytes: table.size("response_scan_bytes", MIB, KIB..=64 * MIB),
        in_flight: table.integer("in_flight", 512, 1..=1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::testing::{UPSTREAM, check, config};
    use crate::telemetry::{Format, Level};

    fn check_log(input: &str, level: Level, format: Format) {
        let settings = config(&format!("[log]\n{input}\n{UPSTREAM}")).log;
        assert_eq!(settings, telemetry::Settings { level, format }, "{input}");
    }

    #[test]
    fn log_levels_and_formats_are_read() {
        check_log("", Level::Info, Format::Json);
        check_log("format = \"text\"", Level::Info, Format::Text);
        for (word, level) in [
            ("error", Level::Error),
            ("warn", Level::Warn),
            ("debug", Level::Debug),
            ("trace", Level::Trace),
        ] {
            check_log(&format!("level = \"{word}\""), level, Format::Json);
        }
    }

    #[test]
    fn written_values_are_used() {
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
    fn connections_per_peer_defaults_to_an_eighth() {
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
    fn timeouts_have_a_range() {
        check(
            "[limits]\nbody_read = \"0s\"",
            &[
                "2:13 error: `limits.body_read` is out of range | it goes from \"10ms\" to \"1h\" | \
               write for example body_read = \"10s\"",
            ],
        );
    }
}
