//! Reading an answer: its `Location`, its body where that may carry something, and what is left of both when no carrier was
//! found in them.

use std::borrow::Cow;

use bytes::Bytes;
use http::{Response, header};

use crate::answer::may_have_a_token;
use crate::carrier::beacon::{Credential, Kind, carries};
use crate::carrier::form_post::has_form;
use crate::flow::{Candidate, Purpose, handle};
use crate::policy::Violation;
use crate::spelling::says;
use crate::store::Pending;
use crate::telemetry::Event;

use super::super::body::{Body, Peeked};
use super::super::exchange::Exchange;
use super::{Asked, Unsafe};

/// Words of an answer that look like handles. Nobody writes so many; telling each costs a hash.
const MAX_HANDLES: usize = 64;

/// The one `Location` of a redirect.
pub(super) fn location(response: &Response<Body>) -> Result<Option<&[u8]>, &'static str> {
    if !response.status().is_redirection() {
        return Ok(None);
    }
    let mut all = response.headers().get_all(header::LOCATION).iter();
    match (all.next(), all.next()) {
        (_, Some(_)) => Err("two Location fields"),
        (first, None) => Ok(first.map(http::HeaderValue::as_bytes)),
    }
}

/// The whole of a body that may carry something, left ready to be sent on; empty when there is none, or it cannot be read.
pub(super) async fn page(
    exchange: &Exchange<'_>,
    asked: &Asked<'_>,
    response: &mut Response<Body>,
) -> Bytes {
    if http_body::Body::is_end_stream(response.body())
        || is_encoded(response)
        || !may_carry(asked, response)
    {
        return Bytes::new();
    }
    let limit = exchange.shared.limits.response_scan_bytes;
    match response.body_mut().peek(limit).await {
        Peeked::Whole(page) => page,
        Peeked::TooLong | Peeked::Broken => Bytes::new(),
    }
}

/// Codings that nobody uses are none: browsers show such a page as it is.
fn is_encoded(response: &Response<Body>) -> bool {
    const CODINGS: [&[u8]; 7] = [
        b"gzip",
        b"x-gzip",
        b"deflate",
        b"compress",
        b"br",
        b"zstd",
        b"dcb",
    ];
    let fields = response.headers().get_all(header::CONTENT_ENCODING);
    fields.iter().any(|field| {
        let mut codings = field.as_bytes().split(|&byte| byte == b',');
        codings.any(|coding| {
            let coding = coding.trim_ascii().to_ascii_lowercase();
            CODINGS.contains(&coding.as_slice())
        })
    })
}

/// In media types of what comes bit by bit, and is not held back.
const STREAMS: [&[u8]; 5] = [b"event-stream", b"ndjson", b"json-seq", b"stream=", b"grpc"];

/// Whether the body of an answer may carry a code: every page and every JSON document; and whatever answers a request that a code
/// may follow, but for media.
fn may_carry(asked: &Asked<'_>, response: &Response<Body>) -> bool {
    let mut kinds = response
        .headers()
        .get_all(header::CONTENT_TYPE)
        .iter()
        .map(http::HeaderValue::as_bytes)
        .peekable();
    // Browsers sniff.
    if kinds.peek().is_none() {
        return true;
    }
    let is_media = |kind: &[u8]| {
        const MEDIA: [&[u8]; 4] = [b"image/", b"audio/", b"video/", b"font/"];
        let starts = |media: &&[u8]| {
            kind.get(..media.len())
                .is_some_and(|part| part.eq_ignore_ascii_case(media))
        };
        MEDIA.iter().any(starts) && !says(kind, b"svg")
    };
    let is_stream = |kind: &[u8]| STREAMS.iter().any(|stream| says(kind, stream));
    let is_near = || asked.at_authorization || asked.sent.is_post() || asked.sent.names_handle();
    kinds.any(|kind| {
        says(kind, b"html")
            || (says(kind, b"json") || !is_media(kind) && is_near())
                && (asked.at_authorization || !is_stream(kind))
    })
}

/// Whether nothing in an answer can be a carrier's or a handle's: most are told by one look.
pub(super) fn says_nothing(response: &Response<Body>, page: &[u8]) -> bool {
    let is_redirect =
        response.status().is_redirection() && response.headers().contains_key(header::LOCATION);
    let may_hold = |text: &[u8]| handle::may_stand_in(text);
    let is_wide = || memchr::memchr(0, page).is_some();
    !is_redirect
        && !has_form(page)
        && !may_hold(page)
        && !is_wide()
        && !response
            .headers()
            .values()
            .any(|value| may_hold(value.as_bytes()))
}

