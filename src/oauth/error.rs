//! OAuth error codes and their encodings (RFC 6749 sections 4.1.2.1 and 5.2).

use super::params::append_pair;
use super::{RegisteredRedirectUri, ResponseMode};

/// The error codes that the gate itself answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ErrorCode {
    /// Malformed, ambiguous, or something required is missing.
    InvalidRequest,
    /// Anything about the code or the verifier (RFC 7636 section 4.6).
    InvalidGrant,
    /// A grant that is not listed.
    UnsupportedGrantType,
    /// A response type that is not listed.
    UnsupportedResponseType,
    /// `request` is not accepted (OpenID Connect Core section 6.1).
    RequestNotSupported,
    /// `request_uri` is not accepted (OpenID Connect Core section 6.2).
    RequestUriNotSupported,
    /// Somebody has to sign in, and nobody may be asked to (OpenID Connect Core section 3.1.2.6).
    LoginRequired,
    /// The gate cannot judge right now; trying again is safe.
    TemporarilyUnavailable,
    /// The upstream or the gate failed.
    ServerError,
}

impl ErrorCode {
    /// As registered with IANA.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidGrant => "invalid_grant",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::LoginRequired => "login_required",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }
}

/// Makes a text fit `error_description`: the characters %x20-21 / %x23-5B / %x5D-7E and nothing else.
pub(crate) fn description(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '"' => '\'',
            ' '..='[' | ']'..='~' => c,
            _ => '?',
        })
        .collect()
}

/// An authorization error response: what is sent to the client's redirect URI.
#[derive(Debug, Clone)]
pub(crate) struct AuthorizationError<'a> {
    /// The error code.
    pub error: ErrorCode,
    /// For the client's developer.
    pub description: &'a str,
    /// The client's own `state`, when it sent one.
    pub state: Option<&'a str>,
    /// RFC 9207, where the server identifies itself in responses.
    pub issuer: Option<&'a str>,
}

impl AuthorizationError<'_> {
    /// The response parameters, in order.
    pub(crate) fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut list = vec![
            ("error", self.error.as_str().to_owned()),
            ("error_description", description(self.description)),
        ];
        list.extend(self.state.map(|state| ("state", state.to_owned())));
        list.extend(self.issuer.map(|issuer| ("iss", issuer.to_owned())));
        list
    }

    /// The redirect for the modes that redirect; `form_post` has none. A query of the redirect URI is kept
    /// (RFC 6749 section 3.1.2), and its fragment cannot exist.
    pub(crate) fn location(
        &self,
        to: &RegisteredRedirectUri,
        mode: ResponseMode,
    ) -> Option<String> {
        let separator = match mode {
            ResponseMode::FormPost => return None,
            ResponseMode::Fragment => '#',
            ResponseMode::Query if to.as_str().contains('?') => '&',
            ResponseMode::Query => '?',
        };
        let mut encoded = Vec::new();
        for (name, value) in self.parameters() {
            append_pair(&mut encoded, name, &value);
        }
        let encoded = String::from_utf8(encoded).ok()?;
        Some(format!("{}{separator}{encoded}", to.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::RedirectUri;

    fn location(uri: &str, mode: ResponseMode, state: Option<&str>) -> Option<String> {
        let to = RegisteredRedirectUri::learned(&RedirectUri::new(uri));
        let error = AuthorizationError {
            error: ErrorCode::InvalidRequest,
            description: "say \"hi\"\r\nSet-Cookie: x",
            state,
            issuer: Some("https://as.example"),
        };
        error.location(&to, mode)
    }

    #[test]
    fn errors_go_where_the_request_asked_for_with_the_state() {
        assert_eq!(
            location("https://c/cb?a=b%20c", ResponseMode::Query, Some("s&1")).unwrap(),
            "https://c/cb?a=b%20c&error=invalid_request&error_description=say%20%27hi%27%3F%3FSet-Cookie%3A%20x\
             &state=s%261&iss=https%3A%2F%2Fas.example"
        );
        assert!(
            location("https://c/cb", ResponseMode::Fragment, None)
                .unwrap()
                .starts_with("https://c/cb#error=")
        );
        assert_eq!(location("https://c/cb", ResponseMode::FormPost, None), None);
    }
}
