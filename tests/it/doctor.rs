//! `doctor` at real servers, without a gate: its findings are what these servers are known to do.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::agent::{Agent, Place, Transcript};
use crate::support::authority::Authority;
use crate::support::fixture::free_port;
use crate::support::gate::{Gate, command, file, scratch};
use crate::support::http::{Request, origin, resolve};
use crate::support::params::{Params, s256};
use crate::support::rig::Jar;
#[cfg(target_arch = "x86_64")]
use crate::support::sarif::complaints;
use crate::support::scripted::{Act, Answerer, Received, Scripted, Then, reply};
use crate::support::servers::{
    BETTER_AUTH, DJANGO_ALLAUTH, DJANGO_ALLAUTH_WITH_PKCE, DJANGO_OAUTH_TOOLKIT, DOORKEEPER,
    OAUTH2_MOCK_SERVER, OAUTH2_SERVER, OIDC_PROVIDER, OIDC_PROVIDER_WITH_PKCE, Server, Target,
    WORKERS_OAUTH_PROVIDER,
};

/// What `doctor` printed.
struct Doctor {
    code: Option<i32>,
    out: String,
    told: String,
}

impl Doctor {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{}\n{}", self.out, self.told))
    }

    /// The verdict and the codes of the only upstream.
    #[track_caller]
    fn found(&self) -> (String, Vec<String>) {
        let report = self.json();
        let upstream = &report["upstreams"][0];
        assert_eq!(upstream["failure"], Value::Null, "{}", self.told);
        let findings = upstream["findings"].as_array().expect("a list");
        let mut codes: Vec<String> = findings
            .iter()
            .map(|finding| finding["code"].as_str().expect("a code").to_owned())
            .collect();
        codes.sort();
        (
            upstream["pkce"].as_str().expect("a verdict").to_owned(),
            codes,
        )
    }
}

/// A configuration with this upstream.
fn configured(target: &Target, server: &Server, endpoints: &str) -> Folder {
    let profile = target.profile;
    Folder::with(&format!(
        "[[upstream]]\nname = \"bare\"\nurl = \"{}\"\npublic_url = \"{}\"\n[upstream.endpoints]\nauthorization = {:?}\n\
         token = {:?}\nmetadata = [{:?}]\n{endpoints}\n",
        server.url,
        server.public_url(),
        profile.authorization,
        profile.token,
        profile.metadata,
    ))
}

/// A folder with a configuration.
struct Folder(PathBuf);

impl Folder {
    fn with(config: &str) -> Self {
        let folder = Self(scratch());
        file(&folder.0, "config.toml", config);
        folder
    }

