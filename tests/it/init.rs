//! `init`: the file that it writes is used without an edit. A client signs in through a gate with this file, in report mode.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::support::authority::Authority;
use crate::support::client::assert_token;
use crate::support::gate::{run, scratch};
use crate::support::scripted::{Act, Scripted, Then, reply};
use crate::support::servers::{
    DJANGO_OAUTH_TOOLKIT, DOORKEEPER, OAUTH2_SERVER, OIDC_PROVIDER, Target,
};
use crate::support::stage::Stage;

/// A folder for one file, and what `init` said.
struct Init {
    folder: std::path::PathBuf,
    output: Output,
}

impl Init {
    fn of(from: &str, more: &[&str]) -> Self {
        let folder = scratch();
        let file = folder.join("new.toml");
        let file = file.to_str().expect("UTF-8");
        let arguments = [&["init", "--from", from, "--output", file], more].concat();
        let output = run(&arguments);
        Self { folder, output }
    }

    fn told(&self) -> &str {
        str::from_utf8(&self.output.stderr).expect("messages are UTF-8")
    }

    /// The text of the file; `None`: it was not written.
    fn text(&self) -> Option<String> {
        fs::read_to_string(self.folder.join("new.toml")).ok()
    }

    /// The text of a file that `check` accepts.
    #[track_caller]
    fn accepted(&self) -> String {
        assert!(self.output.status.success(), "{}", self.told());
        let file = self.folder.join("new.toml");
        let check = run(&["check", "--config", file.to_str().expect("UTF-8")]);
        assert!(check.status.success(), "{check:?}");
        self.text().expect("the file is written")
    }

