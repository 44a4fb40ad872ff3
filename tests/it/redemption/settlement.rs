//! The effect of the upstream's answer on a code: it is released if the answer proves that the code was not used, and burnt
//! otherwise.

use serde_json::json;

use crate::support::client::{Authorization, access_token, assert_refused, assert_token};
use crate::support::http::Response;
use crate::support::params::Params;
use crate::support::raw::Cut;
use crate::support::rig::{Config, Rig, request};
use crate::support::scripted::{Act, Then, json, reply};

/// A sign-in with its code.
fn signed_in(rig: &Rig) -> (Authorization, String) {
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    (authorization, code)
}

/// With the shortest response timeout that works on a busy machine, because sign-ins need an answer in time as well. The kernel
/// accepts connections.
fn impatient() -> Rig {
    Rig::with(Config {
        upstream: "response = \"3s\"\nconnect = \"300ms\"",
        ..Config::default()
    })
}

/// An error of the gate as JSON.
#[track_caller]
fn assert_unavailable(response: &Response, status: u16) {
    assert_eq!(response.status, status, "{response}");
    assert_eq!(response.json()["error"], "server_error", "{response}");
    assert!(response.header("retry-after").is_some(), "{response}");
    assert_eq!(response.header("cache-control"), Some("no-store"));
}

/// With this first answer of the upstream, the client receives it unchanged, and a second attempt with the code succeeds.
#[track_caller]
fn assert_released_by(answer: &[u8], body: &str) {
    let rig = Rig::new();
    let (authorization, code) = signed_in(&rig);
    rig.upstream
        .once("/token", Act::Say(answer.to_vec(), Then::GoOn));

    let first = rig.redeem(&authorization, &code);
    assert!(
        answer.starts_with(format!("HTTP/1.1 {} ", first.status).as_bytes()),
        "{first}"
    );
    assert_eq!(first.text(), body);
    assert_token(&rig.redeem(&authorization, &code));
    assert_eq!(rig.forwarded(), 2);
    assert_refused(
        &rig.token(&authorization.redemption(&code)),
        "invalid_grant",
    );
}

/// After this the code is burnt, and no request is sent again.
#[track_caller]
fn assert_burnt_by(rig: &Rig, act: Act) -> Result<Response, Cut> {
    let (authorization, code) = signed_in(rig);
    rig.upstream.once("/token", act);
    rig.vouch(&authorization);
    let form = authorization.redemption(&code).encoded();
    let mut connection = rig.connect();
    connection.send(&request("POST", "/token", &[], Some(&form)));
    let first = connection.try_response();
    assert!(
        !first
            .as_ref()
            .is_ok_and(|first| access_token(first).is_some()),
        "{first:?}"
    );

    for _ in 0..2 {
        assert_refused(
            &rig.token(&authorization.redemption(&code)),
            "invalid_grant",
        );
    }
    assert_eq!(rig.forwarded(), 1, "nothing is sent twice");
    first
}

#[track_caller]
fn assert_burnt_by_answer(status: &str, document: &serde_json::Value) {
    let answer = Act::Say(json(status, document), Then::GoOn);
    let first = assert_burnt_by(&Rig::new(), answer).expect("an answer");
    assert_eq!(first.json(), *document, "{first}");
}

#[test]
fn an_upstream_that_refuses_connections_releases_the_code() {
    let rig = Rig::new();
    let (authorization, code) = signed_in(&rig);
    rig.upstream.refuse();
    for _ in 0..3 {
        assert_unavailable(&rig.token(&authorization.redemption(&code)), 502);
    }
    rig.upstream.accept();
    assert_token(&rig.redeem(&authorization, &code));
    assert_eq!(rig.forwarded(), 1);
}

#[test]
fn an_upstream_that_does_not_accept_connections_releases_the_code() {
    let rig = impatient();
    let (authorization, code) = signed_in(&rig);
    rig.upstream.ignore();
    assert_unavailable(&rig.token(&authorization.redemption(&code)), 504);
    rig.upstream.accept();
    assert_token(&rig.redeem(&authorization, &code));
    assert_eq!(rig.forwarded(), 1);
}

