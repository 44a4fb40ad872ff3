use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The most detailed level that is written.
    pub level: Level,
    pub format: Format,
}

/// Log levels, from few lines to many.
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
    /// Everything; no event has this level at present.
    Trace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line.
    Json,
    /// `name=value` fields, for people.
    Text,
}
