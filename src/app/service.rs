//! The service of a connection: calls the gateway, survives its panics, and observes the response.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::Service;

use crate::gateway::access_log::Access;
use crate::gateway::{Arrival, Gateway, reply};
use crate::http::body::{self, Body};
use crate::http::headers::Node;
use crate::server::MakeService;
use crate::server::watch::{Cut, Watch};
use crate::telemetry::{Event, Telemetry};

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) gateway: Arc<Gateway>,
    pub(super) telemetry: Telemetry,
}

impl MakeService for Worker {
    type Service = Connection;
    type Body = Tracked;

    fn make(&self, peer: SocketAddr, watch: Arc<Watch>) -> Connection {
        Connection(Arc::new(Link {
            gateway: Arc::clone(&self.gateway),
            telemetry: self.telemetry.clone(),
            node: Node::new(peer.ip()),
            watch,
        }))
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
    telemetry: Telemetry,
    node: Node,
    watch: Arc<Watch>,
}

pub(super) struct Connection(Arc<Link>);

impl Service<Request<Incoming>> for Connection {
    type Response = Response<Tracked>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        // From here until the response has been sent, the connection does not wait for the client.
        self.0.watch.request_begins();
        let link = Arc::clone(&self.0);
        Answering {
            answer: Box::pin(async move {
                let arrival = Arrival {
                    request,
                    node: &link.node,
                    watch: &link.watch,
                };
                link.gateway.call(arrival).await
            }),
            ended: Some(Ended(Arc::clone(&self.0))),
        }
    }
}

pub(super) struct Answering {
    answer: Pin<Box<dyn Future<Output = Response<Body>> + Send>>,
    ended: Option<Ended>,
}

impl Future for Answering {
    type Output = Result<Response<Tracked>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A panic ends one request, never the worker.
        let polled = catch_unwind(AssertUnwindSafe(|| self.answer.as_mut().poll(cx)));
        let mut answer = match polled {
            Ok(polled) => ready!(polled),
            Err(_message) => {
                // Its message is not repeated, because it may contain anything.
                if let Some(Ended(link)) = &self.ended {
                    link.telemetry.tell(&Event::Panicked);
                }
                reply::internal_error()
            }
        };
        let ended = self.ended.take();
        let access = answer.extensions_mut().remove();
        Poll::Ready(Ok(answer.map(|body| Tracked {
            ended,
            access,
            body,
        })))
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

/// A response body that keeps track of its connection. If the upstream's response ends prematurely, its error gives the
/// client a truncated response, not a complete shorter one.
pub(super) struct Tracked {
    #[expect(
        dead_code,
        reason = "held for its drop before that of the body, so that the body's place is kept until the response is written"
    )]
    ended: Option<Ended>,
    /// Observes the body, if the log has a line for each request.
    access: Option<Arc<Access>>,
    body: Body,
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
    type Error = body::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, body::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Some(access) = &self.access {
            access.sees(&polled);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
