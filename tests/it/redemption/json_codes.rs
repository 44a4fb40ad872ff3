//! Codes in JSON documents (`code_in_json`).

use crate::support::client::{Authorization, assert_refused, assert_token};
use crate::support::http::Response;
use crate::support::params::{Params, decode};
use crate::support::rig::{Rig, handle_of};
use crate::support::scripted::{Act, Shape, Then, json};

use super::assert_page;

fn rig(shape: Shape, pointer: &str) -> Rig {
    let rig = Rig::pkce(&format!(
        "code_in_json = [{{ path = \"/authorize\", pointer = \"{pointer}\" }}]"
    ));
    rig.upstream.answer_with(shape);
    rig
}

fn answer(rig: &Rig, authorization: &Authorization) -> Response {
    let answer = rig.get(&rig.entry(authorization));
    let code = answer.text().to_owned();
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{code}");
    answer
}

/// The parameters of a URL in an answer.
fn params_of(url: &str) -> Params {
    let (_, query) = url.split_once('?').expect("a query");
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let decoded = |text: &str| decode(text);
    pairs
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

#[test]
fn a_url_in_json_gets_a_handle_and_the_clients_state() {
    let rig = rig(Shape::Json, "/redirect_to");
    let authorization = rig.authorization();
    let answer = answer(&rig, &authorization);
    let url = answer.json()["redirect_to"].as_str().unwrap().to_owned();
    let params = params_of(&url);
    assert!(url.starts_with("https://client.test/cb?"), "{url}");
    assert_eq!(params.get("state"), authorization.state());
    let code = params.get("code").unwrap().to_owned();
    assert_refused(
        &rig.token(&authorization.redemption(&code).without("code_verifier")),
        "invalid_grant",
    );
    assert_token(&rig.redeem(&authorization, &code));
    assert_refused(
        &rig.token(&authorization.redemption(&code)),
        "invalid_grant",
    );
}

#[test]
fn a_code_in_json_is_replaced_and_so_is_the_state_beside_it() {
    let rig = rig(Shape::JsonCode, "/code");
    for state in [Some("a\"b\\c/é"), None] {
        let mut authorization = rig.authorization();
        authorization = match state {
            Some(state) => authorization.with("state", state),
            None => authorization.without("state"),
        };
        let answer = answer(&rig, &authorization).json();
        assert_eq!(answer["state"].as_str(), state);
        let code = answer["code"].as_str().unwrap();
        assert_token(&rig.redeem(&authorization, code));
    }
}

#[test]
fn without_the_place_a_code_in_json_is_not_delivered() {
    for (shape, pointer) in [(Shape::JsonCode, "/other"), (Shape::Json, "/redirect_to/x")] {
        let rig = rig(shape, pointer);
        let answer = rig.get(&rig.entry(&rig.authorization()));
        assert_page(&answer, 502, "cannot be delivered safely");
    }
}

#[test]
fn a_document_that_clients_may_read_in_two_ways_is_not_delivered() {
    for document in [
        r#"{"result":"one","result":"CODE"}"#,
        r#"{"result":"CODE""#,
        r#"{"result":"CODE"} {}"#,
        r#"{"x":{"a":1,"a":2},"result":"CODE"}"#,
    ] {
        let rig = rig(Shape::AsAsked, "/result");
        let entry = rig.entry(&rig.authorization());
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{document}",
            document.len()
        );
        rig.upstream
            .once("/authorize", Act::Say(answer.into_bytes(), Then::GoOn));
        assert_page(&rig.get(&entry), 502, "without doubt");
    }
}

