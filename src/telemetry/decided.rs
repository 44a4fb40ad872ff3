//! What can be decided.

use serde::Serialize;

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Decided {
    /// Nothing is wrong.
    Allowed,
    /// It would have been refused.
    Reported,
    /// Refused.
    Refused,
}

impl Decided {
    /// For logs and metrics.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Reported => "reported",
            Self::Refused => "refused",
        }
    }
}