    fn config(&self) -> String {
        let file = self.0.join("config.toml");
        file.to_str().expect("UTF-8").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Runs `doctor`. If it prints a URL, a user signs in there, and again wherever the browser is sent.
fn doctor(target: &'static Target, endpoints: &str, more: &[&str]) -> Doctor {
    doctor_by(target, endpoints, more, |server| {
        visits(&server.redirect_uri)
    })
}

/// The same with a user who signs in at the server in this way.
fn doctor_by(
    target: &'static Target,
    endpoints: &str,
    more: &[&str],
    user: fn(&Server) -> Visit,
) -> Doctor {
    let (server, _turn) = target.profile.borrow();
    let folder = configured(target, server, endpoints);
    let uri = &server.redirect_uri;
    let more: Vec<String> = more
        .iter()
        .map(|it| it.replace("REDIRECT_URI", uri))
        .collect();
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let doctor = run(&folder, &more, |url| sign_in(uri, url, user(server)));
    for code in &server.ledger().codes {
        let printed = doctor.out.contains(code) || doctor.told.contains(code);
        assert!(!printed, "a code is printed");
    }
    doctor
}

fn run(folder: &Folder, more: &[&str], sign_in: impl Fn(&str)) -> Doctor {
    let mut process = command()
        .args(["doctor", "--config", &folder.config()])
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary under test starts");
    let mut errors = BufReader::new(process.stderr.take().expect("a pipe"));
    let (mut told, mut line) = (String::new(), String::new());
    while errors.read_line(&mut line).expect("UTF-8") > 0 {
        told += &line;
        if line.starts_with("http://") {
            sign_in(line.trim_end());
        }
        line.clear();
    }
    let mut out = String::new();
    let mut output = process.stdout.take().expect("a pipe");
    output.read_to_string(&mut out).expect("UTF-8");
    let code = process.wait().expect("it ends").code();
    Doctor { code, out, told }
}

/// Signs in at a URL. Returns the URL at the client, or `None` if the server shows an error page.
type Visit = Box<dyn FnMut(&str) -> Option<String>>;

/// Signs in, and follows the browser to the next sign-in until there is none.
fn sign_in(redirect_uri: &str, first: &str, mut visit: Visit) {
    let (_, query) = first.split_once('?').expect("a query");
    let params = Params::from_query(query);
    let state = params.get("state").expect("a state");
    let mut url = first.to_owned();
    loop {
        // The user reports an error page.
        let refused = || format!("{}/refused/{state}", origin(redirect_uri));
        let answer = visit(&url).unwrap_or_else(refused);
        match Request::get(&answer).send().header("location") {
            Some(next) => url = next.to_owned(),
            None => return,
        }
    }
}

/// A user who fills in the forms of the server's pages.
fn visits(redirect_uri: &str) -> Visit {
    let redirect_uri = redirect_uri.to_owned();
    let mut user = Agent::new(&redirect_uri, Transcript::default());
    Box::new(move |url| match user.sign_in(url) {
        Place::Client(response) => Some(format!("{redirect_uri}?{}", response.params.encoded())),
        Place::Page(_) => None,
    })
}

/// A user of better-auth, whose pages are an application: they post JSON, and follow the URL in the answer. It takes cookies only
/// from pages at its public URL.
fn visits_an_application(server: &Server) -> Visit {
    let (redirect_uri, public) = (server.redirect_uri.clone(), server.public_url());
    let mut jar = Jar::default();
    Box::new(move |url| {
        let mut at = url.to_owned();
        while !at.starts_with(&redirect_uri) {
            let (page, query) = at.split_once('?').expect("a query");
            let mut body = json!({ "oauth_query": query });
            let path = if page.ends_with("/sign-in") {
                body["email"] = json!("alice@example.com");
                body["password"] = json!("password");
                Some("/api/auth/sign-in/email")
            } else if page.ends_with("/consent") {
                body["accept"] = json!(true);
                Some("/api/auth/oauth2/consent")
            } else {
                None
            };
            let target = resolve(&at, path.unwrap_or(&at));
            let request = Request {
                method: if path.is_some() { "POST" } else { "GET" },
                body: if path.is_some() {
                    body.to_string()
                } else {
                    String::new()
                },
                ..Request::get(&target)
            };
            let response = request
                .header("Content-Type", "application/json")
                .header("Origin", public.clone())
                .header("Cookie", jar.cookies())
                .send();
            jar.keep(&response);
            let next = match path {
                Some(_) => {
                    let answer: Value = serde_json::from_slice(&response.body).expect("JSON");
                    answer["url"].as_str().expect("a URL").to_owned()
                }
                None => response.header("location")?.to_owned(),
            };
            at = resolve(&target, &next);
        }
        Some(at)
    })
}

/// The client `pub`, whose sign-ins a person begins.
const LOGIN: [&str; 9] = [
    "--format",
    "json",
    "--login",
    "--client-id",
    "pub",
    "--redirect-uri",
    "REDIRECT_URI",
    "--scope",
    "openid",
];

#[track_caller]
fn finds(target: &'static Target, verdict: &str, codes: &[&str]) {
    is_found(&doctor(target, "", &LOGIN), verdict, codes);
}

/// The same for the client `conf`, which has a secret.
#[track_caller]
fn finds_with_secret(target: &'static Target, verdict: &str, codes: &[&str]) {
    let folder = scratch();
    let secret = file(&folder, "secret", "sekrit\n");
    let login = LOGIN.map(|it| if it == "pub" { "conf" } else { it });
    let secret = ["--client-secret-file", secret.to_str().expect("UTF-8")];
    let more = [&login[..], &secret].concat();
    is_found(&doctor(target, "", &more), verdict, codes);
    fs::remove_dir_all(folder).ok();
}

#[track_caller]
fn is_found(doctor: &Doctor, verdict: &str, codes: &[&str]) {
    let (found, of_codes) = doctor.found();
    assert_eq!(found, verdict, "{}", doctor.out);
    assert_eq!(of_codes, codes, "{}", doctor.out);
    assert_eq!(doctor.code, Some(1), "{}", doctor.told);
}

#[test]
fn oauth2_server_ignores_pkce() {
    let codes = [
        "downgrade_accepted",
        "duplicate_parameter_accepted",
        "missing_verifier_accepted",
        "pkce_optional",
        "token_path_variants",
        "wrong_verifier_accepted",
    ];
    finds(&OAUTH2_SERVER, "ignored", &codes);
}

/// It enforces the challenge of a client that sends one, and promises S256.
#[test]
fn django_oauth_toolkit_takes_downgrades() {
    let codes = [
        "downgrade_accepted",
        "duplicate_parameter_accepted",
        "pkce_optional",
        "plain_advertised",
        "token_path_variants",
    ];
    finds(&DJANGO_OAUTH_TOOLKIT, "optional", &codes);
}

#[test]
fn oidc_provider_enforces_a_challenge_and_requires_none() {
    let codes = [
        "challenge_not_demanded",
        "endpoint_not_configured",
        "pkce_optional",
        "s256_not_advertised",
        "token_path_variants",
    ];
    finds(&OIDC_PROVIDER, "optional", &codes);
}

#[test]
fn oauth2_mock_server_promises_what_it_does_not_do() {
    let codes = [
        "advertised_not_enforced",
        "challenge_not_demanded",
        "malformed_challenge_accepted",
        "missing_verifier_accepted",
        "pkce_optional",
        "plain_accepted",
        "plain_advertised",
        "token_by_json",
        "token_path_variants",
        "unknown_code_accepted",
    ];
    finds(&OAUTH2_MOCK_SERVER, "ignored", &codes);
}

#[test]
fn doorkeeper_without_the_migration_ignores_pkce() {
    let codes = [
        "downgrade_accepted",
        "duplicate_parameter_accepted",
        "missing_verifier_accepted",
        "pkce_optional",
        "token_by_json",
        "token_by_query",
        "token_path_variants",
        "wrong_verifier_accepted",
    ];
    finds(&DOORKEEPER, "ignored", &codes);
}

/// With its own rule for public clients.
#[test]
fn django_allauth_requires_pkce_of_public_clients() {
    let codes = ["duplicate_parameter_accepted", "token_path_variants"];
    finds(&DJANGO_ALLAUTH_WITH_PKCE, "required", &codes);
}

/// It promises S256, and enforces the challenge of a client that sends one.
#[test]
fn django_allauth_takes_downgrades_of_clients_with_a_secret() {
    let codes = [
        "downgrade_accepted",
        "duplicate_parameter_accepted",
        "pkce_optional",
        "token_path_variants",
    ];
    finds_with_secret(&DJANGO_ALLAUTH_WITH_PKCE, "optional", &codes);
}

/// The rule for public clients was taken out.
#[test]
fn django_allauth_that_requires_no_pkce_takes_downgrades() {
    let codes = [
        "downgrade_accepted",
        "duplicate_parameter_accepted",
        "pkce_optional",
        "token_path_variants",
    ];
    finds(&DJANGO_ALLAUTH, "optional", &codes);
}

#[test]
fn better_auth_requires_pkce_of_public_clients() {
    let doctor = doctor_by(&BETTER_AUTH, "", &LOGIN, visits_an_application);
    is_found(&doctor, "required", &["malformed_challenge_accepted"]);
}

#[test]
fn workers_oauth_provider_requires_pkce_of_public_clients() {
    let codes = ["malformed_challenge_accepted"];
    finds(&WORKERS_OAUTH_PROVIDER, "required", &codes);
}

/// It refuses a verifier without a challenge, which is the downgrade.
#[test]
fn workers_oauth_provider_requires_none_of_clients_with_a_secret() {
    let codes = [
        "challenge_not_demanded",
        "malformed_challenge_accepted",
        "pkce_optional",
    ];
    finds_with_secret(&WORKERS_OAUTH_PROVIDER, "optional", &codes);
}

/// Nothing above a note: the exit code is 0.
#[test]
fn oidc_provider_that_requires_pkce_is_healthy() {
    let endpoints = "pushed_authorization_request = [\"/request\"]";
    let doctor = doctor(&OIDC_PROVIDER_WITH_PKCE, endpoints, &LOGIN);
    let (found, codes) = doctor.found();
    assert_eq!(found, "required", "{}", doctor.out);
    assert_eq!(
        codes,
        ["s256_not_advertised", "token_path_variants"],
        "{}",
        doctor.out
    );
    assert_eq!(doctor.code, Some(0), "{}", doctor.told);
    let report = doctor.json();
    let observed = report["upstreams"][0]["observed"].to_string();
    assert!(
        observed.contains("States of up to 8000 characters"),
        "{observed}"
    );
}

#[test]
fn a_client_with_a_secret_is_asked_about_as_well() {
    let (folder, login) = (
        scratch(),
        LOGIN.map(|it| if it == "pub" { "conf" } else { it }),
    );
    let ask = |secret: &str| {
        let secret = file(&folder, "secret", secret);
        let secret = secret.to_str().expect("UTF-8").to_owned();
        let more = [&login[..], &["--client-secret-file", &secret]].concat();
        doctor(&DJANGO_OAUTH_TOOLKIT, "", &more)
    };
    let right = ask("sekrit\n");
    assert_eq!(right.found().0, "optional", "{}", right.out);
    assert!(!right.out.contains("sekrit") && !right.told.contains("sekrit"));
    // With a wrong one every redemption is refused, which says nothing about PKCE.
    let wrong = ask("another");
    assert_eq!(wrong.code, Some(2), "{}", wrong.out);
    let report = wrong.json();
    let failure = report["upstreams"][0]["failure"].as_str().expect("a text");
    assert!(
        failure.contains("the code and the right verifier got status 401"),
        "{failure}"
    );
    assert_eq!(report["upstreams"][0]["pkce"], "unknown");
    fs::remove_dir_all(folder).ok();
}

/// What `doctor` finds at a server, and behind a gate in this mode.
struct Both {
    doctor: Doctor,
    upstream: Value,
}

impl Both {
    fn new(target: &'static Target, mode: &str, arguments: &[&str]) -> Self {
        let doctor = through_gate(target, mode, arguments);
        let upstream = doctor.json()["upstreams"][0].clone();
        assert_eq!(upstream["gate"]["failure"], Value::Null, "{}", doctor.told);
        Self { doctor, upstream }
    }

    /// The findings at the server that have this standing behind the gate.
    fn standing(&self, standing: &str) -> Vec<&str> {
        let findings = self.upstream["findings"].as_array().expect("a list");
        let found = findings
            .iter()
            .filter(|it| it["behind_the_gate"] == standing);
        let mut codes: Vec<&str> = found
            .map(|it| it["code"].as_str().expect("a code"))
            .collect();
        codes.sort_unstable();
        codes
    }

    /// The findings behind the gate.
    fn behind(&self) -> Vec<&str> {
        let findings = self.upstream["gate"]["findings"]
            .as_array()
            .expect("a list");
        let mut codes: Vec<&str> = findings
            .iter()
            .map(|it| it["code"].as_str().expect("a code"))
            .collect();
        codes.sort_unstable();
        codes
    }

    fn verdicts(&self) -> (&Value, &Value) {
        (&self.upstream["pkce"], &self.upstream["gate"]["pkce"])
    }

    fn observed(&self) -> String {
        self.upstream["gate"]["observed"].to_string()
    }
}

/// Runs `doctor` for a server with a gate in this mode.
fn through_gate(target: &'static Target, mode: &str, arguments: &[&str]) -> Doctor {
    let (server, _turn) = target.profile.borrow();
    let folder = configured(target, server, "");
    let config = fs::read_to_string(folder.config()).expect("UTF-8");
    let config = format!(
        "[server]\nlisten = [\"{}\"]\n[admin]\nlisten = \"127.0.0.1:{}\"\n{config}\n[upstream.pkce]\nmode = \"{mode}\"\n",
        server.gate,
        free_port()
    );
    let mut gate = Gate::start(&config);
    file(&folder.0, "config.toml", &config);
    let uri = &server.redirect_uri;
    let arguments = arguments.iter().map(|it| it.replace("REDIRECT_URI", uri));
    let arguments: Vec<String> = ["--through-gate".to_owned()]
        .into_iter()
        .chain(arguments)
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let doctor = run(&folder, &arguments, |url| sign_in(uri, url, visits(uri)));
    gate.stop();
    doctor
}

#[test]
fn an_enforcing_gate_closes_what_the_server_does_not_check() {
    let both = Both::new(&OAUTH2_SERVER, "enforce", &LOGIN);
    assert_eq!(both.verdicts(), (&json!("ignored"), &json!("required")));
    let closed = [
        "downgrade_accepted",
        "duplicate_parameter_accepted",
        "missing_verifier_accepted",
        "pkce_optional",
        "wrong_verifier_accepted",
    ];
    assert_eq!(both.standing("closed"), closed, "{}", both.doctor.out);
    assert_eq!(both.standing("not_asked"), ["token_path_variants"]);
    assert_eq!(both.behind(), Vec::<&str>::new(), "{}", both.doctor.out);
    assert_eq!(both.doctor.code, Some(0), "{}", both.doctor.told);
}

/// The client authenticates by HTTP Basic, which names it.
#[test]
fn a_client_with_a_secret_is_asked_about_behind_the_gate() {
    let folder = scratch();
    let secret = file(&folder, "secret", "sekrit\n");
    let login = LOGIN.map(|it| if it == "pub" { "conf" } else { it });
    let secret = ["--client-secret-file", secret.to_str().expect("UTF-8")];
    let both = Both::new(
        &DJANGO_OAUTH_TOOLKIT,
        "enforce",
        &[&login[..], &secret].concat(),
    );
    fs::remove_dir_all(folder).ok();
    assert_eq!(both.verdicts(), (&json!("optional"), &json!("required")));
    for code in ["downgrade_accepted", "pkce_optional"] {
        assert!(
            both.standing("closed").contains(&code),
            "{}",
            both.doctor.out
        );
    }
    assert_eq!(both.doctor.code, Some(0), "{}", both.doctor.out);
}

/// A server that refuses every parameter of PKCE.
#[test]
fn a_gate_that_strips_the_challenge_closes_the_refusal_of_challenges() {
    let (server, _folder) = server(|received| {
        let params = Params::from_query(received.query());
        let knows = ["response_type", "client_id", "redirect_uri", "state"];
        let is_known = params.iter().all(|(name, _)| knows.contains(&name));
        let is_usual = params.get("response_type") == Some("code");
        if received.path() == "/authorize" && is_known && is_usual {
            reply("302 Found", &[("Location", "/login")], b"")
        } else {
            reply("400 Bad Request", &[], b"")
        }
    });
    let ask = |mode: &str, to_upstream: &str| {
        let (port, admin) = (free_port(), free_port());
        let config = format!(
            "[server]\nlisten = [\"127.0.0.1:{port}\"]\n[admin]\nlisten = \"127.0.0.1:{admin}\"\n[[upstream]]\nurl = \"{}\"\n\
             [upstream.endpoints]\nauthorization = [\"/authorize\"]\ntoken = [\"/token\"]\n[upstream.pkce]\nmode = \"{mode}\"\n\
             to_upstream = \"{to_upstream}\"\n",
            server.url()
        );
        let _gate = Gate::start(&config);
        let folder = Folder::with(&config);
        let more = [&CLIENT[..], &["--through-gate"]].concat();
        let doctor = run(&folder, &more, |_| {});
        let upstream = &doctor.json()["upstreams"][0];
        let finding = &upstream["findings"][0];
        assert_eq!(finding["code"], "challenge_refused", "{}", doctor.out);
        finding["behind_the_gate"].clone()
    };
    assert_eq!(ask("enforce", "strip"), "closed");
    assert_eq!(ask("report", "forward"), "remains");
    // The gate refuses the request without a challenge, to which it would have to be compared.
    assert_eq!(ask("enforce", "forward"), "not_asked");
}

/// Code scanning understands which findings are closed.
#[cfg(target_arch = "x86_64")]
#[test]
fn what_the_gate_closes_is_written_as_sarif() {
    let more = [
        "--format",
        "sarif",
        "--client-id",
        "pub",
        "--redirect-uri",
        "REDIRECT_URI",
    ];
    let doctor = through_gate(&OIDC_PROVIDER, "enforce", &more);
    let folder = scratch();
    let found = complaints(&file(&folder, "doctor.sarif", &doctor.out));
    assert!(found.is_empty(), "{found:#?} in {}", doctor.out);
    fs::remove_dir_all(folder).ok();
    let sarif = doctor.json();
    let results = sarif["runs"][0]["results"].as_array().expect("a list");
    let closed = results.iter().filter(|it| it["suppressions"].is_array());
    let closed: Vec<_> = closed.map(|it| it["ruleId"].as_str()).collect();
    assert_eq!(
        closed,
        [Some("challenge_not_demanded"), Some("s256_not_advertised")]
    );
}

/// The same questions, and the same answers.
#[test]
fn a_gate_in_report_mode_closes_nothing_and_is_told_so() {
    let both = Both::new(&OAUTH2_SERVER, "report", &LOGIN);
    assert_eq!(both.verdicts(), (&json!("ignored"), &json!("ignored")));
    assert_eq!(both.standing("closed"), Vec::<&str>::new());
    let remains = [
        "downgrade_accepted",
        "duplicate_parameter_accepted",
        "missing_verifier_accepted",
        "pkce_optional",
        "wrong_verifier_accepted",
    ];
    assert_eq!(both.standing("remains"), remains, "{}", both.doctor.out);
    assert_eq!(both.behind(), remains, "{}", both.doctor.out);
    assert_eq!(both.doctor.code, Some(1), "{}", both.doctor.told);
    let observed = both.observed();
    assert!(
        observed.contains("closes none of the findings"),
        "{observed}"
    );
}

#[test]
fn a_promise_that_the_server_breaks_is_kept_behind_the_gate() {
    let both = Both::new(&OAUTH2_MOCK_SERVER, "enforce", &LOGIN);
    assert_eq!(both.verdicts(), (&json!("ignored"), &json!("required")));
    for code in [
        "advertised_not_enforced",
        "challenge_not_demanded",
        "malformed_challenge_accepted",
        "plain_advertised",
        "unknown_code_accepted",
    ] {
        assert!(
            both.standing("closed").contains(&code),
            "{code}: {}",
            both.doctor.out
        );
    }
    assert_eq!(both.behind(), Vec::<&str>::new(), "{}", both.doctor.out);
    assert_eq!(both.doctor.code, Some(0), "{}", both.doctor.told);
}

/// The server is asked behind the gate's own redirect, too.
#[test]
fn without_a_sign_in_the_gate_is_asked_what_the_server_is_asked() {
    let client = [
        "--format",
        "json",
        "--client-id",
        "pub",
        "--redirect-uri",
        "REDIRECT_URI",
    ];
    let both = Both::new(&OIDC_PROVIDER, "enforce", &client);
    let closed = ["challenge_not_demanded", "s256_not_advertised"];
    assert_eq!(both.standing("closed"), closed, "{}", both.doctor.out);
    // The gate leaves an endpoint that it does not know out of the metadata, which does not close that endpoint.
    let remains = ["endpoint_not_configured"];
    assert_eq!(both.standing("remains"), remains, "{}", both.doctor.out);
    assert_eq!(both.behind(), Vec::<&str>::new(), "{}", both.doctor.out);
    assert_eq!(both.doctor.code, Some(1), "{}", both.doctor.told);
    assert_eq!(both.verdicts(), (&json!("unknown"), &json!("unknown")));
    let counted = "the gate counts these requests in the review, as those of pub\n";
    assert_eq!(
        both.doctor.told.matches(counted).count(),
        1,
        "{}",
        both.doctor.told
    );
}

/// The configuration that `doctor` reads names a port at which nothing listens, as if a firewall were there.
#[test]
fn an_upstream_that_only_the_gate_reaches_is_asked_behind_it() {
    let (server, _folder) = server(|received| match received.path() {
        "/token" => reply("400 Bad Request", &[], br#"{"error":"invalid_request"}"#),
        _ => reply("404 Not Found", &[], b""),
    });
    let text = |upstream: &str, gate: u16, admin: u16| {
        format!(
            "[server]\nlisten = [\"127.0.0.1:{gate}\"]\n[admin]\nlisten = \"127.0.0.1:{admin}\"\n[[upstream]]\nurl = \"{upstream}\"\n\
             [upstream.endpoints]\nauthorization = [\"/authorize\"]\ntoken = [\"/token\"]\n"
        )
    };
    let (port, admin) = (free_port(), free_port());
    let gate = Gate::start(&text(&server.url(), port, admin));
    let closed = format!("http://127.0.0.1:{}", free_port());
    let folder = Folder::with(&text(&closed, port, admin));
    let through = ["--format", "json", "--through-gate"];
    let doctor = run(&folder, &through, |_| {});
    assert_eq!(doctor.code, Some(0), "{}\n{}", doctor.out, doctor.told);
    let upstream = &doctor.json()["upstreams"][0];
    let observed = upstream["observed"].to_string();
    assert!(
        observed.contains("does not answer this machine (cannot connect: "),
        "{observed}"
    );
    assert!(
        upstream["gate"]["observed"]
            .to_string()
            .contains("A token request with a random code gets")
    );
    // Alone it is a failure, and so is a gate that does not reach the server.
    assert_eq!(run(&folder, &through[..2], |_| {}).code, Some(2));
    server.refuse();
    let doctor = run(&folder, &through, |_| {});
    assert_eq!(doctor.code, Some(2), "{}", doctor.out);
    assert!(
        doctor.told.contains("it answers status 502"),
        "{}",
        doctor.told
    );
    drop(gate);
    let doctor = run(&folder, &through, |_| {});
    assert_eq!(doctor.code, Some(2), "{}", doctor.out);
}

#[test]
fn a_gate_needs_an_address_of_its_own() {
    let (server, _) = server(|_| reply("404 Not Found", &[], b""));
    let url = server.url();
    let folder = Folder::with(&format!(
        "[[upstream]]\nurl = \"{url}\"\npublic_url = \"{url}\"\n[upstream.endpoints]\nauthorization = [\"/authorize\"]\n\
         token = [\"/token\"]\n",
    ));
    let doctor = run(&folder, &["--through-gate"], |_| {});
    assert_eq!(doctor.code, Some(64), "{}", doctor.told);
    assert!(
        doctor.told.contains("is the url of the upstream itself"),
        "{}",
        doctor.told
    );
    assert!(server.ledger().is_empty());
    let doctor = run(&folder, &["--gate-ca", "ca.pem"], |_| {});
    assert_eq!(doctor.code, Some(64), "{}", doctor.told);
}

/// With a private CA in front of the gate.
#[test]
fn the_certificate_at_the_public_url_has_to_be_trusted() {
    let authority = Authority::new();
    let front = authority.upstream("localhost");
    let gone = || Act::Say(reply("404 Not Found", &[], b""), Then::Close);
    front.on("*", gone());
    let (server, _) = server(|_| reply("404 Not Found", &[], b""));
    let folder = Folder::with(&format!(
        "[[upstream]]\nurl = \"{}\"\npublic_url = \"https://localhost:{}\"\n[upstream.endpoints]\n\
         authorization = [\"/authorize\"]\ntoken = [\"/token\"]\n",
        server.url(),
        front.address().port(),
    ));
    let doctor = run(&folder, &["--through-gate"], |_| {});
    assert_eq!(doctor.code, Some(2), "{}", doctor.told);
    assert!(doctor.told.contains("TLS: "), "{}", doctor.told);
    assert!(
        doctor.told.contains("name its file with --gate-ca"),
        "{}",
        doctor.told
    );
    let ca = authority.pem();
    let ca = ca.to_str().expect("UTF-8");
    let doctor = run(&folder, &["--through-gate", "--gate-ca", ca], |_| {});
    assert_eq!(doctor.code, Some(0), "{}", doctor.told);
    assert!(!front.ledger().is_empty());
}

#[test]
fn metadata_that_names_another_origin_is_told_and_not_followed() {
    let elsewhere = Scripted::start();
    let other = elsewhere.url();
    let (server, folder) = server(move |received| match received.path() {
        "/metadata" => reply(
            "200 OK",
            &[],
            json!({
                "issuer": other,
                "authorization_endpoint": format!("{other}/authorize"),
                "token_endpoint": format!("{other}/token"),
                "code_challenge_methods_supported": ["S256"],
            })
            .to_string()
            .as_bytes(),
        ),
        _ => reply("404 Not Found", &[], b""),
    });
    let config = fs::read_to_string(folder.config()).expect("UTF-8");
    file(
        &folder.0,
        "config.toml",
        &format!("{config}metadata = [\"/metadata\"]\n"),
    );
    let doctor = run(&folder, &["--format", "json"], |_| {});
    assert_eq!(
        doctor.found().1,
        ["other_origin_advertised"],
        "{}",
        doctor.out
    );
    assert_eq!(doctor.code, Some(0), "a note: {}", doctor.told);
    assert!(
        doctor.out.contains("which only this machine reaches"),
        "{}",
        doctor.out
    );
    assert!(!server.ledger().is_empty());
    assert!(elsewhere.ledger().is_empty());
}

#[test]
fn without_a_sign_in_the_authorization_endpoint_is_asked() {
    let client = ["--client-id", "pub", "--redirect-uri", "REDIRECT_URI"];
    let doctor = doctor(&OIDC_PROVIDER, "", &client);
    assert_eq!(doctor.code, Some(1));
    let first = doctor.out.lines().next().expect("a line");
    assert!(
        first.ends_with(": not known whether the server enforces PKCE"),
        "{first}"
    );
    for line in [
        "medium (CVSS 4.0-6.9) challenge_not_demanded: The server begins a sign-in without a challenge.",
        "  evidence: a request without a challenge got the sign-in",
        "observed: States of up to 8000 characters came back unchanged.",
        "not asked: Codes and verifiers: that takes a sign-in (--login).",
    ] {
        assert!(
            doctor.out.lines().any(|it| it == line),
            "{line}\n{}",
            doctor.out
        );
    }
}

/// A server whose answers to authorization requests and token requests are computed.
fn server(answer: impl Fn(&Received) -> Vec<u8> + Send + Sync + 'static) -> (Scripted, Folder) {
    let server = Scripted::start();
    server.on("*", Act::Compute(Answerer(Arc::new(answer))));
    let folder = Folder::with(&format!(
        "[[upstream]]\nurl = \"{}\"\n[upstream.endpoints]\nauthorization = [\"/authorize\"]\ntoken = [\"/token\"]\n",
        server.url()
    ));
    (server, folder)
}

const CLIENT: [&str; 6] = [
    "--format",
    "json",
    "--client-id",
    "pub",
    "--redirect-uri",
    "https://client.test/cb",
];

fn refusal(state: &str) -> Vec<u8> {
    let location = format!("https://client.test/cb?error=invalid_request&state={state}");
    reply("302 Found", &[("Location", &location)], b"")
}

#[test]
fn limits_of_states_are_found() {
    for (most, code) in [
        (20, "state_altered"),
        (40, "state_limit"),
        (511, "state_limit"),
        (600, ""),
    ] {
        let (_server, folder) = server(move |received| {
            let params = Params::from_query(received.query());
            let is_usual = params.get("response_type") == Some("code");
            let state: String = params
                .get("state")
                .unwrap_or_default()
                .chars()
                .take(most)
                .collect();
            match received.path() {
                "/authorize" if is_usual => reply("200 OK", &[], b"<h1>Sign in</h1>"),
                "/authorize" => refusal(&state),
                _ => reply("404 Not Found", &[], b""),
            }
        });
        let doctor = run(&folder, &CLIENT, |_| {});
        let (_, codes) = doctor.found();
        let found: Vec<&String> = codes.iter().filter(|it| it.starts_with("state_")).collect();
        assert_eq!(
            found,
            if code.is_empty() { vec![] } else { vec![code] },
            "{most}: {}",
            doctor.out
        );
    }
}

#[test]
fn a_server_that_refuses_what_it_does_not_know_is_found() {
    let knows = |names: &'static [&'static str]| {
        let (_server, folder) = server(move |received| {
            let params = Params::from_query(received.query());
            let is_known = params.iter().all(|(name, _)| names.contains(&name));
            if is_known && params.get("response_type") == Some("code") {
                reply("302 Found", &[("Location", "/login")], b"")
            } else {
                reply("400 Bad Request", &[], b"")
            }
        });
        run(&folder, &CLIENT, |_| {}).found().1
    };
    let usual = &["response_type", "client_id", "redirect_uri", "state"];
    assert_eq!(knows(usual), ["challenge_refused"]);
    let with_pkce = &[
        "response_type",
        "client_id",
        "redirect_uri",
        "state",
        "code_challenge",
        "code_challenge_method",
    ];
    assert_eq!(
        knows(with_pkce),
        [
            "challenge_not_demanded",
            "malformed_challenge_accepted",
            "plain_accepted",
            "unknown_method_accepted",
            "unknown_parameter_refused"
        ]
    );
}

#[test]
fn spellings_of_token_requests_are_found() {
    let (_server, folder) = server(|received| {
        let body = String::from_utf8(received.content()).expect("UTF-8");
        let sent = format!("{}&{body}", received.query());
        let is_code = sent.contains("authorization_code");
        let error: &[u8] = if is_code {
            br#"{"error":"invalid_grant"}"#
        } else {
            br#"{"error":"invalid_request"}"#
        };
        match received.path() {
            "/token" => reply("400 Bad Request", &[], error),
            _ => reply("404 Not Found", &[], b""),
        }
    });
    let doctor = run(&folder, &["--format", "json"], |_| {});
    let (_, codes) = doctor.found();
    let expected = [
        "duplicate_parameter_accepted",
        "token_by_get",
        "token_by_json",
        "token_by_query",
    ];
    assert_eq!(codes, expected, "{}", doctor.out);
}

/// A server that reads every spelling, and judges the client before anything else.
#[test]
fn a_refused_client_leads_to_no_finding_about_the_request() {
    let ask = |status: &'static str, error: &'static [u8], client: &[&str]| {
        let (_server, folder) = server(move |received| {
            let body = String::from_utf8(received.content()).expect("UTF-8");
            let sent = format!("{}&{body}", received.query());
            let is_request = sent.contains("client_id");
            match received.path() {
                "/token" if is_request => reply(status, &[], error),
                "/token" => reply("400 Bad Request", &[], br#"{"error":"invalid_request"}"#),
                _ => reply("404 Not Found", &[], b""),
            }
        });
        let more = [&["--format", "json"], client].concat();
        let doctor = run(&folder, &more, |_| {});
        (
            doctor.found().1,
            doctor.json()["upstreams"][0]["not_asked"].to_string(),
        )
    };
    let named = ["--client-id", "pub"];
    for (status, error, client) in [
        (
            "401 Unauthorized",
            &br#"{"error":"invalid_client"}"#[..],
            &[][..],
        ),
        (
            "400 Bad Request",
            br#"{"error":"unauthorized_client"}"#,
            &[],
        ),
        ("403 Forbidden", b"who are you?", &[]),
        // A server that does not know a client may say so in this way, too.
        (
            "400 Bad Request",
            br#"{"error":"invalid_request","error_description":"client"}"#,
            &[],
        ),
        ("401 Unauthorized", br#"{"error":"invalid_client"}"#, &named),
    ] {
        let (codes, not_asked) = ask(status, error, client);
        assert_eq!(codes, Vec::<String>::new(), "{status}");
        for what in [
            "a GET request",
            "the parameters in its query",
            "a JSON object",
            "two values of code",
            "other spellings of the path /token",
        ] {
            assert!(not_asked.contains(what), "{what}: {not_asked}");
        }
    }
    let (codes, _) = ask("400 Bad Request", br#"{"error":"invalid_grant"}"#, &[]);
    assert!(codes.contains(&"token_by_get".to_owned()), "{codes:?}");
}

#[test]
fn an_upstream_that_cannot_be_asked_is_no_healthy_one() {
    let (server, folder) = server(|_| reply("404 Not Found", &[], b""));
    let doctor = run(&folder, &[], |_| {});
    assert_eq!(doctor.code, Some(0), "nothing is found: {}", doctor.out);
    server.refuse();
    for format in ["text", "json", "sarif"] {
        let doctor = run(&folder, &["--format", format], |_| {});
        assert_eq!(doctor.code, Some(2), "{}", doctor.out);
        assert!(doctor.told.contains("cannot connect: "), "{}", doctor.told);
        assert!(doctor.out.contains("cannot connect: "), "{}", doctor.out);
    }
}

#[test]
fn findings_are_written_as_sarif() {
    let more = [
        "--format",
        "sarif",
        "--client-id",
        "pub",
        "--redirect-uri",
        "REDIRECT_URI",
    ];
    let doctor = doctor(&OAUTH2_SERVER, "", &more);
    let sarif = doctor.json();
    assert_eq!(sarif["version"], "2.1.0");
    let results = sarif["runs"][0]["results"].as_array().expect("a list");
    let rules = sarif["runs"][0]["tool"]["driver"]["rules"]
        .as_array()
        .expect("a list");
    for result in results {
        assert!(
            rules.iter().any(|rule| rule["id"] == result["ruleId"]),
            "{result}"
        );
    }
    #[cfg(target_arch = "x86_64")]
    {
        let folder = scratch();
        let found = complaints(&file(&folder, "doctor.sarif", &doctor.out));
        assert!(found.is_empty(), "{found:#?} in {}", doctor.out);
        fs::remove_dir_all(folder).ok();
    }
    let found: Vec<_> = results
        .iter()
        .map(|it| (it["ruleId"].as_str(), it["level"].as_str()))
        .collect();
    let expected = [
        (Some("duplicate_parameter_accepted"), Some("warning")),
        (Some("token_path_variants"), Some("note")),
    ];
    assert_eq!(found, expected, "{}", doctor.out);
}

#[test]
fn only_configured_upstreams_are_asked() {
    let (first, second) = (Scripted::start(), Scripted::start());
    let upstream = |name: &str, server: &Scripted| {
        format!(
            "[[upstream]]\nname = \"{name}\"\nurl = \"{}\"\nprefix = \"/{name}\"\n[upstream.endpoints]\n\
             authorization = [\"/authorize\"]\ntoken = [\"/token\"]\n",
            server.url()
        )
    };
    let folder = Folder::with(&(upstream("first", &first) + &upstream("second", &second)));
    run(&folder, &["--upstream", "second"], |_| {});
    assert!(first.ledger().is_empty());
    let asked = second.ledger();
    assert!(
        asked
            .iter()
            .all(|it| it.path().to_ascii_lowercase().contains("/second/")),
        "{asked:?}"
    );
    for wrong in [
        &["--upstream", "third"][..],
        &["--login"],
        &["--login", "--client-id", "pub"],
        &[
            "--login",
            "--client-id",
            "pub",
            "--upstream",
            "first",
            "--redirect-uri",
            "https://client.test/cb",
        ],
        &[
            "--client-id",
            "pub",
            "--redirect-uri",
            "https://client.test/cb#x",
        ],
        &[
            "--client-id",
            "pub",
            "--client-secret-file",
            "/no/such/file",
        ],
        &["--scope", "openid"],
    ] {
        let doctor = run(&folder, wrong, |_| {});
        assert_eq!(doctor.code, Some(64), "{wrong:?}: {}", doctor.told);
    }
    assert_eq!(run(&Folder::with(""), &[], |_| {}).code, Some(65));
}

/// It answers a correct request well, and every other one as a proxy does that does not reach its server.
#[test]
fn an_outage_is_neither_a_finding_nor_in_order() {
    let (_server, folder) = server(|received| {
        let params = Params::from_query(received.query());
        let body = String::from_utf8(received.content()).expect("UTF-8");
        let form = Params::from_query(&body);
        let is_good = params.get("code_challenge_method") == Some("S256")
            && params
                .get("code_challenge")
                .is_some_and(|it| it.len() == 43)
            && params.get("pkce_gate_doctor").is_none();
        match received.path() {
            "/authorize" if params.iter().count() == 0 => reply("400 Bad Request", &[], b""),
            "/authorize" if params.get("response_type") != Some("code") => {
                reply("400 Bad Request", &[], b"")
            }
            "/authorize" if is_good => reply("200 OK", &[], b"<h1>Sign in</h1>"),
            "/token" if form.iter().count() == 4 && received.query().is_empty() => {
                reply("400 Bad Request", &[], br#"{"error":"invalid_grant"}"#)
            }
            "/token" if form.iter().count() == 0 && received.query().is_empty() => {
                reply("400 Bad Request", &[], b"")
            }
            _ => reply("503 Service Unavailable", &[], b""),
        }
    });
    let doctor = run(&folder, &CLIENT, |_| {});
    assert_eq!(doctor.found().1, Vec::<String>::new(), "{}", doctor.out);
    let not_asked = doctor.json()["upstreams"][0]["not_asked"].to_string();
    for what in [
        "A request without a challenge: status 503",
        "the parameter pkce_gate_doctor=1 got status 503",
        "code_challenge=short with S256 got status 503",
        "code_challenge_method=plain got status 503",
        "a GET request got status 503",
        "a form with two values of code got status 503",
    ] {
        assert!(not_asked.contains(what), "{what}: {not_asked}");
    }
}

/// The server begins every sign-in, and shows an error afterwards if there is no challenge.
#[test]
fn a_sign_in_that_ends_on_an_error_page_counts_as_refused() {
    let (_server, folder) = server(|received| {
        let params = Params::from_query(received.query());
        let uri = params.get("redirect_uri").unwrap_or_default();
        let state = params.get("state").unwrap_or_default();
        let body = String::from_utf8(received.content()).expect("UTF-8");
        let form = Params::from_query(&body);
        match received.path() {
            "/authorize" => {
                let location = format!("/login?{}", received.query());
                reply("302 Found", &[("Location", &location)], b"")
            }
            "/login" if params.get("code_challenge").is_none() => {
                reply("200 OK", &[], b"PKCE is required")
            }
            // The code is the challenge.
            "/login" => {
                let code = params.get("code_challenge").unwrap_or_default();
                let location = format!("{uri}?code={code}&state={state}");
                reply("302 Found", &[("Location", &location)], b"")
            }
            "/token" if form.get("code_verifier").map(s256).as_deref() == form.get("code") => {
                reply("200 OK", &[], br#"{"access_token":"a"}"#)
            }
            _ => reply("400 Bad Request", &[], br#"{"error":"invalid_grant"}"#),
        }
    });
    let uri = format!("http://127.0.0.1:{}/cb", free_port());
    let login = LOGIN.map(|it| if it == "REDIRECT_URI" { &uri } else { it });
    let doctor = run(&folder, &login, |url| sign_in(&uri, url, visits(&uri)));
    let (verdict, codes) = doctor.found();
    assert_eq!(verdict, "required", "{}", doctor.out);
    assert!(
        codes.contains(&"code_redeemed_twice".to_owned()),
        "{codes:?}"
    );
    let observed = doctor.json()["upstreams"][0]["observed"].to_string();
    assert_eq!(observed.matches("(an error page)").count(), 2, "{observed}");
}
