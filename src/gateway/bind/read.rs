//! Reading an answer: its `Location`, and its body where that may carry something.

use bytes::Bytes;
use http::header::HeaderName;
use http::{Response, header};

use crate::flow::handle;
use crate::spelling::shortcuts::{may_be_answer, may_hold_handle, may_name_token};
use crate::spelling::{any_layer, says};
use crate::telemetry::Event;

use super::asked::Asked;
use crate::gateway::exchange::Exchange;
use crate::http::body::{Body, Peeked};

/// What of a body can be seen.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Empty when there is nothing to read.
    pub(super) text: Bytes,
    pub(super) extent: Extent,
}

/// How much of a body that is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Extent {
    #[default]
    Whole,
    /// It goes on for longer than is read, or breaks off.
    Beginning,
    /// It came in a coding that was not asked for, and cannot be read.
    Sealed,
}

/// The one `Location` of a redirect, and whether browsers follow it in place of showing the page.
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

/// What a body may carry, left ready to be sent on.
pub(super) async fn page(
    exchange: &Exchange<'_>,
    asked: &Asked<'_>,
    response: &mut Response<Body>,
) -> Page {
    if http_body::Body::is_end_stream(response.body()) || !may_carry(asked, response) {
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
        // What breaks off has a beginning, too.
        Peeked::TooLong | Peeked::Broken => Extent::Beginning,
    };
    let mut text = response.body().read();
    text.truncate(limit);
    Page { text, extent }
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

/// Whether an answer is a page or a JSON document, or does not say what it is.
pub(super) fn is_document(response: &Response<Body>) -> bool {
    let kinds = response.headers().get_all(header::CONTENT_TYPE);
    let mut kinds = kinds.iter().map(http::HeaderValue::as_bytes).peekable();
    kinds.peek().is_none() || kinds.any(|kind| says(kind, b"html") || says(kind, b"json"))
}

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
pub(super) fn says_nothing(asked: &Asked<'_>, response: &Response<Body>, page: &Page) -> bool {
    let is_redirect =
        response.status().is_redirection() && response.headers().contains_key(header::LOCATION);
    !is_redirect
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

/// Whether a handle may stand in a text; where codes are to be expected, also one that is escaped.
pub(super) fn may_hold(asked: &Asked<'_>, text: &[u8]) -> bool {
    // No layer is longer than the text.
    if text.len() < handle::LENGTH {
        false
    } else if asked.follows_login() {
        any_layer(text, may_hold_handle)
    } else {
        may_hold_handle(text)
    }
}

/// The fields by which browsers and clients go on to somewhere else.
pub(super) fn leads(name: &HeaderName) -> bool {
    [header::LOCATION, header::REFRESH, header::LINK].contains(name)
}

/// A page that names the upstream's own origin leads the browser around the gate: told, so that an operator can set
/// the server's public URL.
pub(super) fn tell_own_origin(exchange: &Exchange<'_>, page: &[u8]) {
    let differs = exchange.site.origin != exchange.site.settings.public_origin;
    if differs && exchange.site.origin_finder.find(page).is_some() {
        let upstream = &exchange.site.state.telemetry;
        exchange
            .shared
            .telemetry()
            .tell(&Event::UpstreamOriginInBody {
                request: exchange.id,
                upstream,
            });
    }
}
