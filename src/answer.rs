//! The upstream's answers: where a code travels ([`carrier`]), whether it may leave ([`mod@judge`]), and that nothing of it is left
//! where it was replaced ([`check`]). Pure: the gateway asks the store, and puts the answers here.

pub(crate) mod carrier;
pub(crate) mod check;
pub(crate) mod judge;
pub(crate) mod origins;

pub(crate) use judge::{Facts, Leads, OTHER_BROWSER, Plan, SignIn, judge, unasked_tokens};
