//! How the log is written.

use serde::Serialize;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The most detailed level that is written.
    pub level: Level,
    /// One JSON object a line, or text.
    pub format: Format,
}

/// Levels, from few lines to many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// The gate cannot do its work.
    Error,
    /// Something that an operator should look at.
    Warn,
    /// Every decision.
    Info,
    /// Every request.
    Debug,
    /// Everything.
    Trace,
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}
