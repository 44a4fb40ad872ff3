//! What a request says to the most forgiving server there is: one scan of its query, its fields and its body, whatever the
//! media type says, into a value.
//!
//! The gate judges what it reads strictly ([`crate::oauth::Params`]). This is about everything else: a token request at a path
//! that is no token endpoint, a name in a spelling that only some framework reads, a code of another person's. The scan is
//! pure. Whose the candidates are is one question to the store, and which rule holds then is one choice of
//! `policy::Rules::concerned`.
//!
//! **Bounds.** Each byte is looked at a bounded number of times: each grammar goes over the text once, and takes at most
//! [`crate::spelling::layers::ROUNDS`] layers of escapes off a piece. What is kept is bounded by `MAX_CLIENTS`,
//! `MAX_CANDIDATES` and `MAX_HANDLES`; past them the request cannot be read, and is judged as such.

mod form;
mod gather;
mod handles;
mod json;
mod multipart;
pub(crate) mod names;
mod request;
pub(crate) mod words;

use crate::flow::HandleKey;

use gather::{MAX_HANDLES, Scan};
pub(crate) use names::Said;
pub(crate) use request::{Body, Kind, Look, Request, Suspicion};

/// Reads a request in every way at once. `key` recognises the handles of its upstream.
pub(crate) fn scan(request: &Request<'_>, key: &HandleKey, look: Look) -> Suspicion {
    let mut scan = Scan {
        found: Suspicion::default(),
        key,
        handles: MAX_HANDLES,
    };
    if !matches!(look, Look::Words { .. }) {
        scan.query(request.query);
        scan.body(request.body);
        if let Some(credentials) = request.authorization {
            scan.credentials(credentials);
        }
    }
    match look {
        Look::Names => {}
        Look::Candidates { lengths } => {
            scan.cookies(request.cookies);
            words::scan(&mut scan, request, lengths);
        }
        Look::Words { lengths } => words::scan(&mut scan, request, lengths),
    }
    scan.found
}

#[cfg(test)]
mod tests;
