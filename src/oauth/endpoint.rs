//! The endpoints of an authorization server.

/// The endpoint that a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    /// RFC 6749 section 3.1, and further pages that receive the same authorization request.
    Authorization,
    /// RFC 6749 section 3.2.
    Token,
    /// RFC 8628 section 3.1.
    DeviceAuthorization,
    /// RFC 9126 section 2.
    PushedAuthorizationRequest,
    /// draft-ietf-oauth-first-party-apps section 5.
    AuthorizationChallenge,
    /// RFC 8414, OpenID Connect Discovery.
    Metadata,
    Other,
}

impl Endpoint {
    /// The label in logs and metrics.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::Token => "token",
            Self::DeviceAuthorization => "device_authorization",
            Self::PushedAuthorizationRequest => "pushed_authorization_request",
            Self::AuthorizationChallenge => "authorization_challenge",
            Self::Metadata => "metadata",
            Self::Other => "other",
        }
    }
}
