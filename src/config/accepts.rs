//! Whether single values are valid, for commands that write a configuration. The reason comes as in the messages about a file.

use std::net::SocketAddr;

use super::oauth::{QUERY_NAME, RESPONSE_MODE, RESPONSE_TYPE};
use super::origin::{ISSUER, ORIGIN};
use super::path::{NAME, PATH};
use super::value::{ADDRESS, Kind, Wrong};

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

/// The value of an option that names the address of an admin listener. The error says what to write instead.
pub(crate) fn address_option(text: &str) -> Result<SocketAddr, String> {
    // It is not for other machines.
    option(&ADDRESS, text).map_err(|told| told.replace("0.0.0.0", "127.0.0.1"))
}

/// The same for the URL of a gate: scheme, host and port.
pub(crate) fn origin_option(text: &str) -> Result<(), String> {
    option(&ORIGIN, text).map(drop)
}

/// The same for an issuer.
pub(crate) fn issuer_option(text: &str) -> Result<(), String> {
    option(&ISSUER, text).map(drop)
}

fn option<T>(kind: &Kind<T>, text: &str) -> Result<T, String> {
    (kind.read)(text).map_err(|Wrong { label, help, .. }| format!("{label}\nhelp: {help}"))
}

fn check<T>(kind: &Kind<T>, text: &str) -> Result<(), String> {
    match (kind.read)(text) {
        Ok(_) => Ok(()),
        Err(wrong) => Err(wrong.label),
    }
}
