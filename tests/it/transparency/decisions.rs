//! `mode = "enforce"` refuses exactly the requests that `mode = "report"` records.

use std::cell::Cell;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config as Cases, TestRunner};
use serde_json::Value;

use crate::support::client::Authorization;
use crate::support::params::{Params, s256, unguessable};
use crate::support::rig::{Config, Rig, request};
use crate::support::scripted::{Act, Then, reply};

const CLIENTS: &str = r#"
[[upstream.client]]
id = "conf"
type = "confidential"
[[upstream.client]]
id = "old"
methods = ["S256", "plain"]
until = "2999-12-31"
owner = "team@example.com"
reason = "a test"
"#;

/// One of the two gates, and the number of log lines that were read.
struct Side {
    rig: Rig,
    read: Cell<usize>,
    answered: Cell<usize>,
}

impl Side {
    fn new(mode: &str, codes: &str) -> Self {
        let pkce = format!(
            "mode = \"{mode}\"\ncodes = \"{codes}\"\nrequire = \"public\"\n\
             grants = [\"authorization_code\", \"refresh_token\"]"
        );
        let rig = Rig::with(Config {
            pkce: &pkce,
            tables: CLIENTS,
            log: "level = \"debug\"",
            ..Config::default()
        });
        let hello = Act::Say(reply("200 OK", &[], b"hello"), Then::GoOn);
        rig.upstream.on("*", hello);
        Self {
            rig: rig.unguarded(),
            read: Cell::default(),
            answered: Cell::default(),
        }
    }

    /// A sign-in that both gates accept.
    fn sign_in(&self, authorization: &Authorization) -> String {
        self.rig.upstream.once("/authorize", Act::Serve);
        let code = self.rig.code_for(authorization);
        // With handles, the entry is an additional request.
        self.violations(if code.starts_with("pgc") { 2 } else { 1 });
        code
    }

    /// The violations that were refused or recorded for these bytes.
    fn judge(&self, bytes: &[u8], to_head: bool) -> Vec<String> {
        let mut connection = self.rig.connect();
        connection.send(bytes);
        if to_head {
            connection.response_to_head().expect("an answer");
        } else {
            connection.response();
        }
        self.violations(1)
    }

    /// Reads the log until it contains this many more requests.
    fn violations(&self, requests: usize) -> Vec<String> {
        let requests = self.answered.get() + requests;
        loop {
            let lines = self.rig.gate.log_lines(self.read.get());
            let events: Vec<Value> = lines
                .iter()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect();
            let answered = events
                .iter()
                .filter(|event| event["event"] == "answered")
                .count();
            if answered + self.answered.get() < requests {
                std::thread::sleep(std::time::Duration::from_millis(1));
                continue;
            }
            self.answered.set(self.answered.get() + answered);
            self.read.set(self.read.get() + lines.len());
            let decisions = events
                .into_iter()
                .filter(|event| event["event"] == "decision");
            let against = decisions.filter(|event| event["decision"] != "allowed");
            return against
                .map(|event| event["violation"].to_string())
                .collect();
        }
    }
}

