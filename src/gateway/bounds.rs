//! Checks that apply before routing.

use http::{Method, StatusCode};

use crate::http::{Limits, headers};
use crate::route::Misdirection;

/// Checks sizes, methods and header fields that no upstream gets.
pub(super) fn out_of_bounds(
    parts: &http::request::Parts,
    limits: &Limits,
) -> Result<(), Misdirection> {
    let target = parts.uri.path_and_query();
    let (status, reason) = if target.is_some_and(|it| it.as_str().len() > limits.uri_bytes) {
        (StatusCode::URI_TOO_LONG, "the request target is too long")
    } else if parts.headers.len() > limits.headers {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        (status, "too many header fields")
    } else if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        (StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
    } else {
        let bad = |(status, reason)| Misdirection { status, reason };
        return headers::check(&parts.headers).map_err(bad);
    };
    Err(Misdirection { status, reason })
}
