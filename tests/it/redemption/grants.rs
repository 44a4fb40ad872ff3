//! The token endpoint without codes: other grants, `grants`, `to_upstream`, and requests that are not token requests.

use serde_json::json;

use crate::support::client::{assert_refused, assert_token};
use crate::support::rig::{HOST, REDIRECT_URI, Rig, request};
use crate::support::scripted::{Act, Then, json};

const FORM: &str = "application/x-www-form-urlencoded";

/// As real clients write them, with characters that have several encodings.
const OTHER_GRANTS: [&str; 9] = [
    "grant_type=refresh_token&refresh_token=a%2Fb%2fc~%7E&scope=a+b%20c&client_id=pub",
    "grant_type=refresh_token&refresh_token=x&code_verifier=none-of-the-gates-business",
    "grant_type=client_credentials&scope=",
    "grant_type=client_credentials&resource=a&resource=b&audience=c&audience=c",
    "grant_type=urn%3aietf%3Aparams:oauth:grant-type:device_code&device_code=d",
    "grant_type=password&username=%C3%A9&password=p%26w",
    "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token=t&subject_token_type=u&&",
    "scope=no-grant-at-all",
    "",
];

#[test]
fn other_grants_pass_byte_for_byte() {
    let rig = Rig::new();
    for (at, body) in OTHER_GRANTS.into_iter().enumerate() {
        let response = rig.post(
            "/token",
            &[("DPoP", "proof"), ("Authorization", "Basic cHViOnM=")],
            body,
        );
        assert_token(&response);
        let seen = rig.upstream.requests_to("/token").remove(at);
        assert_eq!(seen.text(), body);
        assert_eq!(seen.target(), "/token");
        assert_eq!(seen.header("content-type"), Some(FORM));
        assert_eq!(
            seen.header("content-length"),
            Some(body.len().to_string().as_str())
        );
        assert_eq!(seen.header("dpop"), Some("proof"));
        assert_eq!(seen.header("authorization"), Some("Basic cHViOnM="));
    }
}

/// If no code is redeemed, the subject of an assertion may differ from the client: a workload acts for it (Microsoft Entra), or
/// only the server can read it (SAML, JWE). And a token that begins with `Basic` is not always HTTP Basic.
#[test]
fn assertions_and_tokens_of_other_grants_pass() {
    let kind =
        "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
    for codes in ["handle", "upstream"] {
        let rig = Rig::pkce(&format!("codes = \"{codes}\"")).unguarded();
        for grant in [
            "grant_type=client_credentials&scope=x",
            "grant_type=refresh_token&refresh_token=r",
        ] {
            for assertion in [
                "e30.eyJzdWIiOiJzeXN0ZW06d29ya2xvYWQifQ.c2ln",
                "eyJhbGciOiJSU0EtT0FFUCJ9.abc.def.ghi.jkl",
                "PHNhbWw6QXNzZXJ0aW9uLz4",
            ] {
                let body = format!("{grant}&client_id=app&{kind}&client_assertion={assertion}");
                assert_token(&rig.post("/token", &[], &body));
            }
            let body = format!("{grant}&client_id=app");
            for token in ["Bearer svc-basic-0123", "DPoP abc.Basic.def"] {
                assert_token(&rig.post("/token", &[("Authorization", token)], &body));
                let get = request("GET", "/userinfo", &[("Authorization", token)], None);
                assert_eq!(rig.send(&get).status, 200, "{token}");
            }
        }
        // With a code they must match (RFC 7523 section 3).
        let authorization = rig.authorization();
        let code = rig.code_for(&authorization);
        let body = authorization.redemption(&code).encoded();
        let body = format!("{body}&{kind}&client_assertion=e30.eyJzdWIiOiJ4In0.c2ln");
        assert_refused(&rig.post("/token", &[], &body), "invalid_request");
    }
}

