//! The reasons why a request has no route.

/// Why a request has no route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
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

impl Misrouted {
    /// The text for the client and the log.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Host => "exactly one valid Host header field is required",
            Self::Disagreement => "Host and the request target name different hosts",
            Self::Unknown => "no configured upstream matches this host and path",
            Self::Target => "the request target is not a path",
        }
    }

    /// 421 if the request may be valid at another server, else 400.
    pub(crate) const fn status(self) -> http::StatusCode {
        match self {
            Self::Host | Self::Target => http::StatusCode::BAD_REQUEST,
            Self::Disagreement | Self::Unknown => http::StatusCode::MISDIRECTED_REQUEST,
        }
    }
}
