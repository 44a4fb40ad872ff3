//! Scans a request like the most lenient server: the query, the header fields, and the body in every grammar, whatever its media
//! type.
//!
//! The gate parses the requests that it judges strictly ([`crate::oauth::Params`]). The scan finds what the strict parser does
//! not: token requests at other paths than the token endpoint, parameter names in spellings that only some framework accepts, and
//! codes of other users. It is pure. The gateway asks the store whose the candidates are, and `policy::Rules::concerned` chooses
//! the rule.
//!
//! **Bounds.** The scan takes linear time: each grammar reads the text once, and removes at most
//! [`crate::spelling::layers::ROUNDS`] layers of escapes. Its result is bounded by `MAX_CLIENTS`, `MAX_CANDIDATES` and
//! `MAX_HANDLES`; a request that exceeds them counts as unreadable.

mod form;
mod gather;
mod json;
mod multipart;
pub(crate) mod names;
mod request;
pub(crate) mod words;

use crate::flow::HandleKey;

use gather::{MAX_HANDLES, Scan};
pub(crate) use names::Said;
pub(crate) use request::{Body, Kind, Look, Request, Suspicion};

/// Scans a request. `key` recognises the handles of its upstream.
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
        Look::Candidates { lengths, kinds } => {
            scan.cookies(request.cookies);
            words::scan(&mut scan, request, lengths, kinds);
        }
        Look::Words { lengths, kinds } => words::scan(&mut scan, request, lengths, kinds),
    }
    scan.found
}

#[cfg(test)]
mod tests;
