//! Metadata of a server that has none (`synthesize`).

use serde_json::{Value, json};

use crate::support::http::Response;
use crate::support::rig::{Config, HOST, Rig, request};
use crate::support::scripted::{Act, Then, json as json_reply, reply};

use super::{OAUTH, OPENID};

const GATE: &str = "http://gate.test";
/// Further members, which the answers below do not change.
const MORE: &str = "scopes_supported";

fn rig() -> Rig {
    with("synthesize = true")
}

fn with(metadata: &str) -> Rig {
    Rig::with(Config {
        metadata,
        ..Config::default()
    })
}

/// What the gate says of a server of which it knows two endpoints.
fn minimal(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{GATE}/authorize"),
        "token_endpoint": format!("{GATE}/token"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        "code_challenge_methods_supported": ["S256"],
    })
}

fn openid(own: &str) -> Value {
    json!({
        "issuer": GATE,
        "authorization_endpoint": format!("{own}/authorize"),
        "token_endpoint": format!("{own}/token"),
        "jwks_uri": format!("{own}/jwks"),
        "response_types_supported": ["code", "id_token"],
        "subject_types_supported": ["public"],
        MORE: ["openid"],
    })
}

fn say(rig: &Rig, path: &str, status: &str, fields: &[(&str, &str)], body: &str) {
    let answer = reply(status, fields, body.as_bytes());
    rig.upstream.once(path, Act::Say(answer, Then::GoOn));
}

#[track_caller]
fn assert_synthesized(response: &Response, expected: &Value) {
    assert_eq!(response.status, 200, "{response}");
    assert_eq!(response.text(), expected.to_string(), "in this order");
    for (name, value) in [
        ("content-type", "application/json"),
        ("cache-control", "public, max-age=300"),
        ("access-control-allow-origin", "*"),
        ("x-content-type-options", "nosniff"),
        ("content-length", &response.body.len().to_string()),
    ] {
        assert_eq!(response.header(name), Some(value), "{response}");
    }
}

/// The answers of servers without the document: an error, a page, a redirect to the login, another document.
#[test]
fn a_server_without_metadata_gets_it() {
    let rig = rig();
    let html = ("Content-Type", "text/html");
    let in_json = ("Content-Type", "application/json");
    for (status, fields, body) in [
        ("404 Not Found", &[html][..], "<h1>Not found</h1>"),
        ("405 Method Not Allowed", &[("Allow", "POST")], ""),
        ("410 Gone", &[], ""),
        (
            "400 Bad Request",
            &[in_json],
            "{\"error\":\"invalid_request\"}",
        ),
        ("401 Unauthorized", &[("WWW-Authenticate", "Basic")], ""),
        ("403 Forbidden", &[], "no"),
        ("200 OK", &[html], "<!doctype html><title>Sign in</title>"),
        ("200 OK", &[in_json], "{\"hello\":\"world\"}"),
        ("200 OK", &[in_json], "[]"),
        ("200 OK", &[in_json], ""),
        ("204 No Content", &[], ""),
        (
            "302 Found",
            &[("Location", "/login?next=%2F.well-known%2Foauth")],
            "",
        ),
        (
            "307 Temporary Redirect",
            &[("Location", "https://www.example/")],
            "",
        ),
    ] {
        say(&rig, OAUTH, status, fields, body);
        let response = rig.get(OAUTH);
        assert_synthesized(&response, &minimal(GATE));
        assert_eq!(response.header("allow"), None, "{status}");
    }
}

/// They may have a document, at another time or at another place.
#[test]
fn an_answer_that_does_not_mean_none_passes() {
    let rig = rig();
    let own = format!(
        "{}/x/.well-known/oauth-authorization-server",
        rig.upstream.url()
    );
    for (status, fields, expected) in [
        ("500 Internal Server Error", &[][..], 500),
        ("502 Bad Gateway", &[], 502),
        ("503 Service Unavailable", &[("Retry-After", "7")], 503),
        ("429 Too Many Requests", &[], 429),
        ("408 Request Timeout", &[], 408),
        ("301 Moved Permanently", &[("Location", own.as_str())], 301),
        (
            "200 OK",
            &[
                ("Content-Encoding", "gzip"),
                ("Content-Type", "application/json"),
            ],
            200,
        ),
    ] {
        say(&rig, OAUTH, status, fields, "x");
        let response = rig.get(OAUTH);
        assert_eq!(response.status, expected, "{response}");
        assert!(!response.text().contains("issuer"), "{response}");
    }
    rig.upstream.once(OAUTH, Act::Say(Vec::new(), Then::Close));
    assert_eq!(rig.get(OAUTH).status, 502);
    let whole = json_reply("200 OK", &openid("http://x"));
    rig.upstream.once(
        OAUTH,
        Act::Say(whole[..whole.len() - 20].to_vec(), Then::Close),
    );
    let mut client = rig.connect();
    client.send(&request("GET", OAUTH, &[], None));
    assert!(
        client.try_response().is_err(),
        "it breaks off as the document does"
    );
}

