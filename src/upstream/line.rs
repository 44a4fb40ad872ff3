//! One connection to the upstream, driven by the task that uses it: no task of its own, and nothing that has to be woken
//! between a request and its response.

use std::error::Error as StdError;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::coop::unconstrained;
use tokio_util::task::TaskTracker;

use crate::clock::rounds::{Rounds, Waits};
use crate::clock::{Clock, Timestamp};

use super::Upload;
use super::connect::Socket;

/// Bytes of the head of a response, and of what is read or written ahead on one connection: that lies there for as long as the
/// client at the other end takes nothing.
const BUFFER: usize = 64 * 1024;

/// A connection and the two ends that hyper gives it.
pub(super) struct Line<B>
where
    B: Body + 'static,
{
    sender: SendRequest<B>,
    /// `None` when it has ended.
    connection: Option<Connection<TokioIo<Socket>, B>>,
    relay: Arc<Relay>,
    /// What the connection is polled with, whoever polls it.
    waker: Waker,
}

impl<B> Line<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// `limit`: how long a response may take.
    pub(super) async fn new(
        socket: Socket,
        limit: Duration,
        rounds: &Rounds,
    ) -> Result<Self, hyper::Error> {
        let mut builder = http1::Builder::new();
        builder.max_header_size(BUFFER).max_buf_size(BUFFER);
        let (sender, connection) = builder.handshake(TokioIo::new(socket)).await?;
        let relay = Arc::new(Relay {
            clock: rounds.clock().clone(),
            limit: rounds.at_least(limit),
            since: AtomicU64::new(NEVER),
            is_over: AtomicBool::new(false),
            is_hushed: AtomicBool::new(true),
            task: Mutex::new(Waker::noop().clone()),
        });
        rounds.join(Arc::<Relay>::clone(&relay));
        Ok(Self {
            sender,
            connection: Some(connection),
            waker: Waker::from(Arc::clone(&relay)),
            relay,
        })
    }

    /// Sends a request and waits for the head of its response; `None`: for too long. A request that was not written at all
    /// comes back with the error.
    ///
    /// As long as a body that is still being uploaded moves, the time for the response has not begun.
    pub(super) fn send(
        &mut self,
        request: Request<B>,
        upload: Option<&Upload>,
    ) -> impl Future<Output = Option<Result<Response<Incoming>, TrySendError<Request<B>>>>> {
        let Self {
            sender,
            connection,
            relay,
            waker,
        } = self;
        relay.hush();
        relay.waits();
        let mut pieces = upload.map(Upload::pieces);
        // Its channel would now and then say that it is not ready so that other tasks have their turn; tokio's word for it is
        // meant for the task, which nobody here would wake.
        let response = unconstrained(sender.try_send_request(request));
        async move {
            let mut response = pin!(response);
            let answer = poll_fn(|cx| {
                drive(connection, relay, waker, cx);
                // Nobody but the connection can make it ready, and that has just had its turn.
                let polled = response
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()));
                if polled.is_pending() && relay.is_over() {
                    let before = std::mem::replace(&mut pieces, upload.map(Upload::pieces));
                    if pieces == before {
                        return Poll::Ready(None);
                    }
                    relay.waits();
                }
                polled.map(Some)
            })
            .await;
            relay.waits_no_more();
            answer
        }
    }

    /// The next piece of the body of the response that came over this line.
    pub(super) fn poll_body(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut ask = || Pin::new(&mut *body).poll_frame(&mut Context::from_waker(Waker::noop()));
        // The connection reads on when it is asked to, so ask first; then it has its turn.
        self.relay.hush();
        match ask() {
            Poll::Pending => {
                drive(&mut self.connection, &self.relay, &self.waker, cx);
                ask()
            }
            ready @ Poll::Ready(_) => ready,
        }
    }

    /// Whether another request may go over it.
    pub(super) fn is_ready(&self) -> bool {
        self.connection.is_some() && self.sender.is_ready()
    }

    /// No one uses it for now, and no one is woken for it.
    pub(super) fn rest(&self) {
        self.relay.rest();
    }

    /// Goes on by itself, for a request that is longer on its way than the response to it.
    pub(super) fn run_alone(self, tasks: &TaskTracker) {
        if let Some(connection) = self.connection {
            // Its errors are those of the bodies on it.
            tasks.spawn(async move { drop(connection.await) });
        }
    }
}

/// Lets the connection do what it can. When it has ended it is dropped, so that whatever it has not taken comes back.
fn drive<B>(
    connection: &mut Option<Connection<TokioIo<Socket>, B>>,
    relay: &Relay,
    waker: &Waker,
    cx: &mut Context<'_>,
) where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let Some(running) = connection else { return };
    relay.call(cx.waker());
    if Pin::new(running)
        .poll(&mut Context::from_waker(waker))
        .is_ready()
    {
        *connection = None;
    }
}

impl<B> fmt::Debug for Line<B>
where
    B: Body + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

/// Wakes the task that uses the line at the moment. hyper keeps the waker of the socket and of its channels; were it that of
/// the task, each step of ours would wake the task that is taking it.
#[derive(Debug)]
struct Relay {
    clock: Clock,
    limit: Duration,
    /// Since when a response is waited for, in milliseconds, or [`NEVER`].
    since: AtomicU64,
    is_over: AtomicBool,
    /// The connection has its turn before the task sleeps: nobody needs to be woken.
    is_hushed: AtomicBool,
    task: Mutex<Waker>,
}

/// No response is waited for.
const NEVER: u64 = u64::MAX;

impl Relay {
    fn hush(&self) {
        self.is_hushed.store(true, Ordering::Release);
    }

    fn call(&self, task: &Waker) {
        self.task().clone_from(task);
        self.is_hushed.store(false, Ordering::Release);
    }

    fn rest(&self) {
        self.hush();
        self.task().clone_from(Waker::noop());
    }

    /// From now on.
    fn waits(&self) {
        self.is_over.store(false, Ordering::Release);
        self.since
            .store(self.clock.now().as_millis(), Ordering::Release);
    }

    fn waits_no_more(&self) {
        self.since.store(NEVER, Ordering::Release);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    fn task(&self) -> MutexGuard<'_, Waker> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_hushed.load(Ordering::Acquire) {
            self.task().wake_by_ref();
        }
    }
}

impl Waits for Relay {
    fn look(&self) {
        let since = self.since.load(Ordering::Acquire);
        let waited = self.clock.now().since(Timestamp::from_millis(since));
        if since != NEVER && waited >= self.limit {
            self.is_over.store(true, Ordering::Release);
            self.task().wake_by_ref();
        }
    }
}
