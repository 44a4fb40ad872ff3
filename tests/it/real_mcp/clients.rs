//! Published MCP clients. Each connects to an MCP server that names the gate as its authorization server, signs in, and calls a
//! tool with the token.

use std::process::{Child, Command};

use serde_json::Value;

use super::scene::{DJANGO_OAUTH_TOOLKIT, Deliver, OAUTH2_SERVER, Scene, Target};
use crate::support::fixture::{free_port, program, serve};
use crate::support::gate::scratch;

/// An MCP server whose tokens are those of that issuer.
struct Resource {
    url: String,
    _process: Child,
}

impl Resource {
    fn start(issuer: &str) -> Self {
        let port = free_port();
        let mut command = program("mcp/server.mjs");
        command.args([&port.to_string(), issuer]);
        Self {
            url: format!("http://127.0.0.1:{port}/mcp"),
            _process: serve(command),
        }
    }
}

/// Signs in as that client. The last line that the program prints.
#[track_caller]
fn signs_in_as(client: &str, target: &'static Target, path: &str) -> Value {
    let scene = Scene::gated(target);
    let resource = Resource::start(&scene.issuer());
    let redirect_uri = scene.ports.conformance();
    let mut command = program(path);
    command.args([resource.url.as_str(), client, &redirect_uri]);
    let (text, is_good) = scene.run(command, Deliver::ToItsInput);
    assert!(is_good, "{text}");
    let line = text.lines().rfind(|line| line.starts_with('{'));
    let result: Value = serde_json::from_str(line.unwrap_or_default())
        .unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(result["ok"], true, "{text}");
    let token = result["token"].as_str().expect("a token");
    assert!(!token.is_empty(), "the tool was called with it");
    let ledger = scene.ledger();
    assert_eq!(ledger.answers(), [200]);
    let sent = &ledger.redemptions()[0].body;
    assert!(
        sent.contains("resource="),
        "the token is for this resource: {sent}"
    );
    result
}

#[track_caller]
fn signs_in(target: &'static Target, path: &str) {
    signs_in_as("pub", target, path);
}

/// The server's metadata, which the gate found at the other path, names the registration endpoint.
#[test]
fn a_client_registers_itself_through_the_gate() {
    let result = signs_in_as("", &DJANGO_OAUTH_TOOLKIT, "mcp/typescript_sdk.mjs");
    let id = &result["registration"]["client_id"];
    assert!(id.as_str().is_some_and(|id| !id.is_empty()), "{result}");
}

#[test]
fn the_typescript_sdk_signs_in() {
    signs_in(&OAUTH2_SERVER, "mcp/typescript_sdk.mjs");
}

#[test]
fn the_typescript_sdk_signs_in_at_an_issuer_with_a_path() {
    signs_in(&DJANGO_OAUTH_TOOLKIT, "mcp/typescript_sdk.mjs");
}

#[test]
fn the_python_sdk_signs_in() {
    signs_in(&OAUTH2_SERVER, "mcp/python_sdk.py");
}

#[test]
fn the_python_sdk_signs_in_at_an_issuer_with_a_path() {
    signs_in(&DJANGO_OAUTH_TOOLKIT, "mcp/python_sdk.py");
}

/// It keeps tokens in a folder, and says on standard error what it does.
#[test]
fn mcp_remote_signs_in() {
    let scene = Scene::gated(&OAUTH2_SERVER);
    let resource = Resource::start(&scene.issuer());
    let folder = scratch();
    let inner = program("mcp/node_modules/mcp-remote/dist/client.js");
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec \"$0\" \"$@\" 2>&1"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .args([&resource.url, &scene.ports.mcp_remote.to_string()])
        .args(["--static-oauth-client-info", "{\"client_id\":\"pub\"}"])
        .args(["--allow-http", "--host", "127.0.0.1"])
        .env("MCP_REMOTE_CONFIG_DIR", &folder);
    let (text, is_good) = scene.run(command, Deliver::ToItsListener);
    std::fs::remove_dir_all(folder).ok();
    assert!(is_good, "{text}");
    assert!(text.contains("\"token\""), "it lists the tool: {text}");
    assert_eq!(scene.ledger().answers(), [200]);
}
