//! Server metadata that tells the truth.

use http::{HeaderValue, Method, Response, StatusCode, header};

use crate::answer::carrier::metadata::{Truth, rewrite};
use crate::policy::Mode;

use super::exchange::Exchange;
use super::received::Received;
use super::{bind, forward};
use crate::http::body::{Body, Peeked};
use crate::http::headers;

/// How long a rewritten document may be cached when the upstream does not say: long enough to matter, short enough
/// that a change of the gate's configuration is soon seen.
const MAX_AGE: &str = "public, max-age=300";

/// Forwards a request for metadata and rewrites the answer.
pub(super) async fn handle(exchange: &Exchange<'_>, mut request: Received) -> Response<Body> {
    let settings = &exchange.site.settings;
    let rule = settings.rules.default_rule();
    if rule.mode != Mode::Enforce || !settings.rewrite_metadata || request.method != Method::GET {
        return forward::pass(exchange, request).await;
    }
    if let Some(refused) = forward::guard(exchange, &mut request).await {
        return refused;
    }
    Exchange::ask_for_identity(&mut request.headers);
    // Whoever has a copy from before the gate must not be told that it is still good.
    request.headers.remove(header::IF_NONE_MATCH);
    request.headers.remove(header::IF_MODIFIED_SINCE);
    let asked = bind::Asked {
        browser: exchange.browser(&request.headers),
        sent: Box::new(request.sent()),
        is_plain: true,
        ..bind::Asked::default()
    };
    match exchange.send(request).await {
        Ok(response) => {
            let response = rewritten(exchange, response).await;
            // It is an answer like all others, whatever it says of itself.
            bind::deliver(exchange, asked, response).await
        }
        Err(failed) => exchange.upstream_failed(failed),
    }
}

/// The document with the truth in it; what is no document stays as it is.
async fn rewritten(exchange: &Exchange<'_>, mut response: Response<Body>) -> Response<Body> {
    let settings = &exchange.site.settings;
    let rule = settings.rules.default_rule();
    if response.status() != StatusCode::OK
        || response.headers().contains_key(header::CONTENT_ENCODING)
    {
        return response;
    }
    let Peeked::Whole(document) = response
        .body_mut()
        .peek(exchange.snapshot.limits.response_scan_bytes)
        .await
    else {
        return response;
    };
    let truth = Truth {
        public_origin: &settings.public_origin,
        upstream_origin: &exchange.site.origin,
        authorization: &settings.endpoints.authorization,
        token: &settings.endpoints.token,
        query: &settings.endpoints.query,
        response_types: &rule.response_types,
        response_modes: &rule.response_modes,
        grants: &rule.grants,
    };
    let Some((rewritten, issuer)) = rewrite(&document, truth) else {
        return response;
    };
    exchange.site.state.learn_issuer(issuer);
    headers::forget_body(response.headers_mut());
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static(MAX_AGE));
    response.body_mut().replace(rewritten);
    response
}
