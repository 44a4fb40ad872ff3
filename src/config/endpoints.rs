//! `[upstream.endpoints]`: the paths of each endpoint.

use super::oauth::QUERY_NAME;
use super::path::PATH;
use super::problem::Problem;
use super::tree::{At, Table};
use super::wording::quoted;
use crate::oauth::well_known::{OAUTH, OPENID};
use crate::route::fold::fold_segments;
use crate::route::{Alias, Endpoints};

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
    let without = Some("there would be nothing to guard");
    let token = PATH.example("/oauth2/token");
    let metadata = [OPENID, OAUTH];
    let push = PATH.example("/oauth2/par");
    let device = PATH.example("/oauth2/device_authorization");
    let challenge = PATH.example("/oauth2/challenge");
    let mut seen = Vec::new();
    let mut paths = |key: &'static str, kind, default: &[&str], not_empty| {
        let listed = table.list_or(key, kind, default, not_empty);
        twice(table, key, &listed, &mut seen);
        below(prefix, &listed)
    };
    let endpoints = Endpoints {
        authorization: paths("authorization", &PATH, &[], without),
        continuation: paths("continuation", &PATH, &[], None),
        token: paths("token", &token, &[], without),
        registration: paths(
            "registration",
            &PATH.example("/connect/register"),
            &[],
            None,
        ),
        pushed_authorization_request: paths("pushed_authorization_request", &push, &[], None),
        device_authorization: paths("device_authorization", &device, &[], None),
        authorization_challenge: paths("authorization_challenge", &challenge, &[], None),
        metadata: paths("metadata", &PATH, &metadata, None),
        well_known: Vec::new(),
        query: At::values(&table.list("query", &QUERY_NAME)),
        aliases: Vec::new(),
    };
    Endpoints {
        aliases: aliases(table, prefix, &seen),
        ..endpoints
    }
}