#[test]
fn a_token_request_in_chunks_is_framed_again_and_otherwise_unchanged() {
    let rig = Rig::new();
    let head = format!(
        "POST /token HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {FORM}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let body = "5\r\ngrant\r\n1f\r\n_type=refresh_token&refresh_tok\r\n4;x=y\r\nen=a\r\n0\r\nX-Trailer: 1\r\n\r\n";
    assert_token(&rig.send(format!("{head}{body}").as_bytes()));
    let seen = rig.upstream.requests_to("/token").remove(0);
    assert_eq!(seen.text(), "grant_type=refresh_token&refresh_token=a");
    assert!(
        !seen
            .body
            .windows(9)
            .any(|nine| nine.eq_ignore_ascii_case(b"x-trailer"))
    );
}

#[test]
fn with_strip_the_upstream_receives_no_pkce_parameters() {
    let rig = Rig::pkce("to_upstream = \"strip\"");
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    assert_token(&rig.redeem(&authorization, &code));
    for body in [
        "grant_type=refresh_token&code_verifier=x&refresh_token=a%2fb",
        "code_verifier=x&grant_type=refresh_token&refresh_token=a%2fb",
    ] {
        assert_token(&rig.post("/token", &[], body));
    }
    let ledger = rig.upstream.ledger();
    assert_eq!(ledger.len(), 4);
    for seen in &ledger {
        assert!(!seen.target().contains("code_challenge"), "{seen:?}");
        assert!(!seen.text().contains("code_"), "{seen:?}");
    }
    assert_eq!(
        ledger[1].form().get("code"),
        Some(rig.upstream.codes()[0].as_str())
    );
    assert_eq!(
        ledger[2].text(),
        "grant_type=refresh_token&refresh_token=a%2fb"
    );
    assert_eq!(
        ledger[3].text(),
        "grant_type=refresh_token&refresh_token=a%2fb"
    );
}

#[test]
fn with_strip_the_gate_still_checks_the_verifier() {
    let rig = Rig::pkce("to_upstream = \"strip\"");
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    let right = authorization.redemption(&code);
    let other = rig.authorization().verifier;
    assert_refused(
        &rig.token(&right.clone().with("code_verifier", &other)),
        "invalid_grant",
    );
    assert_refused(&rig.token(&right.without("code_verifier")), "invalid_grant");
    assert_eq!(rig.forwarded(), 0);
}

#[test]
fn only_listed_grants_pass_if_grants_are_listed() {
    let rig = Rig::pkce("grants = [\"authorization_code\", \"refresh_token\"]");
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    for body in [
        "grant_type=client_credentials",
        "grant_type=Refresh_Token&refresh_token=x",
        "grant_type=refresh_token+&refresh_token=x",
        "grant_type=refresh_token%20authorization_code&refresh_token=x",
        "refresh_token=x",
        "grant_type=&refresh_token=x",
    ] {
        assert_refused(&rig.post("/token", &[], body), "unsupported_grant_type");
    }
    for grant in ["openid", "authorization_code ", "hybrid_auth_code"] {
        let request = authorization.redemption(&code).with("grant_type", grant);
        assert_refused(&rig.token(&request), "unsupported_grant_type");
    }
    assert_eq!(rig.forwarded(), 0);
    assert_token(&rig.post("/token", &[], "grant_type=refresh_token&refresh_token=x"));
    assert_token(&rig.redeem(&authorization, &code));
}

#[test]
fn a_code_makes_a_request_with_any_grant_a_redemption() {
    let rig = Rig::new();
    for grant in [
        "openid",
        "authorization_code ",
        "hybrid_auth_code",
        "interaction_code",
        "refresh_token",
        "client_credentials",
        "",
    ] {
        let authorization = rig.authorization();
        let code = rig.code_for(&authorization);
        let request = authorization.redemption(&code).with("grant_type", grant);
        let before = rig.forwarded();
        assert_refused(
            &rig.token(&request.clone().without("code_verifier")),
            "invalid_grant",
        );
        assert_eq!(rig.forwarded(), before);
        rig.vouch(&authorization);
        assert_token(&rig.token(&request));
        let sent = rig.upstream.requests_to("/token").remove(before).form();
        assert_eq!(sent.get("grant_type"), Some(grant));
        assert_refused(&rig.token(&request), "invalid_grant");
    }
}

/// Salesforce's hybrid web server flow.
#[test]
fn a_grant_of_a_vendor_that_carries_a_code_can_be_the_only_one() {
    for codes in ["handle", "upstream"] {
        let grants = "grants = [\"hybrid_auth_code\"]";
        let rig = Rig::pkce(&format!("codes = \"{codes}\"\n{grants}")).unguarded();
        let authorization = rig.authorization();
        let code = rig.code_for(&authorization);
        let usual = authorization.redemption(&code);
        assert_refused(&rig.token(&usual), "unsupported_grant_type");
        let hybrid = usual.with("grant_type", "hybrid_auth_code");
        for wrong in [
            hybrid.clone().without("code_verifier"),
            hybrid
                .clone()
                .with("code_verifier", &rig.authorization().verifier),
            hybrid.clone().with("client_id", "other"),
        ] {
            assert_refused(&rig.token(&wrong), "invalid_grant");
        }
        assert_eq!(rig.forwarded(), 0, "{codes}");
        rig.vouch(&authorization);
        assert_token(&rig.token(&hybrid));
        assert_refused(&rig.token(&hybrid), "invalid_grant");
        assert_eq!(rig.forwarded(), 1, "{codes}");
        assert!(
            rig.upstream
                .redemptions_without_verified_verifier()
                .is_empty()
        );
    }
}

#[test]
fn a_one_time_password_of_another_grant_passes() {
    for pkce in ["", "codes = \"upstream\"", "mode = \"report\""] {
        let rig = Rig::pkce(pkce).unguarded();
        for body in [
            "grant_type=password&phone_number=%2B491&code=123456&client_id=pub",
            "grant_type=sms_code&mobile=0123&code=0000&client_id=pub&client_secret=s",
            "code=0123456789&grant_type=urn%3Ax%3Aotp",
        ] {
            let token = Act::Say(json("200 OK", &json!({ "access_token": "at" })), Then::GoOn);
            rig.upstream.once("/token", token);
            assert_token(&rig.post("/token", &[], body));
            let seen = rig.upstream.requests_to("/token").pop().expect("one");
            assert_eq!(seen.text(), body);
        }
        assert!(!rig.gate.log().contains("unknown_code"));
    }
    let rig = Rig::new();
    for body in [
        "grant_type=authorization_code&code=123456&client_id=pub",
        "grant_type=Authorization_Code+&code=123456&client_id=pub",
        "grant_type=openid&code=123456&client_id=pub",
        "code=123456&client_id=pub",
        "grant_type=password&code=12345678901&client_id=pub",
        "grant_type=password&code=12345x&client_id=pub",
        "grant_type=password&code=123456&client_id=pub&code_verifier=x",
    ] {
        assert_refused(&rig.post("/token", &[], body), "invalid_grant");
    }
    assert_eq!(rig.forwarded(), 0);
    let listed = Rig::pkce("grants = [\"authorization_code\"]");
    let otp = listed.post("/token", &[], "grant_type=password&code=123456");
    assert_refused(&otp, "unsupported_grant_type");
}

/// A server may issue codes of digits, and redeem them under any grant.
#[test]
fn an_issued_code_of_digits_is_not_a_one_time_password() {
    let rig = Rig::pkce("codes = \"upstream\"").unguarded();
    rig.upstream.issue("12345678");
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    assert_eq!(code, "12345678");
    let stolen = format!("grant_type=password&code={code}&client_id=pub");
    assert_refused(&rig.post("/token", &[], &stolen), "invalid_grant");
    assert_eq!(rig.forwarded(), 0);
    assert_token(&rig.redeem(&authorization, &code));
    assert_refused(&rig.post("/token", &[], &stolen), "invalid_grant");
    assert_eq!(rig.forwarded(), 1);
}

#[test]
fn a_code_request_without_a_code_is_refused() {
    let rig = Rig::new();
    for body in [
        "grant_type=authorization_code",
        "grant_type=authorization_code&code=&code_verifier=x",
    ] {
        assert_refused(&rig.post("/token", &[], body), "invalid_request");
    }
    assert_eq!(rig.forwarded(), 0);
}

/// An ambiguous redemption is refused before the code is claimed: afterwards the code still works.
#[test]
fn an_ambiguous_token_request_is_refused_and_costs_no_attempt() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    let right = authorization.redemption(&code).encoded();
    let doubtful = [
        format!("{right}&code={code}"),
        format!("{right}&code_verifier={}", authorization.verifier),
        format!("{right}&client_id=pub"),
        format!("{right}&anything=1&anything=2"),
        format!("{right}&CODE=x"),
        format!("{right}&code[]=x"),
        format!("{right}&code.verifier=x"),
        format!("{right}&+code=x"),
        format!("{right}&x=%zz"),
        format!("{right}&x=%4"),
        format!("{right}&x=%ff"),
        format!("{right}&x=%00"),
        format!("{right}&=x"),
        format!("{{\"code\":\"{code}\",\"x\":\"&grant_type=refresh_token&\"}}"),
        format!(" <code>{code}</code>"),
        format!("{right}&x=a;b"),
        right.replace('&', ";"),
        format!("\u{feff}{right}"),
    ];
    for body in &doubtful {
        assert_refused(&rig.post("/token", &[], body), "invalid_request");
    }
    assert_eq!(rig.post("/token?", &[], &right).status, 400);
    assert_eq!(rig.post("/token?x=y", &[], &right).status, 400);
    for (content_type, encoding) in [
        ("application/json", None),
        ("text/plain", None),
        ("multipart/form-data; boundary=x", None),
        ("application/x-www-form-urlencoded; charset=utf-16", None),
        ("application/x-www-form-urlencoded, application/json", None),
        (FORM, Some("gzip")),
        (FORM, Some("identity")),
    ] {
        let mut fields = vec![("Content-Type", content_type)];
        fields.extend(encoding.map(|encoding| ("Content-Encoding", encoding)));
        let response = rig.post("/token", &fields, &right);
        assert_eq!(
            response.status, 415,
            "{content_type} {encoding:?}: {response}"
        );
        assert_eq!(response.json()["error"], "invalid_request");
    }
    let untyped = format!(
        "POST /token HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n{right}",
        right.len()
    );
    assert_eq!(rig.send(untyped.as_bytes()).status, 415);
    assert!(rig.upstream.requests_to("/token").is_empty());
    assert_token(&rig.redeem(&authorization, &code));
}

