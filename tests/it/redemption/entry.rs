//! The answer to a new authorization request, and what the upstream receives of it.

use pkce_gate::parts::Purpose;

use super::assert_page;
use crate::support::client::assert_token;
use crate::support::params::{Params, s256};
use crate::support::rig::{Rig, authorization_response, cookie_of, request, target};
use crate::support::scripted::{Act, Shape, Then, reply};
use crate::support::store::is_handle;

#[test]
fn a_fresh_request_is_redirected_to_itself_with_a_handle_and_without_pkce() {
    let rig = Rig::new();
    let authorization = rig.authorization().with("claims", "{\"a\":[1, 2]}");
    let response = rig.enter(&authorization);
    assert_eq!(response.status, 303, "{response}");
    assert!(
        rig.upstream.ledger().is_empty(),
        "no request reached the upstream"
    );
    let (path, query) = response
        .header("location")
        .and_then(|l| l.split_once('?'))
        .expect("a query");
    assert_eq!(path, "/authorize");
    let sent = authorization
        .params
        .clone()
        .without("code_challenge")
        .without("code_challenge_method");
    let handle = Params::from_query(query)
        .get("state")
        .expect("a state")
        .to_owned();
    assert!(is_handle(Purpose::State, &handle), "{handle}");
    assert_eq!(query, sent.with("state", &handle).encoded());
    assert!(
        cookie_of(&response).is_some_and(|cookie| cookie.starts_with("pkce-gate=")),
        "{response}"
    );
    assert_eq!(response.header("cache-control"), Some("no-store"));
}

#[test]
fn the_upstream_gets_the_challenge_back() {
    for (pkce, forwarded) in [("", true), ("to_upstream = \"strip\"", false)] {
        for entry in ["", "\nentry = \"rewrite\""] {
            let rig = Rig::pkce(&format!("{pkce}{entry}"));
            let authorization = rig.authorization();
            let answer = rig.sign_in(&authorization);
            assert_eq!(answer.params.get("state"), authorization.state());
            let seen = rig.upstream.ledger().remove(0);
            let params = seen.query_params();
            let challenge = s256(&authorization.verifier);
            assert_eq!(
                params.get("code_challenge"),
                forwarded.then_some(challenge.as_str())
            );
            assert_eq!(
                params.get("code_challenge_method"),
                forwarded.then_some("S256")
            );
            assert_ne!(params.get("state"), authorization.state());
            for name in [
                "client_id",
                "redirect_uri",
                "scope",
                "nonce",
                "response_type",
            ] {
                assert_eq!(params.get(name), authorization.params.get(name));
            }
            assert_token(&rig.redeem(&authorization, answer.code()));
        }
    }
}

#[test]
fn with_rewrite_a_fresh_request_is_forwarded_at_once() {
    let rig = Rig::pkce("entry = \"rewrite\"");
    let authorization = rig.authorization();
    let response = rig.enter(&authorization);
    assert_eq!(response.status, 302, "{response}");
    assert_eq!(rig.upstream.ledger().len(), 1);
    let code = rig.code_for(&authorization);
    assert_token(&rig.redeem(&authorization, &code));
}

#[test]
fn the_gates_cookie_is_not_forwarded_to_the_upstream() {
    let rig = Rig::new();
    let response = rig.enter(&rig.authorization());
    let cookie = cookie_of(&response).expect("a cookie");
    let location = response.header("location").expect("a location").to_owned();
    let both = format!("sid=1; {cookie}; theme=dark");
    for (sent, seen) in [
        (both.as_str(), Some("sid=1; theme=dark")),
        (cookie.as_str(), None),
    ] {
        rig.get_with(&location, &[("Cookie", sent)]);
        let request = rig.upstream.ledger().pop().expect("a request");
        assert_eq!(request.header("cookie"), seen);
    }
}

#[test]
fn an_absent_bare_or_empty_state_comes_back_as_it_was() {
    for entry in ["redirect", "rewrite"] {
        let rig = Rig::pkce(&format!("entry = \"{entry}\""));
        for (sent, back) in [("", ""), ("&state", "&state"), ("&state=", "&state=")] {
            let authorization = rig.authorization().without("state");
            let mut response = rig.get(&format!("{}{sent}", target(&authorization)));
            if response.status == 303 {
                response = rig.get(response.header("location").expect("a location"));
            }
            let location = response.header("location").expect("a location");
            let (_, query) = location.split_once('?').expect("a query");
            let code = query.strip_prefix("code=").expect("a code");
            let (code, state) = code.split_at(code.find('&').unwrap_or(code.len()));
            assert!(is_handle(Purpose::Code, code), "{location}");
            assert_eq!(state, back, "{entry} {sent:?}: {location}");
        }
    }
}

