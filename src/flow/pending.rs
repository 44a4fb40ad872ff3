//! A pending authorization: an accepted authorization request, until its codes are bound.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::application::Application;
use super::bound::BoundCode;
use super::own::{OwnVerifier, Pkce};
use crate::oauth::{AuthorizationCode, CodeChallenge, Digest};

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
    /// The decoded value of `state=…`; may be empty. Wiped when it is dropped, because it is often a CSRF token.
    Value(Zeroizing<Box<str>>),
    /// Too long for a sealed handle: it is in a cookie of the browser.
    InCookie,
}

impl ClientState {
    /// A `state` with a decoded value.
    pub fn value(value: impl Into<Box<str>>) -> Self {
        Self::Value(Zeroizing::new(value.into()))
    }

    /// The value, if there is one here.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Absent | Self::Bare | Self::InCookie => None,
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
            Self::InCookie => "InCookie",
        })
    }
}

/// The record of an accepted authorization request. Identifiers are stored as digests, because they are only compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingAuthorization {
    pub application: Arc<Application>,
    /// `None` only if the rule of the client does not require one.
    pub challenge: Option<CodeChallenge>,
    /// The gate's own verifier, whose challenge the upstream gets (`to_upstream = "replace"`).
    pub own: Option<OwnVerifier>,
    /// The client's own `state`.
    pub state: ClientState,
    /// The digest of the gate's cookie, if the browser has one.
    pub browser: Option<Digest>,
}

impl PendingAuthorization {
    /// Binds a code that the upstream issued to this authorization.
    pub fn bind(&self, code: AuthorizationCode) -> BoundCode {
        BoundCode {
            application: Arc::clone(&self.application),
            code,
            pkce: Pkce::new(self.challenge.clone(), self.own.clone()),
        }
    }
}
