//! Token requests in disguise: a code that is sent to any other route than the token endpoint.
//!
//! Where codes are handles such a request is worthless anyway; where they travel as the upstream issued them, this is
//! what keeps an alias of the token endpoint that nobody configured from being a way around.

use bytes::Bytes;
use http::header;

use crate::oauth::json;
use crate::oauth::params::{Params, fold};

use super::body::Peeked;
use super::exchange::{Exchange, Received};

/// Beside a code, any of these makes a request one for a token.
const COMPANIONS: [&str; 4] = [
    "client_id",
    "client_secret",
    "redirect_uri",
    "code_verifier",
];
/// A one-time password has at most this many digits.
const ONE_TIME_PASSWORD: usize = 10;

/// What a body is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Form,
    Json,
    Multipart,
    /// No media type, or text: some servers read a form in it, some JSON.
    Doubtful,
}

/// Whether the request is one for a token. Peeks into a body that could be a form, and leaves it ready to be sent on.
pub(super) async fn is_token_request(exchange: &Exchange<'_>, request: &mut Received) -> bool {
    let pairs = exchange.shared.limits.form_pairs.saturating_mul(8);
    if names(request.query().as_bytes(), pairs).is_some_and(|names| asks_for_token(&names)) {
        return true;
    }
    let Some(kind) = kind(exchange, request) else {
        return false;
    };
    match request.body.peek(exchange.shared.limits.form_bytes).await {
        Peeked::Whole(body) => readings(kind, &body, pairs).iter().any(asks_for_token),
        // Too long to be read to its end. Handles make that harmless; a code of the upstream's own could hide in it.
        Peeked::TooLong => exchange.site.settings.rules.any_enforced_upstream_codes(),
        Peeked::Broken => false,
    }
}

/// Whether a body has to be read: every form; and every other text where codes travel as they are.
fn kind(exchange: &Exchange<'_>, request: &Received) -> Option<Kind> {
    if http_body::Body::is_end_stream(&request.body) {
        return None;
    }
    let media_type = request
        .headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.as_bytes().to_ascii_lowercase());
    let media_type = media_type.unwrap_or_default();
    let names = |what: &[u8]| media_type.windows(what.len()).any(|window| window == what);
    if names(b"x-www-form-urlencoded") {
        return Some(Kind::Form);
    }
    if !exchange.site.settings.rules.any_enforced_upstream_codes() {
        return None;
    }
    if names(b"json") {
        Some(Kind::Json)
    } else if media_type.starts_with(b"multipart/") {
        Some(Kind::Multipart)
    } else if media_type.is_empty() || media_type.starts_with(b"text/") || names(b"xml") {
        Some(Kind::Doubtful)
    } else {
        None
    }
}

/// A name and its value, the name as the most forgiving server reads it.
type Names = Vec<(String, String)>;

fn readings(kind: Kind, body: &Bytes, pairs: usize) -> Vec<Names> {
    let form = || names(body, pairs);
    let json = || json::parse(body).and_then(|value| value.as_object().map(members));
    let read: Vec<Option<Names>> = match kind {
        Kind::Form => vec![form()],
        Kind::Json => vec![json()],
        Kind::Multipart => vec![Some(fields(body))],
        Kind::Doubtful => vec![form(), json(), Some(fields(body))],
    };
    read.into_iter().flatten().collect()
}

/// The pairs between `&`, and once more those between `;`, which begins another parameter in some servers.
fn names(input: &[u8], pairs: usize) -> Option<Names> {
    let mut read = pairs_of(input, pairs);
    if input.contains(&b';') {
        let split: Vec<u8> = input
            .iter()
            .map(|&byte| if byte == b';' { b'&' } else { byte })
            .collect();
        if let Some(more) = pairs_of(&split, pairs) {
            read.get_or_insert_default().extend(more);
        }
    }
    read
}

fn pairs_of(input: &[u8], pairs: usize) -> Option<Names> {
    let params = Params::survey(input, pairs).ok()?;
    Some(
        params
            .iter()
            .map(|pair| (fold(pair.name()), pair.value().to_owned()))
            .collect(),
    )
}

fn members(object: &serde_json::Map<String, serde_json::Value>) -> Names {
    let text = |value: &serde_json::Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    object
        .iter()
        .map(|(name, value)| (fold(name), text(value)))
        .collect()
}

/// The fields of a multipart body, by `name=` in whatever spelling, without their values: a field named `code` counts
/// as a long one.
fn fields(body: &Bytes) -> Names {
    let text: String = body.iter().map(|&byte| char::from(byte)).collect();
    text.match_indices("name=")
        .filter_map(|(at, found)| text.get(at + found.len()..))
        .map(|rest| rest.trim_start_matches(['"', '\'']))
        .filter_map(|rest| rest.split(['"', '\'', ';', '\r', '\n']).next())
        .map(|name| (fold(name), "x".repeat(ONE_TIME_PASSWORD + 1)))
        .collect()
}

fn asks_for_token(names: &Names) -> bool {
    let has = |name: &str| {
        names
            .iter()
            .any(|(known, value)| *known == fold(name) && !value.is_empty())
    };
    if has("grant_type") {
        return true;
    }
    let mut codes = names
        .iter()
        .filter(|(name, value)| name == "code" && !value.is_empty())
        .peekable();
    if codes.peek().is_none() || !COMPANIONS.into_iter().any(has) {
        return false;
    }
    let is_otp = |code: &str| {
        code.len() <= ONE_TIME_PASSWORD && code.bytes().all(|byte| byte.is_ascii_digit())
    };
    let secretive = ["client_secret", "code_verifier"].into_iter().any(has);
    secretive || !codes.all(|(_, code)| is_otp(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, body: &str) -> bool {
        readings(kind, &Bytes::copy_from_slice(body.as_bytes()), 512)
            .iter()
            .any(asks_for_token)
    }

    #[test]
    fn a_code_with_company_is_a_token_request_in_every_reading() {
        for body in [
            "grant_type=authorization_code",
            "code=SplxlOBeZQQY&client_id=a",
            "CODE=SplxlOBeZQQY&Client_Id=a",
            "code[]=SplxlOBeZQQY&redirect.uri=x",
            "%63ode=SplxlOBeZQQY&code_verifier=x",
            "code=123456&client_secret=s",
            "code=123456&code=SplxlOBeZQQY&client_id=a",
            "a=1;code=SplxlOBeZQQY;client_id=a",
            "a=1;grant_type=x",
        ] {
            assert!(
                check(Kind::Form, body) && check(Kind::Doubtful, body),
                "{body}"
            );
        }
        assert!(check(
            Kind::Json,
            r#"{"code":"SplxlOBeZQQY","client_id":"a"}"#
        ));
        assert!(check(
            Kind::Multipart,
            "--b\r\nContent-Disposition: form-data; name=\"grant_type\"\r\n\r\nx\r\n--b--"
        ));
    }

    #[test]
    fn one_time_passwords_and_callbacks_of_other_servers_pass() {
        for body in [
            "code=123456&client_id=a",
            "code=SplxlOBeZQQY&state=x",
            "username=a&password=b",
            "grant_type=",
        ] {
            assert!(!check(Kind::Form, body), "{body}");
        }
        assert!(!check(Kind::Json, r#"{"message":"code","client_id":"a"}"#));
    }
}
