//! A scripted upstream, for behaviour that real servers do not show on demand. By default it is a maximally permissive OAuth
//! server: it issues a code for any authorization request, without a login, and a token for any request that contains one of
//! its codes anywhere, in any encoding, on any path, any number of times. So it redeems every code that the gate lets through.
//! It checks nothing and records every byte.
//!
//! A test changes its answers with [`Scripted::on`] and [`Scripted::once`], its treatment of connections with
//! [`Scripted::greet`], [`Scripted::refuse`] and [`Scripted::idle`], and reads the record with [`Scripted::ledger`] and
//! [`Scripted::redemptions_without_verified_verifier`].

mod connection;
mod oauth;
mod request;

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::http::PATIENCE;
use super::port::{Accepting, Listening, Port, reset};
pub(crate) use oauth::{Redemption, Shape};
pub(crate) use request::Received;

pub(crate) struct Scripted {
    port: Port,
    shared: Arc<Shared>,
    listens: Mutex<Listens>,
}

/// How a request is answered.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// As the permissive server would answer.
    Serve,
    /// These bytes, after the whole request has arrived; then `Then`.
    Say(Vec<u8>, Then),
    /// The same, as soon as the head has arrived; the body is not read.
    Interrupt(Vec<u8>, Then),
    /// The bytes that are sent over the channel, piece by piece. When the sender is dropped, the connection is closed.
    Feed(Arc<Mutex<mpsc::Receiver<Vec<u8>>>>),
    /// What the test computes from the whole request.
    Compute(Answerer),
}

/// A function from a request to the bytes of its answer.
#[derive(Clone)]
pub(crate) struct Answerer(pub(crate) Arc<Answer>);

type Answer = dyn Fn(&Received) -> Vec<u8> + Send + Sync;

impl std::fmt::Debug for Answerer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answerer")
    }
}

/// What happens to the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It stays open for the next request.
    GoOn,
    Close,
    /// It is reset.
    Reset,
    /// It stays open without another byte, until the peer closes it.
    Stall,
}

/// How a new connection is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Greeting {
    Serve,
    /// It is closed before a byte is read.
    Close,
    /// It is reset before a byte is read.
    Reset,
}

/// A byte stream with or without TLS; [`Scripted::start_with`] wraps it.
pub(crate) trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

type Wrap = Box<dyn Fn(TcpStream) -> Box<dyn Stream> + Send + Sync>;

/// What happens to new connections.
enum Listens {
    Accepts(Accepting),
    Refuses,
    /// The kernel's accept queue is full of these clients, and no connection is accepted.
    Ignores {
        _listening: Listening,
        _clients: [Socket; 4],
    },
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    wrap: Wrap,
}

#[derive(Default)]
struct State {
    ledger: Vec<Received>,
    /// The open connections, by number.
    connections: BTreeMap<usize, TcpStream>,
    accepted: usize,
    greeting: Option<Greeting>,
    idle: Option<Duration>,
    always: Vec<(String, Act)>,
    once: VecDeque<(String, Act)>,
    oauth: oauth::Server,
}

impl Scripted {
    /// Starts the permissive server on a new port.
    pub(crate) fn start() -> Self {
        Self::start_with(Box::new(|tcp| Box::new(tcp)))
    }

