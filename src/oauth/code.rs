//! The authorization code (RFC 6749 section 4.1.2), a secret.

use std::fmt;

use zeroize::Zeroizing;

use super::Digest;

/// An authorization code as the upstream issued it or as a client sent it. Wiped on drop, never shown.
#[derive(Clone)]
pub struct AuthorizationCode(Zeroizing<String>);

impl AuthorizationCode {
    /// A code is any non-empty string; its shape is the upstream's business.
    pub fn new(code: &str) -> Option<Self> {
        (!code.is_empty()).then(|| Self(Zeroizing::new(code.to_owned())))
    }

    /// The code itself. Only for the token request towards the upstream and for the store.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Under which an upstream's own code is looked up: stores never keep the code as a key.
    pub fn digest(&self) -> Digest {
        Digest::of("code", &[self.0.as_bytes()])
    }
}

impl fmt::Debug for AuthorizationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthorizationCode([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_not_shown_and_not_empty() {
        let code = AuthorizationCode::new("SplxlOBeZQQYbYS6WxSbIA").unwrap();
        assert!(!format!("{code:?}").contains("Splx"));
        assert!(AuthorizationCode::new("").is_none());
    }
}
