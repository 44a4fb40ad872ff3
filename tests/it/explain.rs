//! `explain` decides as the gate does. Both get the same requests, those of the attack tests among them; then the violations and
//! decisions in the gate's log are compared with the answer of the command.

mod cases;

use std::collections::BTreeMap;
use std::fs;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::gate::{file, run, scratch};
use crate::support::params::{Params, encode, unguessable};
use crate::support::rig::{Config, HOST, Rig, target};
use cases::{Case, authorizations, others, redemptions};

/// A client in report mode, and one with other methods.
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

/// A client in enforce mode.
const STRICT: &str = "[[upstream.client]]\nid = \"lax\"\nmode = \"enforce\"\n";

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
        // Not a decision about an answer of the upstream, which gives codes to all.
        let is_of_answer = line["violation"] == "unbound_code_in_response";
        if line["event"] == "decision" && !is_of_answer && entry.0.is_none() {
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
fn compare(pkce: &str, tables: &str) {
    let config = Config {
        log: "level = \"debug\"",
        upstream: "routes.deny = [\"/closed\"]",
        tables,
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
    // With handles, a sign-in is two requests.
    let before = if pkce.contains("upstream") { 1 } else { 2 };
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
        // A gate that refuses nothing lets the first of these requests redeem the code.
        if pkce.contains("report") && violation.as_deref() == Some("replayed_code") {
            continue;
        }
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
    compare("", CLIENTS);
}

#[test]
fn explain_decides_as_the_gate_with_codes_of_the_upstream() {
    compare("codes = \"upstream\"", CLIENTS);
}

/// Nothing is refused, and everything is judged.
#[test]
fn explain_decides_as_a_gate_that_reports() {
    compare("mode = \"report\"\ncodes = \"handle\"", STRICT);
}

#[test]
fn explain_decides_as_a_gate_that_only_observes() {
    compare("mode = \"report\"\ncodes = \"upstream\"", "");
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
