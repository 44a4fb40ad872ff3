//! The `pkce-gate` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    pkce_gate::main()
}
