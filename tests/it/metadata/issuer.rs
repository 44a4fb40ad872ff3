//! The issuer: where its metadata is served (RFC 8414 section 3.3), and `iss` in answers (RFC 9207).

use serde_json::{Value, json};

use crate::support::client::Authorization;
use crate::support::params::Params;
use crate::support::rig::{Config, REDIRECT_URI, Rig, authorization_response};
use crate::support::scripted::{Act, Then, json as json_reply, reply};

use super::{OAUTH, OPENID};

const GATE: &str = "http://gate.test";
const ISSUER: &str = "synthesize = true\nissuer = \"http://gate.test\"";

fn with(metadata: &str) -> Rig {
    Rig::with(Config {
        metadata,
        ..Config::default()
    })
}

fn publish(rig: &Rig, path: &str, issuer: &str, more: &Value) {
    let mut document =
        json!({ "issuer": issuer, "authorization_endpoint": "x", "token_endpoint": "x" });
    let object = document.as_object_mut().expect("an object");
    object.extend(more.as_object().expect("an object").clone());
    rig.upstream
        .on(path, Act::Say(json_reply("200 OK", &document), Then::GoOn));
}

fn warnings(rig: &Rig) -> Vec<Value> {
    let log = rig.gate.log();
    let lines = log
        .lines()
        .filter(|line| line.contains("\"issuer_mismatch\""));
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[test]
fn an_issuer_that_clients_refuse_is_logged_once_and_never_changed() {
    let mut rig = Rig::new();
    publish(&rig, OPENID, "https://idp.internal", &json!({}));
    for _ in 0..3 {
        assert_eq!(rig.get(OPENID).json()["issuer"], "https://idp.internal");
    }
    rig.gate.log_until(|log| log.contains("issuer_mismatch"));
    let warnings = warnings(&rig);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let warning = &warnings[0];
    assert_eq!(warning["level"], "WARN");
    assert_eq!(warning["upstream"], "scripted");
    assert_eq!(warning["issuer"], "https://idp.internal");
    assert_eq!(warning["path"], OPENID);
    assert!(
        warning["hint"]
            .as_str()
            .is_some_and(|hint| hint.contains("public_url"))
    );
    assert_eq!(
        rig.gate
            .metric("pkce_gate_incidents_total{kind=\"issuer_mismatch\"}"),
        1
    );
}

#[test]
fn an_issuer_is_right_if_clients_find_its_metadata_from_it() {
    let tenant = format!("/tenant{OPENID}");
    for (path, issuer, is_right) in [
        (OPENID, "http://gate.test", true),
        (OPENID, "http://gate.test/", true),
        (OAUTH, "http://gate.test", true),
        (tenant.as_str(), "http://gate.test/tenant", true),
        (tenant.as_str(), "http://gate.test", false),
        (OAUTH, "http://gate.test/tenant", false),
        (
            "/fhir/.well-known/smart-configuration",
            "https://idp.internal",
            true,
        ),
    ] {
        let rig = Rig::with(Config {
            endpoints: "metadata = [\"/.well-known/openid-configuration\", \"/.well-known/oauth-authorization-server\", \
                        \"/tenant/.well-known/openid-configuration\"]",
            ..Config::default()
        });
        publish(&rig, path, issuer, &json!({}));
        assert_eq!(
            rig.get(path).json()["code_challenge_methods_supported"],
            json!(["S256"])
        );
        // A later line is written behind the one that may be there.
        rig.enter(&rig.authorization());
        rig.gate.log_until(|log| log.contains("\"decision\""));
        assert_eq!(warnings(&rig).is_empty(), is_right, "{issuer} at {path}");
    }
}

#[test]
fn a_configured_issuer_that_the_metadata_does_not_have_is_logged() {
    let rig = with("issuer = \"http://gate.test/\"");
    publish(&rig, OPENID, "http://gate.test", &json!({}));
    rig.get(OPENID);
    rig.gate.log_until(|log| log.contains("issuer_mismatch"));
}

/// The answer of the upstream with these parameters beside the state.
fn answer(rig: &Rig, mode: Option<&str>, params: &[(&str, &str)]) -> Params {
    let mut authorization = rig.authorization();
    if let Some(mode) = mode {
        authorization = authorization.with("response_mode", mode);
    }
    let entry = rig.entry(&authorization);
    let handle = crate::support::rig::handle_of(&entry);
    let mut answer = Params::default();
    for (name, value) in params {
        answer = answer.with(name, value);
    }
    let answer = answer.with("state", &handle);
    let whole = match mode {
        Some("form_post") => {
            let fields = answer
                .iter()
                .map(|(name, value)| format!("<input type=hidden name={name} value=\"{value}\">"));
            let page = format!(
                "<form method=post action=\"{REDIRECT_URI}\">{}</form>",
                fields.collect::<String>()
            );
            reply("200 OK", &[("Content-Type", "text/html")], page.as_bytes())
        }
        mode => {
            let separator = if mode == Some("fragment") { '#' } else { '?' };
            let url = format!("{REDIRECT_URI}{separator}{}", answer.encoded());
            reply("302 Found", &[("Location", &url)], b"")
        }
    };
    rig.upstream.once("/authorize", Act::Say(whole, Then::GoOn));
    let response = rig.get(&entry);
    let found = authorization_response(&response, &authorization);
    found
        .unwrap_or_else(|| panic!("no authorization response: {response}"))
        .params
}

const MODES: [Option<&str>; 3] = [None, Some("fragment"), Some("form_post")];

fn issuers(params: &Params) -> Vec<String> {
    let all = params.iter().filter(|(name, _)| *name == "iss");
    all.map(|(_, value)| value.to_owned()).collect()
}

#[test]
fn synthesized_metadata_promises_iss_and_every_answer_has_it_once() {
    let rig = with(ISSUER).unguarded();
    assert_eq!(
        rig.get(OAUTH).json()["authorization_response_iss_parameter_supported"],
        true
    );
    for mode in MODES {
        for params in [
            &[("code", "a-code-of-the-server")][..],
            &[("error", "access_denied"), ("error_description", "no")],
            &[
                ("code", "another-code-of-the-server"),
                ("iss", "http://gate.test"),
            ],
            &[("error", "login_required"), ("iss", "http://gate.test")],
        ] {
            // Each code is bound once.
            let fresh = format!("{}-{}", params[0].1, crate::support::params::unguessable());
            let mut params = params.to_vec();
            if params[0].0 == "code" {
                params[0].1 = &fresh;
            }
            assert_eq!(
                issuers(&answer(&rig, mode, &params)),
                [GATE],
                "{mode:?} {params:?}"
            );
        }
    }
}

/// The promise is kept by a process that has not served the metadata.
#[test]
fn an_answer_has_iss_before_the_metadata_was_asked_for() {
    let rig = with(ISSUER).unguarded();
    assert_eq!(
        issuers(&answer(&rig, None, &[("error", "access_denied")])),
        [GATE]
    );
    let refused = Rig::with(Config {
        metadata: ISSUER,
        tables: &format!("[[upstream.client]]\nid = \"pub\"\nredirect_uris = [\"{REDIRECT_URI}\"]"),
        ..Config::default()
    });
    let bad = refused.authorization().without_challenge();
    let own = authorization_response(&refused.enter(&bad), &bad).expect("a redirect");
    assert_eq!(own.params.get("error"), Some("invalid_request"));
    assert_eq!(issuers(&own.params), [GATE], "the gate's own errors, too");
}

#[test]
fn iss_that_the_servers_metadata_promises_is_added_where_the_server_forgets_it() {
    let promise = json!({ "authorization_response_iss_parameter_supported": true });
    for (said, expected) in [(promise, &["http://gate.test"][..]), (json!({}), &[])] {
        let rig = Rig::new().unguarded();
        publish(&rig, OPENID, GATE, &said);
        rig.get(OPENID);
        for mode in MODES {
            let params = answer(&rig, mode, &[("error", "access_denied")]);
            assert_eq!(issuers(&params), expected, "{mode:?}");
        }
    }
}

#[test]
fn nothing_is_promised_where_answers_are_not_rewritten() {
    let client = "[[upstream.client]]\nid = \"jarm\"\ncodes = \"upstream\"\nuntil = \"2099-01-01\"\nowner = \"o\"\nreason = \"r\"\n";
    for (pkce, tables) in [("codes = \"upstream\"", ""), ("", client)] {
        let rig = Rig::with(Config {
            metadata: ISSUER,
            pkce,
            tables,
            ..Config::default()
        })
        .unguarded();
        let document = rig.get(OAUTH).json();
        assert_eq!(document["issuer"], GATE);
        assert_eq!(
            document.get("authorization_response_iss_parameter_supported"),
            None
        );
    }
    let rig = Rig::with(Config {
        metadata: ISSUER,
        pkce: "codes = \"upstream\"",
        ..Config::default()
    })
    .unguarded();
    let authorization: Authorization = rig.authorization();
    let response = rig.get(&crate::support::rig::target(&authorization));
    let answer = authorization_response(&response, &authorization).expect("an answer");
    assert_eq!(issuers(&answer.params), [""; 0]);
}
