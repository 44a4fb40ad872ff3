//! `healthcheck`: for images without a shell.

use std::process::ExitCode;

/// Placeholder.
pub(super) fn execute(_admin: &super::Admin) -> ExitCode {
    super::complain("healthcheck: not there yet");
    ExitCode::FAILURE
}
