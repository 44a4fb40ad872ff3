//! Judges a request that the gate has not received, as far as the request alone tells (`pkce-gate explain`).
//!
//! It calls the functions by which the gate itself decides, in the order in which the gate calls them. It has no store: what depends on
//! the records of sign-ins and codes is left open ([`Verdict::Open`]), or said in [`Found::open`].

pub(super) mod draft;
pub(super) mod found;

use std::sync::OnceLock;

use bytes::Bytes;
use http::{Method, Request, StatusCode};

use crate::flow::HandleKey;
use crate::http::Limits;
use crate::oauth::Endpoint;
use crate::policy::Violation;
use crate::route::{Misdirection, Routes};

use super::bounds::out_of_bounds;
use super::settings::Settings;
use super::{access_log, authorize, elsewhere, token};
use draft::Draft;
pub(crate) use found::{Check, Found, Verdict};

/// A configuration by which requests are judged.
#[derive(Debug)]
pub(crate) struct Previews<'c> {
    upstreams: Vec<&'c Settings>,
    routes: Routes,
    limits: Limits,
    today: u64,
}

/// A request with its route.
#[derive(Debug)]
pub(crate) struct Preview<'c> {
    /// The upstream; without an endpoint, the one whose rules apply.
    pub upstream: &'c Settings,
    /// `None`: some servers would treat the path as a protected endpoint.
    pub endpoint: Option<Endpoint>,
    /// The path as in the log: without segments that may be secrets.
    pub path: String,
    pub found: Found<'c>,
}

impl<'c> Previews<'c> {
    /// `today` is in days since 1970-01-01.
    pub(crate) fn new(upstreams: Vec<&'c Settings>, limits: Limits, today: u64) -> Self {
        Self {
            routes: Routes::new(upstreams.iter().map(|upstream| upstream.territory())),
            upstreams,
            limits,
            today,
        }
    }

    /// Judges a request. `Err`: it reaches no upstream.
    pub(crate) fn of(&self, request: Request<Bytes>) -> Result<Preview<'c>, Misdirection> {
        let (parts, body) = request.into_parts();
        out_of_bounds(&parts, &self.limits)?;
        let route = self
            .routes
            .find(&parts.uri, &parts.headers, &OnceLock::new())?;
        let settings = self
            .upstreams
            .get(route.upstream)
            .ok_or(Misdirection::UNKNOWN)?;
        let draft = Draft {
            settings,
            limits: self.limits,
            today: self.today,
            key: HandleKey::for_upstream(&settings.name),
            method: &parts.method,
            path: &route.path,
            query: parts.uri.query(),
            headers: &parts.headers,
            body: &body,
        };
        let found = match route.endpoint {
            Some(Endpoint::Authorization) => authorize::preview(&draft),
            Some(Endpoint::Token) => token::preview(&draft),
            Some(Endpoint::Other) => other(&draft),
            Some(Endpoint::Metadata) if settings.rules.observes_only() => other(&draft),
            Some(Endpoint::Metadata) => {
                Found::new(Verdict::Passes("the gate answers with the metadata"))
            }
            Some(
                Endpoint::DeviceAuthorization
                | Endpoint::PushedAuthorizationRequest
                | Endpoint::AuthorizationChallenge,
            ) => Found::new(Verdict::Open(
                "only authorization requests and token requests are explained",
            )),
            None => ambiguous(&draft),
        };
        Ok(Preview {
            upstream: settings,
            endpoint: route.endpoint,
            path: access_log::path(&route.path, settings),
            found,
        })
    }
}

/// A path that is not a protected endpoint, but that some servers treat as one.
fn ambiguous<'c>(draft: &Draft<'c, '_>) -> Found<'c> {
    let rule = draft.concerned(&draft.said(draft.headers));
    Found::wrong(Check::Path, Violation::AmbiguousPath, draft.names(), rule)
}

/// A path that is not intercepted.
fn other<'c>(draft: &Draft<'c, '_>) -> Found<'c> {
    let said = draft.said(draft.headers);
    let wrong = |check, violation| {
        let rule = draft.concerned(&said);
        Found::wrong(check, violation, draft.names(), rule)
    };
    let (rules, routes) = (&draft.settings.rules, &draft.settings.routes);
    let is_get = [Method::GET, Method::HEAD].contains(draft.method);
    if is_get && !draft.body.is_empty() {
        let violation = Violation::malformed("a GET request with a body");
        return wrong(Check::Parses, violation);
    }
    if !rules.observes_only() && !routes.admits(draft.path) {
        let closed = "the path is closed by [upstream.routes]";
        return Found::new(Verdict::Barred(StatusCode::NOT_FOUND, closed));
    }
    if !routes.is_foreign_callback(draft.path)
        && let Some(why) = elsewhere::looks_like_token_request(
            &said,
            draft.query(),
            draft.headers,
            draft.codes_travel(),
        )
    {
        return wrong(Check::Elsewhere, Violation::TokenRequestElsewhere(why));
    }
    Found::new(Verdict::Passes(
        "the path is not an endpoint: the request is forwarded, and only the answer is checked",
    ))
}
