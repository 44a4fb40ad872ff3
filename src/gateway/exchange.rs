//! One request: what every endpoint needs to forward it, to refuse it and to log it.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};

use crate::clock;
use crate::flow::OwnVerifier;
use crate::oauth::{ClientId, ClientIdentity, Digest, Endpoint};
use crate::pages::Refused;
use crate::policy::{Cleared, Concern, Rule, Rules, Violation};
use crate::server::in_flight::Place;
use crate::store::{self, Network, Store, StoreError};
use crate::telemetry::{Event, RequestId};
use crate::upstream::{Client, Upload, UpstreamError};

use super::access_log::Access;
use super::caller::Caller;
use super::cookie;
use super::received::{Parts, Received};
use super::reply;
use super::settings::ToUpstream;
use super::shared::Shared;
use super::site::Site;
use super::snapshot::Snapshot;
use crate::http::body::Body;
use crate::http::headers::{self, Peer, set};

/// A request ready to be sent, and its place in flight. The body is boxed so that passing the request on moves one pointer.
type Outgoing = (Request<Box<Body>>, Option<Arc<Upload>>, Place);

/// One request and its site.
#[derive(Debug)]
pub(super) struct Exchange<'g> {
    pub(super) shared: &'g Shared,
    pub(super) snapshot: &'g Snapshot,
    pub(super) site: &'g Site,
    pub(super) id: RequestId,
    pub(super) client: &'g Client<Box<Body>>,
    pub(super) caller: Caller<'g>,
    pub(super) access: Option<Arc<Access>>,
}

