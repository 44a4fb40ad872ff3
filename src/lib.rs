//! pkce-gate.