#[test]
fn a_posted_request_becomes_a_get() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    let response = rig.post("/authorize", &[], &authorization.params.encoded());
    assert_eq!(response.status, 303, "{response}");
    assert!(rig.upstream.ledger().is_empty());
    let location = response.header("location").expect("a location").to_owned();
    let answer = authorization_response(&rig.get(&location), &authorization);
    assert_token(&rig.redeem(&authorization, answer.expect("an answer").code()));
    assert_eq!(rig.upstream.ledger()[0].method(), "GET");
}

#[test]
fn a_posted_request_that_is_too_long_for_a_url_is_forwarded_at_once() {
    let rig = Rig::new();
    let authorization = rig.authorization().with("claims", &"c".repeat(20_000));
    let mut response = rig.post("/authorize", &[], &authorization.params.encoded());
    if response.status == 303 {
        response = rig.get(response.header("location").expect("a location"));
    }
    let answer = authorization_response(&response, &authorization);
    let answer = answer.unwrap_or_else(|| panic!("no authorization response: {response}"));
    assert_token(&rig.redeem(&authorization, answer.code()));
}

/// A headless sign-in: the request has credentials, which must not end up in a URL.
#[test]
fn a_request_with_credentials_is_forwarded_at_once() {
    let rig = Rig::new();
    for (fields, extra) in [
        (vec![], "&username=u&password=p%20w+x&lang=%C3%a9"),
        (vec![("Authorization", "Basic dTpw")], ""),
    ] {
        let authorization = rig.authorization();
        let body = format!("{}{extra}", authorization.params.encoded());
        let before = rig.upstream.ledger().len();
        let response = rig.post("/authorize", &fields, &body);
        assert_eq!(response.status, 302, "{response}");
        let seen = rig.upstream.ledger().remove(before);
        assert_eq!(seen.method(), "POST");
        assert_eq!(seen.query(), "");
        assert!(seen.text().ends_with(extra) || extra.is_empty(), "{seen:?}");
        assert_eq!(
            seen.header("content-length"),
            Some(seen.body.len().to_string().as_str())
        );
        let answer = authorization_response(&response, &authorization);
        let answer = answer.expect("an answer");
        assert_eq!(answer.params.get("state"), authorization.state());
        assert_token(&rig.redeem(&authorization, answer.code()));
    }
    let authorization = rig.authorization();
    let response = rig.get_with(&target(&authorization), &[("Authorization", "Basic dTpw")]);
    assert_eq!(response.status, 302, "{response}");
}

#[test]
fn with_rewrite_a_form_next_to_a_complete_request_is_forwarded() {
    let rig = Rig::pkce("entry = \"rewrite\"");
    let authorization = rig.authorization();
    let again = "user=u&client_id=pub&password=p";
    for form in ["user=u&password=p", again] {
        let response = rig.post(&target(&authorization), &[], form);
        assert_eq!(response.status, 302, "{response}");
        let seen = rig.upstream.ledger().pop().expect("a request");
        assert_eq!(seen.text(), form);
    }
    let response = rig.post(&target(&authorization), &[], "client_id=other&user=u");
    assert_page(&response, 400, "malformed_request");
    let body = authorization.params.clone().without("client_id").encoded();
    assert_page(
        &rig.post("/authorize?client_id=pub", &[], &body),
        400,
        "malformed_request",
    );
    assert_eq!(rig.upstream.ledger().len(), 2);
}

#[test]
fn other_requests_at_the_authorization_path_pass() {
    let rig = Rig::new();
    rig.upstream.answer_with(Shape::Login);
    for target in [
        "/authorize",
        "/authorize?",
        "/authorize?lang=de&lang=en",
        "/authorize?x=%ff",
    ] {
        assert_eq!(rig.get(target).status, 200, "{target}");
        assert_eq!(
            rig.upstream.ledger().pop().expect("a request").target(),
            target
        );
    }
}

#[test]
fn ambiguous_requests_are_refused_and_never_reach_the_upstream() {
    let rig = Rig::new();
    let good = target(&rig.authorization());
    for (bad, violation) in [
        (format!("{good}&client_id=pub"), "duplicate_parameter"),
        (format!("{good}&scope=x"), "duplicate_parameter"),
        (
            format!("{good}&anything=1&anything=1"),
            "duplicate_parameter",
        ),
        (format!("{good}&Client_Id=pub"), "malformed_request"),
        (format!("{good}&code.challenge=x"), "malformed_request"),
        (format!("{good}&x=%zz"), "malformed_request"),
        (format!("{good}&x=%ff"), "malformed_request"),
        (format!("{good}&x=%00"), "malformed_request"),
        (format!("{good}&request=e30.e30."), "request_object_refused"),
        (
            format!("{good}&request_uri=urn:x"),
            "request_object_refused",
        ),
        (
            "/authorize?client_id=pub".to_owned(),
            "missing_response_type",
        ),
        (good.replace("client_id=pub&", ""), "missing_client"),
        (good.replace("S256", "s256"), "method_not_allowed"),
        (good.replace("S256", "plain"), "method_not_allowed"),
        (
            good.replace("&code_challenge_method=S256", ""),
            "method_not_allowed",
        ),
        (
            good.replace("&code_challenge=", "&code_challenge=x"),
            "malformed_challenge",
        ),
        (
            good.replace("response_type=code&", "response_type=token&"),
            "response_type_not_allowed",
        ),
        (
            format!("{good}&response_mode=jwt"),
            "response_mode_not_allowed",
        ),
    ] {
        assert_page(&rig.get(&bad), 400, violation);
    }
    assert!(rig.upstream.ledger().is_empty());
}

