//! The authorization code (RFC 6749 section 4.1.2), which is a secret.

use std::fmt;

use zeroize::Zeroizing;

use super::Digest;

/// An authorization code, as issued by the upstream or as sent by a client. Wiped on drop, never printed.
#[derive(Clone)]
pub struct AuthorizationCode(Zeroizing<Box<str>>);

/// The longest code that is stored, in bytes: twice the length known from servers that put claims into their codes, and
/// short enough for a URL that every server accepts.
const LONGEST: usize = 4096;

impl AuthorizationCode {
    /// Any non-empty string; the format is up to the upstream. `None`: an empty string.
    pub fn new(code: &str) -> Option<Self> {
        (!code.is_empty()).then(|| Self(Zeroizing::new(code.into())))
    }

    /// The secret value. Only for the token request to the upstream, and for the store.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether every server reads the same code: only visible ASCII (RFC 6749 appendix A.11), and no blanks at either
    /// end, which some servers trim.
    pub fn is_plain(&self) -> bool {
        let is_visible = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        self.0.trim_ascii() == self.expose() && self.0.bytes().all(is_visible)
    }

    /// Whether the code is longer than 4096 bytes, the most that a store keeps.
    pub fn is_too_long(&self) -> bool {
        self.0.len() > LONGEST
    }

    /// The key under which a store looks up a code of the upstream: stores never use the code itself as a key.
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
    fn a_code_is_redacted_and_not_empty() {
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
    fn a_code_that_servers_may_read_differently_is_not_plain() {
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
