//! Requests that are refused before they reach an upstream.

use http::header::{self, HeaderValue};
use http::{HeaderMap, Response, StatusCode};

use crate::telemetry::{Event, RequestId, Telemetry};

use super::reply;
use crate::http::body::Body;
use crate::http::headers::set;
use crate::route::Misdirection;

impl Misdirection {
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
        set(response.headers_mut(), header::CONNECTION, "close");
        response
    }
}

/// The first bytes of a `Host`, escaped for the log.
fn shown(host: &HeaderValue) -> String {
    const BYTES: usize = 128;
    let host = host.as_bytes();
    host.get(..BYTES).unwrap_or(host).escape_ascii().to_string()
}
