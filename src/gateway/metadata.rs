//! Server metadata (RFC 8414, OpenID Connect Discovery), rewritten to describe what the gate enforces.

use http::{HeaderValue, Method, Response, StatusCode, header};

use crate::answer::carrier::metadata::{Truth, rewrite};
use crate::policy::Mode;

use super::exchange::Exchange;
use super::received::Received;
use super::{bind, forward};
use crate::http::body::{Body, Peeked};
use crate::http::headers;

/// Cache-Control of a rewritten document if the upstream sends none. Short, so that clients soon see a changed configuration.
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
    // A cached copy from before the gate was deployed must not be confirmed with 304.
    request.headers.remove(header::IF_NONE_MATCH);
    request.headers.remove(header::IF_MODIFIED_SINCE);
    let asked = bind::Asked {
        browser: exchange.browser(&request.headers),
        sent: Box::new(request.sent()),
        is_plain: true,
        ..bind::Asked::default()
    };
    let sent = match exchange.send(request).await {
        Ok(response) => Ok(rewritten(exchange, response).await),
        failed @ Err(_) => failed,
    };
    // The answer of this endpoint is checked like any other.
    bind::deliver(exchange, asked, sent).await
}

/// The rewritten document. An answer that is not a metadata document stays unchanged.
async fn rewritten(exchange: &Exchange<'_>, mut response: Response<Body>) -> Response<Body> {
    let settings = &exchange.site.settings;
    if response.status() != StatusCode::OK
        || response.headers().contains_key(header::CONTENT_ENCODING)
    {
        return response;
    }
    let limit = exchange.snapshot.limits.response_scan_bytes;
    let Peeked::Whole(document) = response.body_mut().peek(limit).await else {
        return response;
    };
    let truth = Truth {
        public_origin: &settings.public_origin,
        upstream_origin: &exchange.site.origin,
        endpoints: &settings.endpoints,
        rule: settings.rules.default_rule(),
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
