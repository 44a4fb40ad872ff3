//! An upstream of our own, for everything that no real server does when it is asked to. By default it is the most
//! permissive OAuth server imaginable: it gives a code for any authorization request, without a login, and a token for any
//! request in which one of its codes stands anywhere, in whatever encoding, on whatever path, as often as it comes. So
//! whatever a gate lets through, it redeems. It judges nothing and writes down everything, byte for byte.
//!
//! A test changes what it does with [`Scripted::on`] and [`Scripted::once`], how it treats connections with
//! [`Scripted::greet`], [`Scripted::refuse`] and [`Scripted::idle`], and asks it afterwards with [`Scripted::ledger`] and
//! [`Scripted::redemptions_without_verified_verifier`].

mod connection;
mod oauth;
mod request;

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::http::PATIENCE;
pub(crate) use oauth::{Redemption, Shape};
pub(crate) use request::Received;

/// How long the door is left ajar between two looks.
const LOOK: Duration = Duration::from_millis(1);

pub(crate) struct Scripted {
    address: SocketAddr,
    shared: Arc<Shared>,
    door: Mutex<Door>,
    /// Bound and never listening: nobody else is given the port while the door is shut.
    _port: Socket,
}

/// What a request is answered with.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// What the permissive server would answer.
    Serve,
    /// These bytes, once the whole request is there, and then the end of it.
    Say(Vec<u8>, Then),
    /// The same as soon as the head is there; the body is not read.
    Interrupt(Vec<u8>, Then),
    /// Whatever comes out, piece by piece; when the other end is dropped the connection is closed.
    Feed(Arc<Mutex<mpsc::Receiver<Vec<u8>>>>),
}

/// What becomes of the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The next request.
    GoOn,
    Close,
    /// With a RST.
    Reset,
    /// Not a byte more, until the other side goes away.
    Stall,
}

/// What becomes of a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Greeting {
    Serve,
    /// Closed before a byte is read.
    Close,
    /// Likewise, with a RST.
    Reset,
}

/// A byte stream with TLS or without; the wrapping happens in [`Scripted::start_with`].
pub(crate) trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

type Wrap = Box<dyn Fn(TcpStream) -> Box<dyn Stream> + Send + Sync>;

enum Door {
    Open(JoinHandle<()>),
    Shut,
    /// Nobody accepts, and the kernel's queue is full of these.
    Ignored {
        _sockets: Vec<Socket>,
    },
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    wrap: Wrap,
    shutting: AtomicBool,
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
    /// The permissive server, on a port of its own.
    pub(crate) fn start() -> Self {
        Self::start_with(Box::new(|tcp| Box::new(tcp)))
    }

    /// The same with something between it and the socket, such as TLS.
    pub(crate) fn start_with(wrap: Wrap) -> Self {
        let port = bound(([127, 0, 0, 1], 0).into());
        let address = port.local_addr().expect("a bound socket has an address");
        let scripted = Self {
            address: address.as_socket().expect("an IP address"),
            shared: Arc::new(Shared {
                state: Mutex::default(),
                changed: Condvar::new(),
                wrap,
                shutting: AtomicBool::new(false),
            }),
            door: Mutex::new(Door::Shut),
            _port: port,
        };
        scripted.accept();
        scripted
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on, on this path (`*`: any path).
    pub(crate) fn on(&self, path: &str, act: Act) {
        self.shared.state().always.insert(0, (path.to_owned(), act));
    }

    /// For one request on this path, before anything else that was said about it; several are used up in order.
    pub(crate) fn once(&self, path: &str, act: Act) {
        self.shared.state().once.push_back((path.to_owned(), act));
    }

    /// For one request on this path: what is sent here goes out at once. Until the sender is dropped, which closes the
    /// connection, nothing else is read from it.
    pub(crate) fn feed(&self, path: &str) -> mpsc::Sender<Vec<u8>> {
        let (feed, eaten) = mpsc::channel();
        self.once(path, Act::Feed(Arc::new(Mutex::new(eaten))));
        feed
    }

    /// Everything as in the beginning, but for the ledger.
    pub(crate) fn heal(&self) {
        let mut state = self.shared.state();
        state.always.clear();
        state.once.clear();
        (state.greeting, state.idle) = (None, None);
        drop(state);
        self.accept();
    }

    /// How new connections are received.
    pub(crate) fn greet(&self, greeting: Greeting) {
        self.shared.state().greeting = Some(greeting);
    }

    /// Kept-alive connections are closed so long after the last answer.
    pub(crate) fn idle(&self, limit: Duration) {
        self.shared.state().idle = Some(limit);
    }

    /// Closes all connections, and refuses new ones until [`Scripted::accept`].
    pub(crate) fn refuse(&self) {
        self.shut(&mut self.door());
    }

    /// Closes all connections, and lets new ones wait for ever.
    pub(crate) fn ignore(&self) {
        let door = &mut *self.door();
        self.shut(door);
        let silent = bound(self.address);
        silent.listen(0).expect("the port is ours");
        let client = || {
            let client = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            client.set_nonblocking(true).expect("an option is set");
            client.connect(&self.address.into()).ok(); // "in progress" is what it has to be
            client
        };
        let sockets = [silent].into_iter().chain((0..4).map(|_| client()));
        *door = Door::Ignored {
            _sockets: sockets.collect(),
        };
    }

    /// Back to normal after [`Scripted::refuse`] and [`Scripted::ignore`].
    pub(crate) fn accept(&self) {
        let door = &mut *self.door();
        if matches!(door, Door::Open(_)) {
            return;
        }
        *door = Door::Shut;
        let socket = bound(self.address);
        socket.listen(1024).expect("the port is ours");
        socket.set_nonblocking(true).expect("an option is set");
        self.shared.shutting.store(false, Ordering::Release);
        let shared = Arc::clone(&self.shared);
        *door = Door::Open(thread::spawn(move || {
            shared.keep_door(&TcpListener::from(socket));
        }));
    }

    fn door(&self) -> MutexGuard<'_, Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shut(&self, door: &mut Door) {
        if let Door::Open(guard) = std::mem::replace(door, Door::Shut) {
            self.shared.shutting.store(true, Ordering::Release);
            guard.join().expect("the guard of the door");
        }
        for stream in self.shared.state().connections.values() {
            stream.shutdown(Shutdown::Both).ok(); // it may be gone
        }
    }

