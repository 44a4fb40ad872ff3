//! Connections from clients: one listener and one accept loop per address and worker.

mod connections;
pub(crate) mod in_flight;
mod peer;
mod session;
mod settings;
mod time_limits;
pub(crate) mod watch;

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use socket2::{Domain, Protocol, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use connections::{Crowd, Places};
use session::Session;
pub(crate) use settings::Settings;
use watch::{Cut, Watch, Watched};

use crate::socket::{Socket, WorkerLoop};

/// Bytes of a response that the kernel buffers for a client; the kernel doubles the number.
const SEND_BUFFER: usize = 128 * 1024;
/// Maximum number of connections that wait in the kernel to be accepted.
const BACKLOG: i32 = 1024;
/// The shortest and the longest pause after a failed accept, for example when there are no free descriptors.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// The number of header fields for which hyper has room by default. With an explicit limit it allocates for each
/// request, so none is set up to this number.
const HYPER_HEADERS: usize = 100;
/// How much is read, and for how long, after a malformed head.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;
const MIN_BUFFER: usize = 8192;

/// Opens a listening socket. `shared` allows other workers to listen on the same address.
pub(crate) fn bind(address: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = bound(address, shared)?;
    socket.set_nonblocking(true)?;
    // Accepted connections inherit this. The kernel reports free space only when a third of the buffer is free; with
    // its default of several megabytes, a slow reader could not be told from one that does not read at all.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Fails if any process listens on the address, even with address sharing.
pub(crate) fn must_be_free(address: SocketAddr) -> io::Result<()> {
    bound(address, false).map(drop)
}

fn bound(address: SocketAddr, shared: bool) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// How the application controls a server.
#[derive(Debug, Clone)]
pub(crate) struct Lifecycle {
    /// Cancelled to stop accepting and to close each connection after its current request.
    pub closing: CancellationToken,
    /// Tracks the tasks of connections; a drain waits for them.
    pub tasks: TaskTracker,
    pub crowd: Crowd,
}

/// Creates the service for each connection, and is notified about connections.
pub(crate) trait MakeService: Send + Sync + 'static {
    type Service: Service<
            Request<Incoming>,
            Response = Response<Self::Body>,
            Error = Infallible,
            Future: Send,
        > + Send;
    type Body: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static;

    /// Creates the service for a connection that was just accepted.
    fn make(&self, peer: SocketAddr, watch: Arc<Watch>) -> Self::Service;

    /// The gate closed a connection.
    fn cut(&self, peer: SocketAddr, why: Cut);

    /// A connection ended with a request head that is malformed or too large.
    fn malformed_head(&self, peer: SocketAddr, reason: &'static str);

    /// A connection began (`1`) or ended (`-1`).
    fn connections(&self, change: i64);
}

/// Accepts connections until closing. The worker's rounds enforce the time limits, which are those in force when the
/// connection was accepted ([`Settings::at_least`]).
pub(crate) async fn accept(
    listener: TcpListener,
    in_force: Arc<ArcSwap<Settings>>,
    own: WorkerLoop,
    life: Lifecycle,
    make: Arc<impl MakeService>,
) {
    let WorkerLoop { rounds, batch } = own;
    let mut backoff = BACKOFF.0;
    loop {
        let accepted = tokio::select! {
            () = life.closing.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                backoff = BACKOFF.0;
                let settings = in_force.load_full();
                // The place is taken after the accept: the kernel distributes connections without knowing which worker
                // has places, so a place reserved in advance would be missing at another worker.
                let watch = Arc::new(Watch::new(rounds.clock().clone(), life.crowd.patience()));
                let session = Arc::new(Session::new(
                    Arc::clone(&watch),
                    Arc::clone(&settings),
                    life.closing.clone(),
                ));
                let place = tokio::select! {
                    () = life.closing.cancelled() => return,
                    place = life.crowd.place(peer.ip(), &session) => place,
                };
                let Some(place) = place else {
                    make.cut(peer, Cut::Spared);
                    continue;
                };
                watch.is_accepted();
                rounds.join(Arc::<Session>::clone(&session));
                // If the socket is already broken, the first read fails.
                drop(socket.set_nodelay(true));
                let socket = batch.socket(socket);
                let make = Arc::clone(&make);
                life.tasks.spawn(async move {
                    make.connections(1);
                    serve(socket, peer, &settings, &session, watch, make.as_ref()).await;
                    session.watch.connection_ended();
                    make.connections(-1);
                    drop(place);
                });
            }
            Err(_) => {
                // Probably no free descriptors: wait instead of retrying at once.
                sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF.1);
            }
        }
    }
}

