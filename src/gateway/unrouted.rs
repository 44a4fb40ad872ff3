//! Requests that are refused before they reach an upstream.

use http::header::{self, HeaderValue};
use http::{HeaderMap, Response, StatusCode};

use crate::telemetry::{Event, RequestId, Telemetry};

use super::reply;
use crate::http::body::Body;
use crate::http::headers::BadHeaders;
use crate::route::Misrouted;

/// The status and the reason of the refusal. Small and `Copy`, because it is the error type of a function that every request
/// calls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Misdirection {
    status: StatusCode,
    reason: &'static str,
}

impl Misdirection {
    pub(super) const fn new(status: StatusCode, reason: &'static str) -> Self {
        Self { status, reason }
    }

    /// Logs the refusal. The Host is logged only if it is the reason: in other requests it may contain a secret.
    #[cold]
    pub(super) fn told(
        self,
        request: RequestId,
        headers: &HeaderMap,
        telemetry: &Telemetry,
    ) -> Self {
        let is_host = self.status == StatusCode::MISDIRECTED_REQUEST;
        let host = headers.get(header::HOST).filter(|_| is_host).map(shown);
        telemetry.tell(&Event::Misdirected {
            request,
            host: host.as_deref(),
            reason: self.reason,
            status: self.status.as_u16(),
        });
        self
    }

    pub(super) fn answer(self) -> Response<Body> {
        let mut response = reply::bad_request(self.status, self.reason);
        // The body is not read, so the connection cannot be used again.
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

/// The first bytes of a `Host`, escaped for the log.
fn shown(host: &HeaderValue) -> String {
    const BYTES: usize = 128;
    let host = host.as_bytes();
    host.get(..BYTES).unwrap_or(host).escape_ascii().to_string()
}

impl From<Misrouted> for Misdirection {
    fn from(misrouted: Misrouted) -> Self {
        Self::new(misrouted.status(), misrouted.reason())
    }
}

impl From<BadHeaders> for Misdirection {
    fn from(bad: BadHeaders) -> Self {
        let (status, reason) = match bad {
            BadHeaders::Duplicate => (
                StatusCode::BAD_REQUEST,
                "a header field that may occur once occurs twice",
            ),
            BadHeaders::Nomination => (
                StatusCode::BAD_REQUEST,
                "Connection names a header field that must not be dropped",
            ),
            BadHeaders::TransferEncoding => (
                StatusCode::BAD_REQUEST,
                "this Transfer-Encoding is not supported",
            ),
            BadHeaders::Expectation => (
                StatusCode::EXPECTATION_FAILED,
                "this expectation cannot be met",
            ),
        };
        Self::new(status, reason)
    }
}
