//! Inputs of the readers other than the text.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// The environment in which a configuration is read.
pub(super) struct Context<'c> {
    /// Days since 1970-01-01.
    pub(super) today: u64,
    /// The directory to which relative paths are relative.
    pub(super) directory: &'c Path,
    /// The number of threads that can run in parallel.
    pub(super) cores: usize,
    /// Reads a file completely.
    pub(super) reader: fn(&Path) -> io::Result<Vec<u8>>,
    /// The files that were read, in this order.
    pub(super) files: RefCell<Vec<NamedFile>>,
}

/// A file that a configuration names, as it was when the configuration was read.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct NamedFile {
    pub path: PathBuf,
    pub sha256: [u8; 32],
}

/// Prints no hash: a password could be guessed by it.
impl fmt::Debug for NamedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NamedFile").field(&self.path).finish()
    }
}

impl Context<'_> {
    /// Reads a file that the configuration names.
    pub(super) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let content = (self.reader)(path)?;
        self.files.borrow_mut().push(NamedFile {
            path: path.to_owned(),
            sha256: Sha256::digest(&content).into(),
        });
        Ok(content)
    }
}
