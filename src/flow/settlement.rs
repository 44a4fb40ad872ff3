//! Which answers of an upstream leave a code good (step 5 of the walk).
//!
//! What redeemed the code, or may have, burns it: a token, `invalid_grant`, a status that says that nobody knows (5xx but 503), a
//! redirect, and whatever cannot be read. Every other answer says that the code was not looked at, or not taken: a DPoP nonce
//! is missing (RFC 9449 section 8), the client authenticates in another style than this server likes, something is wrong with
//! the request, too many of them came at once. Whoever holds the verifier may try again.

use memchr::memmem;
use serde_json::Value;

use super::Settlement;
use crate::oauth::params::fold;
use crate::oauth::{Params, json};

/// Pairs of a form that is read for an `error`.
const PAIRS: usize = 64;

/// Members that hold what a code is exchanged for, without case and punctuation.
const TOKENS: [&str; 4] = ["accesstoken", "idtoken", "refreshtoken", "token"];

/// The same as they stand in a text that is no document.
const SPELT: [&[u8]; 6] = [
    b"access_token",
    b"id_token",
    b"refresh_token",
    b"accessToken",
    b"idToken",
    b"refreshToken",
];

/// RFC 6749 section 5.2: the code is invalid, expired or used, or not this client's.
const INVALID_GRANT: &str = "invalid_grant";

/// An answer to a token request that carried a code, whose end is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    /// Its HTTP status.
    pub status: u16,
    /// `Content-Type`, when there is one that is text.
    pub media_type: Option<&'a str>,
    /// Whether it has a `Content-Encoding`, and so cannot be read as it is.
    pub encoded: bool,
    /// The body, or the first bytes of it.
    pub body: &'a [u8],
    /// Whether `body` is all of it.
    pub whole: bool,
}

/// What an answer does to the code. Each byte is looked at a fixed number of times.
pub(crate) fn of_answer(answer: Answer<'_>) -> Settlement {
    if is_harmless(answer) {
        Settlement::Release
    } else {
        Settlement::Burn
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
    // NUL stands in no text, but in UTF-16 and in what is compressed.
    if answer.encoded || memchr::memchr(0, answer.body).is_some() {
        return false;
    }
    let body = answer.body;
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    if matches!(body.trim_ascii_start(), [b'{' | b'[' | b'"', ..]) {
        // A part of a document, or one that parsers read in two ways, says nothing for sure.
        let document = answer.whole.then(|| json::parse(body)).flatten();
        return document.is_some_and(|document| {
            !redeems(&document) && (is_error || is_error_document(&document))
        });
    }
    if memmem::find(body, INVALID_GRANT.as_bytes()).is_some() || names_token(body) {
        return false;
    }
    // A page beside an error status is a page about the error, however long.
    is_error || answer.whole && is_error_form(answer.media_type, body)
}

/// Whether an answer with this status may be one that leaves the code good: then its body is worth reading. A redirect or a 5xx
/// may come of a server that has redeemed the code.
pub(crate) const fn may_release(status: u16) -> bool {
    matches!(status, 200..=299 | 400..=499 | 503)
}

/// Whether a text names a token, as an answer with one does somewhere. Whoever waits for the end of an answer need not wait
/// any longer then.
pub(crate) fn names_token(text: &[u8]) -> bool {
    // All of these have it, and hardly another text.
    memmem::find_iter(text, b"oken").any(|at| {
        let end = at + b"oken".len();
        let before = text.get(..end).unwrap_or_default();
        SPELT.iter().any(|name| before.ends_with(name))
    })
}

/// The longest name that [`names_token`] looks for, in bytes.
pub(crate) const LONGEST_NAME: usize = 13;

/// Whether a document hands a token out, or says that the code is dead, at any depth.
fn redeems(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(INVALID_GRANT),
        Value::Array(list) => list.iter().any(redeems),
        Value::Object(members) => members.iter().any(|(name, value)| {
            let is_token = TOKENS.contains(&fold(name).as_str());
            is_token && says_something(value) || redeems(value)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// An error beside a status of success: `error`, or `"ok": false` (Slack).
fn is_error_document(document: &Value) -> bool {
    document.get("error").is_some_and(says_something)
        || document.get("ok") == Some(&Value::Bool(false))
}

/// Neither absent nor empty.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) => true,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// The same as a form, which some servers send where nobody asks for JSON. In a page, `error=` is just a text.
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
