//! Finds the endpoints of a server without metadata: asks the paths of common servers, and judges the answers.
//!
//! Servers exist that answer every path alike, with a page or a login. So each path that answers is compared with a random path
//! beside it: what both say tells nothing.

use memchr::memmem;
use serde_json::Value;
use url::Url;

use crate::cli::fetch::Answer;
use crate::oauth::json;

/// Authorization endpoints of common servers.
pub(super) const AUTHORIZATION: [&str; 18] = [
    "/authorize",
    "/oauth/authorize",
    "/oauth2/authorize",
    "/oauth/authorize/",
    "/oauth2/authorize/",
    "/o/authorize/",
    "/o/authorize",
    "/auth",
    "/auth/authorize",
    "/oauth2/auth",
    "/connect/authorize",
    "/oauth2/v1/authorize",
    "/oauth/v2/authorize",
    "/login/oauth/authorize",
    "/as/authorization.oauth2",
    "/services/oauth2/authorize",
    "/api/oauth/authorize",
    "/index.php/apps/oauth2/authorize",
];

/// Token endpoints of common servers.
pub(super) const TOKEN: [&str; 19] = [
    "/token",
    "/oauth/token",
    "/oauth2/token",
    "/oauth/token/",
    "/oauth2/token/",
    "/o/token/",
    "/o/token",
    "/auth/token",
    "/connect/token",
    "/oauth/access_token",
    "/oauth2/access_token",
    "/oauth2/v1/token",
    "/oauth/v2/token",
    "/login/oauth/access_token",
    "/as/token.oauth2",
    "/services/oauth2/token",
    "/api/oauth/token",
    "/index.php/apps/oauth2/api/v1/token",
    "/access_token",
];

/// The error codes that a server may answer to an empty request (RFC 6749 sections 4.1.2.1 and 5.2).
const ERRORS: [&str; 7] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_response_type",
    "access_denied",
];

/// What pages of an authorization endpoint name.
const WORDS: [&str; 4] = [
    "invalid_request",
    "unsupported_response_type",
    "response_type",
    "client_id",
];

/// How surely an answer is that of the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sign {
    Nothing,
    /// It answers, but not in the words of OAuth.
    Answers,
    /// It answers with an error of OAuth.
    Speaks,
}

/// Judges the answer to an authorization request without parameters.
pub(super) fn of_authorization(answer: &Answer, asked: &Url) -> Sign {
    if let Some(target) = answer.location(asked) {
        if has_word(target.as_str().as_bytes()) && target.path() != asked.path() {
            return Sign::Speaks;
        }
        let is_same = target.path().trim_end_matches('/') == asked.path().trim_end_matches('/');
        // To the same path of another origin, or with a slash at its end.
        return if is_same {
            Sign::Nothing
        } else {
            Sign::Answers
        };
    }
    match answer.status.as_u16() {
        200 | 400 | 401 | 403 | 422 | 500 if has_word(&answer.body) || is_error(&answer.body) => {
            Sign::Speaks
        }
        200 | 400 | 401 | 403 | 422 | 500 => Sign::Answers,
        _ => Sign::Nothing,
    }
}

/// Judges the answer to a token request with an empty form.
pub(super) fn of_token(answer: &Answer) -> Sign {
    match answer.status.as_u16() {
        200 | 400 | 401 | 403 | 415 | 422 | 500 if is_error(&answer.body) => Sign::Speaks,
        400 | 401 | 415 | 422 => Sign::Answers,
        _ => Sign::Nothing,
    }
}

fn has_word(body: &[u8]) -> bool {
    WORDS
        .iter()
        .any(|word| memmem::find(body, word.as_bytes()).is_some())
}

/// Whether this is an error document of OAuth (RFC 6749 section 5.2).
fn is_error(body: &[u8]) -> bool {
    let document = json::parse(body);
    let error = document
        .as_ref()
        .and_then(|document| document.get("error"))
        .and_then(Value::as_str);
    error.is_some_and(|error| ERRORS.contains(&error))
}

/// A path that answered, unlike the random path beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) path: String,
    pub(super) status: u16,
    pub(super) sign: Sign,
}

