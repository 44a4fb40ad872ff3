//! `run`: serves until it is told to stop.

use std::process::ExitCode;

/// Placeholder.
pub(super) fn execute(_file: &super::ConfigFile) -> ExitCode {
    super::complain("run: not there yet");
    ExitCode::FAILURE
}
