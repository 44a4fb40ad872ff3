//! Rule 2 of the walk: a request that carries a live handle goes on with a sign-in.

use http::{Response, StatusCode};

use crate::flow::{Handle, PendingAuthorization, Submission};
use crate::oauth::error::AuthorizationError;
use crate::oauth::{ErrorCode, RedirectUri, ResponseMode};
use crate::policy::{Decision, Rule, Verdict, Violation};
use crate::store::Pending;

use super::refuse::store_unavailable;
use super::rewrite::rewritten;
use crate::gateway::concern::Heard;
use crate::gateway::exchange::Exchange;
use crate::gateway::received::Received;
use crate::gateway::{browser, reply};
use crate::http::body::Body;

/// Rule 2: the sign-in goes on.
pub(super) async fn continuation(
    exchange: &Exchange<'_>,
    request: Received,
    (submission, handle): (&Submission<'_>, &Handle),
    heard: &Heard,
) -> Response<Body> {
    let accept = request.accept();
    let record = match exchange.site.state.store.pending(handle.digest()).await {
        Ok(Pending::Live(record)) => record,
        Ok(Pending::Expired | Pending::Conflict | Pending::Unknown) => {
            // Rule 5: a dead handle is never a state of the client's own.
            let violation = Violation::ExpiredSignIn;
            exchange.refuse(&violation, request.names().about());
            return exchange.page(
                StatusCode::BAD_REQUEST,
                &violation,
                Vec::new(),
                accept.as_ref(),
            );
        }
        Err(error) => {
            let names = request.names();
            return store_unavailable(exchange, error, names.about(), accept.as_ref());
        }
    };
    exchange.goes_on_for(record.client);
    let said = submission
        .continues(handle, &record)
        .map_err(|mismatch| Violation::ContinuationMismatch(mismatch.0));
    let now = exchange.browser(&request.headers);
    let own = exchange.rule(Some(record.client));
    let violation = said
        .and_then(|()| browser::check(exchange, (&record, own), now))
        .err();
    let rule = match &violation {
        // It may be about the client that it names, or about any client.
        Some(Violation::ContinuationMismatch(_)) => heard.rule_beside(exchange, record.client),
        Some(_) | None => own,
    };
    // Only a refusal is told.
    let names = violation.as_ref().map(|_| {
        let names = request.names();
        let client = exchange.site.state.client_name(record.client);
        names.or_of(client, record.challenge.as_ref())
    });
    let verdict = Verdict {
        subject: request,
        violation,
    };
    match exchange.decide_on(rule, verdict, names.unwrap_or_default().about()) {
        Decision::Refuse(_, violation) => {
            let told = tell_client(exchange, submission, (&record, rule), &violation);
            told.unwrap_or_else(|| {
                exchange.page(
                    StatusCode::BAD_REQUEST,
                    &violation,
                    Vec::new(),
                    accept.as_ref(),
                )
            })
        }
        Decision::Allow(cleared) | Decision::Report(cleared, _) => {
            rewritten(exchange, cleared, submission, (handle, &record, now), None).await
        }
    }
}

/// Another browser is told to the client, which can begin anew, where the redirect URI that the request repeats is known to be its.
/// Where nobody is to see a page (`prompt=none`) somebody has to sign in (OpenID Connect Core section 3.1.2.6). Whoever has the
/// handle learns the client's `state` so; with a code of their own it is of no use, because that client's verifier does not fit it.
fn tell_client(
    exchange: &Exchange<'_>,
    submission: &Submission<'_>,
    (record, rule): (&PendingAuthorization, &Rule),
    violation: &Violation,
) -> Option<Response<Body>> {
    if *violation != Violation::BrowserMismatch {
        return None;
    }
    // Where the sign-in began without one, the one that is sent is a guess.
    record.redirect?;
    let uri = RedirectUri::new(submission.redirect_uri()?);
    let to = exchange.site.state.registered(record.client, rule, &uri)?;
    let mode = match record.response_mode.as_deref() {
        Some(mode) => ResponseMode::parse(mode)?,
        None => record.default_mode()?,
    };
    let issuer = exchange.site.response_issuer();
    let error = AuthorizationError {
        error: if submission.is_silent() {
            ErrorCode::LoginRequired
        } else {
            violation.error()
        },
        description: &violation.hint(),
        state: record.state.as_str(),
        issuer: issuer.as_deref(),
    };
    Some(reply::authorization_error(&error, &to, mode))
}