#[test]
fn only_post_and_options_reach_the_token_endpoint() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    let form = authorization.redemption(&code).encoded();
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "QUERY", "post"] {
        for (target, body) in [
            (format!("/token?{form}"), None),
            ("/token".to_owned(), Some(form.as_str())),
        ] {
            let mut connection = rig.connect();
            connection.send(&request(method, &target, &[], body));
            let response = if method == "HEAD" {
                connection.response_to_head().expect("an answer")
            } else {
                connection.response()
            };
            assert_eq!(response.status, 405, "{method}: {response}");
            assert_eq!(response.header("allow"), Some("POST"));
        }
    }
    assert_eq!(rig.forwarded(), 0);
    let preflight = [
        ("Origin", REDIRECT_URI),
        ("Access-Control-Request-Method", "POST"),
    ];
    let response = rig.send(&request("OPTIONS", "/token", &preflight, None));
    assert_eq!(response.status, 200, "{response}");
    assert_eq!(rig.forwarded(), 1);
}

#[test]
fn unusual_but_unambiguous_encodings_work() {
    let rig = Rig::new();
    for (content_type, spell) in [
        ("Application/X-WWW-Form-URLEncoded", "code"),
        ("application/x-www-form-urlencoded;charset=UTF-8", "code"),
        (
            "application/x-www-form-urlencoded; charset=\"utf-8\"",
            "%63ode",
        ),
    ] {
        let authorization = rig.authorization();
        let code = rig.code_for(&authorization);
        let form = authorization.redemption(&code).encoded();
        let form = form.replace("&code=", &format!("&{spell}="));
        rig.vouch(&authorization);
        assert_token(&rig.post("/token", &[("Content-Type", content_type)], &form));
    }
}
