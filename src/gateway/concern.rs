//! Finds the rule for a request whose client is not certain: scans the request for clients, codes and handles
//! ([`crate::suspicion`]), asks the store for the owners of the codes and handles, and chooses the rule
//! ([`crate::policy::Rules::concerned`]).

use std::borrow::Cow;
use std::cell::LazyCell;

use http::{HeaderMap, HeaderValue, header};

use crate::flow::{Candidate, HandleKey};
use crate::oauth::media::names_foreign_charset;
use crate::oauth::params::Pair;
use crate::oauth::{ClientId, CodeKind, Digest, Params};
use crate::policy::{Concern, Rule, Violation};
use crate::spelling::shortcuts::is_quiet;
use crate::spelling::{is_word, says};
use crate::store::{Owner, StoreError};
use crate::suspicion::{self, Kind, Look, Said, Suspicion, scan};

use super::exchange::Exchange;
use super::received::Received;
use super::subject::About;
use crate::http::body::Peeked;
use crate::http::headers;

/// The result of the scan, and the owners of the codes and handles that it found.
pub(super) struct Heard {
    pub(super) said: Suspicion,
    /// The owner of each candidate, in order. `Err`: the store failed.
    owners: Result<Vec<Option<Owner>>, StoreError>,
}

impl Heard {
    /// The candidates whose owner is known.
    fn owned(&self) -> impl Iterator<Item = (&Candidate, Owner)> {
        let owners = self.owners.iter().flatten();
        let owned = self.said.candidates.iter().zip(owners);
        owned.filter_map(|(candidate, owner)| owner.map(|owner| (candidate, owner)))
    }

    /// The names for the log: from the form, from Basic authentication, or from another reading of the request.
    pub(super) fn names(&self, request: &Received) -> About<'static> {
        let mut names = request.names();
        if let (None, [client]) = (&names.client, self.said.clients.as_slice()) {
            names.client = Some(Cow::Owned(ClientId::new(client)));
        }
        names
    }

    /// The strictest rule of the clients whose codes the request contains. A code at its own redirect URI does not count: the
    /// client may be behind the gate, too, and get its code there. `None`: no other codes.
    pub(super) fn rule_of_stray_codes<'g>(
        &self,
        exchange: &Exchange<'g>,
        request: &Received,
    ) -> Option<&'g Rule> {
        let here = LazyCell::new(|| exchange.site.targets(request.path()));
        let strayed = self.owned().filter_map(|(candidate, owner)| {
            let is_code = matches!(candidate, Candidate::Code(_));
            let is_at_home = || owner.target.is_some_and(|target| here.contains(&target));
            (is_code && !is_at_home()).then_some(owner.client)
        });
        exchange.strictest_of(strayed)
    }

    /// Whether the request contains a code next to the handle of a sign-in. If the server repeats both, its answer looks like the
    /// response to that sign-in. Login forms do not have both in one value, and clients do not get a code together with a handle.
    /// Dead handles count, too: every page that repeats one with a code would be refused.
    pub(super) fn is_planted(&self) -> bool {
        is_planted(&self.said)
    }

    /// Whether the store failed. The request is then refused.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.owners.is_err()
    }

    /// The rule for a request that continues a sign-in of `client` but contradicts its record: the strictest of the clients that
    /// it may concern.
    pub(super) fn rule_beside<'g>(&self, exchange: &Exchange<'g>, client: Digest) -> &'g Rule {
        if !self.is_certain() {
            return exchange.strictest();
        }
        let own = exchange.rule(Some(client));
        let named = exchange.strictest_of_names(&self.said.clients);
        named.map_or(own, |named| exchange.rules().stricter(own, named))
    }

    /// Whether the clients that were found are all that the request may concern. A request object may name any client.
    fn is_certain(&self) -> bool {
        self.owners.is_ok() && is_complete(&self.said)
    }

    fn rule<'g>(&self, exchange: &Exchange<'g>) -> &'g Rule {
        let owners: Vec<Digest> = self.owned().map(|(_, owner)| owner.client).collect();
        let concern = Concern {
            names: &self.said.clients,
            owners: &owners,
            is_certain: self.is_certain(),
        };
        let rules = exchange.rules();
        rules.concerned(&concern, exchange.today())
    }
}

/// Whether a request contains a code next to the handle of a sign-in.
pub(super) fn is_planted(said: &Suspicion) -> bool {
    !said.planted.is_empty()
}

/// The rule for a request whose client is not certain.
pub(super) async fn rule<'g>(exchange: &Exchange<'g>, request: &mut Received) -> &'g Rule {
    let rules = exchange.rules();
    if !rules.default_is_laxer() {
        return rules.default_rule();
    }
    let look = Look::Candidates {
        lengths: exchange.store().code_lengths(),
        kinds: exchange.site.code_kinds(),
    };
    hear(exchange, request, look).await.rule(exchange)
}

