//! Refusals of fresh requests.

use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

use crate::flow::Submission;
use crate::flow::submission::Part;
use crate::oauth::authorize::is_own_parameter;
use crate::oauth::error::AuthorizationError;
use crate::oauth::{AuthorizationRequest, RedirectUri, ResponseMode};
use crate::pages::Refused;
use crate::policy::hint::told;
use crate::policy::{Rule, Violation};
use crate::store::StoreError;

use super::form::is_json;
use super::parsed::Fresh;
use crate::gateway::exchange::Exchange;
use crate::gateway::received::Received;
use crate::gateway::registered::registered;
use crate::gateway::reply;
use crate::gateway::sign_in_cookies::LONGEST_STATE;
use crate::gateway::subject::About;
use crate::http::body::Body;

/// Refuses a request because the store failed or is full.
pub(super) fn store_unavailable(
    exchange: &Exchange<'_>,
    error: StoreError,
    about: &About<'_>,
    accept: Option<&HeaderValue>,
) -> Response<Body> {
    let violation = Violation::from(error);
    exchange.refuse(&violation, about);
    // The page has another status if the store is full or failed.
    exchange.page(StatusCode::BAD_REQUEST, &violation, accept)
}

/// The same for a fresh request.
pub(super) async fn fresh_unavailable(
    exchange: &Exchange<'_>,
    fresh: &Fresh<'_>,
    error: StoreError,
    request: &Received,
) -> Response<Body> {
    let violation = Violation::from(error);
    exchange.refuse(&violation, &fresh.about());
    refuse(exchange, request, fresh, &violation).await
}

/// Refuses a fresh request whose state no cookie can keep.
pub(super) async fn state_too_long(
    exchange: &Exchange<'_>,
    fresh: &Fresh<'_>,
    request: &Received,
) -> Response<Body> {
    let violation = Violation::malformed(&format!(
        "state is too long: this gate keeps {LONGEST_STATE} bytes; send a short random value, and keep the rest in the client"
    ));
    exchange.refuse(&violation, &fresh.about());
    refuse(exchange, request, fresh, &violation).await
}

/// Redirects the error to the client if the redirect URI is known to be its own, else shows a page (RFC 6749 section 4.1.2.1).
pub(super) async fn refuse(
    exchange: &Exchange<'_>,
    request: &Received,
    fresh: &Fresh<'_>,
    violation: &Violation,
) -> Response<Body> {
    let accept = request.headers.get(header::ACCEPT);
    if reply::unavailable_for(violation).is_some() {
        return exchange.page(StatusCode::SERVICE_UNAVAILABLE, violation, accept);
    }
    let hint = fresh.hint_on(violation);
    let page = |accept| {
        let refused = Refused {
            violation,
            hint,
            id: exchange.id,
            missing: missing(fresh.rule, &fresh.parsed),
            request: redacted(fresh.submission, fresh.part),
        };
        reply::page(StatusCode::BAD_REQUEST, &refused, accept)
    };
    if is_json(exchange, request) {
        // The script that sent it reads the error.
        let json = HeaderValue::from_static("application/json");
        return page(Some(&json));
    }
    let mode = match fresh.parsed.response_mode {
        // `None` for a signed mode: the gate does not have the server's key.
        Some(mode) => ResponseMode::parse(mode).filter(|mode| !mode.is_signed()),
        None => Some(fresh.response_type().default_mode()),
    };
    let named = fresh.client.as_ref().zip(fresh.parsed.redirect_uri);
    let to = match named {
        Some((client, uri)) => {
            let uri = RedirectUri::new(uri);
            registered(exchange, client.digest(), fresh.rule, &uri).await
        }
        None => None,
    };
    let (Some(to), Some(mode)) = (to, mode) else {
        return page(accept);
    };
    let state = fresh.submission.client_state(fresh.part);
    let issuer = exchange.site.response_issuer();
    let error = AuthorizationError {
        error: violation.error(),
        description: &told(violation, hint),
        state: state.as_str(),
        issuer: issuer.as_deref(),
    };
    reply::authorization_error(&error, &to, mode)
}

/// The required parameters that the request lacks, for the page.
fn missing(rule: &Rule, parsed: &AuthorizationRequest<'_>) -> Vec<&'static str> {
    let (challenge, method) = (parsed.code_challenge, parsed.code_challenge_method);
    let with_pkce = rule.challenge_required || challenge.is_some() || method.is_some();
    let has_method = method.is_some() || rule.assume_method.is_some();
    let required = [
        ("client_id", parsed.client_id.is_some()),
        ("response_type", parsed.response_type.is_some()),
        ("code_challenge", challenge.is_some() || !with_pkce),
        ("code_challenge_method", has_method || !with_pkce),
    ];
    let absent = required.into_iter().filter(|(_, is_there)| !is_there);
    absent.map(|(name, _)| name).collect()
}

/// The parameters of the request for the page. Of values that may be secret only the length is shown.
pub(super) fn redacted(submission: &Submission<'_>, part: Part) -> Vec<(String, String)> {
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
