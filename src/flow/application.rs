//! What all authorization requests of one application have in common.

use crate::oauth::{Digest, RedirectDigest, ResponseMode, ResponseType};

/// The parameters that are equal in all authorization requests of one application. Records share them, because they are as large
/// as the rest of a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Application {
    /// [`crate::oauth::ClientId::digest`].
    pub client: Digest,
    /// `None`: the request named none; the upstream uses the only registered one.
    pub redirect: Option<RedirectDigest>,
    /// `response_type` as sent.
    pub response_type: Option<Box<str>>,
    /// `response_mode` as sent.
    pub response_mode: Option<Box<str>>,
    /// The `request_uri` of the upstream with which the sign-in began ([`pushed`]). Requests with one share nothing.
    pub pushed: Option<Digest>,
}

/// The digest of a `request_uri` of the upstream (RFC 9126).
pub(crate) fn pushed(request_uri: &str) -> Digest {
    Digest::of("pushed request", &[request_uri.as_bytes()])
}

impl Application {
    /// The default response mode of the response type. `None`: the request has no response type.
    pub fn default_mode(&self) -> Option<ResponseMode> {
        let asked = self.response_type.as_deref().map(ResponseType::parse);
        asked.map(|asked| asked.default_mode())
    }

    /// Whether `mode` is the response mode of the request: the one that it names, or else the default.
    pub fn has_mode(&self, mode: &str) -> bool {
        match self.response_mode.as_deref() {
            Some(named) => named == mode,
            None => self
                .default_mode()
                .is_some_and(|default| default.as_str() == mode),
        }
    }
}
