//! A server, with or without a gate in front of it, and programs that sign a user in.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use crate::support::agent::{Agent, Place, Transcript};
use crate::support::fixture::{free_port, program, serve};
use crate::support::gate::Gate;
use crate::support::http::Request;
use crate::support::params::{Params, s256, unguessable};
use crate::support::servers::Ledger;

/// A server that a gate can stand in front of.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) program: &'static str,
    /// For its environment.
    pub(super) variables: &'static [(&'static str, &'static str)],
    pub(super) authorization: &'static str,
    pub(super) token: &'static str,
    /// Of dynamic client registration.
    pub(super) registration: &'static [&'static str],
    /// The path of its issuer.
    pub(super) issuer_path: &'static str,
}

/// No metadata, no PKCE.
pub(super) const OAUTH2_SERVER: Target = Target {
    program: "servers/oauth2-server.cjs",
    variables: &[],
    authorization: "/oauth/authorize",
    token: "/oauth/token",
    registration: &[],
    issuer_path: "",
};

/// `OpenID` metadata that lists S256, but no verifier is needed.
pub(super) const OAUTH2_MOCK_SERVER: Target = Target {
    program: "servers/oauth2-mock-server.mjs",
    variables: &[],
    authorization: "/authorize",
    token: "/token",
    registration: &[],
    issuer_path: "",
};

/// RFC 8414 metadata at a path where no client looks for it.
pub(super) const DJANGO_OAUTH_TOOLKIT: Target = Target {
    program: "servers/django_oauth_toolkit.py",
    variables: &[("OPENID", "off")],
    authorization: "/o/authorize/",
    token: "/o/token/",
    registration: &["/o/register/"],
    issuer_path: "/o",
};

/// The redirect URIs of the client `pub`, by the program that listens there.
pub(super) struct Ports {
    pub(super) conformance: u16,
    pub(super) mcp_remote: u16,
}

pub(super) struct Scene {
    target: &'static Target,
    server: String,
    /// What clients use: the gate's, or the server's own.
    pub(super) url: String,
    pub(super) ports: Ports,
    pub(super) received: Transcript,
    gate: Option<Gate>,
    _process: Child,
}

impl Scene {
    /// Only the server.
    pub(super) fn bare(target: &'static Target) -> Self {
        Self::start(target, None)
    }

    /// With a gate that writes the metadata that the server lacks.
    pub(super) fn gated(target: &'static Target) -> Self {
        Self::start(target, Some(free_port()))
    }

    fn start(target: &'static Target, gate: Option<u16>) -> Self {
        let port = free_port();
        let server = format!("http://127.0.0.1:{port}");
        let url = gate.map_or(server.clone(), |gate| format!("http://127.0.0.1:{gate}"));
        let ports = Ports {
            conformance: free_port(),
            mcp_remote: free_port(),
        };
        let mut command = program(target.program);
        command
            .args([&port.to_string(), &url])
            .envs(target.variables.iter().copied())
            .env(
                "REDIRECT_URIS",
                format!("{} {}", ports.conformance(), ports.mcp_remote()),
            );
        let process = serve(command);
        let gate = gate.map(|gate| Gate::start(&config(target, &server, gate)));
        Self {
            target,
            server,
            url,
            ports,
            received: Arc::default(),
            gate,
            _process: process,
        }
    }

    pub(super) fn issuer(&self) -> String {
        format!("{}{}", self.url, self.target.issuer_path)
    }

    /// Whether a client gets a token that sends no verifier, after a request with or without a challenge.
    pub(super) fn grants_without_a_verifier(&self, with_challenge: bool) -> bool {
        let redirect_uri = self.ports.conformance();
        let mut request = Params::default()
            .with("response_type", "code")
            .with("client_id", "pub")
            .with("redirect_uri", &redirect_uri)
            .with("state", &unguessable());
        if with_challenge {
            request = request
                .with("code_challenge", &s256(&unguessable()))
                .with("code_challenge_method", "S256");
        }
        let url = format!(
            "{}{}?{}",
            self.url,
            self.target.authorization,
            request.encoded()
        );
        let Place::Client(answer) = self.agent(&redirect_uri).sign_in(&url) else {
            return false;
        };
        let Some(code) = answer.params.get("code") else {
            return false;
        };
        let form = Params::default()
            .with("grant_type", "authorization_code")
            .with("code", code)
            .with("redirect_uri", &redirect_uri)
            .with("client_id", "pub");
        let url = format!("{}{}", self.url, self.target.token);
        Request::post(&url, form.encoded()).send().status == 200
    }

