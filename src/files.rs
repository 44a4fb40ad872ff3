//! Reads configuration files safely: regular files only, up to a maximum size. A FIFO would block the reading thread,
//! and a device never ends.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// The maximum size of a file, in bytes: more than any configuration or CA bundle has.
const MOST: u64 = 16 * 1024 * 1024;

/// Reads a whole regular file; follows symbolic links.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_up_to(path, MOST)
}

/// The same for another maximum size, in bytes.
pub(crate) fn read_up_to(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // Checked before the open, because opening a FIFO blocks until there is a writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= most) {
        Ok(bytes)
    } else {
        Err(io::Error::other(format!("larger than {most} bytes")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_read() {
        for path in ["/dev/zero", "/proc/self/fd", "/"] {
            let error = read(Path::new(path)).unwrap_err();
            assert_eq!(error.to_string(), "not a regular file", "{path}");
        }
        assert!(read(Path::new("/proc/self/no-such-file")).is_err());
    }

    #[test]
    fn a_file_above_the_maximum_size_is_refused() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let whole = read(&file).unwrap();
        let length = u64::try_from(whole.len()).unwrap();
        assert_eq!(read_up_to(&file, length).unwrap(), whole);
        let error = read_up_to(&file, length - 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("larger than {} bytes", length - 1)
        );
    }
}
