//! Health and metrics, on a separate listener and thread, so that they respond even if the workers are overloaded.

mod collect;
mod exposition;
mod in_force;
pub(crate) mod responder;
pub(crate) mod review;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::runtime::Builder;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::gateway::Shared;

use exposition::Format;
pub(crate) use in_force::InForce;
use responder::{plain, response};
use review::Review;

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
    shared: Arc<Shared>,
    readiness: Readiness,
    in_force: InForce,
    /// Held while a review is made.
    reviewing: Mutex<()>,
}

impl Admin {
    pub(crate) fn new(shared: Arc<Shared>, readiness: Readiness, in_force: InForce) -> Self {
        Self {
            shared,
            readiness,
            in_force,
            reviewing: Mutex::default(),
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<String> {
        if !is_read(request) {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
        }
        match request.uri().path() {
            "/livez" => plain(StatusCode::OK, "alive\n"),
            "/readyz" if self.readiness.is_ready() => self.ready(),
            "/readyz" => plain(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
            "/metrics" => self.metrics(request.headers()),
            "/config" => response(StatusCode::OK, "application/json", self.in_force.document()),
            _ => plain(
                StatusCode::NOT_FOUND,
                "/livez /readyz /metrics /review /review.json /config\n",
            ),
        }
    }

    /// `write`: makes the answer. There may be a hundred thousand clients, so it is not made on this thread, which also answers for
    /// the health of the gate; and one after the other, because each needs memory.
    async fn review(
        &self,
        write: impl FnOnce(&Review) -> Response<String> + Send + 'static,
    ) -> Response<String> {
        let _alone = self.reviewing.lock().await;
        let snapshot = self.shared.snapshot();
        let mut counted = Vec::with_capacity(snapshot.sites.len());
        for site in &snapshot.sites {
            counted.push(site.counted().await);
        }
        let written = spawn_blocking(move || {
            let review = review::review(&snapshot, &counted, clock::wall());
            write(&review)
        });
        written.await.unwrap_or_else(|_| unwritten())
    }

    async fn answer_later(&self, request: &Request<Incoming>) -> Response<String> {
        let uri = request.uri();
        match uri.path() {
            "/review" if is_read(request) => {
                let query = uri.query().unwrap_or_default().to_owned();
                self.review(move |review| review_page(review, &query)).await
            }
            "/review.json" if is_read(request) => self.review(review_document).await,
            _ => self.answer(request),
        }
    }

    /// Ready, if it does not depend on a store that is out of reach.
    fn ready(&self) -> Response<String> {
        let snapshot = self.shared.snapshot();
        let remote = snapshot
            .sites
            .iter()
            .filter_map(|site| Some((site, site.store.redis()?)));
        let lost: Vec<_> = remote
            .filter(|(_, redis)| !redis.keyspace().is_reachable())
            .collect();
        let lines = lost.iter().map(|(site, _)| {
            format!(
                "the store of upstream {:?} is out of reach\n",
                site.settings.name
            )
        });
        let lines: String = lines.collect();
        if lost.iter().any(|(_, redis)| redis.fails_readiness()) {
            plain(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("not ready\n{lines}"),
            )
        } else {
            plain(StatusCode::OK, format!("ready\n{lines}"))
        }
    }

    fn metrics(&self, asked: &HeaderMap) -> Response<String> {
        let accept = asked.get_all(header::ACCEPT).iter();
        let format = Format::asked_for(accept.filter_map(|field| field.to_str().ok()));
        let written = self.shared.telemetry.metrics().encode();
        let Ok(text) = written.and_then(|text| format.write(text)) else {
            return plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "metrics cannot be encoded\n",
            );
        };
        let mut response = response(StatusCode::OK, format.media_type(), text);
        let vary = HeaderValue::from_static("Accept");
        response.headers_mut().insert(header::VARY, vary);
        response
    }
}

fn is_read(request: &Request<Incoming>) -> bool {
    request.method() == Method::GET || request.method() == Method::HEAD
}

fn review_page(review: &Review, query: &str) -> Response<String> {
    let page = review::page::page(review, query);
    let mut response = response(StatusCode::OK, "text/html; charset=utf-8", page);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, review::page::policy());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    response
}

fn review_document(review: &Review) -> Response<String> {
    match serde_json::to_string_pretty(review) {
        Ok(document) => response(StatusCode::OK, "application/json", document),
        Err(_) => unwritten(),
    }
}

fn unwritten() -> Response<String> {
    plain(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the review cannot be written\n",
    )
}

/// Starts the thread, which ends when `gone` is cancelled.
pub(crate) fn spawn(
    listener: TcpListener,
    admin: Admin,
    gone: CancellationToken,
) -> io::Result<JoinHandle<()>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let statistics = Box::new(collect::Sites(Arc::clone(&admin.shared)));
    admin.shared.telemetry.metrics().register(statistics);
    let admin = Arc::new(admin);
    let serve = responder::serve(listener, move |request| {
        let admin = Arc::clone(&admin);
        async move { admin.answer_later(&request).await }
    });
    thread::Builder::new()
        .name("admin".to_owned())
        .spawn(move || {
            runtime.block_on(gone.run_until_cancelled(serve));
        })
}
