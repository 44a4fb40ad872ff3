//! The closed list of violations: the reasons for which a request is refused, or reported.

use std::borrow::Cow;
use std::time::Duration;

use crate::oauth::params::{Duplicate, Malformed};
use crate::oauth::pkce::{MalformedChallenge, MalformedVerifier, Useless};
use crate::oauth::{Ambiguous, ErrorCode, authorize, token};

/// Why a request is refused or reported. The labels are stable: metrics, logs, `review` and clients' developers rely on them.
/// The text is for the client's developer: what is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    /// No `code_challenge`, or none was recorded with the code.
    #[error(
        "code challenge required: send code_challenge and code_challenge_method=S256 (RFC 7636 section 4.3)"
    )]
    MissingChallenge,
    /// A challenge that no verifier can match.
    #[error(transparent)]
    MalformedChallenge(MalformedChallenge),
    /// The method `plain`, although only S256 is allowed.
    #[error("{}", method(*by_omission))]
    MethodNotAllowed {
        /// The method was absent, which means `plain` (RFC 7636 section 4.3).
        by_omission: bool,
    },
    /// A `code_challenge_method` that RFC 7636 does not define.
    #[error("unsupported code_challenge_method; use S256 (case-sensitive)")]
    UnknownMethod,
    /// A parameter occurs twice (RFC 6749 section 3.1).
    #[error("the parameter {0} occurs more than once")]
    DuplicateParameter(String),
    /// The request cannot be parsed unambiguously: encoding, parameters in two places. The text is logged, so it must not contain
    /// parts of the request.
    #[error("{0}")]
    MalformedRequest(String),
    /// A parameter name that some servers read as another one. The name comes from the request.
    #[error("the parameter {0:?} is read as a different one by some servers")]
    LookalikeParameter(String),
    /// No `client_id`.
    #[error("client_id is missing")]
    MissingClient,
    /// No `response_type`, which is required (RFC 6749 section 4.1.2.1).
    #[error("response_type is missing: send response_type=code")]
    MissingResponseType,
    /// The response type is not in `response_types`.
    #[error("this response_type is not allowed here")]
    ResponseTypeNotAllowed,
    /// The response mode is not in `response_modes`.
    #[error("this response_mode is not allowed here")]
    ResponseModeNotAllowed,
    /// A parameter `request` (RFC 9101).
    #[error("request objects are not accepted here")]
    RequestObjectRefused,
    /// A parameter `request_uri` (RFC 9101, RFC 9126).
    #[error("request_uri is not accepted here")]
    RequestUriRefused,
    /// A `request_uri` that was not pushed by this client, or that was used or has expired (RFC 9126 section 4).
    #[error(
        "this request_uri does not lead to a pushed authorization request of this client: it was used, has expired or is unknown; \
         push the request again (RFC 9126)"
    )]
    UnknownRequestUri,
    /// This parameter of a continuation differs from the record of the sign-in.
    #[error("{0} differs from what this sign-in began with")]
    ContinuationMismatch(&'static str),
    /// A dead handle: the sign-in took too long, or has ended.
    #[error("this sign-in has expired; go back to the application and start again")]
    ExpiredSignIn,
    /// Another browser than the one that began the sign-in (`browser_binding`).
    #[error("this sign-in was begun in another browser")]
    BrowserMismatch,
    /// The browser does not have the cookie that contains the client's `state`.
    #[error(
        "the browser sent no cookie with the state of this sign-in, which is too long for a URL here: another browser began it, \
         the browser keeps no cookies, or it began many at once; begin again, or let the client send a shorter state"
    )]
    StateLost,
    /// The browser does not have the cookie of the sign-in (`correlation = "cookie"`).
    #[error(
        "the browser sent no cookie of this sign-in: it keeps no cookies here (a page in a frame of another site), or it began \
         many sign-ins at once; begin again in a window of its own"
    )]
    CookieLost,
    /// No `code_verifier` for a recorded challenge.
    #[error("code_verifier is missing (RFC 7636 section 4.5)")]
    MissingVerifier,
    /// A verifier that is not 43 to 128 unreserved characters.
    #[error(transparent)]
    MalformedVerifier(MalformedVerifier),
    /// S256(verifier) is not the challenge.
    #[error("{OF_A_CODE}")]
    VerifierMismatch,
    /// A verifier without a recorded challenge: the downgrade of RFC 9700 section 2.1.1.
    #[error("{OF_A_CODE}")]
    UnexpectedVerifier,
    /// A code that the gate did not issue, or has forgotten.
    #[error("{OF_A_CODE}")]
    UnknownCode,
    /// A code that was redeemed, or is being redeemed.
    #[error("{OF_A_CODE}")]
    ReplayedCode,
    /// An expired code.
    #[error("{OF_A_CODE}")]
    ExpiredCode,
    /// A code that was burnt by wrong verifiers, or released too often.
    #[error("{OF_A_CODE}")]
    BurntCode,
    /// Another client than the one that began the flow, or none.
    #[error("{OF_A_CODE}")]
    ClientMismatch,
    /// Another `redirect_uri` than in the authorization request.
    #[error("{OF_A_CODE}")]
    RedirectMismatch,
    /// The grant type is not in `grants`.
    #[error("this grant_type is not allowed here")]
    GrantNotAllowed,
    /// A path that is not a protected endpoint, but that some servers treat as one.
    #[error("this path is ambiguous")]
    AmbiguousPath,
    /// A token request on a route that is not the token endpoint. The text says why it counts as one.
    #[error("token requests are only accepted at the token endpoint, and this may be one: {0}")]
    TokenRequestElsewhere(&'static str),
    /// An answer with a code that cannot be delivered safely. The text says why.
    #[error(
        "the server behind this gate answered with a code that cannot be delivered safely: {0}"
    )]
    UnboundCodeInResponse(&'static str),
    /// The store has no room for another sign-in.
    #[error(transparent)]
    NoRoom(NoRoom),
    /// The store failed.
    #[error("the sign-in cannot be started right now; try again later")]
    StoreUnavailable,
}

