//! The authorization endpoint: steps 1 and 2 of the walk.

mod continuation;
mod fresh;
mod observe;
mod refuse;

use bytes::Bytes;
use http::header;
use http::{Method, Response, StatusCode};

use crate::flow::submission::Doubt;
use crate::flow::{Handle, Submission};
use crate::oauth::Digest;
use crate::oauth::authorize::PROTECTED;
use crate::oauth::media::{Charset, NoForm, form_charset};
use crate::oauth::params;
use crate::policy::{Cleared, Decision, Violation, authorize, nothing_to_judge};
use crate::suspicion::Said;

use super::body::{Body, Peeked};
use super::exchange::Exchange;
use super::received::Received;
use super::{bind, concern, elsewhere, headers, reply};

use continuation::continuation;
use fresh::fresh;
pub(super) use observe::observe;
use refuse::store_unavailable;

/// What stands in the body of a request on an authorization path.
enum Form {
    None,
    Urlencoded(Bytes),
    /// Only of what may be a continuation: its handle has to stand in the query.
    Multipart,
}

/// Judges a request on an authorization path and acts.
pub(super) async fn handle(exchange: &Exchange<'_>, mut request: Received) -> Response<Body> {
    if !is_method(&request) {
        return wrong_method(exchange, request).await;
    }
    let form = match form(exchange, &mut request).await {
        Ok(form) => form,
        Err((violation, status)) => return unreadable(exchange, request, violation, status).await,
    };
    if matches!(form, Form::None) {
        // What is not there has no charset; Django would read the query in it.
        request.headers.remove(header::CONTENT_TYPE);
    }
    // PHP and others can be told to read cookies like parameters.
    headers::without_cookies(&mut request.headers, is_parameter);
    let query = request.query().to_owned();
    let encoded = match &form {
        Form::Urlencoded(form) => Some(form.as_ref()),
        Form::None | Form::Multipart => None,
    };
    let pairs = exchange.shared.limits.form_pairs;
    let read = Submission::read(query.as_bytes(), encoded, pairs).and_then(|submission| {
        submission
            .handle(&exchange.site.key)
            .map(|handle| (submission, handle))
    });
    let (submission, handle) = match read {
        Ok(read) => read,
        Err(doubt) => return doubtful(exchange, request, &doubt).await,
    };
    let look = elsewhere::look(exchange);
    let heard = concern::hear(exchange, &mut request, look).await;
    // Servers are known that redeem codes here, too. What a sign-in goes on with may look like it (a one-time password beside
    // hidden fields), and can only be it where codes travel as they are.
    let may_redeem = handle.is_none() || exchange.site.settings.rules.any_enforced_upstream_codes();
    if may_redeem && let Some(refused) = elsewhere::refuse(exchange, &mut request, &heard).await {
        return refused;
    }
    if handle.is_some() && (heard.is_planted() || heard.is_in_doubt()) {
        let text = "a code beside the handle of a sign-in";
        return malformed(exchange, request, text, StatusCode::BAD_REQUEST).await;
    }
    // A login page's own fields are the server's affair, but for those that would begin a sign-in or change it. (Another state
    // than the handle only makes the answer one that nobody waits for.)
    let is_multipart = matches!(form, Form::Multipart);
    let in_parts = heard
        .said
        .in_form
        .and(heard.said.in_document)
        .has(Said::AUTHORIZATION)
        || heard.said.unreadable.is_some();
    // Where codes travel as they are, a continuation has nothing to be told by.
    let may_continue = handle.is_some() || exchange.site.settings.rules.any_upstream_codes();
    if is_multipart && (!may_continue || in_parts) {
        let text = if may_continue {
            "a multipart body that may begin a sign-in, or change it"
        } else {
            "multipart is accepted on a continuation only"
        };
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return malformed(exchange, request, text, status).await;
    }
    if let Some(handle) = handle {
        return continuation(exchange, request, &submission, &handle, &heard).await;
    }
    match submission.fresh(request.method == Method::GET) {
        Err(ambiguous) => doubtful(exchange, request, &ambiguous.into()).await,
        Ok(Some(part)) => fresh(exchange, request, &submission, part).await,
        // Servers are known that believe the content rather than its type.
        Ok(None) if heard.said.in_document.has(Said::AUTHORIZATION) => {
            let text = "a document where a form has to be";
            malformed(exchange, request, text, StatusCode::BAD_REQUEST).await
        }
        Ok(None) => pass(exchange, nothing_to_judge(request), None, None).await,
    }
}

/// Frameworks run HEAD as GET: the code would stand in the `Location` of its answer.
fn is_method(request: &Received) -> bool {
    request.method == Method::GET || request.method == Method::POST
}

fn unknown_method() -> Violation {
    Violation::MalformedRequest("an authorization request is a GET or a POST".to_owned())
}

