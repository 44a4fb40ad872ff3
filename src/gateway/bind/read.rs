//! Reads an answer: its `Location`, and its body if that may contain a code.

use bytes::Bytes;
use http::header::HeaderName;
use http::{Response, header};

use crate::answer::carrier::Carrier;
use crate::answer::carrier::document::{Document, Found};
use crate::flow::handle;
use crate::spelling::shortcuts::{may_be_answer, may_hold_handle, may_name_token};
use crate::spelling::{any_layer, is_word, says};
use crate::telemetry::Event;

use super::asked::{Asked, Unsafe};
use crate::gateway::exchange::Exchange;
use crate::http::body::{Body, Peeked};

/// The part of a body that was read.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Empty if the body was not read.
    pub(super) text: Bytes,
    pub(super) extent: Extent,
}

/// The JSON documents with a code at a place that is configured for the path of the request. `Err`: the body cannot be read as
/// clients may read it.
pub(super) fn documents<'p>(
    exchange: &Exchange<'_>,
    asked: &Asked<'_>,
    response: &Response<Body>,
    page: &'p Page,
) -> Result<Vec<Box<dyn Carrier + 'p>>, Unsafe<'static>> {
    let places = &exchange.site.settings.code_in_json;
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let path = asked.sent.path();
    let is_json = kinds(response).any(|kind| says(kind, b"json"));
    let mut found: Vec<Box<dyn Carrier>> = Vec::new();
    for place in places.iter().filter(|place| place.is_at(path)) {
        match Document::find(&page.text, &place.pointer, is_json) {
            _ if page.extent == Extent::Sealed => return Err(Unsafe::stray(UNREADABLE)),
            Found::Unreadable => return Err(Unsafe::stray(UNREADABLE)),
            Found::Document(document) => found.push(Box::new(document)),
            Found::Nothing => {}
        }
    }
    Ok(found)
}

const UNREADABLE: &str =
    "a JSON document that cannot be read without doubt, where one with a code is expected";

/// How much of a body was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Extent {
    #[default]
    Whole,
    /// The body is longer than the limit, or breaks off.
    Beginning,
    /// The body has a content coding although the gate asked for none, so it was not read.
    Sealed,
}

/// The `Location` of a redirect, and whether browsers follow it instead of showing the body. `Err`: there are two.
pub(super) fn location(response: &Response<Body>) -> Result<(Option<&[u8]>, bool), &'static str> {
    let status = response.status();
    if !status.is_redirection() {
        return Ok((None, false));
    }
    let mut all = response.headers().get_all(header::LOCATION).iter();
    match (all.next(), all.next()) {
        (_, Some(_)) => Err("two Location fields"),
        (first, None) => {
            let location = first.map(http::HeaderValue::as_bytes);
            let leads = location.is_some_and(|location| !location.trim_ascii().is_empty());
            let is_followed = leads && matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
            Ok((location, is_followed))
        }
    }
}

/// Reads a body if it may contain a code. It can still be sent to the client.
pub(super) async fn page(
    exchange: &Exchange<'_>,
    asked: &Asked<'_>,
    response: &mut Response<Body>,
) -> Page {
    let may_carry = may_carry(asked, response) || exchange.has_code_in_json(asked.sent.path());
    if http_body::Body::is_end_stream(response.body()) || !may_carry {
        return Page::default();
    }
    if is_encoded(response) {
        let extent = if asked.is_plain {
            Extent::Sealed
        } else {
            Extent::Whole
        };
        let text = Bytes::new();
        return Page { text, extent };
    }
    let limit = exchange.snapshot.limits.response_scan_bytes;
    let extent = match response.body_mut().peek(limit).await {
        Peeked::Whole(_) => Extent::Whole,
        Peeked::TooLong | Peeked::Broken => Extent::Beginning,
    };
    let mut text = response.body().read();
    text.truncate(limit);
    Page { text, extent }
}