    fn agent(&self, redirect_uri: &str) -> Agent {
        Agent::new(redirect_uri, Arc::clone(&self.received))
    }

    pub(super) fn run(&self, command: Command, deliver: Deliver) -> (String, bool) {
        run(command, deliver, &self.received)
    }

    pub(super) fn ledger(&self) -> Ledger {
        let answer = Request::get(&format!("{}/__ledger", self.server)).send();
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error} in {answer}"))
    }
}

/// Runs a program that prints the URL of an authorization request, and signs a user in there. Returns what it prints, and whether
/// it succeeds.
pub(super) fn run(mut command: Command, deliver: Deliver, received: &Transcript) -> (String, bool) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut input = child.stdin.take().expect("stdin is a pipe");
    let output = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
    let mut text = String::new();
    let mut is_delivered = false;
    for line in output.lines().map_while(Result::ok) {
        text.extend([&*line, "\n"]);
        let url = line
            .split(' ')
            .find(|word| word.contains("code_challenge="));
        if let Some(url) = url.filter(|_| !is_delivered) {
            is_delivered = true;
            let arrived = sign_in(url, received);
            match deliver {
                Deliver::ToItsListener => deliver_to(&arrived),
                Deliver::ToItsInput => writeln!(input, "{arrived}").expect("it reads"),
            }
        }
    }
    let is_good = child.wait().expect("it ends").success();
    let mut received = received.lock().expect("the transcript");
    received.extend(text.as_bytes());
    (text, is_good)
}

/// Opens the URL, as a browser does. Programs print the URL of the authorization request before they listen.
fn deliver_to(url: &str) {
    const LOOKS: usize = 1500;
    let is_open = (0..LOOKS).any(|_| {
        let answer = Request::get(url).try_send();
        if answer.is_none() {
            sleep(Duration::from_millis(20));
        }
        answer.is_some()
    });
    assert!(is_open, "nobody listens at {url}");
}

/// The URL at which the program gets the authorization response, after a user has signed in.
fn sign_in(url: &str, received: &Transcript) -> String {
    let (_, query) = url.split_once('?').expect("an authorization request");
    let asked = Params::from_query(query);
    let redirect_uri = asked.get("redirect_uri").expect("a redirect URI");
    let mut agent = Agent::new(redirect_uri, Arc::clone(received));
    let answer = agent.sign_in(url).client();
    format!("{redirect_uri}?{}", answer.params.encoded())
}

/// How a program gets the authorization response.
#[derive(Clone, Copy)]
pub(super) enum Deliver {
    /// It listens at its redirect URI.
    ToItsListener,
    /// It reads the URL from standard input.
    ToItsInput,
}

impl Drop for Scene {
    /// The server's codes are not found in what clients received, nor in the log.
    fn drop(&mut self) {
        let Some(mut gate) = self.gate.take() else {
            return;
        };
        let ledger = (!std::thread::panicking()).then(|| self.ledger());
        let log = gate.stop();
        let Some(ledger) = ledger else {
            println!("the gate's log:\n{log}");
            return;
        };
        let received = self.received.lock().expect("the transcript");
        for code in &ledger.codes {
            let is_there = received
                .windows(code.len())
                .any(|window| window == code.as_bytes());
            assert!(
                !is_there && !log.contains(code),
                "the server's own code left: {code}"
            );
        }
    }
}

impl Ports {
    pub(super) fn conformance(&self) -> String {
        format!("http://127.0.0.1:{}/callback", self.conformance)
    }

    pub(super) fn mcp_remote(&self) -> String {
        format!("http://127.0.0.1:{}/oauth/callback", self.mcp_remote)
    }
}

fn config(target: &Target, server: &str, port: u16) -> String {
    let Target {
        authorization,
        token,
        registration,
        issuer_path,
        ..
    } = target;
    format!(
        r#"
[server]
listen = ["127.0.0.1:{port}"]

[admin]
listen = "127.0.0.1:{admin}"

[[upstream]]
url = "{server}"
public_url = "http://127.0.0.1:{port}"

[upstream.endpoints]
authorization = ["{authorization}"]
token = ["{token}"]
registration = {registration:?}

[upstream.metadata]
synthesize = true
issuer = "http://127.0.0.1:{port}{issuer_path}"

[[upstream.client]]
id = "pub"
type = "public"
"#,
        admin = free_port(),
    )
}
