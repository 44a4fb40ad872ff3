//! `@modelcontextprotocol/conformance`, command `authorization`: metadata, and the authorization code grant.

use std::process::Command;

use super::scene::{
    DJANGO_OAUTH_TOOLKIT, Deliver, OAUTH2_MOCK_SERVER, OAUTH2_SERVER, Scene, Target, run,
};
use crate::support::agent::Transcript;
use crate::support::fixture::program;

const RESOURCE: &str = "https://mcp.example/mcp";

/// The conformance tests of an authorization server, with a listener of their own.
fn command(issuer: &str, client: &str, port: u16) -> Command {
    let mut command = program("mcp/node_modules/@modelcontextprotocol/conformance/dist/index.js");
    command
        .args(["authorization", "--url", issuer, "--client-id", client])
        .args(["--port", &port.to_string(), "--resource", RESOURCE]);
    command
}

/// Whether each scenario passes: the metadata, and the grant.
fn scenarios(text: &str) -> [bool; 2] {
    [
        "authorization-server-metadata-endpoint",
        "authorization-code-grant",
    ]
    .map(|scenario| {
        let passed = text.contains(&format!("✓ {scenario}: 1 passed, 0 failed"));
        let failed = text.contains(&format!("✗ {scenario}: 0 passed, 1 failed"));
        assert!(passed != failed, "{scenario}: {text}");
        passed
    })
}

/// Runs both scenarios. Whether each passes.
fn outcome(command: Command, received: &Transcript) -> [bool; 2] {
    let (text, is_good) = run(command, Deliver::ToItsListener, received);
    println!("{text}");
    let found = scenarios(&text);
    assert_eq!(is_good, found == [true, true], "{text}");
    found
}

fn of(scene: &Scene) -> [bool; 2] {
    let command = command(&scene.issuer(), "pub", scene.ports.conformance);
    outcome(command, &scene.received)
}

#[track_caller]
fn conforms_behind_the_gate(target: &'static Target, bare: [bool; 2]) {
    let alone = Scene::bare(target);
    assert_eq!(of(&alone), bare, "without the gate");
    assert!(
        alone.grants_without_a_verifier(false),
        "the server needs no PKCE"
    );

    let scene = Scene::gated(target);
    assert_eq!(of(&scene), [true, true]);
    let ledger = scene.ledger();
    assert_eq!(ledger.answers(), [200], "one token for one sign-in");
    let sent = &ledger.redemptions()[0].body;
    assert!(
        sent.contains("resource=https%3A%2F%2Fmcp.example%2Fmcp"),
        "{sent}"
    );
    for with_challenge in [true, false] {
        assert!(
            !scene.grants_without_a_verifier(with_challenge),
            "the gate does"
        );
    }
    assert_eq!(
        scene.ledger().answers(),
        [200],
        "no code reached the server"
    );
}

#[test]
fn oauth2_server() {
    conforms_behind_the_gate(&OAUTH2_SERVER, [false, false]);
}

/// The conformance tests do not try a code without its verifier, so they do not see that this server's S256 is not true.
#[test]
fn oauth2_mock_server() {
    conforms_behind_the_gate(&OAUTH2_MOCK_SERVER, [true, true]);
}

#[test]
fn django_oauth_toolkit() {
    conforms_behind_the_gate(&DJANGO_OAUTH_TOOLKIT, [false, false]);
}

/// The demonstration's server has metadata, but without S256.
#[test]
#[cfg(feature = "demo")]
fn the_server_of_the_demonstration() {
    use crate::demo::Running;
    use crate::support::fixture::free_port;

    let demo = Running::start();
    let received = Transcript::default();
    let passes = |origin: &str| outcome(command(origin, "demo-native", free_port()), &received);
    assert_eq!(passes(&demo.upstream), [false, false], "without the gate");
    assert_eq!(passes(&demo.gate), [true, true]);
}
