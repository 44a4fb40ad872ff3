//! Redirects to the authorization path itself, with which a sign-in begins.

use http::header::{self, HeaderValue};

use super::form::is_json;
use super::parsed::Fresh;
use crate::gateway::exchange::Exchange;
use crate::gateway::received::Received;

/// The URL of the redirect. `None`: a form is too long for a request target, or not ASCII. Then it is forwarded instead.
pub(super) fn location(exchange: &Exchange<'_>, path: &str, query: &[u8]) -> Option<HeaderValue> {
    let location = [path.as_bytes(), b"?", query].concat();
    let fits = location.len() <= exchange.snapshot.limits.uri_bytes && location.is_ascii();
    HeaderValue::from_bytes(&location).ok().filter(|_| fits)
}

/// Whether the request is nothing but an authorization request of a browser. A script does not follow a redirect with its JSON.
pub(super) fn may_be_redirected(
    exchange: &Exchange<'_>,
    fresh: &Fresh<'_>,
    request: &Received,
) -> bool {
    let own = &exchange.site.settings.endpoints.query;
    fresh.submission.is_pure_request(own)
        && !is_json(exchange, request)
        && !request.headers.contains_key(header::AUTHORIZATION)
}
