//! The subject of a decision, for the log and the metrics. No decision depends on it.

use crate::oauth::{ClientId, CodeChallenge, CodeChallengeMethod};

/// The client, redirect URI and challenge method of a request.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct About<'f> {
    /// The client that the request names, or else the client of its sign-in.
    pub(super) client: Option<&'f ClientId>,
    pub(super) redirect_uri: Option<&'f str>,
    /// The method of the challenge in the request, or else of the challenge that its sign-in began with.
    pub(super) method: Option<CodeChallengeMethod>,
}

/// The same, owned, for a request that cannot be parsed unambiguously.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) client: Option<ClientId>,
    pub(super) redirect_uri: Option<String>,
    pub(super) method: Option<CodeChallengeMethod>,
}

impl Names {
    /// Fills in the client and the method of its sign-in where the request names none.
    pub(super) fn or_of(self, client: Option<ClientId>, challenge: Option<&CodeChallenge>) -> Self {
        Self {
            client: self.client.or(client),
            method: self.method.or(challenge.map(CodeChallenge::method)),
            ..self
        }
    }

    pub(super) fn about(&self) -> About<'_> {
        About {
            client: self.client.as_ref(),
            redirect_uri: self.redirect_uri.as_deref(),
            method: self.method,
        }
    }
}
