//! `[upstream.routes]`: the policy for paths that are not an endpoint.

use super::endpoints::below;
use super::path::{PATH, PATTERN};
use super::tree::Table;
use crate::route::{Endpoints, RoutePolicy};

/// Reads the policy, and prepends the prefix to its paths, as with endpoints. Configured paths of metadata and registration are
/// always allowed: clients need them to find the endpoints, and to register.
pub(super) fn read(table: &Table<'_>, prefix: &str, endpoints: &Endpoints) -> RoutePolicy {
    let allow = below(prefix, &table.list("allow", &PATTERN));
    let defaults = [("guarded", false), ("deny", true)];
    RoutePolicy {
        deny_by_default: table.words("default", false, &defaults),
        allow: [
            &*allow,
            &endpoints.metadata,
            &endpoints.well_known,
            &endpoints.registration,
        ]
        .concat(),
        deny: below(prefix, &table.list("deny", &PATTERN)),
        foreign_callbacks: below(prefix, &table.list("foreign_callbacks", &PATH)),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{UPSTREAM, check_upstream, config};

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
        assert!(routes.admits("/auth/.well-known/openid-configuration"));
    }

    #[test]
    fn denied_paths_are_denied_in_any_spelling() {
        let text = |routes: &str| format!("{UPSTREAM}[upstream.routes]\n{routes}");
        let open = config(&text("deny = [\"/admin/**\", \"/Key.pem\", \"/v1.0/**\"]"));
        let open = &open.upstreams[0].gateway.routes;
        for denied in [
            "/admin",
            "/admin/",
            "/admin/x",
            "/ADMIN/x",
            "/%61dmin/x",
            "/%2561dmin/x",
            "/./admin/x",
            "/x/../admin",
            "/admin;a/x",
            "/admin%2fx",
            "/admin%3fx",
            "/admin\\x",
            "/admin.json",
            "/Key.pem",
            "/key",
            "/key.PEM",
            "/v1.0/x",
            "/V1.0",
            "/v1%2e0/x",
        ] {
            assert!(!open.admits(denied), "{denied}");
        }
        for passes in [
            "/",
            "/administrator",
            "/x/admin",
            "/keys",
            "/v1/x",
            "/v1.00/x",
        ] {
            assert!(open.admits(passes), "{passes}");
        }
    }

    #[test]
    fn allowed_paths_match_exactly() {
        let text =
            format!("{UPSTREAM}[upstream.routes]\ndefault = \"deny\"\nallow = [\"/assets/**\"]");
        let config = config(&text);
        let closed = &config.upstreams[0].gateway.routes;
        for passes in ["/assets", "/assets/a.css", "/assets/a%20b.css"] {
            assert!(closed.admits(passes), "{passes}");
        }
        for denied in [
            "/assets/../admin",
            "/assets/..%2fadmin",
            "/assets/%252e%252e/admin",
            "/assets/..;/admin",
            "/ASSETS/a.css",
            "/assets%2fa.css",
        ] {
            assert!(!closed.admits(denied), "{denied}");
        }
    }

    #[test]
    fn a_wildcard_is_allowed_at_the_end_only() {
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
