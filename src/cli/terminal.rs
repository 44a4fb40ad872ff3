//! Output and exit codes of commands.

use std::io::{self, Write as _};

/// Exit code for a wrong command line (`EX_USAGE`).
pub(super) const USAGE: u8 = 64;
/// Exit code for an invalid configuration (`EX_DATAERR`).
pub(super) const CONFIG: u8 = 65;
/// Exit code if the gate cannot start.
pub(super) const START: u8 = 1;

/// Prints a line to standard error. Failures are ignored: standard error is closed.
pub(super) fn complain(message: &str) {
    let _gone = writeln!(io::stderr().lock(), "{message}");
}

/// Prints to standard output. Failures are ignored: standard output is closed.
#[cfg(feature = "demo")]
pub(super) fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _gone = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
