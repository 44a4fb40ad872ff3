//! The tests' own client: its requests to the two endpoints, and checks of the answers.

use serde_json::Value;

use super::http::Response;
use super::params::{Params, s256, unguessable};

/// The parameters of an authorization request, and its verifier.
#[derive(Clone, Debug)]
pub(crate) struct Authorization {
    pub(crate) params: Params,
    pub(crate) verifier: String,
}

impl Authorization {
    /// A complete and correct request of the client `pub`.
    pub(crate) fn new(redirect_uri: &str, response_mode: Option<&str>) -> Self {
        let verifier = unguessable();
        let params = Params::default()
            .with("response_type", "code")
            .with("client_id", "pub")
            .with("redirect_uri", redirect_uri)
            .with("scope", "openid")
            .with("state", &unguessable())
            .with("code_challenge", &s256(&verifier))
            .with("code_challenge_method", "S256");
        Self { params, verifier }.with_mode(response_mode)
    }

    fn with_mode(mut self, response_mode: Option<&str>) -> Self {
        if let Some(mode) = response_mode {
            self.params = self.params.with("response_mode", mode);
        }
        self
    }

    #[must_use]
    pub(crate) fn with(self, name: &str, value: &str) -> Self {
        Self {
            params: self.params.with(name, value),
            ..self
        }
    }

    #[must_use]
    pub(crate) fn without(self, name: &str) -> Self {
        Self {
            params: self.params.without(name),
            ..self
        }
    }

    #[must_use]
    pub(crate) fn without_challenge(self) -> Self {
        self.without("code_challenge")
            .without("code_challenge_method")
    }

    pub(crate) fn state(&self) -> Option<&str> {
        self.params.get("state")
    }

    /// The complete and correct token request for a code of this authorization request.
    pub(crate) fn redemption(&self, code: &str) -> Params {
        Params::default()
            .with("grant_type", "authorization_code")
            .with("code", code)
            .with(
                "redirect_uri",
                self.params.get("redirect_uri").unwrap_or_default(),
            )
            .with("client_id", "pub")
            .with("code_verifier", &self.verifier)
    }
}

pub(crate) fn access_token(response: &Response) -> Option<String> {
    let body: Value = serde_json::from_slice(&response.body).ok()?;
    Some(body.get("access_token")?.as_str()?.to_owned())
}

#[track_caller]
pub(crate) fn assert_token(response: &Response) {
    assert!(
        response.status == 200 && access_token(response).is_some(),
        "no token: {response}"
    );
}

/// Checks a refusal as in RFC 6749 section 5.2.
#[track_caller]
pub(crate) fn assert_refused(response: &Response, error: &str) {
    assert_eq!(response.status, 400, "{response}");
    assert_eq!(response.json()["error"], error, "{response}");
    assert_eq!(
        response.header("cache-control"),
        Some("no-store"),
        "{response}"
    );
    assert!(access_token(response).is_none(), "{response}");
}
