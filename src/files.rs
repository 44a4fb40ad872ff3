//! Files that a running gate reads: regular ones, up to a size. A FIFO would block the thread that reads it, and a device never ends.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// Bytes that are read of a file at most: more than any configuration or bundle of certificates has.
const MOST: u64 = 16 * 1024 * 1024;

/// Reads a whole regular file, through symbolic links.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Before it is opened: opening a FIFO waits for a writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    read_up_to(path, MOST)
}

fn read_up_to(path: &Path, most: u64) -> io::Result<Vec<u8>> {
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
    fn what_is_not_a_regular_file_is_not_read() {
        for path in ["/dev/zero", "/proc/self/fd", "/"] {
            let error = read(Path::new(path)).unwrap_err();
            assert_eq!(error.to_string(), "not a regular file", "{path}");
        }
        assert!(read(Path::new("/proc/self/no-such-file")).is_err());
    }

    #[test]
    fn a_file_is_read_up_to_a_size() {
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
