//! Handles every request: one `match` on its endpoint. Each arm parses the request, decides, then acts.

pub(crate) mod access_log;
mod authorize;
mod bind;
mod bounds;
mod browser;
mod caller;
mod challenge;
mod concern;
mod cookie;
mod decide;
mod device;
mod direct;
mod elsewhere;
mod exchange;
mod forward;
mod hints;
mod issued;
mod metadata;
mod own_document;
pub(crate) mod preview;
mod received;
mod registered;
pub(crate) mod reply;
pub(crate) mod settings;
pub(crate) mod shared;
pub(crate) mod sign_in_cookies;
pub(crate) mod site;
pub(crate) mod snapshot;
mod subject;
mod token;
mod unrouted;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::clock::{self, Timestamp};
use crate::http::body::Body;
use crate::http::headers::{self, Node};
use crate::oauth::Endpoint;
use crate::policy::Violation;
use crate::route::Misdirection;
use crate::server::Crowd;
use crate::server::watch::Watch;
use crate::telemetry::RequestId;
use crate::upstream::Client;

use access_log::Access;
use bounds::out_of_bounds;
use exchange::Exchange;
pub(crate) use settings::Settings;
pub(crate) use shared::Shared;
use sign_in_cookies::{Kind, SignInCookies};
use site::{Destination, Site};
pub(crate) use snapshot::Snapshot;
use subject::About;

/// The gateway of one worker thread: the state that all workers share, and this worker's upstream connections.
#[derive(Debug)]
pub(crate) struct Gateway {
    shared: Arc<Shared>,
    view: ArcSwap<View>,
    /// Tells that `view` is another one.
    changed: Notify,
}

/// The configuration in force, with one worker's connections.
#[derive(Debug)]
struct View {
    snapshot: Arc<Snapshot>,
    /// One client for each of `snapshot.sites`, in the same order.
    clients: Vec<Arc<Client<Box<Body>>>>,
}

impl View {
    /// The sites, each with its connections.
    fn sites(&self) -> impl Iterator<Item = (&Arc<Site>, &Arc<Client<Box<Body>>>)> {
        self.snapshot.sites.iter().zip(&self.clients)
    }

    /// A request that began under another view, under this one. `None`: its upstream is gone.
    fn adopted<'v>(&'v self, exchange: Exchange<'v>) -> Option<Exchange<'v>> {
        let name = exchange.site.state.telemetry.name();
        let mut sites = self.sites();
        let (site, client) = sites.find(|(site, _)| site.state.telemetry.name() == name)?;
        let snapshot = &*self.snapshot;
        Some(Exchange {
            snapshot,
            site,
            client,
            ..exchange
        })
    }
}

/// A request and its connection.
#[derive(Debug)]
pub(crate) struct Arrival<'c> {
    pub request: Request<Incoming>,
    /// The peer of the connection.
    pub node: &'c Node,
    /// The state that the connection's timeouts are checked by.
    pub watch: &'c Arc<Watch>,
}

impl Gateway {
    /// Starts with the configuration in force. `open` creates the connection pool for a destination.
    pub(crate) fn new(
        shared: Arc<Shared>,
        open: impl Fn(&Destination) -> Client<Box<Body>>,
    ) -> Self {
        let snapshot = shared.snapshot();
        let open = |site: &Arc<Site>| Arc::new(open(&site.destination));
        let clients = snapshot.sites.iter().map(open).collect();
        let view = ArcSwap::from_pointee(View { snapshot, clients });
        Self {
            shared,
            view,
            changed: Notify::new(),
        }
    }

    /// Switches to the configuration in force. Keeps the connections to destinations that have not changed.
    pub(crate) fn adopt(&self, open: impl Fn(&Destination) -> Client<Box<Body>>) {
        let (before, snapshot) = (self.view.load_full(), self.shared.snapshot());
        let client = |site: &Arc<Site>| {
            let is_same = |old: &Site| Arc::ptr_eq(&old.destination, &site.destination);
            match before.sites().find(|(old, _)| is_same(old)) {
                Some((_, client)) => Arc::clone(client),
                None => Arc::new(open(&site.destination)),
            }
        };
        let clients = snapshot.sites.iter().map(client).collect();
        self.view.store(Arc::new(View { snapshot, clients }));
        self.changed.notify_waiters();
    }

