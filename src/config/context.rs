//! Inputs of the readers other than the text.

use std::io;
use std::path::Path;

/// The environment in which a configuration is read.
pub(super) struct Context<'c> {
    /// Days since 1970-01-01.
    pub(super) today: u64,
    /// The directory to which relative paths are relative.
    pub(super) directory: &'c Path,
    /// The number of threads that can run in parallel.
    pub(super) cores: usize,
    /// Reads a file completely.
    pub(super) read: fn(&Path) -> io::Result<Vec<u8>>,
}
