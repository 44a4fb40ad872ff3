//! Health and metrics, on a separate listener and thread, so that they respond even if the workers are overloaded.

mod collect;
mod exposition;
mod in_force;

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::gateway::Shared;
use crate::telemetry::Telemetry;

use exposition::Format;
pub(crate) use in_force::InForce;

/// Maximum time to read a request head.
const HEADER_READ: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Never an address of the server.
    pub listen: SocketAddr,
}

/// Whether the gate is ready for clients.
#[derive(Debug, Clone, Default)]
pub(crate) struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// True once everything serves; false when the drain begins.
    pub(crate) fn set_ready(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The admin listener's service.
#[derive(Debug)]
pub(crate) struct Admin {
    telemetry: Telemetry,
    readiness: Readiness,
    in_force: InForce,
}

impl Admin {
    /// Registers the statistics of all sites as metrics.
    pub(crate) fn new(
        shared: Arc<Shared>,
        telemetry: Telemetry,
        readiness: Readiness,
        in_force: InForce,
    ) -> Self {
        telemetry
            .metrics()
            .register(Box::new(collect::Sites(shared)));
        Self {
            telemetry,
            readiness,
            in_force,
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
        }
        match request.uri().path() {
            "/livez" => plain(StatusCode::OK, "alive\n"),
            "/readyz" if self.readiness.is_ready() => plain(StatusCode::OK, "ready\n"),
            "/readyz" => plain(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
            "/metrics" => self.metrics(request.headers()),
            "/config" => json(self.in_force.document()),
            _ => plain(StatusCode::NOT_FOUND, "/livez /readyz /metrics /config\n"),
        }
    }

    fn metrics(&self, asked: &HeaderMap) -> Response<Full<Bytes>> {
        let accept = asked.get_all(header::ACCEPT).iter();
        let format = Format::asked_for(accept.filter_map(|field| field.to_str().ok()));
        let written = self.telemetry.metrics().encode();
        let Ok(text) = written.and_then(|text| format.write(text)) else {
            return plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "metrics cannot be encoded\n",
            );
        };
        let mut response = plain(StatusCode::OK, text);
        let kind = HeaderValue::from_static(format.media_type());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(header::VARY, HeaderValue::from_static("Accept"));
        response
    }
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn json(document: String) -> Response<Full<Bytes>> {
    let mut response = plain(StatusCode::OK, document);
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

#[derive(Debug)]
pub(crate) struct Running {
    gone: CancellationToken,
    thread: JoinHandle<()>,
}

impl Running {
    pub(crate) fn stop(self) {
        self.gone.cancel();
        // A panic of the thread was already logged.
        drop(self.thread.join());
    }
}

pub(crate) fn spawn(listener: TcpListener, admin: Admin) -> io::Result<Running> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let gone = CancellationToken::new();
    let stop = gone.clone();
    let serve = async move {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
            return;
        };
        let (admin, tasks) = (Arc::new(admin), TaskTracker::new());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => match accepted {
                    Ok((socket, _)) => drop(tasks.spawn(connection(socket, Arc::clone(&admin)))),
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
            }
        }
    };
    let thread = thread::Builder::new()
        .name("admin".to_owned())
        .spawn(move || runtime.block_on(serve))?;
    Ok(Running { gone, thread })
}

async fn connection(socket: TcpStream, admin: Arc<Admin>) {
    let service = service_fn(move |request| {
        let response = admin.answer(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ);
    // Errors are ignored: the client has disconnected.
    drop(
        builder
            .serve_connection(TokioIo::new(socket), service)
            .await,
    );
}
