//! RFC 7636: code challenge, code challenge method, code verifier.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::params::set::UNRESERVED;

/// Minimum length of a verifier and of a `plain` challenge, in characters (RFC 7636 section 4.1).
pub(crate) const MIN_LENGTH: usize = 43;
/// Maximum length of a verifier, in characters (RFC 7636 section 4.1).
pub(crate) const MAX_LENGTH: usize = 128;

/// The verifier and the challenge of RFC 7636 appendix B, which clients must not use: they are public.
pub(crate) const EXAMPLE_VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const EXAMPLE_CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// The same challenge, decoded.
const EXAMPLE_HASH: [u8; 32] = [
    0x13, 0xd3, 0x1e, 0x96, 0x1a, 0x1a, 0xd8, 0xec, 0x2f, 0x16, 0xb1, 0x0c, 0x4c, 0x98, 0x2e, 0x08,
    0x76, 0xa8, 0x78, 0xad, 0x6d, 0xf1, 0x44, 0x56, 0x6e, 0xe1, 0x89, 0x4a, 0xcb, 0x70, 0xf9, 0xc3,
];

/// `code_challenge_method` (RFC 7636 section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CodeChallengeMethod {
    /// The challenge is the unpadded base64url SHA-256 of the verifier.
    S256,
    /// The challenge is the verifier itself: anyone who sees the authorization request can redeem the code.
    Plain,
}

impl CodeChallengeMethod {
    /// An absent method means `plain` (RFC 7636 section 4.3). Any other spelling, `s256` included, is an error and
    /// never falls back.
    pub fn parse(method: Option<&str>) -> Option<Self> {
        match method {
            Some("S256") => Some(Self::S256),
            None | Some("plain") => Some(Self::Plain),
            Some(_) => None,
        }
    }

    /// The value of the `code_challenge_method` parameter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::S256 => "S256",
            Self::Plain => "plain",
        }
    }
}

/// What a verifier is compared with.
#[derive(Clone, PartialEq, Eq)]
pub enum CodeChallenge {
    /// The base64url-decoded challenge: a SHA-256.
    S256([u8; 32]),
    /// The challenge itself, 43 to 128 unreserved characters.
    Plain(Box<str>),
    /// A challenge that no verifier can satisfy, recorded from a request that was only observed.
    Useless(Useless),
}

/// Why a challenge is useless: no verifier can satisfy it, or its method is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Useless {
    Malformed(MalformedChallenge),
    /// `plain` where only S256 is allowed.
    Plain {
        /// Whether the method was absent.
        by_omission: bool,
    },
    /// A method that RFC 7636 does not define.
    UnknownMethod,
}

impl Useless {
    /// All variants. A store saves the index into this list.
    pub const ALL: [Self; 8] = [
        Self::Malformed(MalformedChallenge::Hex),
        Self::Malformed(MalformedChallenge::Padded),
        Self::Malformed(MalformedChallenge::StandardBase64),
        Self::Malformed(MalformedChallenge::Length),
        Self::Malformed(MalformedChallenge::Alphabet),
        Self::Plain { by_omission: true },
        Self::Plain { by_omission: false },
        Self::UnknownMethod,
    ];
}

/// Why no verifier can satisfy a challenge. Each is a known mistake of client developers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedChallenge {
    /// 64 hexadecimal digits.
    #[error("the challenge is hexadecimal; it must be base64url without padding")]
    Hex,
    /// 43 characters followed by `=`.
    #[error("the challenge is padded with '='; remove the padding")]
    Padded,
    /// Contains `+` or `/`.
    #[error("the challenge is base64; it must be base64url ('-' and '_' instead of '+' and '/')")]
    StandardBase64,
    /// Not 43 characters (S256), or not 43 to 128 (plain).
    #[error("the challenge has the wrong length; for S256 it has 43 characters")]
    Length,
    /// Characters outside the alphabet, or trailing bits set that are zero in every SHA-256.
    #[error("the challenge contains characters outside the base64url alphabet")]
    Alphabet,
}

