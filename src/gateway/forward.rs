//! Requests for paths that are not intercepted. They are streamed through; answers that may carry a code are still checked.

use std::sync::LazyLock;

use http::{Method, Response, StatusCode, header};
use memchr::memmem::{self, Finder};

use crate::oauth::Endpoint;
use crate::policy::Violation;
use crate::spelling::shortcuts::may_hold_handle;

use super::exchange::Exchange;
use super::received::Received;
use super::{bind, concern, elsewhere, own_document, reply};
use crate::http::body::Body;
use crate::http::headers;

/// Handles a path that is not a protected endpoint, but that some servers treat as one.
pub(super) async fn ambiguous(exchange: &Exchange<'_>, mut request: Received) -> Response<Body> {
    if exchange.rules().all_off() {
        return unguarded(exchange, request, false).await;
    }
    let (rule, names) = concern::rule_and_names(exchange, &mut request).await;
    match exchange.decide(rule, request, Some(Violation::AmbiguousPath), &names) {
        // One violation is logged, but a closed route stays closed.
        Ok(cleared) => {
            let request = cleared.into_inner();
            match closed(exchange, request.path()) {
                Some(refused) => refused,
                None => unguarded(exchange, request, false).await,
            }
        }
        Err((request, violation)) if request.method == Method::POST => {
            reply::token_refused(&violation, None)
        }
        Err((request, violation)) => {
            let accept = request.headers.get(header::ACCEPT);
            exchange.page(StatusCode::BAD_REQUEST, &violation, accept)
        }
    }
}

/// Passes a request through.
pub(super) async fn pass(exchange: &Exchange<'_>, mut request: Received) -> Response<Body> {
    if let Some(refused) = guard(exchange, &mut request).await {
        return refused;
    }
    // Those of endpoints are configured.
    let is_route = exchange.caller.kind == Endpoint::Other;
    unguarded(exchange, request, is_route).await
}

/// `is_route`: whether the path belongs to the routes of the review.
async fn unguarded(
    exchange: &Exchange<'_>,
    mut request: Received,
    is_route: bool,
) -> Response<Body> {
    let own = own_document::at(exchange, request.path());
    let is_plain = !exchange.site.observes_only
        && (own.is_some() || may_be_read(&request) || exchange.has_code_in_json(request.path()));
    if is_plain {
        Exchange::ask_for_identity(&mut request.headers);
    }
    let asked = bind::Asked {
        browser: exchange.browser(&request.headers),
        sent: Box::new(request.sent()),
        is_plain,
        ..bind::Asked::default()
    };
    let mut sent = exchange.send(request).await;
    // Scanners ask for paths that no server has.
    let is_found = |response: &Response<Body>| response.status() != StatusCode::NOT_FOUND;
    if is_route && sent.as_ref().is_ok_and(is_found) {
        exchange.note_route(asked.sent.path());
    }
    if let Some(own) = own {
        sent = match sent {
            Ok(response) => Ok(Box::pin(own_document::public(exchange, own, response)).await),
            Err(failed) => Err(failed),
        };
    }
    bind::deliver(exchange, asked, sent).await
}

/// The refusal of a request on a closed route, of a GET with a body, or of a token request. `None`: the request may pass.
pub(super) async fn guard(
    exchange: &Exchange<'_>,
    request: &mut Received,
) -> Option<Response<Body>> {
    if exchange.rules().all_off() {
        return None;
    }
    let has_body = !http_body::Body::is_end_stream(&request.body);
    if has_body && [Method::GET, Method::HEAD].contains(&request.method) {
        return body_of_get(exchange, request).await;
    }
    match closed(exchange, request.path()) {
        Some(refused) => Some(refused),
        None => elsewhere::guard(exchange, request).await,
    }
}

/// Refuses a GET or HEAD with a body: a server that does not expect one may parse it as the next request.
async fn body_of_get(exchange: &Exchange<'_>, request: &mut Received) -> Option<Response<Body>> {
    let violation = Violation::malformed("a GET request with a body");
    let (rule, names) = concern::rule_and_names(exchange, request).await;
    match exchange.decide(rule, (), Some(violation), &names) {
        Ok(_) => closed(exchange, request.path()),
        Err(_) => {
            let text = "a GET request must not have a body";
            Some(reply::bad_request(StatusCode::BAD_REQUEST, text))
        }
    }
}

fn closed(exchange: &Exchange<'_>, path: &str) -> Option<Response<Body>> {
    let is_open = exchange.site.observes_only || exchange.site.settings.routes.admits(path);
    (!is_open).then(|| reply::bad_request(StatusCode::NOT_FOUND, "not found"))
}

/// Parts of the media types that are read.
static READ: LazyLock<[Finder<'static>; 2]> = LazyLock::new(|| ["html", "json"].map(Finder::new));

/// Whether the answer may be a page or a document that has to be read. By their Accept field, scripts, styles and images are not.
/// Scripts that fetch data accept anything; that answer is read only if the request names a sign-in.
fn may_be_read(request: &Received) -> bool {
    if request.method == Method::POST {
        return true;
    }
    let accept = headers::value(&request.headers, header::ACCEPT);
    accept.is_none_or(|accept| {
        // A value that is not ASCII counts as absent.
        !accept.is_ascii()
            || READ.iter().any(|kind| kind.find(accept).is_some())
            || memmem::find(accept, b"*/*").is_some() && names_sign_in(request)
    })
}

/// Whether a request may have a handle in its target, or in its Referer. The Referer does not count for scripts, styles and
/// images of that page.
fn names_sign_in(request: &Received) -> bool {
    let referer = || headers::value(&request.headers, header::REFERER);
    let is_part = || {
        let dest = headers::value(&request.headers, "sec-fetch-dest");
        dest.is_some_and(|dest| !PAGES.contains(&dest))
    };
    may_hold_handle(request.query().as_bytes())
        || may_hold_handle(request.path().as_bytes())
        || referer().is_some_and(may_hold_handle) && !is_part()
}

/// Values of Sec-Fetch-Dest for answers that are displayed, or read by a script.
const PAGES: [&[u8]; 5] = [b"empty", b"document", b"iframe", b"frame", b"embed"];
