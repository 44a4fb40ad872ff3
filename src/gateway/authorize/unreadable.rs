//! Malformed and ambiguous requests. They are judged by the rule of the clients that they may concern.

use http::{Method, Response, StatusCode};

use crate::flow::submission::Doubt;
use crate::gateway::exchange::Exchange;
use crate::gateway::received::Received;
use crate::gateway::{concern, reply};
use crate::http::body::Body;
use crate::policy::Violation;

use super::pass::pass;

/// Whether the method is GET or POST. HEAD is not allowed: frameworks run it as GET, and the `Location` would contain the code.
pub(super) fn is_method(request: &Received) -> bool {
    request.method == Method::GET || request.method == Method::POST
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
