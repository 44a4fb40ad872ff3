//! Answers of the server: which end a device code, which release it, and which device authorization responses are refused.

use std::time::Duration;

use super::*;
use crate::support::scripted::chunked;

#[test]
fn an_answer_about_the_device_code_burns_it() {
    for (status, document) in [
        ("400 Bad Request", json!({ "error": "access_denied" })),
        ("400 Bad Request", json!({ "error": "expired_token" })),
        ("400 Bad Request", json!({ "error": "invalid_grant" })),
        ("403 Forbidden", json!({ "error": "access_denied" })),
        ("200 OK", json!({ "error": "expired_token" })),
        (
            "500 Internal Server Error",
            json!({ "error": "authorization_pending" }),
        ),
        (
            "200 OK",
            json!({ "access_token": "t", "error": "authorization_pending" }),
        ),
        ("200 OK", json!({ "anything": "else" })),
    ] {
        let rig = rig("");
        let device = Device::new(&rig);
        let code = device.begin(&rig);
        next(&rig, status, &document);
        let first = rig.token(&device.poll(&code));
        assert_eq!(first.json(), document, "{first}");
        assert_refused(&rig.token(&device.poll(&code)), "invalid_grant");
        assert_eq!(rig.forwarded(), 1, "{status} {document}");
    }
    // No answer at all.
    let rig = rig("");
    let device = Device::new(&rig);
    let code = device.begin(&rig);
    rig.upstream
        .once("/token", Act::Say(Vec::new(), Then::Reset));
    assert_eq!(rig.token(&device.poll(&code)).status, 502);
    assert_refused(&rig.token(&device.poll(&code)), "invalid_grant");
    assert_eq!(rig.forwarded(), 1);
}

/// Google answers 428 while the user has not answered.
#[test]
fn an_answer_about_the_user_is_not_counted_and_another_error_is_counted_ten_times() {
    let rig = rig("");
    let device = Device::new(&rig);
    let code = device.begin(&rig);
    let poll = device.poll(&code);
    let mut sent = 0;
    let mut ask = |status: &str, error: &str| {
        next(&rig, status, &json!({ "error": error }));
        assert_error(&rig.token(&poll), error);
        sent += 1;
        assert_eq!(rig.forwarded(), sent);
    };
    for _ in 0..10 {
        ask("428 Precondition Required", "authorization_pending");
        ask("401 Unauthorized", "use_dpop_nonce");
        ask("400 Bad Request", "slow_down");
    }
    ask("401 Unauthorized", "invalid_client");
    assert_refused(&rig.token(&poll), "invalid_grant");
    assert_eq!(rig.forwarded(), sent);
}

/// The server may redeem the device code for longer than it says.
#[test]
fn a_device_code_lives_as_long_as_the_answer_says() {
    let rig = rig("");
    rig.upstream.on(ENDPOINT, issues(1));
    let device = Device::new(&rig);
    let code = device.begin(&rig);
    std::thread::sleep(Duration::from_millis(1100));
    assert_refused(&rig.token(&device.poll(&code)), "invalid_grant");
    assert_eq!(rig.forwarded(), 0);
    logged(&rig, "expired_code", 1);
}

#[test]
fn an_answer_whose_device_code_cannot_be_replaced_is_refused() {
    let rig = rig("");
    let json_type = ("Content-Type", "application/json");
    let code = "own-secret-device-code";
    let mut unreadable: Vec<Vec<u8>> = [
        String::new(),
        "device_code=own-secret-device-code&user_code=x".to_owned(),
        "{}".to_owned(),
        "{\"device_code\":7}".to_owned(),
        "{\"data\":{\"device_code\":\"own-secret-device-code\"}}".to_owned(),
        "[{\"device_code\":\"own-secret-device-code\"}]".to_owned(),
        "{\"device_code\":\"own-secret-device-code\",\"device_code\":\"b\"}".to_owned(),
        "{\"device_code\":\"own-secret-device-code\",\"devic\\u0065_code\":\"b\"}".to_owned(),
        "{\"device_code\":\"own-secret-device-code\",\"x\":{\"a\":1,\"a\":2}}".to_owned(),
        "{\"device_code\":\"own-secret-device-code\"".to_owned(),
        "{\"device_code\":\"own-secret-device-code \"}".to_owned(),
        format!("{{\"device_code\":\"{}\"}}", "d".repeat(5000)),
        // A second time, in another spelling.
        "{\"device_code\":\"own-secret-device-code\",\"uri\":\"https://s/?c=own%2Dsecret-device-code\"}".to_owned(),
    ]
    .iter()
    .map(|body| reply("200 OK", &[json_type], body.as_bytes()))
    .collect();
    let body = format!("{{\"device_code\":\"{code}\"}}");
    let encoded = [json_type, ("Content-Encoding", "gzip")];
    unreadable.push(reply("200 OK", &encoded, body.as_bytes()));
    let echoed = [json_type, ("Set-Cookie", "device=own-secret-device-code")];
    unreadable.push(reply("200 OK", &echoed, body.as_bytes()));
    let padding = format!(
        "{{\"x\":\"{}\",\"device_code\":\"{code}\"}}",
        " ".repeat(2 << 20)
    );
    unreadable.push(chunked("200 OK", &[json_type], &[padding.as_bytes()]));
    unreadable.push(reply(
        "302 Found",
        &[("Location", "/device?device_code=own-secret-device-code")],
        b"",
    ));
    for (at, answer) in unreadable.into_iter().enumerate() {
        let device = Device::new(&rig);
        rig.upstream
            .once(ENDPOINT, Act::Say(answer.clone(), Then::Close));
        let response = rig.post(ENDPOINT, &[], &device.request.encoded());
        let shown = answer[..answer.len().min(300)].escape_ascii().to_string();
        assert_eq!(response.status, 502, "{shown}: {response}");
        assert_error(&response, "server_error");
        assert!(!response.text().contains("secret-device"), "{response}");
        logged(&rig, "unbound_code_in_response", at + 1);
    }
}

#[test]
fn an_error_of_the_server_is_passed_on() {
    let rig = rig("");
    let device = Device::new(&rig);
    let error = json!({ "error": "invalid_scope" });
    rig.upstream.once(
        ENDPOINT,
        Act::Say(json_reply("400 Bad Request", &error), Then::GoOn),
    );
    let response = rig.post(ENDPOINT, &[], &device.request.encoded());
    assert_eq!((response.status, response.json()), (400, error));
    rig.upstream.refuse();
    let response = rig.post(ENDPOINT, &[], &device.request.encoded());
    assert_eq!(response.status, 502, "{response}");
    assert_error(&response, "server_error");
}
