//! `[log]`: how the log is written.

use super::tree::Table;
use crate::telemetry::{Format, Level, Settings};

/// Reads `[log]`.
pub(super) fn read(table: &Table<'_>) -> Settings {
    let levels = [
        ("error", Level::Error),
        ("warn", Level::Warn),
        ("info", Level::Info),
        ("debug", Level::Debug),
        ("trace", Level::Trace),
    ];
    let formats = [("json", Format::Json), ("text", Format::Text)];
    Settings {
        level: table.word("level", Level::Info, &levels, &[]),
        format: table.word("format", Format::Json, &formats, &[]),
    }
}
