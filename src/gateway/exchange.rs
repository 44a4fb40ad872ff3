//! One request on its way: what every endpoint needs to forward it, to refuse it and to tell about it.

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};

use crate::carrier::holds;
use crate::clock;
use crate::oauth::{ClientId, Digest};
use crate::policy::{Cleared, Decision, Rule, Verdict, Violation, apply};
use crate::server::place::Place;
use crate::server::watch::Watch;
use crate::telemetry::{Decided, EndpointKind, Event, RequestId};
use crate::upstream::{Client, Upload, UpstreamError};

use super::body::Body;
use super::endpoint::decode_lossy;
use super::headers::{self, Node, Peer};
use super::site::Site;
use super::{BrowserBinding, Shared, reply};

/// What arrived, without what only the connection needs. Boxed: it is handed on through many hands, each of which would copy
/// it.
pub(super) struct Received(Box<Parts>);

/// The parts of a request.
pub(super) struct Parts {
    pub(super) method: Method,
    /// With runs of `/` merged. As it came it is shared, not copied.
    pub(super) target: PathAndQuery,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

impl From<Parts> for Received {
    fn from(parts: Parts) -> Self {
        Self(Box::new(parts))
    }
}

impl Deref for Received {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl DerefMut for Received {
    fn deref_mut(&mut self) -> &mut Parts {
        &mut self.0
    }
}

impl Received {
    pub(super) fn path(&self) -> &str {
        self.target.path()
    }

    /// The query, empty when there is none.
    pub(super) fn query(&self) -> &str {
        self.target.query().unwrap_or_default()
    }

    /// The same path with another query.
    pub(super) fn set_query(&mut self, query: &str) {
        // A query that was written by us is one; if it were none, the request would lead nowhere.
        let target = PathAndQuery::try_from([self.path(), "?", query].concat());
        self.target = target.unwrap_or_else(|_| PathAndQuery::from_static("/"));
    }

    /// What the answer is compared with. Of a body, as much as was read.
    pub(super) fn sent(&self) -> Sent {
        let said = [header::REFERER, header::COOKIE];
        Sent {
            target: Some(self.target.clone()),
            body: self.body.read(),
            fields: said
                .iter()
                .flat_map(|name| self.headers.get_all(name))
                .cloned()
                .collect(),
        }
    }

    /// A copy of the Accept header, for a page that may have to be shown later.
    pub(super) fn accept(&self) -> Option<HeaderValue> {
        self.headers.get(header::ACCEPT).cloned()
    }
}

/// What a client said that the upstream may repeat in its answer. Cheap to keep: nothing of it is copied. Not to be shown.
#[derive(Clone, Default)]
pub(super) struct Sent {
    target: Option<PathAndQuery>,
    body: Bytes,
    fields: Vec<HeaderValue>,
}

impl Sent {
    /// Decoded so often, a value is found however deep it stands in another one.
    const ROUNDS: usize = 3;

    /// Whether a value came with the request.
    pub(super) fn holds(&self, value: &[u8]) -> bool {
        let fields = self.fields.iter().map(HeaderValue::as_bytes);
        let target = self.target.as_ref().map(PathAndQuery::as_str);
        let texts = [target.unwrap_or_default().as_bytes(), &self.body];
        texts.into_iter().chain(fields).any(|text| {
            let mut text = Cow::Borrowed(text);
            for _ in 0..=Self::ROUNDS {
                if holds(&text, value) {
                    return true;
                }
                if !text.contains(&b'%') {
                    return false;
                }
                text = Cow::Owned(decode_lossy(&text));
            }
            false
        })
    }
}

/// Who asks, and for what.
#[derive(Debug)]
pub(super) struct Caller<'g> {
    pub(super) id: RequestId,
    pub(super) kind: EndpointKind,
    pub(super) node: &'g Node,
    pub(super) watch: &'g Arc<Watch>,
    pub(super) host: Authority,
}

/// The body is boxed: until it is on its way the request is handed on by many hands, each of which copies it.
type Outgoing = (Request<Box<Body>>, Option<Arc<Upload>>, Place);

/// One request and the site that it is for.
#[derive(Debug)]
pub(super) struct Exchange<'g> {
    pub(super) shared: &'g Shared,
    pub(super) site: &'g Site,
    pub(super) id: RequestId,
    client: &'g Client<Box<Body>>,
    caller: Caller<'g>,
}