async fn wrong_method(exchange: &Exchange<'_>, mut request: Received) -> Response<Body> {
    let rule = concern::rule(exchange, &mut request).await;
    match exchange.decide_unreadable(rule, request, unknown_method()) {
        Decision::Allow(cleared) | Decision::Report(cleared, _) => {
            pass(exchange, cleared, None, None).await
        }
        Decision::Refuse(..) => reply::method_not_allowed("GET, POST", false),
    }
}

fn is_parameter(cookie: &str) -> bool {
    let decoded = params::decode(cookie.as_bytes());
    // The server's own cookies are called `state` and the like.
    let decisive = PROTECTED
        .iter()
        .copied()
        .filter(|name| *name != "state" && *name != "request");
    let decisive: Vec<&str> = decisive.collect();
    params::is_folding_of(decoded.as_deref().unwrap_or(cookie), &decisive)
}

/// Reads the body, if there is one, leaving it ready to be sent on.
async fn form(
    exchange: &Exchange<'_>,
    request: &mut Received,
) -> Result<Form, (Violation, StatusCode)> {
    let malformed =
        |text: &str, status| Err((Violation::MalformedRequest(text.to_owned()), status));
    if request.method == Method::GET {
        return if http_body::Body::is_end_stream(&request.body) {
            Ok(Form::None)
        } else {
            malformed("a GET request with a body", StatusCode::BAD_REQUEST)
        };
    }
    let media_type = request
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or_default().to_ascii_lowercase();
    let limits = &exchange.shared.limits;
    let unsupported =
        |problem: NoForm| malformed(&problem.to_string(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    if media_type.starts_with("multipart/form-data") {
        return Ok(Form::Multipart);
    }
    match request.body.peek(limits.form_bytes).await {
        Peeked::Whole(body) if body.is_empty() => Ok(Form::None),
        Peeked::Whole(_) if request.headers.contains_key(header::CONTENT_ENCODING) => {
            unsupported(NoForm::MediaType)
        }
        Peeked::Whole(body) => {
            let agrees = |charset: Charset| charset.agrees_on(&body, limits.form_pairs, &PROTECTED);
            match form_charset(&media_type).and_then(agrees) {
                Ok(()) => Ok(Form::Urlencoded(body)),
                Err(problem) => unsupported(problem),
            }
        }
        Peeked::TooLong => malformed("the body is too long", StatusCode::PAYLOAD_TOO_LARGE),
        Peeked::Broken => malformed("the body ends early", StatusCode::BAD_REQUEST),
    }
}

async fn doubtful(exchange: &Exchange<'_>, request: Received, doubt: &Doubt) -> Response<Body> {
    unreadable(
        exchange,
        request,
        authorize::unreadable(doubt),
        StatusCode::BAD_REQUEST,
    )
    .await
}

async fn malformed(
    exchange: &Exchange<'_>,
    request: Received,
    why: &str,
    status: StatusCode,
) -> Response<Body> {
    unreadable(
        exchange,
        request,
        Violation::MalformedRequest(why.to_owned()),
        status,
    )
    .await
}

/// A request that cannot be read.
async fn unreadable(
    exchange: &Exchange<'_>,
    mut request: Received,
    violation: Violation,
    status: StatusCode,
) -> Response<Body> {
    let accept = request.accept();
    let rule = concern::rule(exchange, &mut request).await;
    match exchange.decide_unreadable(rule, request, violation) {
        Decision::Allow(cleared) | Decision::Report(cleared, _) => {
            pass(exchange, cleared, None, None).await
        }
        Decision::Refuse(_, violation) => {
            exchange.page(status, &violation, Vec::new(), accept.as_ref())
        }
    }
}

/// Sends a cleared request on; its answer may carry a code.
async fn pass(
    exchange: &Exchange<'_>,
    cleared: Cleared<Received>,
    begun: Option<Digest>,
    handle: Option<&Handle>,
) -> Response<Body> {
    let browser = exchange.browser(&cleared.get().headers);
    pass_from(exchange, cleared, begun, handle, browser).await
}

/// The same from a browser that is known.
async fn pass_from(
    exchange: &Exchange<'_>,
    cleared: Cleared<Received>,
    begun: Option<Digest>,
    handle: Option<&Handle>,
    browser: Option<Digest>,
) -> Response<Body> {
    let asked = bind::Asked {
        sent: Box::new(cleared.get().sent()),
        browser,
        begun,
        handle,
        at_authorization: true,
        is_plain: true,
    };
    let cleared = cleared.with(|request| Exchange::ask_for_identity(&mut request.headers));
    match exchange.forward(cleared).await {
        Ok(response) => bind::deliver(exchange, asked, response).await,
        Err(failed) => exchange.upstream_failed(failed),
    }
}
