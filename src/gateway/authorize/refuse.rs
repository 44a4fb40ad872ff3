//! Refusals: to the client where that is safe, as a page of our own where it is not.

use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

use crate::flow::Submission;
use crate::flow::submission::Part;
use crate::oauth::authorize::is_own_parameter;
use crate::oauth::error::AuthorizationError;
use crate::oauth::{AuthorizationRequest, ClientId, RedirectUri, ResponseMode, ResponseType};
use crate::policy::{Rule, Violation};
use crate::telemetry::Decided;

use super::super::body::Body;
use super::super::exchange::{Exchange, Received};
use super::super::reply;

pub(super) fn store_unavailable(
    exchange: &Exchange<'_>,
    accept: Option<&HeaderValue>,
) -> Response<Body> {
    let violation = Violation::StoreUnavailable;
    exchange.tell(Decided::Refused, Some(&violation), None);
    exchange.page(
        StatusCode::SERVICE_UNAVAILABLE,
        &violation,
        Vec::new(),
        accept,
    )
}

/// An error response to the client where that is safe, a page of ours where it is not (RFC 6749 section 4.1.2.1).
pub(super) fn refuse(
    exchange: &Exchange<'_>,
    rule: &Rule,
    request: &Received,
    (submission, part, parsed): (&Submission<'_>, Part, &AuthorizationRequest<'_>),
    violation: &Violation,
) -> Response<Body> {
    let mode = match parsed.response_mode {
        // A signed mode cannot be answered without the server's key.
        Some(mode) => ResponseMode::parse(mode),
        None => Some(ResponseType::parse(parsed.response_type.unwrap_or("code")).default_mode()),
    };
    let to = parsed
        .client_id
        .zip(parsed.redirect_uri)
        .and_then(|(client, uri)| {
            exchange
                .site
                .registered(ClientId::new(client).digest(), rule, &RedirectUri::new(uri))
        });
    if *violation == Violation::StoreUnavailable {
        return exchange.page(
            StatusCode::SERVICE_UNAVAILABLE,
            violation,
            Vec::new(),
            request.headers.get(header::ACCEPT),
        );
    }
    match (to, mode) {
        (Some(to), Some(mode)) => {
            let (state, issuer) = (
                submission.client_state(part),
                exchange.site.response_issuer(),
            );
            let error = AuthorizationError {
                error: violation.error(),
                description: &violation.hint(),
                state: state.as_str(),
                issuer: issuer.as_deref(),
            };
            reply::authorization_error(&error, &to, mode)
        }
        (None, _) | (_, None) => {
            let shown = redacted(submission, part);
            exchange.page(
                StatusCode::BAD_REQUEST,
                violation,
                shown,
                request.headers.get(header::ACCEPT),
            )
        }
    }
}

/// The request as it may be shown: what could be a secret is only measured.
fn redacted(submission: &Submission<'_>, part: Part) -> Vec<(String, String)> {
    const SHOWN: [&str; 7] = [
        "client_id",
        "redirect_uri",
        "response_type",
        "response_mode",
        "scope",
        "code_challenge_method",
        "prompt",
    ];
    let own = submission
        .part(part)
        .iter()
        .filter(|pair| is_own_parameter(pair.name()));
    own.map(|pair| {
        let shown = if SHOWN.contains(&pair.name()) {
            pair.value().chars().take(200).collect()
        } else {
            format!("({} characters)", pair.value().chars().count())
        };
        (pair.name().to_owned(), shown)
    })
    .collect()
}
