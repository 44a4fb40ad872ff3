//! What happens to a request: one `match` on its endpoint, and under each arm *parse, decide, act*, in that order.

pub mod access;
mod authorize;
mod bind;
pub mod body;
mod browser;
mod concern;
mod elsewhere;
pub mod endpoint;
mod exchange;
mod forward;
pub mod headers;
mod metadata;
mod misdirected;
mod received;

pub mod reply;
pub mod site;
mod token;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use ipnet::IpNet;

use crate::clock::calendar::Doubt;
use crate::clock::{self, Clock, Timestamp};
use crate::policy::Rules;
use crate::server::Crowd;
use crate::server::watch::Watch;
use crate::telemetry::{EndpointKind, Event, RequestId, Telemetry};
use crate::upstream::Client;

use access::Access;
use body::Body;
use endpoint::fold::{Readings, fold_path, fold_segments};
use endpoint::{Endpoint, Misrouted, Routes};
use exchange::Exchange;
use headers::Node;
use misdirected::Misdirection;
use site::Site;

/// What all workers share.
#[derive(Debug)]
pub struct Shared {
    /// In the order of the configuration.
    pub sites: Vec<Arc<Site>>,
    routes: Routes,
    limits: Limits,
    trusted_proxies: Vec<IpNet>,
    clock: Clock,
    telemetry: Telemetry,
    clock_in_doubt: AtomicBool,
    has_stopped: AtomicBool,
    /// The upper half of every request id is drawn at start, so that ids of two runs differ.
    next_request: AtomicU64,
}

impl Shared {
    /// `id_seed` is random.
    pub fn new(
        sites: Vec<Arc<Site>>,
        limits: Limits,
        trusted_proxies: Vec<IpNet>,
        clock: Clock,
        telemetry: Telemetry,
        id_seed: u32,
    ) -> Self {
        let routes = Routes::new(sites.iter().map(|site| &site.settings));
        let next_request = AtomicU64::new(u64::from(id_seed) << 32);
        Self {
            sites,
            routes,
            limits,
            trusted_proxies,
            clock,
            telemetry,
            clock_in_doubt: AtomicBool::new(false),
            has_stopped: AtomicBool::new(false),
            next_request,
        }
    }

    /// Where events go.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Tells once when the machine's clock begins to show what cannot be.
    fn watch_clock(&self, doubt: Option<Doubt>) {
        let is_new = !self.clock_in_doubt.swap(doubt.is_some(), Ordering::Relaxed);
        if let (true, Some(doubt)) = (is_new, doubt) {
            self.telemetry.tell(&Event::ClockInDoubt(doubt));
        }
    }

    fn has_stopped(&self) -> bool {
        self.has_stopped.load(Ordering::Relaxed)
    }

    /// What time it is.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
}

/// One worker's gateway: what is shared, and connections of its own.
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    /// One for each site, in order.
    clients: Vec<Client<Box<Body>>>,
}

/// A request with what is known of its connection.
#[derive(Debug)]
pub struct Arrival<'c> {
    /// As hyper read it.
    pub request: Request<Incoming>,
    /// The other end of the connection.
    pub node: &'c Node,
    /// What the connection waits for.
    pub watch: &'c Arc<Watch>,
}

impl Gateway {
    /// `clients` has one connection pool for each site, in order.
    pub fn new(shared: Arc<Shared>, clients: Vec<Client<Box<Body>>>) -> Self {
        Self { shared, clients }
    }

    /// Drops what has expired: records, and upstream connections that nobody uses. Sees whether the day can be told.
    pub fn keep_house(&self) {
        self.shared.watch_clock(clock::doubt());
        for (site, client) in self.shared.sites.iter().zip(&self.clients) {
            site.store.sweep();
            client.close_idle();
        }
    }

    /// Sees to it that places do not run out by what waits for its clients ([`Crowd::relieve`]).
    pub fn relieve(&self, crowd: &Crowd) {
        let places = self.shared.sites.iter().map(|site| site.places());
        crowd.relieve(places, self.shared.limits.in_flight);
    }

    /// Nothing is answered any more: requests that end now are cut off.
    pub fn stop(&self) {
        self.shared.has_stopped.store(true, Ordering::Relaxed);
    }

