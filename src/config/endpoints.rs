//! `[upstream.endpoints]`: which paths are which endpoint.

use super::path::PATH;
use super::problem::Problem;
use super::tree::{At, Table};
use super::value::quoted;
use crate::gateway::Endpoints;

const METADATA: [&str; 2] = [
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
];

/// Reads the endpoints; their paths get the prefix in front.
pub(super) fn read(table: &Table<'_>, prefix: &str) -> Endpoints {
    let mut seen = Vec::new();
    let mut paths = |key: &'static str, default: &[&str]| {
        let listed = table.list(key, &PATH).unwrap_or_else(|| {
            let defaults = default.iter().map(|path| At {
                span: table.header(),
                value: (*path).to_owned(),
            });
            defaults.collect()
        });
        twice(table, key, &listed, &mut seen);
        let below = if prefix == "/" { "" } else { prefix };
        let full = listed.iter().map(|path| format!("{below}{}", path.value));
        full.collect::<Vec<_>>()
    };
    let endpoints = Endpoints {
        authorization: paths("authorization", &[]),
        continuation: paths("continuation", &[]),
        token: paths("token", &[]),
        metadata: paths("metadata", &METADATA),
    };
    required(table, "authorization", "[\"/oauth2/authorize\"]");
    required(table, "token", "[\"/oauth2/token\"]");
    table.later_list("pushed_authorization_request");
    table.later_list("device_authorization");
    table.later_list("authorization_challenge");
    endpoints
}

/// Without these there is nothing to guard.
fn required(table: &Table<'_>, key: &'static str, example: &str) {
    if !table.has(key) {
        let label = "the gate has to know this endpoint of the upstream";
        let help = format!("add {key} = {example} below [upstream.endpoints]");
        table.missing(key, label, &help);
    } else if table.is_empty_list(key) {
        table.empty_list(key, "there would be nothing to guard", example);
    }
}

/// A path can be only one endpoint.
fn twice(
    table: &Table<'_>,
    key: &'static str,
    listed: &[At<String>],
    seen: &mut Vec<(&'static str, At<String>)>,
) {
    for path in listed {
        let earlier = seen.iter().find(|(_, earlier)| earlier.value == path.value);
        let Some((other, earlier)) = earlier else {
            seen.push((key, path.clone()));
            continue;
        };
        let message = format!("{} is both {other} and {key}", quoted(&path.value));
        let help = "a path is one endpoint only: remove one of them";
        let problem = if path.span == table.header() {
            let label = format!("{key} has it by default");
            Problem::error(earlier.span, message, label, help)
        } else {
            Problem::error(path.span, message, format!("as {key} here"), help)
                .and_at(earlier.span, format!("as {other} here"))
        };
        table.push(problem);
    }
}