    /// Drops expired records and idle upstream connections, and checks that the system clock is plausible and that remote stores
    /// answer: `tasks` has the questions.
    pub(crate) fn keep_house(&self, tasks: &TaskTracker) {
        self.shared.watch_clock(clock::doubt());
        let view = self.view.load();
        for (site, client) in view.sites() {
            site.store.sweep();
            client.close_idle();
            if let Some(redis) = site.store.redis() {
                self.shared.watch_store(site, redis);
                tasks.spawn(redis.keyspace().probe());
            }
            self.shared.watch_clocks(site);
        }
    }

    /// If few places in flight are free, closes connections that wait for slow clients ([`Crowd::relieve`]).
    pub(crate) fn relieve(&self, crowd: &Crowd) {
        let view = self.view.load();
        let places = view.snapshot.sites.iter().map(|site| &site.state.places);
        crowd.relieve(places, view.snapshot.limits.in_flight);
    }

    /// Marks the gateway as stopped: from now on the access log says of unfinished requests that the gate cut them off.
    pub(crate) fn stop(&self) {
        self.shared.has_stopped.store(true, Ordering::Relaxed);
    }

    /// Answers a request.
    pub(crate) async fn call(&self, arrival: Arrival<'_>) -> Response<Body> {
        let started = self.shared.clock.now();
        // The request uses the same configuration until it ends, except as below.
        let view = self.view.load_full();
        let id = self.shared.next_request();
        let current;
        // A separate function, so that its temporaries do not become part of this future.
        let (mut exchange, endpoint, mut request) = match self.direct(&view, id, arrival, started) {
            Ok(directed) => directed,
            Err(misdirection) => return misdirection.answer(),
        };
        if endpoint == Some(Endpoint::Token) && !request.body.is_all_read() {
            // A client can hold the request open for minutes, and append the code when the rules have become stricter.
            request.body.peek(view.snapshot.limits.form_bytes).await;
            current = self.view.load_full();
            if !Arc::ptr_eq(&current, &view) {
                exchange = match current.adopted(exchange) {
                    Some(exchange) => exchange,
                    None => {
                        let telemetry = &self.shared.telemetry;
                        let wrong = Misdirection::UNKNOWN.told(id, &request.headers, telemetry);
                        return wrong.answer();
                    }
                };
            }
        }
        let is_open = endpoint == Some(Endpoint::Token) && !request.body.is_all_read();
        let mut response = if is_open {
            Box::pin(self.answer_open(&exchange, endpoint, request)).await
        } else {
            self.answer(&exchange, endpoint, request).await
        };
        headers::towards_client(response.headers_mut());
        let status = response.status().as_u16();
        let took = self.shared.clock.now().since(started);
        let upstream = &exchange.site.state.telemetry;
        upstream.answered(exchange.caller.kind, status, took);
        if let Some(access) = &exchange.access {
            access.responds(status);
            response.extensions_mut().insert(Arc::clone(access));
        }
        response
    }

    /// Answers a token request whose body is longer than the gate reads, and still arrives. When the configuration changes it is
    /// ended: the rest of the body could be a code that the new rules refuse.
    async fn answer_open(
        &self,
        exchange: &Exchange<'_>,
        endpoint: Option<Endpoint>,
        request: received::Received,
    ) -> Response<Body> {
        let changed = async {
            loop {
                let changed = self.changed.notified();
                if !std::ptr::eq(Arc::as_ptr(&self.view.load().snapshot), exchange.snapshot) {
                    return;
                }
                changed.await;
            }
        };
        tokio::select! {
            response = self.answer(exchange, endpoint, request) => response,
            () = changed => {
                let text = "the configuration changed while a long body arrived";
                exchange.refuse(&Violation::malformed(text), &About::default());
                reply::token_unavailable(StatusCode::SERVICE_UNAVAILABLE, text)
            }
        }
    }