#[test]
fn a_server_that_has_the_document_keeps_it() {
    let rig = rig();
    let own = rig.upstream.url();
    let document = json!({ "issuer": GATE, "token_endpoint": format!("{own}/token"), MORE: ["a"] });
    for (fields, expected) in [
        (&[][..], "*"),
        (
            &[("Access-Control-Allow-Origin", "https://app.example")],
            "https://app.example",
        ),
    ] {
        say(&rig, OAUTH, "200 OK", fields, &document.to_string());
        let response = rig.get(OAUTH);
        assert_eq!(response.json()["token_endpoint"], format!("{GATE}/token"));
        assert_eq!(response.json()[MORE], json!(["a"]));
        assert_eq!(
            response.header("access-control-allow-origin"),
            Some(expected)
        );
    }
}

#[test]
fn openid_metadata_of_the_server_is_the_source_of_the_document() {
    let rig = rig();
    let own = rig.upstream.url();
    rig.upstream.on(
        OPENID,
        Act::Say(json_reply("200 OK", &openid(&own)), Then::GoOn),
    );
    let response = rig.get_with(OAUTH, &[("X-Forwarded-Proto", "https"), ("X-Mark", "7")]);
    let expected = json!({
        "issuer": GATE,
        "authorization_endpoint": format!("{GATE}/authorize"),
        "token_endpoint": format!("{GATE}/token"),
        "jwks_uri": format!("{GATE}/jwks"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        MORE: ["openid"],
        "code_challenge_methods_supported": ["S256"],
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
    });
    assert_eq!(response.text(), expected.to_string(), "{response}");
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    // Servers that make URLs out of the request have to see the same one.
    let asked = rig.upstream.requests_to(OPENID).remove(0);
    assert_eq!(asked.header("host"), Some(HOST));
    assert_eq!(asked.header("x-mark"), Some("7"));
    // It is rewritten, too, and stays where it is.
    assert_eq!(
        rig.get(OPENID).json()["code_challenge_methods_supported"],
        json!(["S256"])
    );
}

#[test]
fn a_server_whose_openid_metadata_fails_gets_no_document() {
    let rig = rig();
    for (status, expected) in [
        ("500 Internal Server Error", 500),
        ("503 Service Unavailable", 503),
    ] {
        say(&rig, OPENID, status, &[], "");
        assert_eq!(rig.get(OAUTH).status, expected);
    }
    rig.upstream.once(OPENID, Act::Say(Vec::new(), Then::Close));
    assert_eq!(rig.get(OAUTH).status, 502);
}

#[test]
fn openid_metadata_is_never_invented() {
    let rig = rig();
    say(&rig, OPENID, "404 Not Found", &[], "none");
    let response = rig.get(OPENID);
    assert_eq!((response.status, response.text()), (404, "none"));
}

#[test]
fn an_issuer_with_a_path_has_its_document_in_both_places_whatever_the_prefix_is() {
    for prefix in ["", "prefix = \"/tenant\"", "prefix = \"/elsewhere\""] {
        let rig = Rig::with(Config {
            upstream: prefix,
            metadata: "synthesize = true\nissuer = \"http://gate.test/tenant\"",
            ..Config::default()
        });
        let under = prefix.split('"').nth(1).unwrap_or_default();
        let mut expected = minimal("http://gate.test/tenant");
        expected["authorization_endpoint"] = format!("{GATE}{under}/authorize").into();
        expected["token_endpoint"] = format!("{GATE}{under}/token").into();
        expected["authorization_response_iss_parameter_supported"] = true.into();
        for path in [format!("{OAUTH}/tenant"), format!("/tenant{OAUTH}")] {
            assert_synthesized(&rig.get(&path), &expected);
            let asked = rig.upstream.requests_to(&path);
            assert!(!asked.is_empty(), "the server was asked first");
        }
        // The root is that of another issuer.
        let root = rig.get(OAUTH);
        assert!(!root.text().contains("issuer"), "{root}");
    }
}

#[test]
fn an_issuer_with_a_path_may_have_openid_metadata_in_either_place() {
    for path in [format!("/tenant{OPENID}"), format!("{OPENID}/tenant")] {
        let rig = with("synthesize = true\nissuer = \"http://gate.test/tenant\"");
        let mut document = openid(&rig.upstream.url());
        document["issuer"] = "http://gate.test/tenant".into();
        rig.upstream
            .on(&path, Act::Say(json_reply("200 OK", &document), Then::GoOn));
        let derived = rig.get(&format!("{OAUTH}/tenant")).json();
        assert_eq!(derived[MORE], json!(["openid"]));
        assert_eq!(
            derived["authorization_response_iss_parameter_supported"],
            true
        );
        assert_eq!(
            rig.get(&path).json()["token_endpoint"],
            format!("{GATE}/token")
        );
    }
}

/// django-oauth-toolkit below a prefix has it at one path only, where no client looks first.
#[test]
fn a_document_at_the_other_path_is_the_source_too() {
    let paths = [format!("/tenant{OAUTH}"), format!("{OAUTH}/tenant")];
    for (has, lacks) in [(&paths[0], &paths[1]), (&paths[1], &paths[0])] {
        let rig = with("synthesize = true\nissuer = \"http://gate.test/tenant\"");
        let own = rig.upstream.url();
        let document = json!({ "issuer": "http://gate.test/tenant", "token_endpoint": format!("{own}/token"), MORE: ["a"] });
        rig.upstream
            .on(has, Act::Say(json_reply("200 OK", &document), Then::GoOn));
        let derived = rig.get(lacks).json();
        assert_eq!(derived[MORE], json!(["a"]));
        assert_eq!(derived["token_endpoint"], format!("{GATE}/token"));
        assert_eq!(
            derived["authorization_response_iss_parameter_supported"],
            true
        );
        assert_eq!(rig.upstream.ledger().len(), 2);
        assert_eq!(rig.get(has).json()[MORE], json!(["a"]));
        assert_eq!(rig.upstream.ledger().len(), 3, "the server's own");
    }
}

fn head(rig: &Rig, path: &str) -> Response {
    let mut client = rig.connect();
    client.send(&request("HEAD", path, &[], None));
    client.response_to_head().expect("a response")
}

#[test]
fn head_has_the_fields_of_get() {
    let rig = rig();
    let get = rig.get(OAUTH);
    let answer = head(&rig, OAUTH);
    assert_eq!((answer.status, answer.body.len()), (200, 0), "{answer}");
    for name in [
        "content-type",
        "content-length",
        "cache-control",
        "access-control-allow-origin",
    ] {
        assert_eq!(answer.header(name), get.header(name), "{name}");
    }
    let own = rig.upstream.url();
    rig.upstream.on(
        OPENID,
        Act::Say(json_reply("200 OK", &openid(&own)), Then::GoOn),
    );
    let get = rig.get(OPENID);
    let answer = head(&rig, OPENID);
    assert_eq!(
        answer.header("content-length"),
        get.header("content-length"),
        "rewritten as well"
    );
}

/// MCP clients send `MCP-Protocol-Version` with the request, so a browser asks first.
#[test]
fn a_browser_may_ask_with_any_header_fields() {
    let fields = [
        ("Origin", "https://inspector.example"),
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Headers", "mcp-protocol-version"),
    ];
    let preflight = request("OPTIONS", OAUTH, &fields, None);
    let rig = rig();
    let response = rig.send(&preflight);
    assert_eq!(
        (response.status, response.body.len()),
        (204, 0),
        "{response}"
    );
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "GET, HEAD"),
        ("access-control-allow-headers", "*"),
        ("access-control-max-age", "86400"),
    ] {
        assert_eq!(response.header(name), Some(value), "{response}");
    }
    assert!(rig.upstream.ledger().is_empty(), "the gate answers");
    // A plain OPTIONS request is the server's, and so is a preflight where nothing is synthesized.
    rig.send(&request("OPTIONS", OAUTH, &[], None));
    rig.send(&request("OPTIONS", OPENID, &fields, None));
    assert_eq!(rig.upstream.ledger().len(), 2);
    let other = Rig::new();
    other.send(&preflight);
    assert_eq!(other.upstream.ledger().len(), 1);
}

