//! Token requests in disguise: a code that is sent to any other route than the token endpoint.
//!
//! Where codes are handles such a request is worthless anyway; where they travel as the upstream issued them, this is
//! what keeps an alias of the token endpoint that nobody configured from being a way around.

use bytes::Bytes;
use http::{HeaderMap, Response, header};

use crate::oauth::json;
use crate::oauth::params::{fold, foldings};
use crate::policy::{Decision, Violation};

use super::body::{Body, Peeked};
use super::endpoint::decode_lossy;
use super::exchange::{Exchange, Received};
use super::reply;

/// Beside a code, any of these makes a request one for a token.
const COMPANIONS: [&str; 4] = [
    "client_id",
    "client_secret",
    "redirect_uri",
    "code_verifier",
];
/// A one-time password has at most this many digits.
const ONE_TIME_PASSWORD: usize = 10;

/// No server looks for parameters in these.
const MEDIA: [&[u8]; 4] = [b"image/", b"audio/", b"video/", b"font/"];

/// What a body is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Form,
    Json,
    Multipart,
    /// No media type, text, or one that nobody knows: some servers read a form in it, some JSON.
    Doubtful,
}

/// The answer to a token request in disguise.
pub(super) async fn guard(
    exchange: &Exchange<'_>,
    request: &mut Received,
) -> Option<Response<Body>> {
    let is_foreign = exchange
        .site
        .settings
        .routes
        .is_foreign_callback(&request.path);
    if is_foreign || !is_token_request(exchange, request).await {
        return None;
    }
    match exchange.decide_unread((), Violation::TokenRequestElsewhere) {
        Decision::Allow(_) | Decision::Report(..) => None,
        Decision::Refuse((), violation) => Some(reply::token_refused(&violation, None)),
    }
}

/// Whether the request is one for a token. Peeks into a body that could be a form, and leaves it ready to be sent on.
async fn is_token_request(exchange: &Exchange<'_>, request: &mut Received) -> bool {
    let query = names(request.query().as_bytes());
    if asks_for_token(&query) {
        return true;
    }
    // Django reads the query, too, in the charset that the Content-Type names.
    let upstream_codes = exchange.site.settings.rules.any_enforced_upstream_codes();
    if upstream_codes && !request.query().is_empty() && has_foreign_charset(&request.headers) {
        return true;
    }
    let Some(kind) = kind(exchange, request) else {
        return false;
    };
    if upstream_codes && is_encoded(&request.headers) {
        return true;
    }
    match request.body.peek(exchange.shared.limits.form_bytes).await {
        Peeked::Whole(body) => readings(kind, &body).is_none_or(|read| together(&query, read)),
        // Too long to be read to its end. Handles make that harmless; a code of the upstream's own could hide in it.
        Peeked::TooLong => upstream_codes,
        Peeked::Broken => false,
    }
}

/// Whether a body has to be read: every form; and where codes travel as they are everything but pictures and the like.
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
    } else if media_type.starts_with(b"multipart/") && names(b"boundary") {
        Some(Kind::Multipart)
    } else if MEDIA.iter().any(|media| media_type.starts_with(media)) {
        None
    } else {
        Some(Kind::Doubtful)
    }
}

/// Whether query and body ask for a token together: many servers do not tell where a parameter stands.
fn together(query: &Names, read: Vec<Names>) -> bool {
    read.into_iter()
        .any(|names| asks_for_token(&[query.clone(), names].concat()))
}

/// A name and its value, the name as the most forgiving server reads it.
type Names = Vec<(String, String)>;

/// Whether a body is something else than it looks like before it is unpacked: compressed, or in a foreign charset.
pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    headers.contains_key(header::CONTENT_ENCODING) || has_foreign_charset(headers)
}

/// Whether it names a charset in which the letters of ASCII are other bytes.
fn has_foreign_charset(headers: &HeaderMap) -> bool {
    const LIKE_ASCII: [&str; 12] = [
        "utf-8",
        "utf8",
        "us-ascii",
        "ascii",
        "iso-8859-",
        "latin",
        "windows-125",
        "shift_jis",
        "euc-",
        "gb",
        "big5",
        "koi8",
    ];
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.as_bytes().to_ascii_lowercase());
    let media_type = text(&media_type.unwrap_or_default());
    media_type.split("charset").skip(1).any(|rest| {
        let charset = rest.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        !LIKE_ASCII.iter().any(|known| charset.starts_with(known))
    })
}

/// Everything that the body may say. `None`: it may say something that cannot be read here.
fn readings(kind: Kind, body: &Bytes) -> Option<Vec<Names>> {
    let json = || json::parse(body).map(|value| value.as_object().map(members).unwrap_or_default());
    match kind {
        Kind::Form => Some(vec![names(body)]),
        Kind::Json => Some(vec![json()?]),
        Kind::Multipart => Some(vec![fields(body)?]),
        Kind::Doubtful => {
            let mut read = vec![names(body), fields(body)?];
            if body.trim_ascii_start().starts_with(b"{") {
                read.push(json()?);
            }
            Some(read)
        }
    }
}

/// The pairs between `&`, and once more those between `;`, which begins another parameter in some servers. Each by itself:
/// one that nobody can read hides no other.
fn names(input: &[u8]) -> Names {
    let between = |separators: &'static [u8]| {
        input
            .split(move |byte| separators.contains(byte))
            .filter(|pair| !pair.is_empty())
            .flat_map(|pair| {
                let equals = pair.iter().position(|&byte| byte == b'=');
                let (name, value) = pair.split_at(equals.unwrap_or(pair.len()));
                let value = value.get(1..).unwrap_or_default();
                read_as(&text(&decode_lossy(name)), &text(&decode_lossy(value)))
            })
    };
    let mut names: Names = between(b"&").collect();
    if input.contains(&b';') {
        names.extend(between(b"&;"));
    }
    names
}

