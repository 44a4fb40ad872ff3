//! RFC 8414 metadata of a server that has none: derived from its `OpenID` metadata, or written from the configuration alone.
//!
//! Each member is true because the gate enforces it, or because every server does it (RFC 6749), or because it is configured. What
//! is not known is left out.

use serde_json::{Map, Value};

use super::truth::{ISSUER_IN_RESPONSES, Issuer, REGISTRATION, Truth, rewritten};
use crate::oauth::{ResponseMode, ResponseType};

/// What the document says about the server, beside [`Truth`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Promise<'a> {
    pub issuer: &'a str,
    /// How clients authenticate at the token endpoint.
    pub auth_methods: &'a [String],
    /// Whether the gate adds `iss` with this issuer to every answer.
    pub adds_issuer: bool,
}

/// The document, derived from `OpenID` metadata, and its issuer. All its members are also members of RFC 8414 metadata, whose
/// registry has those of `OpenID`. The issuer stays, because ID tokens have it. `None`: it is not server metadata.
pub(crate) fn derived(
    openid: &[u8],
    truth: Truth<'_>,
    promise: Promise<'_>,
) -> Option<(Vec<u8>, Issuer)> {
    let (mut object, mut issuer) = rewritten(openid, truth)?;
    // Required in RFC 8414. `OpenID` metadata that lacks it is incomplete.
    if !object.contains_key(RESPONSE_TYPES) {
        object.insert(RESPONSE_TYPES.to_owned(), response_types(truth));
    }
    if let Some(registration) = endpoint(&truth.endpoints.registration, truth) {
        object.entry(REGISTRATION).or_insert(registration);
    }
    if promise.adds_issuer && issuer.issuer.as_deref() == Some(promise.issuer) {
        object.insert(ISSUER_IN_RESPONSES.to_owned(), Value::Bool(true));
        issuer.in_responses = true;
    }
    Some((serde_json::to_vec(&object).ok()?, issuer))
}

/// The document, written from the configuration. `None`: it cannot be written, which does not happen.
pub(crate) fn synthesized(truth: Truth<'_>, promise: Promise<'_>) -> Option<(Vec<u8>, Issuer)> {
    let endpoints = truth.endpoints;
    let endpoint = |paths: &[String]| endpoint(paths, truth);
    let grants = grants(truth);
    let members = [
        ("issuer", Some(promise.issuer.into())),
        ("authorization_endpoint", endpoint(&endpoints.authorization)),
        ("token_endpoint", endpoint(&endpoints.token)),
        (REGISTRATION, endpoint(&endpoints.registration)),
        (RESPONSE_TYPES, Some(response_types(truth))),
        ("response_modes_supported", Some(response_modes(truth))),
        ("grant_types_supported", Some(grants.into())),
        (
            "token_endpoint_auth_methods_supported",
            Some(promise.auth_methods.to_vec().into()),
        ),
        (
            "code_challenge_methods_supported",
            Some(vec!["S256"].into()),
        ),
        (
            ISSUER_IN_RESPONSES,
            promise.adds_issuer.then_some(true.into()),
        ),
    ];
    let members = members.into_iter();
    let object: Map<String, Value> = members
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect();
    let issuer = Issuer {
        issuer: Some(promise.issuer.to_owned()),
        in_responses: promise.adds_issuer,
    };
    Some((serde_json::to_vec(&object).ok()?, issuer))
}

/// The public URL of an endpoint. `None`: it is not configured.
fn endpoint(paths: &[String], truth: Truth<'_>) -> Option<Value> {
    let path = paths.first()?;
    Some(Value::String(format!("{}{path}", truth.public_origin)))
}

const RESPONSE_TYPES: &str = "response_types_supported";

fn response_types(truth: Truth<'_>) -> Value {
    let types = truth.rule.response_types.iter();
    types.map(ResponseType::as_str).collect()
}

/// The modes that the allowed response types have by default: those every server knows. If none of them is allowed, the allowed
/// ones: some mode has to work.
fn response_modes(truth: Truth<'_>) -> Value {
    let allowed = &truth.rule.response_modes;
    let types = &truth.rule.response_types;
    let is_default = |mode: &&ResponseMode| types.iter().any(|kind| kind.default_mode() == **mode);
    let mut modes: Vec<&ResponseMode> = allowed.iter().filter(is_default).collect();
    if modes.is_empty() {
        modes = allowed.iter().collect();
    }
    modes.into_iter().map(|mode| mode.as_str()).collect()
}

