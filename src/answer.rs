//! Pure functions about the upstream's answers: where a code is found ([`carrier`]), whether it may be delivered ([`mod@judge`]),
//! and whether an answer still contains it after it was replaced ([`check`]). The gateway asks the store and passes the results
//! in.

pub(crate) mod carrier;
pub(crate) mod check;
pub(crate) mod judge;
pub(crate) mod origins;

pub(crate) use judge::{Facts, Leads, OTHER_BROWSER, Plan, SignIn, judge, unasked_tokens};
