//! One worker's connections to one upstream: last in, first out, so that few stay warm and the rest go idle.

use std::error::Error as StdError;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, Timestamp};

use super::{Connector, Settings, Upload, UpstreamError};

/// How many unused connections a worker keeps.
const MAX_IDLE: usize = 256;

/// Sends requests to one upstream.
#[derive(Debug)]
pub struct Client<B> {
    connector: Connector,
    connect: Duration,
    response: Duration,
    clock: Clock,
    tasks: TaskTracker,
    idle: Arc<Idle<B>>,
}

#[derive(Debug)]
struct Idle<B> {
    clock: Clock,
    keep: Duration,
    connections: Mutex<Vec<(SendRequest<B>, Timestamp)>>,
}

/// The connection that a response comes over; goes back to the pool when its body has ended.
#[derive(Debug)]
pub struct Lease<B> {
    connection: Option<SendRequest<B>>,
    /// A request whose body is still on its way when the response has ended keeps the connection busy, for as long as its
    /// client likes.
    upload: Option<Arc<Upload>>,
    idle: Arc<Idle<B>>,
}

impl<B> Lease<B> {
    /// The response is through: the connection can serve another request.
    pub fn give_back(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        let is_uploading = self
            .upload
            .as_ref()
            .is_some_and(|upload| !upload.is_through());
        if connection.is_closed() || is_uploading {
            return;
        }
        let now = self.idle.clock.now();
        let mut connections = self
            .idle
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if connections.len() < MAX_IDLE {
            connections.push((connection, now));
        }
    }
}

impl<B> Idle<B> {
    /// The youngest connection that is still good. What is too old is closed here: an upstream that closes idle
    /// connections after five seconds would reset the request instead.
    fn take(&self) -> Option<SendRequest<B>> {
        let now = self.clock.now();
        let mut connections = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while let Some((connection, since)) = connections.pop() {
            if now.since(since) >= self.keep {
                connections.clear();
                return None;
            }
            if !connection.is_closed() {
                return Some(connection);
            }
        }
        None
    }
}

/// Whether nothing more can come of a response than is read as its body. Servers are known that send one where there is none,
/// after HEAD above all, and others that take the body of a GET for the next request: what is in the connection then would be
/// the answer to the next request, somebody else's.
fn ends_surely<T>(is_odd: bool, response: &Response<T>) -> bool {
    let is_empty = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&response.status());
    !is_odd && !is_empty
}

impl<B> Client<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// `tasks` runs the connections; drain waits for them.
    pub fn new(
        connector: Connector,
        settings: &Settings,
        clock: Clock,
        tasks: TaskTracker,
    ) -> Self {
        let idle = Idle {
            clock: clock.clone(),
            keep: settings.idle,
            connections: Mutex::default(),
        };
        Self {
            connector,
            connect: settings.connect,
            response: settings.response,
            clock,
            tasks,
            idle: Arc::new(idle),
        }
    }

    /// Sends one request and waits for the head of its response. A pooled connection that turns out to be closed
    /// before a byte was written is replaced; once a byte may have been written nothing is ever sent twice.
    ///
    /// As long as a body that is still being uploaded moves, the time for the response has not begun.
    pub async fn send(
        &self,
        request: Request<B>,
        upload: Option<&Arc<Upload>>,
    ) -> Result<(Response<Incoming>, Lease<B>), UpstreamError> {
        let is_get = request.method() == Method::GET;
        let is_odd =
            request.method() == Method::HEAD || (is_get && !request.body().is_end_stream());
        let mut request = request;
        loop {
            let pooled = self.idle.take();
            let fresh = pooled.is_none();
            let mut connection = match pooled {
                Some(connection) => connection,
                // Boxed, because it is rare and large.
                None => Box::pin(self.open()).await?,
            };
            // A connection that is in the pool is ready, or will be in a moment.
            if !connection.is_ready()
                && !matches!(timeout(self.connect, connection.ready()).await, Ok(Ok(())))
            {
                if fresh {
                    return Err(UpstreamError::Connect);
                }
                continue;
            }
            match self
                .in_time(connection.try_send_request(request), upload)
                .await
            {
                None => return Err(UpstreamError::ResponseTimeout),
                Some(Ok(response)) => {
                    let lease = Lease {
                        connection: ends_surely(is_odd, &response).then_some(connection),
                        upload: upload.map(Arc::clone),
                        idle: Arc::clone(&self.idle),
                    };
                    return Ok((response, lease));
                }
                Some(Err(mut failed)) => match failed.take_message() {
                    Some(unsent) if !fresh => request = unsent,
                    Some(_) => return Err(UpstreamError::Connect),
                    None if upload.is_some_and(|upload| upload.is_broken()) => {
                        return Err(UpstreamError::Request);
                    }
                    None => return Err(UpstreamError::Broken),
                },
            }
        }
    }

    /// How long the upstream may be silent.
    pub fn patience(&self) -> Duration {
        self.response
    }

    async fn in_time<T>(
        &self,
        response: impl Future<Output = T>,
        upload: Option<&Arc<Upload>>,
    ) -> Option<T> {
        let mut response = pin!(response);
        let pieces = || upload.map(|upload| upload.pieces());
        loop {
            let before = pieces();
            match timeout(self.response, response.as_mut()).await {
                Ok(response) => return Some(response),
                Err(_) if pieces() == before => return None,
                Err(_) => {}
            }
        }
    }

    async fn open(&self) -> Result<SendRequest<B>, UpstreamError> {
        let socket = match timeout(self.connect, self.connector.connect()).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(_)) => return Err(UpstreamError::Connect),
            Err(_) => return Err(UpstreamError::ConnectTimeout),
        };
        let (sender, connection) = http1::handshake(TokioIo::new(socket))
            .await
            .map_err(|_| UpstreamError::Connect)?;
        // An error of the connection is also the error of the request on it.
        self.tasks.spawn(async move { drop(connection.await) });
        Ok(sender)
    }

    /// Closes what nobody uses; called now and then, so that sockets do not stay open for ever in quiet times.
    pub fn close_idle(&self) {
        let now = self.clock.now();
        let mut connections = self
            .idle
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        connections.retain(|(connection, since)| {
            !connection.is_closed() && now.since(*since) < self.idle.keep
        });
    }
}