/// The value under every name that a server may read it by.
fn read_as(name: &str, value: &str) -> Names {
    foldings(name)
        .map(|name| (name, value.to_owned()))
        .collect()
}

/// As UTF-8, or as Latin-1 where it is none.
fn text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(
        |_| bytes.iter().copied().map(char::from).collect(),
        str::to_owned,
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
        .flat_map(|(name, value)| read_as(name, &text(value)))
        .collect()
}

/// The fields of a multipart body, by `name=` in whatever spelling, without their values: a field named `code` counts
/// as a long one. `None`: a name in pieces (`name*0=`, RFC 2231), which some servers put together.
fn fields(body: &Bytes) -> Option<Names> {
    let text = text(body).to_ascii_lowercase();
    let in_pieces = |(at, found): (usize, &str)| {
        let rest = text.get(at + found.len()..).unwrap_or_default();
        rest.trim_start().starts_with(|c: char| c.is_ascii_digit())
    };
    if text.match_indices("name*").any(in_pieces) {
        return None;
    }
    let fields = text
        .match_indices("name")
        .filter_map(|(at, found)| text.get(at + found.len()..))
        .filter_map(|rest| {
            rest.trim_start()
                .trim_start_matches('*')
                .trim_start()
                .strip_prefix('=')
        })
        .map(|rest| rest.trim_start().trim_start_matches(['"', '\'']))
        // `name*=utf-8''code` (RFC 8187)
        .map(|rest| {
            rest.strip_prefix("utf-8''")
                .or_else(|| rest.strip_prefix("iso-8859-1''"))
                .unwrap_or(rest)
        })
        .filter_map(|rest| rest.split(['"', '\'', ';', '\r', '\n']).next())
        .flat_map(|name| {
            let name = self::text(&decode_lossy(name.as_bytes()));
            read_as(&name, &"x".repeat(ONE_TIME_PASSWORD + 1))
        })
        .collect();
    Some(fields)
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
        readings(kind, &Bytes::copy_from_slice(body.as_bytes()))
            .is_none_or(|read| read.iter().any(asks_for_token))
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
            "%ff=1&=&x=%zz&grant_type=x",
            "co%00de=SplxlOBeZQQY&client_id=a",
            "\u{feff}code=SplxlOBeZQQY&client_id=a",
            "grant[type=x",
            "grant_type%00x=x",
            "code%00=SplxlOBeZQQY&client[id=a",
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
        for name in [
            "name=\"grant_type\"",
            "NAME=grant_type",
            "name = 'grant_type'",
            "name*=utf-8''grant%5ftype",
            "name=\"grant\\_type\"",
            "name*0=\"grant_\"; name*1=\"type\"",
            "name*0*=utf-8''grant; name*1=_type",
        ] {
            let body = format!("--b\r\nContent-Disposition: form-data; {name}\r\n\r\nx\r\n--b--");
            assert!(
                check(Kind::Multipart, &body) && check(Kind::Doubtful, &body),
                "{name}"
            );
        }
        for twice in [r#"{"code":1,"code":2}"#, "{"] {
            assert!(
                check(Kind::Json, twice) && check(Kind::Doubtful, twice),
                "{twice}"
            );
        }
    }

    #[test]
    fn query_and_body_are_read_together() {
        let together = |query: &str, body: &str| {
            let read = readings(Kind::Form, &Bytes::copy_from_slice(body.as_bytes()));
            together(&names(query.as_bytes()), read.unwrap())
        };
        assert!(together("code=SplxlOBeZQQY", "client_id=a"));
        assert!(together("client_id=a", "code=SplxlOBeZQQY"));
        assert!(!together("client_id=a", "username=b") && !together("code=123456", "client_id=a"));
    }

    #[test]
    fn bodies_that_are_something_else_are_told_by_their_fields() {
        let check = |name: &'static str, value: &'static str| {
            let pair = (name.parse().unwrap(), http::HeaderValue::from_static(value));
            is_encoded(&HeaderMap::from_iter([pair]))
        };
        assert!(check("content-encoding", "gzip"));
        for charset in [
            "ibm037",
            "utf-16",
            "\"UTF-7\"",
            "utf-8; charset=utf-16le",
            "",
        ] {
            let value: &'static str = format!("text/plain; Charset = {charset}").leak();
            assert!(check("content-type", value), "{charset}");
        }
        for media_type in [
            "text/plain",
            "application/json; charset=UTF-8",
            "text/html; charset=iso-8859-15",
        ] {
            assert!(!check("content-type", media_type), "{media_type}");
        }
    }

    #[test]
    fn one_time_passwords_and_callbacks_of_other_servers_pass() {
        for body in [
            "code=123456&client_id=a",
            "code=SplxlOBeZQQY&state=x",
            "username=a&password=b",
            "grant_type=",
            "100% sure; nothing {to} see",
            "grant[type]=x&user[code]=SplxlOBeZQQY&client[id]=1",
        ] {
            assert!(!check(Kind::Form, body), "{body}");
        }
        assert!(!check(Kind::Json, r#"{"message":"code","client_id":"a"}"#));
    }
}
