//! The connections of one worker to one upstream.

use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::socket::WorkerLoop;

use super::connect::Connector;
use super::connection::Line;
use super::download::Download;
use super::error::{NoConnection, UpstreamError};
use super::framing;
use super::idle::Idle;
use super::settings::Settings;
use super::upload::{Outgoing, Upload};

#[derive(Debug)]
pub(crate) struct Client<B: Outgoing> {
    connector: Connector,
    connect: Duration,
    response: Duration,
    own: WorkerLoop,
    tasks: TaskTracker,
    idle: Arc<Idle<B>>,
}

/// Whether nothing can follow the response on its connection that was not read as its body. Some servers send a body
/// where none is allowed, above all after HEAD, and others parse the body of a GET as the next request. The rest would
/// be read as the response to the next request, which may be another user's.
fn ends_surely<T>(is_odd: bool, response: &Response<T>) -> bool {
    let is_empty = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&response.status());
    !is_odd && !is_empty
}

/// Schemes that authenticate the connection instead of the request (NTLM and Negotiate of Windows, RFC 4559): later
/// requests on it are treated as that user's.
const OF_CONNECTIONS: [&[u8]; 4] = [b"ntlm", b"negotiate", b"nego2", b"kerberos"];

fn is_of_connections(scheme: &[u8]) -> bool {
    let mut known = OF_CONNECTIONS.iter();
    known.any(|known| scheme.eq_ignore_ascii_case(known))
}

fn words(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let words = value.as_bytes().split(|byte| !byte.is_ascii_alphanumeric());
    words.filter(|word| !word.is_empty())
}

fn has_credentials_of_connection(headers: &HeaderMap) -> bool {
    let mut credentials = headers.get_all(header::AUTHORIZATION).iter();
    credentials.any(|value| words(value).next().is_some_and(is_of_connections))
}

/// Whether the response requests or continues such an authentication. One field may contain several challenges.
fn asks_for_credentials_of_connection(headers: &HeaderMap) -> bool {
    let mut challenges = headers.get_all(header::WWW_AUTHENTICATE).iter();
    challenges.any(|value| words(value).any(is_of_connections))
}

impl<B: Outgoing> Client<B> {
    /// Creates a client without connections. `most_idle` limits the idle ones; `tasks` runs connections whose request
    /// is still being sent when the response has ended.
    pub(crate) fn new(
        connector: Connector,
        settings: &Settings,
        most_idle: usize,
        own: WorkerLoop,
        tasks: TaskTracker,
    ) -> Self {
        let idle = Idle::new(own.rounds.clock().clone(), settings.idle, most_idle);
        Self {
            connector,
            connect: settings.connect,
            response: settings.response,
            own,
            tasks,
            idle: Arc::new(idle),
        }
    }

    /// Sends one request and waits for the head of its response. A pooled connection that was closed before a byte was
    /// written is replaced; once a byte may have been written, nothing is ever sent twice.
    ///
    /// The time limit for the response does not start as long as the request body makes progress.
    pub(crate) async fn send(
        &self,
        mut request: Request<B>,
        upload: Option<Arc<Upload>>,
    ) -> Result<Response<Download<B>>, UpstreamError> {
        let is_get = request.method() == Method::GET;
        let is_odd = request.method() == Method::HEAD
            || (is_get && !request.body().is_end_stream())
            || has_credentials_of_connection(request.headers());
        loop {
            let pooled = self.idle.take();
            let fresh = pooled.is_none();
            let mut line = match pooled {
                Some(line) => line,
                // Boxed, because this is rare and the future is large.
                None => Box::pin(self.open()).await?,
            };
            match line.send(request, upload.as_deref()).await {
                None => return Err(UpstreamError::ResponseTimeout),
                Some(Ok(mut response)) => {
                    let length = response.body().size_hint().exact();
                    if !framing::is_clear(response.headers_mut(), length) {
                        return Err(UpstreamError::Broken);
                    }
                    return Ok(self.download(line, response, is_odd, upload.as_deref()));
                }
                Some(Err(mut failed)) => match failed.take_message() {
                    Some(unsent) if !fresh => request = unsent,
                    Some(_) => return Err(UpstreamError::Connect(NoConnection::Broken)),
                    None if upload.as_ref().is_some_and(|upload| upload.is_broken()) => {
                        return Err(UpstreamError::Request);
                    }
                    None => return Err(UpstreamError::Broken),
                },
            }
        }
    }

    /// The response, with the connection that it comes over.
    fn download(
        &self,
        line: Box<Line<B>>,
        response: Response<Incoming>,
        is_odd: bool,
        upload: Option<&Upload>,
    ) -> Response<Download<B>> {
        // Either the whole body was examined, or it is still being sent and the connection is not reused for that
        // reason.
        let is_lookalike = upload.is_some_and(Upload::is_lookalike);
        let is_reusable = ends_surely(is_odd, &response)
            && !is_lookalike
            && !asks_for_credentials_of_connection(response.headers());
        let home = is_reusable.then(|| Arc::clone(&self.idle));
        // A request that is still being sent keeps the connection busy for as long as the client takes, independently
        // of how the response is read, so the connection is driven by a task.
        let line = if upload.is_none_or(Upload::is_through) {
            Some(line)
        } else {
            line.run_alone(&self.tasks);
            None
        };
        response.map(|body| Download::new(body, line, home))
    }

    /// The maximum time for which the upstream may send nothing.
    pub(crate) fn patience(&self) -> Duration {
        self.response
    }

    async fn open(&self) -> Result<Box<Line<B>>, UpstreamError> {
        let socket = match timeout(self.connect, self.connector.connect(&self.own.batch)).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(why)) => return Err(UpstreamError::Connect(why)),
            Err(_) => return Err(UpstreamError::ConnectTimeout),
        };
        let line = Line::new(socket, self.response, &self.own.rounds)
            .await
            .map_err(|_| UpstreamError::Connect(NoConnection::Broken))?;
        Ok(Box::new(line))
    }

    /// Closes connections that are idle for too long. Called regularly, so that sockets do not stay open while there
    /// are no requests.
    pub(crate) fn close_idle(&self) {
        self.idle.close_old();
    }
}
