//! Wiping many bytes at once.
//!
//! `Zeroize` for slices writes one byte at a time, which made it one of the dearest things that the store did. This
//! is its other way, from the same crate: an ordinary fill that the compiler has to believe somebody reads.

/// Overwrites the bytes with zeros.
pub(super) fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    zeroize::optimization_barrier(bytes);
}

/// Bytes that are wiped when they are dropped.
#[derive(Default)]
pub(super) struct Secret(pub(super) Vec<u8>);

impl AsRef<[u8]> for Secret {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}
