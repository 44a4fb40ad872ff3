//! Why a request is for no upstream.

/// Why a request is for nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Misrouted {
    /// None, several, or one that is no authority.
    #[error("exactly one valid Host is needed")]
    Host,
    /// The request target and Host name different servers.
    #[error("Host and request target disagree")]
    Disagreement,
    /// No upstream has that host and prefix.
    #[error("no upstream here has this host and path")]
    Unknown,
    /// `*`, or an authority alone.
    #[error("the request target is no path")]
    Target,
}

impl Misrouted {
    /// 421 where the request may be right elsewhere, 400 where it is wrong.
    pub const fn status(self) -> http::StatusCode {
        match self {
            Self::Host | Self::Target => http::StatusCode::BAD_REQUEST,
            Self::Disagreement | Self::Unknown => http::StatusCode::MISDIRECTED_REQUEST,
        }
    }
}
