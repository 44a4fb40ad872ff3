use crate::config::testing::{check_text, config};
use crate::gateway::settings::Synthesis;

fn text(upstream: &str, metadata: &str, tables: &str) -> String {
    format!(
        "[[upstream]]\nurl = \"http://127.0.0.1:9000\"\npublic_url = \"https://login.example\"\n{upstream}\n\
         [upstream.endpoints]\nauthorization = [\"/a\"]\ntoken = [\"/t\"]\n[upstream.metadata]\n{metadata}\n{tables}"
    )
}

/// Without the warning that a TLS terminator is not trusted.
fn whole(upstream: &str, metadata: &str, tables: &str) -> String {
    let server = "[server]\ntrusted_proxies = [\"127.0.0.1/32\"]\n";
    format!("{server}{}", text(upstream, metadata, tables))
}

fn synthesis(upstream: &str, metadata: &str, tables: &str) -> Synthesis {
    let config = config(&whole(upstream, metadata, tables));
    config.upstreams[0].gateway.synthesis.clone().unwrap()
}

#[test]
fn without_a_prefix_the_public_url_is_the_issuer() {
    let found = synthesis("", "synthesize = true", "");
    assert_eq!(found.issuer, "https://login.example");
    assert_eq!(found.paths, ["/.well-known/oauth-authorization-server"]);
    assert_eq!(
        found.sources,
        [
            "/.well-known/oauth-authorization-server",
            "/.well-known/openid-configuration"
        ]
    );
    assert_eq!(found.auth_methods, ["client_secret_basic"]);
}

#[test]
fn an_issuer_with_a_path_has_its_documents_in_both_places() {
    let metadata = "synthesize = true\nissuer = \"https://login.example/tenant/\"";
    for prefix in ["", "prefix = \"/tenant\"", "prefix = \"/elsewhere\""] {
        let found = synthesis(prefix, metadata, "");
        assert_eq!(found.issuer, "https://login.example/tenant/");
        let paths = [
            "/.well-known/oauth-authorization-server/tenant",
            "/tenant/.well-known/oauth-authorization-server",
        ];
        assert_eq!(found.paths, paths);
        assert_eq!(
            found.sources[2..4],
            [
                "/tenant/.well-known/openid-configuration",
                "/.well-known/openid-configuration/tenant"
            ]
        );
        let config = config(&whole(prefix, metadata, ""));
        let gateway = &config.upstreams[0].gateway;
        assert!(paths.iter().all(|path| gateway.routes.admits(path)));
        assert!(paths.iter().all(|path| {
            gateway
                .endpoints
                .well_known
                .iter()
                .any(|known| known == path)
        }));
    }
}

#[test]
fn a_public_client_needs_no_secret_and_written_methods_count_alone() {
    let public = "[[upstream.client]]\nid = \"spa\"\ntype = \"public\"\n";
    let methods = synthesis("", "synthesize = true", public).auth_methods;
    assert_eq!(methods, ["client_secret_basic", "none"]);
    let written = "synthesize = true\ntoken_endpoint_auth_methods = [\"client_secret_post\"]";
    let methods = synthesis("", written, public).auth_methods;
    assert_eq!(methods, ["client_secret_post"]);
}

#[test]
fn the_issuer_is_promised_only_where_every_process_adds_it() {
    let adds = |metadata: &str, tables: &str| {
        let config = config(&whole("", metadata, tables));
        config.upstreams[0].gateway.adds_issuer()
    };
    let issuer = "synthesize = true\nissuer = \"https://login.example\"";
    assert!(adds(issuer, ""));
    assert!(
        !adds("synthesize = true", ""),
        "another process may not know the issuer"
    );
    assert!(!adds("issuer = \"https://login.example\"", ""));
    let client = |keys: &str| {
        format!(
            "[[upstream.client]]\nid = \"x\"\n{keys}\nuntil = \"2027-01-01\"\nowner = \"o\"\nreason = \"r\"\n"
        )
    };
    assert!(!adds(issuer, &client("codes = \"upstream\"")));
    assert!(!adds(issuer, &client("mode = \"off\"\ncodes = \"handle\"")));
    assert!(!adds(issuer, "[upstream.pkce]\ncodes = \"upstream\"\n"));
}