#[test]
fn each_member_of_a_synthesized_document_is_true() {
    let rig = Rig::with(Config {
        metadata: "synthesize = true\nissuer = \"http://gate.test\"",
        endpoints: "registration = [\"/register\"]",
        tables: "[[upstream.client]]\nid = \"pub\"\ntype = \"public\"",
        ..Config::default()
    });
    let document = rig.get(OAUTH).json();
    let path = |name: &str| {
        let url = document[name].as_str().expect("a URL");
        url.strip_prefix(GATE).expect("at the gate").to_owned()
    };
    let members: Vec<&str> = document
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        members,
        [
            "issuer",
            "authorization_endpoint",
            "token_endpoint",
            "registration_endpoint",
            "response_types_supported",
            "response_modes_supported",
            "grant_types_supported",
            "token_endpoint_auth_methods_supported",
            "code_challenge_methods_supported",
            "authorization_response_iss_parameter_supported",
        ],
        "those that are tried below"
    );
    assert_eq!(path("issuer"), "", "the URL without the well-known path");
    // Response type, mode, grant, S256, `none`, and `iss`.
    let authorization = rig.authorization();
    let entry = rig.get(&format!(
        "{}?{}",
        path("authorization_endpoint"),
        authorization.params.encoded()
    ));
    assert_eq!(entry.status, 303, "{entry}");
    let answer = rig.sign_in(&authorization);
    assert_eq!(answer.params.get("iss"), Some(GATE));
    let wrong = authorization
        .redemption(answer.code())
        .without("code_verifier");
    assert_eq!(
        rig.post(&path("token_endpoint"), &[], &wrong.encoded())
            .status,
        400
    );
    assert_eq!(
        document["token_endpoint_auth_methods_supported"],
        json!(["client_secret_basic", "none"])
    );
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    rig.vouch(&authorization);
    let basic = [("Authorization", "Basic cHViOnNla3JpdA==")];
    let form = authorization
        .redemption(&code)
        .without("client_id")
        .encoded();
    assert_eq!(rig.post(&path("token_endpoint"), &basic, &form).status, 200);
    let registration = rig.post(
        &path("registration_endpoint"),
        &[("Content-Type", "application/json")],
        "{}",
    );
    assert_eq!(registration.status, 200, "{registration}");
    assert_eq!(rig.upstream.requests_to("/register").len(), 1);
}

