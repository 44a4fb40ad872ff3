//! The life of one code: *pending* (an accepted authorization request), *bound* (the upstream issued a code for it), *redeemed*.
//! This module defines the states; [`crate::store`] stores them.
//!
//! Pure: no clock, no randomness, no I/O.

pub(crate) mod handle;
mod lengths;
pub(crate) mod settlement;
pub(crate) mod submission;

use std::fmt;
use std::sync::LazyLock;

use crate::oauth::{
    AuthorizationCode, CodeChallenge, Digest, RedirectDigest, ResponseMode, ResponseType,
};

pub(crate) use handle::Handle;
pub use handle::{HandleKey, Purpose};
pub(crate) use lengths::CodeLengths;
pub use submission::Submission;

/// The most codes that one pending authorization may yield. More than one is legitimate: after a double click, Back or reload
/// real servers issue a second and a third code.
pub(crate) const CODES_PER_AUTHORIZATION: u8 = 5;

/// How often one code may be released after a correct verifier. An honest client needs a few: for a DPoP nonce, for another
/// method of client authentication, for an upstream that is temporarily unavailable.
pub(crate) const RELEASES_PER_CODE: u8 = 10;

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

/// A code and the values that a redemption has to match. Created by [`PendingAuthorization::bind`], and by stores that load a
/// record.
#[derive(Debug, Clone)]
pub struct BoundCode {
    /// The upstream's own code.
    pub code: AuthorizationCode,
    pub challenge: Option<CodeChallenge>,
    /// The digest of the client that began the flow.
    pub client: Digest,
    /// The redirect URI of the authorization request.
    pub redirect: Option<RedirectDigest>,
}

impl BoundCode {
    /// A bound code that no request matches. Requests for dead codes are compared with it, so that they take as long as those for
    /// live ones.
    pub fn decoy() -> Option<&'static Self> {
        static DECOY: LazyLock<Option<BoundCode>> = LazyLock::new(|| {
            let nobody = Digest::from_bytes([0; 16]);
            Some(BoundCode {
                code: AuthorizationCode::new("0123456789012345678901234567890123456789012")?,
                challenge: Some(CodeChallenge::S256([0; 32])),
                client: nobody,
                redirect: Some(RedirectDigest {
                    exact: nobody,
                    target: nobody,
                }),
            })
        });
        DECOY.as_ref()
    }
}

/// A value in a request that may be a handle or a code. [`crate::store::Store::owners`] returns whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Candidate {
    /// A pending authorization: the digest of its handle, or of the values that it is stored under.
    State(Digest),
    /// A code: the digest of its handle, or of the upstream's own code ([`crate::oauth::AuthorizationCode::digest`]). The store
    /// knows the latter, too, if a handle replaces it.
    Code(Digest),
}

/// What happens to a claimed code after the exchange (step 5 of the crate documentation).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// The upstream has redeemed the code, or may have. It cannot be redeemed again.
    Burn,
    /// The code is still valid: the request was not sent, or its answer shows that the code was not redeemed
    /// ([`settlement::of_answer`]). After a correct verifier a code is released [`RELEASES_PER_CODE`] times, then burnt. Releases
    /// after a request without proof ([`Presented::Unproven`]) do not count: an attacker with a stolen code can send such
    /// requests, and must not be able to burn the code.
    Release,
}

/// The result of comparing a redemption with its bound code. Only the first two claim the code, and so exclude other requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented {
    /// Forward it: the verifier matches.
    Matches,
    /// Forward it, although it proves nothing: there is no challenge, or the violation is only reported.
    Unproven,
    /// Refuse it for a reason other than a wrong verifier: another client or redirect URI, no verifier.
    Differs,
    /// Refuse it: only the verifier is wrong. The store counts these, and burns the code at a limit.
    WrongVerifier,
}
