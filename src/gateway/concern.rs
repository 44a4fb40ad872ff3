//! Whose request it is, when that cannot be told for sure: one scan of what it says ([`crate::suspicion`]), one question to the
//! store, one choice of the rule that holds ([`crate::policy::Rules::concerned`]).

use std::cell::LazyCell;

use http::{HeaderMap, HeaderValue, header};

use crate::flow::Candidate;
use crate::oauth::media::names_foreign_charset;
use crate::oauth::params::Pair;
use crate::oauth::{ClientId, Digest, Params};
use crate::policy::{Concern, Rule, Violation};
use crate::spelling::says;
use crate::spelling::shortcuts::is_quiet;
use crate::store::{Owner, StoreError};
use crate::suspicion::{self, Kind, Look, Said, Suspicion, scan};

use super::about::Names;
use super::exchange::Exchange;
use super::received::Received;
use crate::http::body::Peeked;

/// What a request says, and whose the things are that stand in it.
pub(super) struct Heard {
    pub(super) said: Suspicion,
    /// One for each candidate, in order. `Err`: the store cannot be asked.
    owners: Result<Vec<Option<Owner>>, StoreError>,
}

impl Heard {
    /// The candidates whose owner is known.
    fn owned(&self) -> impl Iterator<Item = (Candidate, Owner)> {
        let owners = self.owners.iter().flatten();
        let owned = self.said.candidates.iter().zip(owners);
        owned.filter_map(|(candidate, owner)| owner.map(|owner| (*candidate, owner)))
    }

    /// What the request names, as a form, by Basic or in another reading: for the log.
    pub(super) fn names(&self, request: &Received) -> Names {
        let mut names = request.names();
        if let (None, [client]) = (&names.client, self.said.clients.as_slice()) {
            names.client = Some(ClientId::new(client));
        }
        names
    }

    /// The strictest rule of the clients whose codes stand in the request. A client that lives behind the gate, too, gets its
    /// code in a request of its own: at its redirect URI. `None`: there are no others.
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

    /// Whether a code stands beside the handle of a sign-in: what the server repeats of it would look like its answer to that
    /// sign-in. No form of a login brings both in one value, and no code comes to a client beside a handle. One that is dead would
    /// keep back every page on which the server shows it.
    pub(super) fn is_planted(&self) -> bool {
        !self.said.planted.is_empty()
    }

    /// Whether the store could not be asked. What it was to be asked is then answered by a refusal.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.owners.is_err()
    }

    /// The rule for a request that goes on with a sign-in of that client, and says something else than the sign-in does: the
    /// strictest of all clients that it may be about.
    pub(super) fn rule_beside<'g>(&self, exchange: &Exchange<'g>, client: Digest) -> &'g Rule {
        let rules = &exchange.site.settings.rules;
        if !self.is_certain() {
            return rules.strictest(exchange.today());
        }
        let concern = Concern {
            names: &self.said.clients,
            owners: &[],
            is_certain: true,
        };
        let own = exchange.rule(Some(client));
        let named = rules.named(&concern, exchange.today());
        named.map_or(own, |named| rules.stricter(own, named))
    }

    /// Whether it is about those whom it names. What is inside of a request object may be about anybody.
    fn is_certain(&self) -> bool {
        self.said.unreadable.is_none() && self.owners.is_ok() && !self.said.said.has(Said::REQUEST)
    }

    fn rule<'g>(&self, exchange: &Exchange<'g>) -> &'g Rule {
        let owners: Vec<Digest> = self.owned().map(|(_, owner)| owner.client).collect();
        let concern = Concern {
            names: &self.said.clients,
            owners: &owners,
            is_certain: self.is_certain(),
        };
        let rules = &exchange.site.settings.rules;
        rules.concerned(&concern, exchange.today())
    }
}

/// The rule for a request that belongs to no client for sure.
pub(super) async fn rule<'g>(exchange: &Exchange<'g>, request: &mut Received) -> &'g Rule {
    let rules = &exchange.site.settings.rules;
    if !rules.default_is_laxer() {
        return rules.default_rule();
    }
    let look = Look::Candidates {
        lengths: exchange.site.state.store.code_lengths(),
    };
    hear(exchange, request, look).await.rule(exchange)
}

/// The same, and what the request names, for the log.
pub(super) async fn rule_and_names<'g>(
    exchange: &Exchange<'g>,
    request: &mut Received,
) -> (&'g Rule, Names) {
    let heard = hear(exchange, request, Look::Names).await;
    let names = heard.names(request);
    (rule(exchange, request).await, names)
}

/// Reads a request, leaving it ready to be sent on, and asks whose the things are that stand in it.
pub(super) async fn hear(exchange: &Exchange<'_>, request: &mut Received, look: Look) -> Heard {
    let is_empty = http_body::Body::is_end_stream(&request.body);
    // What is not there is nothing else than it should be.
    let declared = if is_empty {
        Declared::Other
    } else {
        body_of(&request.headers)
    };
    let body = match declared {
        _ if is_empty => Peeked::Whole(bytes::Bytes::new()),
        // Nobody is kept waiting for what is long, or may be and come slowly, where no code of anybody's can stand in it.
        _ if look == Look::Names && is_long(exchange, request, declared) => Peeked::TooLong,
        Declared::Form
        | Declared::Json
        | Declared::Multipart
        | Declared::Encoded
        | Declared::Media
        | Declared::Other => request.body.peek(exchange.snapshot.limits.form_bytes).await,
    };
    let read = request.body.read();
    // Nearly all requests are told from suspicious ones by one look.
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
    // What is rare is boxed, so that what is frequent stays small.
    Box::pin(listen(exchange, request, (body, declared), look)).await
}