impl CodeChallenge {
    /// Parses a challenge. Fails if no verifier could ever match it.
    pub fn parse(method: CodeChallengeMethod, challenge: &str) -> Result<Self, MalformedChallenge> {
        match method {
            CodeChallengeMethod::S256 => Self::parse_s256(challenge),
            CodeChallengeMethod::Plain if !(MIN_LENGTH..=MAX_LENGTH).contains(&challenge.len()) => {
                Err(MalformedChallenge::Length)
            }
            CodeChallengeMethod::Plain if challenge.bytes().all(is_unreserved) => {
                Ok(Self::Plain(challenge.into()))
            }
            CodeChallengeMethod::Plain => Err(MalformedChallenge::Alphabet),
        }
    }

    fn parse_s256(challenge: &str) -> Result<Self, MalformedChallenge> {
        let bytes = challenge.as_bytes();
        if bytes.len() == 64 && bytes.iter().all(u8::is_ascii_hexdigit) {
            Err(MalformedChallenge::Hex)
        } else if bytes.iter().any(|byte| matches!(byte, b'+' | b'/' | b' ')) {
            Err(MalformedChallenge::StandardBase64)
        } else if bytes.len() > MIN_LENGTH && bytes.ends_with(b"=") {
            Err(MalformedChallenge::Padded)
        } else if bytes.len() == MIN_LENGTH {
            let mut hash = [0; 32];
            match URL_SAFE_NO_PAD.decode_slice(bytes, &mut hash) {
                Ok(32) => Ok(Self::S256(hash)),
                Ok(_) | Err(_) => Err(MalformedChallenge::Alphabet),
            }
        } else {
            Err(MalformedChallenge::Length)
        }
    }

    /// The method recorded with the challenge; a token request does not contain it (RFC 7636 section 4.5).
    pub const fn method(&self) -> CodeChallengeMethod {
        match self {
            Self::S256(_) => CodeChallengeMethod::S256,
            Self::Plain(_) | Self::Useless(_) => CodeChallengeMethod::Plain,
        }
    }

    /// The challenge, unless it is [`CodeChallenge::Useless`].
    pub const fn useful(&self) -> Option<&Self> {
        match self {
            Self::S256(_) | Self::Plain(_) => Some(self),
            Self::Useless(_) => None,
        }
    }

    /// The challenge as the client sent it; empty for a useless one, which is not stored.
    pub fn encoded(&self) -> Cow<'_, str> {
        match self {
            Self::S256(hash) => Cow::Owned(URL_SAFE_NO_PAD.encode(hash)),
            Self::Plain(challenge) => Cow::Borrowed(challenge),
            Self::Useless(_) => Cow::Borrowed(""),
        }
    }

    /// Whether it is the one of RFC 7636 appendix B.
    pub(crate) fn is_example(&self) -> bool {
        match self {
            Self::S256(hash) => *hash == EXAMPLE_HASH,
            Self::Plain(text) => [EXAMPLE_VERIFIER, EXAMPLE_CHALLENGE].contains(&&**text),
            Self::Useless(_) => false,
        }
    }

    /// Whether the verifier is the challenge itself, as the client sent it. Compares in constant time.
    pub(crate) fn is_spelt_as(&self, verifier: &CodeVerifier) -> bool {
        let (sent, verifier) = (self.encoded(), verifier.0.as_bytes());
        sent.as_bytes().ct_eq(verifier).into()
    }

    /// Compares in constant time (RFC 7636 section 4.6).
    #[must_use]
    pub fn is_met_by(&self, verifier: &CodeVerifier) -> bool {
        match self {
            Self::S256(hash) => Sha256::digest(verifier.0.as_bytes()).ct_eq(hash).into(),
            Self::Plain(challenge) => challenge.as_bytes().ct_eq(verifier.0.as_bytes()).into(),
            Self::Useless(_) => false,
        }
    }
}

/// Redacts the challenge: under `plain` it is the verifier.
impl fmt::Debug for CodeChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CodeChallenge({})", self.method().as_str())
    }
}

/// A code verifier: 43 to 128 unreserved characters (RFC 7636 section 4.1).
///
/// Has no `Clone`, `Display` or `Serialize` and no accessor: a verifier is parsed, compared, and wiped on drop.
pub struct CodeVerifier(Zeroizing<String>);