/// The configured grants, else those of the allowed response types. A list that is absent would promise the implicit grant.
fn grants(truth: Truth<'_>) -> Vec<String> {
    let rule = truth.rule;
    let mut grants = rule.grants.clone();
    if grants.is_empty() {
        grants.push("authorization_code".to_owned());
    }
    let is_implicit = rule.response_types.iter().any(ResponseType::yields_token);
    let implicit = "implicit".to_owned();
    if is_implicit && !grants.contains(&implicit) {
        grants.push(implicit);
    }
    grants
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::carrier::metadata::truth::rewrite;
    use crate::oauth::json;
    use crate::policy::Rule;
    use crate::route::Endpoints;

    fn endpoints() -> Endpoints {
        Endpoints {
            authorization: vec!["/o/authorize".to_owned(), "/more".to_owned()],
            token: vec!["/o/token".to_owned()],
            ..Endpoints::default()
        }
    }

    fn truth<'a>(endpoints: &'a Endpoints, rule: &'a Rule) -> Truth<'a> {
        Truth {
            public_origin: "https://login.example",
            upstream_origin: "http://127.0.0.1:9000",
            endpoints,
            rule,
        }
    }

    const PROMISE: Promise<'static> = Promise {
        issuer: "https://login.example/t",
        auth_methods: &[],
        adds_issuer: false,
    };

    fn written(endpoints: &Endpoints, rule: &Rule, promise: Promise<'_>) -> Value {
        let (bytes, _) = synthesized(truth(endpoints, rule), promise).unwrap();
        json::parse(&bytes).unwrap()
    }

    #[test]
    fn a_document_says_what_is_configured_and_no_more() {
        let methods = ["client_secret_basic".to_owned()];
        let promise = Promise {
            auth_methods: &methods,
            ..PROMISE
        };
        assert_eq!(
            written(&endpoints(), &Rule::default(), promise).to_string(),
            r#"{"issuer":"https://login.example/t","authorization_endpoint":"https://login.example/o/authorize","token_endpoint":"https://login.example/o/token","response_types_supported":["code"],"response_modes_supported":["query"],"grant_types_supported":["authorization_code"],"token_endpoint_auth_methods_supported":["client_secret_basic"],"code_challenge_methods_supported":["S256"]}"#
        );
        let more = Endpoints {
            registration: vec!["/register".to_owned()],
            ..endpoints()
        };
        let promise = Promise {
            adds_issuer: true,
            ..PROMISE
        };
        let value = written(&more, &Rule::default(), promise);
        assert_eq!(
            value["registration_endpoint"],
            "https://login.example/register"
        );
        assert_eq!(value[ISSUER_IN_RESPONSES], true);
    }

    #[test]
    fn types_modes_and_grants_are_those_that_work() {
        let lists = |types: &[&str], modes: &[ResponseMode], grants: &[&str]| {
            let rule = Rule {
                response_types: types.iter().map(|kind| ResponseType::parse(kind)).collect(),
                response_modes: modes.to_vec(),
                grants: grants.iter().map(|grant| (*grant).to_owned()).collect(),
                ..Rule::default()
            };
            let value = written(&endpoints(), &rule, PROMISE);
            let names = [
                RESPONSE_TYPES,
                "response_modes_supported",
                "grant_types_supported",
            ];
            names.map(|name| value[name].to_string()).join(" ")
        };
        let (query, fragment, form) = (
            ResponseMode::Query,
            ResponseMode::Fragment,
            ResponseMode::FormPost,
        );
        for (types, modes, grants, expected) in [
            (
                &["code", "token"][..],
                &[query, fragment, form][..],
                &[][..],
                r#"["code","token"] ["query","fragment"] ["authorization_code","implicit"]"#,
            ),
            (
                &["code"],
                &[form],
                &[],
                r#"["code"] ["form_post"] ["authorization_code"]"#,
            ),
            (
                &["code"],
                &[query],
                &["authorization_code", "refresh_token"],
                r#"["code"] ["query"] ["authorization_code","refresh_token"]"#,
            ),
        ] {
            assert_eq!(lists(types, modes, grants), expected);
        }
    }

    #[test]
    fn openid_metadata_is_the_source_if_there_is_some() {
        let (endpoints, rule) = (endpoints(), Rule::default());
        let openid = r#"{"issuer":"https://login.example/t","authorization_endpoint":"http://127.0.0.1:9000/o/authorize",
            "token_endpoint":"http://127.0.0.1:9000/o/token","jwks_uri":"http://127.0.0.1:9000/jwks","scopes_supported":["openid"],
            "client_id_metadata_document_supported":true}"#;
        let derive =
            |openid: &str, promise| derived(openid.as_bytes(), truth(&endpoints, &rule), promise);
        let (document, issuer) = derive(openid, PROMISE).unwrap();
        let document = json::parse(&document).unwrap();
        let (rewritten, _) = rewrite(openid.as_bytes(), truth(&endpoints, &rule)).unwrap();
        let mut expected = json::parse(&rewritten).unwrap();
        expected[RESPONSE_TYPES] = vec!["code"].into();
        assert_eq!(document, expected);
        assert_eq!(issuer.issuer.as_deref(), Some(PROMISE.issuer));
        assert!(derive("{}", PROMISE).is_none());
    }

    #[test]
    fn a_configured_registration_endpoint_is_named_where_the_source_does_not() {
        let endpoints = Endpoints {
            registration: vec!["/register".to_owned()],
            ..endpoints()
        };
        let rule = Rule::default();
        for (more, expected) in [
            ("", "https://login.example/register"),
            (
                r#","registration_endpoint":"https://internal/dcr""#,
                "https://login.example/register",
            ),
        ] {
            let openid = format!(r#"{{"token_endpoint":"x"{more}}}"#);
            let (document, _) =
                derived(openid.as_bytes(), truth(&endpoints, &rule), PROMISE).unwrap();
            assert_eq!(json::parse(&document).unwrap()[REGISTRATION], expected);
        }
    }

    #[test]
    fn only_the_issuer_of_the_document_is_promised_in_answers() {
        let (endpoints, rule) = (endpoints(), Rule::default());
        let promise = Promise {
            adds_issuer: true,
            ..PROMISE
        };
        for (issuer, expected) in [(PROMISE.issuer, true), ("https://other.example", false)] {
            let openid = format!(r#"{{"issuer":"{issuer}","token_endpoint":"x"}}"#);
            let (document, said) =
                derived(openid.as_bytes(), truth(&endpoints, &rule), promise).unwrap();
            let document = json::parse(&document).unwrap();
            assert_eq!(document["issuer"], issuer, "ID tokens have it, too");
            assert_eq!(document.get(ISSUER_IN_RESPONSES).is_some(), expected);
            assert_eq!(said.in_responses, expected);
        }
    }
}
