//! Rule 3 of the walk: a fresh authorization request is judged in full and held.

use http::Response;
use http::header::{self, HeaderValue};

use crate::flow::submission::Part;
use crate::flow::{PendingAuthorization, Submission};
use crate::oauth::{
    AuthorizationRequest, ClientId, CodeChallenge, Digest, RedirectUri, ResponseType,
};
use crate::policy::{Decision, Mode, Rule, Verdict, Violation, apply, authorize};
use crate::store::{Held, Place};

use super::super::body::Body;
use super::super::exchange::{Exchange, Received};
use super::super::{Entry, bind, browser, reply};
use super::continuation::rewritten;
use super::refuse::refuse;
use super::{doubtful, pass, store_unavailable};

/// Rule 3: a fresh authorization request.
pub(super) async fn fresh(
    exchange: &Exchange<'_>,
    request: Received,
    submission: &Submission<'_>,
    part: Part,
) -> Response<Body> {
    let parsed = match submission.request(part) {
        Ok(parsed) => parsed,
        Err(doubt) => return doubtful(exchange, request, &doubt).await,
    };
    let client = parsed.client_id.map(ClientId::new);
    let rule = exchange.rule(client.as_ref().map(ClientId::digest));
    let verdict = authorize::judge(rule, &parsed);
    let Ok(tie) = browser::tie(exchange, &request.headers) else {
        return store_unavailable(exchange, request.headers.get(header::ACCEPT));
    };
    let pending = pending(
        submission,
        part,
        &parsed,
        verdict.subject.clone(),
        tie.digest,
    );
    if !rule.uses_handles() {
        let decision = hold_correlated(exchange, rule, verdict, &pending, client.as_ref()).await;
        return match decision {
            Decision::Allow(cleared) | Decision::Report(cleared, _) => {
                let begun = Some(correlation(&pending));
                let response = pass(exchange, cleared.map(|_| request), begun).await;
                with_cookie(
                    response,
                    tie.set_cookie.filter(|_| rule.mode == Mode::Enforce),
                )
            }
            Decision::Refuse(_, violation) => refuse(
                exchange,
                rule,
                &request,
                (submission, part, &parsed),
                &violation,
            ),
        };
    }
    let cleared = match exchange.decide(rule, verdict, client.as_ref()) {
        Decision::Allow(cleared) | Decision::Report(cleared, _) => cleared,
        Decision::Refuse(_, violation) => {
            return refuse(
                exchange,
                rule,
                &request,
                (submission, part, &parsed),
                &violation,
            );
        }
    };
    if !ResponseType::parse(parsed.response_type.unwrap_or_default()).yields_code()
        && pending.challenge.is_none()
    {
        return pass(exchange, cleared.map(|_| request), None).await;
    }
    let handle = match exchange.site.store.hold(Place::Handle, &pending).await {
        Ok(Held::Handle(handle)) => handle,
        Ok(Held::New | Held::Again | Held::Conflict) | Err(_) => {
            return store_unavailable(exchange, request.headers.get(header::ACCEPT));
        }
    };
    let redirectable =
        submission.is_pure_request() && !request.headers.contains_key(header::AUTHORIZATION);
    if exchange.site.settings.entry == Entry::Redirect && redirectable {
        let query = String::from_utf8(submission.entry_query(part, &handle)).unwrap_or_default();
        return reply::entry(
            &format!("{}?{query}", request.path),
            tie.set_cookie.as_deref(),
        );
    }
    let cleared = cleared.map(|_| request);
    let challenge = pending.challenge.as_ref();
    let response = rewritten(
        exchange,
        cleared,
        submission,
        (&handle, challenge),
        Some(part),
    )
    .await;
    with_cookie(response, tie.set_cookie)
}

fn with_cookie(mut response: Response<Body>, cookie: Option<String>) -> Response<Body> {
    if let Some(Ok(cookie)) = cookie.map(HeaderValue::try_from) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// The record of a fresh request.
pub(super) fn pending(
    submission: &Submission<'_>,
    part: Part,
    parsed: &AuthorizationRequest<'_>,
    challenge: Option<CodeChallenge>,
    browser: Option<Digest>,
) -> PendingAuthorization {
    PendingAuthorization {
        challenge,
        client: ClientId::new(parsed.client_id.unwrap_or_default()).digest(),
        redirect: parsed
            .redirect_uri
            .map(|uri| RedirectUri::new(uri).digest()),
        state: submission.client_state(part),
        response_type: parsed.response_type.map(Into::into),
        response_mode: parsed.response_mode.map(Into::into),
        browser,
    }
}

/// Under what a request is found again when nothing on the wire is rewritten.
fn correlation(pending: &PendingAuthorization) -> Digest {
    let target = pending.redirect.map(|redirect| redirect.target());
    bind::correlation(target, pending.state.as_str().unwrap_or_default())
}

/// Decides about a request whose values travel unchanged, and holds it under them. The same request once more (a
/// login that comes back to the authorization path) is no second decision.
pub(super) async fn hold_correlated(
    exchange: &Exchange<'_>,
    rule: &Rule,
    verdict: Verdict<Option<CodeChallenge>>,
    pending: &PendingAuthorization,
    client: Option<&ClientId>,
) -> Decision<Option<CodeChallenge>> {
    let refused = rule.mode == Mode::Enforce && verdict.violation.is_some();
    if refused {
        return exchange.decide(rule, verdict, client);
    }
    match exchange
        .site
        .store
        .hold(Place::Digest(correlation(pending)), pending)
        .await
    {
        Ok(Held::Again) => apply(rule.mode, verdict),
        Ok(Held::New | Held::Conflict | Held::Handle(_)) => exchange.decide(rule, verdict, client),
        Err(_) => {
            let violation = Some(Violation::StoreUnavailable);
            exchange.decide(
                rule,
                Verdict {
                    subject: verdict.subject,
                    violation,
                },
                client,
            )
        }
    }
}
