//! Decides by the upstream's answer whether a code is still valid (step 5 of the crate documentation).
//!
//! An answer burns the code if the code was redeemed, or may have been: a token, `invalid_grant`, 5xx except 503, a redirect, and
//! every answer that cannot be read. Other answers show that the code was not redeemed, so the client may try again with its
//! verifier: a DPoP nonce is missing (RFC 9449 section 8), the server does not accept this method of client authentication, the
//! request is invalid, there are too many requests.

use memchr::memmem;
use serde_json::Value;

use crate::oauth::params::fold;
use crate::oauth::{Params, json};

/// How often one code may be released after a correct verifier. An honest client needs a few: for a DPoP nonce, for another
/// method of client authentication, for an upstream that is temporarily unavailable.
pub(crate) const RELEASES_PER_CODE: u8 = 10;

/// What happens to a claimed code after the exchange (step 5 of the crate documentation).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// The upstream has redeemed the code, or may have. It cannot be redeemed again.
    Burn,
    /// The code is still valid: the request was not sent, or its answer shows that the code was not redeemed
    /// ([`of_answer`]). After a correct verifier a code is released [`RELEASES_PER_CODE`] times, then burnt. Releases
    /// after a request without proof ([`super::Presented::Unproven`]) do not count: an attacker with a stolen code can send such
    /// requests, and must not be able to burn the code.
    Release,
    /// The same, and not counted: the user has not answered a device authorization yet, which a client asks about many times
    /// (RFC 8628 section 3.5).
    Wait,
}

/// The most parameters of a form that is searched for an `error`.
const PAIRS: usize = 64;

/// The names of members that contain a token, without case and punctuation.
const TOKENS: [&str; 4] = ["accesstoken", "idtoken", "refreshtoken", "token"];

/// The names of tokens that are searched for in a text that is not JSON.
const SPELT: [&[u8]; 6] = [
    b"access_token",
    b"id_token",
    b"refresh_token",
    b"accessToken",
    b"idToken",
    b"refreshToken",
];

/// The error for a code that is invalid, expired, used, or issued to another client (RFC 6749 section 5.2).
const INVALID_GRANT: &str = "invalid_grant";

/// The answer to a redemption.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// `Content-Type`, if it is visible ASCII.
    pub media_type: Option<&'a str>,
    /// Whether it has a `Content-Encoding`, so that the body cannot be read.
    pub encoded: bool,
    /// The body, or the beginning of it.
    pub body: &'a [u8],
    /// Whether `body` is the whole body.
    pub whole: bool,
}

/// Decides by an answer whether the code is burnt or released. Takes linear time.
pub(crate) fn of_answer(answer: Answer<'_>) -> Settlement {
    if is_harmless(answer) {
        Settlement::Release
    } else {
        Settlement::Burn
    }
}

/// The same for a device code (RFC 8628 section 3.5): the user may not have answered yet, or has refused.
pub(crate) fn of_device_answer(answer: Answer<'_>) -> Settlement {
    let settlement = of_answer(answer);
    if settlement == Settlement::Burn {
        return settlement;
    }
    let document = answer.whole.then(|| json::parse(answer.body)).flatten();
    let error = document.as_ref().and_then(|document| document.get("error"));
    match error.and_then(Value::as_str) {
        Some("authorization_pending" | "slow_down") => Settlement::Wait,
        Some("access_denied" | "expired_token") => Settlement::Burn,
        Some(_) | None => settlement,
    }
}

fn is_harmless(answer: Answer<'_>) -> bool {
    if !may_release(answer.status) {
        return false;
    }
    let is_error = answer.status >= 400;
    if answer.body.is_empty() {
        return is_error && answer.whole;
    }
    // A NUL shows UTF-16 or compressed data.
    if answer.encoded || memchr::memchr(0, answer.body).is_some() {
        return false;
    }
    let body = answer.body;
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    if matches!(body.trim_ascii_start(), [b'{' | b'[' | b'"', ..]) {
        // A partial document, or one that parsers may read differently, is not certain.
        let document = answer.whole.then(|| json::parse(body)).flatten();
        return document.is_some_and(|document| {
            !redeems(&document) && (is_error || is_error_document(&document))
        });
    }
    if memmem::find(body, INVALID_GRANT.as_bytes()).is_some() || names_token(body) {
        return false;
    }
    // With an error status, any other text is an error page.
    is_error || answer.whole && is_error_form(answer.media_type, body)
}

/// Whether an answer with this status may release the code, so that its body has to be read. A server that answers with a
/// redirect or with 5xx may have redeemed the code.
pub(crate) const fn may_release(status: u16) -> bool {
    matches!(status, 200..=299 | 400..=499 | 503)
}

/// Whether a text contains the name of a token. A success that does burns the code, so the rest of it need not be read.
pub(crate) fn names_token(text: &[u8]) -> bool {
    // All names contain `oken`, and it is rare in other text.
    memmem::find_iter(text, b"oken").any(|at| {
        let end = at + b"oken".len();
        let before = text.get(..end).unwrap_or_default();
        SPELT.iter().any(|name| before.ends_with(name))
    })
}

/// The longest name that [`names_token`] looks for, in bytes.
pub(crate) const LONGEST_NAME: usize = 13;

/// Whether a document contains a token or `invalid_grant`, at any depth.
fn redeems(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(INVALID_GRANT),
        Value::Array(list) => list.iter().any(redeems),
        Value::Object(members) => members.iter().any(|(name, value)| {
            let is_token = TOKENS.contains(&fold(name).as_str());
            is_token && has_content(value) || redeems(value)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether a document is an error although the status is 2xx: `error`, or `"ok": false` (Slack).
fn is_error_document(document: &Value) -> bool {
    document.get("error").is_some_and(has_content)
        || document.get("ok") == Some(&Value::Bool(false))
}

/// Whether a value is neither null, false, zero nor empty.
fn has_content(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) => true,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// The same for a form, which some servers send if the request does not ask for JSON. In an HTML page, `error=` means nothing.
fn is_error_form(media_type: Option<&str>, body: &[u8]) -> bool {
    let essence = media_type.unwrap_or_default().split(';').next();
    let essence = essence.unwrap_or_default().trim();
    let is_form = ["", "text/plain", "application/x-www-form-urlencoded"]
        .iter()
        .any(|form| essence.eq_ignore_ascii_case(form));
    is_form
        && Params::parse(body.trim_ascii(), PAIRS).is_ok_and(|params| {
            let is_token = |name: &str| TOKENS.contains(&fold(name).as_str());
            let mut all = params.iter();
            let says_more = |value: &str| value.contains(INVALID_GRANT);
            matches!(params.one("error"), Ok(Some(_)))
                && all.all(|pair| !is_token(pair.name()) && !says_more(pair.value()))
        })
}

#[cfg(test)]
mod tests;
