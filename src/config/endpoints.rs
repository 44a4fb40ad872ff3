//! `[upstream.endpoints]`: which paths are which endpoint.

use super::path::PATH;
use super::problem::Problem;
use super::tree::{At, Table};
use super::value::{Kind, Wrong, quoted};
use crate::oauth::endpoint_query;
use crate::route::Endpoints;

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
        query: query(table),
    };
    required(table, "authorization", "[\"/oauth2/authorize\"]");
    required(table, "token", "[\"/oauth2/token\"]");
    table.later_list("pushed_authorization_request");
    table.later_list("device_authorization");
    table.later_list("authorization_challenge");
    endpoints
}

/// Names of query parameters that endpoint URLs may have.
fn query(table: &Table<'_>) -> Vec<String> {
    let names = table.list("query", &QUERY_NAME).unwrap_or_default();
    names.into_iter().map(|at| at.value).collect()
}

const QUERY_NAME: Kind<String> = Kind {
    what: "a query parameter that may pass",
    example: "p",
    unit: "",
    read: query_name,
};

/// It is compared byte for byte, so it is written as it stands in a URL.
fn query_name(text: &str) -> Result<String, Wrong> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
    if text.is_empty() {
        return Err(Wrong::new("it is empty", "write a name, for example \"p\""));
    }
    if let Some(odd) = text.chars().find(|&c| !good(c)) {
        return Err(Wrong::new(
            format!("{odd:?} does not belong in a name"),
            "write the name alone, without its value: letters, digits, '-', '_', '.' and '~'",
        ));
    }
    if endpoint_query::is_protected(text) {
        return Err(Wrong::new(
            "servers may take it for a parameter of OAuth, which the gate has to judge",
            "remove it: only what tells endpoints apart belongs here, such as \"p\" or \"realm\"",
        ));
    }
    Ok(text.to_owned())
}

/// Without these there is nothing to guard.
fn required(table: &Table<'_>, key: &'static str, example: &str) {
    let label = "the gate has to know this endpoint of the upstream";
    let help = format!("add {key} = {example} below [upstream.endpoints]");
    table.require(key, label, &help);
    if table.is_empty_list(key) {
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

#[cfg(test)]
mod tests {
    use super::super::testing::{check_text, config};

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
    fn the_query_of_an_endpoint_has_no_parameter_of_oauth() {
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
            "authorization = [\"/a\"]\ntoken = [\"/t\"]\npushed_authorization_request = [\"/par\"]\n\
             device_authorization = []",
            &[
                "7:32 error: `upstream.endpoints.pushed_authorization_request` is not supported in this version | \
               comes with a later version | write [], or remove it",
            ],
        );
    }
}