#[test]
fn an_error_that_is_not_about_the_code_releases_it() {
    for (status, error) in [
        ("401 Unauthorized", "invalid_client"),
        ("400 Bad Request", "invalid_client"),
        ("403 Forbidden", "unauthorized_client"),
        ("400 Bad Request", "use_dpop_nonce"),
        ("401 Unauthorized", "use_dpop_nonce"),
        ("400 Bad Request", "invalid_request"),
        ("422 Unprocessable Content", "invalid_scope"),
        ("200 OK", "incorrect_client_credentials"),
    ] {
        let body = json!({ "error": error });
        assert_released_by(&json(status, &body), &body.to_string());
    }
    for body in [
        json!({ "message": "Unauthorized" }),
        json!(["invalid_client"]),
    ] {
        assert_released_by(&json("401 Unauthorized", &body), &body.to_string());
    }
    let body = json!({ "ok": false });
    assert_released_by(&json("200 OK", &body), &body.to_string());
}

#[test]
fn errors_in_pages_and_forms_release_the_code() {
    let long = format!("<h1>401</h1>{}", "<p>sign in</p>".repeat(5000));
    for (status, media_type, body) in [
        ("401 Unauthorized", "text/html", "<h1>401</h1>"),
        ("401 Unauthorized", "text/html", &long),
        ("405 Method Not Allowed", "text/plain", ""),
        ("415 Unsupported Media Type", "text/plain", "not this"),
        (
            "200 OK",
            "application/x-www-form-urlencoded",
            "error=bad_client&error_uri=x",
        ),
        ("200 OK", "text/plain", "error=slow_down"),
    ] {
        let fields = [("Content-Type", media_type)];
        assert_released_by(&reply(status, &fields, body.as_bytes()), body);
    }
}

/// A released code is judged again, including its verifier.
#[test]
fn a_released_code_still_needs_its_client_and_its_verifier() {
    let rig = Rig::new();
    let (authorization, code) = signed_in(&rig);
    let answer = json("400 Bad Request", &json!({ "error": "invalid_client" }));
    rig.upstream.once("/token", Act::Say(answer, Then::GoOn));
    assert_eq!(rig.redeem(&authorization, &code).status, 400);
    let right = authorization.redemption(&code);
    for wrong in [
        right.clone().with("client_id", "other"),
        right.clone().without("code_verifier"),
        right
            .clone()
            .with("code_verifier", &rig.authorization().verifier),
    ] {
        assert_refused(&rig.token(&wrong), "invalid_grant");
    }
    assert_eq!(rig.forwarded(), 1);
    assert_token(&rig.redeem(&authorization, &code));
}

/// More often than a code may be released after its verifier was sent.
const OFTEN: usize = 25;

/// An attacker has the handle of a code that needs no proof at the gate, and the upstream's answers to their requests do not
/// redeem it. Afterwards the client redeems the code.
#[track_caller]
fn assert_not_used_up(rig: &Rig, authorization: &Authorization, thiefs: &str, right: &Params) {
    for (status, error) in [
        ("401 Unauthorized", "invalid_client"),
        ("400 Bad Request", "unsupported_grant_type"),
        ("429 Too Many Requests", "slow_down"),
    ] {
        for _ in 0..OFTEN {
            let answer = json(status, &json!({ "error": error }));
            rig.upstream.once("/token", Act::Say(answer, Then::GoOn));
            let stolen = rig.post("/token", &[], thiefs);
            assert_eq!(stolen.json()["error"], error, "{stolen}");
        }
    }
    rig.vouch(authorization);
    assert_token(&rig.token(right));
    assert_refused(&rig.token(right), "invalid_grant");
}

#[test]
fn a_thief_without_the_secret_of_a_confidential_client_does_not_use_its_code_up() {
    for codes in ["handle", "upstream"] {
        let rig = Rig::with(Config {
            pkce: &format!("require = \"public\"\ncodes = \"{codes}\""),
            tables: "[[upstream.client]]\nid = \"conf\"\ntype = \"confidential\"",
            ..Config::default()
        })
        .unguarded();
        let authorization = rig
            .authorization()
            .with("client_id", "conf")
            .without_challenge();
        let code = rig.code_for(&authorization);
        let right = authorization
            .redemption(&code)
            .with("client_id", "conf")
            .without("code_verifier");
        let wrong = right.clone().with("client_secret", "a guess").encoded();
        assert_not_used_up(&rig, &authorization, &wrong, &right);
    }
}

