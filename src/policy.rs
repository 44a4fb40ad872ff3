//! Decisions, and the only place that reads [`Mode`].
//!
//! Pure: no clock, no randomness, no I/O. A judge looks at a request and says what, if anything, is wrong with it;
//! [`apply`] turns that into a decision for the mode at hand. What was decided is proved by a value: [`Cleared`] can
//! only be made here, and the forwarder of an intercepted endpoint takes nothing else.

pub(crate) mod authorize;
mod decision;
mod namesakes;
pub(crate) mod redeem;
mod rule;
pub(crate) mod rules;
pub(crate) mod violation;

pub(crate) use decision::{Cleared, Decision, Verdict, apply, nothing_to_judge};
pub(crate) use namesakes::Namesake;
pub(crate) use rule::{ClientRule, Codes, Mode, Require, Rule};
pub(crate) use rules::{Concern, Rules};
pub(crate) use violation::{NoRoom, Violation};
