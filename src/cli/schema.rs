//! `schema`: prints the shape of the configuration, for editors and people.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;

use crate::config::{self, print::Format};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Json)]
    pub(super) format: Format,
}

pub(super) fn execute(options: &Options) -> ExitCode {
    let text = config::reference(options.format);
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
