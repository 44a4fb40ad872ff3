//! Server metadata: truthful about PKCE and about where the endpoints are, and otherwise as the upstream wrote it.

use serde_json::{Value, json};

use crate::support::http::Response;
use crate::support::rig::{Config, Rig, request};
use crate::support::scripted::{Act, Then, chunked, json as json_reply, reply};

const OPENID: &str = "/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server";

/// As vendors write it.
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
        assert_eq!(
            response.text(),
            expected.to_string(),
            "in the same order, too"
        );
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert_eq!(
            response.header("content-length"),
            Some(response.body.len().to_string().as_str())
        );
    }
}

#[test]
fn what_is_advertised_is_what_is_served() {
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

/// Whoever has a copy from before the gate must not be told that it is still good, and what was rewritten is not what the
/// upstream's validators are for.
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
fn how_long_the_document_may_be_cached_is_the_upstreams_affair_or_five_minutes() {
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
fn what_is_no_metadata_is_handed_on_as_it_came() {
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
fn in_report_mode_not_a_byte_changes() {
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

#[test]
fn a_document_that_is_not_there_in_time_or_breaks_off_is_none() {
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
