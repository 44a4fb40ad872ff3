//! Documents of the upstream beside its metadata that name URLs of its own: protected resource metadata (RFC 9728), and answers to
//! client registration (RFC 7591, RFC 7592). Such URLs would lead clients around the gate.

use http::{Response, header};

use crate::answer::carrier::metadata::{public_registration, public_resource};
use crate::policy::Mode;
use crate::route::OwnDocument;

use super::exchange::Exchange;
use crate::http::body::{Body, Peeked};
use crate::http::headers;

/// Which of these documents the answer at a path may be. `None`: none, or the configuration leaves documents as they are.
pub(super) fn at(exchange: &Exchange<'_>, path: &str) -> Option<OwnDocument> {
    let settings = &exchange.site.settings;
    let is_rewritten =
        settings.rewrite_metadata && settings.rules.default_rule().mode == Mode::Enforce;
    is_rewritten
        .then(|| settings.endpoints.own_document(path))
        .flatten()
}

/// The answer with the public origin in place of the upstream's own.
pub(super) async fn public(
    exchange: &Exchange<'_>,
    document: OwnDocument,
    mut response: Response<Body>,
) -> Response<Body> {
    if !response.status().is_success() || response.headers().contains_key(header::CONTENT_ENCODING)
    {
        return response;
    }
    let limit = exchange.snapshot.limits.response_scan_bytes;
    let Peeked::Whole(text) = response.body_mut().peek(limit).await else {
        return response;
    };
    let truth = exchange.site.truth();
    let changed = match document {
        OwnDocument::Resource => public_resource(&text, truth, exchange.site.issuer().as_deref()),
        OwnDocument::Registration => public_registration(&text, truth),
    };
    if let Some(changed) = changed {
        headers::forget_body(response.headers_mut());
        response.body_mut().replace(changed);
    }
    response
}
