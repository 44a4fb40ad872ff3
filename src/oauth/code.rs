//! The authorization code (RFC 6749 section 4.1.2), a secret.

use std::fmt;

use zeroize::Zeroizing;

use super::Digest;

/// An authorization code as the upstream issued it or as a client sent it. Wiped on drop, never shown.
#[derive(Clone)]
pub struct AuthorizationCode(Zeroizing<Box<str>>);

/// The longest code that is kept, in bytes: twice what is known of servers that put claims into it, and what still fits into a URL
/// that every server reads.
const LONGEST: usize = 4096;

impl AuthorizationCode {
    /// A code is any non-empty string; its shape is the upstream's business.
    pub fn new(code: &str) -> Option<Self> {
        (!code.is_empty()).then(|| Self(Zeroizing::new(code.into())))
    }

    /// The code itself. Only for the token request towards the upstream and for the store.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether every server reads the same code: visible characters of ASCII (RFC 6749 appendix A.11), and no blanks at its ends,
    /// which some servers trim.
    pub fn is_plain(&self) -> bool {
        let is_visible = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        self.0.trim_ascii() == self.expose() && self.0.bytes().all(is_visible)
    }

    /// Whether it is longer than any code has to be: what is kept of a sign-in is bounded.
    pub fn is_too_long(&self) -> bool {
        self.0.len() > LONGEST
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

    #[test]
    fn a_code_is_wiped_when_it_is_dropped() {
        fn is_wiped<T: zeroize::ZeroizeOnDrop>(_: &T) {}
        is_wiped(&AuthorizationCode::new("code").unwrap().0);
    }

    #[test]
    fn what_some_server_reads_otherwise_is_not_plain() {
        let is_plain = |code| AuthorizationCode::new(code).unwrap().is_plain();
        for code in ["SplxlOBeZQQYbYS6WxSbIA", "a b", "~!$:/|%41"] {
            assert!(is_plain(code), "{code:?}");
        }
        for code in [
            " a",
            "a ",
            "a\t",
            "a\r\n",
            "a\0b",
            "caf\u{e9}",
            "a\u{200b}",
            "\u{a0}a",
        ] {
            assert!(!is_plain(code), "{code:?}");
        }
    }
}
