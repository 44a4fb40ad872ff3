//! The life of one code: *pending* (an accepted authorization request), *bound* (a code that the upstream issued for
//! it), *redeemed*. What happens when is here; where it is kept is [`crate::store`]'s business.
//!
//! Pure: no clock, no randomness, no I/O.

pub mod handle;
pub mod settlement;
pub mod submission;

use std::fmt;
use std::sync::LazyLock;

use crate::oauth::{AuthorizationCode, CodeChallenge, Digest, RedirectDigest};

pub use handle::{Handle, HandleKey, Purpose};
pub use submission::Submission;

/// How many codes one pending authorization may yield: double click, Back and reload make real servers issue a second
/// and a third one, and each is legitimate.
pub const CODES_PER_AUTHORIZATION: u8 = 5;

/// The client's own `state`, which has to come back as it went.
#[derive(Clone, PartialEq, Eq)]
pub enum ClientState {
    /// No `state` parameter at all: the response gets none.
    Absent,
    /// `state` without `=`.
    Bare,
    /// `state=…`, decoded; may be empty.
    Value(Box<str>),
}

impl ClientState {
    /// The text to compare and to restore.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Absent | Self::Bare => None,
            Self::Value(state) => Some(state),
        }
    }
}

/// A state is often a CSRF token.
impl fmt::Debug for ClientState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "Absent",
            Self::Bare => "Bare",
            Self::Value(_) => "Value([redacted])",
        })
    }
}

/// An accepted authorization request, until it expires. Identifiers are kept as digests: they are only compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingAuthorization {
    /// `None` only where the rule of the client does not require one.
    pub challenge: Option<CodeChallenge>,
    /// [`crate::oauth::ClientId::digest`].
    pub client: Digest,
    /// `None`: the request named none, and the upstream knows the only one that is registered.
    pub redirect: Option<RedirectDigest>,
    /// To be restored.
    pub state: ClientState,
    /// As sent.
    pub response_type: Option<Box<str>>,
    /// As sent.
    pub response_mode: Option<Box<str>>,
    /// The digest of the cookie that the browser got with the redirect, when it got one.
    pub browser: Option<Digest>,
}

impl PendingAuthorization {
    /// Ties a code that the upstream issued to this authorization.
    pub fn bind(&self, code: AuthorizationCode) -> BoundCode {
        BoundCode {
            code,
            challenge: self.challenge.clone(),
            client: self.client,
            redirect: self.redirect,
        }
    }
}

/// A code and what has to be true of whoever redeems it. Made by [`PendingAuthorization::bind`] and by stores that
/// read back what they kept.
#[derive(Debug, Clone)]
pub struct BoundCode {
    code: AuthorizationCode,
    challenge: Option<CodeChallenge>,
    client: Digest,
    redirect: Option<RedirectDigest>,
}

impl BoundCode {
    /// For stores: a bound code that was kept.
    pub fn restore(
        code: AuthorizationCode,
        challenge: Option<CodeChallenge>,
        client: Digest,
        redirect: Option<RedirectDigest>,
    ) -> Self {
        Self {
            code,
            challenge,
            client,
            redirect,
        }
    }

    /// One that nobody has and no request meets: what a dead code is compared with, so that it takes as long as a live one.
    pub fn decoy() -> Option<&'static Self> {
        static DECOY: LazyLock<Option<BoundCode>> = LazyLock::new(|| {
            let nobody = Digest::from_bytes([0; 16]);
            Some(BoundCode {
                code: AuthorizationCode::new("0123456789012345678901234567890123456789012")?,
                challenge: Some(CodeChallenge::S256([0; 32])),
                client: nobody,
                redirect: Some(RedirectDigest::from_parts(nobody, nobody)),
            })
        });
        DECOY.as_ref()
    }

    /// The upstream's own code.
    pub fn code(&self) -> &AuthorizationCode {
        &self.code
    }

    /// What the verifier is compared with.
    pub fn challenge(&self) -> Option<&CodeChallenge> {
        self.challenge.as_ref()
    }

    /// The client that began the flow.
    pub fn client(&self) -> Digest {
        self.client
    }

    /// The redirect URI of the authorization request.
    pub fn redirect(&self) -> Option<RedirectDigest> {
        self.redirect
    }
}

/// How a claimed code is left after the exchange (`product.md`, step 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// The upstream has redeemed the code, or may have: it is gone.
    Burn,
    /// The code is still good: the request was not sent, or its answer is none that redeems ([`settlement::of_answer`]).
    Release,
    /// A wrong verifier: counted, and burnt at the limit.
    WrongVerifier,
}
