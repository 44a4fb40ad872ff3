//! The paths beside the endpoints that were requested, as a list for `[upstream.routes]`.

use std::collections::BTreeSet;

use super::model::Routes;
use crate::gateway::Settings;
use crate::telemetry::tally::{Name, PATTERNS, Row};

/// The tree of everything.
const EVERYTHING: &str = "/**";

/// The routes that were seen, and those that are configured: the list replaces what is written now.
pub(super) fn routes(settings: &Settings, rows: &[(Name, Row)]) -> Routes {
    let seen = rows.iter().filter_map(|(name, _)| match name {
        Name::Route(pattern) => Some(&**pattern),
        Name::Client(_) | Name::Origin(_) | Name::Unrequested(_) | Name::Others => None,
    });
    let seen: BTreeSet<&str> = seen.collect();
    let endpoints = &settings.endpoints;
    let lists = [
        &endpoints.metadata,
        &endpoints.well_known,
        &endpoints.registration,
    ];
    let prefix = settings.prefix.trim_end_matches('/');
    // These are always allowed.
    let own: BTreeSet<&str> = lists
        .into_iter()
        .flatten()
        .filter_map(|path| path.strip_prefix(prefix))
        .collect();
    let configured = settings.routes.allow.iter();
    let configured = configured.filter_map(|path| path.strip_prefix(prefix));
    let is_given = |path: &&str| !own.contains(path);
    let is_wide = seen.contains(EVERYTHING);
    let all = configured
        .filter(is_given)
        .chain(seen.iter().copied().filter(|path| *path != EVERYTHING));
    let allow: BTreeSet<&str> = all.filter(is_given).collect();
    Routes {
        toml: written(&allow),
        allow: allow.into_iter().map(str::to_owned).collect(),
        is_complete: seen.len() < PATTERNS && !is_wide,
        denies: settings.routes.deny_by_default,
    }
}

/// The table to paste. Empty if there is no path.
fn written(allow: &BTreeSet<&str>) -> String {
    if allow.is_empty() {
        return String::new();
    }
    // Paths of a configuration have no letters that need an escape.
    let lines: Vec<String> = allow.iter().map(|path| format!("  {path:?},\n")).collect();
    format!(
        "[upstream.routes]\ndefault = \"deny\"\nallow = [\n{}]\n",
        lines.concat()
    )
}