/// Not a valid verifier (RFC 7636 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedVerifier {
    #[error("the code_verifier has the wrong length; it has 43 to 128 characters")]
    Length,
    #[error("the code_verifier contains characters other than A-Z a-z 0-9 - . _ ~")]
    Alphabet,
}

impl CodeVerifier {
    /// Parses a verifier of at most `max` characters: [`MAX_LENGTH`], or the client's `verifier_max`.
    pub fn parse(verifier: &str, max: usize) -> Result<Self, MalformedVerifier> {
        if !(MIN_LENGTH..=max).contains(&verifier.len()) {
            Err(MalformedVerifier::Length)
        } else if verifier.bytes().all(is_unreserved) {
            Ok(Self(Zeroizing::new(verifier.to_owned())))
        } else {
            Err(MalformedVerifier::Alphabet)
        }
    }

    /// Its challenge under S256.
    pub(crate) fn challenge(&self) -> CodeChallenge {
        CodeChallenge::S256(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl fmt::Debug for CodeVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeVerifier([redacted])")
    }
}

fn is_unreserved(byte: u8) -> bool {
    UNRESERVED.has(byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VERIFIER: &str = EXAMPLE_VERIFIER;
    const CHALLENGE: &str = EXAMPLE_CHALLENGE;

    fn s256(challenge: &str) -> Result<CodeChallenge, MalformedChallenge> {
        CodeChallenge::parse(CodeChallengeMethod::S256, challenge)
    }

    #[test]
    fn the_vector_of_rfc_7636_appendix_b_verifies() {
        let challenge = s256(CHALLENGE).unwrap();
        assert!(challenge.is_met_by(&CodeVerifier::parse(VERIFIER, MAX_LENGTH).unwrap()));
        assert_eq!(challenge.encoded(), CHALLENGE);
        let itself = CodeVerifier::parse(CHALLENGE, MAX_LENGTH).unwrap();
        assert!(
            !challenge.is_met_by(&itself),
            "S256 must not be taken for plain"
        );
    }

    #[test]
    fn the_vector_of_rfc_7636_appendix_b_is_known_in_every_form() {
        let plain = |text| CodeChallenge::parse(CodeChallengeMethod::Plain, text).unwrap();
        let verifier = CodeVerifier::parse(VERIFIER, MAX_LENGTH).unwrap();
        for example in [
            s256(CHALLENGE).unwrap(),
            verifier.challenge(),
            plain(VERIFIER),
            plain(CHALLENGE),
        ] {
            assert!(example.is_example());
        }
        let other = CodeVerifier::parse(&VERIFIER.replace('d', "e"), MAX_LENGTH).unwrap();
        assert!(!other.challenge().is_example() && !plain(&"a".repeat(43)).is_example());
    }

    #[test]
    fn an_unknown_method_is_an_error_and_an_absent_one_is_plain() {
        assert_eq!(
            CodeChallengeMethod::parse(Some("S256")),
            Some(CodeChallengeMethod::S256)
        );
        assert_eq!(
            CodeChallengeMethod::parse(None),
            Some(CodeChallengeMethod::Plain)
        );
        for method in ["s256", "S256 ", " S256", "", "none", "SHA256", "PLAIN"] {
            assert_eq!(CodeChallengeMethod::parse(Some(method)), None, "{method:?}");
        }
    }

    #[test]
    fn an_unmatchable_challenge_is_refused_with_its_mistake() {
        let hex = "13d31e961a1ad8ec2f16b10c4c982e0876a878ad6df144566ee1894acb70f9c3";
        assert_eq!(s256(hex), Err(MalformedChallenge::Hex));
        assert_eq!(
            s256(&format!("{CHALLENGE}=")),
            Err(MalformedChallenge::Padded)
        );
        assert_eq!(
            s256(&CHALLENGE.replace('-', "+")),
            Err(MalformedChallenge::StandardBase64)
        );
        assert_eq!(
            s256(CHALLENGE.trim_end_matches('M')),
            Err(MalformedChallenge::Length)
        );
        assert_eq!(
            s256(&format!("{CHALLENGE}A")),
            Err(MalformedChallenge::Length)
        );
        assert_eq!(s256(&"é".repeat(21)), Err(MalformedChallenge::Length));
        assert_eq!(
            s256(&CHALLENGE.replace('-', "!")),
            Err(MalformedChallenge::Alphabet)
        );
        // The last character carries two bits that are zero in every SHA-256.
        assert_eq!(
            s256(&CHALLENGE.replace("cM", "cN")),
            Err(MalformedChallenge::Alphabet)
        );
    }

    #[test]
    fn each_wrong_encoding_of_a_hash_has_its_own_error() {
        let (hash, upper) = (
            "13d31e961a1ad8ec2f16b10c4c982e08",
            "76A878AD6DF144566EE1894ACB70F9C3",
        );
        let standard = CHALLENGE.replace('-', "+").replace('_', "/");
        for (challenge, named) in [
            (hash.repeat(2), MalformedChallenge::Hex),
            (upper.repeat(2), MalformedChallenge::Hex),
            (format!("{hash}{upper}"), MalformedChallenge::Hex),
            (format!("{CHALLENGE}="), MalformedChallenge::Padded),
            (format!("{CHALLENGE}%3D"), MalformedChallenge::Length),
            (format!("{standard}="), MalformedChallenge::StandardBase64),
            (standard.clone(), MalformedChallenge::StandardBase64),
            // An unescaped `+` is decoded as a space.
            (
                standard.replace('+', " "),
                MalformedChallenge::StandardBase64,
            ),
            (format!("{CHALLENGE}=="), MalformedChallenge::Padded),
        ] {
            assert_eq!(s256(&challenge), Err(named), "{challenge}");
        }
    }

    #[test]
    fn no_verifier_meets_a_useless_challenge() {
        for useless in Useless::ALL {
            let challenge = CodeChallenge::Useless(useless);
            for verifier in [VERIFIER, CHALLENGE] {
                let verifier = CodeVerifier::parse(verifier, MAX_LENGTH).unwrap();
                assert!(!challenge.is_met_by(&verifier) && challenge.useful().is_none());
            }
        }
    }

    #[test]
    fn verifiers_have_43_to_128_unreserved_characters() {
        for (verifier, ok) in [
            ("a".repeat(42), false),
            ("a".repeat(43), true),
            ("-._~".repeat(32), true),
            ("a".repeat(129), false),
            (format!("{}$", "a".repeat(42)), false),
            (format!("{} ", "a".repeat(42)), false),
            ("ä".repeat(30), false),
        ] {
            assert_eq!(
                CodeVerifier::parse(&verifier, MAX_LENGTH).is_ok(),
                ok,
                "{verifier}"
            );
        }
        assert!(CodeVerifier::parse(&"a".repeat(171), 256).is_ok());
    }

    #[test]
    fn debug_redacts_verifier_and_challenge() {
        let verifier = CodeVerifier::parse(VERIFIER, MAX_LENGTH).unwrap();
        let plain = CodeChallenge::parse(CodeChallengeMethod::Plain, VERIFIER).unwrap();
        assert!(!format!("{verifier:?} {plain:?}").contains(VERIFIER));
    }

    proptest! {
        #[test]
        fn only_its_own_verifier_meets_a_challenge(a in "[A-Za-z0-9._~-]{43,128}", b in "[A-Za-z0-9._~-]{43,128}") {
            let challenge = CodeChallenge::S256(Sha256::digest(a.as_bytes()).into());
            let plain = CodeChallenge::parse(CodeChallengeMethod::Plain, &a).unwrap();
            let (right, other) = (CodeVerifier::parse(&a, 128).unwrap(), CodeVerifier::parse(&b, 128).unwrap());
            prop_assert!(challenge.is_met_by(&right) && plain.is_met_by(&right));
            prop_assert_eq!(challenge.is_met_by(&other), a == b);
            prop_assert_eq!(plain.is_met_by(&other), a == b);
            prop_assert_eq!(s256(&challenge.encoded()), Ok(challenge));
        }
    }
}
