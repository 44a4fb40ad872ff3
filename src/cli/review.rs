//! `review`: the review of a running gate, for a terminal, a ticket, or another program.

mod markdown;
mod names;
mod sarif;
mod text;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::admin_client;
use super::options::Admin;
use super::terminal::complain;
use crate::admin::review::Review;

/// The most bytes of a review: many times what the default number of rows takes.
const MOST: u64 = 256 * 1024 * 1024;
/// A gate with very many rows needs some seconds.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    admin: Admin,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For a terminal
    Text,
    /// Markdown, for a ticket
    Md,
    /// The document of /review.json
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
}

/// Prints the review. Exits with 1 if the gate cannot be asked.
pub(super) fn execute(options: &Options) -> ExitCode {
    let admin = options.admin.admin;
    let answer = admin_client::get_up_to(admin, "/review.json", MOST, PATIENCE);
    let document = match answer {
        Ok((200, document)) => document,
        Ok((status, _)) => {
            complain(&format!(
                "error: {admin} responded with status {status}\nhelp: use the [admin] listen address of the running gate"
            ));
            return ExitCode::FAILURE;
        }
        Err(error) => {
            complain(&format!(
                "error: cannot query {admin}: {error}\nhelp: use the [admin] listen address of the running gate"
            ));
            return ExitCode::FAILURE;
        }
    };
    let Some(written) = written(&document, options.format) else {
        complain(&format!(
            "error: {admin} responded, but not with a review of this version of pkce-gate"
        ));
        return ExitCode::FAILURE;
    };
    match io::stdout().lock().write_all(written.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// `None`: the document is not a review.
fn written(document: &str, format: Format) -> Option<String> {
    let review: Review = serde_json::from_str(document).ok()?;
    Some(match format {
        Format::Text => text::text(&review),
        Format::Md => markdown::markdown(&review),
        Format::Json => document.to_owned() + "\n",
        Format::Sarif => sarif::sarif(&review),
    })
}

#[cfg(test)]
mod tests;