/// A second copy of the code, another code and a code for another redirect URI are refused as in every other carrier.
#[test]
fn an_answer_with_more_than_its_code_is_not_delivered() {
    let rig = rig(Shape::AsAsked, "/result");
    for document in [
        r#"{"result":"RAWCODE-1","note":"your code is RAWCODE-1"}"#,
        r#"{"result":"RAWCODE-1","code":"RAWCODE-2"}"#,
        r#"{"result":"RAWCODE-1","access_token":"secret-token"}"#,
        r#"{"result":"https://evil.test/cb?code=RAWCODE-1&state=HANDLE"}"#,
        r#"{"result":"https://client.test/cb?code=RAWCODE-1&code=RAWCODE-2&state=HANDLE"}"#,
    ] {
        let entry = rig.entry(&rig.authorization());
        let document = document.replace("HANDLE", &handle_of(&entry));
        let value = serde_json::from_str(&document).unwrap();
        rig.upstream
            .once("/authorize", Act::Say(json("200 OK", &value), Then::GoOn));
        assert_page(&rig.get(&entry), 502, "cannot be delivered safely");
    }
}

#[test]
fn answers_without_a_code_pass_as_they_are() {
    let rig = rig(Shape::AsAsked, "/result");
    for document in [
        r#"{"result":null, "type" : "form"}"#,
        r#"{"type":"form","errors":{"base":"invalid_auth"}}"#,
        r#"[{"result":1}]"#,
        "not JSON",
        "",
    ] {
        let entry = rig.entry(&rig.authorization());
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{document}",
            document.len()
        );
        rig.upstream
            .once("/authorize", Act::Say(answer.into_bytes(), Then::GoOn));
        let response = rig.get(&entry);
        assert_eq!((response.status, response.text()), (200, document));
    }
}

/// Posts an authorization request as a JSON object.
fn post(rig: &Rig, authorization: &Authorization, more: &str) -> Response {
    let members = authorization.params.iter();
    let members = members
        .map(|(name, value)| format!("{} : {}", serde_json::json!(name), serde_json::json!(value)));
    let members = members.collect::<Vec<_>>().join(" , ");
    let json = [("Content-Type", "application/json")];
    rig.post("/authorize", &json, &format!("{{ {members}{more} }}"))
}

#[test]
fn an_authorization_request_may_be_json() {
    let rig = rig(Shape::JsonCode, "/code");
    let authorization = rig.authorization();
    let answer = post(
        &rig,
        &authorization,
        ", \"extra\" : [ 1,\t{\"state\":\"mine\"}]",
    );
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(answer.json()["state"].as_str(), authorization.state());
    let code = answer.json()["code"].as_str().unwrap().to_owned();
    let seen = rig.upstream.requests_to("/authorize").remove(0);
    let body = String::from_utf8(seen.content()).unwrap();
    assert!(!body.contains(authorization.state().unwrap()), "{body}");
    assert!(body.contains("\"state\" : \"pgs"), "{body}");
    assert!(
        body.ends_with(", \"extra\" : [ 1,\t{\"state\":\"mine\"}] }"),
        "{body}"
    );
    assert_token(&rig.redeem(&authorization, &code));
}

#[test]
fn an_authorization_request_in_json_is_judged_like_any_other() {
    let rig = rig(Shape::JsonCode, "/code");
    let good = rig.authorization();
    for (authorization, more, error) in [
        (good.clone().without_challenge(), "", "missing_challenge"),
        (
            good.clone().with("code_challenge_method", "plain"),
            "",
            "method_not_allowed",
        ),
        (
            good.clone().with("response_type", "token"),
            "",
            "response_type_not_allowed",
        ),
        (good.clone(), ", \"state\": \"again\"", "malformed_request"),
        (good.clone(), ", \"request\": null", "malformed_request"),
        (good.clone(), ", \"Client_Id\": 1", "malformed_request"),
        (
            good.clone(),
            ", \"grant_type\": \"authorization_code\", \"code\": \"RAWCODE-1\"",
            "token requests are only accepted",
        ),
    ] {
        let answer = post(&rig, &authorization, more);
        assert_eq!(answer.status, 400, "{more}: {answer}");
        assert!(answer.text().contains(error), "{error}: {answer}");
    }
    assert!(rig.upstream.requests_to("/authorize").is_empty());
}

#[test]
fn json_is_refused_where_no_code_comes_in_json() {
    let rig = Rig::new();
    let answer = post(&rig, &rig.authorization(), "");
    assert_eq!(answer.status, 415, "{answer}");
}