    /// Answers a request.
    pub async fn call<'c>(&'c self, arrival: Arrival<'c>) -> Response<Body> {
        let started = self.shared.clock.now();
        let id = RequestId(self.shared.next_request.fetch_add(1, Ordering::Relaxed));
        // Nothing but what it returns lives on while the request is answered.
        let (exchange, endpoint, request) = match self.direct(id, arrival, started) {
            Ok(directed) => directed,
            Err(misdirection) => return misdirection.answer(),
        };
        let mut response = self.answer(&exchange, endpoint, request).await;
        headers::towards_client(response.headers_mut());
        let (status, took) = (
            response.status().as_u16(),
            self.shared.clock.now().since(started),
        );
        exchange
            .site
            .telemetry
            .answered(exchange.kind(), status, took);
        if let Some(access) = exchange.access() {
            access.responds(status);
            response.extensions_mut().insert(Arc::clone(access));
        }
        response
    }

    /// Finds out which upstream and which endpoint a request is for.
    fn direct<'c>(
        &'c self,
        id: RequestId,
        arrival: Arrival<'c>,
        started: Timestamp,
    ) -> Result<(Exchange<'c>, Option<Endpoint>, received::Received), Misdirection> {
        let Arrival {
            request,
            node,
            watch,
        } = arrival;
        let (parts, incoming) = request.into_parts();
        let told = |wrong: Misdirection| wrong.told(id, &parts.headers, &self.shared.telemetry);
        if let Some(refused) = self.out_of_bounds(&parts) {
            return Err(told(refused));
        }
        let routes = &self.shared.routes;
        let route = routes
            .find(&parts.uri, &parts.headers, &node.host)
            .map_err(|wrong| told(wrong.into()))?;
        let (Some(site), Some(client)) = (
            self.shared.sites.get(route.upstream),
            self.clients.get(route.upstream),
        ) else {
            return Err(told(Misrouted::Unknown.into()));
        };
        // Where nothing is judged not one byte changes.
        let target = match (&route.path, parts.uri.path_and_query()) {
            (Cow::Borrowed(_), Some(target)) => target.clone(),
            (Cow::Owned(_), Some(target)) if site.observes_only => target.clone(),
            (path, _) => {
                with_query(path, parts.uri.query()).ok_or_else(|| told(Misrouted::Target.into()))?
            }
        };
        let kind = match route.endpoint {
            Some(Endpoint::Authorization) => EndpointKind::Authorization,
            Some(Endpoint::Token) => EndpointKind::Token,
            Some(Endpoint::Metadata) => EndpointKind::Metadata,
            Some(Endpoint::Other) | None => EndpointKind::Other,
        };
        let caller = exchange::Caller {
            id,
            kind,
            node,
            watch,
            host: route.host,
        };
        let proxies = &self.shared.trusted_proxies;
        if headers::forwarded::is_proxy(node.address(), proxies) {
            let client = headers::forwarded::client(&parts.headers, node.address(), proxies);
            node.speaks_for(client);
        }
        let access = self.shared.telemetry.logs_requests().then(|| {
            let line = (&parts.method, parts.uri.path());
            Arc::new(Access::new(&self.shared, site, &caller, line, started))
        });
        let request = received::Parts {
            method: parts.method,
            target,
            headers: parts.headers,
            body: Body::from_client(incoming, watch),
        };
        let exchange = Exchange::new(&self.shared, site, client, (caller, access));
        Ok((exchange, route.endpoint, request.into()))
    }

    async fn answer(
        &self,
        exchange: &Exchange<'_>,
        endpoint: Option<Endpoint>,
        request: received::Received,
    ) -> Response<Body> {
        // What is rare is boxed, so that what is frequent stays small.
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
            (Some(Endpoint::Metadata), false) => {
                Box::pin(metadata::handle(exchange, request)).await
            }
            (None, _) => Box::pin(forward::ambiguous(exchange, request)).await,
        }
    }

    /// What no route gets.
    fn out_of_bounds(&self, parts: &http::request::Parts) -> Option<Misdirection> {
        let target = parts
            .uri
            .path_and_query()
            .map_or(0, |target| target.as_str().len());
        if target > self.shared.limits.uri_bytes {
            let status = StatusCode::URI_TOO_LONG;
            return Some(Misdirection::new(status, "the request target is too long"));
        }
        if parts.headers.len() > self.shared.limits.headers {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Some(Misdirection::new(status, "too many header fields"));
        }
        if parts.method == Method::CONNECT || parts.method == Method::TRACE {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            return Some(Misdirection::new(status, "method not allowed"));
        }
        headers::check(&parts.headers).err().map(Misdirection::from)
    }
}

