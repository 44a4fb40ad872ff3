//! What holds for one client.

use crate::oauth::pkce::MAX_LENGTH;
use crate::oauth::{CodeChallengeMethod, ResponseMode, ResponseType};

/// Who is refused. Ordered from lax to strict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Nothing is judged.
    Off,
    /// Everything is judged and recorded, nothing refused.
    Report,
    /// What is wrong is refused.
    Enforce,
}

impl Mode {
    /// As it stands in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Report => "report",
            Self::Enforce => "enforce",
        }
    }
}

/// What travels in place of `state` and code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codes {
    /// Handles: the upstream's code is worthless outside the gate.
    Handle,
    /// The upstream's own values, unchanged.
    Upstream,
}

/// Who has to send a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Require {
    /// Every client.
    All,
    /// Every client but those with `type = "confidential"`.
    Public,
}

/// What holds for one client of one upstream.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Who is refused.
    pub mode: Mode,
    /// What travels.
    pub codes: Codes,
    /// Whether a challenge is required at all.
    pub challenge_required: bool,
    /// S256 is always allowed; `plain` only where it is listed.
    pub plain_allowed: bool,
    /// For clients that send a challenge without a method (the Salesforce CLI).
    pub assume_method: Option<CodeChallengeMethod>,
    /// The longest verifier, in characters.
    pub verifier_max: usize,
    /// Allowed response types.
    pub response_types: Vec<ResponseType>,
    /// Allowed response modes.
    pub response_modes: Vec<ResponseMode>,
    /// Grants that may pass, exactly; empty: any.
    pub grants: Vec<String>,
    /// Where error redirects may go without having been learned.
    pub redirect_uris: Vec<String>,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            codes: Codes::Handle,
            challenge_required: true,
            plain_allowed: false,
            assume_method: None,
            verifier_max: MAX_LENGTH,
            response_types: vec![ResponseType::parse("code")],
            response_modes: vec![
                ResponseMode::Query,
                ResponseMode::Fragment,
                ResponseMode::FormPost,
            ],
            grants: Vec::new(),
            redirect_uris: Vec::new(),
        }
    }
}

impl Rule {
    /// The stricter of two; this one where they are alike.
    #[must_use]
    pub fn stricter<'r>(&'r self, other: &'r Self) -> &'r Self {
        if other.mode > self.mode { other } else { self }
    }

    /// What both allow. For a name that some server takes for another client's: it gets nothing that either may not have.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        let both = |a: bool, b: bool| a && b;
        Self {
            mode: self.mode.max(other.mode),
            codes: if self.codes == other.codes {
                self.codes
            } else {
                Codes::Handle
            },
            challenge_required: self.challenge_required || other.challenge_required,
            plain_allowed: both(self.plain_allowed, other.plain_allowed),
            assume_method: self
                .assume_method
                .filter(|method| other.assume_method == Some(*method)),
            verifier_max: self.verifier_max.min(other.verifier_max),
            response_types: common(&self.response_types, &other.response_types),
            response_modes: common(&self.response_modes, &other.response_modes),
            grants: match (&*self.grants, &*other.grants) {
                ([], grants) | (grants, []) => grants.to_vec(),
                (_, grants) => match common(&self.grants, grants) {
                    // An empty list allows all. No grant has this name.
                    none if none.is_empty() => vec![String::new()],
                    grants => grants,
                },
            },
            redirect_uris: common(&self.redirect_uris, &other.redirect_uris),
        }
    }

    /// Whether requests may differ from what the client sent: not while somebody only watches.
    pub fn may_change_requests(&self) -> bool {
        self.mode == Mode::Enforce || self.uses_handles()
    }

    /// Whether values are rewritten for this client: only where somebody judges.
    pub fn uses_handles(&self) -> bool {
        self.codes == Codes::Handle && self.mode != Mode::Off
    }
}

/// What stands in both lists.
fn common<T: PartialEq + Clone>(one: &[T], other: &[T]) -> Vec<T> {
    let in_both = one.iter().filter(|item| other.contains(item));
    in_both.cloned().collect()
}

/// An exception as it was written down.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientRule {
    /// The identifier, for the review and for events.
    pub id: String,
    /// What holds until the end.
    pub rule: Rule,
    /// The last day (since 1970-01-01, UTC) on which it holds; `None`: for good.
    pub until: Option<u64>,
    /// What holds after the end.
    pub afterwards: Rule,
    /// Who asked for it.
    pub owner: Option<String>,
    /// Why.
    pub reason: Option<String>,
}
