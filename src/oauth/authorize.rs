//! The authorization request (RFC 6749 section 4.1.1, RFC 7636 section 4.3).

use std::fmt;

use super::params::{Duplicate, Params};

/// Parameters that determine the meaning of an authorization request. On an authorization path each may occur only
/// once, and only in this exact spelling.
pub const PROTECTED: [&str; 10] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "response_mode",
    "state",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "request",
    "request_uri",
];

/// Other parameters that an authorization request may carry. A request with any further parameter (such as the
/// credentials of a headless flow) is treated as a form and is never turned into a redirect.
const OWN_PARAMETERS: [&str; 18] = [
    "scope",
    "nonce",
    "prompt",
    "display",
    "max_age",
    "ui_locales",
    "claims_locales",
    "id_token_hint",
    "login_hint",
    "acr_values",
    "claims",
    "registration",
    "resource",
    "audience",
    "authorization_details",
    "dpop_jkt",
    "access_type",
    "include_granted_scopes",
];

/// A parsed authorization request. A parameter with an empty value counts as omitted, except `state`, which must be
/// returned unchanged. `Debug` shows only the client and what it asks for: the rest may be a secret, or contain one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AuthorizationRequest<'a> {
    /// RFC 6749 section 2.2.
    pub client_id: Option<&'a str>,
    /// RFC 6749 section 3.1.2.
    pub redirect_uri: Option<&'a str>,
    /// RFC 6749 section 3.1.1.
    pub response_type: Option<&'a str>,
    /// OAuth 2.0 Multiple Response Type Encoding Practices section 2.1.
    pub response_mode: Option<&'a str>,
    /// RFC 7636 section 4.3.
    pub code_challenge: Option<&'a str>,
    /// RFC 7636 section 4.3.
    pub code_challenge_method: Option<&'a str>,
    /// RFC 9101.
    pub request: Option<&'a str>,
    /// RFC 9101 and RFC 9126.
    pub request_uri: Option<&'a str>,
}

impl<'a> AuthorizationRequest<'a> {
    /// Parses the request from the one part (query or body) that holds it.
    pub fn parse(params: &'a Params<'_>) -> Result<Self, Duplicate> {
        if let Some(duplicate) = params.duplicate(&["resource", "audience"]) {
            return Err(duplicate);
        }
        Ok(Self {
            client_id: params.one("client_id")?,
            redirect_uri: params.one("redirect_uri")?,
            response_type: params.one("response_type")?,
            response_mode: params.one("response_mode")?,
            code_challenge: params.one("code_challenge")?,
            code_challenge_method: params.one("code_challenge_method")?,
            request: params.one("request")?,
            request_uri: params.one("request_uri")?,
        })
    }
}

impl fmt::Debug for AuthorizationRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationRequest")
            .field("client_id", &self.client_id)
            .field("response_type", &self.response_type)
            .field("response_mode", &self.response_mode)
            .finish_non_exhaustive()
    }
}

/// Whether the parameter belongs to an authorization request, rather than to a form submitted with it.
pub(crate) fn is_own_parameter(name: &str) -> bool {
    PROTECTED.contains(&name) || OWN_PARAMETERS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_are_refused_even_when_equal() {
        for (query, refused) in [
            ("client_id=a&client_id=a", true),
            ("scope=a&scope=a", true),
            ("foo=1&foo=2", true),
            ("resource=a&resource=b&audience=c&audience=d", false),
        ] {
            let params = Params::parse(query.as_bytes(), 64).unwrap();
            assert_eq!(
                AuthorizationRequest::parse(&params).is_err(),
                refused,
                "{query}"
            );
        }
    }

    #[test]
    fn an_empty_parameter_counts_as_omitted() {
        let params =
            Params::parse(b"code_challenge=&client_id=a&code_challenge_method", 64).unwrap();
        let request = AuthorizationRequest::parse(&params).unwrap();
        assert_eq!(
            (request.code_challenge, request.code_challenge_method),
            (None, None)
        );
        assert_eq!(request.client_id, Some("a"));
    }

    #[test]
    fn debug_shows_only_the_client_and_what_it_asks_for() {
        let query = "client_id=app&response_type=code&response_mode=query&redirect_uri=secret1&code_challenge=secret2\
                     &code_challenge_method=secret3&request=secret4&request_uri=secret5&state=secret6";
        let params = Params::parse(query.as_bytes(), 64).unwrap();
        let shown = format!("{:?}", AuthorizationRequest::parse(&params).unwrap());
        assert!(shown.contains("app") && shown.contains("query"), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}
