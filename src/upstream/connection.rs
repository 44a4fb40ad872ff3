//! One connection to the upstream, driven by the task that uses it: there is no separate task, and so nothing to wake
//! between a request and its response.
//!
//! This relies on the following behaviour of hyper. For each item, `connection/habits.rs` has a test with its number, which
//! fails if hyper changes it:
//!
//! 1. `try_send_request` only queues the request. Nothing is written before the connection is polled, and one poll
//!    writes the request.
//! 2. Only polling the connection makes a response ready. After the poll that has read the head, the response is ready,
//!    so its own waker is not needed.
//! 3. A response is returned before the request's body has ended; the connection continues to send that body when it is
//!    polled.
//! 4. A connection reads before it writes. If the upstream has closed it, or has sent something unrequested, the poll
//!    that would write the request ends the connection without writing a byte.
//! 5. A request of which nothing was written is returned with the error, at the latest when the connection is dropped.
//!    One that was partly written is not.
//! 6. A frame of a response body becomes available by one poll of the connection. At most one frame is read ahead, and
//!    each is smaller than twice `max_buf_size`.
//! 7. A body with a `Content-Length` ends with its last byte; a chunked one with its last chunk.
//! 8. The sender is ready as soon as the response body has ended and the request body is sent, without another poll, if
//!    both sides keep the connection open. Otherwise it is never ready again.
//! 9. A connection without its sender ends when its exchange is complete, and not before.
//! 10. The response takes part in tokio's cooperative budget: a task without budget gets `Pending` for a response that
//!     is ready.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
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

use super::connect::Socket;
use super::upload::{Outgoing, Upload};

/// The maximum size of a response head, and of the bytes buffered on one connection, which stay in memory as long as
/// the client does not read.
const BUFFER: usize = 64 * 1024;

/// A connection to the upstream, with hyper's sender and connection.
pub(super) struct Line<B: Outgoing> {
    sender: SendRequest<B>,
    /// `None` after the connection has ended.
    connection: Option<Connection<TokioIo<Socket>, B>>,
    relay: Arc<Relay>,
    /// The waker with which the connection is polled, whichever task polls it.
    waker: Waker,
}

impl<B: Outgoing> Line<B> {
    /// `limit` is the maximum time to the head of a response.
    pub(super) async fn new(
        socket: Socket,
        limit: Duration,
        rounds: &Rounds,
    ) -> Result<Self, hyper::Error> {
        let (sender, connection) = builder().handshake(TokioIo::new(socket)).await?;
        let relay = Arc::new(Relay {
            clock: rounds.clock().clone(),
            limit: rounds.at_least(limit),
            state: Mutex::new(State {
                user: User::Nobody,
                response: Awaited::Not,
            }),
        });
        rounds.join(Arc::<Relay>::clone(&relay));
        Ok(Self {
            sender,
            connection: Some(connection),
            waker: Waker::from(Arc::clone(&relay)),
            relay,
        })
    }

