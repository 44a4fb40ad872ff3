//! `explain` decides as the gate does. Both get the same requests, those of the attack tests among them; then the violations and
//! decisions in the gate's log are compared with the answer of the command.

use std::collections::BTreeMap;
use std::fs;
use std::process::Output;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::attacks::multipart;
use crate::support::client::Authorization;
use crate::support::gate::{file, run, scratch};
use crate::support::params::{Params, encode, unguessable};
use crate::support::rig::{Config, HOST, Rig, request, target};

/// A client in report mode, one with other methods, and one whose name is similar to a strict client's.
const CLIENTS: &str = r#"
[[upstream.client]]
id = "lax"
owner = "a"
until = "2999-12-31"
reason = "a test"
mode = "report"
[[upstream.client]]
id = "plain"
owner = "a"
until = "2999-12-31"
reason = "a test"
methods = ["S256", "plain"]
"#;

const FORM: &str = "application/x-www-form-urlencoded";

/// A request, as the gate gets it and as it is written in a HAR file.
struct Case {
    method: &'static str,
    target: String,
    fields: Vec<(&'static str, String)>,
    body: Option<String>,
}

impl Case {
    fn get(target: impl Into<String>) -> Self {
        Self {
            method: "GET",
            target: target.into(),
            fields: Vec::new(),
            body: None,
        }
    }

    fn post(target: impl Into<String>, body: impl Into<String>) -> Self {
        Self {
            method: "POST",
            body: Some(body.into()),
            ..Self::get(target)
        }
        .with("Content-Type", FORM)
    }

    /// Replaces the field.
    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.fields.retain(|(known, _)| *known != name);
        self.fields.push((name, value.to_owned()));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let fields = self.fields.iter().map(|(name, value)| (*name, &**value));
        let fields: Vec<_> = fields.collect();
        request(self.method, &self.target, &fields, self.body.as_deref())
    }

    fn entry(&self) -> Value {
        let fields = self.fields.iter();
        let fields: Vec<Value> = fields
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect();
        let url = format!("http://{HOST}{}", self.target);
        let mut request = json!({ "method": self.method, "url": url, "headers": fields });
        if let Some(body) = &self.body {
            request["postData"] = json!({ "mimeType": "", "text": body });
        }
        json!({ "request": request })
    }
}

