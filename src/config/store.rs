//! `[store]`: where pending authorizations and codes are kept.

use super::schema::store as keys;
use super::tree::Table;
use crate::store::Settings;

/// Reads `[store]`.
pub(super) fn read(table: &Table<'_>) -> Settings {
    table.get(&keys::KIND);
    // The other keys belong to the other kinds.
    if table.is_good("kind") {
        table.later();
    }
    Settings {
        pending: table.get(&keys::PENDING),
        code: table.get(&keys::CODE),
        capacity: table.get(&keys::CAPACITY),
        per_client: table.get(&keys::PER_CLIENT),
        per_network: table.get(&keys::PER_NETWORK),
        network_rate: table.get(&keys::NETWORK_RATE),
        attempts: table.get(&keys::ATTEMPTS),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{UPSTREAM, check, config};
    use std::time::Duration;

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