/// Whether a body is compressed. Browsers ignore unknown codings and show the body as it is, so only known ones count.
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

/// Parts of the media types of streams. Streams are not held back to be read.
const STREAMS: [&[u8]; 5] = [b"event-stream", b"ndjson", b"json-seq", b"stream=", b"grpc"];

/// Whether an answer is an HTML page or a JSON document, or has no Content-Type.
pub(super) fn is_document(response: &Response<Body>) -> bool {
    let mut kinds = kinds(response).peekable();
    kinds.peek().is_none() || kinds.any(|kind| says(kind, b"html") || says(kind, b"json"))
}

fn kinds(response: &Response<Body>) -> impl Iterator<Item = &[u8]> {
    let kinds = response.headers().get_all(header::CONTENT_TYPE);
    kinds.iter().map(http::HeaderValue::as_bytes)
}

/// Whether the body of an answer may contain a code. Every HTML page and JSON document may. After a request on an authorization
/// path, a POST, or a request with a handle, everything except media may.
fn may_carry(asked: &Asked<'_>, response: &Response<Body>) -> bool {
    let mut kinds = kinds(response).peekable();
    // Browsers sniff the type.
    if kinds.peek().is_none() {
        return true;
    }
    let is_media = |kind: &[u8]| {
        const MEDIA: [&[u8]; 4] = [b"image/", b"audio/", b"video/", b"font/"];
        MEDIA.iter().any(|media| is_word(kind, 0, media)) && !says(kind, b"svg")
    };
    let is_stream = |kind: &[u8]| STREAMS.iter().any(|stream| says(kind, stream));
    let is_near = || asked.at_authorization || asked.sent.is_post || asked.sent.names_handle();
    kinds.any(|kind| {
        says(kind, b"html")
            || (says(kind, b"json") || !is_media(kind) && is_near())
                && (asked.at_authorization || !is_stream(kind))
    })
}

/// Whether an answer contains neither a carrier nor a handle. A quick test, which decides for most answers.
pub(super) fn says_nothing(
    exchange: &Exchange<'_>,
    asked: &Asked<'_>,
    response: &Response<Body>,
    page: &Page,
) -> bool {
    let is_redirect =
        response.status().is_redirection() && response.headers().contains_key(header::LOCATION);
    !is_redirect
        && !exchange.has_code_in_json(asked.sent.path())
        && page.extent != Extent::Sealed
        && !may_be_answer(&page.text)
        && !may_hold(asked, &page.text)
        && !response.headers().iter().any(|(name, value)| {
            let value = value.as_bytes();
            may_hold(asked, value)
                || *name == header::REFRESH
                || leads(name) && may_name_token(value)
        })
}

/// Whether a text may contain a handle; in an answer that is likely to carry a code, also an escaped one.
pub(super) fn may_hold(asked: &Asked<'_>, text: &[u8]) -> bool {
    // Unescaping does not make the text longer.
    if text.len() < handle::LENGTH {
        false
    } else if asked.follows_login() {
        any_layer(text, may_hold_handle)
    } else {
        may_hold_handle(text)
    }
}

/// The header fields whose URL browsers or clients may follow.
pub(super) fn leads(name: &HeaderName) -> bool {
    [header::LOCATION, header::REFRESH, header::LINK].contains(name)
}

/// Logs that a page contains the upstream's own origin. Such links lead the browser around the gate; the operator has to set the
/// server's public URL.
pub(super) fn tell_own_origin(exchange: &Exchange<'_>, page: &[u8]) {
    let differs = exchange.site.origin != exchange.site.settings.public_origin;
    if differs && exchange.site.origin_finder.find(page).is_some() {
        let upstream = &exchange.site.state.telemetry;
        exchange
            .shared
            .telemetry
            .tell(&Event::UpstreamOriginInBody {
                request: exchange.id,
                upstream,
            });
    }
}
