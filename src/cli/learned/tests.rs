use super::*;
use serde_json::json;

const FROM: &str = "http://10.0.0.5:9000";

fn document(path: &str, members: &Value) -> Document {
    Document::parse(path, members.to_string().as_bytes()).unwrap()
}

fn of(documents: &[Document]) -> Result<Learned, Refusal> {
    learn(&Url::parse(FROM).unwrap(), documents)
}

fn metadata(more: &Value) -> Value {
    let mut members = json!({
        "issuer": "https://login.example",
        "authorization_endpoint": "https://login.example/o/authorize",
        "token_endpoint": "https://login.example/o/token",
    });
    for (name, value) in more.as_object().unwrap() {
        members[name] = value.clone();
    }
    members
}

fn one(more: &Value) -> Result<Learned, Refusal> {
    of(&[document(well_known::OPENID, &metadata(more))])
}

#[test]
fn endpoints_at_the_issuer_or_at_the_upstream_are_paths() {
    let learned = one(&json!({
        "pushed_authorization_request_endpoint": "http://10.0.0.5:9000/o/par",
        "device_authorization_endpoint": "http://login.example//o/device",
        "authorization_challenge_endpoint": "https://login.example/o/challenge",
        "registration_endpoint": "https://login.example/o/register",
        "mtls_endpoint_aliases": { "token_endpoint": "https://login.example/mtls/token" },
        "jwks_uri": "https://login.example/jwks",
        "userinfo_endpoint": "https://login.example/me",
        "revocation_endpoint": "https://other.example/revoke",
        "response_types_supported": ["code", "code id_token", "code\nmode", 5],
        "response_modes_supported": ["query", "web_message"],
        "code_challenge_methods_supported": ["S256", "x\ny"],
    }))
    .unwrap();
    assert_eq!(
        learned.endpoints.map(|paths| paths.join(" ")),
        [
            "/o/authorize",
            "/o/token /mtls/token",
            "/o/par",
            "/o/device",
            "/o/challenge",
            "/o/register"
        ]
    );
    assert_eq!(learned.others, ["/jwks", "/me"]);
    assert_eq!(learned.issuer.as_deref(), Some("https://login.example"));
    assert_eq!(learned.response_types, ["code", "code id_token"]);
    assert_eq!(learned.response_modes, ["query"]);
    assert_eq!(learned.methods.unwrap(), ["S256"]);
    assert_eq!(learned.notes, Vec::<String>::new());
}

#[test]
fn parameters_of_endpoints_are_named() {
    let learned = one(&json!({
        "authorization_endpoint": "https://login.example/o/authorize?p=sign_in",
        "token_endpoint": "https://login.example/o/token?realm=%2Fa&p=sign_in",
    }))
    .unwrap();
    assert_eq!(learned.query, ["p", "realm"]);
    let refusal = one(&json!({ "token_endpoint": "https://login.example/t?code=1" })).unwrap_err();
    assert!(
        refusal
            .to_string()
            .contains("the parameter code in its query: servers may take it"),
        "{refusal}"
    );
}

#[test]
fn endpoints_at_other_hosts_are_told_and_refused_where_they_are_needed() {
    for elsewhere in [
        "https://api.example/t",
        "https://login.example:8443/t",
        "https://login.example.evil/t",
        "http://10.0.0.5:9001/t",
    ] {
        let refusal = one(&json!({ "token_endpoint": elsewhere })).unwrap_err();
        assert_eq!(
            refusal,
            Refusal::Elsewhere("token_endpoint", elsewhere.to_owned())
        );
        let learned = one(&json!({ "registration_endpoint": elsewhere })).unwrap();
        assert!(learned.endpoints[5].is_empty());
        let [note] = &learned.notes[..] else {
            panic!("{:?}", learned.notes)
        };
        assert!(
            note.contains(elsewhere) && note.contains("put a gate in front"),
            "{note}"
        );
    }
}