/// Reads the aliases: other paths of endpoints. `endpoints`: the listed paths, each with its key.
fn aliases(
    table: &Table<'_>,
    prefix: &str,
    endpoints: &[(&'static str, At<String>)],
) -> Vec<Alias> {
    let pairs = table.pairs("aliases", &PATH);
    let endpoint = |path: &str| endpoints.iter().find(|(_, known)| known.value == path);
    let is_good = [
        "authorization",
        "continuation",
        "token",
        "registration",
        "metadata",
    ]
    .iter()
    .all(|key| table.is_good(key));
    let mut aliases = Vec::new();
    for (alias, target) in &pairs {
        let (path, to) = (quoted(&alias.value), quoted(&target.value));
        if let Some((key, known)) = endpoint(&alias.value) {
            let message = format!("{path} is an alias, and listed in {key}");
            let help = "remove one of them: an alias is a path that the upstream does not have";
            let problem = Problem::error(alias.span, message, format!("as an alias of {to}"), help);
            table.push(if known.span == table.header() {
                problem
            } else {
                problem.and_at(known.span, format!("as {key} here"))
            });
        } else if let Some((first, _)) = pairs.iter().find(|(first, _)| first.value == target.value)
        {
            let message = format!("{path} is an alias of an alias");
            let label = format!("{to} is an alias itself");
            let help = "write the path of the endpoint that it stands for";
            let problem = Problem::error(target.span, message, label, help);
            table.push(problem.and_at(first.span, "here"));
        } else if endpoint(&target.value).is_none() {
            if is_good {
                let message = format!("{path} is an alias of an unknown endpoint");
                let label = format!("{to} is not an endpoint here");
                let help = "write a path that authorization, continuation, token, registration or metadata lists";
                table.push(Problem::error(target.span, message, label, help));
            }
        } else {
            aliases.push((alias.clone(), target.clone()));
        }
    }
    not_another(table, &aliases, endpoints);
    let aliases = aliases.iter().map(|(alias, target)| Alias {
        path: with_prefix(prefix, &alias.value),
        target: with_prefix(prefix, &target.value),
    });
    aliases.collect()
}

/// Reports an alias that servers and the gate could take for another endpoint, or for another alias, than its own. (Another
/// spelling of its own endpoint, such as one with a slash at the end, is a useful alias.)
fn not_another(
    table: &Table<'_>,
    aliases: &[(At<String>, At<String>)],
    endpoints: &[(&'static str, At<String>)],
) {
    for (at, (alias, target)) in aliases.iter().enumerate() {
        let known = endpoints.iter().map(|(_, path)| (path, &path.value));
        let earlier = aliases.iter().take(at);
        let earlier = earlier.map(|(path, target)| (path, &target.value));
        let mut others = known
            .chain(earlier)
            .filter(|(_, means)| **means != target.value);
        let alike = |path: &str| fold_segments(path) == fold_segments(&alias.value);
        if let Some((other, _)) = others.find(|(path, _)| alike(&path.value)) {
            let (path, other_path) = (quoted(&alias.value), quoted(&other.value));
            let message = format!("the alias {path} and {other_path} are one path to some servers");
            let label = format!("this stands for {}", quoted(&target.value));
            let help = "write another alias, or the same target";
            let problem = Problem::error(alias.span, message, label, help);
            table.push(if other.span == table.header() {
                problem
            } else {
                problem.and_at(other.span, "here")
            });
        }
    }
}

/// Prepends the prefix to paths.
pub(super) fn below(prefix: &str, paths: &[At<String>]) -> Vec<String> {
    let full = paths.iter().map(|path| with_prefix(prefix, &path.value));
    full.collect()
}

fn with_prefix(prefix: &str, path: &str) -> String {
    let prefix = if prefix == "/" { "" } else { prefix };
    format!("{prefix}{path}")
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

    const BOTH: &str = "authorization = [\"/o/a\"]\ntoken = [\"/o/t/\"]\n";

    #[test]
    fn aliases_are_kept_with_the_prefix_in_front() {
        let config = config(&text(
            "/auth",
            &format!("{BOTH}aliases = {{ \"/authorize\" = \"/o/a\", \"/o/t\" = \"/o/t/\" }}"),
        ));
        let aliases = config.upstreams[0].gateway.endpoints.aliases.iter();
        let aliases: Vec<_> = aliases
            .map(|alias| (&*alias.path, &*alias.target))
            .collect();
        let expected = [
            ("/auth/authorize", "/auth/o/a"),
            ("/auth/o/t", "/auth/o/t/"),
        ];
        assert_eq!(aliases, expected);
    }

    #[test]
    fn an_alias_stands_for_one_known_endpoint() {
        let line = |aliases: &str| format!("{BOTH}aliases = {{ {aliases} }}");
        check(
            &line("\"/a\" = \"/b\""),
            &[
                "7:20 error: \"/a\" is an alias of an unknown endpoint | \"/b\" is not an endpoint here | \
                 write a path that authorization, continuation, token, registration or metadata lists",
            ],
        );
        check(
            &line("\"/a\" = \"/o/a\", \"/b\" = \"/a\""),
            &[
                "7:35 error: \"/b\" is an alias of an alias | \"/a\" is an alias itself | \
                 write the path of the endpoint that it stands for",
            ],
        );
        check(
            &line("\"/o/a\" = \"/o/t/\""),
            &[
                "7:13 error: \"/o/a\" is an alias, and listed in authorization | as an alias of \"/o/t/\" | \
                 remove one of them: an alias is a path that the upstream does not have",
            ],
        );
        check(
            &line("\"/O/A/\" = \"/o/t/\""),
            &[
                "7:13 error: the alias \"/O/A/\" and \"/o/a\" are one path to some servers | \
                 this stands for \"/o/t/\" | write another alias, or the same target",
            ],
        );
        check(
            &line("\"/x\" = \"/o/t/\", \"/X\" = \"/o/a\""),
            &[
                "7:29 error: the alias \"/X\" and \"/x\" are one path to some servers | \
                 this stands for \"/o/a\" | write another alias, or the same target",
            ],
        );
    }

    #[test]
    fn aliases_are_a_table_of_paths() {
        check(
            &format!("{BOTH}aliases = [\"/a\"]"),
            &[
                "7:11 error: `upstream.endpoints.aliases` has to be a table | this is a list | \
                 write aliases = { \"/authorize\" = \"/oauth2/authorize\" }",
            ],
        );
        check(
            &format!("{BOTH}aliases = {{ \"a\" = \"/o/a\", \"/b\" = \"/o/a?x\" }}"),
            &[
                "7:13 error: `upstream.endpoints.aliases` is not a path | it does not begin with / | write \"/a\"",
                "7:34 error: `upstream.endpoints.aliases` is not a path | it has a query | \
                 write the exact path, without query or escapes",
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
}
