//! What is known about a request from the request alone.

use http::StatusCode;

use crate::oauth::ClientId;
use crate::policy::{Hint, Rule, Violation, authorize, redeem};

/// What was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// The path has one meaning.
    Path,
    /// It is not a token request at the path of another endpoint.
    Elsewhere,
    /// All servers read the same parameters.
    Parses,
    /// All servers read the same client in a token request.
    ClientAuthentication,
    /// The code of a token request is there.
    Code,
    /// A check of an authorization request.
    Authorization(authorize::Check),
    /// A check of a token request.
    Redemption(redeem::Check),
}

/// The verdict on a request.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    /// The first violation, or none.
    Judged(Option<Violation>),
    /// Nothing is judged, and the request passes.
    Passes(&'static str),
    /// It is refused with this status, whatever the mode is.
    Barred(StatusCode, &'static str),
    /// It depends on what only the running gate knows, or is not explained.
    Open(&'static str),
}

/// What is known about a request.
#[derive(Debug)]
pub(crate) struct Found<'c> {
    /// The client that it names.
    pub client: Option<ClientId>,
    /// The rule in force for it.
    pub rule: Option<&'c Rule>,
    /// Its parameters. Of values that may be secret, only the length.
    pub parameters: Vec<(String, String)>,
    /// Every check, in the order of the gate.
    pub checks: Vec<(Check, Result<(), Violation>)>,
    pub verdict: Verdict,
    pub hint: Option<Hint>,
    /// What else decides about it.
    pub open: Option<&'static str>,
}

impl<'c> Found<'c> {
    pub(in crate::gateway) fn new(verdict: Verdict) -> Self {
        Self {
            client: None,
            rule: None,
            parameters: Vec::new(),
            checks: Vec::new(),
            verdict,
            hint: None,
            open: None,
        }
    }

    /// A request that violates this check, the first that applies to it.
    pub(in crate::gateway) fn wrong(
        check: Check,
        violation: Violation,
        client: Option<ClientId>,
        rule: &'c Rule,
    ) -> Self {
        Self {
            client,
            rule: Some(rule),
            checks: vec![(check, Err(violation.clone()))],
            ..Self::new(Verdict::Judged(Some(violation)))
        }
    }
}