    /// How authorization responses look from now on, whatever the request asks for.
    pub(crate) fn answer_with(&self, shape: Shape) {
        self.shared.state().oauth.shape = shape;
    }

    /// The next code that is issued is this one.
    pub(crate) fn issue(&self, code: &str) {
        self.shared
            .state()
            .oauth
            .next_codes
            .push_back(code.to_owned());
    }

    /// Every request, in the order in which their heads came.
    pub(crate) fn ledger(&self) -> Vec<Received> {
        self.shared.state().ledger.clone()
    }

    pub(crate) fn requests_to(&self, path: &str) -> Vec<Received> {
        let mut ledger = self.ledger();
        ledger.retain(|received| received.path() == path);
        ledger
    }

    /// Waits until the ledger is so; a test that waits for ever fails with what is there.
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

    /// Connections that were ever accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.state().accepted
    }

    /// The codes that it issued, in order.
    pub(crate) fn codes(&self) -> Vec<String> {
        self.shared.state().oauth.codes()
    }

    /// The tokens that it gave, for codes or otherwise.
    pub(crate) fn tokens(&self) -> Vec<String> {
        self.shared.state().oauth.tokens.clone()
    }

    /// Requests that came with one of its codes. Each of them got a token, if the script did not say otherwise.
    pub(crate) fn redemptions(&self) -> Vec<Redemption> {
        self.shared.state().oauth.redemptions.clone()
    }

    /// The test is about to send the one correct token request for a code of the authorization request with this `nonce`.
    /// One redemption is forgiven for each call.
    pub(crate) fn vouch(&self, nonce: &str) {
        self.shared.state().oauth.vouched.push(nonce.to_owned());
    }

    /// The oracle. Every redemption that is no test's: the code of an authorization request that nobody has vouched for,
    /// or not so often; or one whose verifier, where the upstream gets to see it, does not meet the challenge that it got.
    /// Whatever is attacked, this has to stay empty.
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

    /// Accepts until it is told to shut.
    fn keep_door(self: &Arc<Self>, listener: &TcpListener) {
        while !self.shutting.load(Ordering::Acquire) {
            match listener.accept() {
                Ok((stream, _)) => self.welcome(stream),
                Err(_) => thread::sleep(LOOK),
            }
        }
    }

    /// Writes the head of a request down, and says where, and what it is answered with.
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

    /// So much of its body is there.
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

    /// A scripted answer may be one to a redemption, too.
    fn note(&self, index: usize) {
        let state = &mut *self.state();
        state.oauth.note(&state.ledger[index]);
    }

    fn welcome(self: &Arc<Self>, stream: TcpStream) {
        stream.set_nonblocking(false).expect("an option is set");
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

/// Not listening yet.
fn bound(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("an option is set");
    socket.bind(&address.into()).expect("the port is free");
    socket
}

/// Makes the close that follows a RST.
fn reset(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    socket
        .set_linger(Some(Duration::ZERO))
        .expect("an option is set");
}

/// An answer with a Content-Length. The status line's words are part of `status`: `"200 OK"`.
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

/// An answer that ends when the connection does.
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
