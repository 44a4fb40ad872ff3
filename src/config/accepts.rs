//! Whether single values are valid, for commands that write a configuration. The reason comes as in the messages about a file.

use super::oauth::{QUERY_NAME, RESPONSE_MODE, RESPONSE_TYPE};
use super::origin::{ISSUER, ORIGIN};
use super::path::{NAME, PATH};
use super::value::Kind;

/// The path of an endpoint.
pub(crate) fn path(text: &str) -> Result<(), String> {
    check(&PATH, text)
}

/// The name of a query parameter that URLs of endpoints may have.
pub(crate) fn query_name(text: &str) -> Result<(), String> {
    check(&QUERY_NAME, text)
}

/// The URL of an upstream, or the public one: scheme, host and port.
pub(crate) fn origin(text: &str) -> Result<(), String> {
    check(&ORIGIN, text)
}

/// An issuer.
pub(crate) fn issuer(text: &str) -> Result<(), String> {
    check(&ISSUER, text)
}

/// The name of an upstream.
pub(crate) fn name(text: &str) -> Result<(), String> {
    check(&NAME, text)
}

/// A response type that the gate knows.
pub(crate) fn response_type(text: &str) -> Result<(), String> {
    check(&RESPONSE_TYPE, text)
}

/// A response mode that the gate knows.
pub(crate) fn response_mode(text: &str) -> Result<(), String> {
    check(&RESPONSE_MODE, text)
}

fn check<T>(kind: &Kind<T>, text: &str) -> Result<(), String> {
    match (kind.read)(text) {
        Ok(_) => Ok(()),
        Err(wrong) => Err(wrong.label),
    }
}
