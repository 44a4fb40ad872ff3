//! The I/O shell towards clients: one listener and one accept loop per address and worker.

mod crowd;
mod patience;
mod peer;
pub(crate) mod place;
mod session;
mod settings;
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

pub(crate) use crowd::{Crowd, Places};
use session::Session;
pub(crate) use settings::Settings;
use watch::{Cut, Watch, Watched};

use crate::socket::{Socket, WorkerLoop};

/// What the kernel keeps of an answer for a client to read; it doubles it.
const SEND_BUFFER: usize = 128 * 1024;
/// Connections that the kernel keeps until we accept them.
const BACKLOG: i32 = 1024;
/// The shortest and the longest pause after a failed accept (out of descriptors, for example).
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// As many header fields hyper reads without being asked; asked for fewer, it allocates for each request.
const HYPER_HEADERS: usize = 100;
/// What is taken at most of a head that was refused, and for how long.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;
/// hyper's buffers have at least this size.
const MIN_BUFFER: usize = 8192;

/// Opens one listening socket; `shared` lets other workers listen on the same address.
pub(crate) fn bind(address: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = bound(address, shared)?;
    socket.set_nonblocking(true)?;
    // Connections inherit it. The kernel tells of room only when a third is free: with the megabytes that it would take by
    // itself, a slow reader looks like one that does not read at all.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Fails where anybody listens already, be it on an address that is meant to be shared.
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

/// What a server is told from outside.
#[derive(Debug, Clone)]
pub(crate) struct Lifecycle {
    /// Accept no more, and end connections after the request at hand.
    pub closing: CancellationToken,
    /// Runs the connections; whoever drains waits for it.
    pub tasks: TaskTracker,
    /// All connections, over all workers.
    pub crowd: Crowd,
}

/// Makes the service for each connection.
pub(crate) trait MakeService {
    /// What serves one connection.
    type Service: Service<Request<Incoming>, Response = Response<Self::Body>, Error = Infallible>
        + Send;
    /// What it answers with.
    type Body: Body<Data = Bytes> + Send + 'static;

    /// For a connection that was just accepted.
    fn make(&self, peer: SocketAddr, watch: Arc<Watch>) -> Self::Service;

    /// A connection was closed because it ran out of time.
    fn timed_out(&self, peer: SocketAddr);

    /// A connection was closed because its place was needed, or its peer has its share of them.
    fn spared(&self, peer: SocketAddr);

    /// A connection ended with a head that is none, or is too large.
    fn malformed_head(&self, peer: SocketAddr, reason: &'static str);

    /// A connection began (`1`) or ended (`-1`).
    fn connections(&self, change: i64);
}

/// Accepts until closing. The worker's rounds see to it that no connection waits longer than the settings say, which are those at
/// the time when it came ([`Settings::at_least`]).
pub(crate) async fn accept<M>(
    listener: TcpListener,
    in_force: Arc<ArcSwap<Settings>>,
    own: WorkerLoop,
    life: Lifecycle,
    make: Arc<M>,
) where
    M: MakeService + Send + Sync + 'static,
    <M::Service as Service<Request<Incoming>>>::Future: Send,
    <M::Body as Body>::Error: std::error::Error + Send + Sync,
{
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
                // Only now: a place that waits here for a connection would be missing at another worker's listener,
                // and the kernel spreads connections without asking who has places.
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
                    make.spared(peer);
                    continue;
                };
                watch.is_accepted();
                rounds.join(Arc::<Session>::clone(&session));
                // A socket that is broken already shows so at the first read.
                drop(socket.set_nodelay(true));
                let socket = batch.socket(socket);
                let make = Arc::clone(&make);
                life.tasks.spawn(async move {
                    make.connections(1);
                    serve(socket, peer, &settings, &session, watch, make.as_ref()).await;
                    session.connection_ended();
                    make.connections(-1);
                    drop(place);
                });
            }
            Err(_) => {
                // Out of descriptors, most likely: give it time instead of spinning.
                sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF.1);
            }
        }
    }
}

/// Serves one connection until it ends, runs out of time, or is told to close.
async fn serve<M>(
    socket: Socket,
    peer: SocketAddr,
    settings: &Settings,
    session: &Session,
    watch: Arc<Watch>,
    make: &M,
) where
    M: MakeService,
    <M::Service as Service<Request<Incoming>>>::Future: Send,
    <M::Body as Body>::Error: std::error::Error + Send + Sync,
{
    let service = make.make(peer, Arc::clone(&watch));
    let mut builder = http1::Builder::new();
    // Our watch covers the head and every other wait; without a Timer hyper's own would be silently dropped.
    builder
        .header_read_timeout(None)
        // The size of a buffer is no limit for a head: it grows in steps, and what fits the last of them is read.
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
            return Poll::Ready(End::Late);
        }
        if session.gives_way() {
            return Poll::Ready(End::Spared);
        }
        if session.is_closing() && !is_told {
            is_told = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        Pin::new(&mut connection).poll(cx).map(End::from)
    });
    match end.await {
        End::Whole => {}
        End::Late => {
            session.cuts(Cut::Late);
            make.timed_out(peer);
        }
        End::Spared => {
            session.cuts(Cut::Spared);
            make.spared(peer);
        }
        End::Malformed(reason) => {
            make.malformed_head(peer, reason);
            // Boxed, because it is rare.
            let socket = connection.into_parts().io.into_inner();
            let mut rest = Box::pin(timeout(LINGER, linger(socket)));
            // Its place is needed as much as any other's.
            let is_spared = poll_fn(|cx| {
                session.tell(cx.waker());
                if session.gives_way() || session.is_over() {
                    return Poll::Ready(true);
                }
                rest.as_mut().poll(cx).map(|_| false)
            });
            if is_spared.await {
                make.spared(peer);
            }
        }
    }
}

/// Takes the rest of what was refused. Closed with something unread, the connection is reset, and the client never gets to see
/// what it was answered.
async fn linger(mut socket: Watched<Socket>) {
    // hyper has not said that it is done where it did not answer. That the client is gone shows in what follows.
    drop(socket.shutdown().await);
    let (mut piece, mut taken) = (vec![0; MIN_BUFFER], 0);
    while taken < LINGER_BYTES {
        match socket.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(length) => taken += length,
        }
    }
}

/// How a connection ended.
enum End {
    /// As it may: an error is the client's affair, which went away.
    Whole,
    /// Out of time.
    Late,
    /// Its place was needed.
    Spared,
    /// With a head that hyper answers by itself, and why.
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
