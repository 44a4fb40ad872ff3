//! Hints: the mistake that the developer of a client has probably made.
//!
//! A violation says which rule a request breaks; a hint says what in the client breaks it. Some mistakes break no rule (a verifier
//! that never changes), so an allowed request may have a hint, too. No decision depends on a hint.
//!
//! A refused token request is told only a hint that is made from the request alone ([`Hint::of_verifier`]). Hints that are made from
//! the record of a code go to the log only: in an answer they would show that the code is alive.

use crate::oauth::pkce::{EXAMPLE_VERIFIER, MalformedChallenge};
use crate::oauth::token::UncheckedVerifier;
use crate::oauth::{CodeChallenge, CodeChallengeMethod, CodeVerifier, Digest};

use super::Violation;

/// The closed list of hints. The codes are stable, like those of violations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Hint {
    /// The challenge is 64 hexadecimal digits.
    HexChallenge,
    /// The challenge would be valid without the `=` at its end.
    PaddedChallenge,
    /// The challenge would be valid with `-` and `_` instead of `+` and `/`.
    StandardBase64Challenge,
    /// The method is another spelling of S256.
    MisspeltMethod,
    /// The challenge has the form of S256, and the method is missing.
    MissingMethod,
    /// The verifier is the challenge.
    VerifierIsChallenge,
    /// The verifier is the `state` of its sign-in.
    VerifierIsState,
    /// The verifier belongs to another recent sign-in of the client.
    VerifierOfOtherSignIn,
    /// The client has sent this challenge before, with another `state`.
    ConstantChallenge,
    /// Another client has sent this challenge.
    SharedChallenge,
    /// The verifier or the challenge is that of RFC 7636 appendix B.
    RfcTestVector,
}

/// What is remembered of a sign-in under its challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SignIn {
    pub client: Digest,
    /// A keyed hash of the client's `state`; `None` if there is no `state`.
    pub state: Option<u64>,
}

impl Hint {
    pub(crate) const ALL: [Self; 11] = [
        Self::HexChallenge,
        Self::PaddedChallenge,
        Self::StandardBase64Challenge,
        Self::MisspeltMethod,
        Self::MissingMethod,
        Self::VerifierIsChallenge,
        Self::VerifierIsState,
        Self::VerifierOfOtherSignIn,
        Self::ConstantChallenge,
        Self::SharedChallenge,
        Self::RfcTestVector,
    ];

    /// The hint on a violation of a request with this challenge and method. It is certain: a challenge that would still be invalid
    /// after the change gets none.
    pub(crate) fn of_violation(
        violation: &Violation,
        challenge: Option<&str>,
        method: Option<&str>,
    ) -> Option<Self> {
        if *violation == Violation::UnknownMethod {
            return method
                .is_some_and(is_misspelt)
                .then_some(Self::MisspeltMethod);
        }
        let challenge = challenge?;
        if *violation == (Violation::MethodNotAllowed { by_omission: true }) {
            return is_s256(challenge).then_some(Self::MissingMethod);
        }
        let Violation::MalformedChallenge(malformed) = violation else {
            return None;
        };
        match malformed {
            MalformedChallenge::Hex => Some(Self::HexChallenge),
            MalformedChallenge::Padded => {
                is_s256(challenge.trim_end_matches('=')).then_some(Self::PaddedChallenge)
            }
            MalformedChallenge::StandardBase64 => {
                // An unescaped `+` is decoded as a space.
                let url_safe = challenge.replace(['+', ' '], "-").replace('/', "_");
                is_s256(url_safe.trim_end_matches('=')).then_some(Self::StandardBase64Challenge)
            }
            MalformedChallenge::Length | MalformedChallenge::Alphabet => None,
        }
    }

    /// The hint on a valid challenge.
    pub(crate) fn of_challenge(challenge: &CodeChallenge) -> Option<Self> {
        challenge.is_example().then_some(Self::RfcTestVector)
    }

    /// The hint on a sign-in whose challenge was sent before. The same request again, such as a page that is loaded again, gets none.
    pub(crate) fn of_repetition(before: SignIn, now: SignIn) -> Option<Self> {
        if before.client != now.client {
            Some(Self::SharedChallenge)
        } else if before.state != now.state {
            Some(Self::ConstantChallenge)
        } else {
            None
        }
    }

