//! The responses that the gate creates itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use sha2::{Digest as _, Sha256};

use crate::oauth::error::{AuthorizationError, description};
use crate::oauth::{ErrorCode, RegisteredRedirectUri, ResponseMode};
use crate::pages::{self, Refused};
use crate::policy::hint::told;
use crate::policy::{Hint, NoRoom, Violation};
use crate::store::{Limit, StoreError};

use crate::http::body::Body;
use crate::http::headers::set;

/// Default of Retry-After, in seconds.
const RETRY_AFTER: u64 = 5;

/// A response that must not be cached.
fn response(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<bytes::Bytes>,
) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(8);
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::PRAGMA, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn html(status: StatusCode, script: Option<&str>, page: String) -> Response<Body> {
    let mut response = response(status, "text/html; charset=utf-8", page);
    let script = script.map_or("'none'".to_owned(), |script| {
        let hash = STANDARD.encode(Sha256::digest(script.as_bytes()));
        format!("'sha256-{hash}'")
    });
    let name = header::CONTENT_SECURITY_POLICY;
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src {script}; frame-ancestors 'none'"
    );
    set(response.headers_mut(), name, &policy);
    response
}

/// An error response of the token endpoint (RFC 6749 section 5.2). Without CORS fields, browsers show scripts only "Failed to
/// fetch".
fn oauth_json(status: StatusCode, error: ErrorCode, text: &str) -> Response<Body> {
    let body =
        serde_json::json!({ "error": error.as_str(), "error_description": description(text) });
    let mut response = response(status, "application/json", body.to_string());
    let name = header::ACCESS_CONTROL_ALLOW_ORIGIN;
    set(response.headers_mut(), name, "*");
    response
}

fn later(mut response: Response<Body>, seconds: u64) -> Response<Body> {
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

impl From<StoreError> for Violation {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoRoom(limit, wait) => Self::NoRoom(NoRoom {
                reason: limit.reason(),
                is_of_network: matches!(limit, Limit::Network | Limit::Rate),
                wait,
            }),
            StoreError::TooLong => Self::malformed(&error.to_string()),
            StoreError::Entropy
            | StoreError::Unreachable
            | StoreError::Deadline
            | StoreError::TooFewReplicas => Self::StoreUnavailable,
        }
    }
}

/// The status and the Retry-After seconds for a violation that means that the store is unavailable or full. `None`: another
/// violation.
pub(crate) fn unavailable_for(violation: &Violation) -> Option<(StatusCode, u64)> {
    if let Violation::NoRoom(room) = violation {
        // RFC 6585 section 4.
        let status = if room.is_of_network {
            StatusCode::TOO_MANY_REQUESTS
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        return Some((status, room.seconds()));
    }
    (violation.error() == ErrorCode::TemporarilyUnavailable)
        .then_some((StatusCode::SERVICE_UNAVAILABLE, RETRY_AFTER))
}

/// The refusal of a token request. The default status is 400.
pub(crate) fn token_refused(violation: &Violation, status: Option<StatusCode>) -> Response<Body> {
    refused(violation, None, violation.error_at_token(), status)
}

/// The refusal of a redemption. `hint` must be made from the request alone.
pub(crate) fn redemption_refused(violation: &Violation, hint: Option<Hint>) -> Response<Body> {
    refused(violation, hint, violation.error_at_token(), None)
}

/// The refusal of a device authorization request (RFC 8628 section 3.2): its challenge is an error of the request, not of a grant.
pub(crate) fn request_refused(violation: &Violation, hint: Option<Hint>) -> Response<Body> {
    refused(violation, hint, violation.error(), None)
}

fn refused(
    violation: &Violation,
    hint: Option<Hint>,
    error: ErrorCode,
    status: Option<StatusCode>,
) -> Response<Body> {
    let text = told(violation, hint);
    match unavailable_for(violation) {
        Some((status, seconds)) => later(oauth_json(status, error, &text), seconds),
        None => oauth_json(status.unwrap_or(StatusCode::BAD_REQUEST), error, &text),
    }
}

/// An OAuth error response: the upstream is not available.
pub(crate) fn token_unavailable(status: StatusCode, text: &str) -> Response<Body> {
    let error = match status {
        StatusCode::SERVICE_UNAVAILABLE => ErrorCode::TemporarilyUnavailable,
        _ => ErrorCode::ServerError,
    };
    later(oauth_json(status, error, text), RETRY_AFTER)
}

/// The same in plain text, for routes other than the token endpoint.
pub(crate) fn unavailable(status: StatusCode, text: &str) -> Response<Body> {
    later(bad_request(status, text), RETRY_AFTER)
}

/// A refusal in plain text.
pub(crate) fn bad_request(status: StatusCode, text: &str) -> Response<Body> {
    response(status, "text/plain; charset=utf-8", format!("{text}\n"))
}

/// 405 with the allowed methods.
pub(crate) fn method_not_allowed(allow: &'static str, json: bool) -> Response<Body> {
    let text = "this method is not allowed here";
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let mut response = if json {
        oauth_json(status, ErrorCode::InvalidRequest, text)
    } else {
        bad_request(status, text)
    };
    set(response.headers_mut(), header::ALLOW, allow);
    response
}

/// A redirect to the same path, or to a client.
pub(crate) fn redirect(location: HeaderValue) -> Response<Body> {
    let mut response = response(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", "");
    response.headers_mut().insert(header::LOCATION, location);
    response
}

/// An authorization error response, to a redirect URI that is known to be the client's.
pub(crate) fn authorization_error(
    error: &AuthorizationError<'_>,
    to: &RegisteredRedirectUri,
    mode: ResponseMode,
) -> Response<Body> {
    let location = error.location(to, mode);
    match location.map(HeaderValue::try_from) {
        Some(Ok(location)) => redirect(location),
        // A redirect URI that is not a valid field value was not learned from a `Location`, so a form_post page is sent.
        Some(Err(_)) | None => {
            let page = pages::form_post(to.as_str(), error.parameters());
            html(StatusCode::OK, Some(pages::SUBMIT), page)
        }
    }
}

/// The error page for a request that cannot be answered with a redirect: a sentence for the user, and details for the developer.
/// JSON if the request asks for JSON. If the store is unavailable or full, the status says that instead.
pub(crate) fn page(
    status: StatusCode,
    refused: &Refused<'_>,
    accept: Option<&HeaderValue>,
) -> Response<Body> {
    let violation = refused.violation;
    let unavailable = unavailable_for(violation);
    let status = unavailable.map_or(status, |(status, _)| status);
    let retry_after = unavailable.map(|(_, seconds)| seconds);
    let response = if prefers_json(accept) {
        let mut body = serde_json::json!({
            "error": violation.error().as_str(),
            "error_description": description(&told(violation, refused.hint)),
            "violation": violation.label(),
            "request_id": refused.id.to_string(),
        });
        if let (Some(hint), Some(members)) = (refused.hint, body.as_object_mut()) {
            members.insert("hint".to_owned(), hint.code().into());
        }
        response(status, "application/json", body.to_string())
    } else {
        html(status, None, pages::refused(refused, retry_after))
    };
    match retry_after {
        Some(seconds) => later(response, seconds),
        None => response,
    }
}

/// Whether JSON is named in Accept and HTML is not.
fn prefers_json(accept: Option<&HeaderValue>) -> bool {
    accept
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| {
            let accept = accept.to_ascii_lowercase();
            accept.contains("application/json") && !accept.contains("text/html")
        })
}

/// A JSON document that may be cached.
pub(crate) fn document(json: Vec<u8>, max_age: &'static str) -> Response<Body> {
    let mut response = response(StatusCode::OK, "application/json", json);
    set(response.headers_mut(), header::CACHE_CONTROL, max_age);
    response.headers_mut().remove(header::PRAGMA);
    response
}

/// Permits scripts of any origin to read a document, with any header fields (CORS).
pub(crate) fn preflight() -> Response<Body> {
    let mut response = response(StatusCode::NO_CONTENT, "text/plain; charset=utf-8", "");
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"),
        // Of the fields, `*` does not include Authorization, which such a request needs not.
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "*"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ] {
        set(headers, name, value);
    }
    response
}

