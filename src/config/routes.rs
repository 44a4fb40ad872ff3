//! `[upstream.routes]`: what happens to paths that are no endpoint.

use super::path::{PATH, PATTERN};
use super::tree::{At, Table};
use crate::gateway::RoutePolicy;

/// Reads the policy; its paths get the prefix in front, as the endpoints do.
pub(super) fn read(table: &Table<'_>, prefix: &str) -> RoutePolicy {
    let below = if prefix == "/" { "" } else { prefix };
    let full = |listed: Option<Vec<At<String>>>| -> Vec<String> {
        listed
            .unwrap_or_default()
            .iter()
            .map(|path| format!("{below}{}", path.value))
            .collect()
    };
    RoutePolicy {
        deny_by_default: table.word("default", false, &[("guarded", false), ("deny", true)], &[]),
        allow: full(table.list("allow", &PATTERN)),
        deny: full(table.list("deny", &PATTERN)),
        foreign_callbacks: full(table.list("foreign_callbacks", &PATH)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check_upstream, config};

    #[test]
    fn routes_are_read_with_the_prefix_in_front() {
        let config = config(
            "[[upstream]]\nurl = \"http://127.0.0.1:9000\"\nprefix = \"/auth\"\n[upstream.endpoints]\n\
             authorization = [\"/a\"]\ntoken = [\"/t\"]\n[upstream.routes]\ndefault = \"deny\"\n\
             allow = [\"/login\", \"/assets/**\"]\ndeny = [\"/assets/private/**\"]\nforeign_callbacks = [\"/broker\"]",
        );
        let routes = &config.upstreams[0].gateway.routes;
        for (path, admitted) in [
            ("/auth/login", true),
            ("/auth/login/x", false),
            ("/auth/assets/a/b.css", true),
            ("/auth/assetsx", false),
            ("/auth/assets/private/key", false),
            ("/auth/admin", false),
        ] {
            assert_eq!(routes.admits(path), admitted, "{path}");
        }
        assert!(routes.is_foreign_callback("/auth/broker"));
    }

    #[test]
    fn a_wildcard_stands_at_the_end_only() {
        check_upstream(
            "[upstream.routes]\nallow = [\"/assets/*\", \"/**/x\"]",
            &[
                "2:10 error: `upstream.routes.allow` is not a path | it has a wildcard, and paths are exact | \
                 write the exact path, without query or escapes; everything below a path is written \"/assets/**\"",
                "2:23 error: `upstream.routes.allow` is not a path | it has a wildcard, and paths are exact | \
                 write the exact path, without query or escapes; everything below a path is written \"/assets/**\"",
            ],
        );
    }
}
