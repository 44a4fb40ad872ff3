//! Server metadata: correct about PKCE and the endpoints, and otherwise as the upstream wrote it.

mod aliases;
mod issuer;
mod mcp;
mod synthesis;

use serde_json::{Value, json};

use crate::support::http::Response;
use crate::support::rig::{Config, Rig, request};
use crate::support::scripted::{Act, Then, chunked, json as json_reply, reply};

const OPENID: &str = "/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server";

/// A typical document of a vendor.
fn document(own: &str) -> Value {
    json!({
        "issuer": own,
        "authorization_endpoint": format!("{own}/authorize"),
        "token_endpoint": format!("{own}//token"),
        "userinfo_endpoint": format!("{own}/userinfo?x=%2F"),
        "jwks_uri": "https://elsewhere.test/jwks",
        "registration_endpoint": format!("{own}/register"),
        "pushed_authorization_request_endpoint": format!("{own}/par"),
        "require_pushed_authorization_requests": true,
        "code_challenge_methods_supported": ["plain"],
        "request_parameter_supported": true,
        "mtls_endpoint_aliases": { "token_endpoint": "https://mtls.internal/token", "userinfo_endpoint": format!("{own}/me") },
        "signed_metadata": "e30.e30.sig",
        "scopes_supported": ["openid", "é"],
        "vendor": { "nested": [1, 2.5, null, true, own], "empty": {} },
        "service_documentation": "see http://127.0.0.1/doc",
    })
}

fn serve(rig: &Rig, path: &str, fields: &[(&str, &str)]) {
    let body = document(&rig.upstream.url()).to_string();
    let fields = [&[("Content-Type", "application/json")], fields].concat();
    rig.upstream.on(
        path,
        Act::Say(reply("200 OK", &fields, body.as_bytes()), Then::GoOn),
    );
}

#[track_caller]
fn assert_untouched(rig: &Rig, response: &Response) {
    assert_eq!(response.status, 200, "{response}");
    assert_eq!(response.text(), document(&rig.upstream.url()).to_string());
}

#[test]
fn both_documents_are_rewritten_and_everything_else_in_them_stays() {
    let rig = Rig::new();
    let gate = "http://gate.test";
    for path in [OPENID, OAUTH] {
        serve(&rig, path, &[]);
        let response = rig.get(path);
        let own = rig.upstream.url();
        let expected = json!({
            "issuer": own,
            "authorization_endpoint": format!("{gate}/authorize"),
            "token_endpoint": format!("{gate}/token"),
            "userinfo_endpoint": format!("{gate}/userinfo?x=%2F"),
            "jwks_uri": "https://elsewhere.test/jwks",
            "registration_endpoint": format!("{gate}/register"),
            "code_challenge_methods_supported": ["S256"],
            "request_parameter_supported": false,
            "mtls_endpoint_aliases": { "token_endpoint": format!("{gate}/token"), "userinfo_endpoint": format!("{gate}/me") },
            "scopes_supported": ["openid", "é"],
            "vendor": { "nested": [1, 2.5, null, true, own], "empty": {} },
            "service_documentation": "see http://127.0.0.1/doc",
            "request_uri_parameter_supported": false,
        });
        assert_eq!(response.text(), expected.to_string(), "in the same order");
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert_eq!(
            response.header("content-length"),
            Some(response.body.len().to_string().as_str())
        );
    }
}

#[test]
fn refused_response_types_modes_and_grants_are_not_listed() {
    let lists = |rig: &Rig, members: Value| {
        let own = rig.upstream.url();
        let mut document = json!({ "authorization_endpoint": format!("{own}/authorize"), "token_endpoint": format!("{own}/token") });
        let object = document.as_object_mut().expect("an object");
        object.extend(members.as_object().expect("an object").clone());
        rig.upstream.once(
            OPENID,
            Act::Say(json_reply("200 OK", &document), Then::GoOn),
        );
        let found = rig.get(OPENID).json();
        [
            "response_types_supported",
            "response_modes_supported",
            "grant_types_supported",
        ]
        .map(|name| found[name].clone())
    };
    let all = json!({
        "response_types_supported": ["code", "id_token", "id_token code", "none"],
        "response_modes_supported": ["query", "web_message", "query.jwt", "form_post"],
        "grant_types_supported": ["implicit", "refresh_token", "authorization_code"],
    });
    let plain = lists(&Rig::new(), all.clone());
    let expected = [
        json!(["code"]),
        json!(["query", "form_post"]),
        json!(["refresh_token", "authorization_code"]),
    ];
    assert_eq!(plain, expected);
    let limited = "response_types = [\"code\", \"code id_token\"]\nresponse_modes = [\"form_post\"]\n\
                   grants = [\"authorization_code\"]";
    let expected = [
        json!(["code", "id_token code"]),
        json!(["form_post"]),
        json!(["implicit", "authorization_code"]),
    ];
    assert_eq!(lists(&Rig::pkce(limited), all.clone()), expected);
    // An absent list stands for its default (RFC 8414 section 2).
    let absent = [Value::Null, json!([]), json!(["authorization_code"])];
    assert_eq!(lists(&Rig::pkce(limited), json!({})), absent);
    let unlimited = [Value::Null, Value::Null, Value::Null];
    assert_eq!(lists(&Rig::new(), json!({})), unlimited);
    // If nothing is refused, nothing changes.
    let report = lists(&Rig::pkce("mode = \"report\""), all.clone());
    assert_eq!(report[0], all["response_types_supported"]);
}