/// One text for all violations about a code, so that an attacker with a stolen code learns nothing. It names all possible causes,
/// so that an honest developer can find the right one.
const OF_A_CODE: &str = "one of these does not belong to this sign-in: the code (used, expired or unknown), its code_verifier, \
                         the redirect_uri or the client";

const fn method(by_omission: bool) -> &'static str {
    if by_omission {
        "code_challenge_method is missing, which means plain; send code_challenge_method=S256"
    } else {
        "unsupported code_challenge_method: send S256"
    }
}

/// Why the store has no room for another sign-in, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}; try again in {} seconds", self.text(), self.seconds())]
pub(crate) struct NoRoom {
    /// The reason for the log.
    pub reason: &'static str,
    /// Whether only the client's network has reached its limit.
    pub is_of_network: bool,
    /// The time until there is room.
    pub wait: Duration,
}

impl NoRoom {
    const fn text(&self) -> &'static str {
        if self.is_of_network {
            "too many sign-ins from this network"
        } else {
            "no room for another sign-in"
        }
    }

    /// `wait` in whole seconds, at least one, for Retry-After (RFC 9110 section 10.2.3).
    pub(crate) fn seconds(&self) -> u64 {
        self.wait
            .as_millis()
            .div_ceil(1000)
            .max(1)
            .try_into()
            .unwrap_or(u64::MAX)
    }
}

impl From<Useless> for Violation {
    fn from(why: Useless) -> Self {
        match why {
            Useless::Malformed(malformed) => Self::MalformedChallenge(malformed),
            Useless::Plain { by_omission } => Self::MethodNotAllowed { by_omission },
            Useless::UnknownMethod => Self::UnknownMethod,
        }
    }
}

/// Only the text of the first two contains a part of the request.
impl From<Ambiguous> for Violation {
    fn from(why: Ambiguous) -> Self {
        match why {
            Ambiguous::Duplicate(Duplicate(name)) => Self::DuplicateParameter(name),
            Ambiguous::Folded(name) => Self::LookalikeParameter(name),
            Ambiguous::PaddedClient
            | Ambiguous::Split
            | Ambiguous::Separator
            | Ambiguous::Document
            | Ambiguous::TwoCodes
            | Ambiguous::Client(_) => Self::malformed(&why.to_string()),
        }
    }
}