/// The same for a request that takes more than a look.
async fn listen(
    exchange: &Exchange<'_>,
    request: &Received,
    (body, declared): (Peeked, Declared),
    look: Look,
) -> Heard {
    let read = request.body.read();
    let body = match body {
        Peeked::Whole(_) if read.is_empty() => suspicion::Body::Absent,
        Peeked::Whole(_) if declared == Declared::Encoded => suspicion::Body::Encoded(&read),
        Peeked::Whole(_) => suspicion::Body::Whole {
            bytes: &read,
            kind: match declared {
                Declared::Form => Kind::Form,
                Declared::Json => Kind::Json,
                Declared::Multipart => Kind::Multipart,
                Declared::Encoded | Declared::Media | Declared::Other => Kind::Other,
            },
        },
        Peeked::TooLong => suspicion::Body::Beginning(&read),
        Peeked::Broken => suspicion::Body::Broken,
    };
    ask(exchange, request, body, look).await
}

/// What a request with that body says, and whose the things are that stand in it.
async fn ask(
    exchange: &Exchange<'_>,
    request: &Received,
    body: suspicion::Body<'_>,
    look: Look,
) -> Heard {
    let cookies: Vec<&[u8]> = request
        .headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    let authorization = request.headers.get(header::AUTHORIZATION);
    let said = scan(
        &suspicion::Request {
            path: request.path().as_bytes(),
            query: request.query().as_bytes(),
            body,
            authorization: authorization.map(HeaderValue::as_bytes),
            cookies: &cookies,
        },
        &exchange.site.state.key,
        look,
    );
    let owners = if said.candidates.is_empty() {
        Ok(Vec::new())
    } else {
        exchange.site.state.store.owners(&said.candidates).await
    };
    Heard { said, owners }
}

/// Whether a body says that it is longer than what is read of one. Of a picture that does not say how long it is nobody expects
/// anything else.
fn is_long(exchange: &Exchange<'_>, request: &Received, declared: Declared) -> bool {
    let limit = exchange.snapshot.limits.form_bytes;
    match http_body::Body::size_hint(&request.body).exact() {
        Some(length) => usize::try_from(length).map_or(true, |length| length > limit),
        None => declared == Declared::Media,
    }
}

/// What the fields of a request say of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Declared {
    Form,
    Json,
    Multipart,
    /// Compressed, or in a charset in which the letters of ASCII are other bytes.
    Encoded,
    /// Bytes in which no parameters are expected: pictures, archives, anything at all.
    Media,
    Other,
}

/// Whether nobody looks for parameters in what is too long to be read: pictures, archives and the like, as they are.
pub(super) fn is_media(headers: &HeaderMap) -> bool {
    body_of(headers) == Declared::Media
}

/// How the media types of such bodies begin.
const MEDIA: [&[u8]; 7] = [
    b"image/",
    b"audio/",
    b"video/",
    b"font/",
    b"application/octet-stream",
    b"application/zip",
    b"application/pdf",
];

fn body_of(headers: &HeaderMap) -> Declared {
    let encoding = headers.get(header::CONTENT_ENCODING);
    let is_plain = |encoding: &HeaderValue| encoding.as_bytes().eq_ignore_ascii_case(b"identity");
    let media_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let media_type = media_type.unwrap_or_default();
    if !encoding.is_none_or(is_plain) || names_foreign_charset(media_type) {
        return Declared::Encoded;
    }
    let names = |kind: &[u8]| says(media_type, kind);
    let starts = |media: &&[u8]| {
        let beginning = media_type.get(..media.len());
        beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(media))
    };
    if names(b"x-www-form-urlencoded") {
        Declared::Form
    } else if names(b"json") {
        Declared::Json
    } else if names(b"multipart/") {
        Declared::Multipart
    } else if MEDIA.iter().any(starts) {
        Declared::Media
    } else {
        Declared::Other
    }
}

/// Whether a request names a charset in which the letters of ASCII are other bytes.
pub(super) fn has_foreign_charset(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE);
    media_type.is_some_and(|media_type| names_foreign_charset(media_type.as_bytes()))
}

/// Where codes travel as the upstream issued them: one that stands in a token request under another name than `code`, as elsewhere
/// in whatever spelling. Some servers know a code by what it is, not by what it is called. Such a request is judged by the strictest
/// rule of the clients whose codes stand in it. What stands under the name `code` is judged as such.
pub(super) async fn misnamed_code<'g>(
    exchange: &Exchange<'g>,
    request: &Received,
    params: &Params<'_>,
) -> Option<(&'g Rule, Violation)> {
    let rules = &exchange.site.settings.rules;
    if !rules.any_upstream_codes() {
        return None;
    }
    let lengths = exchange.site.state.store.code_lengths();
    let others = params.iter().filter(|pair| pair.name() != "code");
    let others: Vec<&[u8]> = others.map(Pair::raw).collect();
    let body = suspicion::Body::Whole {
        bytes: &others.join(&b'&'),
        kind: Kind::Form,
    };
    let heard = ask(exchange, request, body, Look::Words { lengths }).await;
    let strictest = || rules.strictest(exchange.today());
    if heard.is_in_doubt() {
        return Some((strictest(), Violation::StoreUnavailable));
    }
    if let Some(why) = heard.said.unreadable {
        return Some((strictest(), Violation::MalformedRequest(why.to_owned())));
    }
    let owners = heard
        .owned()
        .filter_map(|(candidate, owner)| match candidate {
            Candidate::Code(_) => Some(owner.client),
            Candidate::State(_) => None,
        });
    let rule = exchange.strictest_of(owners)?;
    let text = "a code under another name".to_owned();
    Some((rule, Violation::MalformedRequest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_that_are_something_else_are_told_by_their_fields() {
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
