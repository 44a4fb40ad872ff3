//! Pages: a form that posts itself to the client, or something with a code in it that is none.

use http::{Response, header};

use crate::carrier::form_post::{Form, forms};
use crate::carrier::{Carried, Replacement, beacon, holds};
use crate::flow::{Handle, PendingAuthorization, handle};
use crate::telemetry::Event;

use super::super::body::{Body, Peeked};
use super::super::exchange::Exchange;
use super::super::{headers, reply};
use super::public::{is_foreign, text};
use super::{Asked, Unsafe, bind, bytes_of, leak, live, live_handle, stray};

/// The whole of a page or document that may carry something, left ready to be sent on.
pub(super) async fn readable(
    exchange: &Exchange<'_>,
    response: &mut Response<Body>,
) -> Option<bytes::Bytes> {
    let kind = text(response, &header::CONTENT_TYPE).unwrap_or("text/html");
    let is_text = kind
        .as_bytes()
        .windows(4)
        .any(|word| word.eq_ignore_ascii_case(b"html") || word.eq_ignore_ascii_case(b"json"));
    if !is_text || response.headers().contains_key(header::CONTENT_ENCODING) {
        return None;
    }
    match response
        .body_mut()
        .peek(exchange.shared.limits.response_scan_bytes)
        .await
    {
        Peeked::Whole(page) if !page.is_empty() => Some(page),
        Peeked::Whole(_) | Peeked::TooLong | Peeked::Broken => None,
    }
}

/// A page: a form that posts itself to the client, or something with a code in it that is none.
pub(super) async fn check(
    exchange: &Exchange<'_>,
    asked: &Asked<'_>,
    response: &mut Response<Body>,
) -> Result<(), Unsafe> {
    let Some(page) = readable(exchange, response).await else {
        return Ok(());
    };
    origin_in_page(exchange, &page);
    let ours = asked.ours(exchange);
    let all: Vec<_> = Some(&page)
        .filter(|page| has_form(page))
        .map(|page| forms(page))
        .unwrap_or_default()
        .into_iter()
        .map(|form| {
            let carried = form.read(ours);
            (form, carried)
        })
        .collect();
    for (at, (form, carried)) in all.iter().enumerate() {
        if !carried.is_response() {
            continue;
        }
        match live(exchange, carried).await? {
            Some((handle, record)) => {
                let to_client = record
                    .redirect
                    .is_none_or(|redirect| redirect.is_target_of(&form.action));
                if to_client && is_foreign(exchange, &form.action) {
                    let mut others = all.iter().enumerate().filter(|(other, _)| *other != at);
                    // Only this one's code is replaced.
                    if others.any(|(_, (_, other))| !other.codes.is_empty()) {
                        return Err(Unsafe {
                            why: "codes in two forms of a page",
                            pending: Some(handle.digest()),
                        });
                    }
                    return form_post(
                        exchange,
                        asked,
                        response,
                        (&page, form, carried),
                        (&handle, &record),
                    )
                    .await;
                }
            }
            None => stray(exchange, asked, &form.action, carried).await?,
        }
    }
    // Most pages name no handle: whether they are UTF-8 is nobody's question then.
    if !handle::may_stand_in(&page) {
        return Ok(());
    }
    let Ok(text) = std::str::from_utf8(&page) else {
        return Ok(());
    };
    if !beacon::carries_code(text) {
        return Ok(());
    }
    match live_handle(exchange, text).await {
        Some(pending) => Err(Unsafe {
            why: "a code in a page of an unknown shape",
            pending: Some(pending),
        }),
        None => Ok(()),
    }
}

/// Whether there is a form at all: most pages are told from carriers by looking for one word.
fn has_form(page: &[u8]) -> bool {
    memchr::memchr_iter(b'<', page).any(|at| {
        let tag = page.get(at + 1..at + 5);
        tag.is_some_and(|tag| tag.eq_ignore_ascii_case(b"form"))
    })
}

/// A form that posts itself to the client.
async fn form_post(
    exchange: &Exchange<'_>,
    asked: &Asked<'_>,
    response: &mut Response<Body>,
    (page, form, carried): (&[u8], &Form, &Carried),
    (handle, record): (&Handle, &PendingAuthorization),
) -> Result<(), Unsafe> {
    let raw = carried.codes.first().map(bytes_of);
    let code = bind(exchange, asked, (handle, record), carried, raw).await?;
    let replacement = Replacement {
        handle,
        state: &record.state,
        code: code.as_ref(),
    };
    let rewritten = form.rewrite(page, replacement);
    if raw.is_some_and(|raw| holds(&rewritten, raw)) {
        return Err(Unsafe {
            why: "the code stands twice in a page",
            pending: Some(handle.digest()),
        });
    }
    leak(response, raw, handle)?;
    headers::forget_body(response.headers_mut());
    reply::not_to_be_stored(response.headers_mut());
    response.body_mut().replace(rewritten);
    Ok(())
}

/// A page that names the upstream's own origin leads the browser around the gate: told, so that an operator can set
/// the server's public URL.
fn origin_in_page(exchange: &Exchange<'_>, page: &[u8]) {
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