/// Authorization requests, legitimate ones first.
fn authorizations(rig: &Rig) -> Vec<Case> {
    let fresh = || rig.authorization();
    let good = fresh()
        .params
        .get("code_challenge")
        .expect("it has one")
        .to_owned();
    let short = good.split_at(42).0.to_owned();
    let mut all = vec![
        fresh(),
        fresh().with("response_mode", "form_post"),
        fresh().without("redirect_uri"),
        fresh().with("client_id", "lax").without_challenge(),
        fresh()
            .with("client_id", "plain")
            .with("code_challenge_method", "plain"),
        fresh()
            .with("client_id", "plain")
            .without("code_challenge_method"),
        fresh().with("client_id", "LAX").without_challenge(),
        fresh().without_challenge(),
        fresh().without("code_challenge"),
        fresh().without("client_id"),
        fresh().without("response_type"),
        fresh().with("client_id", " pub"),
        fresh().with("request", "e30.e30."),
        fresh().with("client_id", "lax").with("request", "e30.e30."),
        fresh().with("request_uri", "urn:ietf:params:oauth:request_uri:x"),
        fresh().with("redirect_uri", "https://client.test/cb?code=x"),
        fresh()
            .with("client_id", "lax")
            .with("grant_type", "authorization_code"),
        fresh()
            .with("grant_type", "authorization_code")
            .with("code", "x"),
    ];
    let with = |name: &str, values: &[&str]| -> Vec<Authorization> {
        values
            .iter()
            .map(|value| fresh().with(name, value))
            .collect()
    };
    let long = format!("{good}A");
    let padded = format!("{good}=");
    let blank = format!("{short} ");
    let (hex, endless) = ("a".repeat(64), "a".repeat(129));
    let challenges = ["", &short, &long, &padded, &blank, &hex, &endless, "\u{e9}"];
    all.extend(with("code_challenge", &challenges));
    all.extend(with(
        "code_challenge_method",
        &["plain", "s256", "S256 ", "none", "S256,plain", "", "sha256"],
    ));
    all.extend(with(
        "response_type",
        &["token", "code token", "code id_token", "none", "CODE", ""],
    ));
    all.extend(with(
        "response_mode",
        &["query.jwt", "jwt", "x", "web_message", "fragment"],
    ));
    let mut cases: Vec<Case> = all.iter().map(|it| Case::get(target(it))).collect();
    let encoded = || fresh().params.encoded();
    for added in [
        "client_id=pub",
        "code_challenge=",
        "scope=a",
        "CODE_CHALLENGE=x",
        "code.challenge=x",
        "code_challenge[]=x",
        "x=%zz",
        "%ff=x",
        "state=a",
        "resource=a&resource=b",
        "x=1&x=2",
        "=x",
        "a;client_id=b",
        "login_hint=%ff",
    ] {
        cases.push(Case::get(format!("/authorize?{}&{added}", encoded())));
    }
    cases.push(Case::post("/authorize", encoded()));
    cases.push(Case::post(
        "/authorize",
        fresh().without_challenge().params.encoded(),
    ));
    cases.push(Case::post(
        format!("/authorize?{}", encoded()),
        "user=a&password=b",
    ));
    cases.push(Case::post(
        format!("/authorize?{}", encoded()),
        "client_id=other",
    ));
    cases.push(Case::post("/authorize", "user=a&password=b"));
    cases.push(Case::post("/authorize", encoded()).with("Content-Type", "text/plain"));
    cases.push(
        Case::post("/authorize", encoded())
            .with("Content-Type", &format!("{FORM}; charset=utf-16")),
    );
    cases.push(Case::post("/authorize", encoded()).with("Content-Encoding", "gzip"));
    cases.push(
        Case::post(
            "/authorize",
            "{\"client_id\":\"pub\",\"response_type\":\"code\"}",
        )
        .with("Content-Type", "application/json"),
    );
    let kind = "multipart/form-data; boundary=b";
    cases
        .push(Case::post("/authorize", multipart(&fresh().params, "b")).with("Content-Type", kind));
    cases.push(Case {
        method: "HEAD",
        ..Case::get(format!("/authorize?{}", encoded()))
    });
    cases.push(Case {
        method: "PUT",
        ..Case::post("/authorize", encoded())
    });
    cases.push(Case::get(format!("/authorize?{}a=b", "x&".repeat(200))));
    cases
}

