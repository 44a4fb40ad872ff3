//! The life of one code: *pending* (an accepted authorization request), *bound* (a code that the upstream issued for
//! it), *redeemed*. What happens when is here; where it is kept is [`crate::store`]'s business.
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

/// How many codes one pending authorization may yield: double click, Back and reload make real servers issue a second
/// and a third one, and each is legitimate.
pub(crate) const CODES_PER_AUTHORIZATION: u8 = 5;

/// How often one code may be released. An honest client needs a handful: a DPoP nonce, client authentication in the other
/// style, an upstream that asks to be left alone for a while. Who needs more is trying something, with the right verifier.
pub(crate) const RELEASES_PER_CODE: u8 = 10;

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
    /// The mode of the response where the request names none. `None`: it has no response type.
    pub fn default_mode(&self) -> Option<ResponseMode> {
        let asked = self.response_type.as_deref().map(ResponseType::parse);
        asked.map(|asked| asked.default_mode())
    }

    /// Whether a response mode is the one that the request names; or the default, where it names none.
    pub fn has_mode(&self, mode: &str) -> bool {
        match self.response_mode.as_deref() {
            Some(named) => named == mode,
            None => self
                .default_mode()
                .is_some_and(|default| default.as_str() == mode),
        }
    }

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

/// What may stand in a request, as it came: whose it is, the store knows ([`crate::store::Store::owners`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Candidate {
    /// A pending authorization: the digest of a handle that stands in place of a state, or of the values under which it is
    /// held.
    State(Digest),
    /// A code: the digest of a handle in its place, or of the upstream's own code
    /// ([`crate::oauth::AuthorizationCode::digest`]), which is known as well where a handle stands in its place.
    Code(Digest),
}

/// How a claimed code is left after the exchange (`product.md`, step 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// The upstream has redeemed the code, or may have: it is gone.
    Burn,
    /// The code is still good: the request was not sent, or its answer is none that redeems ([`settlement::of_answer`]). The
    /// same request may be tried again. One that brought the verifier, [`RELEASES_PER_CODE`] times; after that the code is burnt.
    /// One that proves nothing ([`Presented::Unproven`]) as long as the code lives: what anybody can send with a stolen code must
    /// not use it up.
    Release,
}

/// What a redemption presents, compared with what the code is bound to. Only what matches may claim the code, and so
/// exclude others from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented {
    /// It may go on to the upstream: it brought the verifier.
    Matches,
    /// It may go on to the upstream, and proves nothing: there is no challenge, or what is wrong is only reported.
    Unproven,
    /// It may not: another client or redirect URI, no verifier, or anything else that tells nothing about the verifier.
    Differs,
    /// All is right but the verifier: counted, and the code burnt at the limit.
    WrongVerifier,
}