    /// What is said if nothing is written.
    #[track_caller]
    fn refused(&self) -> &str {
        assert_eq!(self.output.status.code(), Some(1), "{}", self.told());
        assert_eq!(self.text(), None, "nothing is written");
        let (_, error) = self.told().split_once("error: ").expect("an error");
        error
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// The new file is used as it is; a sign-in with PKCE and one without are served.
#[track_caller]
fn a_client_signs_in(target: &'static Target, issuer_path: &str, expected: &[&str]) {
    let mut written = String::new();
    let stage = Stage::with_text(target, |server, admin| {
        let from = format!("{}{issuer_path}", server.url);
        let admin = format!("127.0.0.1:{admin}");
        let public = ["--public-url", &server.public_url(), "--admin", &admin];
        written = Init::of(&from, &public).accepted();
        written.clone()
    })
    .with_own_codes();
    for line in expected {
        assert!(written.lines().any(|it| it == *line), "{line}\n{written}");
    }
    for authorization in [
        stage.authorization(),
        stage.authorization().without_challenge(),
    ] {
        let response = stage.user().sign_in(&stage.url(&authorization)).client();
        assert_eq!(response.params.get("state"), authorization.state());
        let request = authorization.redemption(response.code());
        let request = if authorization.params.get("code_challenge").is_some() {
            request
        } else {
            request.without("code_verifier")
        };
        assert_token(&stage.token(&request));
    }
    for endpoint in ["authorization", "token"] {
        let words = [endpoint, "reported", "missing_challenge"].map(|word| format!("\"{word}\""));
        let is_it = |line: &str| words.iter().all(|word| line.contains(word));
        stage.log_until(|log| log.lines().any(is_it));
    }
}

#[test]
fn a_client_signs_in_at_oidc_provider_with_the_unedited_file() {
    let expected = [
        "authorization = [\"/auth\"]",
        "token = [\"/token\"]",
        "device_authorization = [\"/device/auth\"]",
        "metadata = [\"/.well-known/openid-configuration\", \"/.well-known/oauth-authorization-server\"]",
        "[upstream.metadata]",
        "# response_types = [\"code\", \"code id_token\"]",
    ];
    a_client_signs_in(&OIDC_PROVIDER, "", &expected);
}

#[test]
fn a_client_signs_in_at_oauth2_server_with_guessed_paths() {
    let expected = [
        "authorization = [\"/oauth/authorize\", \"/services/oauth2/authorize\"]",
        "token = [\"/oauth/token\", \"/services/oauth2/token\"]",
        "# - POST /oauth/token: 400, an error of OAuth",
    ];
    a_client_signs_in(&OAUTH2_SERVER, "", &expected);
}

#[test]
fn a_client_signs_in_at_doorkeeper_with_guessed_paths() {
    let expected = [
        "authorization = [\"/oauth/authorize\"]",
        "token = [\"/oauth/token\"]",
    ];
    a_client_signs_in(&DOORKEEPER, "", &expected);
}

/// Its metadata is below `/o`, which is found from the host alone, too.
#[test]
fn a_client_signs_in_at_django_oauth_toolkit_with_the_unedited_file() {
    for issuer_path in ["/o", "/o/", "/o/.well-known/openid-configuration", ""] {
        let expected = [
            "authorization = [\"/o/authorize/\"]",
            "token = [\"/o/token/\"]",
            "metadata = [\"/o/.well-known/openid-configuration\", \"/o/.well-known/oauth-authorization-server\"]",
        ];
        a_client_signs_in(&DJANGO_OAUTH_TOOLKIT, issuer_path, &expected);
    }
}

fn metadata(origin: &str) -> String {
    format!(
        r#"{{"issuer":"{origin}","authorization_endpoint":"{origin}/authorize","token_endpoint":"{origin}/token"}}"#
    )
}

const OPENID: &str = "/.well-known/openid-configuration";

fn not_found() -> Act {
    Act::Say(reply("404 Not Found", &[], b""), Then::Close)
}

fn document(text: &str) -> Act {
    Act::Say(reply("200 OK", &[], text.as_bytes()), Then::Close)
}

/// A server that has nothing but what the test adds.
fn empty() -> Scripted {
    let server = Scripted::start();
    server.on("*", not_found());
    server
}

#[test]
fn an_existing_file_is_not_replaced() {
    let folder = scratch();
    let file = folder.join("config.toml");
    fs::write(&file, "mine").expect("written");
    let server = empty();
    let run = run(&[
        "init",
        "--from",
        &server.url(),
        "--output",
        file.to_str().expect("UTF-8"),
    ]);
    assert_eq!(run.status.code(), Some(1));
    let told = String::from_utf8(run.stderr).expect("UTF-8");
    assert!(told.contains("exists, and is not replaced"), "{told}");
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "mine");
    assert!(
        server.ledger().is_empty(),
        "the server is not asked for nothing"
    );
    fs::remove_dir_all(folder).ok();
}

#[test]
fn the_file_goes_to_standard_output_if_asked() {
    let server = empty();
    server.on(OPENID, document(&metadata("https://login.example")));
    let run = run(&["init", "--from", &server.url(), "--output", "-"]);
    assert!(run.status.success(), "{run:?}");
    let text = String::from_utf8(run.stdout).expect("UTF-8");
    assert!(
        pkce_gate::parts::load(&text, "config.toml", 0).is_ok(),
        "{text}"
    );
    let told = String::from_utf8(run.stderr).expect("UTF-8");
    assert!(
        told.contains("next: pkce-gate check --config FILE"),
        "{told}"
    );
    assert!(!Path::new("-").exists());
}

#[test]
fn a_server_without_any_known_path_is_refused() {
    let server = empty();
    let init = Init::of(&server.url(), &[]);
    let said = init.refused();
    assert!(said.contains("has no metadata, and none of"), "{said}");
    assert!(said.contains("an authorization endpoint"), "{said}");
    let asked = server.ledger();
    assert!(asked.len() > 30 && asked.len() < 100, "{}", asked.len());
}

#[test]
fn a_server_that_answers_every_path_alike_tells_nothing() {
    let redirect = reply("302 Found", &[("Location", "/login")], b"");
    for answer in [
        redirect,
        reply("200 OK", &[], b"<h1>client_id</h1>"),
        reply("400 Bad Request", &[], br#"{"error":"invalid_request"}"#),
    ] {
        let server = Scripted::start();
        server.on("*", Act::Say(answer, Then::Close));
        let init = Init::of(&server.url(), &[]);
        assert!(
            init.refused().contains("has no metadata"),
            "{}",
            init.told()
        );
    }
}

#[test]
fn an_authorization_endpoint_alone_is_not_enough() {
    let server = empty();
    let page = reply("400 Bad Request", &[], b"client_id is missing");
    server.on("/oauth2/authorize", Act::Say(page, Then::Close));
    let init = Init::of(&server.url(), &[]);
    assert!(
        init.refused().contains("answers as a token endpoint does"),
        "{}",
        init.told()
    );
}

#[test]
fn redirects_to_other_origins_are_not_followed() {
    let (server, other) = (empty(), empty());
    other.on(OPENID, document(&metadata(&other.url())));
    let location = format!("{}{OPENID}", other.url());
    server.on(
        OPENID,
        Act::Say(
            reply("302 Found", &[("Location", &location)], b""),
            Then::Close,
        ),
    );
    let init = Init::of(&server.url(), &[]);
    let hint = format!("; it redirects to {}", other.url());
    assert!(init.refused().contains(&hint), "{}", init.told());
    assert!(other.ledger().is_empty(), "it was not asked");

    // Within the server they are.
    let moved = reply("301 Moved", &[("Location", "/moved?x=1")], b"");
    server.on(OPENID, Act::Say(moved, Then::Close));
    server.on("/moved", document(&metadata(&server.url())));
    let text = Init::of(&server.url(), &[]).accepted();
    assert!(
        text.contains(&format!("\nmetadata = [\"{OPENID}\"]\n")),
        "{text}"
    );
    let endless = reply("301 Moved", &[("Location", OPENID)], b"");
    server.on(OPENID, Act::Say(endless, Then::Close));
    Init::of(&server.url(), &[]).refused();
}

#[test]
fn a_token_endpoint_at_another_host_is_refused_and_explained() {
    let server = empty();
    let text = metadata("https://login.example");
    let text = text.replace(
        "https://login.example/token",
        "https://api.example/token\\nx",
    );
    server.on(OPENID, document(&text));
    let init = Init::of(&server.url(), &[]);
    let said = init.refused();
    assert!(
        said.contains("the token_endpoint is at another host: https://api.example/token\\nx\n"),
        "{said}"
    );
    assert!(said.contains("help: "), "{said}");
}

#[test]
fn a_server_that_cannot_be_reached_is_told() {
    let server = empty();
    server.refuse();
    let init = Init::of(&server.url(), &[]);
    assert!(
        init.refused().contains("cannot connect: "),
        "{}",
        init.told()
    );
}

#[test]
fn an_https_server_is_verified() {
    let authority = Authority::new();
    let server = authority.upstream("127.0.0.1");
    server.on("*", not_found());
    let from = format!("https://{}", server.address());
    server.on(OPENID, document(&metadata(&from)));
    let init = Init::of(&from, &[]);
    let said = init.refused();
    assert!(
        said.contains("TLS: ") && said.contains("name its file with --ca"),
        "{said}"
    );
    let ca = authority.pem();
    let ca = ca.to_str().expect("UTF-8");
    let text = Init::of(&from, &["--ca", ca]).accepted();
    assert!(text.contains(&format!("\nca = \"{ca}\"\n")), "{text}");
    let other = Authority::new();
    let ca = other.pem();
    let init = Init::of(&from, &["--ca", ca.to_str().expect("UTF-8")]);
    assert!(init.refused().contains("TLS: "), "{}", init.told());
    let missing = Init::of(&from, &["--ca", "/no/such/file"]);
    assert!(missing.refused().contains("cannot read the CA file"));
}

#[test]
fn mistakes_in_the_command_line_are_usage_errors() {
    for arguments in [
        &["init"][..],
        &["init", "--from", "login.example"],
        &["init", "--from", "ftp://login.example"],
        &["init", "--from", "https://user@login.example"],
        &["init", "--from", "https://login.example?x=1"],
        &[
            "init",
            "--from",
            "https://login.example",
            "--public-url",
            "https://a.example/path",
        ],
        &["init", "--from", "https://login.example", "--admin", "here"],
    ] {
        assert_eq!(run(arguments).status.code(), Some(64), "{arguments:?}");
    }
}
