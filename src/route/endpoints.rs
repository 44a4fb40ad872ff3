//! Which paths are endpoints.

/// Exact paths, prefix included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// RFC 6749 section 3.1.
    pub authorization: Vec<String>,
    /// Further pages that carry the same authorization request on.
    pub continuation: Vec<String>,
    /// RFC 6749 section 3.2.
    pub token: Vec<String>,
    /// RFC 8414 and OpenID Connect Discovery documents.
    pub metadata: Vec<String>,
    /// Names of query parameters that the URLs of the authorization and token endpoints may have
    /// ([`crate::oauth::endpoint_query`]).
    pub query: Vec<String>,
}

impl Endpoints {
    /// Those that some server may know by other paths, too; none of which passes.
    pub fn protected(&self) -> impl Iterator<Item = &String> {
        self.authorization
            .iter()
            .chain(&self.continuation)
            .chain(&self.token)
    }
}
