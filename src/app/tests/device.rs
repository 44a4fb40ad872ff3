//! Device codes that travel (`codes = "upstream"`), on a clock that the tests move.

use std::time::Duration;

use super::stage::{Message, Stage};
use super::{CHALLENGE, VERIFIER};

const PKCE: &str = "codes = \"upstream\"\ndevice = \"if_present\"";
const OWN: &str = "the-upstreams-own-device-code";

/// A server that accepts its device code for ever. The client's `scope` says which lifetime the server promises.
fn server(request: &Message) -> String {
    let document = match request.target() {
        "/device" => {
            let scope = request.body.split("scope=").nth(1).unwrap_or_default();
            format!(r#"{{"device_code":"{OWN}","user_code":"u","expires_in":{scope}}}"#)
        }
        _ => r#"{"access_token":"at","token_type":"Bearer"}"#.to_owned(),
    };
    let length = document.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{document}"
    )
}

fn begin(stage: &Stage, expires_in: &str) -> Message {
    let challenge = format!("code_challenge={CHALLENGE}&code_challenge_method=S256");
    stage.post(
        "/device",
        &format!("client_id=tv&{challenge}&scope={expires_in}"),
    )
}

fn poll(stage: &Stage, more: &str) -> Message {
    let grant = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code";
    stage.post(
        "/token",
        &format!("grant_type={grant}&client_id=tv&device_code={OWN}{more}"),
    )
}

#[test]
fn a_thief_of_a_device_code_cannot_wait_until_the_gate_forgets_it() {
    for (expires_in, hours) in [("7200", 2), ("86400", 24)] {
        let stage = Stage::set(PKCE, server);
        let answer = begin(&stage, expires_in);
        assert!(answer.body.contains(OWN), "{answer:?}");
        stage.asked();
        for _ in 0..hours {
            assert_eq!(poll(&stage, "").status(), 400);
            stage.time.advance(Duration::from_secs(60 * 60 - 1));
        }
        assert_eq!(poll(&stage, "").status(), 400);
        assert!(stage.asked().is_empty(), "the server was asked");
        // Its own device still can.
        let token = poll(&stage, &format!("&code_verifier={VERIFIER}"));
        assert!(token.body.contains("access_token"), "{token:?}");
    }
}

#[test]
fn a_device_code_that_outlives_the_memory_of_the_gate_is_not_delivered() {
    for expires_in in ["86401", "-1"] {
        let stage = Stage::set(PKCE, server);
        let answer = begin(&stage, expires_in);
        assert_eq!(answer.status(), 502, "{answer:?}");
        assert!(!answer.body.contains(OWN), "{answer:?}");
        assert!(answer.body.contains("a device code"), "{answer:?}");
    }
}