/// Serves one connection until it ends, exceeds a time limit, or must close.
async fn serve(
    socket: Socket,
    peer: SocketAddr,
    settings: &Settings,
    session: &Session,
    watch: Arc<Watch>,
    make: &impl MakeService,
) {
    let service = make.make(peer, Arc::clone(&watch));
    let mut builder = http1::Builder::new();
    // The watch enforces all time limits; hyper's own would have no effect without a timer.
    builder
        .header_read_timeout(None)
        // The buffer size alone does not limit the head: it grows in steps, and a head that fits the last step is
        // accepted.
        .max_header_size(settings.header_bytes)
        .max_buf_size(settings.header_bytes.max(MIN_BUFFER));
    if settings.headers > HYPER_HEADERS {
        builder.max_headers(settings.headers);
    }
    let io = TokioIo::new(Watched::new(socket, watch));
    let mut connection = builder.serve_connection(io, service);
    let mut is_told = false;
    let end = poll_fn(|cx| {
        session.tell(cx.waker());
        if session.is_over() {
            return Poll::Ready(End::Cut(Cut::Late));
        }
        if session.gives_way() {
            return Poll::Ready(End::Cut(Cut::Spared));
        }
        if session.is_closing() && !is_told {
            is_told = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        Pin::new(&mut connection).poll(cx).map(End::from)
    });
    match end.await {
        End::Whole => {}
        End::Cut(why) => {
            session.watch.cuts(why);
            make.cut(peer, why);
        }
        End::Malformed(reason) => {
            make.malformed_head(peer, reason);
            // Boxed, because this is rare and the future is large.
            let socket = connection.into_parts().io.into_inner();
            let mut rest = Box::pin(timeout(LINGER, linger(socket)));
            // Its place may be needed meanwhile.
            let is_spared = poll_fn(|cx| {
                session.tell(cx.waker());
                if session.gives_way() || session.is_over() {
                    return Poll::Ready(true);
                }
                rest.as_mut().poll(cx).map(|_| false)
            });
            if is_spared.await {
                make.cut(peer, Cut::Spared);
            }
        }
    }
}

/// Reads and discards the rest of a refused request. If a connection is closed with unread bytes, the kernel resets it,
/// and the client may not receive the response.
async fn linger(mut socket: Watched<Socket>) {
    // hyper has not shut down the socket if it did not respond. If the client has disconnected, the read below fails.
    drop(socket.shutdown().await);
    let (mut piece, mut taken) = (vec![0; MIN_BUFFER], 0);
    while taken < LINGER_BYTES {
        match socket.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(length) => taken += length,
        }
    }
}

/// Why a connection ended.
enum End {
    /// Normally, or with an error because the client disconnected.
    Whole,
    /// The gate closed it.
    Cut(Cut),
    /// With a malformed head, which hyper answers itself; the reason.
    Malformed(&'static str),
}

impl From<hyper::Result<()>> for End {
    fn from(ended: hyper::Result<()>) -> Self {
        match ended {
            Err(error) if error.is_parse_too_large() => Self::Malformed("the head is too large"),
            Err(error) if error.is_parse() => Self::Malformed("the head is not HTTP/1.1"),
            Ok(()) | Err(_) => Self::Whole,
        }
    }
}