/// An authorization request with at most a few mistakes.
fn authorization_request() -> impl Strategy<Value = (String, Vec<u8>)> {
    let method = prop_oneof![6 => Just("GET"), 3 => Just("POST"), 1 => select(vec!["HEAD", "PUT", "OPTIONS"])];
    let path = prop_oneof![9 => Just("/authorize"), 1 => select(vec!["/authorize/", "/Authorize", "//authorize", "/authoriz%65"])];
    let client = prop_oneof![4 => Just("pub"), 2 => Just("conf"), 2 => Just("old"), 1 => Just(""), 1 => Just("?")];
    let kind = prop_oneof![6 => Just("code"), 1 => select(vec!["", "token", "code id_token", "CODE", "none"])];
    let mode =
        prop_oneof![6 => Just("-"), 2 => select(vec!["query", "fragment", "form_post", "jwt", ""])];
    let challenge = prop_oneof![4 => Just("right"), 2 => Just("-"), 1 => select(vec!["", "short", "padded", "hex", "word"])];
    let hash = prop_oneof![4 => Just("S256"), 1 => select(vec!["-", "", "plain", "s256", "none"])];
    let extra = prop_oneof![5 => Just(""), 2 => select(vec![
        "&scope=a&scope=b", "&x=1&x=2", "&Client_Id=pub", "&code.challenge=x", "&request=e30", "&request_uri=urn:x", "&x=%ff", "&x=%zz",
        "&x=%00", "&request=", "&claims=%7B%7D", "&password=p", "&=x", "&resource=a&resource=b", "&code_verifier=x",
    ])];
    let kind_of_body = prop_oneof![8 => Just("application/x-www-form-urlencoded"), 1 => select(vec!["application/json", "text/plain", ""])];
    (
        method,
        path,
        (client, kind, mode),
        (challenge, hash),
        extra,
        kind_of_body,
    )
        .prop_map(
            |(method, path, (client, kind, mode), (challenge, hash), extra, content_type)| {
                let verifier = unguessable();
                let challenge = match challenge {
                    "right" => s256(&verifier),
                    "padded" => s256(&verifier) + "=",
                    "hex" => "0123456789abcdef".repeat(4),
                    "short" => "abc".to_owned(),
                    other => other.to_owned(),
                };
                let state = unguessable();
                let sent = [
                    ("response_type", kind),
                    ("client_id", client),
                    ("redirect_uri", "https://client.test/cb"),
                    ("state", &state),
                    ("response_mode", mode),
                    ("code_challenge", &challenge),
                    ("code_challenge_method", hash),
                ];
                let sent = sent
                    .into_iter()
                    .filter(|(_, value)| !["-", "?"].contains(value));
                let sent: Params = sent
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect();
                let sent = format!("{}{extra}", sent.encoded());
                let bytes = if method == "POST" {
                    request("POST", path, &[("Content-Type", content_type)], Some(&sent))
                } else {
                    request(method, &format!("{path}?{sent}"), &[], None)
                };
                (method.to_owned(), bytes)
            },
        )
}

/// A token request for a code, with at most a few mistakes.
#[derive(Clone, Debug)]
struct Redemption {
    method: &'static str,
    target: &'static str,
    client: &'static str,
    redirect_uri: &'static str,
    grant: &'static str,
    verifier: &'static str,
    code: &'static str,
    extra: &'static str,
    content_type: &'static str,
}

fn redemption() -> impl Strategy<Value = Redemption> {
    let method = prop_oneof![9 => Just("POST"), 1 => select(vec!["GET", "PUT", "HEAD"])];
    let target = prop_oneof![9 => Just("/token"), 2 => select(vec!["/token?", "/token?x=y", "/TOKEN", "/token/", "//token", "/elsewhere"])];
    let client = prop_oneof![8 => Just("same"), 3 => select(vec!["other", "-", "", "basic", "basic other", "two"])];
    let redirect_uri = prop_oneof![8 => Just("https://client.test/cb"), 2 => select(vec!["-", "", "https://client.test/cb/"])];
    let grant = prop_oneof![8 => Just("authorization_code"), 2 => select(vec!["openid", "refresh_token", "-", "", "client_credentials"])];
    let verifier = prop_oneof![4 => Just("right"), 4 => select(vec!["wrong", "-", "", "short", "long", "blank"])];
    let code = prop_oneof![8 => Just("right"), 2 => select(vec!["-", "", "bogus"])];
    let extra = prop_oneof![8 => Just(""), 2 => select(vec!["&code=x", "&CODE=x", "&x=1&x=1", "&resource=a&resource=b", "&x=%zz", "&="])];
    let content_type = prop_oneof![8 => Just("application/x-www-form-urlencoded"), 1 => select(vec!["application/json", ""])];
    (
        method,
        target,
        (client, redirect_uri, grant),
        (verifier, code),
        extra,
        content_type,
    )
        .prop_map(
            |(
                method,
                target,
                (client, redirect_uri, grant),
                (verifier, code),
                extra,
                content_type,
            )| Redemption {
                method,
                target,
                client,
                redirect_uri,
                grant,
                verifier,
                code,
                extra,
                content_type,
            },
        )
}

