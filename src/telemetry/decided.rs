use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Decided {
    /// No violation was found.
    Allowed,
    /// A violation was found, but the client's mode is `report`.
    Reported,
    Refused,
}

impl Decided {
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Reported => "reported",
            Self::Refused => "refused",
        }
    }
}
