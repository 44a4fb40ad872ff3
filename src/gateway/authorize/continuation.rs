//! Rule 2 of the walk: a request that carries a live handle goes on with a sign-in.

use http::{Response, StatusCode};

use crate::flow::submission::{Part, Towards};
use crate::flow::{Handle, Submission};
use crate::oauth::CodeChallenge;
use crate::policy::{Cleared, Decision, Verdict, Violation, apply};
use crate::store::Pending;
use crate::telemetry::Decided;

use super::super::body::Body;
use super::super::exchange::{Exchange, Received};
use super::super::{ToUpstream, browser};
use super::{pass, store_unavailable};

/// Rule 2: the sign-in goes on.
pub(super) async fn continuation(
    exchange: &Exchange<'_>,
    request: Received,
    submission: &Submission<'_>,
    handle: &Handle,
) -> Response<Body> {
    let accept = request.accept();
    let record = match exchange.site.store.pending(handle.digest()).await {
        Ok(Pending::Live(record)) => record,
        Ok(Pending::Expired | Pending::Conflict | Pending::Unknown) => {
            // Rule 5: a dead handle is never a state of the client's own.
            let violation = Violation::ExpiredSignIn;
            exchange.tell(Decided::Refused, Some(&violation), None);
            return exchange.page(
                StatusCode::BAD_REQUEST,
                &violation,
                Vec::new(),
                accept.as_ref(),
            );
        }
        Err(_) => return store_unavailable(exchange, accept.as_ref()),
    };
    let said = submission
        .continues(handle, &record)
        .map_err(|mismatch| Violation::ContinuationMismatch(mismatch.0));
    let violation = said
        .and_then(|()| browser::check(exchange, &record, &request.headers))
        .err();
    let rule = exchange.rule(Some(record.client));
    match apply(
        rule.mode,
        Verdict {
            subject: request,
            violation,
        },
    ) {
        Decision::Refuse(_, violation) => {
            exchange.tell(Decided::Refused, Some(&violation), None);
            exchange.page(
                StatusCode::BAD_REQUEST,
                &violation,
                Vec::new(),
                accept.as_ref(),
            )
        }
        Decision::Report(cleared, violation) => {
            exchange.tell(Decided::Reported, Some(&violation), None);
            rewritten(
                exchange,
                cleared,
                submission,
                (handle, record.challenge.as_ref()),
                None,
            )
            .await
        }
        Decision::Allow(cleared) => {
            rewritten(
                exchange,
                cleared,
                submission,
                (handle, record.challenge.as_ref()),
                None,
            )
            .await
        }
    }
}

/// Forwards with the handle in every `state` and PKCE as configured.
pub(super) async fn rewritten(
    exchange: &Exchange<'_>,
    cleared: Cleared<Received>,
    submission: &Submission<'_>,
    (handle, challenge): (&Handle, Option<&CodeChallenge>),
    fresh: Option<Part>,
) -> Response<Body> {
    let towards = match (exchange.site.settings.to_upstream, challenge) {
        (ToUpstream::Strip, _) => Towards::Strip,
        (ToUpstream::Forward, Some(challenge)) => Towards::Forward(challenge),
        (ToUpstream::Forward, None) => Towards::AsSent,
    };
    let parts = submission.towards_upstream(handle, fresh, towards);
    let cleared = cleared.map(|mut request| {
        let query = String::from_utf8(parts.query).unwrap_or_default();
        if request.target.query().is_some() || !query.is_empty() {
            request.set_query(&query);
        }
        if let Some(form) = parts.form {
            request.body.replace(form);
        }
        request
    });
    let begun = fresh.map(|_| handle.digest());
    pass(exchange, cleared, begun, Some(handle)).await
}