#[test]
fn an_authorization_request_is_a_get_or_a_form() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    let (good, form) = (target(&authorization), authorization.params.encoded());
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "get"] {
        let response = rig.send(&request(method, &good, &[], None));
        assert_eq!(response.status, 405, "{method}: {response}");
    }
    let mut connection = rig.connect();
    connection.send(&request("HEAD", &good, &[], None));
    let response = connection.response_to_head().expect("an answer");
    assert_eq!((response.status, response.header("location")), (405, None));

    assert_eq!(
        rig.send(&request("GET", &good, &[], Some("a=b"))).status,
        400
    );
    for content_type in [
        "application/json",
        "text/plain",
        "multipart/form-data; boundary=x",
    ] {
        let response = rig.post("/authorize", &[("Content-Type", content_type)], &form);
        assert_eq!(response.status, 415, "{content_type}: {response}");
    }
    let compressed = [("Content-Encoding", "gzip")];
    assert_eq!(rig.post("/authorize", &compressed, &form).status, 415);
    assert!(rig.upstream.ledger().is_empty());
}

#[test]
fn paths_that_some_server_treats_as_an_endpoint_are_refused() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    let form = authorization.redemption(&code).encoded();
    let before = rig.upstream.ledger().len();
    for path in [
        "/token/",
        "/TOKEN",
        "/%74oken",
        "/token;x=y",
        "/x/../token",
        "/token.json",
        "/token%20",
        "/x/%2e%2e/token",
    ] {
        assert_refused_path(&rig, &request("POST", path, &[], Some(&form)));
    }
    for path in ["/authorize/", "/Authorize", "/authoriz%65"] {
        let query = authorization.params.encoded();
        assert_refused_path(&rig, &request("GET", &format!("{path}?{query}"), &[], None));
    }
    assert_eq!(rig.upstream.ledger().len(), before);
    // The gate forwards the path that it matched.
    rig.vouch(&authorization);
    assert_token(&rig.post("//token", &[], &form));
    assert_eq!(rig.forwarded(), 1);
}

#[track_caller]
fn assert_refused_path(rig: &Rig, bytes: &[u8]) {
    let response = rig.send(bytes);
    assert_eq!(response.status, 400, "{response}");
}

/// django-allauth's consent form has a field named `request`; an authorization request with a request object also has other
/// parameters (RFC 9101 section 5).
#[test]
fn a_form_of_the_server_may_have_a_field_named_request() {
    let rig = Rig::new();
    for body in [
        "csrf=x&scopes=openid&scopes=email&request=SIGNED&action=grant",
        "csrf=x&request_uri=%2Fback&action=grant",
        "request=e30.e30.&request_uri=&scope=a&submit=Allow",
    ] {
        let ok = Act::Say(reply("200 OK", &[], b"ok"), Then::GoOn);
        rig.upstream.once("/authorize", ok);
        let response = rig.post("/authorize?next=1", &[], body);
        assert_eq!(response.status, 200, "{response}");
        let seen = rig.upstream.requests_to("/authorize").pop().expect("one");
        assert_eq!(seen.text(), body);
    }
    let before = rig.upstream.ledger().len();
    for (target, body) in [
        ("/authorize", "client_id=pub&csrf=x&request=e30.e30."),
        ("/authorize", "request=e30.e30.&scope=a"),
        ("/authorize", "response_type=code&request_uri=urn:x"),
        ("/authorize", "client_id=&request=e30.e30."),
        ("/authorize", "Client_Id=pub&request=e30.e30."),
        ("/authorize?client_id=pub", "request=e30.e30."),
        ("/authorize?response_type=code", "request=e30.e30."),
        ("/authorize?request=e30.e30.", "csrf=x"),
        ("/authorize?request=e30.e30.", "request=e30.e30."),
    ] {
        let response = rig.post(target, &[], body);
        assert!(response.status == 400, "{target} {body}: {response}");
    }
    assert_eq!(rig.get("/authorize?request=e30.e30.").status, 400);
    assert_eq!(rig.upstream.ledger().len(), before);
}
