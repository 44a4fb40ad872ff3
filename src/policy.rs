//! The rules, and the decisions about requests.
//!
//! Pure: no clock, no randomness, no I/O. A judge ([`mod@authorize`], [`redeem`]) returns the first violation in a request;
//! [`apply`] turns it into a decision according to the [`Mode`]. A positive decision yields a [`Cleared`] value. Only this module
//! can create one, and intercepted endpoints forward nothing else.

pub(crate) mod authorize;
mod decision;
pub(crate) mod hint;
mod namesakes;
pub(crate) mod redeem;
mod rule;
pub(crate) mod rules;
pub(crate) mod violation;

pub(crate) use decision::{Cleared, Decision, apply, nothing_to_judge};
pub(crate) use hint::Hint;
pub(crate) use namesakes::{Namesake, namesakes};
pub(crate) use rule::{ClientRule, Codes, Mode, Rule};
pub(crate) use rules::{Concern, Rules};
pub(crate) use violation::{NoRoom, Violation};