#[test]
fn an_issuer_that_is_not_known_is_required() {
    check_text(
        &whole("prefix = \"/tenant\"", "synthesize = true", ""),
        &[
            "11:14 error: `upstream.metadata.issuer` is missing | with prefix = \"/tenant\" it is not known | \
             add issuer = \"https://login.example/tenant\", as clients and ID tokens name the server",
        ],
    );
}

#[test]
fn the_issuer_of_synthesized_metadata_is_at_the_public_url() {
    for issuer in [
        "https://other.example",
        "http://login.example",
        "https://login.example.other/",
    ] {
        check_text(
            &whole("", &format!("synthesize = true\nissuer = \"{issuer}\""), "")
                .replace("http://login.example\"", "http://127.0.0.1:1\""),
            &[
                "12:10 error: `upstream.metadata.issuer` is not at \"https://login.example\" | \
                 clients would look for its metadata elsewhere (RFC 8414 section 3.3) | \
                 write an issuer with the scheme, host and port of public_url, or correct that",
            ],
        );
    }
    check_text(
        &whole(
            "",
            "synthesize = true\nissuer = \"https://login.example/a%20b\"",
            "",
        ),
        &[
            "12:10 error: `upstream.metadata.issuer` is not an issuer whose metadata the gate can serve | \
             it has a percent escape | write the exact path, without query or escapes",
        ],
    );
}

#[test]
fn an_issuer_whose_metadata_is_elsewhere_is_a_warning() {
    let warning = "11:10 warning: clients that compare the issuer with the URL of its metadata refuse it | \
                   no path of endpoints.metadata at \"https://login.example\" is that of its document | \
                   add its path to endpoints.metadata, or make public_url and the server's own public URL equal";
    for issuer in ["https://upstream.example", "https://login.example/tenant"] {
        check_text(
            &whole("", &format!("issuer = \"{issuer}\""), ""),
            &[warning],
        );
    }
    for issuer in ["https://login.example", "https://login.example/"] {
        check_text(&whole("", &format!("issuer = \"{issuer}\""), ""), &[]);
    }
    check_text(
        &whole(
            "prefix = \"/tenant\"",
            "issuer = \"https://login.example/tenant\"",
            "",
        ),
        &[],
    );
}

#[test]
fn synthesized_metadata_needs_rewriting_and_enforcement() {
    check_text(
        &whole("", "rewrite = false\nsynthesize = true", ""),
        &[
            "12:14 error: `upstream.metadata.synthesize` needs rewrite = true | \
             documents of the upstream would stay wrong beside those of the gate | \
             write rewrite = true, or remove synthesize",
        ],
    );
    let found = crate::config::testing::problems(&whole(
        "",
        "synthesize = true",
        "[upstream.pkce]\nmode = \"report\"\n",
    ));
    assert!(
        found.iter().any(|problem| problem
            .starts_with("11:14 warning: `upstream.metadata.synthesize` does nothing yet | ")),
        "{found:?}"
    );
}

#[test]
fn an_unknown_authentication_method_is_an_error() {
    check_text(
        &whole(
            "",
            "token_endpoint_auth_methods = [\"private_key_jwt\", \"client_secret_basik\"]",
            "",
        ),
        &[
            "11:32 error: `upstream.metadata.token_endpoint_auth_methods` is not a client authentication method | \
             metadata of the gate cannot describe this method | \
             write \"none\", \"client_secret_basic\" or \"client_secret_post\"",
            "11:51 error: `upstream.metadata.token_endpoint_auth_methods` is not a client authentication method | \
             did you mean \"client_secret_basic\"? | write \"none\", \"client_secret_basic\" or \"client_secret_post\"",
        ],
    );
}

#[test]
fn two_upstreams_cannot_have_one_issuer() {
    let one = text(
        "name = \"one\"\nprefix = \"/one\"",
        "synthesize = true\nissuer = \"https://login.example/t\"",
        "",
    );
    let two = text(
        "name = \"two\"\nprefix = \"/two\"",
        "synthesize = true\nissuer = \"https://login.example/t\"",
        "",
    );
    let found = crate::config::testing::problems(&format!(
        "[server]\ntrusted_proxies = [\"127.0.0.1/32\"]\n{one}{two}"
    ));
    let expected = "24:10 error: two upstreams have the issuer \"https://login.example/t\" | again | \
                    give each an issuer of its own, for example with its prefix as path";
    assert!(found.iter().any(|problem| problem == expected), "{found:?}");
}