/// The same, with the names for the log.
pub(super) async fn rule_and_names<'g>(
    exchange: &Exchange<'g>,
    request: &mut Received,
) -> (&'g Rule, About<'static>) {
    let heard = hear(exchange, request, Look::Names).await;
    let names = heard.names(request);
    (rule(exchange, request).await, names)
}

/// Scans a request and asks the store for the owners of what it found. The request can still be forwarded.
pub(super) async fn hear(exchange: &Exchange<'_>, request: &mut Received, look: Look) -> Heard {
    let is_empty = http_body::Body::is_end_stream(&request.body);
    // The Content-Type of an absent body does not matter.
    let declared = if is_empty {
        Declared::Plain(Kind::Other)
    } else {
        body_of(&request.headers)
    };
    let body = if is_empty {
        Peeked::Whole(bytes::Bytes::new())
    } else if look == Look::Names && is_long(exchange, request, declared) {
        // A long body is not held back if it cannot contain a usable code, nor is media of unknown length.
        Peeked::TooLong
    } else {
        request.body.peek(exchange.snapshot.limits.form_bytes).await
    };
    let read = request.body.read();
    // A quick test, which decides for nearly all requests.
    if look == Look::Names
        && declared != Declared::Encoded
        && matches!(body, Peeked::Whole(_))
        && is_quiet(request.query().as_bytes())
        && is_quiet(&read)
    {
        return Heard {
            said: Suspicion::default(),
            owners: Ok(Vec::new()),
        };
    }
    // The rare case is boxed, so that the future of the frequent case stays small.
    Box::pin(listen(exchange, request, body, declared, look)).await
}

/// The parts of a request head that the scan reads.
#[derive(Clone, Copy)]
pub(super) struct Head<'r> {
    pub(super) path: &'r str,
    pub(super) query: &'r str,
    pub(super) headers: &'r HeaderMap,
}

/// Scans a request with that body.
pub(super) fn said(
    head: Head<'_>,
    body: suspicion::Body<'_>,
    key: &HandleKey,
    look: Look,
) -> Suspicion {
    let cookies = head.headers.get_all(header::COOKIE).iter();
    let cookies: Vec<&[u8]> = cookies.map(HeaderValue::as_bytes).collect();
    scan(
        &suspicion::Request {
            path: head.path.as_bytes(),
            query: head.query.as_bytes(),
            body,
            authorization: headers::value(head.headers, header::AUTHORIZATION),
            cookies: &cookies,
        },
        key,
        look,
    )
}

/// A body as the scan takes it. `read`: the bytes that were read.
pub(super) fn scanned<'b>(
    declared: Declared,
    body: &Peeked,
    read: &'b [u8],
) -> suspicion::Body<'b> {
    match body {
        Peeked::Whole(_) if read.is_empty() => suspicion::Body::Absent,
        Peeked::Whole(_) if declared == Declared::Encoded => suspicion::Body::Encoded(read),
        Peeked::Whole(_) => suspicion::Body::Whole {
            bytes: read,
            kind: match declared {
                Declared::Plain(kind) => kind,
                Declared::Encoded | Declared::Media => Kind::Other,
            },
        },
        Peeked::TooLong => suspicion::Body::Beginning(read),
        Peeked::Broken => suspicion::Body::Broken,
    }
}

/// Whether the clients that were found are all that a request may concern, as far as it can be read. A request object may name any
/// client.
pub(super) fn is_complete(said: &Suspicion) -> bool {
    said.unreadable.is_none() && !said.said.has(Said::REQUEST)
}

/// The same for a request that the quick test did not clear.
async fn listen(
    exchange: &Exchange<'_>,
    request: &Received,
    body: Peeked,
    declared: Declared,
    look: Look,
) -> Heard {
    let read = request.body.read();
    ask(exchange, request, scanned(declared, &body, &read), look).await
}

/// Scans a request with that body, and asks the store.
async fn ask(
    exchange: &Exchange<'_>,
    request: &Received,
    body: suspicion::Body<'_>,
    look: Look,
) -> Heard {
    let head = Head {
        path: request.path(),
        query: request.query(),
        headers: &request.headers,
    };
    let said = said(head, body, &exchange.site.state.key, look);
    let owners = if said.candidates.is_empty() {
        Ok(Vec::new())
    } else {
        exchange.store().owners(&said.candidates).await
    };
    Heard { said, owners }
}

/// Whether a body is longer than the limit by its Content-Length. Media without a length counts as long.
fn is_long(exchange: &Exchange<'_>, request: &Received, declared: Declared) -> bool {
    let limit = exchange.snapshot.limits.form_bytes;
    match http_body::Body::size_hint(&request.body).exact() {
        Some(length) => usize::try_from(length).map_or(true, |length| length > limit),
        None => declared == Declared::Media,
    }
}

