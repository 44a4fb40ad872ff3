//! The fields of keys, and the arguments of scripts, as bytes.

use std::time::Duration;

use super::link::Value;
use crate::flow::{Application, Pkce, wire};
use crate::oauth::{CodeChallenge, Digest};
use crate::store::envelope::millis;
use crate::store::operations::{Issued, Owner, StoreError};

/// Equal for requests that are equal after a reload in the browser: with the same client, redirect URI and challenge.
pub(super) fn mark(
    of: &Application,
    challenge: Option<&CodeChallenge>,
) -> Result<Digest, StoreError> {
    let application = Application {
        client: of.client,
        redirect: of.redirect,
        response_type: None,
        response_mode: None,
        pushed: None,
    };
    let bytes = wire::to_bytes(&(application, Pkce::new(challenge.cloned(), None)));
    let bytes = bytes.ok_or(StoreError::TooLong)?;
    Ok(Digest::of("mark", &[&bytes]))
}

/// The client, and the target of the redirect URI if there is one.
pub(super) fn owner_bytes(application: &Application) -> Vec<u8> {
    let target = application.redirect.map(|redirect| redirect.target);
    let digests = [Some(application.client), target];
    let digests = digests.iter().flatten();
    digests.flat_map(|digest| *digest.as_bytes()).collect()
}

pub(super) fn owner_of(value: &Value, alive: bool) -> Option<Owner> {
    let Value::Bytes(bytes) = value else {
        return None;
    };
    let (client, target) = bytes.split_first_chunk()?;
    Some(Owner {
        client: Digest::from_bytes(*client),
        alive,
        target: target.first_chunk().copied().map(Digest::from_bytes),
    })
}

/// The word for the form of a code.
pub(super) const fn issued(issued: Issued) -> &'static str {
    match issued {
        Issued::Handle => "handle",
        Issued::Raw => "raw",
    }
}

/// For PEXPIRE: a server treats a key as expired after its last millisecond, the gate in it.
pub(super) fn lifetime(lifetime: Duration) -> Vec<u8> {
    decimal(millis(lifetime).saturating_sub(1))
}

pub(super) fn decimal(number: u64) -> Vec<u8> {
    number.to_string().into_bytes()
}
