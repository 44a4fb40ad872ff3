//! RFC 8414 metadata for a server that has none (`synthesize`): derived from the document at its other path, or from its `OpenID`
//! metadata, or written from the configuration.

use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Response, StatusCode, header};
use memchr::memmem;

use crate::answer::carrier::metadata::{Promise, synthesized};
use crate::upstream::UpstreamError;

use super::document::{Found, MAX_AGE, learn, rewritten};
use crate::gateway::exchange::Exchange;
use crate::gateway::received::{Parts, Received};
use crate::gateway::reply;
use crate::gateway::settings::Synthesis;
use crate::gateway::sign_in_cookies::SignInCookies;
use crate::http::body::Body;
use crate::http::headers::set;

/// The request for the document, which was forwarded.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) path: &'a str,
    pub(super) fields: &'a HeaderMap,
}

/// Whether a browser asks if a script of another origin may read the document (CORS). Header fields of MCP clients cause that.
pub(super) fn is_preflight(request: &Received) -> bool {
    request.method == Method::OPTIONS
        && request.headers.contains_key(header::ORIGIN)
        && request
            .headers
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The upstream's own document if it has one, else the gate's. An upstream that fails may have one, so its error is passed on.
pub(super) async fn answer(
    exchange: &Exchange<'_>,
    synthesis: &Synthesis,
    asked: Asked<'_>,
    found: Found,
) -> Result<Response<Body>, UpstreamError> {
    match found {
        Found::Metadata(response) => return Ok(readable(response)),
        Found::Other(response) if !is_none(&response) => return Ok(response),
        // Its place in flight is needed for the next request.
        Found::Other(response) => drop(response),
    }
    let promise = Promise {
        issuer: &synthesis.issuer,
        auth_methods: &synthesis.auth_methods,
        adds_issuer: exchange.site.settings.adds_issuer(),
    };
    let others = synthesis.sources.iter();
    for path in others.filter(|path| *path != asked.path) {
        let Ok(target) = PathAndQuery::try_from(path.as_str()) else {
            continue;
        };
        let request = Parts {
            method: Method::GET,
            target,
            headers: asked.fields.clone(),
            states: SignInCookies::default(),
            flows: SignInCookies::default(),
            body: Body::empty(),
        };
        let response = exchange.send(Box::new(request)).await?;
        match rewritten(exchange, asked.path, response, Some(promise)).await {
            Found::Metadata(response) => return Ok(readable(response)),
            Found::Other(response) if !is_none(&response) => return Ok(response),
            Found::Other(_) => {}
        }
    }
    let Some((document, issuer)) = synthesized(exchange.site.truth(), promise) else {
        return Ok(reply::internal_error());
    };
    learn(exchange, asked.path, issuer);
    Ok(readable(reply::document(document, MAX_AGE)))
}

/// Whether the answer means that there is no document. A failing or overloaded server may have one, and so may one that redirects
/// to another path of metadata. Other redirects lead to a login page.
fn is_none(response: &Response<Body>) -> bool {
    let status = response.status();
    let is_later = [
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    if status.is_server_error() || is_later.contains(&status) {
        return false;
    }
    let location = response.headers().get(header::LOCATION);
    let leads_on =
        location.is_some_and(|to| memmem::find(to.as_bytes(), b".well-known/").is_some());
    !(status.is_redirection() && leads_on) && is_readable(response)
}

/// Whether the gate could read the answer. A compressed document may be metadata.
fn is_readable(response: &Response<Body>) -> bool {
    let is_ok = response.status() == StatusCode::OK;
    !is_ok
        || !response.headers().contains_key(header::CONTENT_ENCODING)
            && response.body().is_all_read()
}

/// Lets scripts of any origin read the document, unless the upstream decides that.
fn readable(mut response: Response<Body>) -> Response<Body> {
    let name = header::ACCESS_CONTROL_ALLOW_ORIGIN;
    if !response.headers().contains_key(&name) {
        set(response.headers_mut(), name, "*");
    }
    response
}