#[test]
fn the_advertised_endpoints_are_served() {
    let rig = Rig::new();
    serve(&rig, OPENID, &[]);
    let metadata = rig.get(OPENID).json();
    let path = |name: &str| {
        metadata[name]
            .as_str()
            .and_then(|url| url.strip_prefix("http://gate.test"))
            .expect("a path")
            .to_owned()
    };
    let authorization = rig.authorization();
    let entry = rig.get(&format!(
        "{}?{}",
        path("authorization_endpoint"),
        authorization.params.encoded()
    ));
    assert_eq!(entry.status, 303, "{entry}");
    let token = rig.post(&path("token_endpoint"), &[], "grant_type=refresh_token");
    assert_eq!(token.status, 200, "{token}");
}

/// A client's copy from before the gate must not be confirmed as current, and the upstream's validators are not valid for the
/// rewritten document.
#[test]
fn a_conditional_request_gets_the_rewritten_document() {
    let rig = Rig::new();
    serve(
        &rig,
        OPENID,
        &[
            ("ETag", "\"v1\""),
            ("Last-Modified", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("Accept-Ranges", "bytes"),
            ("Content-MD5", "x"),
        ],
    );
    let fields = [
        ("If-None-Match", "\"v1\""),
        ("If-Modified-Since", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ("Range", "bytes=0-9"),
        ("Accept-Encoding", "gzip"),
    ];
    let response = rig.get_with(OPENID, &fields);
    assert_eq!(
        response.json()["code_challenge_methods_supported"],
        json!(["S256"])
    );
    for name in ["etag", "last-modified", "accept-ranges", "content-md5"] {
        assert_eq!(response.header(name), None, "{response}");
    }
    let seen = rig.upstream.ledger().remove(0);
    for name in ["if-none-match", "if-modified-since", "range"] {
        assert_eq!(seen.header(name), None, "{seen:?}");
    }
    assert_eq!(seen.header("accept-encoding"), Some("identity"));
}

#[test]
fn the_document_may_be_cached_as_the_upstream_says_or_for_five_minutes() {
    for (said, expected) in [
        (None, "public, max-age=300"),
        (Some("no-cache"), "no-cache"),
        (Some("max-age=86400"), "max-age=86400"),
    ] {
        let rig = Rig::new();
        let fields: Vec<_> = said
            .map(|said| ("Cache-Control", said))
            .into_iter()
            .collect();
        serve(
            &rig,
            OPENID,
            &[
                fields.as_slice(),
                &[("Vary", "Origin"), ("Access-Control-Allow-Origin", "*")],
            ]
            .concat(),
        );
        let response = rig.get(OPENID);
        assert_eq!(response.header("cache-control"), Some(expected));
        assert_eq!(response.header("vary"), Some("Origin"));
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    }
}

#[test]
fn a_document_in_chunks_is_rewritten_as_well() {
    let rig = Rig::new();
    let body = document(&rig.upstream.url()).to_string();
    let pieces: Vec<_> = body.as_bytes().chunks(7).collect();
    let answer = chunked("200 OK", &[("Content-Type", "application/json")], &pieces);
    rig.upstream.on(OPENID, Act::Say(answer, Then::GoOn));
    let response = rig.get(OPENID);
    assert_eq!(
        response.json()["code_challenge_methods_supported"],
        json!(["S256"])
    );
    assert_eq!(response.header("transfer-encoding"), None, "{response}");
}

#[test]
fn other_answers_at_a_metadata_path_pass_unchanged() {
    let rig = Rig::new();
    for (status, kind, body) in [
        (
            "404 Not Found",
            "application/json",
            "{\"authorization_endpoint\":\"x\",\"token_endpoint\":\"y\"}",
        ),
        ("200 OK", "text/html", "<html>no such page</html>"),
        ("200 OK", "application/json", "[1, 2]"),
        ("200 OK", "application/json", "{\"hello\":  \"world\"}"),
        (
            "200 OK",
            "application/json",
            "{\"token_endpoint\":\"x\",\"token_endpoint\":\"y\"}",
        ),
        ("200 OK", "application/json", "{\"token_endpoint\": "),
        ("200 OK", "application/json", ""),
    ] {
        let answer = reply(
            status,
            &[("Content-Type", kind), ("ETag", "\"x\"")],
            body.as_bytes(),
        );
        rig.upstream.once(OPENID, Act::Say(answer, Then::GoOn));
        let response = rig.get(OPENID);
        assert_eq!(response.text(), body);
        assert!(
            status.starts_with(&response.status.to_string()),
            "{response}"
        );
        assert_eq!(response.header("etag"), Some("\"x\""));
    }
}

#[test]
fn only_get_is_rewritten() {
    let rig = Rig::new();
    serve(&rig, OPENID, &[]);
    assert_untouched(&rig, &rig.send(&request("OPTIONS", OPENID, &[], None)));
    assert_untouched(&rig, &rig.post(OPENID, &[], "a=b"));
}

#[test]
fn in_report_mode_metadata_is_unchanged() {
    for mode in ["report", "off"] {
        let rig = Rig::pkce(&format!("mode = \"{mode}\""));
        serve(&rig, OPENID, &[("ETag", "\"v1\"")]);
        let response = rig.get_with(
            OPENID,
            &[("If-None-Match", "\"v1\""), ("Accept-Encoding", "gzip")],
        );
        assert_untouched(&rig, &response);
        assert_eq!(response.header("etag"), Some("\"v1\""));
        assert_eq!(response.header("cache-control"), None);
        let seen = rig.upstream.ledger().remove(0);
        assert_eq!(seen.header("if-none-match"), Some("\"v1\""));
        assert_eq!(seen.header("accept-encoding"), Some("gzip"));

        rig.upstream.once(
            OPENID,
            Act::Say(
                b"HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n".to_vec(),
                Then::GoOn,
            ),
        );
        let response = rig.get_with(OPENID, &[("If-None-Match", "\"v1\"")]);
        assert_eq!(response.status, 304, "{response}");
    }
}

#[test]
fn rewriting_may_be_switched_off() {
    let rig = Rig::with(Config {
        metadata: "rewrite = false",
        ..Config::default()
    });
    serve(&rig, OPENID, &[]);
    assert_untouched(&rig, &rig.get(OPENID));
}

#[test]
fn documents_are_where_they_are_configured_to_be() {
    let rig = Rig::with(Config {
        endpoints: "metadata = [\"/tenant/.well-known/openid-configuration\"]",
        ..Config::default()
    });
    for (path, rewritten) in [
        ("/tenant/.well-known/openid-configuration", true),
        (OPENID, false),
    ] {
        serve(&rig, path, &[]);
        let response = rig.get(path);
        assert_eq!(
            response.json()["code_challenge_methods_supported"] == json!(["S256"]),
            rewritten,
            "{path}"
        );
    }
}

/// SMART App Launch: each FHIR base URL has the document.
#[test]
fn smart_configurations_are_rewritten_below_every_fhir_base_url() {
    let rig = Rig::new();
    let own = rig.upstream.url();
    let document = json!({
        "authorization_endpoint": format!("{own}/authorize"),
        "token_endpoint": format!("{own}/token"),
        "capabilities": ["launch-ehr"],
        "code_challenge_methods_supported": ["S256", "plain"],
    });
    for path in [
        "/.well-known/smart-configuration",
        "/fhir/r4/.well-known/smart-configuration",
    ] {
        rig.upstream
            .on(path, Act::Say(json_reply("200 OK", &document), Then::GoOn));
        let found = rig.get(path).json();
        assert_eq!(
            found["code_challenge_methods_supported"],
            json!(["S256"]),
            "{path}"
        );
        assert_eq!(found["token_endpoint"], "http://gate.test/token");
        assert_eq!(found["capabilities"], json!(["launch-ehr"]));
    }
}

#[test]
fn a_late_or_incomplete_document_is_an_error() {
    let rig = Rig::with(Config {
        upstream: "response = \"3s\"",
        ..Config::default()
    });
    rig.upstream.once(OPENID, Act::Say(Vec::new(), Then::Stall));
    assert_eq!(rig.get(OPENID).status, 504);
    let whole = json_reply("200 OK", &document(&rig.upstream.url()));
    for then in [Then::Close, Then::Reset, Then::Stall] {
        rig.upstream
            .once(OPENID, Act::Say(whole[..whole.len() - 20].to_vec(), then));
        let mut client = rig.connect();
        client.send(&request("GET", OPENID, &[], None));
        assert!(client.try_response().is_err(), "{then:?}");
    }
}
