//! What the readers have to know beside the text.

use std::io;
use std::path::Path;

use crate::files;

/// What a configuration depends on besides its text.
pub(super) trait Machine {
    /// How many threads can run at once.
    fn cores(&self) -> usize;
    /// A whole file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
}

/// The one on which this runs.
pub(super) struct ThisMachine;

impl Machine for ThisMachine {
    fn cores(&self) -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        files::read(path)
    }
}

/// What the readers have to know.
pub(super) struct Context<'c> {
    /// Days since 1970-01-01.
    pub(super) today: u64,
    /// Where relative paths begin.
    pub(super) directory: &'c Path,
    pub(super) machine: &'c dyn Machine,
}