impl Redemption {
    fn bytes(&self, authorization: &Authorization, code: &str) -> Vec<u8> {
        let own = authorization.params.get("client_id").unwrap_or_default();
        let long = "v".repeat(129);
        let verifier = match self.verifier {
            "right" => authorization.verifier.as_str(),
            "wrong" => "wrong-wrong-wrong-wrong-wrong-wrong-wrong-wrong",
            "long" => &long,
            "blank" => "not a verifier",
            other => other,
        };
        let client = match self.client {
            "same" | "two" => own,
            "basic" | "basic other" => "-",
            other => other,
        };
        let sent = [
            ("grant_type", self.grant),
            (
                "code",
                if self.code == "right" {
                    code
                } else {
                    self.code
                },
            ),
            ("redirect_uri", self.redirect_uri),
            ("client_id", client),
            ("code_verifier", verifier),
        ];
        let sent = sent.into_iter().filter(|(_, value)| *value != "-");
        let sent: Params = sent
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let form = format!("{}{}", sent.encoded(), self.extra);
        let basic = match self.client {
            "basic" => Some(own),
            "basic other" | "two" => Some("other"),
            _ => None,
        };
        let basic = basic.map(|user| format!("Basic {}", STANDARD.encode(format!("{user}:x"))));
        let mut fields = vec![("Content-Type", self.content_type)];
        fields.extend(basic.as_deref().map(|basic| ("Authorization", basic)));
        request(
            self.method,
            self.target,
            &fields,
            Some(&form)
                .filter(|_| self.method != "HEAD")
                .map(String::as_str),
        )
    }
}

fn cases() -> TestRunner {
    TestRunner::new(Cases {
        cases: 250,
        failure_persistence: None,
        ..Cases::default()
    })
}

fn authorization_requests(codes: &str) {
    let (enforce, report) = (Side::new("enforce", codes), Side::new("report", codes));
    let run = cases().run(&authorization_request(), |(method, bytes)| {
        let to_head = method == "HEAD";
        let (refused, recorded) = (
            enforce.judge(&bytes, to_head),
            report.judge(&bytes, to_head),
        );
        prop_assert_eq!(&refused, &recorded, "{}", bytes.escape_ascii());
        Ok(())
    });
    run.unwrap_or_else(|failed| panic!("{failed}"));
    let against = enforce.rig.gate.log().matches("\"refused\"").count();
    assert!(against > 50, "there is something to refuse: {against}");
}

fn token_requests(codes: &str) {
    let (enforce, report) = (Side::new("enforce", codes), Side::new("report", codes));
    // At other paths, enforce searches more than forms for the upstream's own codes; report only records what handles need.
    let comparable = |redemption: &Redemption| {
        codes == "handle"
            || redemption.target != "/elsewhere"
            || redemption.content_type.contains("form")
    };
    let redemptions = redemption().prop_filter("more than forms", comparable);
    let run = cases().run(
        &(redemptions, any::<bool>()),
        |(redemption, confidential)| {
            let authorization = enforce.rig.authorization();
            let authorization = if confidential {
                authorization.without_challenge().with("client_id", "conf")
            } else {
                authorization
            };
            let judge = |side: &Side| {
                let code = side.sign_in(&authorization);
                side.judge(
                    &redemption.bytes(&authorization, &code),
                    redemption.method == "HEAD",
                )
            };
            let (refused, recorded) = (judge(&enforce), judge(&report));
            prop_assert_eq!(refused, recorded, "{:?}", redemption);
            Ok(())
        },
    );
    run.unwrap_or_else(|failed| panic!("{failed}"));
    let refused = enforce.rig.gate.log().matches("\"refused\"").count();
    assert!(refused > 50, "there is something to refuse: {refused}");
}

#[test]
fn of_authorization_requests_enforce_refuses_what_report_records() {
    authorization_requests("handle");
}

#[test]
fn of_authorization_requests_enforce_refuses_what_report_records_with_upstream_codes() {
    authorization_requests("upstream");
}

#[test]
fn of_token_requests_enforce_refuses_what_report_records() {
    token_requests("handle");
}

#[test]
fn of_token_requests_enforce_refuses_what_report_records_with_upstream_codes() {
    token_requests("upstream");
}
