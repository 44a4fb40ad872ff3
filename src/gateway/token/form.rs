//! Reads the form of a token request, or of a device authorization request. It must be form-encoded, without a query except a configured one.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};

use crate::oauth::media::{Charset, NoForm, form_charset};
use crate::oauth::{endpoint_query, token};
use crate::policy::Violation;

use crate::gateway::exchange::Exchange;
use crate::gateway::received::Received;
use crate::http::body::Peeked;
use crate::http::headers;

/// The violation of a malformed request, and the status to answer with.
pub(in crate::gateway) type Unreadable = (Violation, StatusCode);

/// Whether the request has neither a body nor a query, except a configured query.
pub(in crate::gateway) fn is_empty(exchange: &Exchange<'_>, request: &Received) -> bool {
    has_only_configured_query(exchange, request) && http_body::Body::is_end_stream(&request.body)
}

/// Whether there is no query, or only parameters that are part of the endpoint's URL (`endpoints.query`). They are forwarded
/// unchanged.
fn has_only_configured_query(exchange: &Exchange<'_>, request: &Received) -> bool {
    let names = &exchange.site.settings.endpoints.query;
    let query = request.target.query();
    query.is_none_or(|query| endpoint_query::is_allowed(query, names))
}

/// The body of the request. It can still be forwarded.
pub(in crate::gateway) async fn body(
    exchange: &Exchange<'_>,
    request: &mut Received,
) -> Result<Bytes, Unreadable> {
    let limits = &exchange.snapshot.limits;
    // A form is read even if it is refused: the log and the choice of the rule need its client.
    let body = if matches!(charset(&request.headers), Err(NoForm::MediaType)) {
        Peeked::Broken
    } else {
        request.body.peek(limits.form_bytes).await
    };
    let has_query = !has_only_configured_query(exchange, request);
    of_body(&request.headers, has_query, body, limits.form_pairs)
}

/// Reads a body that was peeked at. `has_query`: whether the request has a query that is not configured.
pub(in crate::gateway) fn of_body(
    headers: &HeaderMap,
    has_query: bool,
    body: Peeked,
    pairs: usize,
) -> Result<Bytes, Unreadable> {
    let malformed = |text: &str, status| Err((Violation::malformed(text), status));
    if has_query {
        let text = "the request must have no query, except what is configured";
        return malformed(text, StatusCode::BAD_REQUEST);
    }
    let unsupported =
        |problem: NoForm| malformed(&problem.to_string(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let charset = match charset(headers) {
        Ok(charset) => charset,
        Err(problem) => return unsupported(problem),
    };
    match body {
        Peeked::Whole(body) => match charset.agrees_on(&body, pairs, &token::PROTECTED) {
            Err(problem) => unsupported(problem),
            Ok(()) => Ok(body),
        },
        Peeked::TooLong => malformed("the body is too long", StatusCode::PAYLOAD_TOO_LARGE),
        Peeked::Broken => malformed("the body ends early", StatusCode::BAD_REQUEST),
    }
}

/// The charset of the form that the request announces.
fn charset(headers: &HeaderMap) -> Result<Charset, NoForm> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(NoForm::MediaType);
    }
    form_charset(headers::media_type(headers))
}
