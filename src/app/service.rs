//! The service of a connection: the layers around the gateway.

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

use crate::gateway::access_log::Access;
use crate::gateway::{Arrival, Gateway, reply};
use crate::http::body::Body;
use crate::http::headers::Node;
use crate::server::MakeService;
use crate::server::watch::{Cut, Watch};
use crate::telemetry::{Event, Telemetry};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Caught = tower_http::body::UnsyncBoxBody<Bytes, BoxError>;

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) gateway: Arc<Gateway>,
    pub(super) telemetry: Telemetry,
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
        // A panic ends one request, never the worker. This layer is innermost, so that no other layer is unwound.
        let panicked = Panicked(self.telemetry.clone());
        Stack {
            caught: CatchPanicLayer::custom(panicked).layer(Linked(Arc::clone(&link))),
            link,
        }
    }

    fn cut(&self, peer: SocketAddr, why: Cut) {
        self.telemetry.tell(&match why {
            Cut::Late => Event::ConnectionTimedOut { peer },
            Cut::Spared => Event::ConnectionSpared { peer },
        });
    }

    fn malformed_head(&self, peer: SocketAddr, reason: &'static str) {
        self.telemetry.tell(&Event::MalformedHead { peer, reason });
    }

    fn connections(&self, change: i64) {
        self.telemetry.metrics().connections().inc_by(change);
    }
}

/// Shared by all requests of one connection.
#[derive(Debug)]
struct Link {
    gateway: Arc<Gateway>,
    node: Node,
    watch: Arc<Watch>,
}

pub(super) struct Stack {
    caught: CatchPanic<Linked, Panicked>,
    link: Arc<Link>,
}

impl Service<Request<Incoming>> for Stack {
    type Response = Response<Tracked>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        // From here until the response has been sent, the connection does not wait for the client. This layer is
        // outermost, so that the response to a panic counts as well.
        self.link.watch.request_begins();
        Answering {
            answer: self.caught.clone().call(request),
            ended: Some(Ended(Arc::clone(&self.link))),
        }
    }
}

/// The innermost layer, which calls the gateway.
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
        // Boxed, so that passing it between layers moves two words.
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

/// Responds for a handler that panicked. The panic's message is not repeated, because it may contain anything.
#[derive(Debug, Clone)]
struct Panicked(Telemetry);

impl ResponseForPanic for Panicked {
    type ResponseBody = Body;

    fn response_for_panic(&mut self, _words: Box<dyn Any + Send + 'static>) -> Response<Body> {
        self.0.tell(&Event::Panicked);
        reply::internal_error()
    }
}

/// On drop, tells the connection's watch that hyper has the whole response, or that the request was given up.
#[derive(Debug)]
struct Ended(Arc<Link>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.watch.response_ended();
    }
}

/// A response body that keeps track of its connection.
pub(super) struct Tracked {
    #[expect(
        dead_code,
        reason = "held for its drop before that of the body, so that the body's place is kept until the response is written"
    )]
    ended: Option<Ended>,
    /// Observes the body, if the log has a line for each request.
    access: Option<Arc<Access>>,
    body: Caught,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        // hyper does not poll again after the last frame.
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

/// The upstream's response ended prematurely: the client must get a truncated response, not a complete shorter one.
#[derive(Debug, thiserror::Error)]
#[error("the upstream's response ended prematurely")]
pub(super) struct Failed(BoxError);
