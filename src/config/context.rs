//! What the readers have to know beside the text.

use std::io;
use std::path::Path;

/// What a configuration depends on besides its text.
pub(super) struct Context<'c> {
    /// Days since 1970-01-01.
    pub(super) today: u64,
    /// Where relative paths begin.
    pub(super) directory: &'c Path,
    /// How many threads can run at once.
    pub(super) cores: usize,
    /// Reads a whole file.
    pub(super) read: fn(&Path) -> io::Result<Vec<u8>>,
}
