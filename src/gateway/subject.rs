//! The subject of a decision, for the log and the metrics. No decision depends on it.

use std::borrow::Cow;

use crate::oauth::{ClientId, CodeChallenge, CodeChallengeMethod};
use crate::policy::Hint;
use crate::telemetry::Step;

/// The client, redirect URI and challenge method of a request.
#[derive(Debug, Default)]
pub(super) struct About<'f> {
    /// The client that the request names, or else the client of its sign-in.
    pub(super) client: Option<Cow<'f, ClientId>>,
    pub(super) redirect_uri: Option<Cow<'f, str>>,
    /// The method of the challenge in the request, or else of the challenge that its sign-in began with.
    pub(super) method: Option<CodeChallengeMethod>,
    /// Whether the client gets the upstream's own code although its rule has handles.
    pub(super) keeps_code: bool,
    pub(super) step: Step,
    /// Whether the gate cannot tell to which sign-in its code belongs.
    pub(super) is_uncertain: bool,
    /// What the developer of the client has probably done wrong.
    pub(super) hint: Option<Hint>,
}

impl About<'_> {
    /// Fills in the client and the method of its sign-in where the request names none.
    pub(super) fn or_of(self, client: Option<ClientId>, challenge: Option<&CodeChallenge>) -> Self {
        Self {
            client: self.client.or(client.map(Cow::Owned)),
            method: self.method.or(challenge.map(CodeChallenge::method)),
            ..self
        }
    }
}