    /// The same, with a wrapper around the socket, such as TLS.
    pub(crate) fn start_with(wrap: Wrap) -> Self {
        let scripted = Self {
            port: Port::free(),
            shared: Arc::new(Shared {
                state: Mutex::default(),
                changed: Condvar::new(),
                wrap,
            }),
            listens: Mutex::new(Listens::Refuses),
        };
        scripted.accept();
        scripted
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Sets the answer on this path (`*`: any path) from now on.
    pub(crate) fn on(&self, path: &str, act: Act) {
        self.shared.state().always.insert(0, (path.to_owned(), act));
    }

    /// Sets the answer to one request on this path. It precedes other settings; several are used in order.
    pub(crate) fn once(&self, path: &str, act: Act) {
        self.shared.state().once.push_back((path.to_owned(), act));
    }

    /// For one request on this path, sends everything that the test puts into the channel. Until the sender is dropped, which
    /// closes the connection, the upstream reads nothing more from it.
    pub(crate) fn feed(&self, path: &str) -> mpsc::Sender<Vec<u8>> {
        let (feed, eaten) = mpsc::channel();
        self.once(path, Act::Feed(Arc::new(Mutex::new(eaten))));
        feed
    }

    /// Resets everything except the ledger.
    pub(crate) fn heal(&self) {
        let mut state = self.shared.state();
        state.always.clear();
        state.once.clear();
        (state.greeting, state.idle) = (None, None);
        drop(state);
        self.accept();
    }

    /// Sets how new connections are treated.
    pub(crate) fn greet(&self, greeting: Greeting) {
        self.shared.state().greeting = Some(greeting);
    }

    /// Kept-alive connections are closed this long after their last answer.
    pub(crate) fn idle(&self, limit: Duration) {
        self.shared.state().idle = Some(limit);
    }

    /// Closes all connections, and refuses new ones until [`Scripted::accept`].
    pub(crate) fn refuse(&self) {
        self.close_all(&mut self.listens());
    }

    /// Closes all connections, and leaves new ones waiting in the kernel's queue.
    pub(crate) fn ignore(&self) {
        let listens = &mut *self.listens();
        self.close_all(listens);
        let listening = self.port.listen(0);
        let client = |()| {
            let client = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            client.set_nonblocking(true).expect("an option is set");
            client.connect(&self.address().into()).ok(); // it returns "in progress"
            client
        };
        *listens = Listens::Ignores {
            _listening: listening,
            _clients: [(); 4].map(client),
        };
    }

    /// Accepts connections again after [`Scripted::refuse`] or [`Scripted::ignore`].
    pub(crate) fn accept(&self) {
        let listens = &mut *self.listens();
        if matches!(listens, Listens::Accepts(_)) {
            return;
        }
        *listens = Listens::Refuses; // the port is free before it listens again
        let shared = Arc::clone(&self.shared);
        *listens = Listens::Accepts(self.port.accept(move |stream| shared.welcome(stream)));
    }

    fn listens(&self) -> MutexGuard<'_, Listens> {
        self.listens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close_all(&self, listens: &mut Listens) {
        if let Listens::Accepts(accepting) = std::mem::replace(listens, Listens::Refuses) {
            accepting.stop();
        }
        for stream in self.shared.state().connections.values() {
            stream.shutdown(Shutdown::Both).ok(); // it may be closed already
        }
    }

    /// Sets the form of authorization responses from now on, whatever the request asks for.
    pub(crate) fn answer_with(&self, shape: Shape) {
        self.shared.state().oauth.shape = shape;
    }

    /// Sets the next code to be issued.
    pub(crate) fn issue(&self, code: &str) {
        self.shared
            .state()
            .oauth
            .next_codes
            .push_back(code.to_owned());
    }

    /// Every request, in the order in which their heads arrived.
    pub(crate) fn ledger(&self) -> Vec<Received> {
        self.shared.state().ledger.clone()
    }

    pub(crate) fn requests_to(&self, path: &str) -> Vec<Received> {
        let mut ledger = self.ledger();
        ledger.retain(|received| received.path() == path);
        ledger
    }

    /// Waits until the ledger satisfies `is_so`; after a timeout the test fails and shows the ledger.
    #[track_caller]
    pub(crate) fn wait_until(&self, is_so: impl Fn(&[Received]) -> bool) {
        let state = self.shared.state();
        let (state, waited) = self
            .shared
            .changed
            .wait_timeout_while(state, PATIENCE, |state| !is_so(&state.ledger))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "still not: {:#?}", state.ledger);
    }

