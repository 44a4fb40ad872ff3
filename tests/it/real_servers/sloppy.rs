//! Forms of token requests that real servers and their frameworks accept: other spellings of the path, parameters in the query,
//! as JSON, as multipart, twice, or with another method. Without a verifier, with a wrong one, and (except at the token
//! endpoint) even with the right one, with the server's own code and with the gate's handle, no token is issued.
//!
//! Fails on every server without both the path check and the guard against token requests elsewhere (either of them is enough).

use super::on_every_server;
use crate::attacks::{json, multipart};
use crate::support::client::{access_token, assert_token};
use crate::support::params::{Params, unguessable};
use crate::support::servers::Target;
use crate::support::stage::Stage;

on_every_server! {
    no_other_spelling_of_a_token_request_buys_a_token,
}

const FORM: &str = "application/x-www-form-urlencoded";

fn no_other_spelling_of_a_token_request_buys_a_token(target: &'static Target) {
    let stage = Stage::new(target);
    let authorization = stage.authorization();
    let code = stage.code_for(&authorization);
    let whole = authorization.redemption(&code);
    let raw = stage.ledger().codes[0].clone();
    let wrong = |params: &Params| params.clone().with("code_verifier", &unguessable());
    for params in [whole.clone(), whole.clone().with("code", &raw)] {
        let without = params.clone().without("code_verifier");
        for path in other_paths(stage.token_endpoint().1) {
            for params in [&params, &without, &wrong(&params)] {
                nothing(
                    &stage,
                    &request(&stage, "POST", &path, FORM, &params.encoded()),
                );
                let target = format!("{path}?{}", params.encoded());
                nothing(&stage, &request(&stage, "GET", &target, FORM, ""));
            }
        }
        for params in [&without, &params.clone().with("code_verifier", "short")] {
            for bytes in other_shapes(&stage, params) {
                nothing(&stage, &bytes);
            }
        }
        for (name, value) in without.iter() {
            let twice = format!("{}&{name}={value}", without.encoded());
            nothing(&stage, &post(&stage, FORM, &twice));
        }
    }
    assert_token(&stage.token(&whole));
}

/// Some servers treat some of these paths as the token endpoint.
fn other_paths(path: &str) -> Vec<String> {
    let bare = path.trim_end_matches('/');
    let (head, last) = bare.rsplit_once('/').expect("a path has a slash");
    let mut paths = vec![
        bare.to_uppercase(),
        format!("{head}/./{last}"),
        format!("{head}/x/../{last}"),
        format!("{head}/{}", last.replacen('t', "%74", 1)),
        format!("{bare};x=1"),
        format!("{bare}.json"),
        format!("{bare}%2f"),
        format!("{bare}%00"),
    ];
    paths.push(if path.ends_with('/') {
        bare.to_owned()
    } else {
        format!("{bare}/")
    });
    paths
}

/// Other forms of a request at the token endpoint itself.
fn other_shapes(stage: &Stage, params: &Params) -> Vec<Vec<u8>> {
    let path = stage.token_endpoint().1;
    let form = params.encoded();
    let with_query = format!("{path}?{form}");
    let merged = format!("/{path}");
    vec![
        request(stage, "GET", &with_query, FORM, ""),
        request(stage, "POST", &with_query, FORM, ""),
        request(
            stage,
            "POST",
            &with_query,
            FORM,
            "grant_type=authorization_code",
        ),
        request(stage, "PUT", path, FORM, &form),
        request(stage, "POST", &merged, FORM, &form),
        post(stage, "application/json", &json(params)),
        post(
            stage,
            "multipart/form-data; boundary=b",
            &multipart(params, "b"),
        ),
        post(stage, "text/plain", &form),
        post(
            stage,
            "application/x-www-form-urlencoded; charset=utf-16",
            &form,
        ),
        post(stage, FORM, &form.replace('&', ";")),
        post(stage, FORM, &form.replace("code=", "CODE=")),
        post(stage, FORM, &form.replace("code=", "code[]=")),
    ]
}

fn post(stage: &Stage, kind: &str, body: &str) -> Vec<u8> {
    request(stage, "POST", stage.token_endpoint().1, kind, body)
}

fn request(stage: &Stage, method: &str, target: &str, kind: &str, body: &str) -> Vec<u8> {
    let host = stage.token_endpoint().0;
    let entity = if method == "GET" {
        String::new()
    } else {
        format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len())
    };
    format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{entity}\r\n{body}").into_bytes()
}

#[track_caller]
fn nothing(stage: &Stage, bytes: &[u8]) {
    let Some(response) = stage.send(bytes) else {
        return;
    };
    let token = access_token(&response);
    assert_eq!(token, None, "{}: {response}", bytes.escape_ascii());
    assert!(
        response.status >= 400,
        "{}: {response}",
        bytes.escape_ascii()
    );
}