impl<'g> Exchange<'g> {
    pub(super) fn new(
        shared: &'g Shared,
        site: &'g Site,
        client: &'g Client<Box<Body>>,
        caller: Caller<'g>,
    ) -> Self {
        Self {
            shared,
            site,
            id: caller.id,
            client,
            caller,
        }
    }

    /// Which part of the walk it is.
    pub(super) fn kind(&self) -> EndpointKind {
        self.caller.kind
    }

    /// The rule of a client, today.
    pub(super) fn rule(&self, client: Option<Digest>) -> &'g Rule {
        self.site.settings.rules.of(client, clock::today())
    }

    /// Turns a verdict into a decision by the mode of the rule, and tells it.
    pub(super) fn decide<T>(
        &self,
        rule: &Rule,
        verdict: Verdict<T>,
        client: Option<&ClientId>,
    ) -> Decision<T> {
        let decision = apply(rule.mode, verdict);
        match &decision {
            Decision::Allow(_) => self.tell(Decided::Allowed, None, client),
            Decision::Report(_, violation) => self.tell(Decided::Reported, Some(violation), client),
            Decision::Refuse(_, violation) => self.tell(Decided::Refused, Some(violation), client),
        }
        decision
    }

    /// Decides about what cannot be read, by the rule of whom it may concern ([`super::concern`]).
    pub(super) fn decide_unread<T>(
        &self,
        rule: &Rule,
        subject: T,
        violation: Violation,
    ) -> Decision<T> {
        let verdict = Verdict {
            subject,
            violation: Some(violation),
        };
        self.decide(rule, verdict, None)
    }

    /// Tells a decision.
    pub(super) fn tell(
        &self,
        decided: Decided,
        violation: Option<&Violation>,
        client: Option<&ClientId>,
    ) {
        self.shared.telemetry.tell(&Event::Decision {
            request: self.id,
            upstream: &self.site.telemetry,
            endpoint: self.caller.kind,
            decided,
            violation,
            client: client.map(ClientId::as_str),
        });
    }

    /// Forwards a request of an intercepted endpoint: only what policy has cleared.
    pub(super) async fn forward(
        &self,
        request: Cleared<Received>,
    ) -> Result<Response<Body>, UpstreamError> {
        self.send(request.into_inner()).await
    }

    /// Forwards anything; [`Exchange::forward`] is the way for intercepted endpoints.
    pub(super) async fn send(&self, received: Received) -> Result<Response<Body>, UpstreamError> {
        // Nothing but what it returns lives on while the answer is waited for.
        let (request, upload, place) = self.outgoing(received)?;
        match self.client.send(request, upload).await {
            // Nothing that goes out asks for an upgrade.
            Ok(response) if response.status().is_informational() => {
                self.no_answer(UpstreamError::Broken)
            }
            Ok(response) => {
                let patience = self.client.patience();
                Ok(response.map(|body| Body::from_upstream(body, patience, place)))
            }
            // The fault is the client's: nothing failed at the upstream.
            Err(failed @ UpstreamError::Request) => Err(failed),
            Err(failed) => self.no_answer(failed),
        }
    }

    /// The request as the upstream gets it, and its place in flight.
    fn outgoing(&self, received: Received) -> Result<Outgoing, UpstreamError> {
        let Parts {
            method,
            target,
            mut headers,
            mut body,
        } = *received.0;
        let scheme = if self.site.is_https() {
            "https"
        } else {
            "http"
        };
        let trusted = self
            .shared
            .trusted_proxies
            .iter()
            .any(|network| network.contains(&self.caller.node.address()));
        let peer = Peer {
            node: self.caller.node,
            trusted,
            host: self.caller.host.as_str(),
            scheme,
        };
        headers::towards_upstream(&mut headers, peer);
        if !self.site.settings.preserve_host {
            headers.insert(header::HOST, self.site.host.clone());
        }
        if self.site.settings.browser_binding != BrowserBinding::Off {
            headers::without_cookie(&mut headers, self.cookie_name());
        }
        // Not before: a client that is slow with its body keeps nobody else's request away.
        let limit = self.shared.limits.in_flight;
        let Some(place) = self.site.enter(limit, self.caller.watch) else {
            return Err(UpstreamError::Overloaded);
        };
        frame(&mut headers, &method, &body);
        let upload = body.upload();
        if !self.site.observes_only && upload.as_deref().is_some_and(Upload::is_lookalike) {
            // Who leaves it unread must not read it as his next request, not even for nobody. Where everything is only
            // observed, the upstream sees the very bytes that it would see of a gate that does not look.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let mut request = Request::new(Box::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = Uri::from(target);
        *request.headers_mut() = headers;
        Ok((request, upload, place))
    }

    /// Tells that the upstream gave none.
    pub(super) fn no_answer<T>(&self, failed: UpstreamError) -> Result<T, UpstreamError> {
        let (upstream, fault) = (&self.site.telemetry, failed.label());
        self.shared.telemetry.tell(&Event::UpstreamFailed {
            request: self.id,
            upstream,
            fault,
        });
        Err(failed)
    }

    /// The answer when the upstream gave none.
    pub(super) fn upstream_failed(&self, failed: UpstreamError) -> Response<Body> {
        let (status, text) = match failed {
            UpstreamError::Connect => (
                StatusCode::BAD_GATEWAY,
                "the server behind this gate cannot be reached",
            ),
            UpstreamError::Broken => (
                StatusCode::BAD_GATEWAY,
                "the server behind this gate broke off the connection",
            ),
            UpstreamError::Request => {
                let text = "the body of the request breaks off";
                return reply::bad_request(StatusCode::BAD_REQUEST, text);
            }
            UpstreamError::Overloaded => return self.overloaded(),
            UpstreamError::ConnectTimeout | UpstreamError::ResponseTimeout => (
                StatusCode::GATEWAY_TIMEOUT,
                "the server behind this gate does not answer in time",
            ),
        };
        self.unavailable(status, text)
    }

    /// 503: no place left.
    fn overloaded(&self) -> Response<Body> {
        self.shared.telemetry.tell(&Event::Overloaded {
            request: self.id,
            upstream: &self.site.telemetry,
        });
        self.unavailable(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many requests at once, try again",
        )
    }

    fn unavailable(&self, status: StatusCode, text: &'static str) -> Response<Body> {
        match self.caller.kind {
            EndpointKind::Token => reply::token_unavailable(status, text),
            EndpointKind::Authorization | EndpointKind::Metadata | EndpointKind::Other => {
                reply::unavailable(status, text)
            }
        }
    }

    /// A page of our own.
    pub(super) fn page(
        &self,
        status: StatusCode,
        violation: &Violation,
        request: Vec<(String, String)>,
        accept: Option<&HeaderValue>,
    ) -> Response<Body> {
        reply::page(
            &reply::Page {
                status,
                violation,
                id: self.id,
                request,
            },
            accept,
        )
    }

    /// An answer of the upstream's that must not reach the client.
    pub(super) fn bad_answer(&self, violation: &Violation) -> Response<Body> {
        self.page(StatusCode::BAD_GATEWAY, violation, Vec::new(), None)
    }

    /// The name of the cookie that ties a sign-in to its browser.
    pub(super) fn cookie_name(&self) -> &'static str {
        if self.site.is_https() {
            "__Host-pkce-gate"
        } else {
            "pkce-gate"
        }
    }

    /// The digest of that cookie, when the browser sent one.
    pub(super) fn browser(&self, headers: &HeaderMap) -> Option<Digest> {
        if self.site.settings.browser_binding == BrowserBinding::Off {
            return None;
        }
        headers::cookie(headers, self.cookie_name()).map(super::browser::digest)
    }

    /// Asks the upstream not to compress what has to be read.
    pub(super) fn ask_for_identity(headers: &mut HeaderMap) {
        headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
        // A part of a page cannot be judged.
        for name in [header::RANGE, header::IF_RANGE] {
            headers.remove::<&HeaderName>(&name);
        }
    }
}

/// What hyper leaves out of a request's framing. It says nothing about a body that is not there, which some servers answer
/// with 411 (RFC 9110 section 8.6), and it drops the body of a GET whose length is unknown.
fn frame(headers: &mut HeaderMap, method: &Method, body: &Body) {
    let usually_has_body = [Method::POST, Method::PUT, Method::PATCH].contains(method);
    match http_body::Body::size_hint(body).exact() {
        None => {
            headers.insert(
                header::TRANSFER_ENCODING,
                HeaderValue::from_static("chunked"),
            );
        }
        Some(0) if usually_has_body => {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Some(_) => {}
    }
}