    /// The hint on a verifier, whatever the code is. Only this one may be told to a client.
    pub(crate) fn of_verifier(verifier: UncheckedVerifier<'_>) -> Option<Self> {
        (verifier.expose() == EXAMPLE_VERIFIER).then_some(Self::RfcTestVector)
    }

    /// The hint on a verifier that does not match the challenge of its code. For the log only.
    pub(crate) fn of_mismatch(challenge: &CodeChallenge, verifier: &CodeVerifier) -> Option<Self> {
        let is_it = challenge.is_spelt_as(verifier);
        is_it.then_some(Self::VerifierIsChallenge)
    }

    /// The stable code.
    pub(crate) const fn code(self) -> &'static str {
        self.names().0
    }

    /// What is wrong and what to change, for the developer of the client.
    pub(crate) const fn sentence(self) -> &'static str {
        self.names().1
    }

    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::HexChallenge => (
                "hex_challenge",
                "code_challenge is hexadecimal: encode the 32 bytes of the SHA-256 as base64url without padding, which gives 43 characters",
            ),
            Self::PaddedChallenge => (
                "padded_challenge",
                "code_challenge is padded with =: send base64url without padding, which has 43 characters",
            ),
            Self::StandardBase64Challenge => (
                "standard_base64_challenge",
                "code_challenge is standard base64: send base64url, which has - and _ instead of + and /, without padding",
            ),
            Self::MisspeltMethod => (
                "misspelt_method",
                "code_challenge_method is misspelt: send exactly S256, with a capital S and without other characters",
            ),
            Self::MissingMethod => (
                "missing_method",
                "code_challenge has the form of S256, but code_challenge_method is missing, which means plain: send code_challenge_method=S256",
            ),
            Self::VerifierIsChallenge => (
                "verifier_is_challenge",
                "code_verifier is the code_challenge: send the random value whose SHA-256 is the challenge",
            ),
            Self::VerifierIsState => (
                "verifier_is_state",
                "code_verifier is the state, which is in URLs: make two independent random values for every sign-in",
            ),
            Self::VerifierOfOtherSignIn => (
                "verifier_of_other_sign_in",
                "code_verifier belongs to another recent sign-in of this client: keep the verifier of each sign-in under its state",
            ),
            Self::ConstantChallenge => (
                "constant_challenge",
                "the client has sent this code_challenge before, with another state: make a new random code_verifier for every sign-in",
            ),
            Self::SharedChallenge => (
                "shared_challenge",
                "another client has sent this code_challenge: make a new random code_verifier for every sign-in",
            ),
            Self::RfcTestVector => (
                "rfc_test_vector",
                "the code_verifier is the published example of RFC 7636 appendix B: make a new random one for every sign-in",
            ),
        }
    }
}

/// The text that a refused client is told: the hint, if there is one, instead of the text of the violation. A verifier that is public
/// does not explain why a code is refused, so that hint follows the text.
pub(crate) fn told(violation: &Violation, hint: Option<Hint>) -> String {
    match hint {
        None => violation.to_string(),
        Some(Hint::RfcTestVector) => format!("{violation}; {}", Hint::RfcTestVector.sentence()),
        Some(hint) => hint.sentence().to_owned(),
    }
}

/// Whether it is a valid S256 challenge.
fn is_s256(challenge: &str) -> bool {
    CodeChallenge::parse(CodeChallengeMethod::S256, challenge).is_ok()
}

/// Whether an unknown method is another spelling of S256: `s256`, `S-256`, `SHA256`, `sha-256`.
fn is_misspelt(method: &str) -> bool {
    /// The longest value that is compared, in bytes: room for blanks, quotes and separators.
    const LONGEST: usize = 16;
    let letters = method.chars().filter(char::is_ascii_alphanumeric);
    let plain: String = letters.map(|c| c.to_ascii_lowercase()).collect();
    method.len() <= LONGEST && ["s256", "sha256", "sha2256"].contains(&plain.as_str())
}

#[cfg(test)]
mod tests;
