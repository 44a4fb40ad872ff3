//! The authorization endpoint (steps 1 and 2 of the crate documentation). A request is
//!
//! - refused as malformed or ambiguous, or because it looks like a token request ([`mod@unreadable`], [`elsewhere`]);
//! - the continuation of a sign-in, if a `state` is a handle ([`mod@continuation`]), or a mark names its cookie ([`mod@marked`]);
//! - a fresh authorization request ([`mod@fresh`]);
//! - or something of the server's own, such as a login form, which passes ([`mod@pass`]).

mod begin;
mod continuation;
mod correlated;
mod form;
mod fresh;
mod marked;
mod observe;
mod parsed;
mod pass;
mod preview;
mod push;
mod pushed;
mod redirect;
mod refuse;
mod rewrite;
mod unreadable;

use std::sync::LazyLock;

use http::header;
use http::{Method, Response, StatusCode};

use crate::flow::Submission;
use crate::flow::submission::{Part, Sign};
use crate::oauth::authorize::PROTECTED;
use crate::policy::{Violation, nothing_to_judge};

use super::exchange::Exchange;
use super::received::Received;
use super::{concern, elsewhere};
use crate::http::body::Body;

use continuation::continuation;
use form::{Form, form};
use fresh::fresh;
use marked::marked;
pub(super) use observe::observe;
use parsed::unwrapped;
use pass::pass;
pub(super) use preview::preview;
pub(super) use push::push;
use unreadable::{document, doubtful, is_method, multipart, unreadable, wrong_method};

/// The parameters that must not be in cookies. Servers have cookies of their own named `state` or `request`.
static DECISIVE: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let is_decisive = |name: &&str| *name != "state" && *name != "request";
    PROTECTED.into_iter().filter(is_decisive).collect()
});

/// Handles a request on an authorization path.
pub(super) async fn handle(exchange: &Exchange<'_>, mut request: Received) -> Response<Body> {
    if !is_method(&request.method) {
        return wrong_method(exchange, request).await;
    }
    let form = match form(exchange, &mut request).await {
        Ok(form) => form,
        Err((violation, status)) => return unreadable(exchange, request, violation, status).await,
    };
    if matches!(form, Form::None) {
        // Django decodes the query, too, in the charset that Content-Type names. Without a body the field has no meaning.
        request.headers.remove(header::CONTENT_TYPE);
    }
    request.remove_cookies_like(&DECISIVE);
    let query = request.query().to_owned();
    let encoded = match &form {
        Form::Urlencoded(form) => Some(form.as_ref()),
        Form::Json(form) => Some(form.as_slice()),
        Form::None | Form::Multipart => None,
    };
    let pairs = exchange.snapshot.limits.form_pairs;
    let read = Submission::read(query.as_bytes(), encoded, pairs).and_then(|submission| {
        submission
            .handle(&exchange.site.state.key)
            .map(|handle| (submission, handle))
    });
    let (submission, handle) = match read {
        Ok(read) => read,
        Err(doubt) => return doubtful(exchange, request, doubt).await,
    };
    let look = elsewhere::look(exchange);
    let heard = concern::hear(exchange, &mut request, look).await;
    // Some servers redeem codes on this path, too. A continuation may look like a token request (a one-time password beside
    // hidden fields). It can only be one if codes are not replaced by handles.
    let may_redeem = handle.is_none() || exchange.rules().any_enforced_upstream_codes();
    if may_redeem && let Some(refused) = elsewhere::refuse(exchange, &mut request, &heard).await {
        return refused;
    }
    if handle.is_some() && (heard.is_planted() || heard.is_in_doubt()) {
        let text = "the request contains a code next to the handle of a sign-in";
        let violation = Violation::malformed(text);
        return unreadable(exchange, request, violation, StatusCode::BAD_REQUEST).await;
    }
    // The fields of a login form are not checked, except those that would begin a sign-in or change it. (A `state` other than the
    // handle is harmless: no client waits for that response.)
    // If codes are not replaced by handles, a continuation has no handle by which to recognise it.
    let may_continue = handle.is_some() || exchange.rules().any_upstream_codes();
    if matches!(form, Form::Multipart)
        && let Err((violation, status)) = multipart(&heard.said, may_continue)
    {
        return unreadable(exchange, request, violation, status).await;
    }
    if let Some(handle) = handle {
        let sign = Sign::State(&handle);
        return continuation(exchange, request, &submission, sign, &heard).await;
    }
    if exchange.site.reads_flows
        && let Some(mark) = submission.mark()
    {
        return Box::pin(marked(exchange, request, &submission, mark, &heard)).await;
    }
    match submission.fresh(request.method == Method::GET) {
        Err(ambiguous) => doubtful(exchange, request, ambiguous.into()).await,
        Ok(Some(part)) => match unwrapped(exchange, &submission, part, None) {
            Ok(None) => fresh(exchange, request, &submission, part).await,
            Ok(Some(form)) => Box::pin(signed(exchange, request, &form)).await,
            Err(doubt) => doubtful(exchange, request, doubt).await,
        },
        Ok(None) => match document(&heard.said) {
            Ok(()) => pass(exchange, nothing_to_judge(request), None).await,
            Err((violation, status)) => unreadable(exchange, request, violation, status).await,
        },
    }
}

/// Handles a fresh request whose parameters, in `form`, are in a request object.
async fn signed(exchange: &Exchange<'_>, request: Received, form: &[u8]) -> Response<Body> {
    let pairs = exchange.snapshot.limits.form_pairs;
    match Submission::read(b"", Some(form), pairs) {
        Ok(submission) => fresh(exchange, request, &submission, Part::Form).await,
        Err(doubt) => doubtful(exchange, request, doubt).await,
    }
}