#[test]
fn unusable_endpoints_have_a_reason() {
    for (url, why) in [
        ("/o/token", "relative URL without a base"),
        ("ftp://login.example/t", "neither http nor https"),
        ("https://login.example/t#x", "it has a fragment"),
        ("https://login.example/%74", "it has a percent escape"),
        ("https://login.example/t;x", "does not belong in a path"),
        ("https://login.example/\u{e4}\n", "it has a percent escape"),
    ] {
        let refusal = one(&json!({ "token_endpoint": url }))
            .unwrap_err()
            .to_string();
        assert!(refusal.contains(why), "{refusal}");
        assert_eq!(
            refusal.lines().count(),
            2,
            "a message and its help: {refusal}"
        );
        let note = one(&json!({ "registration_endpoint": url })).unwrap().notes;
        assert!(note[0].contains(why) && !note[0].contains('\n'), "{note:?}");
    }
    let missing = one(&json!({ "token_endpoint": 5 })).unwrap_err();
    assert_eq!(missing, Refusal::Missing("token_endpoint"));
    let long = format!("https://login.example/{}", "a".repeat(3000));
    let refusal = one(&json!({ "token_endpoint": long })).unwrap_err();
    assert!(refusal.to_string().len() < 500, "{refusal}");
}

#[test]
fn documents_of_one_issuer_are_merged_and_others_are_told() {
    let same = metadata(&json!({ "token_endpoint": "https://login.example/v2/token" }));
    let other = metadata(&json!({
        "issuer": "https://login.example/\u{1b}other",
        "token_endpoint": "https://login.example/other/token",
    }));
    let learned = of(&[
        document("/t/.well-known/openid-configuration", &metadata(&json!({}))),
        document("/.well-known/oauth-authorization-server/t", &same),
        document(well_known::OAUTH, &other),
    ])
    .unwrap();
    assert_eq!(learned.endpoints[1], ["/o/token", "/v2/token"]);
    let paths = [
        "/t/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/t",
    ];
    assert_eq!(
        learned.source,
        Source::Metadata(paths.map(str::to_owned).to_vec())
    );
    let [note] = &learned.notes[..] else {
        panic!("{:?}", learned.notes)
    };
    assert!(
        note.contains(r"https://login.example/\u{1b}other"),
        "{note}"
    );
}

#[test]
fn an_unusable_issuer_is_told() {
    for issuer in [
        "login.example",
        "https://login.example?x",
        "https://a b",
        "x:\n",
    ] {
        let own = json!({
            "issuer": issuer,
            "authorization_endpoint": "http://10.0.0.5:9000/a",
            "token_endpoint": "http://10.0.0.5:9000/t",
        });
        let learned = one(&own).unwrap();
        assert_eq!(learned.issuer, None, "{issuer}");
        assert_eq!(learned.notes.len(), 1, "{:?}", learned.notes);
        assert!(!learned.notes[0].contains('\n'));
    }
}

#[test]
fn other_documents_are_no_metadata() {
    for document in [
        "",
        "[]",
        "{}",
        r#"{"issuer":"https://a.example"}"#,
        r#"{"token_endpoint":5}"#,
        r#"{"token_endpoint":"a","token_endpoint":"b"}"#,
        "<html>",
    ] {
        assert!(
            Document::parse("/", document.as_bytes()).is_none(),
            "{document}"
        );
    }
}

#[test]
fn the_most_specific_place_is_asked_first() {
    assert_eq!(places("/"), [well_known::OPENID, well_known::OAUTH]);
    let expected = [
        "/t/a/.well-known/openid-configuration",
        "/.well-known/openid-configuration/t/a",
        "/.well-known/oauth-authorization-server/t/a",
        "/t/a/.well-known/oauth-authorization-server",
        well_known::OPENID,
        well_known::OAUTH,
    ];
    for path in [
        "/t/a",
        "/t/a/",
        "/t/a/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/t/a",
    ] {
        assert_eq!(places(path), expected, "{path}");
    }
}