impl<'g> Exchange<'g> {
    pub(super) fn rules(&self) -> &'g Rules {
        &self.site.settings.rules
    }

    pub(super) fn store(&self) -> &'g Store {
        &self.site.store
    }

    /// Names the client in the access log, for a request about which nothing is decided.
    pub(super) fn goes_on_for(&self, client: Digest) {
        if let Some(access) = &self.access
            && let Some(client) = self.site.state.client_name(client)
        {
            access.names(&client);
        }
    }

    /// Today as a number of days. 0 if there are no exceptions, which may end: the clock is then not read.
    pub(super) fn today(&self) -> u64 {
        if self.rules().any_exception() {
            clock::today()
        } else {
            0
        }
    }

    /// Today's rule of a client, by its digest.
    pub(super) fn rule(&self, client: Option<Digest>) -> &'g Rule {
        let rules = self.rules();
        let namesake = client.filter(|_| rules.default_is_laxer());
        match namesake.and_then(|client| self.site.namesake(client)) {
            Some(namesake) => rules.of_namesake(namesake),
            None => rules.of(client, self.today()),
        }
    }

    /// The strictest rule of any client today.
    pub(super) fn strictest(&self) -> &'g Rule {
        self.rules().strictest(self.today())
    }

    /// The strictest rule of the clients with these names. `None`: there are none.
    pub(super) fn strictest_of_names(&self, names: &[String]) -> Option<&'g Rule> {
        let concern = Concern {
            names,
            owners: &[],
            is_certain: true,
        };
        self.rules().named(&concern, self.today())
    }

    /// The strictest rule of these clients. `None`: there are none.
    pub(super) fn strictest_of(&self, clients: impl Iterator<Item = Digest>) -> Option<&'g Rule> {
        let rules = self.rules();
        let each = clients.map(|client| self.rule(Some(client)));
        each.reduce(|a, b| rules.stricter(a, b))
    }

    /// The rule of a client by its name. A name that some server takes for another client's gets no more rights than that client.
    pub(super) fn rule_of(&self, client: Option<&ClientId>) -> &'g Rule {
        let rules = self.rules();
        let Some(client) = client else {
            return rules.default_rule();
        };
        match rules.namesake(client) {
            Some(namesake) => {
                // The records of its sign-ins have only the digest of this name.
                self.site.remember_namesake(client.digest(), namesake);
                rules.of_namesake(namesake)
            }
            None => rules.of(Some(client.digest()), self.today()),
        }
    }

    /// The rule of the client that a token request names: the strictest of all readings that count.
    pub(super) fn rule_of_identity(&self, client: Option<&ClientIdentity>) -> &'g Rule {
        let rules = self.rules();
        let each = rules.counted(client).map(|id| self.rule_of(Some(id)));
        each.reduce(|a, b| rules.stricter(a, b))
            .unwrap_or_else(|| self.rule_of(None))
    }

    /// Notes a path beside the endpoints, for the list of routes in the review.
    pub(super) fn note_route(&self, path: &str) {
        let prefix = self.site.settings.prefix.trim_end_matches('/');
        let own = path.strip_prefix(prefix).filter(|own| own.starts_with('/'));
        if let Some(own) = own {
            self.site.state.telemetry.tally().note_route(own);
        }
    }

    /// Forwards a request of an intercepted endpoint, which policy has to clear first.
    pub(super) async fn forward(
        &self,
        request: Cleared<Received>,
    ) -> Result<Response<Body>, UpstreamError> {
        self.send(request.into_inner()).await
    }

    /// Forwards any request. For intercepted endpoints use [`Exchange::forward`].
    pub(super) async fn send(
        &self,
        mut received: Received,
    ) -> Result<Response<Body>, UpstreamError> {
        // A small body is read before the request takes a place in flight. (If it breaks off, sending it fails, too.)
        let most = self.snapshot.limits.form_bytes;
        if !received.body.is_all_read() && received.body.is_at_most(most) {
            let _ = received.body.peek(most).await;
        }
        // A separate function, so that its temporaries do not become part of this future.
        let (request, upload, place) = self.outgoing(received)?;
        match self.client.send(request, upload).await {
            // The gate never asks for an upgrade, so 1xx is not a valid final response.
            Ok(response) if response.status().is_informational() => {
                self.no_answer(UpstreamError::Broken)
            }
            Ok(response) => {
                let patience = self.client.patience();
                Ok(response.map(|body| Body::from_upstream(body, patience, place)))
            }
            // The client's fault, so it is not logged as a failure of the upstream.
            Err(failed @ UpstreamError::Request) => Err(failed),
            Err(failed) => self.no_answer(failed),
        }
    }

    /// The request for the upstream, and its place in flight.
    fn outgoing(&self, received: Received) -> Result<Outgoing, UpstreamError> {
        let Parts {
            method,
            target,
            mut headers,
            states: _,
            flows: _,
            body,
        } = *received;
        let mut body = Box::new(body);
        let scheme = if self.site.is_https() {
            "https"
        } else {
            "http"
        };
        let peer = Peer {
            node: self.caller.node,
            trusted: self.is_of_proxy(),
            host: self.caller.host.as_str(),
            scheme,
        };
        headers::towards_upstream(&mut headers, peer);
        if !self.site.settings.preserve_host {
            headers.insert(header::HOST, self.site.host.clone());
        }
        if self.site.reads_cookie {
            headers::without_cookie(&mut headers, self.cookie_name());
        }
        // Only now, so that a client with a slow body does not take a place from other requests.
        let limit = self.snapshot.limits.in_flight;
        let (places, watch) = (&self.site.state.places, self.caller.watch);
        let place = if body.is_all_read() {
            places.enter(limit, watch)
        } else {
            places.enter_upload(limit, watch).map(|(place, upload)| {
                body.keep(upload);
                place
            })
        };
        let place = place.ok_or(UpstreamError::Overloaded)?;
        frame(&mut headers, &method, &body);
        let upload = body.upload();
        if !self.site.observes_only && upload.as_deref().is_some_and(Upload::is_lookalike) {
            // The body looks like a request. A server that leaves a body unread must not parse it as the next request. An
            // upstream that is only observed gets the bytes unchanged.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = Uri::from(target);
        *request.headers_mut() = headers;
        Ok((request, upload, place))
    }

    /// Logs that the upstream gave no answer.
    pub(super) fn no_answer<T>(&self, failed: UpstreamError) -> Result<T, UpstreamError> {
        let cause = failed.to_string();
        self.shared.telemetry.tell(&Event::UpstreamFailed {
            request: self.id,
            upstream: &self.site.state.telemetry,
            fault: failed.label(),
            cause: &cause,
        });
        Err(failed)
    }

    /// The answer to the client when the upstream gave none.
    pub(super) fn upstream_failed(&self, failed: UpstreamError) -> Response<Body> {
        let text = match failed {
            UpstreamError::Connect(_) => "the server behind this gate cannot be reached",
            UpstreamError::Broken => "the server behind this gate broke off the connection",
            UpstreamError::Request => {
                let text = "the request body ended early";
                return reply::bad_request(StatusCode::BAD_REQUEST, text);
            }
            UpstreamError::Overloaded => {
                self.shared.telemetry.tell(&Event::Overloaded {
                    request: self.id,
                    upstream: &self.site.state.telemetry,
                });
                "too many concurrent requests; try again"
            }
            UpstreamError::ConnectTimeout | UpstreamError::ResponseTimeout => {
                "the server behind this gate did not answer in time"
            }
        };
        let status = match failed {
            UpstreamError::Connect(_) | UpstreamError::Broken | UpstreamError::Request => {
                StatusCode::BAD_GATEWAY
            }
            UpstreamError::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            UpstreamError::ConnectTimeout | UpstreamError::ResponseTimeout => {
                StatusCode::GATEWAY_TIMEOUT
            }
        };
        match self.caller.kind {
            Endpoint::Token
            | Endpoint::DeviceAuthorization
            | Endpoint::PushedAuthorizationRequest
            | Endpoint::AuthorizationChallenge => reply::token_unavailable(status, text),
            Endpoint::Authorization | Endpoint::Metadata | Endpoint::Other => {
                reply::unavailable(status, text)
            }
        }
    }

    /// A verifier of the gate's own for a new sign-in, if the upstream gets such pairs (`to_upstream = "replace"`). Not without
    /// handles: the gate could not tell which sign-in a request continues.
    pub(super) fn own_verifier(&self, rule: &Rule) -> Result<Option<OwnVerifier>, StoreError> {
        let replaces = self.site.settings.to_upstream == ToUpstream::Replace;
        if replaces && rule.uses_handles() {
            store::random().map(|entropy| Some(OwnVerifier::new(entropy)))
        } else {
            Ok(None)
        }
    }

    /// A page that says why the request was refused.
    pub(super) fn page(
        &self,
        status: StatusCode,
        violation: &Violation,
        accept: Option<&HeaderValue>,
    ) -> Response<Body> {
        let refused = Refused {
            violation,
            hint: None,
            id: self.id,
            missing: Vec::new(),
            request: Vec::new(),
        };
        reply::page(status, &refused, accept)
    }

    /// Whether the peer of the connection is a trusted proxy.
    fn is_of_proxy(&self) -> bool {
        headers::forwarded::is_proxy(self.caller.node.address(), &self.snapshot.trusted_proxies)
    }

    /// The network that a request comes from. `None`: it came through a trusted proxy that does not name the client.
    pub(super) fn network(&self) -> Option<Network> {
        let node = self.caller.node;
        let client = if self.is_of_proxy() {
            node.client()
        } else {
            Some(node.address())
        };
        client.map(Network::of)
    }

    /// The name of the cookie that binds a sign-in to its browser.
    pub(super) fn cookie_name(&self) -> &'static str {
        cookie::name(self.site.is_https())
    }

    /// The digest of that cookie, if the request has it.
    pub(super) fn browser(&self, headers: &HeaderMap) -> Option<Digest> {
        if !self.site.reads_cookie {
            return None;
        }
        headers::cookie(headers, self.cookie_name()).map(cookie::digest)
    }

    /// Whether the answers to requests for this path may have a code in JSON.
    pub(super) fn has_code_in_json(&self, path: &str) -> bool {
        self.site.settings.has_code_in_json(path)
    }

    /// Asks the upstream for an answer that is not compressed and not partial.
    pub(super) fn ask_for_identity(headers: &mut HeaderMap) {
        let identity = HeaderValue::from_static("identity");
        headers.insert(header::ACCEPT_ENCODING, identity);
        headers.remove(header::RANGE);
        headers.remove(header::IF_RANGE);
    }
}

/// Adds framing fields that hyper leaves out. hyper sends no Content-Length for an empty body, which some servers answer with 411
/// (RFC 9110 section 8.6), and drops the body of a GET whose length is unknown.
fn frame(headers: &mut HeaderMap, method: &Method, body: &Body) {
    let usually_has_body = [Method::POST, Method::PUT, Method::PATCH].contains(method);
    match http_body::Body::size_hint(body).exact() {
        None => set(headers, header::TRANSFER_ENCODING, "chunked"),
        Some(0) if usually_has_body => set(headers, header::CONTENT_LENGTH, "0"),
        Some(_) => {}
    }
}