#[test]
fn the_document_is_served_where_other_paths_are_denied() {
    let rig = Rig::with(Config {
        metadata: "synthesize = true\nissuer = \"http://gate.test/t\"",
        endpoints: "registration = [\"/register\"]",
        tables: "[upstream.routes]\ndefault = \"deny\"",
        ..Config::default()
    });
    assert_eq!(rig.get(&format!("{OAUTH}/t")).status, 200);
    assert_eq!(rig.get("/register").status, 200);
    assert_eq!(rig.get("/other").status, 404);
}

#[test]
fn nothing_is_promised_that_is_not_enforced() {
    let rig = Rig::with(Config {
        metadata: "synthesize = true",
        pkce: "mode = \"report\"",
        ..Config::default()
    });
    say(&rig, OAUTH, "404 Not Found", &[], "none");
    let response = rig.get(OAUTH);
    assert_eq!((response.status, response.text()), (404, "none"));
}

#[test]
fn without_synthesize_a_server_has_the_metadata_that_it_has() {
    let rig = Rig::new();
    say(&rig, OAUTH, "404 Not Found", &[], "none");
    assert_eq!(rig.get(OAUTH).status, 404);
}

#[test]
fn a_get_with_a_body_is_refused_here_as_elsewhere() {
    let rig = rig();
    let response = rig.send(&request("GET", OAUTH, &[], Some("a=b")));
    assert_eq!(response.status, 400, "{response}");
}
