//! What a command says, and the code that it ends with.

use std::io::{self, Write as _};

/// The command line was wrong (`EX_USAGE`).
pub(super) const USAGE: u8 = 64;
/// The configuration was (`EX_DATAERR`).
pub(super) const CONFIG: u8 = 65;
/// The gate could not start.
pub(super) const START: u8 = 1;

/// One line to standard error; nobody is left to be told when that is gone.
pub(super) fn complain(message: &str) {
    let _gone = writeln!(io::stderr().lock(), "{message}");
}

/// To standard output; nobody is left to be told when that is gone.
#[cfg(feature = "demo")]
pub(super) fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _gone = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
