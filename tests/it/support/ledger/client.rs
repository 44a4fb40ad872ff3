//! The clients of the harness: each flow, step by step. A client never panics; what it saw is its ledger.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::check::oauth_error;
use super::{End, Flow, Kind, Outcome, SEND, Sent, Step, Tick};
use crate::support::client::{Authorization, access_token};
use crate::support::http::Response;
use crate::support::params::{Params, unguessable};
use crate::support::rig::{REDIRECT_URI, cookie_of, request, target};
use crate::support::wire::{Framing, end_of_body, end_of_head};

/// How long a client waits for an answer: longer than every time limit of a gate.
const DEADLINE: Duration = Duration::from_mins(1);
/// How often a client tries all gates before it gives up, and the time between two attempts.
const ATTEMPTS: usize = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// What all clients share.
pub(super) struct Clients {
    /// The gates, by turns for each request, or the load balancer in front of them.
    bases: Vec<SocketAddr>,
    turn: AtomicUsize,
    /// Connections for the next requests. `None`: every request has a connection of its own.
    idle: Option<Mutex<Vec<TcpStream>>>,
    ticks: AtomicUsize,
    sends: Mutex<Vec<Sent>>,
    /// The number of flows that have ended.
    pub(super) ended: AtomicUsize,
}

impl Clients {
    pub(super) fn of(bases: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self {
            bases: bases.into_iter().collect(),
            turn: AtomicUsize::new(0),
            idle: None,
            ticks: AtomicUsize::new(0),
            sends: Mutex::default(),
            ended: AtomicUsize::new(0),
        }
    }

    /// The load balancer at that address. Connections are used again, and a request is not repeated if its connection breaks.
    pub(super) fn behind(balancer: SocketAddr) -> Self {
        let mut clients = Self::of([balancer]);
        clients.idle = Some(Mutex::default());
        clients
    }

    pub(super) fn tick(&self) -> Tick {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    pub(super) fn sends(&self) -> Vec<Sent> {
        self.sends
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Runs a whole flow.
    pub(super) fn run(&self, id: usize, kind: Kind) -> Flow {
        let authorization =
            Authorization::new(REDIRECT_URI, None).with("client_id", &format!("flow{id}"));
        let authorization = if kind == Kind::NoChallenge {
            authorization.without_challenge()
        } else {
            authorization
        };
        let begun = self.tick();
        let running = Running {
            clients: self,
            id,
            authorization: &authorization,
        };
        let end = match running.sign_in() {
            Ok(code) => running.redeem(kind, &code),
            Err(end) => end,
        };
        running.ask_elsewhere(&end);
        self.ended.fetch_add(1, Ordering::SeqCst);
        Flow {
            id,
            kind,
            authorization,
            begun,
            ended: self.tick(),
            end,
        }
    }

    /// Sends a request to the next gate that accepts a connection, and waits a little for one, as load balancers do.
    fn send(
        &self,
        flow: usize,
        step: Step,
        params: &Params,
        render: impl Fn(&str) -> Vec<u8>,
    ) -> Outcome {
        for attempt in 0..ATTEMPTS * self.bases.len() {
            if attempt > 0 && attempt % self.bases.len() == 0 {
                thread::sleep(PAUSE);
            }
            let turn = self.turn.fetch_add(1, Ordering::SeqCst) % self.bases.len();
            let (id, bytes) = {
                let mut sends = self.sends.lock().unwrap_or_else(PoisonError::into_inner);
                let id = sends.len();
                let bytes = render(&id.to_string());
                sends.push(Sent {
                    id,
                    flow,
                    step,
                    params: params.clone(),
                    bytes: bytes.clone(),
                    outcome: Outcome::Hung,
                });
                (id, bytes)
            };
            let outcome = self.exchange(self.bases[turn], &bytes);
            let mut sends = self.sends.lock().unwrap_or_else(PoisonError::into_inner);
            sends[id].outcome = outcome.clone();
            drop(sends);
            if !matches!(outcome, Outcome::NotSent) {
                return outcome;
            }
        }
        Outcome::NotSent
    }

    fn exchange(&self, address: SocketAddr, bytes: &[u8]) -> Outcome {
        let idle = || {
            let idle = self.idle.as_ref()?;
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.pop()
        };
        let Some(mut stream) = idle().or_else(|| connect(address)) else {
            return Outcome::NotSent;
        };
        let outcome = exchange(&mut stream, bytes);
        if let (Some(idle), Outcome::Answer(response)) = (&self.idle, &outcome)
            && response.header("connection") != Some("close")
        {
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push(stream);
        }
        outcome
    }
}

struct Running<'a> {
    clients: &'a Clients,
    id: usize,
    authorization: &'a Authorization,
}

impl Running<'_> {
    /// From the authorization request to the code.
    fn sign_in(&self) -> Result<String, End> {
        let mut place = target(self.authorization);
        let mut cookie = String::new();
        // One redirect is the gate's own.
        for _ in 0..3 {
            let (_, query) = place.split_once('?').unwrap_or_default();
            let params = Params::from_query(query);
            let render = |id: &str| {
                let fields = [(SEND, id), ("Cookie", &cookie)];
                let fields = if cookie.is_empty() {
                    &fields[..1]
                } else {
                    &fields
                };
                request("GET", &place, fields, None)
            };
            let response = answer(self.clients.send(self.id, Step::Authorize, &params, render))?;
            let location = response.header("location").unwrap_or_default().to_owned();
            if location.starts_with('/') {
                cookie = cookie_of(&response).unwrap_or(cookie);
                place = location;
                continue;
            }
            return self.response(&response, &location);
        }
        Err(End::Malformed("redirects without an end".to_owned()))
    }

