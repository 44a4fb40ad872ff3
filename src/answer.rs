//! The upstream's answers: where a code travels ([`carrier`]), whether it may leave ([`mod@judge`]), and that nothing of it is left
//! where it was replaced ([`check`]). Pure: the gateway asks the store, and puts the answers here.

pub mod carrier;
pub mod check;
pub mod judge;
pub mod origins;

pub use judge::{Facts, Leads, OTHER_BROWSER, Plan, SignIn, Unsafe, judge, unasked_tokens};
