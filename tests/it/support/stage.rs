//! One real server, used by one test, with a gate in front of it, or two behind `HAProxy`. When the stage is dropped, it checks
//! the server's ledger and everything that was received and logged: the upstream's own codes did not reach clients, and each
//! token was issued for a verified redemption.

use std::cell::{Cell, RefCell};
use std::process::{Command, Stdio};
use std::sync::{Arc, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::agent::{Agent, Transcript};
use super::balancer::{Balancer, Ports};
use super::client::{Authorization, access_token, assert_refused, assert_token};
use super::fixture::{free_port, program};
use super::front::TRUSTED;
use super::gate::Gate;
use super::http::{Request, Response};
use super::params::{Params, encode};
use super::raw::Connection;
use super::servers::{Ledger, Server, Target};

pub(crate) struct Stage {
    target: &'static Target,
    server: &'static Server,
    gates: Vec<Gate>,
    balancer: Option<Balancer>,
    /// The logs of gates that were restarted.
    earlier: Vec<String>,
    received: Transcript,
    /// Secrets that must not appear in the log.
    secrets: RefCell<Vec<String>>,
    /// The number of verified redemptions: those that got a token, and those that the server asked to repeat.
    verified: Cell<usize>,
    /// Whether clients get the upstream's own codes.
    codes_stay: bool,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    pub(crate) fn new(target: &'static Target) -> Self {
        Self::configured(target, "")
    }

    /// The gate knows the redirect URI of `pub`, so that refusals can be redirected.
    pub(crate) fn with_redirect_uri(target: &'static Target) -> Self {
        Self::with_client(target, "id = \"pub\"")
    }

    /// With one `[[upstream.client]]`, to which the redirect URI is added.
    pub(crate) fn with_client(target: &'static Target, client: &str) -> Self {
        Self::configured(
            target,
            &format!("[[upstream.client]]\nredirect_uris = [\"REDIRECT_URI\"]\n{client}\n"),
        )
    }

    /// With more tables of the upstream.
    pub(crate) fn configured(target: &'static Target, tables: &str) -> Self {
        let (server, turn) = target.profile.borrow();
        let tables = tables.replace("REDIRECT_URI", &server.redirect_uri);
        let config = config(target, server, (&server.gate, free_port()), &tables);
        Self::of(target, (server, turn), vec![Gate::start(&config)], None)
    }

    /// The configuration is the text that `configure` returns for the server and a free port for operators.
    pub(crate) fn with_text(
        target: &'static Target,
        configure: impl FnOnce(&Server, u16) -> String,
    ) -> Self {
        let (server, turn) = target.profile.borrow();
        let gate = Gate::start(&configure(server, free_port()));
        Self::of(target, (server, turn), vec![gate], None)
    }

    /// Two gates behind `HAProxy`, which listens at the public URL and sends each request to the next gate.
    pub(crate) fn balanced(target: &'static Target, store: &str) -> Self {
        let (server, turn) = target.profile.borrow();
        let ports = [Ports::free(), Ports::free()];
        let gates = ports.map(|ports| {
            let listen = ports.address().to_string();
            let tables = format!("[store]\n{store}");
            Gate::start(&config(target, server, (&listen, ports.admin), &tables))
        });
        let (_, port) = server.gate.rsplit_once(':').expect("a port");
        let balancer = Balancer::start(port.parse().expect("a port"), ports);
        Self::of(target, (server, turn), Vec::from(gates), Some(balancer))
    }

    fn of(
        target: &'static Target,
        (server, turn): (&'static Server, MutexGuard<'static, ()>),
        gates: Vec<Gate>,
        balancer: Option<Balancer>,
    ) -> Self {
        Self {
            target,
            server,
            gates,
            balancer,
            earlier: Vec::new(),
            received: Arc::default(),
            secrets: RefCell::new(vec!["sekrit".to_owned()]),
            verified: Cell::new(0),
            codes_stay: false,
            _turn: turn,
        }
    }

    pub(crate) fn gate_url(&self) -> String {
        self.server.public_url()
    }

    /// The URL of the server itself, without the gate.
    pub(crate) fn server_url(&self) -> &str {
        &self.server.url
    }

    pub(crate) fn redirect_uri(&self) -> &str {
        &self.server.redirect_uri
    }

    /// The second registered redirect URI, on another site.
    pub(crate) fn redirect_uri_elsewhere(&self) -> &str {
        &self.server.elsewhere
    }

    /// The logs of the gates so far.
    pub(crate) fn logs(&self) -> Vec<String> {
        self.gates.iter().map(Gate::log).collect()
    }

    /// The address for operators of the only gate.
    pub(crate) fn admin(&mut self) -> String {
        self.gate().address("admin").to_string()
    }

    /// The only gate.
    pub(crate) fn gate(&mut self) -> &mut Gate {
        let [gate] = &mut self.gates[..] else {
            panic!("a stage with one gate")
        };
        gate
    }

    /// Stops the only gate as a service manager does. `prepare` then returns the configuration with which another one starts.
    pub(crate) fn restart(&mut self, prepare: impl FnOnce() -> String) {
        let gate = self.gate();
        gate.signal("TERM");
        assert!(gate.wait_for_end().success(), "{}", gate.log());
        let log = gate.stop();
        self.earlier.push(log);
        self.gates = vec![Gate::start(&prepare())];
    }

    /// Waits until the log of the only gate satisfies `is_so`.
    #[track_caller]
    pub(crate) fn log_until(&self, is_so: impl Fn(&str) -> bool) {
        let [gate] = &self.gates[..] else {
            panic!("a stage with one gate")
        };
        gate.log_until(is_so);
    }

    /// The proxy in front of two gates.
    pub(crate) fn balancer(&self) -> &Balancer {
        self.balancer.as_ref().expect("a stage with two gates")
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.server.ledger()
    }

    pub(crate) fn user(&self) -> Agent {
        Agent::new(self.redirect_uri(), Arc::clone(&self.received))
    }

    /// A complete and correct request of the client `pub`.
    pub(crate) fn authorization(&self) -> Authorization {
        let authorization = Authorization::new(self.redirect_uri(), self.target.response_mode);
        let state = authorization.state().unwrap_or_default().to_owned();
        self.keep_out_of_the_log([state, authorization.verifier.clone()]);
        authorization
    }

    pub(crate) fn url(&self, authorization: &Authorization) -> String {
        self.target
            .authorization_url(&self.gate_url(), authorization)
    }

    /// Signs a new user in and returns the code that the client received.
    pub(crate) fn code_for(&self, authorization: &Authorization) -> String {
        let code = self
            .user()
            .sign_in(&self.url(authorization))
            .client()
            .code()
            .to_owned();
        self.keep_out_of_the_log([code.clone()]);
        code
    }

    pub(crate) fn token(&self, request: &Params) -> Response {
        let url = self.target.token_url(&self.gate_url());
        self.exchange(&Request::post(&url, request.encoded()))
    }

    /// Posts a form to another path at the gate.
    pub(crate) fn post(&self, path: &str, form: &Params) -> Response {
        let url = format!("{}{path}", self.gate_url());
        self.exchange(&Request::post(&url, form.encoded()))
    }

    /// A token request of a client that authenticates with HTTP Basic.
    pub(crate) fn token_with_basic(&self, client: (&str, &str), request: &Params) -> Response {
        let url = self.target.token_url(&self.gate_url());
        let credentials = STANDARD.encode(format!("{}:{}", client.0, client.1));
        let request = Request::post(&url, request.encoded());
        self.exchange(&request.header("Authorization", format!("Basic {credentials}")))
    }

    fn exchange(&self, request: &Request<'_>) -> Response {
        let response = request.send();
        self.received
            .lock()
            .expect("the transcript")
            .extend_from_slice(&response.raw);
        if let Some(token) = access_token(&response) {
            self.granted(1);
            self.keep_out_of_the_log([token]);
        }
        response
    }

    /// Sends exactly these bytes on a separate connection; `None` if the gate closes it without an answer.
    pub(crate) fn send(&self, bytes: &[u8]) -> Option<Response> {
        let address = self.server.gate.parse().expect("an address");
        let mut connection = Connection::open(address);
        connection.try_send(bytes);
        let response = connection.try_response().ok()?;
        self.received
            .lock()
            .expect("the transcript")
            .extend_from_slice(&response.raw);
        Some(response)
    }

    /// Host and path of the token endpoint.
    pub(crate) fn token_endpoint(&self) -> (&str, &'static str) {
        (&self.server.gate, self.target.profile.token[0])
    }

    /// The ports of the proxy in front of the gate, and of the gate.
    pub(crate) fn ports(&self) -> (u16, u16) {
        let (_, gate) = self.server.gate.rsplit_once(':').expect("a port");
        let front = self.server.front.expect("the server has a proxy");
        (front, gate.parse().expect("a port"))
    }

    /// Runs a client or the browser against the gate. Its output is one line of JSON, and counts as received.
    pub(crate) fn run(&self, path: &str, arguments: &[&str]) -> Value {
        self.run_by(program(path), arguments)
    }

    /// The same with a prepared command.
    pub(crate) fn run_by(&self, mut command: Command, arguments: &[&str]) -> Value {
        command
            .args(["--redirect-uri", self.redirect_uri()])
            .args(arguments);
        let output = command
            .stdin(Stdio::null())
            .output()
            .expect("the program starts");
        self.received
            .lock()
            .expect("the transcript")
            .extend_from_slice(&output.stdout);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{command:?}: {error} in {output:?}"))
    }

    /// For `codes = "upstream"`.
    pub(crate) fn with_own_codes(mut self) -> Self {
        self.codes_stay = true;
        self
    }

    /// Sends the wrong token requests, and then the right one twice. Only the right one may reach the server, once.
    #[track_caller]
    pub(crate) fn redeems_only(&self, right: &Params, wrong: &[Params]) {
        for wrong in wrong {
            assert_refused(&self.token(wrong), "invalid_grant");
        }
        assert!(
            self.ledger().redemptions().is_empty(),
            "nothing reached the server"
        );
        assert_token(&self.token(right));
        assert_refused(&self.token(right), "invalid_grant");
        assert_eq!(self.ledger().answers(), [200]);
    }

    /// Announces tokens that another program got.
    pub(crate) fn granted(&self, tokens: usize) {
        self.verified.set(self.verified.get() + tokens);
    }

    /// Announces verified redemptions that the server asked to repeat, for instance with a nonce.
    pub(crate) fn sent_back(&self, redemptions: usize) {
        self.verified.set(self.verified.get() + redemptions);
    }

    pub(crate) fn keep_out_of_the_log(&self, secrets: impl IntoIterator<Item = String>) {
        self.secrets.borrow_mut().extend(secrets);
    }

    fn check(&self, log: &str) {
        let ledger = self.ledger();
        let received = self.received.lock().expect("the transcript");
        for code in &ledger.codes {
            let seen = received
                .windows(code.len())
                .any(|window| window == code.as_bytes());
            assert!(
                !seen || self.codes_stay,
                "the upstream's own code {code} left the trusted side"
            );
            assert!(
                !log.contains(code),
                "the upstream's own code {code} is in the log"
            );
        }
        for secret in self.secrets.borrow().iter() {
            assert!(
                !log.contains(secret) && !log.contains(&encode(secret)),
                "{secret} is in the log: {log}"
            );
        }
        let redemptions = ledger.redemptions();
        assert_eq!(
            redemptions.len(),
            self.verified.get(),
            "codes reached the token endpoint unverified: {redemptions:#?}"
        );
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let logs = self.gates.iter_mut().map(Gate::stop);
        let logs = self.earlier.drain(..).chain(logs);
        let log = logs.collect::<Vec<_>>().join("\n");
        if std::thread::panicking() {
            println!("the gate's log:\n{log}");
        } else {
            self.check(&log);
        }
    }
}

/// For a gate that listens at that address, with that port for operators.
fn config(target: &Target, server: &Server, (listen, admin): (&str, u16), tables: &str) -> String {
    let profile = target.profile;
    format!(
        r#"
[server]
listen = ["{listen}"]
{trusted}

[admin]
listen = "127.0.0.1:{admin}"

[[upstream]]
name = "real"
url = "{url}"
public_url = "{public}"

[upstream.endpoints]
authorization = {authorization:?}
token = {token:?}
metadata = ["{metadata}"]

{tables}"#,
        trusted = if server.front.is_some() || listen != server.gate {
            TRUSTED // it is behind a proxy
        } else {
            ""
        },
        public = server.public_url(),
        url = server.url,
        authorization = profile.authorization,
        token = profile.token,
        metadata = profile.metadata,
    )
}
