//! Rule 2 of the walk: a request that carries a live handle goes on with a sign-in.

use http::{Response, StatusCode};

use crate::flow::submission::{Part, Towards};
use crate::flow::{Handle, PendingAuthorization, Submission};
use crate::oauth::error::AuthorizationError;
use crate::oauth::{CodeChallenge, Digest, ErrorCode, RedirectUri, ResponseMode};
use crate::policy::{Cleared, Decision, Rule, Verdict, Violation, apply};
use crate::store::Pending;
use crate::telemetry::Decided;

use super::super::body::Body;
use super::super::concern::Heard;
use super::super::exchange::{Exchange, NOBODY};
use super::super::received::{Names, Received, Unwritable};
use super::super::{ToUpstream, browser, reply};
use super::{pass_from, store_unavailable};

/// Rule 2: the sign-in goes on.
pub(super) async fn continuation(
    exchange: &Exchange<'_>,
    request: Received,
    (submission, handle): (&Submission<'_>, &Handle),
    heard: &Heard,
) -> Response<Body> {
    let accept = request.accept();
    let record = match exchange.site.store.pending(handle.digest()).await {
        Ok(Pending::Live(record)) => record,
        Ok(Pending::Expired | Pending::Conflict | Pending::Unknown) => {
            // Rule 5: a dead handle is never a state of the client's own.
            let violation = Violation::ExpiredSignIn;
            exchange.tell(
                Decided::Refused,
                Some(&violation),
                request.names().as_named(),
            );
            return exchange.page(
                StatusCode::BAD_REQUEST,
                &violation,
                Vec::new(),
                accept.as_ref(),
            );
        }
        Err(error) => return store_unavailable(exchange, error, NOBODY, accept.as_ref()),
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
        names.or_of(exchange.site.client_name(record.client))
    });
    let whom = names.as_ref().map_or(NOBODY, Names::as_named);
    match apply(
        rule.mode,
        Verdict {
            subject: request,
            violation,
        },
    ) {
        Decision::Refuse(_, violation) => {
            exchange.tell(Decided::Refused, Some(&violation), whom);
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
        Decision::Report(cleared, violation) => {
            exchange.tell(Decided::Reported, Some(&violation), whom);
            rewritten(exchange, cleared, submission, (handle, &record, now), None).await
        }
        Decision::Allow(cleared) => {
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
    let to = exchange.site.registered(record.client, rule, &uri)?;
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

/// Forwards with the handle in every `state` and PKCE as configured, from the browser with that cookie.
pub(super) async fn rewritten(
    exchange: &Exchange<'_>,
    cleared: Cleared<Received>,
    submission: &Submission<'_>,
    (handle, record, now): (&Handle, &PendingAuthorization, Option<Digest>),
    fresh: Option<Part>,
) -> Response<Body> {
    let challenge = record.challenge.as_ref().and_then(CodeChallenge::useful);
    let towards = match (exchange.site.settings.to_upstream, challenge) {
        (ToUpstream::Strip, _) => Towards::Strip,
        (ToUpstream::Forward, Some(challenge)) => Towards::Forward(challenge),
        (ToUpstream::Forward, None) => Towards::AsSent,
    };
    let parts = submission.towards_upstream(handle, fresh, towards);
    let accept = cleared.get().accept();
    let cleared = cleared.amend(|request| {
        if request.target.query().is_some() || !parts.query.is_empty() {
            request.set_query(&parts.query)?;
        }
        if let Some(form) = parts.form {
            request.body.replace(form);
        }
        Ok::<(), Unwritable>(())
    });
    let Ok(cleared) = cleared else {
        return exchange.unwritable(accept.as_ref());
    };
    let begun = fresh.map(|_| handle.digest());
    let browser = browser::of(exchange, record, now);
    pass_from(exchange, cleared, begun, (Some(handle), browser)).await
}
