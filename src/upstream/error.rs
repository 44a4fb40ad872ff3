//! Why there is no response, and whether the request may have reached the upstream.

use super::connect::NoConnection;

/// Why there is no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// No connection; nothing was sent.
    #[error("cannot connect: {0}")]
    Connect(NoConnection),
    /// No connection within the configured time; nothing was sent.
    #[error("connecting took too long")]
    ConnectTimeout,
    /// The connection broke. The request may have reached the upstream.
    #[error("the connection broke before the response")]
    Broken,
    /// No response within the configured time.
    #[error("the response took too long")]
    ResponseTimeout,
    /// The maximum number of requests is in flight; nothing was sent.
    #[error("too many requests are in flight")]
    Overloaded,
    #[error("the request body ended prematurely")]
    Request,
}

impl UpstreamError {
    /// Whether the upstream has provably not seen the request.
    pub(crate) const fn is_unsent(self) -> bool {
        match self {
            Self::Connect(_) | Self::ConnectTimeout | Self::Overloaded => true,
            Self::Broken | Self::ResponseTimeout | Self::Request => false,
        }
    }

    /// The label in metrics.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Connect(NoConnection::Descriptors) => "descriptors",
            Self::Connect(_) => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Broken => "broken",
            Self::ResponseTimeout => "response_timeout",
            Self::Overloaded => "overloaded",
            Self::Request => "request",
        }
    }
}
