//! Malformed and ambiguous requests. They are judged by the rule of the clients that they may concern.

use http::{Method, Response, StatusCode};

use crate::flow::submission::Doubt;
use crate::gateway::exchange::Exchange;
use crate::gateway::received::Received;
use crate::gateway::token::form::Unreadable;
use crate::gateway::{concern, reply};
use crate::http::body::Body;
use crate::policy::Violation;
use crate::suspicion::{Said, Suspicion};

use super::pass::pass;

/// Whether the method is GET or POST. HEAD is not allowed: frameworks run it as GET, and the `Location` would contain the code.
pub(super) fn is_method(method: &Method) -> bool {
    method == Method::GET || method == Method::POST
}

/// Judges a multipart body by the scan of its request. `may_continue`: whether the request may continue a sign-in.
pub(super) fn multipart(said: &Suspicion, may_continue: bool) -> Result<(), Unreadable> {
    let in_body = said.in_form.and(said.in_document);
    let text = if !may_continue {
        "a multipart body is only accepted in a request that continues a sign-in"
    } else if in_body.has(Said::AUTHORIZATION) || said.unreadable.is_some() {
        "a multipart body must not begin or change a sign-in"
    } else {
        return Ok(());
    };
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Err((Violation::malformed(text), status))
}

/// Judges a request that begins no sign-in by the scan: some servers detect JSON and XML by the content, whatever the Content-Type
/// is.
pub(super) fn document(said: &Suspicion) -> Result<(), Unreadable> {
    if said.in_document.has(Said::AUTHORIZATION) {
        let text = "expected a form-encoded body, but it looks like JSON or XML";
        return Err((Violation::malformed(text), StatusCode::BAD_REQUEST));
    }
    Ok(())
}

pub(super) fn unknown_method() -> Violation {
    Violation::malformed("an authorization request must be a GET or a POST")
}

pub(super) async fn wrong_method(exchange: &Exchange<'_>, mut request: Received) -> Response<Body> {
    let rule = concern::rule(exchange, &mut request).await;
    match exchange.decide_unreadable(rule, request, unknown_method()) {
        Ok(cleared) => pass(exchange, cleared, None).await,
        Err(_) => reply::method_not_allowed("GET, POST", false),
    }
}

pub(super) async fn doubtful(
    exchange: &Exchange<'_>,
    request: Received,
    doubt: Doubt,
) -> Response<Body> {
    unreadable(exchange, request, doubt.into(), StatusCode::BAD_REQUEST).await
}

/// Refuses such a request with `status`, or forwards it in report mode.
pub(super) async fn unreadable(
    exchange: &Exchange<'_>,
    mut request: Received,
    violation: Violation,
    status: StatusCode,
) -> Response<Body> {
    let accept = request.accept();
    let rule = concern::rule(exchange, &mut request).await;
    match exchange.decide_unreadable(rule, request, violation) {
        Ok(cleared) => pass(exchange, cleared, None).await,
        Err((_, violation)) => exchange.page(status, &violation, accept.as_ref()),
    }
}