/// 500 without details.
pub(crate) fn internal_error() -> Response<Body> {
    bad_request(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
}

/// Forbids caching of an answer that carries a code, whatever the upstream says.
pub(crate) fn not_to_be_stored(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.remove(HeaderName::from_static("expires"));
}

/// Sets cookies, except those that the answer sets already: it limits how long the state of its sign-in is kept.
pub(crate) fn with_cookies(
    mut response: Response<Body>,
    cookies: Vec<HeaderValue>,
) -> Response<Body> {
    fn name(cookie: &HeaderValue) -> Option<&[u8]> {
        cookie.as_bytes().split(|&byte| byte == b'=').next()
    }
    for cookie in cookies {
        let mut set = response.headers().get_all(header::SET_COOKIE).iter();
        if !set.any(|other| name(other) == name(&cookie)) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::RequestId;
    use http_body_util::BodyExt as _;

    fn text(response: Response<Body>) -> String {
        let bytes = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(response.collect());
        String::from_utf8(bytes.unwrap().to_bytes().to_vec()).unwrap()
    }

    fn refused(accept: &'static str) -> String {
        let request = vec![(
            "client_id".to_owned(),
            "<script>alert(1)</script>".to_owned(),
        )];
        let violation = Violation::MissingChallenge;
        let refused = Refused {
            violation: &violation,
            hint: None,
            id: RequestId(7),
            missing: Vec::new(),
            request,
        };
        let accept = HeaderValue::from_static(accept);
        text(page(StatusCode::BAD_REQUEST, &refused, Some(&accept)))
    }

    #[test]
    fn the_page_names_the_violation_and_escapes_what_was_sent() {
        let page = refused("text/html,application/json");
        assert!(
            page.contains("missing_challenge") && page.contains("How to add PKCE"),
            "{page}"
        );
        assert!(
            page.contains("&lt;script&gt;") && !page.contains("<script>"),
            "{page}"
        );
        assert!(refused("application/json").starts_with('{'));
    }

    #[test]
    fn a_form_post_error_allows_only_its_own_script() {
        let to =
            RegisteredRedirectUri::learned(&crate::oauth::RedirectUri::new("https://c/cb?a=\"b"));
        let error = AuthorizationError {
            error: ErrorCode::InvalidRequest,
            description: "d",
            state: Some("\"><script>"),
            issuer: None,
        };
        let response = authorization_error(&error, &to, ResponseMode::FormPost);
        let policy = response.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .to_owned();
        let page = text(response);
        assert!(
            page.contains(pages::SUBMIT) && !page.contains("\"><script>"),
            "{page}"
        );
        assert!(
            policy.contains(&STANDARD.encode(Sha256::digest(pages::SUBMIT.as_bytes()))),
            "{policy}"
        );
    }

    #[test]
    fn token_errors_are_uncacheable_json_that_every_origin_may_read() {
        let response = token_refused(&Violation::VerifierMismatch, None);
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
        assert!(text(response).contains("\"error\":\"invalid_grant\""));
        assert_eq!(
            token_refused(&Violation::StoreUnavailable, None).status(),
            503
        );
    }
}