/// Of the paths that answered, those that answered in the words of OAuth; if there are none, all.
pub(super) fn best(hits: Vec<Hit>) -> Vec<Hit> {
    let best = hits.iter().map(|hit| hit.sign).max();
    let kept = hits.into_iter().filter(|hit| Some(hit.sign) == best);
    kept.collect()
}

/// The folder of a path, with a slash at its end.
pub(super) fn folder(path: &str) -> &str {
    let inner = path.trim_end_matches('/');
    let end = inner.rfind('/').map_or(0, |slash| slash + 1);
    path.get(..end).unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{HeaderMap, HeaderValue, LOCATION};

    fn answer(status: u16, location: Option<&str>, body: &str) -> Answer {
        let mut headers = HeaderMap::new();
        if let Some(location) = location {
            headers.insert(LOCATION, HeaderValue::try_from(location).unwrap());
        }
        Answer {
            peer: std::net::IpAddr::from([127, 0, 0, 1]),
            status: http::StatusCode::from_u16(status).unwrap(),
            headers,
            body: body.into(),
        }
    }

    #[test]
    fn an_authorization_endpoint_is_told_by_its_answer() {
        let asked = Url::parse("http://a.example/oauth/authorize").unwrap();
        for (status, location, body, expected) in [
            (400, None, "<h1>invalid_request</h1>", Sign::Speaks),
            (400, None, r#"{"error":"invalid_client"}"#, Sign::Speaks),
            (200, None, "client_id is missing", Sign::Speaks),
            (302, Some("/error?error=invalid_request"), "", Sign::Speaks),
            (302, Some("/login?next=/oauth/authorize"), "", Sign::Answers),
            (302, Some("https://b.example/login"), "", Sign::Answers),
            (200, None, "<h1>Sign in</h1>", Sign::Answers),
            (500, None, "Oops", Sign::Answers),
            (404, None, "client_id", Sign::Nothing),
            (405, None, "", Sign::Nothing),
            (502, None, "", Sign::Nothing),
            (301, Some("/oauth/authorize/"), "", Sign::Nothing),
            (
                301,
                Some("https://a.example/oauth/authorize"),
                "",
                Sign::Nothing,
            ),
        ] {
            let found = of_authorization(&answer(status, location, body), &asked);
            assert_eq!(found, expected, "{status} {location:?} {body}");
        }
    }

    #[test]
    fn a_token_endpoint_is_told_by_its_answer() {
        for (status, body, expected) in [
            (400, r#"{"error":"invalid_request"}"#, Sign::Speaks),
            (401, r#"{"error":"invalid_client","x":1}"#, Sign::Speaks),
            (200, r#"{"error":"unsupported_grant_type"}"#, Sign::Speaks),
            (400, r#"{"error":"Bad Request"}"#, Sign::Answers),
            (401, "", Sign::Answers),
            (200, "<h1>Welcome</h1>", Sign::Nothing),
            (403, "CSRF verification failed", Sign::Nothing),
            (404, r#"{"error":"invalid_request"}"#, Sign::Nothing),
            (302, "", Sign::Nothing),
        ] {
            assert_eq!(
                of_token(&answer(status, None, body)),
                expected,
                "{status} {body}"
            );
        }
    }

    #[test]
    fn paths_that_speak_of_oauth_are_preferred() {
        let hit = |path: &str, sign| Hit {
            path: path.to_owned(),
            status: 400,
            sign,
        };
        let (weak, strong) = (hit("/auth", Sign::Answers), hit("/authorize", Sign::Speaks));
        assert_eq!(best(vec![weak.clone(), strong.clone()]), [strong]);
        assert_eq!(best(vec![weak.clone()]), [weak]);
        assert_eq!(best(vec![]), []);
    }

    #[test]
    fn a_path_has_a_folder() {
        for (path, expected) in [
            ("/authorize", "/"),
            ("/o/authorize/", "/o/"),
            ("/a/b/c", "/a/b/"),
        ] {
            assert_eq!(folder(path), expected, "{path}");
        }
    }
}
