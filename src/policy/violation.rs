//! The closed list of reasons for which a request is refused, or would be.

use std::borrow::Cow;
use std::time::Duration;

use crate::oauth::pkce::{MalformedChallenge, MalformedVerifier, Useless};
use crate::oauth::{ErrorCode, authorize, token};

/// Why. The labels are stable: metrics, logs, the review and clients' developers build on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Violation {
    /// No `code_challenge`, or none was recorded with the code.
    MissingChallenge,
    /// A challenge that no verifier can ever meet.
    MalformedChallenge(MalformedChallenge),
    /// `plain` where only S256 is allowed; by omission (`true`) or in so many words.
    MethodNotAllowed {
        /// The method was absent, which means `plain` (RFC 7636 section 4.3).
        by_omission: bool,
    },
    /// A `code_challenge_method` that RFC 7636 does not know.
    UnknownMethod,
    /// A parameter occurs twice (RFC 6749 section 3.1).
    DuplicateParameter(String),
    /// The request cannot be read without doubt: encoding, parameters in two places. The text says why, and has no word of the
    /// request's: it stands in the log.
    MalformedRequest(String),
    /// A name that some servers take for another one. The client chose it.
    LookalikeParameter(String),
    /// No `client_id`.
    MissingClient,
    /// No `response_type` (RFC 6749 section 4.1.2.1: a parameter that is required).
    MissingResponseType,
    /// Not in `response_types`.
    ResponseTypeNotAllowed,
    /// Not in `response_modes`.
    ResponseModeNotAllowed,
    /// `request`.
    RequestObjectRefused,
    /// `request_uri`.
    RequestUriRefused,
    /// A continuation says something else than the sign-in that it continues.
    ContinuationMismatch(&'static str),
    /// A handle that is dead: the sign-in took too long, or is over.
    ExpiredSignIn,
    /// Another browser than the one that began (`browser_binding`).
    BrowserMismatch,
    /// No `code_verifier` for a recorded challenge.
    MissingVerifier,
    /// Not 43 to 128 unreserved characters.
    MalformedVerifier(MalformedVerifier),
    /// S256(verifier) is not the challenge.
    VerifierMismatch,
    /// A verifier without a recorded challenge: the downgrade of RFC 9700 section 2.1.1.
    UnexpectedVerifier,
    /// A code that the gate never handed out.
    UnknownCode,
    /// A code that was redeemed, or is being redeemed.
    ReplayedCode,
    /// A code whose time is over.
    ExpiredCode,
    /// A code that wrong verifiers have burnt.
    BurntCode,
    /// Another client than the one that began the flow, or none.
    ClientMismatch,
    /// Another `redirect_uri` than in the authorization request.
    RedirectMismatch,
    /// Not in `grants`.
    GrantNotAllowed,
    /// A path that some servers take for a protected endpoint, without being it.
    AmbiguousPath,
    /// A token request on a route that is not the token endpoint. The text says by what it is one.
    TokenRequestElsewhere(&'static str),
    /// An answer with a code that belongs to no live sign-in, or leads elsewhere, or comes twice.
    UnboundCodeInResponse(&'static str),
    /// No room for one more sign-in.
    NoRoom(NoRoom),
    /// Out of reach.
    StoreUnavailable,
}

/// Why there is no room for one more sign-in, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoRoom {
    /// For the log.
    pub reason: &'static str,
    /// There is room for others: the network that it comes from has its share.
    pub is_of_network: bool,
    /// How long it takes until there is room.
    pub wait: Duration,
}

impl NoRoom {
    /// The same in whole seconds, at least one (RFC 9110 section 10.2.3).
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

impl Violation {
    /// The stable, snake_case code.
    pub(crate) const fn label(&self) -> &'static str {
        self.names().0
    }

    /// The RFC's error code on the wire. Everything about the code and the verifier is `invalid_grant`
    /// (RFC 7636 section 4.6); what cannot be read is `invalid_request`.
    pub(crate) const fn error(&self) -> ErrorCode {
        self.names().1
    }

    /// Both.
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
            Self::ContinuationMismatch(_) => ("continuation_mismatch", InvalidRequest),
            Self::ExpiredSignIn => ("expired_sign_in", InvalidRequest),
            Self::BrowserMismatch => ("browser_mismatch", InvalidRequest),
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

    /// The error code at the token endpoint, where a code without a challenge, with a useless one, or with a method that is no
    /// longer allowed, is a bad grant rather than a bad request.
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

    /// What a client's developer reads: what is wrong, and what to do.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::MissingChallenge => {
                "code challenge required: send code_challenge and code_challenge_method=S256 \
                 (RFC 7636 section 4.3)"
                    .to_owned()
            }
            Self::MalformedChallenge(malformed) => malformed.to_string(),
            Self::MethodNotAllowed { by_omission: true } => {
                "code_challenge_method is missing, which means plain; \
                 send code_challenge_method=S256"
                    .to_owned()
            }
            Self::MethodNotAllowed { by_omission: false } => {
                "unsupported code_challenge_method: send S256".to_owned()
            }
            Self::UnknownMethod => {
                "unsupported code_challenge_method; use S256 (case-sensitive)"
                    .to_owned()
            }
            Self::DuplicateParameter(name) => format!("the parameter {name} occurs more than once"),
            Self::MalformedRequest(why) => why.clone(),
            Self::LookalikeParameter(name) => {
                format!("the parameter {name:?} is read as a different one by some servers")
            }
            Self::MissingClient => "client_id is missing".to_owned(),
            Self::MissingResponseType => {
                "response_type is missing: send response_type=code".to_owned()
            }
            Self::ResponseTypeNotAllowed => "this response_type is not allowed here".to_owned(),
            Self::ResponseModeNotAllowed => "this response_mode is not allowed here".to_owned(),
            Self::RequestObjectRefused => "request objects are not accepted here".to_owned(),
            Self::RequestUriRefused => "request_uri is not accepted here".to_owned(),
            Self::ContinuationMismatch(name) => {
                format!("{name} differs from what this sign-in began with")
            }
            Self::ExpiredSignIn => {
                "this sign-in has expired; go back to the application and start again".to_owned()
            }
            Self::BrowserMismatch => "this sign-in was begun in another browser".to_owned(),
            Self::MissingVerifier => "code_verifier is missing (RFC 7636 section 4.5)".to_owned(),
            Self::MalformedVerifier(malformed) => malformed.to_string(),
            Self::GrantNotAllowed => "this grant_type is not allowed here".to_owned(),
            Self::AmbiguousPath => "this path is ambiguous".to_owned(),
            Self::TokenRequestElsewhere(why) => {
                format!("this may be a token request, and those go to the token endpoint only: {why}")
            }
            Self::UnboundCodeInResponse(shape) => {
                format!(
                    "the server behind this gate answered with a code that cannot be delivered safely: {shape}"
                )
            }
            Self::NoRoom(room) if room.is_of_network => {
                let seconds = room.seconds();
                format!("too many sign-ins from this network; try again in {seconds} seconds")
            }
            Self::NoRoom(room) => {
                let seconds = room.seconds();
                format!("no room for another sign-in; try again in {seconds} seconds")
            }
            Self::StoreUnavailable => {
                "the sign-in cannot be started right now; try again later".to_owned()
            }
            // One text for everything that is wrong with a code: whoever tries a stolen one learns nothing. It names all that
            // may be wrong, so that whoever is right finds what it is.
            Self::VerifierMismatch
            | Self::UnexpectedVerifier
            | Self::UnknownCode
            | Self::ReplayedCode
            | Self::ExpiredCode
            | Self::BurntCode
            | Self::ClientMismatch
            | Self::RedirectMismatch => {
                "one of these does not belong to this sign-in: the code (used, expired or unknown), its \
                 code_verifier, the redirect_uri or the client"
                    .to_owned()
            }
        }
    }

    /// What the label leaves open, for the log: a short and stable text without a word of the request's, which may hold a
    /// secret in any place. `None`: the label says it all.
    pub(crate) fn reason(&self) -> Option<Cow<'_, str>> {
        let known =
            |name: &&str| authorize::PROTECTED.contains(name) || token::PROTECTED.contains(name);
        match self {
            Self::MalformedRequest(why) => Some(Cow::Borrowed(why)),
            Self::LookalikeParameter(_) => {
                Some("a parameter is read as a different one by some servers".into())
            }
            Self::DuplicateParameter(name) if known(&name.as_str()) => Some(self.hint().into()),
            Self::DuplicateParameter(_) => Some("a parameter occurs more than once".into()),
            Self::MalformedChallenge(_)
            | Self::MalformedVerifier(_)
            | Self::MethodNotAllowed { .. }
            | Self::UnknownMethod
            | Self::RequestObjectRefused
            | Self::RequestUriRefused
            | Self::ContinuationMismatch(_) => Some(self.hint().into()),
            Self::UnboundCodeInResponse(why)
            | Self::TokenRequestElsewhere(why)
            | Self::NoRoom(NoRoom { reason: why, .. }) => Some(Cow::Borrowed(why)),
            Self::MissingChallenge
            | Self::MissingClient
            | Self::MissingResponseType
            | Self::ResponseTypeNotAllowed
            | Self::ResponseModeNotAllowed
            | Self::ExpiredSignIn
            | Self::BrowserMismatch
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
    fn everything_about_a_code_is_one_text_that_names_all_that_may_be_wrong() {
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
            let hint = violation.hint();
            assert_eq!(hint, Violation::UnknownCode.hint());
            for word in ["code", "code_verifier", "redirect_uri", "client"] {
                assert!(hint.contains(word), "{hint}");
            }
            assert_eq!(crate::oauth::error::description(&hint), hint);
            assert_eq!(violation.reason(), None);
        }
    }

    #[test]
    fn a_reason_has_no_word_of_the_request() {
        let secret = || "hunter2".to_owned();
        for violation in [
            Violation::LookalikeParameter(secret()),
            Violation::DuplicateParameter(secret()),
        ] {
            assert!(violation.hint().contains("hunter2"), "{violation:?}");
            assert!(
                !violation.reason().unwrap().contains("hunter2"),
                "{violation:?}"
            );
        }
        let known = Violation::DuplicateParameter("code_verifier".to_owned());
        assert_eq!(known.reason().unwrap(), known.hint());
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
