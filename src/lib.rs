//! pkce-gate.
pub mod clock;
pub mod oauth;
