//! Why there is no response, and whether the request can have arrived.

use super::connect::NoConnection;

/// Why there is no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// No connection: nothing was sent.
    #[error("cannot connect: {0}")]
    Connect(NoConnection),
    /// No connection in time: nothing was sent.
    #[error("connecting takes too long")]
    ConnectTimeout,
    /// The connection broke; whether the request arrived is unknown.
    #[error("the connection broke before the response")]
    Broken,
    /// No response in time.
    #[error("the response takes too long")]
    ResponseTimeout,
    /// As many requests as may be are on their way already: nothing was sent.
    #[error("too many requests are on their way")]
    Overloaded,
    /// The request itself broke off: its body has no proper end.
    #[error("the request's body breaks off")]
    Request,
}

impl UpstreamError {
    /// Whether the upstream provably has not seen the request.
    pub(crate) const fn is_unsent(self) -> bool {
        match self {
            Self::Connect(_) | Self::ConnectTimeout | Self::Overloaded => true,
            Self::Broken | Self::ResponseTimeout | Self::Request => false,
        }
    }

    /// For metrics.
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
