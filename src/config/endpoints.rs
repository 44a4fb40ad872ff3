//! `[upstream.endpoints]`: the paths of each endpoint.

use super::oauth::QUERY_NAME;
use super::path::PATH;
use super::problem::Problem;
use super::tree::{At, Table};
use super::wording::quoted;
use crate::route::Endpoints;

/// Reads the endpoints, and prepends the prefix to their paths.
pub(super) fn read(table: &Table<'_>, prefix: &str) -> Endpoints {
    for (key, example) in [
        ("authorization", "[\"/oauth2/authorize\"]"),
        ("token", "[\"/oauth2/token\"]"),
    ] {
        let help = format!("add {key} = {example} below [upstream.endpoints]");
        let label = "the gate has to know this endpoint of the upstream";
        table.require(key, label, &help);
    }
    table.later(&[("pushed_authorization_request", Some("[]"))]);
    let without = Some("there would be nothing to guard");
    let token = PATH.example("/oauth2/token");
    let device = PATH.example("/oauth2/device_authorization");
    let challenge = PATH.example("/oauth2/challenge");
    let metadata = [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
    ];
    let mut seen = Vec::new();
    let mut paths = |key: &'static str, kind, default: &[&str], not_empty| {
        let listed = table.list_or(key, kind, default, not_empty);
        twice(table, key, &listed, &mut seen);
        below(prefix, &listed)
    };
    Endpoints {
        authorization: paths("authorization", &PATH, &[], without),
        continuation: paths("continuation", &PATH, &[], None),
        token: paths("token", &token, &[], without),
        device_authorization: paths("device_authorization", &device, &[], None),
        authorization_challenge: paths("authorization_challenge", &challenge, &[], None),
        metadata: paths("metadata", &PATH, &metadata, None),
        query: At::values(&table.list("query", &QUERY_NAME)),
    }
}

/// Prepends the prefix to paths.
pub(super) fn below(prefix: &str, paths: &[At<String>]) -> Vec<String> {
    let prefix = if prefix == "/" { "" } else { prefix };
    let full = paths.iter().map(|path| format!("{prefix}{}", path.value));
    full.collect()
}

/// Reports a path that is listed twice: a path can be only one endpoint.
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

#[cfg(test)]
mod tests {
    use crate::config::testing::{check_text, config};

    fn text(prefix: &str, endpoints: &str) -> String {
        format!(
            "[[upstream]]\nurl = \"http://127.0.0.1:9000\"\nprefix = \"{prefix}\"\n\
             [upstream.endpoints]\n{endpoints}"
        )
    }

    fn check(endpoints: &str, expected: &[&str]) {
        check_text(&text("/", endpoints), expected);
    }

    #[test]
    fn paths_are_kept_with_the_prefix_in_front() {
        let endpoints = "authorization = [\"/a\", \"/b/\"]\ntoken = [\"/t\"]\nmetadata = []";
        for (prefix, expected) in [
            ("/", ["/a", "/b/"]),
            ("/auth", ["/auth/a", "/auth/b/"]),
            ("/auth/", ["/auth/a", "/auth/b/"]),
        ] {
            let config = config(&text(prefix, endpoints));
            let gateway = &config.upstreams[0].gateway;
            assert_eq!(gateway.endpoints.authorization, expected, "{prefix}");
            assert!(gateway.endpoints.metadata.is_empty());
        }
    }

    #[test]
    fn authorization_and_token_are_required() {
        check(
            "token = []",
            &[
                "4:1 error: `upstream.endpoints.authorization` is missing | \
                 the gate has to know this endpoint of the upstream | \
                 add authorization = [\"/oauth2/authorize\"] below [upstream.endpoints]",
                "5:9 error: `upstream.endpoints.token` is empty | \
                 there would be nothing to guard | write for example token = [\"/oauth2/token\"]",
            ],
        );
    }

    #[test]
    fn oauth_parameters_are_refused_in_endpoint_queries() {
        let endpoints = "authorization = [\"/a\"]\ntoken = [\"/t\"]\n";
        let config = config(&text(
            "/",
            &format!("{endpoints}query = [\"p\", \"sap-client\"]"),
        ));
        let gateway = &config.upstreams[0].gateway;
        assert_eq!(gateway.endpoints.query, ["p", "sap-client"]);
        check(
            &format!("{endpoints}query = [\"Code\", \"client.id\", \"p=1\", \"\"]"),
            &[
                "7:10 error: `upstream.endpoints.query` is not a query parameter that may pass | \
                 servers may take it for a parameter of OAuth, which the gate has to judge | \
                 remove it: only what tells endpoints apart belongs here, such as \"p\" or \"realm\"",
                "7:18 error: `upstream.endpoints.query` is not a query parameter that may pass | \
                 servers may take it for a parameter of OAuth, which the gate has to judge | \
                 remove it: only what tells endpoints apart belongs here, such as \"p\" or \"realm\"",
                "7:31 error: `upstream.endpoints.query` is not a query parameter that may pass | \
                 '=' does not belong in a name | \
                 write the name alone, without its value: letters, digits, '-', '_', '.' and '~'",
                "7:38 error: `upstream.endpoints.query` is not a query parameter that may pass | it is empty | \
                 write a name, for example \"p\"",
            ],
        );
    }

    #[test]
    fn a_path_is_one_endpoint() {
        check(
            "authorization = [\"/a\"]\ntoken = [\"/t\", \"/a\"]",
            &[
                "6:16 error: \"/a\" is both authorization and token | as token here | \
               a path is one endpoint only: remove one of them",
            ],
        );
        check(
            "authorization = [\"/a\"]\ntoken = [\"/t\"]\n\
             continuation = [\"/.well-known/openid-configuration\"]",
            &[
                "7:17 error: \"/.well-known/openid-configuration\" is both continuation and metadata | \
               metadata has it by default | a path is one endpoint only: remove one of them",
            ],
        );
    }

    #[test]
    fn endpoints_of_later_versions_may_only_be_empty() {
        check(
            "authorization = [\"/a\"]\ntoken = [\"/t\"]\npushed_authorization_request = [\"/par\"]",
            &[
                "7:32 error: `upstream.endpoints.pushed_authorization_request` is not supported in this version | \
               comes with a later version | write [], or remove it",
            ],
        );
    }
}
