//! A pending authorization: an accepted authorization request, until its codes are bound.

use std::fmt;

use super::bound::BoundCode;
use crate::oauth::{
    AuthorizationCode, CodeChallenge, Digest, RedirectDigest, ResponseMode, ResponseType,
};

/// The most codes that one pending authorization may yield. More than one is legitimate: after a double click, Back or reload
/// real servers issue a second and a third code.
pub(crate) const CODES_PER_AUTHORIZATION: u8 = 5;

/// The client's own `state`, which the response must repeat exactly.
#[derive(Clone, PartialEq, Eq)]
pub enum ClientState {
    /// No `state` parameter.
    Absent,
    /// `state` without `=`.
    Bare,
    /// The decoded value of `state=…`; may be empty.
    Value(Box<str>),
}

impl ClientState {
    /// The value, if there is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Absent | Self::Bare => None,
            Self::Value(state) => Some(state),
        }
    }
}

/// Redacts the value, which is often a CSRF token.
impl fmt::Debug for ClientState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "Absent",
            Self::Bare => "Bare",
            Self::Value(_) => "Value([redacted])",
        })
    }
}

/// The record of an accepted authorization request. Identifiers are stored as digests, because they are only compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingAuthorization {
    /// `None` only if the rule of the client does not require one.
    pub challenge: Option<CodeChallenge>,
    /// [`crate::oauth::ClientId::digest`].
    pub client: Digest,
    /// `None`: the request named none; the upstream uses the only registered one.
    pub redirect: Option<RedirectDigest>,
    /// The client's own `state`.
    pub state: ClientState,
    /// `response_type` as sent.
    pub response_type: Option<Box<str>>,
    /// `response_mode` as sent.
    pub response_mode: Option<Box<str>>,
    /// The digest of the gate's cookie, if the browser has one.
    pub browser: Option<Digest>,
}

impl PendingAuthorization {
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

    /// Binds a code that the upstream issued to this authorization.
    pub fn bind(&self, code: AuthorizationCode) -> BoundCode {
        BoundCode {
            code,
            challenge: self.challenge.clone(),
            client: self.client,
            redirect: self.redirect,
        }
    }
}