fn with_query(path: &str, query: Option<&str>) -> Option<PathAndQuery> {
    let target = match query {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    target.ok()
}

/// Everything about one upstream that the gateway has to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// For events, metrics and handles.
    pub name: String,
    /// Host values (`name` or `name:port`, lower case); empty: any.
    pub hosts: Vec<String>,
    /// Paths that belong to this upstream; `/` or `/something` without a trailing slash.
    pub prefix: String,
    /// How clients reach it: `scheme://authority`, without a path.
    pub public_origin: String,
    /// Send the client's Host on, or the upstream's own.
    pub preserve_host: bool,
    /// Exact paths, prefix included.
    pub endpoints: Endpoints,
    /// What happens to paths that are no endpoint.
    pub routes: RoutePolicy,
    /// Who is judged how.
    pub rules: Rules,
    /// What a fresh authorization request is answered with.
    pub entry: Entry,
    /// What is done about a sign-in that is continued in another browser.
    pub browser_binding: BrowserBinding,
    /// What the upstream sees of PKCE.
    pub to_upstream: ToUpstream,
    /// Whether metadata is made to tell the truth.
    pub rewrite_metadata: bool,
    /// The issuer, when the operator states it; else it is learned from metadata.
    pub issuer: Option<String>,
}

/// Exact paths, prefix included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// RFC 6749 section 3.1.
    pub authorization: Vec<String>,
    /// Further pages that carry the same authorization request on.
    pub continuation: Vec<String>,
    /// RFC 6749 section 3.2.
    pub token: Vec<String>,
    /// RFC 8414 and OpenID Connect Discovery documents.
    pub metadata: Vec<String>,
    /// Names of query parameters that the URLs of the authorization and token endpoints may have
    /// ([`crate::oauth::endpoint_query`]).
    pub query: Vec<String>,
}

impl Endpoints {
    /// Those that some server may know by other paths, too; none of which passes.
    pub fn protected(&self) -> impl Iterator<Item = &String> {
        self.authorization
            .iter()
            .chain(&self.continuation)
            .chain(&self.token)
    }
}

/// `[upstream.routes]`: what happens to paths that are no endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoutePolicy {
    /// 404 for whatever is not in `allow`; else everything passes, under the guards.
    pub deny_by_default: bool,
    /// Paths that pass; with `/**` at the end, everything below too.
    pub allow: Vec<String>,
    /// Paths that get a 404, whatever `allow` says, and however they are spelt.
    pub deny: Vec<String>,
    /// Exact paths at which the upstream itself receives another server's code.
    pub foreign_callbacks: Vec<String>,
}

impl RoutePolicy {
    /// Whether a path may be asked for at all. What is denied is denied under every name that some server has for it; what
    /// is allowed, under the one that is written.
    pub fn admits(&self, path: &str) -> bool {
        let allowed = || {
            let mut allow = self.allow.iter();
            allow.any(|pattern| matches(pattern, path)) && Readings::of(path) != Readings::Crooked
        };
        !self.denies(path) && (!self.deny_by_default || allowed())
    }

    fn denies(&self, path: &str) -> bool {
        if self.deny.is_empty() {
            return false;
        }
        let readings = Readings::of(path);
        self.deny
            .iter()
            .any(|pattern| match pattern.strip_suffix("/**") {
                None => {
                    let folded = fold_path(pattern);
                    readings.any(|reading| reading == folded)
                }
                Some(above) => {
                    let folded = fold_segments(above);
                    readings.any(|reading| is_below(&folded, reading))
                }
            })
    }

    /// Whether the upstream is a client of another server there.
    pub fn is_foreign_callback(&self, path: &str) -> bool {
        self.foreign_callbacks.iter().any(|known| known == path)
    }
}

/// An exact path, or with `/**` at its end everything below it.
fn matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix("/**") {
        None => pattern == path,
        Some(above) => is_below(above, path),
    }
}

fn is_below(above: &str, path: &str) -> bool {
    above.is_empty()
        || path
            .strip_prefix(above)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `entry`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// 303 to the same path with the handle as `state`.
    Redirect,
    /// Forwarded in place.
    Rewrite,
}

/// `browser_binding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrowserBinding {
    /// No cookie.
    Off,
    /// Another browser is an event.
    Soft,
    /// Another browser is refused.
    Hard,
}

/// `to_upstream`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToUpstream {
    /// Challenge and verifier go on.
    Forward,
    /// The upstream sees nothing of PKCE.
    Strip,
}

/// Bounds on what is read of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Header fields in a request.
    pub headers: usize,
    /// Bytes of a request target.
    pub uri_bytes: usize,
    /// Bytes of a body at an intercepted endpoint.
    pub form_bytes: usize,
    /// Pairs in a query or body there.
    pub form_pairs: usize,
    /// Bytes of an upstream page that are read for a code.
    pub response_scan_bytes: usize,
    /// Requests at once per upstream.
    pub in_flight: usize,
}
