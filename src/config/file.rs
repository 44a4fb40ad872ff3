//! The file that a configuration stands in.

use std::fs;
use std::io;
use std::path::Path;

use crate::files;

/// It cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Unreadable {
    /// What is wrong, with the name of the file.
    pub what: String,
    /// What to do about it.
    pub help: &'static str,
}

/// Reads it as text, of whatever kind the file is: a configuration may come through a pipe.
pub(crate) fn read(path: &Path) -> Result<String, Unreadable> {
    text(path, fs::read(path))
}

/// Reads it as text once more, while the gate runs: a regular file only.
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
        // What is before is UTF-8.
        let column = str::from_utf8(last).map_or(0, |last| last.chars().count()) + 1;
        Unreadable {
            what: format!("{name}:{line}:{column}: this is not UTF-8"),
            help: "save the file as UTF-8",
        }
    })
}
