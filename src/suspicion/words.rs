//! Words that may be codes or handles, wherever they stand.

use std::collections::HashSet;

use crate::flow::{Candidate, CodeLengths, Handle, HandleKey, Purpose, handle};
use crate::oauth::AuthorizationCode;
use crate::spelling::any_layer;
use crate::work::looked_at;

use super::{MAX_CANDIDATES, Request, Scan, form};

/// A shorter word is no code: it could be guessed.
const SHORTEST_CODE: usize = 6;

/// What stands around words, in forms, documents, cookies and URLs.
fn is_around(byte: u8) -> bool {
    matches!(
        byte,
        b'/' | b'&'
            | b';'
            | b','
            | b'"'
            | b'\''
            | b'<'
            | b'>'
            | b'{'
            | b'}'
            | b'['
            | b']'
            | b' '
            | b'\r'
            | b'\n'
            | b'\t'
    )
}

/// Whether the handle of a sign-in may stand in a text, in any spelling.
pub(super) fn may_hold_handle(text: &[u8]) -> bool {
    handle::may_stand_in(text) || form::hides_word(text)
}

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

/// Collects every candidate of a request.
pub(super) fn scan(scan: &mut Scan<'_>, request: &Request<'_>, lengths: CodeLengths) {
    // In UTF-16 there is one between all letters.
    let letters = |byte: &u8| *byte != 0;
    let without_nul: Vec<u8> = match memchr::memchr(0, request.body.bytes()) {
        Some(_) => request
            .body
            .bytes()
            .iter()
            .copied()
            .filter(letters)
            .collect(),
        None => Vec::new(),
    };
    let texts = [
        request.query,
        request.body.bytes(),
        &without_nul,
        request.path,
    ];
    let fields = request.cookies.iter().copied().chain(request.authorization);
    let mut seen: HashSet<Vec<u8>> = HashSet::new();
    for text in texts.into_iter().chain(fields) {
        let is_full = any_layer(text, |layer| {
            words(scan, layer, lengths, &mut seen).is_none()
        });
        if is_full {
            return scan.cannot_read("it has too many words that could be codes");
        }
    }
}

/// `None`: there are too many.
fn words(
    scan: &mut Scan<'_>,
    text: &[u8],
    lengths: CodeLengths,
    seen: &mut HashSet<Vec<u8>>,
) -> Option<()> {
    looked_at(text.len());
    let mut left = scan.handles;
    for handle in handles(scan.key, text, &mut left) {
        scan.sign_in(&handle, false);
    }
    scan.handles = left;
    if left == 0 {
        return None;
    }
    for word in text.split(|byte| is_around(*byte)) {
        let value = memchr::memchr(b'=', word).and_then(|at| word.get(at + 1..));
        for word in [Some(word), value].into_iter().flatten() {
            let may_be_one = lengths.has(word.len()) || word.len() == handle::LENGTH;
            if word.len() < SHORTEST_CODE || !may_be_one || seen.contains(word) {
                continue;
            }
            if seen.len() == MAX_CANDIDATES {
                return None;
            }
            seen.insert(word.to_vec());
            let Ok(text) = str::from_utf8(word) else {
                continue;
            };
            let handle = scan.key.recognise(Purpose::Code, text);
            let digest = match handle {
                Some(handle) => Some(handle.digest()),
                None if lengths.has(word.len()) => {
                    AuthorizationCode::new(text).map(|code| code.digest())
                }
                None => None,
            };
            scan.found.candidates.extend(digest.map(Candidate::Code));
        }
    }
    Some(())
}
