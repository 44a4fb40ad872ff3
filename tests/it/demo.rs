//! `pkce-gate demo`, as the README describes it.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::support::http::{Request, resolve};

const CODE_STAYED: &str =
    "[ok] The legacy server's code never reached the browser, the application or the attacker";
const OWN_STATE: &str = "[ok] The application got its own state back";
const ONE_REQUEST: &str =
    "[ok] Through the gate, one token request reached the legacy server: the right one";

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pkce-gate"));
    command.arg("demo").args(arguments).stdin(Stdio::null());
    command
}

/// A demo that waits for visitors.
pub(crate) struct Running {
    process: Child,
    home: String,
    /// The origins of the gate and of the legacy server.
    pub(crate) gate: String,
    pub(crate) upstream: String,
    /// Held open: a demo stops when its terminal is gone, which is another test.
    _out: BufReader<ChildStdout>,
}

impl Running {
    pub(crate) fn start() -> Self {
        let mut process = demo(&["--port", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        let mut lines = Vec::new();
        while !lines
            .last()
            .is_some_and(|line: &String| line.starts_with("open "))
        {
            let mut line = String::new();
            assert_ne!(out.read_line(&mut line).unwrap(), 0, "the demo has ended");
            lines.push(line);
        }
        let said = |name: &str| {
            let mut words = lines.iter().map(|line| line.split_whitespace());
            let found =
                words.find_map(|mut words| (words.next()? == name).then(|| words.next())?);
            found.expect("the demo says it").to_owned()
        };
        Self {
            process,
            home: said("open"),
            gate: said("gate"),
            upstream: said("upstream"),
            _out: out,
        }
    }

    /// Sends the signal, and returns the exit code. The demo must stop at once.
    fn ends_after(mut self, signal: &str) -> Option<i32> {
        let kill = format!("kill -{signal} {}", self.process.id());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
        // Five seconds: less than the drain time of a gate in production.
        for _ in 0..3000 {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code();
            }
            sleep(Duration::from_millis(10));
        }
        panic!("the demo does not stop after {signal}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.kill().ok(); // it may have exited already
        self.process.wait().ok();
    }
}

#[test]
fn scripted_plays_all_scenes_with_the_promised_results() {
    let output = demo(&["--scripted"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    let verdicts: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with('['))
        .collect();
    let expected = [
        // Log in with PKCE
        "[ok] The application redeems it: token issued",
        CODE_STAYED,
        OWN_STATE,
        ONE_REQUEST,
        // Log in without PKCE
        "[ok] The request is refused, and the error names the missing parameter",
        "[ok] There is no code to steal",
        OWN_STATE,
        "[ok] No request reached the legacy server",
        // Steal the code
        "[ok] The attacker, without a verifier: refused, invalid_grant",
        "[ok] The attacker, with a made-up verifier: refused, invalid_grant",
        "[ok] The attacker, as another client: refused, invalid_grant",
        "[ok] The attacker, around the gate: refused, invalid_grant",
        "[ok] The application, after all that: token issued",
        CODE_STAYED,
        OWN_STATE,
        ONE_REQUEST,
        // Replay a code, and steal one without the gate
        "[ok] The application, once: token issued",
        "[ok] The same request again: refused, invalid_grant",
        "[!!] The attacker, at the legacy server without the gate: token issued",
        CODE_STAYED,
        OWN_STATE,
        ONE_REQUEST,
    ];
    assert_eq!(verdicts, expected, "{text}");
    assert!(text.contains("code challenge required"), "{text}");
    assert!(text.ends_with("All outcomes were as expected.\n"), "{text}");
}

#[test]
fn the_page_shows_the_exchanges_and_the_demo_ends_with_sigterm() {
    let running = Running::start();
    let home = running.home.clone() + "/";
    let page = Request::get(&home).send();
    assert_eq!(page.status, 200);
    for title in ["Log in with PKCE", "Log in without PKCE", "Steal the code"] {
        assert!(page.text().contains(title), "{page}");
    }
    for elsewhere in ["<script", "src=", "@import", "url("] {
        assert!(!page.text().contains(elsewhere), "{elsewhere}: {page}");
    }
    let answer = Request::post(&(home.clone() + "run/steal"), String::new()).send();
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, Some("/#steal"))
    );
    let page = Request::get(&home).send();
    for told in [
        "The attacker, around the gate: refused, invalid_grant",
        "The application, after all that: token issued",
        "handle, in place of the code",
        "own code</span>",
    ] {
        assert!(page.text().contains(told), "{told}: {page}");
    }
    assert_eq!(running.ends_after("TERM"), Some(0));
}

#[test]
fn the_applications_sign_in_leads_to_the_gate_and_the_demo_ends_with_sigint() {
    let running = Running::start();
    let start = format!("{}/start/login", running.home);
    let answer = Request::get(&start).send();
    let url = answer.header("location").unwrap().to_owned();
    assert!(url.contains("code_challenge_method=S256"), "{url}");
    let entry = Request::get(&url).send();
    let form = Request::get(&resolve(&url, entry.header("location").unwrap())).send();
    assert!(form.text().contains("password"), "{form}");
    let metadata =
        url.split("/oauth/").next().unwrap().to_owned() + "/.well-known/oauth-authorization-server";
    let metadata = Request::get(&metadata).send().json();
    assert_eq!(
        metadata["code_challenge_methods_supported"],
        serde_json::json!(["S256"])
    );
    let callback = format!("{}/callback?code=x&state=unknown", running.home);
    assert_eq!(Request::get(&callback).send().status, 400);
    assert_eq!(running.ends_after("INT"), Some(0));
}

#[test]
fn a_port_that_was_asked_for_and_is_taken_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = demo(&["--port", &port, "--scripted"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(
        complaint.contains(&format!("cannot listen on 127.0.0.1:{port}")),
        "{complaint}"
    );
}
