use serde::Serialize;

/// The step of a sign-in that a decision is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// A request that begins one: to the authorization endpoint, or pushed, or of a device or a first-party app.
    Begins,
    /// The token request with its code.
    Redeems,
    /// An answer with a code whose sign-in did not begin here, to no request of a sign-in.
    Unrequested,
    /// Something else: a continuation, an answer, a poll, a grant without a code.
    #[default]
    Other,
}

impl Step {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
    pub(crate) fn is_other(&self) -> bool {
        *self == Self::Other
    }
}
