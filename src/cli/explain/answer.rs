//! What the command answers.

use clap::ValueEnum;

/// The format of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

/// Why nothing is explained.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    /// Wrong arguments.
    #[error("{0}")]
    Usage(String),
    /// A file that cannot be read, or a wrong one.
    #[error("{0}")]
    File(String),
}

/// The text for standard output, and whether a request would be refused under enforcement.
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) is_refused: bool,
}
