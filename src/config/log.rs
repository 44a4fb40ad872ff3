//! `[log]`: how the log is written.

use super::schema::server as keys;
use super::tree::Table;
use crate::telemetry::Settings;

/// Reads `[log]`.
pub(super) fn read(table: &Table<'_>) -> Settings {
    Settings {
        level: table.get(&keys::LEVEL),
        format: table.get(&keys::FORMAT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{UPSTREAM, config};
    use crate::telemetry::{Format, Level};

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
