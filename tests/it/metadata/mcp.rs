//! What MCP clients need beside metadata: `resource`, registration, client identifiers that are URLs.

use serde_json::json;

use crate::support::client::assert_token;
use crate::support::params::Params;
use crate::support::rig::{Config, Rig, request};
use crate::support::scripted::{Act, Then, json as json_reply};

use super::{OAUTH, OPENID};

const IN_JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];

fn rig() -> Rig {
    Rig::with(Config {
        endpoints: "registration = [\"/register\"]",
        ..Config::default()
    })
}

#[test]
fn the_resource_reaches_the_server_in_both_requests() {
    let rig = rig();
    let resource = "https://mcp.example/a?b=c&d";
    let authorization = rig.authorization().with("resource", resource);
    let code = rig.code_for(&authorization);
    rig.vouch(&authorization);
    let form = authorization
        .redemption(&code)
        .with("resource", resource)
        .encoded();
    let form = format!("{form}&resource=https%3A%2F%2Fmcp.example%2Fsecond");
    assert_token(&rig.post("/token", &[], &form));
    let asked = rig.upstream.requests_to("/authorize").remove(0);
    assert_eq!(asked.query_params().get("resource"), Some(resource));
    let redeemed = rig.upstream.requests_to("/token").remove(0).text();
    let kept = "resource=https%3A%2F%2Fmcp.example%2Fa%3Fb%3Dc%26d&resource=https%3A%2F%2Fmcp.example%2Fsecond";
    assert!(redeemed.contains(kept), "{redeemed}");
}

/// A registration names grants, response types and redirect URIs, which must not look like a request for a token.
#[test]
fn a_registration_passes_and_is_managed_at_the_gate() {
    for pkce in ["codes = \"handle\"", "codes = \"upstream\""] {
        registers(&Rig::with(Config {
            endpoints: "registration = [\"/register\"]",
            pkce,
            ..Config::default()
        }));
    }
}

fn registers(rig: &Rig) {
    let own = rig.upstream.url();
    let asked = json!({
        "client_name": "Inspector",
        "redirect_uris": ["http://127.0.0.1:6274/oauth/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "scope": "mcp:tools offline_access",
    });
    let mut answer = asked.clone();
    answer["client_id"] = "c-1".into();
    answer["client_secret"] = "a-secret-of-the-client".into();
    answer["registration_access_token"] = "an-access-token".into();
    answer["registration_client_uri"] = format!("{own}/register/c-1?v=1").into();
    let say = |path, status| {
        rig.upstream
            .once(path, Act::Say(json_reply(status, &answer), Then::GoOn));
    };
    let mut expected = answer.clone();
    expected["registration_client_uri"] = "http://gate.test/register/c-1?v=1".into();
    say("/register", "201 Created");
    let text = asked.to_string();
    let response = rig.send(&request("POST", "/register", &IN_JSON, Some(&text)));
    assert_eq!(
        (response.status, response.text()),
        (201, &*expected.to_string()),
        "{response}"
    );
    assert_eq!(
        rig.upstream.requests_to("/register").remove(0).text(),
        text,
        "byte for byte"
    );
    say("/register/c-1", "200 OK");
    let response = rig.get_with(
        "/register/c-1?v=1",
        &[("Authorization", "Bearer an-access-token")],
    );
    assert_eq!(response.text(), expected.to_string());
}

#[test]
fn an_answer_to_a_registration_that_names_no_url_of_the_server_is_unchanged() {
    let rig = rig();
    let answer =
        "{\"client_id\": \"c\",  \"registration_client_uri\": \"https://elsewhere.example/c\"}";
    for (path, status) in [("/register", "201 Created"), ("/other", "200 OK")] {
        let fields = [("Content-Type", "application/json"), ("ETag", "\"1\"")];
        let answer = crate::support::scripted::reply(status, &fields, answer.as_bytes());
        rig.upstream.once(path, Act::Say(answer, Then::GoOn));
        let response = rig.send(&request("POST", path, &IN_JSON, Some("{}")));
        assert_eq!(
            response.text(),
            "{\"client_id\": \"c\",  \"registration_client_uri\": \"https://elsewhere.example/c\"}"
        );
        assert_eq!(response.header("etag"), Some("\"1\""));
    }
}

/// A client identifier that is the URL of a document (Client ID Metadata Documents).
fn url_of(length: usize) -> String {
    let start = "https://client.example/oauth/client.json?x=%20&y=";
    format!(
        "{start}{}",
        "ä1"
            .repeat(length)
            .chars()
            .take(length - start.len())
            .collect::<String>()
    )
}

#[test]
fn client_identifiers_may_be_urls_of_two_kibibytes() {
    let plain = "https://client.example/oauth/client.json".to_owned();
    let two_kib = {
        let mut two_kib = url_of(1600);
        while two_kib.len() > 2048 {
            two_kib.pop();
        }
        two_kib
    };
    for id in [plain, two_kib] {
        let rig = Rig::new();
        let with_id = |params: Params| params.without("client_id").with("client_id", &id);
        let mut authorization = rig.authorization();
        authorization.params = with_id(authorization.params);
        let code = rig.code_for(&authorization);
        let other = authorization
            .redemption(&code)
            .without("client_id")
            .with("client_id", &format!("{id}x"));
        assert_eq!(rig.token(&other).status, 400, "another client");
        rig.vouch(&authorization);
        assert_token(&rig.token(&with_id(authorization.redemption(&code))));
        let asked = rig.upstream.requests_to("/authorize").remove(0);
        assert_eq!(asked.query_params().get("client_id"), Some(&*id));
        let log = rig
            .gate
            .log_until(|log| log.matches("\"allowed\"").count() >= 2);
        let shown: String = id.chars().take(128).collect();
        let lines = log.lines().filter(|line| line.contains("\"allowed\""));
        for line in lines {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let client = line["client"].as_str().expect("a client");
            assert_eq!(client.trim_end_matches('…'), shown, "shortened");
        }
    }
}

#[test]
fn a_client_whose_identifier_is_a_url_may_have_a_rule_of_its_own() {
    let id = "https://client.example/oauth/client.json";
    let table = format!(
        "[[upstream.client]]\nid = \"{id}\"\nresponse_modes = [\"query\"]\nredirect_uris = [\"https://client.test/cb\"]"
    );
    let rig = Rig::tables(&table);
    let mut authorization = rig.authorization().with("response_mode", "form_post");
    authorization.params = authorization
        .params
        .without("client_id")
        .with("client_id", id);
    let response = rig.enter(&authorization);
    assert!(
        rig.upstream.ledger().is_empty(),
        "its rule allows the query only: {response}"
    );
    let basic = format!("{}:", crate::support::params::encode(id));
    let basic = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(basic)
    };
    let mut authorization = rig.authorization();
    authorization.params = authorization
        .params
        .without("client_id")
        .with("client_id", id);
    let code = rig.code_for(&authorization);
    rig.vouch(&authorization);
    let form = authorization
        .redemption(&code)
        .without("client_id")
        .encoded();
    let field = format!("Basic {basic}");
    assert_token(&rig.post("/token", &[("Authorization", &field)], &form));
}

