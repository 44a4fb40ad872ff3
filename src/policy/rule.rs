//! The rule for one client.

use crate::oauth::pkce::MAX_LENGTH;
use crate::oauth::{CodeChallengeMethod, ResponseMode, ResponseType};

/// What happens to requests with a violation. Ordered from lax to strict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Requests are not judged.
    Off,
    /// Violations are logged, nothing is refused.
    Report,
    /// Requests with a violation are refused.
    Enforce,
}

impl Mode {
    /// The name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Report => "report",
            Self::Enforce => "enforce",
        }
    }
}

/// Whether handles replace `state` and code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codes {
    /// Handles replace both, so that clients get codes that are useless outside the gate.
    Handle,
    /// Both stay unchanged.
    Upstream,
}

/// The rule for one client of one upstream.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub mode: Mode,
    pub codes: Codes,
    pub challenge_required: bool,
    /// Whether signed request objects are read (`request_objects`).
    pub reads_request_objects: bool,
    /// Whether the method `plain` is allowed. S256 always is.
    pub plain_allowed: bool,
    /// The method of a challenge without a method, for clients that omit it (the Salesforce CLI).
    pub assume_method: Option<CodeChallengeMethod>,
    /// The longest verifier, in characters.
    pub verifier_max: usize,
    /// The allowed response types.
    pub response_types: Vec<ResponseType>,
    /// The allowed response modes.
    pub response_modes: Vec<ResponseMode>,
    /// The allowed grants. Empty: all.
    pub grants: Vec<String>,
    /// Redirect URIs to which errors may be sent without having been learned.
    pub redirect_uris: Vec<String>,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            codes: Codes::Handle,
            challenge_required: true,
            reads_request_objects: false,
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
    /// The rule with the stricter mode; `self` if the modes are equal.
    #[must_use]
    pub fn stricter<'r>(&'r self, other: &'r Self) -> &'r Self {
        if other.mode > self.mode { other } else { self }
    }

    /// The rule that allows only what both allow. For a name that some server takes for another client.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        Self {
            mode: self.mode.max(other.mode),
            codes: if self.codes == other.codes {
                self.codes
            } else {
                Codes::Handle
            },
            challenge_required: self.challenge_required || other.challenge_required,
            reads_request_objects: self.reads_request_objects && other.reads_request_objects,
            plain_allowed: self.plain_allowed && other.plain_allowed,
            assume_method: self
                .assume_method
                .filter(|method| other.assume_method == Some(*method)),
            verifier_max: self.verifier_max.min(other.verifier_max),
            response_types: common(&self.response_types, &other.response_types),
            response_modes: common(&self.response_modes, &other.response_modes),
            grants: match (&*self.grants, &*other.grants) {
                ([], grants) | (grants, []) => grants.to_vec(),
                (_, grants) => match common(&self.grants, grants) {
                    // An empty list would allow all grants; no grant has the empty name.
                    none if none.is_empty() => vec![String::new()],
                    grants => grants,
                },
            },
            redirect_uris: common(&self.redirect_uris, &other.redirect_uris),
        }
    }

    /// This rule for a client that is enforced before its upstream is. It gets handles, except where requests or answers are signed:
    /// no handle can be put into those.
    #[must_use]
    pub fn enforced(&self) -> Self {
        let has_signed_mode = self.response_modes.iter().any(|mode| mode.is_signed());
        Self {
            mode: Mode::Enforce,
            codes: if self.reads_request_objects || has_signed_mode {
                self.codes
            } else {
                Codes::Handle
            },
            ..self.clone()
        }
    }

    /// Whether the gate may change requests. Not for a client that is only observed.
    pub fn may_change_requests(&self) -> bool {
        self.mode == Mode::Enforce || self.uses_handles()
    }

    /// Whether handles replace the values of this client. Not in mode off.
    pub fn uses_handles(&self) -> bool {
        self.codes == Codes::Handle && self.mode != Mode::Off
    }

    /// Whether handles replace the values of a request with this response type. Not if its response hashes them, and is allowed:
    /// the client would find that the hashes do not match.
    pub fn uses_handles_for(&self, response_type: &ResponseType) -> bool {
        let is_hashed = response_type.hashes_code() && self.response_types.contains(response_type);
        self.uses_handles() && !is_hashed
    }

    /// Whether this client may get codes that the upstream issued.
    pub fn lets_codes_through(&self) -> bool {
        let mut types = self.response_types.iter();
        !types.all(|response_type| self.uses_handles_for(response_type)) || !self.uses_handles()
    }
}

/// The items that are in both lists.
fn common<T: PartialEq + Clone>(one: &[T], other: &[T]) -> Vec<T> {
    let in_both = one.iter().filter(|item| other.contains(item));
    in_both.cloned().collect()
}

/// An exception for one client, as configured.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientRule {
    /// The `client_id`.
    pub id: String,
    /// Whether it has a secret (`type = "confidential"`).
    pub is_confidential: bool,
    /// The rule until the exception ends.
    pub rule: Rule,
    /// The last day of the exception, in days since 1970-01-01 UTC. `None`: it does not end.
    pub until: Option<u64>,
    /// The rule after the exception has ended.
    pub afterwards: Rule,
    /// The rule after the client was promoted ([`super::Rules::promoting`]). `None`: its mode is configured, so it never is.
    pub promoted: Option<Rule>,
    pub owner: Option<String>,
    pub reason: Option<String>,
}

impl ClientRule {
    /// A rule that does not end.
    pub fn lasting(id: &str, rule: Rule) -> Self {
        Self {
            id: id.to_owned(),
            is_confidential: false,
            afterwards: rule.clone(),
            rule,
            until: None,
            promoted: None,
            owner: None,
            reason: None,
        }
    }
}
