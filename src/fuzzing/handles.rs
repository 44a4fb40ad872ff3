//! Handles, the same ones in every run.

use crate::flow::{Handle, HandleKey, Purpose};

/// The key of an upstream's handles.
pub(super) fn key() -> HandleKey {
    HandleKey::for_upstream("fuzz")
}

/// A handle for a state, and one for a code.
pub(super) fn handles() -> (Handle, Handle) {
    (
        key().mint(Purpose::State, 0..=255),
        key().mint(Purpose::Code, 0..=255),
    )
}