#[test]
fn a_thief_without_the_verifier_does_not_use_up_the_code_of_a_client_in_report_mode() {
    let rig = Rig::pkce("mode = \"report\"\ncodes = \"handle\"").unguarded();
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    let right = authorization.redemption(&code);
    for wrong in [
        right.clone().without("code_verifier"),
        right
            .clone()
            .with("code_verifier", &rig.authorization().verifier),
    ] {
        let answer = json("401 Unauthorized", &json!({ "error": "invalid_client" }));
        for _ in 0..OFTEN {
            rig.upstream
                .once("/token", Act::Say(answer.clone(), Then::GoOn));
            assert_eq!(rig.token(&wrong).status, 401);
        }
    }
    assert_token(&rig.redeem(&authorization, &code));
}

/// Go's x/oauth2 does this with every server that it does not know.
#[test]
fn a_request_is_repeated_with_another_client_authentication() {
    let rig = Rig::new();
    let (authorization, code) = signed_in(&rig);
    let answer = reply("401 Unauthorized", &[("WWW-Authenticate", "Basic")], b"");
    rig.upstream.once("/token", Act::Say(answer, Then::GoOn));
    let form = authorization.redemption(&code);
    let basic = [
        ("Authorization", "Basic cHViOnM="),
        ("Accept-Encoding", "gzip"),
    ];
    rig.vouch(&authorization);
    let without = form.clone().without("client_id").encoded();
    assert_eq!(rig.post("/token", &basic, &without).status, 401);
    // The gate could not read a compressed answer.
    let seen = rig.upstream.requests_to("/token").remove(0);
    assert_eq!(seen.header("accept-encoding"), Some("identity"));
    rig.vouch(&authorization);
    assert_token(&rig.token(&form.with("client_secret", "s")));
}

/// As soon as an answer contains a token, the gate forwards each piece as it arrives.
#[test]
fn a_token_answer_is_forwarded_as_it_arrives() {
    let rig = Rig::new();
    let (authorization, code) = signed_in(&rig);
    let feed = rig.upstream.feed("/token");
    rig.vouch(&authorization);
    let form = authorization.redemption(&code).encoded();
    let mut connection = rig.connect();
    connection.send(&request("POST", "/token", &[], Some(&form)));
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 37\r\n\r\n";
    feed.send(head.as_bytes().to_vec()).expect("a gate");
    feed.send(b"{\"access_to".to_vec()).expect("a gate");
    feed.send(b"ken\":\"at".to_vec()).expect("a gate");
    // The rest is only sent after the first pieces have arrived.
    connection.read_until(|came| came.ends_with(b"ken\":\"at"));
    feed.send(b"\",\"expires_in\":60}".to_vec())
        .expect("a gate");
    let response = connection.response();
    assert_eq!(
        response.text(),
        "{\"access_token\":\"at\",\"expires_in\":60}"
    );
    drop(feed);
    assert_refused(
        &rig.token(&authorization.redemption(&code)),
        "invalid_grant",
    );
}

#[test]
fn status_429_releases_the_code() {
    assert_released_by(
        &reply(
            "429 Too Many Requests",
            &[("Retry-After", "1")],
            b"slow down",
        ),
        "slow down",
    );
}

#[test]
fn status_503_releases_the_code() {
    assert_released_by(&reply("503 Service Unavailable", &[], b"later"), "later");
}

#[test]
fn a_timeout_after_sending_burns_the_code() {
    let first = assert_burnt_by(&impatient(), Act::Say(Vec::new(), Then::Stall));
    assert_unavailable(&first.expect("an answer"), 504);
}

#[test]
fn a_connection_that_breaks_after_sending_burns_the_code() {
    for then in [Then::Close, Then::Reset] {
        let first = assert_burnt_by(&Rig::new(), Act::Say(Vec::new(), then));
        assert_unavailable(&first.expect("an answer"), 502);
        let first = assert_burnt_by(&Rig::new(), Act::Interrupt(Vec::new(), then));
        assert_unavailable(&first.expect("an answer"), 502);
        let first = assert_burnt_by(&Rig::new(), Act::Say(b"HTTP/1.1 200 O".to_vec(), then));
        assert_unavailable(&first.expect("an answer"), 502);
    }
}

