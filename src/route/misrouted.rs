//! Why a request is for no upstream.

/// Why a request is for nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
pub(crate) enum Misrouted {
    /// None, several, or one that is no authority.
    Host,
    /// The request target and Host name different servers.
    Disagreement,
    /// No upstream has that host and prefix.
    Unknown,
    /// `*`, or an authority alone.
    Target,
}

impl Misrouted {
    /// For the client and the log.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Host => "exactly one valid Host header field is required",
            Self::Disagreement => "Host and the request target name different hosts",
            Self::Unknown => "no configured upstream matches this host and path",
            Self::Target => "the request target is not a path",
        }
    }

    /// 421 where the request may be right elsewhere, 400 where it is wrong.
    pub(crate) const fn status(self) -> http::StatusCode {
        match self {
            Self::Host | Self::Target => http::StatusCode::BAD_REQUEST,
            Self::Disagreement | Self::Unknown => http::StatusCode::MISDIRECTED_REQUEST,
        }
    }
}
