//! pkce-gate.
pub mod clock;
pub mod flow;
pub mod oauth;
pub mod store;
