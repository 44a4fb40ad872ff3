//! Metrics as their readers parse them: in the requested format, and without warnings.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::support::fixture::{program, promtool};
use crate::support::http::{Request, Response};
use crate::support::rig::{Config, Rig, request};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A gate that has counted something for each metric.
fn busy() -> Rig {
    let mut rig = Rig::with(Config {
        limits: "headers = 20",
        tables: "[[upstream]]\nname = \"gone\"\nurl = \"http://127.0.0.1:9\"\nprefix = \"/gone\"\n\
                 public_url = \"http://gate.test\"\n\
                 [upstream.endpoints]\nauthorization = [\"/a\"]\ntoken = [\"/t\"]",
        ..Config::default()
    });
    let authorization = rig.authorization();
    let code = rig.code_for(&authorization);
    assert_eq!(rig.redeem(&authorization, &code).status, 200);
    assert_eq!(rig.token(&authorization.redemption(&code)).status, 400);
    for target in ["/authorize?client_id=a", "/gone/x", "/page", "*"] {
        rig.send(&request("GET", target, &[], None));
    }
    rig.send(b"no HTTP at all\r\n\r\n");
    // The gate counts the end of a connection a moment after the client sees it.
    for _ in 0..500 {
        if rig.gate.metric("pkce_gate_connections") == 0 {
            return rig;
        }
        sleep(Duration::from_millis(20));
    }
    panic!("connections stay open");
}

fn scrape(rig: &mut Rig, accept: Option<&str>) -> Response {
    let url = format!("http://{}/metrics", rig.gate.address("admin"));
    let request = Request::get(&url);
    match accept {
        Some(accept) => request.header("Accept", accept).send(),
        None => request.send(),
    }
}

/// Runs the command with this input until it exits.
fn feed(mut command: Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

#[test]
fn promtool_accepts_the_metrics() {
    let mut rig = busy();
    let metrics = scrape(&mut rig, None);
    assert_eq!(metrics.header("content-type"), Some(PROMETHEUS));
    let mut check = promtool();
    check.args(["check", "metrics"]);
    let checked = feed(check, metrics.text());
    let said = [checked.stdout, checked.stderr].concat();
    let said = said.escape_ascii().to_string();
    assert!(
        checked.status.success() && said.is_empty(),
        "{said}{metrics}"
    );
}

#[test]
fn prometheus_client_reads_the_same_from_both_formats() {
    let mut rig = busy();
    let samples = |rig: &mut Rig, accept: &str, media_type: &str, format: &str| {
        let metrics = scrape(rig, Some(accept));
        assert_eq!(metrics.header("content-type"), Some(media_type), "{accept}");
        let mut read = program("clients/metrics.py");
        read.arg(format);
        let read = feed(read, metrics.text());
        let said = read.stderr.escape_ascii();
        assert!(read.status.success(), "{said}{metrics}");
        let samples: serde_json::Value = serde_json::from_slice(&read.stdout).expect("JSON");
        samples
    };
    let older = samples(&mut rig, "text/plain", PROMETHEUS, "prometheus");
    let open =
        "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let newer = samples(&mut rig, open, OPEN_METRICS, "openmetrics");
    assert_eq!(older, newer);
    for counted in [
        "gone",
        "connect",
        "misdirected",
        "malformed_head",
        "replayed_code",
    ] {
        let counted = format!("\"{counted}\"");
        assert!(older.to_string().contains(&counted), "{counted}: {older}");
    }
}
