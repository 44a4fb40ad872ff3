//! A decision as the tally gets it.

use crate::oauth::CodeChallengeMethod;
use crate::policy::Violation;
use crate::telemetry::decided::Decided;
use crate::telemetry::step::Step;

/// What counts of a decision, as in its event.
#[derive(Debug, Clone, Copy)]
pub(in crate::telemetry) struct Told<'e> {
    pub(in crate::telemetry) step: Step,
    pub(in crate::telemetry) decided: Decided,
    pub(in crate::telemetry) violation: Option<&'e Violation>,
    pub(in crate::telemetry) client: Option<&'e str>,
    pub(in crate::telemetry) method: Option<CodeChallengeMethod>,
    pub(in crate::telemetry) redirect_origin: Option<&'e str>,
    pub(in crate::telemetry) is_uncertain: bool,
    /// Its code.
    pub(in crate::telemetry) hint: Option<&'static str>,
}
