//! One connection to the upstream, driven by the task that uses it: no task of its own, and nothing that has to be woken
//! between a request and its response.
//!
//! What it relies on of hyper, each with a test of that number in `line/habits.rs`, which fails when hyper changes it:
//!
//! 1. `try_send_request` only queues: nothing is written before the connection is polled, and one poll writes the request out.
//! 2. Nothing but the connection makes a response ready: when a poll of it has read the head, the response is there, and its own
//!    waker is not needed.
//! 3. A response is handed out before the request's body has ended; the connection goes on with that body when it is polled.
//! 4. A connection reads before it writes: what the upstream has closed, or sent unasked, shows in the poll that was to write the
//!    request, and the connection has ended then without a byte of it on the wire.
//! 5. A request of which nothing was written comes back with the error, at the latest when the connection is dropped. One that
//!    was written in part does not.
//! 6. A piece of a response's body that was asked for comes by one poll of the connection. One piece is read ahead of that, and each
//!    is smaller than twice `max_buf_size`.
//! 7. A body with a `Content-Length` is at its end with its last byte; one in chunks when it says so.
//! 8. The sender is ready as soon as the response's body is at its end and the request's is through, where both sides keep the
//!    connection; without another poll. Else it never is again.
//! 9. A connection without its sender ends by itself when the exchange on it is over, and not before.
//! 10. The response takes part in tokio's cooperative budget: a task that has used it up is told "not yet" of one that is there.

use std::error::Error as StdError;
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
use super::upload::Upload;

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
        relay.works();
        relay.awaits_response();
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
                if polled.is_pending() && relay.response_is_late() {
                    let before = std::mem::replace(&mut pieces, upload.map(Upload::pieces));
                    if pieces == before {
                        return Poll::Ready(None);
                    }
                    relay.awaits_response();
                }
                polled.map(Some)
            })
            .await;
            relay.awaits_no_response();
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
        self.relay.works();
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

fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.max_header_size(BUFFER).max_buf_size(BUFFER);
    builder
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
    relay.sleeps(cx.waker());
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
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    user: User,
    response: Awaited,
}

/// Who uses the line, and whether it has to be woken when the connection can go on.
#[derive(Debug)]
enum User {
    /// Nobody: it lies in the pool. A request makes that `Works`.
    Nobody,
    /// A task that is taking a step, and gives the connection its turn before it sleeps (that makes it `Sleeps`) or has no need of it
    /// at the moment: not to be woken.
    Works,
    /// A task that has given the connection its turn and waits for it: to be woken. Its next step makes it `Works`.
    Sleeps(Waker),
}

/// The head of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// There is nothing to wait for: no request is out, or its response is here.
    Not,
    /// It is waited for since then. The worker's rounds make that `Late`.
    Since(Timestamp),
    /// It takes too long. With a body that still moves, the time begins anew.
    Late,
}

impl Relay {
    fn works(&self) {
        self.user_is(User::Works);
    }

    fn sleeps(&self, task: &Waker) {
        let is_told = matches!(&self.state().user, User::Sleeps(before) if before.will_wake(task));
        if !is_told {
            self.user_is(User::Sleeps(task.clone()));
        }
    }

    fn rest(&self) {
        self.user_is(User::Nobody);
    }

    fn user_is(&self, user: User) {
        // Dropped when the lock is free again.
        let _before = std::mem::replace(&mut self.state().user, user);
    }

    /// From now on.
    fn awaits_response(&self) {
        self.state().response = Awaited::Since(self.clock.now());
    }

    fn awaits_no_response(&self) {
        self.state().response = Awaited::Not;
    }

    fn response_is_late(&self) -> bool {
        self.state().response == Awaited::Late
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake(&self) {
        match &self.user {
            User::Sleeps(task) => task.wake_by_ref(),
            User::Nobody | User::Works => {}
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
