//! The reasons why a request has no route.

use http::StatusCode;

/// Why a request has no route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misrouted {
    /// Host is missing, occurs twice, or is invalid.
    Host,
    /// The request target and Host name different hosts.
    Disagreement,
    /// No upstream has this host and prefix.
    Unknown,
    /// The request target is not a path: `*`, or an authority alone.
    Target,
}

impl From<Misrouted> for Misdirection {
    fn from(misrouted: Misrouted) -> Self {
        // 421 if the request may be valid at another server, else 400.
        let (status, reason) = match misrouted {
            Misrouted::Host => (
                StatusCode::BAD_REQUEST,
                "exactly one valid Host header field is required",
            ),
            Misrouted::Disagreement => (
                StatusCode::MISDIRECTED_REQUEST,
                "Host and the request target name different hosts",
            ),
            Misrouted::Unknown => (
                StatusCode::MISDIRECTED_REQUEST,
                "no configured upstream matches this host and path",
            ),
            Misrouted::Target => (StatusCode::BAD_REQUEST, "the request target is not a path"),
        };
        Self { status, reason }
    }
}

/// The status and the reason of the refusal of a request that reaches no upstream. Small and `Copy`, because it is the error
/// type of functions that every request calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Misdirection {
    pub status: StatusCode,
    pub reason: &'static str,
}
