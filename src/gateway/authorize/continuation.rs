//! Requests that continue a sign-in (step 2 of the crate documentation): they carry its handle in `state`, or name its cookie.

use http::{Response, StatusCode};

use crate::flow::submission::Sign;
use crate::flow::{self, ClientState, PendingAuthorization, Submission};
use crate::oauth::error::AuthorizationError;
use crate::oauth::{ErrorCode, RedirectUri, ResponseMode};
use crate::policy::{Rule, Violation};
use crate::store::Pending;

use super::refuse::store_unavailable;
use super::rewrite::{SignIn, rewritten};
use crate::gateway::concern::Heard;
use crate::gateway::exchange::Exchange;
use crate::gateway::received::Received;
use crate::gateway::registered::registered;
use crate::gateway::{browser, reply};
use crate::http::body::Body;

/// Handles such a request: forwards it if the sign-in is live and the request matches its record.
pub(super) async fn continuation(
    exchange: &Exchange<'_>,
    request: Received,
    submission: &Submission<'_>,
    sign: Sign<'_>,
    heard: &Heard,
) -> Response<Body> {
    let handle = sign.handle();
    let accept = request.accept();
    let record = match exchange.store().pending(&handle.into()).await {
        Ok(Pending::Live(record)) => record,
        Ok(Pending::Expired | Pending::Conflict | Pending::Unknown) => {
            // A dead handle is never the client's own state: its checksum is right.
            let violation = Violation::ExpiredSignIn;
            exchange.refuse(&violation, &request.names());
            return exchange.page(StatusCode::BAD_REQUEST, &violation, accept.as_ref());
        }
        Err(error) => {
            return store_unavailable(exchange, error, &request.names(), accept.as_ref());
        }
    };
    exchange.goes_on_for(record.application.client);
    let pushed = submission
        .request_uri()
        .filter(|uri| record.application.pushed == Some(flow::pushed(uri)));
    let said = submission
        .continues(handle, &record, pushed)
        .map_err(Violation::ContinuationMismatch);
    let now = exchange.browser(&request.headers);
    let own = exchange.rule(Some(record.application.client));
    let violation = said
        .and_then(|()| browser::check(exchange, &record, own, now))
        .err();
    let rule = match &violation {
        // The request may concern the client that it names, or any client.
        Some(Violation::ContinuationMismatch(_)) => {
            heard.rule_beside(exchange, record.application.client)
        }
        Some(_) | None => own,
    };
    // Only violations are logged.
    let names = violation.as_ref().map(|_| {
        let names = request.names();
        let client = exchange.site.state.client_name(record.application.client);
        names.or_of(client, record.challenge.as_ref())
    });
    match exchange.decide_on(rule, request, violation, &names.unwrap_or_default()) {
        Ok(cleared) => {
            let sign_in = SignIn {
                sign,
                record: &record,
                browser: now,
                is_pushed: pushed.is_some(),
            };
            rewritten(exchange, cleared, submission, sign_in, None).await
        }
        Err((_, violation)) => {
            let told = Box::pin(tell_client(exchange, submission, &record, rule, &violation)).await;
            told.unwrap_or_else(|| {
                exchange.page(StatusCode::BAD_REQUEST, &violation, accept.as_ref())
            })
        }
    }
}

/// The error response to the client for a sign-in that continues in another browser, so that the client can start again. `None`:
/// for other violations, or if the redirect URI in the request is not known to be the client's.
///
/// With `prompt=none` the error is `login_required` (OpenID Connect Core section 3.1.2.6). The response shows the client's
/// `state` to anyone who has the handle. An attacker cannot use it to inject a code of their own: that code does not match the
/// client's verifier.
async fn tell_client(
    exchange: &Exchange<'_>,
    submission: &Submission<'_>,
    record: &PendingAuthorization,
    rule: &Rule,
    violation: &Violation,
) -> Option<Response<Body>> {
    if *violation != Violation::BrowserMismatch {
        return None;
    }
    if record.state == ClientState::InCookie {
        // The browser that began the sign-in has it.
        return None;
    }
    // If the sign-in began without a redirect URI, the one in this request is not verified.
    record.application.redirect?;
    let uri = RedirectUri::new(submission.redirect_uri()?);
    let to = registered(exchange, record.application.client, rule, &uri).await?;
    let mode = match record.application.response_mode.as_deref() {
        Some(mode) => ResponseMode::parse(mode).filter(|mode| !mode.is_signed())?,
        None => record.application.default_mode()?,
    };
    let issuer = exchange.site.response_issuer();
    let error = AuthorizationError {
        error: if submission.is_silent() {
            ErrorCode::LoginRequired
        } else {
            violation.error()
        },
        description: &violation.to_string(),
        state: record.state.as_str(),
        issuer: issuer.as_deref(),
    };
    Some(reply::authorization_error(&error, &to, mode))
}
