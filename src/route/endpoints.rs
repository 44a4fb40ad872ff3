//! The paths of the endpoints.

/// The paths of the endpoints of an upstream: exact, including the prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Authorization endpoints (RFC 6749 section 3.1).
    pub authorization: Vec<String>,
    /// Further pages that receive the parameters of the authorization request.
    pub continuation: Vec<String>,
    /// Token endpoints (RFC 6749 section 3.2).
    pub token: Vec<String>,
    /// Device authorization endpoints (RFC 8628 section 3.1). Empty unless device codes may be bound.
    pub device_authorization: Vec<String>,
    /// Authorization challenge endpoints of first-party apps.
    pub authorization_challenge: Vec<String>,
    /// Server metadata (RFC 8414, OpenID Connect Discovery).
    pub metadata: Vec<String>,
    /// Names of query parameters that the URLs of the authorization and token endpoints may have
    /// ([`crate::oauth::endpoint_query`]).
    pub query: Vec<String>,
}

impl Endpoints {
    /// The protected paths. Other paths that some server may treat as one of these are refused.
    pub fn protected(&self) -> impl Iterator<Item = &String> {
        self.authorization
            .iter()
            .chain(&self.continuation)
            .chain(&self.token)
            .chain(&self.device_authorization)
            .chain(&self.authorization_challenge)
    }
}