    /// Sends a request and waits for the head of its response. `None`: it took too long. A request of which nothing was
    /// written is returned with the error.
    ///
    /// The time limit starts anew as long as a request body is still making progress.
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
        relay.user_is(User::Works);
        relay.awaits_response();
        let mut pieces = upload.map(Upload::pieces);
        // hyper's channel takes part in tokio's cooperative budget: without this it could return `Pending` for a ready
        // response, and wake a waker that is ignored here.
        let response = unconstrained(sender.try_send_request(request));
        async move {
            let mut response = pin!(response);
            let answer = poll_fn(|cx| {
                drive(connection, relay, waker, cx);
                // A no-op waker suffices: only the connection makes the response ready, and it was just polled.
                let polled = response
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()));
                if polled.is_pending() && relay.state().response == Awaited::Late {
                    let before = std::mem::replace(&mut pieces, upload.map(Upload::pieces));
                    if pieces == before {
                        return Poll::Ready(None);
                    }
                    relay.awaits_response();
                }
                polled.map(Some)
            })
            .await;
            relay.state().response = Awaited::Not;
            answer
        }
    }

    /// The next frame of the body of the response that comes over this connection.
    pub(super) fn poll_body(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut ask = || Pin::new(&mut *body).poll_frame(&mut Context::from_waker(Waker::noop()));
        // hyper reads more only after the body was polled, so the body is polled first, then the connection.
        self.relay.user_is(User::Works);
        match ask() {
            Poll::Pending => {
                drive(&mut self.connection, &self.relay, &self.waker, cx);
                ask()
            }
            ready @ Poll::Ready(_) => ready,
        }
    }

    /// Whether the connection can serve another request.
    pub(super) fn is_ready(&self) -> bool {
        self.connection.is_some() && self.sender.is_ready()
    }

    /// Marks the connection as unused; no task is woken for it.
    pub(super) fn rest(&self) {
        self.relay.user_is(User::Nobody);
    }

    /// Drives the connection in a separate task, for a request whose body is still being sent when its response has
    /// ended.
    pub(super) fn run_alone(self, tasks: &TaskTracker) {
        if let Some(connection) = self.connection {
            // Errors are reported by the bodies.
            tasks.spawn(async move { drop(connection.await) });
        }
    }
}

fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.max_header_size(BUFFER).max_buf_size(BUFFER);
    builder
}

/// Polls the connection. After its end it is dropped, so that unsent requests are returned.
fn drive<B: Outgoing>(
    connection: &mut Option<Connection<TokioIo<Socket>, B>>,
    relay: &Relay,
    waker: &Waker,
    cx: &mut Context<'_>,
) {
    let Some(running) = connection else { return };
    relay.sleeps(cx.waker());
    if Pin::new(running)
        .poll(&mut Context::from_waker(waker))
        .is_ready()
    {
        *connection = None;
    }
}

impl<B: Outgoing> fmt::Debug for Line<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

/// Wakes the task that currently uses the connection. hyper keeps the waker of the last poll in the socket and its
/// channels; with the task's own waker, each step of the task would wake the task itself.
#[derive(Debug)]
struct Relay {
    clock: Clock,
    limit: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    user: User,
    response: Awaited,
}

/// The task that uses the connection, and whether it has to be woken.
#[derive(Debug)]
enum User {
    /// The connection is idle in the pool. A request changes this to `Works`.
    Nobody,
    /// A task is running; it polls the connection before it waits (`Sleeps`), or does not need it at the moment. It
    /// must not be woken.
    Works,
    /// A task has polled the connection and waits for it. It must be woken; its next step changes this to `Works`.
    Sleeps(Waker),
}

/// The wait for the head of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// No request is outstanding, or its response has arrived.
    Not,
    /// Waiting since this time. The worker's rounds change this to `Late`.
    Since(Timestamp),
    /// The wait took too long. If the request body has made progress, the time starts again.
    Late,
}

impl Relay {
    fn sleeps(&self, task: &Waker) {
        let is_told = matches!(&self.state().user, User::Sleeps(before) if before.will_wake(task));
        if !is_told {
            self.user_is(User::Sleeps(task.clone()));
        }
    }

    fn user_is(&self, user: User) {
        // Dropped after the lock is released.
        let _before = std::mem::replace(&mut self.state().user, user);
    }

    /// Starts the time limit now.
    fn awaits_response(&self) {
        self.state().response = Awaited::Since(self.clock.now());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake(&self) {
        if let User::Sleeps(task) = &self.user {
            task.wake_by_ref();
        }
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.state().wake();
    }
}

impl Waits for Relay {
    fn look(&self) {
        let state = &mut *self.state();
        if let Awaited::Since(since) = state.response
            && self.clock.now().since(since) >= self.limit
        {
            state.response = Awaited::Late;
            state.wake();
        }
    }
}

#[cfg(test)]
mod habits;
