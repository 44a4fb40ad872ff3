//! Efficient wiping.
//!
//! `Zeroize` for slices writes one byte at a time, which made it one of the store's most expensive operations. This
//! uses the same crate's alternative: an ordinary fill that the compiler may not remove.

pub(super) fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    zeroize::optimization_barrier(bytes);
}

/// Bytes that are wiped on drop.
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
