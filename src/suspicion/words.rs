//! Finds words that may be codes or handles, anywhere in a request.

use std::collections::HashSet;

use memchr::memchr;

use crate::examined::looked_at;
use crate::flow::{Candidate, CodeLengths, Key, Purpose, handle};
use crate::oauth::params::set::ByteSet;
use crate::oauth::{AuthorizationCode, CodeKind};
use crate::spelling::shortcuts::has_any;
use crate::spelling::{any_layer, without_nul};

use super::gather::{MAX_CANDIDATES, Scan};
use super::request::Request;

/// The shortest word that counts as a code, in bytes. A shorter code could be guessed.
const SHORTEST_CODE: usize = 6;

/// The separators of words: in forms; also in documents, cookies and header fields; also in URLs and elsewhere. A code may
/// contain any visible ASCII character (RFC 6749 appendix A.11), and some contain `/`. So a separator in one place may belong to
/// the code in another, and the text is split three times.
pub(crate) const AROUND: [&[u8]; 3] = [b"&", b";\"'<> \r\n\t\0", b"/\\,:?#|`@^(){}[]"];
static SETS: [ByteSet; 3] = [
    ByteSet::of(b"&"),
    ByteSet::of(b"&;\"'<> \r\n\t\0"),
    ByteSet::of(b"&;\"'<> \r\n\t\0/\\,:?#|`@^(){}[]"),
];

/// Adds all candidates of a request: codes of these lengths and kinds.
pub(super) fn scan(
    scan: &mut Scan<'_>,
    request: &Request<'_>,
    lengths: CodeLengths,
    kinds: &'static [CodeKind],
) {
    let body = request.body.bytes();
    let without_nul = without_nul(body).unwrap_or_default();
    let texts = [request.query, body, &without_nul, request.path];
    let fields = request.cookies.iter().copied().chain(request.authorization);
    let mut words = Words {
        scan,
        lengths,
        kinds,
        seen: HashSet::new(),
    };
    for text in texts.into_iter().chain(fields) {
        if any_layer(text, |layer| words.read(layer).is_none()) {
            return scan.cannot_read("it contains too many words that could be codes");
        }
    }
}

/// A word without the punctuation at its ends, such as that of a comment.
fn trimmed(word: &[u8]) -> &[u8] {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric();
    let start = word.iter().position(is_letter);
    let end = word.iter().rposition(is_letter).map_or(0, |at| at + 1);
    word.get(start.unwrap_or(end)..end).unwrap_or_default()
}

/// The words of a request.
struct Words<'s, 'k> {
    scan: &'s mut Scan<'k>,
    lengths: CodeLengths,
    kinds: &'static [CodeKind],
    seen: HashSet<Vec<u8>>,
}

impl Words<'_, '_> {
    /// `None`: too many words.
    fn read(&mut self, text: &[u8]) -> Option<()> {
        self.scan.sign_ins(text, false);
        if self.scan.handles == 0 {
            return None;
        }
        for (added, around) in AROUND.iter().zip(&SETS) {
            // Without these separators, the words are the same as before.
            let is_first = added.len() == 1;
            if !is_first && !has_any(text, added) {
                continue;
            }
            looked_at(text.len());
            for word in text.split(|byte| around.has(*byte)) {
                let value = memchr(b'=', word).and_then(|at| word.get(at + 1..));
                self.take(word)?;
                for word in [value.unwrap_or_default(), word] {
                    self.take(trimmed(word))?;
                }
                self.take(value.unwrap_or_default())?;
            }
        }
        Some(())
    }

    fn take(&mut self, word: &[u8]) -> Option<()> {
        let may_be_raw = self.lengths.has(word.len());
        let mut purposes = self.kinds.iter().map(|kind| Purpose::from(*kind));
        let may_be_one = may_be_raw || purposes.any(|of| handle::word(of, word).is_some());
        if word.len() < SHORTEST_CODE || !may_be_one || self.seen.contains(word) {
            return Some(());
        }
        if self.seen.len() == MAX_CANDIDATES {
            return None;
        }
        self.seen.insert(word.to_vec());
        let Ok(text) = str::from_utf8(word) else {
            return Some(());
        };
        let own = self.scan.key;
        let keys = self.kinds.iter().filter_map(|kind| {
            let handle = own.recognise((*kind).into(), text);
            let raw = || AuthorizationCode::of(*kind, text).filter(|_| may_be_raw);
            let key = handle.map(Key::Handle);
            key.or_else(|| raw().map(|code| code.digest().into()))
        });
        let candidates = &mut self.scan.found.candidates;
        candidates.extend(keys.map(Candidate::Code));
        Some(())
    }
}
