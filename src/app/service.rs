//! What serves a connection: the layers that every request gets, around the gateway.

use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::Service;
use tower::{Layer as _, Service as _};
use tower_http::catch_panic::{CatchPanic, CatchPanicLayer, ResponseForPanic, ResponseFuture};

use crate::gateway::access::Access;
use crate::gateway::{Arrival, Gateway, reply};
use crate::http::body::Body;
use crate::http::headers::Node;
use crate::server::watch::Watch;
use crate::server::{Crowd, MakeService};
use crate::telemetry::{Event, Telemetry};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Caught = tower_http::body::UnsyncBoxBody<Bytes, BoxError>;

/// One worker: its gateway, and where events go.
#[derive(Debug)]
pub(super) struct Worker {
    gateway: Arc<Gateway>,
    telemetry: Telemetry,
}

impl Worker {
    pub(super) fn new(gateway: Arc<Gateway>, telemetry: Telemetry) -> Self {
        Self { gateway, telemetry }
    }

    /// Sees to it that places do not run out by what waits for its clients.
    pub(super) fn relieve(&self, crowd: &Crowd) {
        self.gateway.relieve(crowd);
    }

    /// What is not answered by now is not answered any more.
    pub(super) fn stop(&self) {
        self.gateway.stop();
    }

    /// Looks after what expires.
    pub(super) fn keep_house(&self) {
        self.gateway.keep_house();
    }
}

impl MakeService for Worker {
    type Service = Stack;
    type Body = Tracked;

    fn make(&self, peer: SocketAddr, watch: Arc<Watch>) -> Stack {
        let link = Arc::new(Link {
            gateway: Arc::clone(&self.gateway),
            node: Node::new(peer.ip()),
            watch,
        });
        // A panic costs one request, never the worker. Innermost, so that nothing else of ours can be unwound.
        let panicked = Panicked(self.telemetry.clone());
        Stack {
            caught: CatchPanicLayer::custom(panicked).layer(Linked(Arc::clone(&link))),
            link,
        }
    }

    fn timed_out(&self, peer: SocketAddr) {
        self.telemetry.tell(&Event::ConnectionTimedOut { peer });
    }

    fn spared(&self, peer: SocketAddr) {
        self.telemetry.tell(&Event::ConnectionSpared { peer });
    }

    fn malformed_head(&self, peer: SocketAddr, reason: &'static str) {
        self.telemetry.tell(&Event::MalformedHead { peer, reason });
    }

    fn connections(&self, change: i64) {
        self.telemetry.metrics().connections().inc_by(change);
    }
}

/// What all requests of one connection share.
#[derive(Debug)]
struct Link {
    gateway: Arc<Gateway>,
    node: Node,
    watch: Arc<Watch>,
}

/// The layers of one connection.
pub(super) struct Stack {
    caught: CatchPanic<Linked, Panicked>,
    link: Arc<Link>,
}

impl Service<Request<Incoming>> for Stack {
    type Response = Response<Tracked>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        // From here until the response has gone out it is not the client that we wait for. Outermost, so that the
        // answer to a panic counts as an answer too.
        self.link.watch.request_begins();
        Answering {
            answer: self.caught.clone().call(request),
            ended: Some(Ended(Arc::clone(&self.link))),
        }
    }
}

/// The innermost layer: the gateway.
#[derive(Debug, Clone)]
struct Linked(Arc<Link>);

impl tower::Service<Request<Incoming>> for Linked {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Answer {
        let link = Arc::clone(&self.0);
        // Boxed where it is made: whoever hands it on moves two words.
        Box::pin(async move {
            let arrival = Arrival {
                request,
                node: &link.node,
                watch: &link.watch,
            };
            Ok(link.gateway.call(arrival).await)
        })
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// A request that is being answered.
pub(super) struct Answering {
    answer: ResponseFuture<Answer, Panicked>,
    ended: Option<Ended>,
}

impl Future for Answering {
    type Output = Result<Response<Tracked>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut answer = ready!(Pin::new(&mut self.answer).poll(cx))?;
        let ended = self.ended.take();
        let access = answer.extensions_mut().remove();
        Poll::Ready(Ok(answer.map(|body| Tracked {
            ended,
            access,
            body,
        })))
    }
}

/// Answers for a handler that panicked. The panic's own words are not repeated: they may hold anything.
#[derive(Debug, Clone)]
struct Panicked(Telemetry);

impl ResponseForPanic for Panicked {
    type ResponseBody = Body;

    fn response_for_panic(&mut self, _words: Box<dyn Any + Send + 'static>) -> Response<Body> {
        self.0.tell(&Event::Panicked);
        reply::internal_error()
    }
}

/// Tells the connection's watch, when dropped, that hyper has all of the response, or that it is given up.
#[derive(Debug)]
struct Ended(Arc<Link>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.watch.response_ended();
    }
}

/// A response body that knows its connection.
pub(super) struct Tracked {
    #[expect(
        dead_code,
        reason = "it is there to be dropped, before the body: what that holds is held until it is written"
    )]
    ended: Option<Ended>,
    /// Told of what goes out, where the log has a line for each request.
    access: Option<Arc<Access>>,
    body: Caught,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        // hyper does not ask for more once it knows that this was all.
        if let Some(access) = &self.access
            && self.body.is_end_stream()
        {
            access.is_complete();
        }
    }
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = Failed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failed>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Some(access) = &self.access {
            access.sees(&polled);
        }
        polled.map_err(Failed)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The upstream broke off in the middle of a body: the client gets a truncated response, never a clean short one.
#[derive(Debug, thiserror::Error)]
#[error("the upstream's response broke off")]
pub(super) struct Failed(BoxError);
