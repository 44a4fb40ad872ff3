//! Finds handles of sign-ins in a text.

use crate::flow::{Handle, HandleKey, Purpose};

/// The handles of sign-ins in a text. Tests at most `left` words, because each test costs a hash, and reduces `left`.
pub(super) fn handles(key: &HandleKey, text: &[u8], left: &mut usize) -> Vec<Handle> {
    let mut found = Vec::new();
    for word in key.candidates(Purpose::State, text).take(*left) {
        *left -= 1;
        found.extend(key.recognise(Purpose::State, word));
    }
    found
}

/// The handle of a sign-in, if the whole value is one.
pub(super) fn whole_handle(key: &HandleKey, value: &[u8]) -> Option<Handle> {
    key.recognise(Purpose::State, str::from_utf8(value).ok()?)
}