    /// The code of an authorization response.
    fn response(&self, response: &Response, location: &str) -> Result<String, End> {
        let Some(query) = location.strip_prefix(REDIRECT_URI) else {
            let is_page = response.status >= 400 && !response.body.is_empty();
            return Err(if is_page {
                End::Error(format!("a page, {}", response.status))
            } else {
                End::Malformed(response.to_string())
            });
        };
        let params = Params::from_query(query.trim_start_matches('?'));
        if params.get("state") != self.authorization.state() {
            return Err(End::Malformed(format!("another state: {response}")));
        }
        match (params.get("code"), params.get("error")) {
            (Some(code), None) => Ok(code.to_owned()),
            (None, Some(error)) => Err(End::Error(error.to_owned())),
            _ => Err(End::Malformed(response.to_string())),
        }
    }

    fn redeem(&self, kind: Kind, code: &str) -> End {
        let form = self.authorization.redemption(code);
        let form = form.with("client_id", &format!("flow{}", self.id));
        let attack = match kind {
            Kind::Honest | Kind::Replay | Kind::Race(_) => None,
            Kind::WrongVerifier => Some(form.clone().with("code_verifier", &unguessable())),
            Kind::NoVerifier => Some(form.clone().without("code_verifier")),
            Kind::OtherClient => Some(
                form.clone()
                    .with("client_id", &format!("flow{}-other", self.id)),
            ),
            Kind::OtherRedirectUri => Some(
                form.clone()
                    .with("redirect_uri", "https://client.test/other"),
            ),
            // There is no verifier, and no rightful redemption.
            Kind::NoChallenge => return self.token(&form.without("code_verifier")),
        };
        if let Some(attack) = attack {
            self.token(&attack);
        }
        let end = if let Kind::Race(times) = kind {
            self.race(times, &form)
        } else {
            self.token(&form)
        };
        if kind == Kind::Replay {
            self.token(&form);
        }
        end
    }

    /// A request that the gate has to pass as it is, with the token if there is one.
    fn ask_elsewhere(&self, end: &End) {
        let token = if let End::Token(token) = end {
            format!("Bearer {token}")
        } else {
            "Basic bm9ib2R5Og==".to_owned()
        };
        let (method, path) = Step::Elsewhere.request();
        let target = format!("{path}?a=%7E&a=+b&%41=&empty&q=/../x;y");
        let body = "\u{0}{\"text\": \"\u{e4}\r\n\r\n\"}\n";
        let render = |id: &str| {
            let fields = [
                (SEND, id),
                ("Authorization", &token),
                ("Content-Type", "application/json"),
                ("Accept", "text/html;q=0.5, */*"),
                ("X-Odd", "Two  spaces,and;signs"),
                ("Cookie", "a=1; b=\"2\""),
            ];
            request(method, &target, &fields, Some(body))
        };
        self.clients
            .send(self.id, Step::Elsewhere, &Params::default(), render);
    }

    fn token(&self, form: &Params) -> End {
        let render = |id: &str| request("POST", "/token", &[(SEND, id)], Some(&form.encoded()));
        match answer(self.clients.send(self.id, Step::Token, form, render)) {
            Ok(response) => match (access_token(&response), oauth_error(&response)) {
                (Some(token), _) => End::Token(token),
                (None, Ok(error)) => End::Error(error),
                (None, Err(what)) => End::Malformed(what),
            },
            Err(end) => end,
        }
    }

    /// Sends the same request that many times at once. Ends in the token if one got it.
    fn race(&self, times: usize, form: &Params) -> End {
        let barrier = Barrier::new(times);
        let mut ends: Vec<End> = thread::scope(|scope| {
            let start = |_| {
                scope.spawn(|| {
                    barrier.wait();
                    self.token(form)
                })
            };
            let threads: Vec<_> = (0..times).map(start).collect();
            let ends = threads.into_iter().map(thread::ScopedJoinHandle::join);
            ends.map(|end| end.expect("a client does not panic"))
                .collect()
        });
        let token = ends.iter().position(|end| matches!(end, End::Token(_)));
        ends.swap_remove(token.unwrap_or_default())
    }
}

fn answer(outcome: Outcome) -> Result<Response, End> {
    match outcome {
        Outcome::Answer(response) => Ok(response),
        Outcome::Broken(bytes) if !bytes.is_empty() => Err(End::Truncated),
        Outcome::NotSent | Outcome::Broken(_) => Err(End::Broken),
        Outcome::Hung => Err(End::Hung),
    }
}

fn connect(address: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, DEADLINE).ok()?;
    stream
        .set_read_timeout(Some(DEADLINE))
        .expect("a timeout is set");
    stream
        .set_write_timeout(Some(DEADLINE))
        .expect("a timeout is set");
    stream.set_nodelay(true).expect("an option is set");
    Some(stream)
}

fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> Outcome {
    // If this fails, an answer may have arrived all the same.
    stream.write_all(bytes).ok();
    let (mut came, mut piece) = (Vec::new(), vec![0; 16 * 1024]);
    loop {
        if let Some(response) = whole(&came) {
            return Outcome::Answer(response);
        }
        match stream.read(&mut piece) {
            Ok(0) => return Outcome::Broken(came),
            Ok(length) => came.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {
                return Outcome::Hung;
            }
            Err(_) => return Outcome::Broken(came),
        }
    }
}

/// The answer, if it is complete. One without a length is not: its end looks like a truncation.
fn whole(bytes: &[u8]) -> Option<Response> {
    let head = end_of_head(bytes)?;
    let framing = Framing::of_response(&bytes[..head]);
    let end = end_of_body(framing, &bytes[head..])?;
    Some(Response::parse(bytes[..head + end].to_vec()))
}