    /// The number of accepted connections.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.state().accepted
    }

    /// The codes that it issued, in order.
    pub(crate) fn codes(&self) -> Vec<String> {
        self.shared.state().oauth.codes()
    }

    /// The tokens that it issued, for codes or otherwise.
    pub(crate) fn tokens(&self) -> Vec<String> {
        self.shared.state().oauth.tokens.clone()
    }

    /// The requests that contained one of its codes. Each got a token, unless the script said otherwise.
    pub(crate) fn redemptions(&self) -> Vec<Redemption> {
        self.shared.state().oauth.redemptions.clone()
    }

    /// Announces the one correct token request for a code of the authorization request with this `nonce`. Each call permits one
    /// redemption.
    pub(crate) fn vouch(&self, nonce: &str) {
        self.shared.state().oauth.vouched.push(nonce.to_owned());
    }

    /// The oracle: every redemption that the test did not announce, and every one whose verifier, if the upstream receives it,
    /// does not match the challenge. It must stay empty in every test.
    pub(crate) fn redemptions_without_verified_verifier(&self) -> Vec<Redemption> {
        self.shared.state().oauth.unverified()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.refuse();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the head of a request. Returns its index, and how it is answered.
    fn begin(&self, received: Received) -> (usize, Act) {
        let mut state = self.state();
        let matches = |(path, _): &(String, Act)| path == "*" || path == received.path();
        let once = state.once.iter().position(matches);
        let act = match once.and_then(|index| state.once.remove(index)) {
            Some((_, act)) => Some(act),
            None => state
                .always
                .iter()
                .find(|entry| matches(entry))
                .map(|(_, act)| act.clone()),
        };
        state.ledger.push(received);
        self.changed.notify_all();
        (state.ledger.len() - 1, act.unwrap_or(Act::Serve))
    }

    /// Records the part of the body that has arrived.
    fn progress(&self, index: usize, body: &[u8], complete: bool) {
        let received = &mut self.state().ledger[index];
        received.body = body.to_vec();
        received.complete = complete;
        self.changed.notify_all();
    }

    /// The permissive server's answer.
    fn serve(&self, index: usize) -> Vec<u8> {
        let state = &mut *self.state();
        state.oauth.answer(&state.ledger[index])
    }

    /// A request whose body is complete.
    fn received(&self, index: usize) -> Received {
        self.state().ledger[index].clone()
    }

    /// A request with a scripted answer may be a redemption, too.
    fn note(&self, index: usize) {
        let state = &mut *self.state();
        state.oauth.note(&state.ledger[index]);
    }

    fn welcome(self: &Arc<Self>, stream: TcpStream) {
        stream.set_nodelay(true).expect("an option is set");
        let mut state = self.state();
        state.accepted += 1;
        match state.greeting.unwrap_or(Greeting::Serve) {
            Greeting::Close => return,
            Greeting::Reset => return reset(&stream),
            Greeting::Serve => {}
        }
        let number = state.accepted;
        let watched = stream.try_clone().expect("a socket can be shared");
        state.connections.insert(number, watched);
        drop(state);
        let shared = Arc::clone(self);
        thread::spawn(move || {
            connection::serve(&shared, number, stream);
            shared.state().connections.remove(&number);
        });
    }
}

/// An answer with a Content-Length. `status` includes the reason phrase: `"200 OK"`.
pub(crate) fn reply(status: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let length = format!("Content-Length: {}\r\n\r\n", body.len());
    [head(status, fields).as_bytes(), length.as_bytes(), body].concat()
}

/// An answer in chunks.
pub(crate) fn chunked(status: &str, fields: &[(&str, &str)], chunks: &[&[u8]]) -> Vec<u8> {
    let mut bytes =
        format!("{}Transfer-Encoding: chunked\r\n\r\n", head(status, fields)).into_bytes();
    for chunk in chunks.iter().chain([&&b""[..]]) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// An answer that ends with the connection.
pub(crate) fn until_close(status: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    [head(status, fields).as_bytes(), b"\r\n", body].concat()
}

/// A JSON answer.
pub(crate) fn json(status: &str, document: &serde_json::Value) -> Vec<u8> {
    let body = document.to_string();
    reply(
        status,
        &[("Content-Type", "application/json")],
        body.as_bytes(),
    )
}

/// Status line and fields, without the empty line.
fn head(status: &str, fields: &[(&str, &str)]) -> String {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("HTTP/1.1 {status}\r\n{}", fields.concat())
}
