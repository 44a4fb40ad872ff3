//! The authorization code (RFC 6749 section 4.1.2), the device code (RFC 8628 section 3.2) and the `request_uri` of a pushed
//! authorization request (RFC 9126 section 2.2), which are secrets.

use std::fmt;

use zeroize::Zeroizing;

use super::Digest;
use super::params::letters;

/// A code of one of these kinds, as issued by the upstream or as sent by a client. Wiped on drop, never printed.
///
/// The first byte is the kind, so that a code costs no more memory than its text.
#[derive(Clone)]
pub struct AuthorizationCode(Zeroizing<Box<str>>);

/// What a code is. One of one kind is never redeemed as one of another, even if the texts are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CodeKind {
    /// RFC 6749 section 4.1.2.
    Authorization,
    /// RFC 8628 section 3.2.
    Device,
    /// The `request_uri` of RFC 9126 section 2.2. The authorization endpoint takes it.
    PushedRequest,
}

impl CodeKind {
    /// Those that the token endpoint redeems.
    pub const AT_TOKEN: [Self; 2] = [Self::Authorization, Self::Device];

    /// The parameter that carries it.
    pub const fn parameter(self) -> &'static str {
        match self {
            Self::Authorization => "code",
            Self::Device => "device_code",
            Self::PushedRequest => "request_uri",
        }
    }

    const fn tag(self) -> &'static str {
        match self {
            Self::Authorization => "a",
            Self::Device => "d",
            Self::PushedRequest => "r",
        }
    }
}

/// The longest code that is stored, in bytes: twice the length known from servers that put claims into their codes, and
/// short enough for a URL that every server accepts.
const LONGEST: usize = 4096;

impl AuthorizationCode {
    /// An authorization code: any non-empty string; the format is up to the upstream. `None`: an empty string.
    pub fn new(code: &str) -> Option<Self> {
        Self::of(CodeKind::Authorization, code)
    }

    /// The same for a code of any kind.
    pub fn of(kind: CodeKind, code: &str) -> Option<Self> {
        (!code.is_empty()).then(|| Self(Zeroizing::new([kind.tag(), code].concat().into())))
    }

    pub fn kind(&self) -> CodeKind {
        let others = [CodeKind::Device, CodeKind::PushedRequest];
        let is_it = |kind: &CodeKind| self.0.starts_with(kind.tag());
        let kind = others.into_iter().find(is_it);
        kind.unwrap_or(CodeKind::Authorization)
    }

    /// The secret value. Only for the token request to the upstream, and for the store.
    pub fn expose(&self) -> &str {
        self.0.get(1..).unwrap_or_default()
    }

    /// Whether every server reads the same code: only visible ASCII (RFC 6749 appendix A.11), and no blanks at either
    /// end, which some servers trim.
    pub fn is_plain(&self) -> bool {
        let is_visible = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        let code = self.expose();
        code.trim_ascii() == code && code.bytes().all(is_visible)
    }

    /// Whether the code is longer than 4096 bytes, the most that a store keeps.
    pub fn is_too_long(&self) -> bool {
        self.expose().len() > LONGEST
    }

    /// The key under which a store looks up a code of the upstream: stores never use the code itself as a key. Codes of
    /// different kinds never have the same one.
    pub fn digest(&self) -> Digest {
        match self.kind() {
            CodeKind::Authorization => Digest::of("code", &[self.expose().as_bytes()]),
            // An unknown authorization code is refused, but not every device code is bound. So one is found in every spelling
            // that a server accepts with a case-insensitive database, with UUIDs, or with base64 of either alphabet.
            CodeKind::Device => {
                let letters = letters(self.expose().as_bytes());
                let letters = Zeroizing::new(letters.collect::<Vec<u8>>());
                Digest::of("device code", &[&letters])
            }
            CodeKind::PushedRequest => Digest::of("pushed request", &[self.expose().as_bytes()]),
        }
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
    fn codes_of_different_kinds_differ_even_if_their_texts_are_equal() {
        let [code, device] = [CodeKind::Authorization, CodeKind::Device].map(|kind| {
            let code = AuthorizationCode::of(kind, "d").unwrap();
            assert_eq!((code.kind(), code.expose()), (kind, "d"));
            assert!(AuthorizationCode::of(kind, "").is_none());
            code
        });
        assert_ne!(code.digest(), device.digest());
    }

    #[test]
    fn only_the_case_and_the_punctuation_of_a_device_code_do_not_matter() {
        let digest = |kind, code| AuthorizationCode::of(kind, code).unwrap().digest();
        for (kind, is_same) in [(CodeKind::Device, true), (CodeKind::Authorization, false)] {
            for other in ["Ab-1/", "aB1/", "{aB-1}", "aB-1_", "aB-1/="] {
                let same = digest(kind, "aB-1/") == digest(kind, other);
                assert_eq!(same, is_same, "{kind:?} {other}");
            }
            for other in ["aC-1/", "aB-2/", "aB-11/"] {
                assert_ne!(digest(kind, "aB-1/"), digest(kind, other), "{kind:?}");
            }
        }
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
