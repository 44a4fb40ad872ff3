//! What a decision is about, for those who read of it; nothing is decided by it.

use crate::oauth::{ClientId, CodeChallenge, CodeChallengeMethod};

/// Whom a request names, where its answer would go, and how its challenge is made.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct About<'f> {
    /// The client that the request names, or else the one whose sign-in it is.
    pub(super) client: Option<&'f ClientId>,
    /// Where its answer would go.
    pub(super) redirect_uri: Option<&'f str>,
    /// How the challenge is made that the request brings, or that its sign-in was begun with.
    pub(super) method: Option<CodeChallengeMethod>,
}

/// The same about a request that cannot be read without doubt.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) client: Option<ClientId>,
    pub(super) redirect_uri: Option<String>,
    pub(super) method: Option<CodeChallengeMethod>,
}

impl Names {
    /// With what is known of its sign-in, where the request does not say it by itself.
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
