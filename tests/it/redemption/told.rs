//! What developers and operators read about a refusal: correct texts, and log lines with client and reason.

use serde_json::Value;

use super::assert_page;
use crate::attacks::multipart;
use crate::support::client::assert_refused;
use crate::support::params::{Params, unguessable};
use crate::support::rig::{Rig, request};

fn decisions(rig: &Rig, violation: &str) -> Vec<Value> {
    let log = rig.gate.log_until(|log| log.contains(violation));
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines
        .filter(|line: &Value| line["event"] == "decision" && line["violation"] == violation)
        .collect()
}

#[test]
fn every_refused_code_gets_the_same_text_which_names_all_causes() {
    let rig = Rig::new();
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    let right = authorization.redemption(&code);
    let texts: Vec<String> = [
        right
            .clone()
            .with("redirect_uri", "https://client.test/cb/"),
        right.clone().with("client_id", "other"),
        right.clone().with("code_verifier", &unguessable()),
        right.clone().with("code", "unknown"),
    ]
    .iter()
    .map(|wrong| {
        let response = rig.token(wrong);
        assert_refused(&response, "invalid_grant");
        response.json()["error_description"].to_string()
    })
    .collect();
    for text in &texts {
        assert_eq!(text, &texts[0], "one text");
        for word in ["code", "code_verifier", "redirect_uri", "client"] {
            assert!(text.contains(word), "{text}");
        }
    }
}

#[test]
fn a_missing_response_type_is_an_invalid_request() {
    let rig = Rig::new();
    for request in [
        rig.authorization().without("response_type"),
        rig.authorization().with("response_type", ""),
    ] {
        let page = rig.enter(&request);
        assert_page(&page, 400, "missing_response_type");
        assert!(!page.text().contains("unsupported_response_type"), "{page}");
    }
    assert!(rig.upstream.ledger().is_empty());
}

#[test]
fn a_malformed_request_is_logged_with_its_client_and_a_reason() {
    let basic = ("Authorization", "Basic ZXJwOnM=");
    for mode in ["report", "enforce"] {
        let rig = Rig::pkce(&format!("mode = \"{mode}\"")).unguarded();
        let code = "grant_type=authorization_code&code=x";
        let requests = [
            request(
                "POST",
                "/token",
                &[basic],
                Some(&format!("{code}&client_secret=s")),
            ),
            request("POST", "/token", &[basic], Some(&format!("{code}&x=%zz"))),
            request(
                "POST",
                "/token?x=1",
                &[],
                Some(&format!("{code}&client_id=erp")),
            ),
            request(
                "POST",
                "/token",
                &[],
                Some("client_id=erp&client_id=erp&code=x"),
            ),
            request("POST", "/token", &[], Some("client_id=erp&CODE[hunter2]=x")),
            request("GET", "/token?client_id=erp", &[], None),
            request(
                "GET",
                "/authorize?response_type=code&client_id=erp&x=%zz",
                &[],
                None,
            ),
            request(
                "POST",
                "/authorize",
                &[],
                Some("response_type=code&client_id=erp&Request=x"),
            ),
        ];
        for request in &requests {
            rig.send(request);
        }
        let duplicates = decisions(&rig, "duplicate_parameter");
        assert_eq!(duplicates.len(), 1);
        assert_eq!(
            duplicates[0]["reason"],
            "the parameter client_id occurs more than once"
        );
        let last = |log: &str| log.matches("malformed_request").count() == requests.len() - 1;
        let log = rig.gate.log_until(last);
        assert!(!log.contains("hunter2"), "{log}");
        for line in decisions(&rig, "malformed_request")
            .iter()
            .chain(&duplicates)
        {
            assert_eq!(line["client"], "erp", "{line}");
            let reason = line["reason"].as_str();
            assert!(reason.is_some_and(|reason| reason.len() > 9), "{line}");
        }
    }
}

/// The command in README.md that lists affected clients shows a client and a reason for each of them.
#[test]
fn a_refused_request_at_another_path_is_logged_with_its_client_and_a_reason() {
    const FORM: &str = "grant_type=authorization_code&code=hunter2-hunter2";
    let basic = ("Authorization", "Basic ZXJwOnM=");
    let document = ("Content-Type", "application/json");
    let parts = ("Content-Type", "multipart/form-data; boundary=b");
    let erp = format!("{FORM}&client_id=erp");
    for (codes, mode) in [
        ("handle", "report"),
        ("upstream", "report"),
        ("handle", "enforce"),
        ("upstream", "enforce"),
    ] {
        let rig = Rig::pkce(&format!("mode = \"{mode}\"\ncodes = \"{codes}\"")).unguarded();
        let mut elsewhere = vec![
            request("POST", "/v2/token", &[], Some(&erp)),
            request("POST", "/v2/token", &[basic], Some(FORM)),
            request("GET", &format!("/v2/token?{erp}"), &[], None),
            request("PUT", "/v2/token?client_id=erp", &[], Some(FORM)),
            request(
                "POST",
                "/v2/token",
                &[document],
                Some("{\"a\":{\"grant_type\":\"x\",\"client_id\":\"erp\"}}"),
            ),
            request(
                "POST",
                "/v2/token",
                &[parts],
                Some(&multipart(&Params::from_query(&erp), "b")),
            ),
            request("POST", "/authorize", &[], Some(&erp)),
        ];
        if (codes, mode) == ("upstream", "enforce") {
            let code = rig.code_for(&rig.authorization());
            let packed = ("Content-Encoding", "gzip");
            elsewhere.push(request(
                "GET",
                &format!("/x?client_id=erp&y={code}"),
                &[],
                None,
            ));
            elsewhere.push(request("POST", "/x?client_id=erp", &[packed], Some("zzz")));
        }
        let others = [
            request("POST", "/Token", &[], Some(&erp)),
            request("GET", "/authorize/?client_id=erp", &[], None),
            request("GET", "/x?client_id=erp", &[], Some("a=b")),
        ];
        for bytes in elsewhere.iter().chain(&others) {
            rig.send(bytes);
        }
        let last = |log: &str| log.contains("a GET request with a body");
        let log = rig.gate.log_until(last);
        assert!(!log.contains("hunter2"), "{log}");
        let named = |violation| {
            let lines = decisions(&rig, violation);
            for line in &lines {
                assert_eq!(line["client"], "erp", "{line}");
                let decision = if mode == "report" {
                    "reported"
                } else {
                    "refused"
                };
                assert_eq!(line["decision"], decision, "{line}");
            }
            lines
        };
        let lines = named("token_request_elsewhere");
        assert_eq!(lines.len(), elsewhere.len(), "{lines:#?}");
        for line in lines {
            let reason = line["reason"].as_str();
            assert!(reason.is_some_and(|reason| reason.len() > 9), "{line}");
        }
        assert_eq!(named("ambiguous_path").len(), 2);
        assert_eq!(named("malformed_request").len(), 1);
    }
}

#[test]
fn an_ambiguous_client_is_not_logged() {
    let rig = Rig::new();
    for body in [
        "client_id=a&client_id=b&code=x",
        "client_id=&code=x&code=y",
        "code=x&code=y",
    ] {
        rig.post("/token", &[], body);
    }
    let log = rig
        .gate
        .log_until(|log| log.matches("duplicate_parameter").count() == 3);
    assert!(!log.contains("\"client\""), "{log}");
}
