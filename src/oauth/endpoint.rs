//! The endpoints of an authorization server.

/// What a request is for. Its label stands in logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    /// RFC 6749 section 3.1, and pages that carry the same authorization request on.
    Authorization,
    /// RFC 6749 section 3.2.
    Token,
    /// RFC 8414, OpenID Connect Discovery.
    Metadata,
    /// Anything else.
    Other,
}

impl Endpoint {
    /// For logs and metrics.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::Token => "token",
            Self::Metadata => "metadata",
            Self::Other => "other",
        }
    }
}
