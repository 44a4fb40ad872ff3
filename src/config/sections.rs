//! Reads the sections that map directly to the settings of one component.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::tree::Table;
use super::value::ADDRESS;
use crate::telemetry::{Format, Level};
use crate::{admin, http, store, telemetry};

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

/// Reads `[store]`.
pub(super) fn store(table: &Table<'_>) -> store::Settings {
    /// The range of record lifetimes.
    const LIFE: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_hours(24);
    let default = store::Settings::DEFAULT;
    table.words_and_later("kind", (), &[("memory", ())], &["redis", "sealed"]);
    // The reserved keys belong to other kinds of store, so an invalid kind is reported without them.
    if table.is_good("kind") {
        table.later(&[
            ("url", None),
            ("key_prefix", None),
            ("deadline", None),
            ("keys", None),
        ]);
    }
    store::Settings {
        pending: table.duration("pending", default.pending, LIFE),
        code: table.duration("code", default.code, LIFE),
        capacity: table.integer("capacity", default.capacity, 1_000..=1_000_000_000),
        per_client: table.share("per_client", default.per_client),
        per_network: table.share("per_network", default.per_network),
        network_rate: table.integer("network_rate", default.network_rate, 1..=1_000_000),
        attempts: table.integer("attempts", default.attempts, 1..=100),
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

    #[test]
    fn store_settings_are_read() {
        let store = "pending = \"10m\"\ncode = \"60s\"\ncapacity = 5000\nattempts = 1";
        let settings = config(&format!("[store]\n{store}\n{UPSTREAM}")).store;
        assert_eq!(settings.pending, Duration::from_mins(10));
        assert_eq!(settings.code, Duration::from_mins(1));
        assert_eq!((settings.capacity, settings.attempts), (5000, 1));
    }

    #[test]
    fn another_store_kind_is_reported_once() {
        check(
            "[store]\nkind = \"sealed\"\nkeys = [{ id = \"a\", file = \"b\" }]",
            &[
                "2:8 error: `store.kind`: \"sealed\" is not supported in this version | \
               comes with a later version | write \"memory\"",
            ],
        );
        check(
            "[store]\nurl = \"redis://127.0.0.1:6379\"\nkey_prefix = \"x\"",
            &[
                "2:7 error: `store.url` is not supported in this version | \
                 comes with a later version | remove it",
                "3:14 error: `store.key_prefix` is not supported in this version | \
                 comes with a later version | remove it",
            ],
        );
    }
}
