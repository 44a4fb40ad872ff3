//! Checks for paths that a server may treat as the same path.

use crate::config::problem::Problem;
use crate::config::tree::Table;
use crate::config::upstream::Read;
use crate::config::wording::quoted;
use crate::route::fold::{fold_path, fold_segments};

/// A list of paths, with its table and key.
struct Listed<'r, 't> {
    table: &'r Table<'t>,
    key: &'static str,
    paths: &'r [String],
}

/// Reports endpoints that differ here, but are one path to a server that normalizes paths.
pub(crate) fn alike(read: &Read<'_>) {
    let endpoints = &read.gateway.endpoints;
    let listed = |key, paths| Listed {
        table: &read.endpoints,
        key,
        paths,
    };
    let foreign = Listed {
        table: &read.routes,
        key: "foreign_callbacks",
        paths: &read.gateway.routes.foreign_callbacks,
    };
    let token = listed("token", &endpoints.token);
    let authorization = listed("authorization", &endpoints.authorization);
    let continuation = listed("continuation", &endpoints.continuation);
    let metadata = listed("metadata", &endpoints.metadata);
    let registration = listed("registration", &endpoints.registration);
    for other in [&authorization, &continuation, &metadata, &registration] {
        two_endpoints(other, &token);
    }
    for other in [&authorization, &continuation] {
        two_endpoints(&metadata, other);
        two_endpoints(&registration, other);
    }
    for protected in [&token, &authorization, &continuation] {
        no_callback(&foreign, protected);
    }
}

/// Warns of entries in `[upstream.routes]` that have no effect.
pub(crate) fn idle_routes(read: &Read<'_>) {
    let (table, routes) = (&read.routes, &read.gateway.routes);
    let is_good = ["default", "allow", "deny", "foreign_callbacks"]
        .iter()
        .all(|key| table.is_good(key));
    if !is_good || !(table.has("default") || table.lacks("default")) {
        return;
    }
    if !routes.deny_by_default && table.has("allow") && !table.is_empty_list("allow") {
        let message = format!("{} does nothing", table.name("allow"));
        let label = "with default = \"guarded\" every path passes";
        let help = "write default = \"deny\" beside it, or remove it";
        table.push(Problem::warning(table.at("allow"), message, label, help));
    }
    let mut callbacks = routes.foreign_callbacks.iter();
    if let Some(closed) = callbacks.find(|path| !routes.admits(path)) {
        let message = format!("{} is answered with 404", quoted(closed));
        let label = "a foreign callback passes only where its path does";
        let help = if routes.deny_by_default {
            "add it to allow, or remove it here"
        } else {
            "take it out of deny, or remove it here"
        };
        let at = table.at("foreign_callbacks");
        table.push(Problem::warning(at, message, label, help));
    }
}

/// The first path of one list that equals a path of the other after folding.
fn first_like<'r>(
    one: &Listed<'r, '_>,
    other: &Listed<'r, '_>,
    fold: fn(&str) -> String,
) -> Option<(&'r String, &'r String)> {
    let of = |path: &'r String| other.paths.iter().find(|known| fold(known) == fold(path));
    let is_good = one.table.is_good(one.key) && other.table.is_good(other.key);
    let found = one.paths.iter().find_map(|path| Some((path, of(path)?)));
    found.filter(|_| is_good)
}

/// Reports paths that are equal after folding. Identical paths are already reported by the reader.
fn two_endpoints(one: &Listed<'_, '_>, token: &Listed<'_, '_>) {
    let differ = |found: &(&String, &String)| found.0 != found.1;
    let same = first_like(one, token, fold_segments).filter(differ);
    let but_for_extension = || first_like(one, token, fold_path).filter(differ);
    let help = "correct one of them, or make sure that the upstream tells them apart";
    let message = |(path, known): (&String, &String)| {
        let (path, known) = (quoted(path), quoted(known));
        format!(
            "{path} of {} and {known} of {} are one path to some servers",
            one.key, token.key
        )
    };
    let problem = if let Some(found) = same {
        let label = "they differ in case, slashes or blanks only";
        Problem::error(
            one.table.at(one.key),
            message(found),
            label,
            "correct one of them",
        )
    } else if let Some(found) = but_for_extension() {
        let label = "they differ in the extension only";
        Problem::warning(one.table.at(one.key), message(found), label, help)
    } else {
        return;
    };
    let also = format!("{} here", token.key);
    one.table.push(if token.table.has(token.key) {
        problem.and_at(token.table.at(token.key), also)
    } else {
        problem
    });
}

/// Rejects an endpoint as a foreign callback: the guard against disguised token requests does not apply there.
fn no_callback(foreign: &Listed<'_, '_>, protected: &Listed<'_, '_>) {
    if let Some((path, known)) = first_like(foreign, protected, fold_path) {
        let (path, known) = (quoted(path), quoted(known));
        let message = format!("{path} cannot be a foreign callback");
        let label = format!(
            "to some servers it is {known}, which is a {} endpoint",
            protected.key
        );
        let help =
            "write the path at which the upstream receives another server's code, or remove it";
        let problem = Problem::error(foreign.table.at(foreign.key), message, label, help);
        let also = format!("{} here", protected.key);
        foreign
            .table
            .push(problem.and_at(protected.table.at(protected.key), also));
    }
}
