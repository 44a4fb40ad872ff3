//! The life of one code: *pending* (an accepted authorization request), *bound* (the upstream issued a code for it), *redeemed*.
//! This module defines the states; [`crate::store`] stores them.
//!
//! Pure: no clock, no randomness, no I/O.

mod application;
mod bound;
pub(crate) mod handle;
mod lengths;
mod own;
mod pending;
pub(crate) mod settlement;
pub(crate) mod submission;
pub(crate) mod wire;

pub use application::Application;
pub(crate) use application::pushed;
pub use bound::Presented;
pub(crate) use bound::{BoundCode, Candidate};
pub(crate) use handle::Handle;
pub use handle::{HandleKey, Key, Purpose};
pub(crate) use lengths::{CodeLengths, LengthsSeen};
pub(crate) use own::{OwnVerifier, Pkce};
pub(crate) use pending::CODES_PER_AUTHORIZATION;
pub use pending::{ClientState, PendingAuthorization};
pub(crate) use settlement::RELEASES_PER_CODE;
pub use settlement::Settlement;
pub use submission::Submission;
