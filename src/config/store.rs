//! `[store]`: where pending authorizations and codes are kept.

use std::time::Duration;

use super::tree::Table;
use crate::store::Settings;

/// Reads `[store]`.
pub(super) fn read(table: &Table<'_>) -> Settings {
    let default = Settings::default();
    let records = Duration::from_secs(10)..=Duration::from_hours(24);
    table.word("kind", (), &[("memory", ())], &["redis", "sealed"]);
    // The keys of another kind follow from it: one problem is enough.
    let other_kind = !table.is_good("kind");
    for key in ["url", "key_prefix", "deadline", "keys"] {
        if other_kind {
            table.know_later(key);
        } else {
            table.later_key(key);
        }
    }
    Settings {
        pending: table.duration("pending", default.pending, records.clone()),
        code: table.duration("code", default.code, records),
        capacity: table.integer("capacity", default.capacity, 1_000..=1_000_000_000),
        per_client: table.share("per_client", default.per_client),
        per_network: table.share("per_network", default.per_network),
        network_rate: table.integer("network_rate", default.network_rate, 1..=1_000_000),
        attempts: table.integer("attempts", default.attempts, 1..=100),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{UPSTREAM, check, config};
    use super::*;

    #[test]
    fn what_is_written_holds() {
        let store = "pending = \"10m\"\ncode = \"60s\"\ncapacity = 5000\nattempts = 1";
        let settings = config(&format!("[store]\n{store}\n{UPSTREAM}")).store;
        assert_eq!(settings.pending, Duration::from_mins(10));
        assert_eq!(settings.code, Duration::from_mins(1));
        assert_eq!((settings.capacity, settings.attempts), (5000, 1));
    }

    #[test]
    fn another_kind_is_refused_once_and_its_keys_with_it() {
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
