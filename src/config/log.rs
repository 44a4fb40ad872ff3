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

#[cfg(test)]
mod tests {
    use super::super::testing::{UPSTREAM, config};
    use super::*;

    fn check(input: &str, level: Level, format: Format) {
        let settings = config(&format!("[log]\n{input}\n{UPSTREAM}")).log;
        assert_eq!(settings, Settings { level, format }, "{input}");
    }

    #[test]
    fn levels_and_formats() {
        check("", Level::Info, Format::Json);
        check("format = \"text\"", Level::Info, Format::Text);
        for (word, level) in [
            ("error", Level::Error),
            ("warn", Level::Warn),
            ("debug", Level::Debug),
            ("trace", Level::Trace),
        ] {
            check(&format!("level = \"{word}\""), level, Format::Json);
        }
    }
}
