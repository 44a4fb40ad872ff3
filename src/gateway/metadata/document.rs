//! A metadata document in an answer.

use http::{HeaderValue, Response, StatusCode, header};

use crate::answer::carrier::metadata::{Issuer, Promise, derived, rewrite};
use crate::gateway::exchange::Exchange;
use crate::http::body::{Body, Peeked};
use crate::http::headers;
use crate::oauth::well_known;
use crate::telemetry::Event;

/// Cache-Control of a document if the upstream sends none. Short, so that clients soon see a changed configuration.
pub(super) const MAX_AGE: &str = "public, max-age=300";

/// The answer of the upstream at a path of metadata.
pub(super) enum Found {
    /// A document, which is rewritten.
    Metadata(Response<Body>),
    /// Anything else, unchanged.
    Other(Response<Body>),
}

/// Rewrites the answer if it is a metadata document. `promise`: that of RFC 8414 is derived
/// from it.
pub(super) async fn rewritten(
    exchange: &Exchange<'_>,
    path: &str,
    mut response: Response<Body>,
    promise: Option<Promise<'_>>,
) -> Found {
    if response.status() != StatusCode::OK
        || response.headers().contains_key(header::CONTENT_ENCODING)
    {
        return Found::Other(response);
    }
    let limit = exchange.snapshot.limits.response_scan_bytes;
    let Peeked::Whole(document) = response.body_mut().peek(limit).await else {
        return Found::Other(response);
    };
    let truth = exchange.site.truth();
    let rewritten = match promise {
        None => rewrite(&document, truth),
        Some(promise) => derived(&document, truth, promise),
    };
    let Some((rewritten, issuer)) = rewritten else {
        return Found::Other(response);
    };
    learn(exchange, path, issuer);
    headers::forget_body(response.headers_mut());
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static(MAX_AGE));
    response.body_mut().replace(rewritten);
    Found::Metadata(response)
}

/// Learns the issuer of a document. Logs once if clients that compare the issuer with the URL of its document (RFC 8414 section
/// 3.3), or with the configured issuer, will refuse it. The gate cannot correct it: the server's ID tokens have it, too.
pub(super) fn learn(exchange: &Exchange<'_>, path: &str, said: Issuer) {
    let (site, settings) = (exchange.site, &exchange.site.settings);
    if let Some(issuer) = &said.issuer {
        let origin = &settings.public_origin;
        let is_elsewhere = well_known::is_at(issuer, origin, path) == Some(false);
        let is_another = settings
            .issuer
            .as_ref()
            .is_some_and(|known| known != issuer);
        if (is_elsewhere || is_another) && site.state.tell_issuer_once() {
            exchange.shared.telemetry.tell(&Event::IssuerMismatch {
                request: exchange.id,
                upstream: &site.state.telemetry,
                issuer,
                path,
            });
        }
    }
    site.state.learn_issuer(said);
}