impl From<Malformed> for Violation {
    fn from(why: Malformed) -> Self {
        Self::malformed(&why.to_string())
    }
}

impl Violation {
    /// The text must not contain parts of the request.
    pub(crate) fn malformed(why: &str) -> Self {
        Self::MalformedRequest(why.to_owned())
    }

    /// The stable snake_case label.
    pub(crate) const fn label(&self) -> &'static str {
        self.names().0
    }

    /// The OAuth error code. Violations about the code or the verifier are `invalid_grant` (RFC 7636 section 4.6), malformed
    /// requests are `invalid_request`.
    pub(crate) const fn error(&self) -> ErrorCode {
        self.names().1
    }

    const fn names(&self) -> (&'static str, ErrorCode) {
        use ErrorCode::{
            InvalidGrant, InvalidRequest, RequestNotSupported, RequestUriNotSupported, ServerError,
            TemporarilyUnavailable, UnsupportedGrantType, UnsupportedResponseType,
        };
        match self {
            Self::MissingChallenge => ("missing_challenge", InvalidRequest),
            Self::MalformedChallenge(_) => ("malformed_challenge", InvalidRequest),
            Self::MethodNotAllowed { .. } | Self::UnknownMethod => {
                ("method_not_allowed", InvalidRequest)
            }
            Self::DuplicateParameter(_) => ("duplicate_parameter", InvalidRequest),
            Self::MalformedRequest(_) | Self::LookalikeParameter(_) => {
                ("malformed_request", InvalidRequest)
            }
            Self::MissingClient => ("missing_client", InvalidRequest),
            Self::MissingResponseType => ("missing_response_type", InvalidRequest),
            Self::ResponseTypeNotAllowed => ("response_type_not_allowed", UnsupportedResponseType),
            Self::ResponseModeNotAllowed => ("response_mode_not_allowed", InvalidRequest),
            Self::RequestObjectRefused => ("request_object_refused", RequestNotSupported),
            Self::RequestUriRefused => ("request_object_refused", RequestUriNotSupported),
            Self::UnknownRequestUri => ("unknown_request_uri", InvalidRequest),
            Self::ContinuationMismatch(_) => ("continuation_mismatch", InvalidRequest),
            Self::ExpiredSignIn => ("expired_sign_in", InvalidRequest),
            Self::BrowserMismatch => ("browser_mismatch", InvalidRequest),
            Self::StateLost => ("state_lost", InvalidRequest),
            Self::CookieLost => ("cookie_lost", InvalidRequest),
            Self::MissingVerifier => ("missing_verifier", InvalidGrant),
            Self::MalformedVerifier(_) => ("malformed_verifier", InvalidGrant),
            Self::VerifierMismatch => ("verifier_mismatch", InvalidGrant),
            Self::UnexpectedVerifier => ("unexpected_verifier", InvalidGrant),
            Self::UnknownCode => ("unknown_code", InvalidGrant),
            Self::ReplayedCode => ("replayed_code", InvalidGrant),
            Self::ExpiredCode => ("expired_code", InvalidGrant),
            Self::BurntCode => ("burnt_code", InvalidGrant),
            Self::ClientMismatch => ("client_mismatch", InvalidGrant),
            Self::RedirectMismatch => ("redirect_mismatch", InvalidGrant),
            Self::GrantNotAllowed => ("grant_not_allowed", UnsupportedGrantType),
            Self::AmbiguousPath => ("ambiguous_path", InvalidRequest),
            Self::TokenRequestElsewhere(_) => ("token_request_elsewhere", InvalidRequest),
            Self::UnboundCodeInResponse(_) => ("unbound_code_in_response", ServerError),
            Self::NoRoom(NoRoom {
                is_of_network: true,
                ..
            }) => ("too_many_sign_ins", TemporarilyUnavailable),
            Self::NoRoom(_) | Self::StoreUnavailable => {
                ("store_unavailable", TemporarilyUnavailable)
            }
        }
    }

    /// The error code at the token endpoint. A missing or invalid challenge, or a method that is not allowed, is `invalid_grant`
    /// there.
    pub(crate) const fn error_at_token(&self) -> ErrorCode {
        let is_of_challenge = matches!(
            self,
            Self::MissingChallenge
                | Self::MalformedChallenge(_)
                | Self::MethodNotAllowed { .. }
                | Self::UnknownMethod
        );
        if is_of_challenge {
            ErrorCode::InvalidGrant
        } else {
            self.error()
        }
    }

    /// The details for the log: a short and stable text. It contains no part of the request, which may contain secrets anywhere.
    /// `None`: the label is sufficient.
    pub(crate) fn reason(&self) -> Option<Cow<'_, str>> {
        let known =
            |name: &&str| authorize::PROTECTED.contains(name) || token::PROTECTED.contains(name);
        match self {
            Self::MalformedRequest(why) => Some(Cow::Borrowed(why)),
            Self::LookalikeParameter(_) => {
                Some("a parameter is read as a different one by some servers".into())
            }
            Self::DuplicateParameter(name) if known(&name.as_str()) => {
                Some(self.to_string().into())
            }
            Self::DuplicateParameter(_) => Some("a parameter occurs more than once".into()),
            Self::MalformedChallenge(_)
            | Self::MalformedVerifier(_)
            | Self::MethodNotAllowed { .. }
            | Self::UnknownMethod
            | Self::RequestObjectRefused
            | Self::RequestUriRefused
            | Self::ContinuationMismatch(_) => Some(self.to_string().into()),
            Self::UnboundCodeInResponse(why)
            | Self::TokenRequestElsewhere(why)
            | Self::NoRoom(NoRoom { reason: why, .. }) => Some(Cow::Borrowed(why)),
            Self::MissingChallenge
            | Self::MissingClient
            | Self::UnknownRequestUri
            | Self::MissingResponseType
            | Self::ResponseTypeNotAllowed
            | Self::ResponseModeNotAllowed
            | Self::ExpiredSignIn
            | Self::BrowserMismatch
            | Self::StateLost
            | Self::CookieLost
            | Self::MissingVerifier
            | Self::VerifierMismatch
            | Self::UnexpectedVerifier
            | Self::UnknownCode
            | Self::ReplayedCode
            | Self::ExpiredCode
            | Self::BurntCode
            | Self::ClientMismatch
            | Self::RedirectMismatch
            | Self::GrantNotAllowed
            | Self::AmbiguousPath
            | Self::StoreUnavailable => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_violations_about_a_code_have_one_text() {
        let about = [
            Violation::VerifierMismatch,
            Violation::UnexpectedVerifier,
            Violation::UnknownCode,
            Violation::ReplayedCode,
            Violation::ExpiredCode,
            Violation::BurntCode,
            Violation::ClientMismatch,
            Violation::RedirectMismatch,
        ];
        for violation in about {
            let hint = violation.to_string();
            assert_eq!(hint, Violation::UnknownCode.to_string());
            for word in ["code", "code_verifier", "redirect_uri", "client"] {
                assert!(hint.contains(word), "{hint}");
            }
            assert_eq!(crate::oauth::error::description(&hint), hint);
            assert_eq!(violation.reason(), None);
        }
    }

    #[test]
    fn a_reason_contains_no_part_of_the_request() {
        let secret = || "hunter2".to_owned();
        for violation in [
            Violation::LookalikeParameter(secret()),
            Violation::DuplicateParameter(secret()),
        ] {
            assert!(violation.to_string().contains("hunter2"), "{violation:?}");
            assert!(
                !violation.reason().unwrap().contains("hunter2"),
                "{violation:?}"
            );
        }
        let known = Violation::DuplicateParameter("code_verifier".to_owned());
        assert_eq!(known.reason().unwrap(), known.to_string());
    }

    #[test]
    fn a_missing_parameter_is_an_invalid_request() {
        for missing in [Violation::MissingClient, Violation::MissingResponseType] {
            assert_eq!(missing.error(), ErrorCode::InvalidRequest, "{missing:?}");
        }
        let other = Violation::ResponseTypeNotAllowed.error();
        assert_eq!(other, ErrorCode::UnsupportedResponseType);
    }
}
