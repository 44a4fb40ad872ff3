//! The paths of the endpoints.

use crate::oauth::well_known::{RESOURCE, SMART};

use super::fold::is_below;

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
    /// Dynamic client registration (RFC 7591).
    pub registration: Vec<String>,
    /// Pushed authorization request endpoints (RFC 9126 section 2).
    pub pushed_authorization_request: Vec<String>,
    /// Server metadata (RFC 8414, OpenID Connect Discovery, SMART App Launch).
    pub metadata: Vec<String>,
    /// The well-known paths of the issuer if metadata is synthesized. They need not be below the prefix: for the issuer
    /// `https://host/tenant`, RFC 8414 inserts the well-known path before `/tenant`.
    pub well_known: Vec<String>,
    /// Names of query parameters that the URLs of the authorization and token endpoints may have
    /// ([`crate::oauth::endpoint_query`]).
    pub query: Vec<String>,
    /// Further paths of these endpoints.
    pub aliases: Vec<Alias>,
}

/// A path that clients use for an endpoint. The upstream gets the path of the endpoint instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    pub path: String,
    /// A path of an endpoint.
    pub target: String,
}

/// A document of the upstream that names URLs of the upstream, at a path that is not an endpoint with rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnDocument {
    /// Protected resource metadata (RFC 9728).
    Resource,
    /// The answer to a client registration (RFC 7591), and that of its management (RFC 7592).
    Registration,
}

impl Endpoints {
    /// The protected paths. Other paths that some server may treat as one of these are refused.
    pub fn protected(&self) -> impl Iterator<Item = &String> {
        let aliases = self.aliases.iter();
        let aliases = aliases.filter(|alias| self.originals().any(|path| *path == alias.target));
        self.originals().chain(aliases.map(|alias| &alias.path))
    }

    fn originals(&self) -> impl Iterator<Item = &String> {
        self.authorization
            .iter()
            .chain(&self.continuation)
            .chain(&self.token)
            .chain(&self.device_authorization)
            .chain(&self.authorization_challenge)
            .chain(&self.pushed_authorization_request)
    }

    /// The path of the endpoint that an alias stands for.
    pub(super) fn target_of(&self, path: &str) -> Option<&str> {
        let alias = self.aliases.iter().find(|alias| alias.path == path)?;
        Some(&alias.target)
    }

    /// Whether the path is that of server metadata.
    pub(super) fn is_metadata(&self, path: &str) -> bool {
        let mut known = self.metadata.iter().chain(&self.well_known);
        known.any(|known| known == path)
    }

    /// Whether the path is that of a SMART document. Each FHIR base URL has one. Not if the server has no metadata at all.
    pub(super) fn is_smart(&self, path: &str) -> bool {
        path.ends_with(SMART) && !self.metadata.is_empty()
    }

    /// The document at a path, if it names URLs of the upstream.
    pub(crate) fn own_document(&self, path: &str) -> Option<OwnDocument> {
        if is_below(RESOURCE, path) {
            return Some(OwnDocument::Resource);
        }
        let mut registration = self.registration.iter();
        let is_registration = registration.any(|known| is_below(known, path));
        is_registration.then_some(OwnDocument::Registration)
    }
}
