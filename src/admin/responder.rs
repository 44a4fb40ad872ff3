//! A small HTTP server that answers each request at once: for the admin listener, and for the sites of the demo.

use std::convert::Infallible;
use std::net::TcpListener;
use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

/// Maximum time to read a request head.
const HEADER_READ: Duration = Duration::from_secs(5);
/// Pause after a failed accept, probably for lack of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until it is dropped. Connections end with the runtime.
pub(crate) async fn serve<F>(
    listener: TcpListener,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
) where
    F: Future<Output = Response<String>> + Send + 'static,
{
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let connections = TaskTracker::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let answer = answer.clone();
        let service = service_fn(move |request| {
            let answer = answer(request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_READ)
            .serve_connection(TokioIo::new(socket), service);
        // Errors are ignored: the client has disconnected.
        connections.spawn(connection);
    }
}

pub(crate) fn plain(status: StatusCode, text: impl Into<String>) -> Response<String> {
    response(status, "text/plain; charset=utf-8", text)
}

pub(crate) fn response(
    status: StatusCode,
    media_type: &'static str,
    body: impl Into<String>,
) -> Response<String> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
