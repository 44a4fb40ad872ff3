//! The reasons why a request reaches no upstream.

use http::StatusCode;

/// The status and the reason of the refusal of a request that reaches no upstream. Small and `Copy`, because it is the error
/// type of functions that every request calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Misdirection {
    pub status: StatusCode,
    pub reason: &'static str,
}

impl Misdirection {
    /// Host is missing, occurs twice, or is invalid.
    pub(crate) const HOST: Self = Self::bad("exactly one valid Host header field is required");
    /// The request target is not a path: `*`, or an authority alone.
    pub(crate) const TARGET: Self = Self::bad("the request target is not a path");
    /// The request target and Host name different hosts.
    pub(crate) const DISAGREEMENT: Self =
        Self::elsewhere("Host and the request target name different hosts");
    /// No upstream has this host and prefix.
    pub(crate) const UNKNOWN: Self =
        Self::elsewhere("no configured upstream matches this host and path");

    pub(crate) const fn bad(reason: &'static str) -> Self {
        let status = StatusCode::BAD_REQUEST;
        Self { status, reason }
    }

    /// For a request that may be valid at another server.
    const fn elsewhere(reason: &'static str) -> Self {
        let status = StatusCode::MISDIRECTED_REQUEST;
        Self { status, reason }
    }
}
