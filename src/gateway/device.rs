//! The device authorization endpoint (RFC 8628 section 3.1): a challenge in the request binds the device code of the answer
//! (`device = "if_present"`). Without one, the request passes.

use http::Response;

use crate::oauth::{CodeKind, DirectRequest, Params};
use crate::policy::{Mode, authorize};

use super::direct;
use super::exchange::Exchange;
use super::issued::{self, Carries};
use super::received::Received;
use super::subject::About;
use super::{hints, reply, token};
use crate::http::body::Body;
use crate::telemetry::Step;

const DEVICE_CODE: Carries = Carries {
    member: "device_code",
    kind: CodeKind::Device,
};

/// Handles a request on a device authorization path.
pub(super) async fn handle(exchange: &Exchange<'_>, request: Received) -> Response<Body> {
    let wrong_method = "a device authorization request must be a POST";
    let (request, body) = match direct::read(exchange, request, wrong_method).await {
        Ok(read) => read,
        Err(answer) => return *answer,
    };
    let params = Params::parse(&body, exchange.snapshot.limits.form_pairs);
    match direct::parse(&params, &request) {
        Ok((params, parsed)) => judged(exchange, request, params, &parsed).await,
        Err(violation) => direct::unreadable(exchange, request, violation).await,
    }
}

async fn judged(
    exchange: &Exchange<'_>,
    request: Received,
    params: &Params<'_>,
    parsed: &DirectRequest<'_>,
) -> Response<Body> {
    let rule = exchange.rule_of_identity(parsed.client.as_ref());
    let verdict = authorize::judge_device(rule, parsed);
    let hint = hints::of_direct_request(rule, parsed, &verdict);
    let recorded = match &verdict {
        Ok(accepted) => accepted.clone(),
        Err(_) => authorize::recorded(rule, parsed.code_challenge, parsed.code_challenge_method),
    };
    let mut violation = verdict.err();
    let is_refused = rule.mode == Mode::Enforce && violation.is_some();
    let issuing = match recorded {
        Some(challenge) if !is_refused && rule.mode != Mode::Off => {
            let begun = direct::begin(exchange, parsed, Some(challenge), rule).await;
            begun.map_err(|error| violation = violation.take().or(Some(error.into())))
        }
        Some(_) | None => Err(()),
    };
    let about = About {
        hint,
        ..direct::about(parsed, Step::Begins)
    };
    let cleared = match exchange.decide(rule, request, violation, &about) {
        Ok(cleared) => cleared,
        Err((_, violation)) => return reply::request_refused(&violation, hint),
    };
    let Ok(issuing) = issuing else {
        return direct::pass(exchange, cleared.into_inner()).await;
    };
    let cleared =
        cleared.with(|request| direct::prepare(exchange, request, params, &issuing, true));
    let sent = cleared.get().sent();
    match exchange.forward(cleared).await {
        Ok(response) if response.status().is_success() => {
            issued::deliver(exchange, &issuing, DEVICE_CODE, &sent, response).await
        }
        // An error of the server, or a redirect, which is no answer of this endpoint.
        answer => token::answer(exchange, rule, answer),
    }
}
