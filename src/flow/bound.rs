//! A code that is bound to its sign-in, and how a redemption compares with it.

use std::sync::{Arc, LazyLock};

use super::application::Application;
use super::handle::Key;
use super::own::Pkce;
use crate::oauth::{AuthorizationCode, CodeChallenge, Digest, RedirectDigest};

/// A code and the values that a redemption has to match. Created by [`super::PendingAuthorization::bind`], and by stores that load a
/// record.
#[derive(Debug, Clone)]
pub struct BoundCode {
    /// The client that began the flow, and the redirect URI of its request.
    pub application: Arc<Application>,
    /// The upstream's own code.
    pub code: AuthorizationCode,
    pub pkce: Pkce,
}

impl BoundCode {
    /// What the client's verifier is compared with.
    pub fn challenge(&self) -> Option<&CodeChallenge> {
        self.pkce.challenge()
    }

    /// A bound code that no request matches. Requests for dead codes are compared with it, so that they take as long as those for
    /// live ones.
    pub fn decoy() -> Option<&'static Self> {
        static DECOY: LazyLock<Option<BoundCode>> = LazyLock::new(|| {
            let none = Digest::from_bytes([0; 16]);
            Some(BoundCode {
                application: Arc::new(Application {
                    client: none,
                    redirect: Some(RedirectDigest {
                        exact: none,
                        target: none,
                    }),
                    response_type: None,
                    response_mode: None,
                    pushed: None,
                }),
                code: AuthorizationCode::new("0123456789012345678901234567890123456789012")?,
                pkce: Pkce::new(Some(CodeChallenge::S256([0; 32])), None),
            })
        });
        DECOY.as_ref()
    }
}

/// A value in a request that may be a handle or a code. [`crate::store::Store::owners`] returns whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Candidate {
    /// A pending authorization.
    State(Key),
    /// A code: its handle, or the upstream's own code. The store knows the latter, too, if a handle replaces it.
    Code(Key),
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
