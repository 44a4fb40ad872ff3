//! Reads the configuration file as text.

use std::fs;
use std::io;
use std::path::Path;

use crate::files;

/// The configuration file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Unreadable {
    /// The error, with the name of the file.
    pub what: String,
    /// How to fix it.
    pub help: &'static str,
}

/// Reads a file of any type as UTF-8: a configuration may come through a pipe.
pub(crate) fn read(path: &Path) -> Result<String, Unreadable> {
    text(path, fs::read(path))
}

/// Reads a file as UTF-8 again while the gate runs. Only regular files are accepted.
pub(crate) fn read_again(path: &Path) -> Result<String, Unreadable> {
    text(path, files::read(path))
}

fn text(path: &Path, read: io::Result<Vec<u8>>) -> Result<String, Unreadable> {
    let name = path.display();
    let bytes = read.map_err(|error| Unreadable {
        what: format!("cannot read {name}: {error}"),
        help: "say where the configuration is: --config FILE",
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..good).unwrap_or_default();
        let mut lines = before.split(|byte| *byte == b'\n');
        let (line, last) = (lines.clone().count(), lines.next_back().unwrap_or_default());
        // The bytes before the error are valid UTF-8.
        let column = str::from_utf8(last).map_or(0, |last| last.chars().count()) + 1;
        Unreadable {
            what: format!("{name}:{line}:{column}: this is not UTF-8"),
            help: "save the file as UTF-8",
        }
    })
}
