use super::*;

fn truth() -> (Vec<String>, Vec<String>) {
    (
        vec!["/oauth/authorize".to_owned()],
        vec!["/oauth/token".to_owned(), "/v2/token".to_owned()],
    )
}

/// The configuration except the paths.
struct Allowed {
    query: Vec<String>,
    types: Vec<ResponseType>,
    modes: Vec<ResponseMode>,
    grants: Vec<String>,
}

impl Default for Allowed {
    fn default() -> Self {
        let modes = [
            ResponseMode::Query,
            ResponseMode::Fragment,
            ResponseMode::FormPost,
        ];
        Self {
            query: vec!["p".to_owned(), "realm".to_owned()],
            types: vec![ResponseType::parse("code")],
            modes: modes.to_vec(),
            grants: Vec::new(),
        }
    }
}

fn rewritten(document: &str) -> Option<Value> {
    rewritten_where(document, &Allowed::default())
}

fn rewritten_where(document: &str, allowed: &Allowed) -> Option<Value> {
    let (authorization, token) = truth();
    let endpoints = Endpoints {
        authorization,
        token,
        query: allowed.query.clone(),
        ..Endpoints::default()
    };
    let rule = Rule {
        response_types: allowed.types.clone(),
        response_modes: allowed.modes.clone(),
        grants: allowed.grants.clone(),
        ..Rule::default()
    };
    let truth = Truth {
        public_origin: "https://login.example",
        upstream_origin: "http://127.0.0.1:9000",
        endpoints: &endpoints,
        rule: &rule,
    };
    let (bytes, _) = rewrite(document.as_bytes(), truth)?;
    json::parse(&bytes)
}

#[test]
fn endpoints_and_methods_are_rewritten_and_the_rest_stays() {
    let value = rewritten(
        r#"{"issuer":"http://127.0.0.1:9000","authorization_endpoint":"http://127.0.0.1:9000/oauth/authorize",
        "token_endpoint":"http://127.0.0.1:9000//v2/token","jwks_uri":"http://127.0.0.1:9000/jwks?x=1",
        "userinfo_endpoint":"https://elsewhere.example/me","code_challenge_methods_supported":["plain","S256"],
        "pushed_authorization_request_endpoint":"http://127.0.0.1:9000/par","scopes_supported":["a",1.5],
        "mtls_endpoint_aliases":{"token_endpoint":"https://mtls.internal/oauth/token",
        "pushed_authorization_request_endpoint":"https://mtls.internal/par"},"signed_metadata":"x.y.z"}"#,
    );
    assert_eq!(
        value.unwrap().to_string(),
        r#"{"issuer":"http://127.0.0.1:9000","authorization_endpoint":"https://login.example/oauth/authorize","token_endpoint":"https://login.example/v2/token","jwks_uri":"https://login.example/jwks?x=1","userinfo_endpoint":"https://elsewhere.example/me","code_challenge_methods_supported":["S256"],"scopes_supported":["a",1.5],"mtls_endpoint_aliases":{"token_endpoint":"https://login.example/oauth/token"},"request_parameter_supported":false,"request_uri_parameter_supported":false}"#
    );
}

#[test]
fn only_configured_query_parameters_stay_in_endpoints() {
    let document = r#"{"authorization_endpoint":"http://127.0.0.1:9000/oauth/authorize?p=b2c_1&code=x",
        "token_endpoint":"http://127.0.0.1:9000/v2/token?realm=%2Falpha&p=b2c_1&P=2#x","userinfo_endpoint":"http://127.0.0.1:9000/me?q=1"}"#;
    let value = rewritten(document).unwrap();
    for (name, url) in [
        (
            "authorization_endpoint",
            "https://login.example/oauth/authorize?p=b2c_1",
        ),
        (
            "token_endpoint",
            "https://login.example/v2/token?realm=%2Falpha&p=b2c_1",
        ),
        ("userinfo_endpoint", "https://login.example/me?q=1"),
    ] {
        assert_eq!(value[name], url);
    }
    let none = Allowed {
        query: Vec::new(),
        ..Allowed::default()
    };
    let without = rewritten_where(document, &none).unwrap();
    assert_eq!(without["token_endpoint"], "https://login.example/v2/token");
}

fn lists(members: &str, allowed: &Allowed) -> String {
    let endpoint = r#""token_endpoint":"http://127.0.0.1:9000/oauth/token""#;
    let value = rewritten_where(&format!("{{{endpoint}{members}}}"), allowed).unwrap();
    let lists = [
        "response_types_supported",
        "response_modes_supported",
        "grant_types_supported",
    ];
    let lists = lists.map(|name| value.get(name).map_or("-".to_owned(), Value::to_string));
    lists.join(" ")
}

#[test]
fn lists_keep_allowed_values_in_their_order() {
    let plain = Allowed::default();
    let all = r#","response_types_supported":["id_token code","code","none",1,"code token"],
        "response_modes_supported":["form_post","jwt","query","web_message"],
        "grant_types_supported":["implicit","refresh_token","authorization_code","urn:x:device_code"]"#;
    assert_eq!(
        lists(all, &plain),
        r#"["code"] ["form_post","query"] ["refresh_token","authorization_code","urn:x:device_code"]"#
    );
    let hybrid = Allowed {
        types: ["code id_token", "id_token"]
            .map(ResponseType::parse)
            .to_vec(),
        modes: vec![ResponseMode::FormPost],
        grants: ["authorization_code", "refresh_token"]
            .map(str::to_owned)
            .to_vec(),
        ..Allowed::default()
    };
    assert_eq!(
        lists(all, &hybrid),
        r#"["id_token code"] ["form_post"] ["implicit","refresh_token","authorization_code"]"#
    );
    let none = r#","response_types_supported":["token"],"response_modes_supported":["web_message"],
        "grant_types_supported":["implicit"]"#;
    assert_eq!(lists(none, &plain), "[] [] []");
    let odd = r#","response_types_supported":null,"response_modes_supported":"query""#;
    assert_eq!(lists(odd, &plain), r#"null "query" -"#);
}

#[test]
fn an_absent_list_is_added_only_if_its_default_promises_too_much() {
    assert_eq!(lists("", &Allowed::default()), "- - -");
    for (mode, expected) in [
        (ResponseMode::Query, r#"- ["query"] ["authorization_code"]"#),
        (ResponseMode::FormPost, r#"- [] ["authorization_code"]"#),
    ] {
        let limited = Allowed {
            modes: vec![mode],
            grants: vec!["authorization_code".to_owned()],
            ..Allowed::default()
        };
        assert_eq!(lists("", &limited), expected);
    }
}

#[test]
fn a_document_that_is_not_metadata_stays_unchanged() {
    for document in ["", "[]", "{}", r#"{"a":1,"a":2}"#, "<html>"] {
        assert!(rewritten(document).is_none(), "{document}");
    }
}
