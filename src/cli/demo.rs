//! `demo`: the gate in front of a server without PKCE.

use std::process::ExitCode;

/// Placeholder.
pub(super) fn execute() -> ExitCode {
    super::complain("demo: not there yet");
    ExitCode::FAILURE
}