/// Token requests whose verdict does not depend on the code, which is alive.
fn redemptions(whole: &Params) -> Vec<Case> {
    const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let post = |params: &Params| Case::post("/token", params.encoded());
    let assertion = |claims: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
    let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
    let with = |name: &str, value: &str| whole.clone().with(name, value);
    let verifier = whole.get("code_verifier").expect("it has one");
    let mut cases: Vec<Case> = [
        whole.clone().without("code_verifier"),
        with("code_verifier", ""),
        with("code_verifier", &"a".repeat(42)),
        with("code_verifier", &"a".repeat(129)),
        with("code_verifier", &format!("{verifier}=")),
        with("code_verifier", &format!("{verifier}\u{e9}")),
        whole.clone().without("client_id"),
        whole.clone().without("code"),
        with("code", ""),
        with("client_id", "pub ").without("code_verifier"),
        with("client_assertion", &assertion("{\"sub\":\"other\"}"))
            .with("client_assertion_type", KIND),
        with("client_assertion", "x.%.y").with("client_assertion_type", KIND),
        Params::default()
            .with("grant_type", "refresh_token")
            .with("refresh_token", "x"),
        Params::default()
            .with("grant_type", "client_credentials")
            .with("client_id", "lax"),
        Params::default()
            .with("grant_type", "sms")
            .with("code", "123456")
            .with("client_id", "pub"),
        Params::default()
            .with("grant_type", "authorization_code")
            .with("client_id", "pub"),
    ]
    .iter()
    .map(post)
    .collect();
    let encoded = whole.encoded();
    for added in [
        "code=x",
        "scope=a&scope=a",
        "CODE=x",
        "code.verifier=x",
        "code[]=x",
        "x=%ff",
        "x=%zz",
        "x=%00",
        "=x",
        "scope=a;code=x",
        "grant_type=x",
        "client[id=x",
    ] {
        cases.push(Case::post("/token", format!("{encoded}&{added}")));
        cases.push(Case::post("/token", format!("{added}&{encoded}")));
    }
    for body in ["{\"code\":\"x\"}", "[1]", "<code/>", "", "\u{feff}a=b"] {
        cases.push(Case::post("/token", body));
    }
    let many = (0..70).map(|at| format!("a{at}=&")).collect::<String>();
    cases.push(Case::post("/token", format!("{many}{encoded}")));
    for query in ["?", "?code=x", "?scope=x"] {
        cases.push(Case::post(format!("/token{query}"), encoded.clone()));
    }
    for kind in [
        "",
        "text/plain",
        "application/json",
        "multipart/form-data; boundary=b",
        &format!("{FORM}; charset=ibm037"),
        &format!("{FORM};q=1"),
    ] {
        cases.push(Case::post("/token", encoded.clone()).with("Content-Type", kind));
    }
    cases.push(Case::post("/token", encoded.clone()).with("Content-Encoding", "gzip"));
    for credentials in [&*basic("other:s"), &basic("pub"), "Basic %%%", &basic(":s")] {
        cases.push(Case::post("/token", encoded.clone()).with("Authorization", credentials));
    }
    let secret = whole.clone().with("client_secret", "x");
    cases.push(post(&secret).with("Authorization", &basic("pub:s")));
    cases.push(Case::get(format!("/token?{encoded}")));
    cases.push(Case {
        method: "PUT",
        ..Case::post("/token", encoded.clone())
    });
    cases.push(Case {
        method: "OPTIONS",
        ..Case::get("/token")
    });
    cases.push(Case {
        method: "OPTIONS",
        ..Case::get("/token?x")
    });
    cases.push(Case::post(
        "/token",
        format!("{encoded}&x={}", "a".repeat(70_000)),
    ));
    cases
}

/// Other paths.
fn others(whole: &Params) -> Vec<Case> {
    let form = whole.encoded();
    let mut cases = Vec::new();
    for path in [
        "/token/",
        "/Token",
        "/%74oken",
        "/x/../token",
        "/token;a",
        "/token.json",
        "/token%00",
        "/authorize/",
        "/AUTHORIZE",
    ] {
        cases.push(Case::post(path, form.clone()));
        cases.push(Case::get(path));
    }
    for path in ["/", "/other/token", "/api"] {
        cases.push(Case::post(path, form.clone()));
        cases.push(Case::get(format!("{path}?{form}")));
        cases.push(Case::get(path));
        cases.push(Case::post(path, "user=a"));
    }
    cases.push(Case {
        method: "GET",
        ..Case::post("/api", "a=b")
    });
    cases.push(Case::get("//token"));
    cases.push(Case::get("/closed"));
    cases
}

/// The decision and the violation of each request, in order. The ids of requests are numbers that are counted up.
fn decided(log: &str) -> BTreeMap<String, (Option<String>, Option<String>)> {
    let mut all = BTreeMap::new();
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    for line in lines {
        let text = |name: &str| line[name].as_str().map(str::to_owned);
        let Some(id) = text("request") else { continue };
        let entry: &mut (Option<String>, Option<String>) = all.entry(id).or_default();
        if line["event"] == "decision" {
            *entry = (text("decision"), text("violation"));
        }
    }
    all
}

fn answered(log: &str) -> usize {
    log.lines()
        .filter(|line| line.contains("\"answered\""))
        .count()
}

