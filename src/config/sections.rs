//! Reads the sections that map directly to the settings of one component.

use super::schema::{limits as limit_keys, server as keys, store as store_keys};
use super::tree::Table;
use crate::{admin, http, store, telemetry};

/// Reads `[admin]`.
pub(super) fn admin(table: &Table<'_>) -> admin::Settings {
    admin::Settings {
        listen: table.get(&keys::ADMIN_LISTEN),
    }
}

/// Reads `[log]`.
pub(super) fn log(table: &Table<'_>) -> telemetry::Settings {
    telemetry::Settings {
        level: table.get(&keys::LEVEL),
        format: table.get(&keys::FORMAT),
    }
}

/// Reads the keys of `[limits]` that concern requests.
pub(super) fn limits(table: &Table<'_>, headers: usize) -> http::Limits {
    http::Limits {
        headers,
        uri_bytes: table.get(&limit_keys::URI_BYTES),
        form_bytes: table.get(&limit_keys::FORM_BYTES),
        form_pairs: table.get(&limit_keys::FORM_PAIRS),
        response_scan_bytes: table.get(&limit_keys::RESPONSE_SCAN_BYTES),
        in_flight: table.get(&limit_keys::IN_FLIGHT),
    }
}

/// Reads `[store]`.
pub(super) fn store(table: &Table<'_>) -> store::Settings {
    table.get(&store_keys::KIND);
    // The reserved keys belong to other kinds of store, so an invalid kind is reported without them.
    if table.is_good("kind") {
        table.later();
    }
    store::Settings {
        pending: table.get(&store_keys::PENDING),
        code: table.get(&store_keys::CODE),
        capacity: table.get(&store_keys::CAPACITY),
        per_client: table.get(&store_keys::PER_CLIENT),
        per_network: table.get(&store_keys::PER_NETWORK),
        network_rate: table.get(&store_keys::NETWORK_RATE),
        attempts: table.get(&store_keys::ATTEMPTS),
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