/// A page that names the upstream's own origin leads the browser around the gate: told, so that an operator can set
/// the server's public URL.
pub(super) fn tell_own_origin(exchange: &Exchange<'_>, page: &[u8]) {
    let differs = exchange.site.origin != exchange.site.settings.public_origin;
    if differs && exchange.site.origin_finder.find(page).is_some() {
        let upstream = &exchange.site.telemetry;
        exchange
            .shared
            .telemetry()
            .tell(&Event::UpstreamOriginInBody {
                request: exchange.id,
                upstream,
            });
    }
}

/// What no carrier was found in: a handle of ours, live or dead, beside what may be a code is an answer that nobody can
/// deliver. `Refresh`, `Link` and whatever vendors redirect with; a `Location` of an unknown shape; a page.
pub(super) async fn leftovers<'g>(
    exchange: &Exchange<'g>,
    response: &Response<Body>,
    page: &[u8],
) -> Result<(), Unsafe<'g>> {
    let is_redirect = response.status().is_redirection();
    for (name, value) in response.headers() {
        // Most fields name no handle.
        if !handle::may_stand_in(value.as_bytes()) {
            continue;
        }
        let why = if is_redirect && *name == header::LOCATION {
            "a code in a Location of an unknown shape"
        } else {
            "a code in a header field other than Location"
        };
        suspect(exchange, (value.as_bytes(), Kind::Text), why).await?;
    }
    let kind = response
        .headers()
        .get(header::CONTENT_TYPE)
        .map(http::HeaderValue::as_bytes);
    let is_html = kind.is_none_or(|kind| says(kind, b"html"));
    let kind = if is_html { Kind::Html } else { Kind::Text };
    let why = "a code in a page of an unknown shape";
    suspect(exchange, (page, kind), why).await
}

async fn suspect<'g>(
    exchange: &Exchange<'g>,
    (text, kind): (&[u8], Kind),
    why: &'static str,
) -> Result<(), Unsafe<'g>> {
    // In UTF-16 there is a NUL between all letters.
    let text = if memchr::memchr(0, text).is_some() {
        let letters = text.iter().copied().filter(|byte| *byte != 0);
        Cow::Owned(letters.collect())
    } else {
        Cow::Borrowed(text)
    };
    let text: &[u8] = &text;
    // Most texts name no handle.
    if !handle::may_stand_in(text) {
        return Ok(());
    }
    let found = exchange
        .site
        .key
        .find_all(Purpose::State, text, MAX_HANDLES);
    let handles = match found {
        Ok(handles) if handles.is_empty() => return Ok(()),
        Ok(handles) => handles,
        Err(_) => Vec::new(),
    };
    let has_code = carries(Credential::Code, text, kind, None);
    let has_token = !has_code && carries(Credential::Token, text, kind, None);
    if !has_code && !has_token {
        return Ok(());
    }
    let candidates: Vec<Candidate> = handles
        .iter()
        .map(|handle| Candidate::State(handle.digest()))
        .collect();
    let Ok(owners) = exchange.site.store.owners(&candidates).await else {
        return Err(Unsafe::in_doubt(exchange));
    };
    let live = handles.iter().zip(&owners).find_map(|(handle, owner)| {
        owner
            .filter(|owner| owner.alive)
            .map(|owner| (handle.digest(), owner.client))
    });
    // A page may bring the token that a sign-in asked for.
    if has_token && let Some((pending, client)) = live {
        match exchange.site.store.pending(pending).await {
            Ok(Pending::Live(record)) if may_have_a_token(&record, exchange.rule(Some(client))) => {
                return Ok(());
            }
            Ok(_) => {}
            Err(_) => return Err(Unsafe::in_doubt(exchange)),
        }
    }
    let rules = &exchange.site.settings.rules;
    Err(Unsafe {
        violation: Violation::UnboundCodeInResponse(why),
        pending: live.map(|(pending, _)| pending),
        rule: Some(match live {
            Some((_, client)) => exchange.rule(Some(client)),
            None => rules.strictest(crate::clock::today()),
        }),
    })
}
