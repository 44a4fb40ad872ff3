//! Handles of sign-ins in a text.

use crate::flow::{Handle, HandleKey, Purpose};

/// The handles of sign-ins that stand in a text. Telling each costs a hash, of which only so many are `left`.
pub(super) fn handles(key: &HandleKey, text: &[u8], left: &mut usize) -> Vec<Handle> {
    let mut found = Vec::new();
    for word in key.candidates(Purpose::State, text).take(*left) {
        *left -= 1;
        found.extend(key.recognise(Purpose::State, word));
    }
    found
}

/// The handle of a sign-in that is the whole of a value.
pub(super) fn whole_handle(key: &HandleKey, value: &[u8]) -> Option<Handle> {
    key.recognise(Purpose::State, str::from_utf8(value).ok()?)
}