#[test]
fn an_incomplete_answer_burns_the_code_and_stays_incomplete() {
    for then in [Then::Close, Then::Reset, Then::Stall] {
        for head in [
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{\"access_to",
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{\"access_\r\n",
            "HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{\"error\":\r\n",
            "HTTP/1.1 401 Unauthorized\r\nContent-Length: 90\r\n\r\n{\"error\":",
        ] {
            let act = Act::Say(head.as_bytes().to_vec(), then);
            match assert_burnt_by(&impatient(), act) {
                // The first bytes may already have been forwarded.
                Err(Cut(_)) => assert!(head.contains("200"), "{then:?} {head}"),
                Ok(response) => assert_unavailable(&response, 502),
            }
        }
    }
}

#[test]
fn an_error_of_the_server_burns_the_code() {
    assert_burnt_by_answer(
        "500 Internal Server Error",
        &json!({ "error": "server_error" }),
    );
}

#[test]
fn an_answer_about_the_code_burns_it() {
    for status in [
        "400 Bad Request",
        "401 Unauthorized",
        "403 Forbidden",
        "503 Service Unavailable",
    ] {
        assert_burnt_by_answer(status, &json!({ "error": "invalid_grant" }));
    }
    assert_burnt_by_answer("200 OK", &json!({ "ok": false, "error": "invalid_grant" }));
    let described = json!({ "error": "x", "error_description": "invalid_grant: it was used" });
    assert_burnt_by_answer("400 Bad Request", &described);
    for page in [
        "<p>invalid_grant</p>",
        "{\"error\":\"invalid\\u005fgrant\"}",
    ] {
        let answer = reply("400 Bad Request", &[], page.as_bytes());
        assert_burnt_by(&Rig::new(), Act::Say(answer, Then::GoOn)).expect("an answer");
    }
}

#[test]
fn an_answer_that_cannot_be_read_burns_the_code() {
    for (status, fields, body) in [
        (
            "401 Unauthorized",
            vec![],
            &b"{\"error\":\"invalid_grant\",\"error\":\"invalid_client\"}"[..],
        ),
        ("401 Unauthorized", vec![], b"{\"error\":\"invalid_client\""),
        (
            "401 Unauthorized",
            vec![("Content-Encoding", "gzip")],
            b"\x1f\x8b\x08",
        ),
        ("400 Bad Request", vec![], b"{\0\"\0e\0"),
        (
            "200 OK",
            vec![("Content-Type", "text/html")],
            b"<p>error=x</p>",
        ),
        ("200 OK", vec![], b""),
        ("200 OK", vec![], b"{}"),
        ("204 No Content", vec![], b""),
    ] {
        let answer = reply(status, &fields, body);
        assert_burnt_by(&Rig::new(), Act::Say(answer, Then::GoOn)).expect("an answer");
    }
}

#[test]
fn a_redirect_of_a_token_request_is_neither_followed_nor_forwarded() {
    for status in [
        "301 Moved",
        "302 Found",
        "303 See Other",
        "307 Temporary",
        "308 Permanent",
    ] {
        let rig = Rig::new();
        let elsewhere = format!("{}/elsewhere", rig.upstream.url());
        let answer = reply(status, &[("Location", &elsewhere)], b"");
        let first = assert_burnt_by(&rig, Act::Say(answer, Then::GoOn)).expect("an answer");
        assert_unavailable(&first, 502);
        assert_eq!(first.header("location"), None);
        assert!(rig.upstream.requests_to("/elsewhere").is_empty());
    }
}

#[test]
fn an_unrequested_upgrade_burns_the_code_and_opens_no_tunnel() {
    let rig = Rig::new();
    let answer =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw";
    let act = Act::Say(answer.to_vec(), Then::Stall);
    let first = assert_burnt_by(&rig, act).expect("an answer");
    assert_unavailable(&first, 502);
}

#[test]
fn interim_answers_do_not_settle_the_code() {
    let rig = Rig::new();
    let (authorization, code) = signed_in(&rig);
    let token = json("200 OK", &json!({ "access_token": "at" }));
    let interim = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
    rig.upstream.once(
        "/token",
        Act::Say([interim.as_slice(), &token].concat(), Then::GoOn),
    );
    assert_token(&rig.redeem(&authorization, &code));
}