    /// Finds out which upstream and which endpoint a request is for.
    fn direct<'c>(
        &'c self,
        view: &'c View,
        id: RequestId,
        arrival: Arrival<'c>,
        started: Timestamp,
    ) -> Result<(Exchange<'c>, Option<Endpoint>, received::Received), Misdirection> {
        let (node, watch, snapshot) = (arrival.node, arrival.watch, &*view.snapshot);
        let (parts, incoming) = arrival.request.into_parts();
        let told = |wrong: Misdirection| wrong.told(id, &parts.headers, &self.shared.telemetry);
        out_of_bounds(&parts, &snapshot.limits).map_err(told)?;
        let route = snapshot
            .routes
            .find(&parts.uri, &parts.headers, &node.host)
            .map_err(told)?;
        let Some((site, client)) = view.sites().nth(route.upstream) else {
            return Err(told(Misdirection::UNKNOWN));
        };
        // An upstream that is only observed gets the target byte for byte.
        let target = match (&route.path, parts.uri.path_and_query()) {
            (Cow::Borrowed(_), Some(target)) => target.clone(),
            (Cow::Owned(_), Some(target)) if site.observes_only && !route.is_alias => {
                target.clone()
            }
            (path, _) => {
                with_query(path, parts.uri.query()).ok_or_else(|| told(Misdirection::TARGET))?
            }
        };
        let caller = caller::Caller {
            id,
            kind: route.endpoint.unwrap_or(Endpoint::Other),
            node,
            watch,
            host: route.host,
        };
        let proxies = &snapshot.trusted_proxies;
        if headers::forwarded::is_proxy(node.address(), proxies) {
            let client = headers::forwarded::client(&parts.headers, node.address(), proxies);
            node.speaks_for(client);
        }
        let access = self.shared.telemetry.logs_requests().then(|| {
            let (method, path) = (&parts.method, parts.uri.path());
            let access = Access::new(&self.shared, site, &caller, method, path, started);
            Arc::new(access)
        });
        let mut headers = parts.headers;
        let mut cookies = |kind, are_read| {
            if are_read {
                SignInCookies::take(&mut headers, kind, site.is_https())
            } else {
                SignInCookies::default()
            }
        };
        let states = cookies(Kind::State, site.reads_states);
        let flows = cookies(Kind::Handle, site.reads_flows);
        if snapshot.has_sign_in_cookies {
            // Those of other upstreams at this host.
            SignInCookies::remove_all(&mut headers);
        }
        let request = received::Parts {
            method: parts.method,
            target,
            headers,
            states,
            flows,
            body: Body::from_client(incoming, watch),
        };
        let exchange = Exchange {
            shared: &self.shared,
            snapshot,
            site,
            id,
            client,
            caller,
            access,
        };
        Ok((exchange, route.endpoint, Box::new(request)))
    }

    async fn answer(
        &self,
        exchange: &Exchange<'_>,
        endpoint: Option<Endpoint>,
        request: received::Received,
    ) -> Response<Body> {
        // The rare cases are boxed, so that the future of the frequent case stays small.
        match (endpoint, exchange.site.observes_only) {
            (Some(Endpoint::Other), _) | (Some(Endpoint::Metadata), true) => {
                forward::pass(exchange, request).await
            }
            (Some(Endpoint::Authorization), false) => {
                Box::pin(authorize::handle(exchange, request)).await
            }
            (Some(Endpoint::Authorization), true) => {
                Box::pin(authorize::observe(exchange, request)).await
            }
            (Some(Endpoint::Token), false) => Box::pin(token::handle(exchange, request)).await,
            (Some(Endpoint::Token), true) => Box::pin(token::observe(exchange, request)).await,
            (Some(Endpoint::PushedAuthorizationRequest), _) => {
                Box::pin(authorize::push(exchange, request)).await
            }
            (Some(Endpoint::DeviceAuthorization), _) => {
                Box::pin(device::handle(exchange, request)).await
            }
            (Some(Endpoint::AuthorizationChallenge), _) => {
                Box::pin(challenge::handle(exchange, request)).await
            }
            (Some(Endpoint::Metadata), false) => {
                Box::pin(metadata::handle(exchange, request)).await
            }
            (None, _) => Box::pin(forward::ambiguous(exchange, request)).await,
        }
    }
}

fn with_query(path: &str, query: Option<&str>) -> Option<PathAndQuery> {
    let target = match query {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    target.ok()
}
