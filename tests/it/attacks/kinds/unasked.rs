//! Tokens, codes and signed responses that answer a request, or lead away, in other ways than a redirect with its parameters.
//!
//! Seen to fail: each group without the mechanism that its comment names.

use super::answered;
use super::tokens::{TOKEN, is_kept};
use crate::support::rig::{Config, Rig, handle_of, request, target};
use crate::support::scripted::reply;

/// Status, media type, body.
fn document(kind: &str, body: &str) -> Vec<u8> {
    let body = body.replace("TOKEN", TOKEN);
    reply("200 OK", &[("Content-Type", kind)], body.as_bytes())
}

/// Documents with a token of which nothing else says whose it is.
fn documents() -> Vec<Vec<u8>> {
    [
        ("application/json", r#"{"id_token":"TOKEN"}"#),
        (
            "application/json",
            r#"{"access_token":"TOKEN","token_type":"Bearer","expires_in":60}"#,
        ),
        ("application/json", r#"{"data":{"accessToken":"TOKEN"}}"#),
        ("text/plain", "access_token=TOKEN"),
        ("text/javascript", "done({id_token: 'TOKEN'})"),
        (
            "application/xml",
            "<r><access_token>TOKEN</access_token></r>",
        ),
        (
            "application/x+json",
            r#"[{"name":"id_token","value":"TOKEN"}]"#,
        ),
    ]
    .map(|(kind, body)| document(kind, body))
    .into()
}

/// A gate with this in `[upstream.pkce]`, and what asks for a sign-in there, as it reaches the upstream.
fn first_requests(response_type: &str) -> Vec<(Rig, String)> {
    let types = "response_types = [\"code\", \"token\"]";
    ["", "entry = \"rewrite\"", "codes = \"upstream\""]
        .into_iter()
        .map(|keys| {
            println!("{keys}"); // shown when the test fails
            let pkce = format!("{types}\n{keys}");
            let rig = Rig::with(Config {
                pkce: &pkce,
                ..Config::default()
            });
            let rig = rig.unguarded();
            let authorization = rig.authorization().with("response_type", response_type);
            let first = match keys {
                "" => rig.entry(&authorization),
                _ => target(&authorization),
            };
            (rig, first)
        })
        .collect()
}

/// In answer to the authorization request itself, also where that is the one that its entry was redirected to. Fails where only
/// `Asked::begun` is one (`Asked::authorization`).
#[test]
fn documents_with_tokens_in_answer_to_an_authorization_request() {
    for answer in documents() {
        for (rig, first) in first_requests("code") {
            let response = answered(&rig, &request("GET", &first, &[], None), answer.clone());
            is_kept(&response, &answer.escape_ascii().to_string());
        }
    }
}

/// What a login page asks for is its own, with the handle and without; and whoever asked for a token gets it.
#[test]
fn documents_with_tokens_that_go_out() {
    for answer in documents() {
        let (rig, first) = first_requests("code").remove(0);
        let state = format!("state={}", handle_of(&first));
        for bytes in [
            request("POST", &first, &[], Some("user=u&password=p")),
            request("POST", "/authorize", &[], Some(&state)),
            request("POST", "/api/login", &[], Some(&state)),
            request("GET", &format!("/login/status?{state}"), &[], None),
            request("GET", "/authorize?poll=1", &[], None),
        ] {
            let response = answered(&rig, &bytes, answer.clone());
            assert_eq!(response.status, 200, "{}", bytes.escape_ascii());
        }
        for (rig, first) in first_requests("token") {
            let response = answered(&rig, &request("GET", &first, &[], None), answer.clone());
            assert!(response.to_string().contains(TOKEN), "{response}");
        }
    }
}
