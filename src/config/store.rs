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
        attempts: table.integer("attempts", default.attempts, 1..=100),
    }
}
