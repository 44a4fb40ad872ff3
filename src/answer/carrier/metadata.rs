//! Server metadata (RFC 8414, OpenID Connect Discovery, SMART App Launch): true about what the gate enforces.
//!
//! `truth.rs` rewrites the upstream's document, `synthesized.rs` writes one for a server that has none, and `own.rs` changes other
//! documents that name URLs of the upstream.

mod own;
mod synthesized;
mod truth;

pub(crate) use own::{public_registration, public_resource};
pub(crate) use synthesized::{Promise, derived, synthesized};
pub(crate) use truth::{Issuer, Truth, rewrite};