/// The kind of a body, by the header fields of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Declared {
    Plain(Kind),
    /// Compressed, or in a charset that is not a superset of ASCII.
    Encoded,
    /// Images, archives and other binary data, in which servers expect no parameters.
    Media,
}

/// Whether the body is media, so that no server looks for parameters in it.
pub(super) fn is_media(headers: &HeaderMap) -> bool {
    body_of(headers) == Declared::Media
}

/// The beginnings of media types of [`Declared::Media`].
const MEDIA: [&[u8]; 7] = [
    b"image/",
    b"audio/",
    b"video/",
    b"font/",
    b"application/octet-stream",
    b"application/zip",
    b"application/pdf",
];

pub(super) fn body_of(headers: &HeaderMap) -> Declared {
    let encoding = headers::value(headers, header::CONTENT_ENCODING);
    let is_plain = |encoding: &[u8]| encoding.eq_ignore_ascii_case(b"identity");
    let media_type = headers::value(headers, header::CONTENT_TYPE).unwrap_or_default();
    if !encoding.is_none_or(is_plain) || names_foreign_charset(media_type) {
        return Declared::Encoded;
    }
    let names = |kind: &[u8]| says(media_type, kind);
    if names(b"x-www-form-urlencoded") {
        Declared::Plain(Kind::Form)
    } else if names(b"json") {
        Declared::Plain(Kind::Json)
    } else if names(b"multipart/") {
        Declared::Plain(Kind::Multipart)
    } else if MEDIA.iter().any(|media| is_word(media_type, 0, media)) {
        Declared::Media
    } else {
        Declared::Plain(Kind::Other)
    }
}

/// Whether a request names a charset that is not a superset of ASCII.
pub(super) fn has_foreign_charset(headers: &HeaderMap) -> bool {
    headers::value(headers, header::CONTENT_TYPE).is_some_and(names_foreign_charset)
}

/// Under `codes = "upstream"`: finds a code in a parameter of a token request other than its own (`code`, `device_code`), in any
/// spelling. Some servers recognise a code by its value, whatever the parameter is called. The strictest rule of the clients whose
/// codes were found applies. The own parameter of a kind of codes is not searched for them; it is judged separately.
pub(super) async fn misnamed_code<'g>(
    exchange: &Exchange<'g>,
    request: &Received,
    params: &Params<'_>,
) -> Option<(&'g Rule, Violation)> {
    if !exchange.rules().any_upstream_codes() {
        return None;
    }
    for kind in exchange.site.code_kinds() {
        let kind = std::slice::from_ref(kind);
        let found = Box::pin(misnamed(exchange, request, params, kind)).await;
        if found.is_some() {
            return found;
        }
    }
    None
}

/// The same for codes of one kind.
async fn misnamed<'g>(
    exchange: &Exchange<'g>,
    request: &Received,
    params: &Params<'_>,
    kinds: &'static [CodeKind],
) -> Option<(&'g Rule, Violation)> {
    let lengths = exchange.store().code_lengths();
    let is_own = |pair: &Pair<'_>| kinds.iter().any(|kind| kind.parameter() == pair.name());
    let others = params.iter().filter(|pair| !is_own(pair));
    let others: Vec<&[u8]> = others.map(Pair::raw).collect();
    let body = suspicion::Body::Whole {
        bytes: &others.join(&b'&'),
        kind: Kind::Form,
    };
    let heard = ask(exchange, request, body, Look::Words { lengths, kinds }).await;
    if heard.is_in_doubt() {
        return Some((exchange.strictest(), Violation::StoreUnavailable));
    }
    if let Some(why) = heard.said.unreadable {
        return Some((exchange.strictest(), Violation::malformed(why)));
    }
    let owners = heard
        .owned()
        .filter_map(|(candidate, owner)| match candidate {
            Candidate::Code(_) => Some(owner.client),
            Candidate::State(_) => None,
        });
    let rule = exchange.strictest_of(owners)?;
    Some((rule, Violation::malformed("a code under another name")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_bodies_and_foreign_charsets_are_recognised() {
        let check = |name: &'static str, value: &'static str| {
            let pair = (name.parse().unwrap(), HeaderValue::from_static(value));
            body_of(&HeaderMap::from_iter([pair])) == Declared::Encoded
        };
        assert!(check("content-encoding", "gzip"));
        assert!(!check("content-encoding", "identity"));
        for charset in [
            "ibm037",
            "utf-16",
            "\"UTF-7\"",
            "utf-8; charset=utf-16le",
            "",
        ] {
            let value: &'static str = format!("text/plain; Charset = {charset}").leak();
            assert!(check("content-type", value), "{charset}");
        }
        for media_type in [
            "text/plain",
            "application/json; charset=UTF-8",
            "text/html; charset=iso-8859-15",
        ] {
            assert!(!check("content-type", media_type), "{media_type}");
        }
    }
}