fn json_of(output: &Output) -> Value {
    let text = str::from_utf8(&output.stdout).expect("UTF-8");
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[track_caller]
fn compare(pkce: &str) {
    let config = Config {
        log: "level = \"debug\"",
        upstream: "routes.deny = [\"/closed\"]",
        tables: CLIENTS,
        pkce,
        ..Config::default()
    };
    let rig = Rig::with(config).unguarded();
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    let whole = authorization.redemption(&code);
    let mut cases = authorizations(&rig);
    cases.extend(redemptions(&whole));
    cases.extend(others(&whole));
    assert!(cases.len() >= 150);
    let before = answered(&rig.gate.log_until(|log| answered(log) > 1));
    for case in &cases {
        let mut connection = rig.connect();
        connection.try_send(&case.bytes());
        connection.try_response().ok();
    }
    let log = rig
        .gate
        .log_until(|log| answered(log) == before + cases.len());
    let gate: Vec<_> = decided(&log).into_values().skip(before).collect();

    let folder = scratch();
    let toml = file(&folder, "config.toml", &config.render(&rig.upstream));
    let entries: Vec<Value> = cases.iter().map(Case::entry).collect();
    let har = json!({ "log": { "version": "1.2", "entries": entries } });
    let har = file(&folder, "sign-in.har", &har.to_string());
    let (toml, har) = (toml.to_str().expect("UTF-8"), har.to_str().expect("UTF-8"));
    let output = run(&[
        "explain", "--config", toml, "--har", har, "--format", "json",
    ]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let document = json_of(&output);
    fs::remove_dir_all(&folder).ok();

    let explained = document["requests"].as_array().expect("a list");
    assert_eq!((explained.len(), gate.len()), (cases.len(), cases.len()));
    for ((case, explained), (decision, violation)) in cases.iter().zip(explained).zip(gate) {
        let about = format!(
            "{} {}\n{:?}\n{explained:#}",
            case.method, case.target, case.body
        );
        assert_eq!(
            explained["violation"].as_str(),
            violation.as_deref(),
            "{about}"
        );
        if let Some(decision) = decision {
            assert_eq!(explained["decision"], *decision, "{about}");
        }
    }
    let text = document.to_string();
    let state = authorization.state().expect("it has one");
    for secret in [code.as_str(), &authorization.verifier, state] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn explain_decides_as_the_gate() {
    compare("");
}

#[test]
fn explain_decides_as_the_gate_with_codes_of_the_upstream() {
    compare("codes = \"upstream\"");
}

/// Nothing is refused, and everything is judged.
#[test]
fn explain_decides_as_a_gate_that_reports() {
    compare("mode = \"report\"");
}

#[test]
fn explain_decides_as_a_gate_that_only_observes() {
    compare("mode = \"report\"\ncodes = \"upstream\"");
}

/// The same request in every form, and the exit codes.
#[test]
fn all_forms_of_a_request_are_explained_alike() {
    let rig = Rig::new();
    let folder = scratch();
    let toml = file(
        &folder,
        "config.toml",
        &Config::default().render(&rig.upstream),
    );
    let toml = toml.to_str().expect("UTF-8");
    let explain = |arguments: &[&str]| {
        let all = [
            &["explain", "--config", toml, "--format", "json"],
            arguments,
        ]
        .concat();
        run(&all)
    };
    let wrong = Params::default()
        .with("client_id", "app")
        .with("response_type", "code");
    let url = format!("http://{HOST}/authorize?{}", wrong.encoded());
    let elsewhere = url.replace(HOST, "elsewhere.test");
    let curl = format!("curl -s '{url}' -H 'Accept: text/html'");
    for input in [
        &[url.as_str()] as &[&str],
        &["--curl", &curl],
        &["--upstream", "scripted", &elsewhere],
    ] {
        let output = explain(input);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let document = json_of(&output);
        let [only] = &document["requests"].as_array().expect("a list")[..] else {
            panic!("{document}")
        };
        assert_eq!(only["violation"], "missing_challenge", "{document}");
        assert_eq!(only["client"], "app", "{document}");
    }
    let right = target(&rig.authorization());
    let output = explain(&[&format!("http://{HOST}{right}")]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for (arguments, code) in [
        (&["--upstream", "other", &url] as &[&str], 64),
        (&["no_such_code"], 64),
        (&["--curl", "curl $URL"], 64),
        (&["--har", "/no/such/file"], 65),
        (
            &["--request-id", "00000000000000ab", "--log", "/no/such/file"],
            65,
        ),
        (&["--request-id", "x", "--log", toml], 64),
        (&["--entry", "1", &url], 64),
        (&[], 64),
        (&["missing_challenge", "--curl", "curl x"], 64),
        (&["missing_challenge"], 0),
        (&["hex_challenge"], 0),
    ] {
        let output = explain(arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
    }
    fs::remove_dir_all(&folder).ok();
}

/// What the gate has logged is found by the id on its page.
#[test]
fn a_logged_request_is_explained_by_its_id() {
    let rig = Rig::new();
    let target = target(&rig.authorization().without_challenge());
    let answer = rig.get_with(&target, &[("Accept", "application/json")]);
    let id = answer.json()["request_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let log = rig.gate.log_until(|log| log.contains(&id));
    let folder = scratch();
    let log = file(&folder, "gate.log", &log);
    let log = log.to_str().expect("UTF-8");
    let output = run(&["explain", "--request-id", &id, "--log", log]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = str::from_utf8(&output.stdout).expect("UTF-8");
    for part in [
        "missing_challenge",
        "refused",
        "RFC 7636 section 4.3",
        "Send code_challenge",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    fs::remove_dir_all(&folder).ok();
}

/// Codes, verifiers, secrets, passwords and tokens, in every place and in every form of input, right or wrong.
#[test]
fn no_secret_is_printed() {
    let rig = Rig::new();
    let folder = scratch();
    let toml = file(
        &folder,
        "config.toml",
        &Config::default().render(&rig.upstream),
    );
    let toml = toml.to_str().expect("UTF-8");
    let secret = unguessable();
    let mut inputs = Vec::new();
    for form in [
        format!(
            "grant_type=authorization_code&client_id=a&code={secret}&code_verifier={secret}&client_secret={secret}"
        ),
        format!("grant_type=refresh_token&refresh_token={secret}"),
        format!("grant_type=password&username=a&password={secret}"),
        format!("code={secret}&code={secret}"),
        format!("{secret}&{secret}"),
        format!("{secret}=1"),
        format!("code[{secret}]=1"),
        format!("client_id=a;code_verifier={secret}"),
        format!("x={secret}%zz"),
        format!("{{\"code\":\"{secret}\"}}"),
    ] {
        let encoded = encode(&form);
        for target in ["/token", "/authorize", "/api", "/TOKEN"] {
            inputs.push([
                "--curl".to_owned(),
                format!("curl http://{HOST}{target} -u 'a:{secret}' --data-raw '{form}'"),
            ]);
            inputs.push(["--curl".to_owned(), format!("curl -g 'http://{HOST}{target}?{form}' -H 'Cookie: a={secret}' -H 'X-{secret}: {encoded}'")]);
        }
    }
    inputs.push(["--curl".to_owned(), format!("curl -H '{secret}' x")]);
    inputs.push([
        "--curl".to_owned(),
        format!("curl -d @{secret} http://{HOST}/token"),
    ]);
    inputs.push([
        "--curl".to_owned(),
        format!("curl http://a:{secret}@{HOST}/token"),
    ]);
    inputs.push([
        "--curl".to_owned(),
        format!("curl '{secret}\\' -d \"{secret} $x\""),
    ]);
    inputs.push([
        "--curl".to_owned(),
        format!("curl http://{HOST}/reset/{secret}/x"),
    ]);
    for input in inputs {
        for format in ["text", "json"] {
            let output = run(&[
                "explain", "--config", toml, "--format", format, &input[0], &input[1],
            ]);
            let all = [output.stdout, output.stderr].concat();
            let all = str::from_utf8(&all).expect("UTF-8");
            assert!(!all.contains(&secret), "{}: {all}", input[1]);
            assert!(!all.is_empty(), "{}", input[1]);
        }
    }
    fs::remove_dir_all(&folder).ok();
}
