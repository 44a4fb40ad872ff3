//! The gate's own PKCE pair towards the upstream (`to_upstream = "replace"`), beside the client's challenge.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::oauth::CodeChallenge;

/// A verifier of the gate's own, for one sign-in. The upstream gets its S256 challenge with the authorization request, and the
/// verifier itself with the token request. Redacted in `Debug`, wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnVerifier(Box<Zeroizing<[u8; OwnVerifier::BYTES]>>);

impl OwnVerifier {
    /// The random bytes that it is made from.
    pub const BYTES: usize = 32;

    /// `entropy` must be random.
    pub fn new(entropy: [u8; Self::BYTES]) -> Self {
        Self(Box::new(Zeroizing::new(entropy)))
    }

    pub(super) fn bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The value of `code_verifier`: 43 characters. It is a secret.
    pub fn expose(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(self.bytes()))
    }

    /// The challenge for the authorization request, with the method S256.
    pub fn challenge(&self) -> CodeChallenge {
        CodeChallenge::S256(Sha256::digest(self.expose().as_bytes()).into())
    }
}

impl fmt::Debug for OwnVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnVerifier([redacted])")
    }
}

/// The client's challenge, and the gate's own verifier if there is one. As large as the challenge alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pkce(Inner);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Inner {
    Client(Option<CodeChallenge>),
    Both(Box<(Option<CodeChallenge>, OwnVerifier)>),
}

impl Pkce {
    /// Neither.
    pub const NONE: Self = Self(Inner::Client(None));

    pub fn new(challenge: Option<CodeChallenge>, own: Option<OwnVerifier>) -> Self {
        Self(match own {
            None => Inner::Client(challenge),
            Some(own) => Inner::Both(Box::new((challenge, own))),
        })
    }

    /// What the verifier of the client is compared with.
    pub fn challenge(&self) -> Option<&CodeChallenge> {
        match &self.0 {
            Inner::Client(challenge) => challenge.as_ref(),
            Inner::Both(both) => both.0.as_ref(),
        }
    }

    /// What the upstream has seen the challenge of. `None`: of no pair of the gate's own.
    pub fn own(&self) -> Option<&OwnVerifier> {
        match &self.0 {
            Inner::Client(_) => None,
            Inner::Both(both) => Some(&both.1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::CodeVerifier;

    #[test]
    fn an_own_pair_is_one_of_rfc_7636() {
        let own = OwnVerifier::new([7; 32]);
        let text = own.expose();
        assert_eq!(text.len(), 43);
        let verifier = CodeVerifier::parse(&text, 128).unwrap();
        assert!(own.challenge().is_met_by(&verifier));
        assert!(!OwnVerifier::new([8; 32]).challenge().is_met_by(&verifier));
        assert!(!format!("{:?}", Pkce::new(None, Some(own))).contains(&*text));
    }

    #[test]
    fn both_take_no_more_memory_than_the_challenge() {
        assert_eq!(size_of::<Pkce>(), size_of::<Option<CodeChallenge>>());
    }
}