#[test]
fn support_for_client_documents_is_passed_on_and_never_invented() {
    let rig = Rig::with(Config {
        metadata: "synthesize = true",
        ..Config::default()
    });
    let member = "client_id_metadata_document_supported";
    assert_eq!(rig.get(OAUTH).json().get(member), None);
    for supported in [true, false] {
        let document =
            json!({ "issuer": "http://gate.test", "token_endpoint": "x", member: supported });
        for path in [OPENID, OAUTH] {
            rig.upstream
                .once(path, Act::Say(json_reply("200 OK", &document), Then::GoOn));
            assert_eq!(rig.get(path).json()[member], supported);
        }
        rig.upstream.once(
            OPENID,
            Act::Say(json_reply("200 OK", &document), Then::GoOn),
        );
        assert_eq!(rig.get(OAUTH).json()[member], supported, "derived");
    }
}

#[test]
fn the_authorization_server_of_a_resource_is_the_gate() {
    let rig = Rig::new();
    let own = rig.upstream.url();
    for path in [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
    ] {
        let document = json!({ "resource": format!("{own}/mcp"), "authorization_servers": [own, "https://other.example"] });
        rig.upstream
            .once(path, Act::Say(json_reply("200 OK", &document), Then::GoOn));
        let expected = json!({
            "resource": format!("{own}/mcp"),
            "authorization_servers": ["http://gate.test", "https://other.example"],
        });
        assert_eq!(rig.get(path).text(), expected.to_string());
    }
}

#[test]
fn a_resource_keeps_the_issuer_that_the_metadata_has() {
    let rig = Rig::new();
    let own = rig.upstream.url();
    let metadata = json!({ "issuer": own, "token_endpoint": format!("{own}/token") });
    rig.upstream.on(
        OPENID,
        Act::Say(json_reply("200 OK", &metadata), Then::GoOn),
    );
    rig.get(OPENID);
    let path = "/.well-known/oauth-protected-resource";
    let document = json!({ "resource": "https://mcp.example", "authorization_servers": [own] });
    rig.upstream
        .on(path, Act::Say(json_reply("200 OK", &document), Then::GoOn));
    assert_eq!(rig.get(path).text(), document.to_string());
}

#[test]
fn documents_are_unchanged_where_metadata_is() {
    for (pkce, metadata) in [("mode = \"report\"", ""), ("", "rewrite = false")] {
        let rig = Rig::with(Config {
            endpoints: "registration = [\"/register\"]",
            pkce,
            metadata,
            ..Config::default()
        });
        let own = rig.upstream.url();
        let resource = json!({ "authorization_servers": [own] });
        let registration = json!({ "registration_client_uri": format!("{own}/register/1") });
        for (path, document) in [
            ("/.well-known/oauth-protected-resource", resource),
            ("/register", registration),
        ] {
            rig.upstream
                .on(path, Act::Say(json_reply("200 OK", &document), Then::GoOn));
            assert_eq!(rig.get(path).text(), document.to_string());
        }
    }
}
