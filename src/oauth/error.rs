//! OAuth error codes and their encodings (RFC 6749 sections 4.1.2.1 and 5.2).

use super::params::append_pair;
use super::{RegisteredRedirectUri, ResponseMode};

/// The error codes that the gate itself sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ErrorCode {
    /// The request is malformed or ambiguous, or lacks a required parameter.
    InvalidRequest,
    /// The code or the verifier is wrong (RFC 7636 section 4.6).
    InvalidGrant,
    /// The grant type is not configured.
    UnsupportedGrantType,
    /// The response type is not configured.
    UnsupportedResponseType,
    /// `request` is not accepted (OpenID Connect Core section 6.1).
    RequestNotSupported,
    /// `request_uri` is not accepted (OpenID Connect Core section 6.2).
    RequestUriNotSupported,
    /// The user has to sign in, but the client asked for no interaction (`prompt=none`, OpenID Connect Core section
    /// 3.1.2.6).
    LoginRequired,
    /// The gate cannot decide at the moment; a retry is safe.
    TemporarilyUnavailable,
    ServerError,
}

impl ErrorCode {
    /// The code as registered with IANA.
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

/// Replaces the characters that `error_description` may not contain (RFC 6749 section 5.2): all except %x20-21, %x23-5B
/// and %x5D-7E.
pub(crate) fn description(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '"' => '\'',
            ' '..='[' | ']'..='~' => c,
            _ => '?',
        })
        .collect()
}

/// An authorization error response, sent to the client's redirect URI.
#[derive(Debug, Clone)]
pub(crate) struct AuthorizationError<'a> {
    pub error: ErrorCode,
    /// `error_description`, for the developer of the client.
    pub description: &'a str,
    /// The client's own `state`, if it sent one.
    pub state: Option<&'a str>,
    /// `iss` (RFC 9207), if the server identifies itself in responses.
    pub issuer: Option<&'a str>,
}

impl AuthorizationError<'_> {
    pub(crate) fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut list = vec![
            ("error", self.error.as_str().to_owned()),
            ("error_description", description(self.description)),
        ];
        list.extend(self.state.map(|state| ("state", state.to_owned())));
        list.extend(self.issuer.map(|issuer| ("iss", issuer.to_owned())));
        list
    }

    /// The redirect URI with the error; `None` for `form_post`, which does not redirect. An existing query is kept (RFC
    /// 6749 section 3.1.2); a fragment cannot exist.
    pub(crate) fn location(
        &self,
        to: &RegisteredRedirectUri,
        mode: ResponseMode,
    ) -> Option<String> {
        let separator = match mode {
            ResponseMode::FormPost | ResponseMode::FormPostJwt => return None,
            ResponseMode::Fragment | ResponseMode::FragmentJwt => '#',
            ResponseMode::Query | ResponseMode::QueryJwt | ResponseMode::Jwt => {
                if to.as_str().contains('?') { '&' } else { '?' }
            }
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
    fn errors_are_sent_in_the_requested_mode_with_the_state() {
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
