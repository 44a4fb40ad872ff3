//! The device authorization response (RFC 8628 section 3.2): binds its device code, and replaces it.

use std::borrow::Cow;
use std::time::Duration;

use http::{Response, StatusCode, header};

use crate::answer::carrier::member::Member;
use crate::flow::{Key, PendingAuthorization};
use crate::gateway::exchange::Exchange;
use crate::gateway::received::Sent;
use crate::gateway::subject::About;
use crate::gateway::{bind, reply};
use crate::http::body::{Body, Peeked};
use crate::http::headers;
use crate::oauth::{AuthorizationCode, CodeChallenge, CodeKind};
use crate::policy::{Rule, Violation};
use crate::spelling::Twins;
use crate::store::{Bound, Issued};

/// The longest time that a device code can be redeemed here. Real servers give five to thirty minutes.
const LONGEST: Duration = Duration::from_mins(30);

/// A device authorization whose answer will be bound.
pub(super) struct Issuing<'r> {
    pub(super) key: Key,
    pub(super) record: PendingAuthorization,
    pub(super) rule: &'r Rule,
}

impl Issuing<'_> {
    pub(super) fn challenge(&self) -> Option<&CodeChallenge> {
        self.record.challenge.as_ref()
    }
}

/// Sends a success to the client, with its device code bound. One whose device code cannot be bound becomes an error.
pub(super) async fn deliver(
    exchange: &Exchange<'_>,
    issuing: &Issuing<'_>,
    sent: &Sent,
    mut response: Response<Body>,
) -> Response<Body> {
    let violation = match bound(exchange, issuing, sent, &mut response).await {
        Ok(None) => return bind::pass_through(exchange, response),
        Ok(Some(rewritten)) => {
            headers::forget_body(response.headers_mut());
            reply::not_to_be_stored(response.headers_mut());
            response.body_mut().replace(rewritten);
            return bind::pass_through(exchange, response);
        }
        Err(violation) => violation,
    };
    let client = issuing.record.application.client;
    let about = About {
        client: exchange.site.state.client_name(client).map(Cow::Owned),
        ..About::default()
    };
    match exchange.decide(issuing.rule, response, Some(violation), &about) {
        Ok(cleared) => bind::pass_through(exchange, cleared.into_inner()),
        Err((_, violation)) => {
            // If the store fails here, the record expires instead.
            let _ = exchange.store().discard(&issuing.key).await;
            reply::token_refused(&violation, Some(StatusCode::BAD_GATEWAY))
        }
    }
}

/// Binds the device code. Returns the document with a handle in its place, or `None` if the client gets the code itself.
async fn bound(
    exchange: &Exchange<'_>,
    issuing: &Issuing<'_>,
    sent: &Sent,
    response: &mut Response<Body>,
) -> Result<Option<Vec<u8>>, Violation> {
    let unsafe_because = Violation::UnboundCodeInResponse;
    if response.headers().contains_key(header::CONTENT_ENCODING) {
        return Err(unsafe_because("a compressed device authorization response"));
    }
    let limit = exchange.snapshot.limits.response_scan_bytes;
    let Peeked::Whole(document) = response.body_mut().peek(limit).await else {
        let why = "a device authorization response that is too long or breaks off";
        return Err(unsafe_because(why));
    };
    let unreadable = "a device authorization response that is no JSON document with a device_code";
    let member = Member::find(&document, CodeKind::Device.parameter());
    let member = member.ok_or(unsafe_because(unreadable))?;
    let code = AuthorizationCode::of(CodeKind::Device, &member.value)
        .filter(|code| code.is_plain() && !code.is_too_long());
    let code = code.ok_or(unsafe_because(
        "a device code that servers read differently",
    ))?;
    let twins = Twins::of(code.expose());
    if sent.may_hold(&twins) {
        return Err(unsafe_because("a device code that the request contains"));
    }
    let issued = if issuing.rule.uses_handles() {
        Issued::Handle
    } else {
        Issued::Raw
    };
    let lifetime = Some(lifetime(&member));
    let (key, record, store) = (&issuing.key, &issuing.record, exchange.store());
    let bound = store.bind_within(key, record, issued, code, lifetime).await;
    let handle = match bound.map_err(Violation::from)? {
        Bound::Handle(handle) => handle,
        Bound::Raw => return Ok(None),
        Bound::Elsewhere => {
            let why = "a device code that belongs to another sign-in or has expired";
            return Err(unsafe_because(why));
        }
        Bound::TooMany | Bound::Unknown => {
            return Err(unsafe_because("a device code that could not be bound"));
        }
    };
    let rewritten = member.replaced(&document, handle.expose());
    let rewritten = rewritten.ok_or(unsafe_because(unreadable))?;
    let mut fields = response.headers().values();
    if twins.stand_in(&rewritten) || fields.any(|value| twins.stand_in(value.as_bytes())) {
        let why = "the device code is in the answer a second time";
        return Err(unsafe_because(why));
    }
    Ok(Some(rewritten))
}

/// How long the device code can be redeemed: `expires_in`, which some servers write as a string, up to [`LONGEST`].
fn lifetime(member: &Member) -> Duration {
    let expires_in = member.members.get("expires_in");
    let seconds = expires_in.and_then(|value| {
        let text = || value.as_str().and_then(|text| text.parse::<f64>().ok());
        value.as_f64().or_else(text)
    });
    let lifetime = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    lifetime.unwrap_or(LONGEST).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_code_lives_as_long_as_the_answer_says_and_half_an_hour_at_most() {
        for (expires_in, seconds) in [
            ("600", 600),
            ("600.0", 600),
            ("\"300\"", 300),
            ("0", 0),
            ("1800", 1800),
            ("1801", 1800),
            ("1e300", 1800),
            ("-1", 1800),
            ("null", 1800),
            ("\"soon\"", 1800),
        ] {
            let document = format!(r#"{{"device_code":"d","expires_in":{expires_in}}}"#);
            let member = Member::find(document.as_bytes(), "device_code").unwrap();
            assert_eq!(
                lifetime(&member),
                Duration::from_secs(seconds),
                "{expires_in}"
            );
        }
        let member = Member::find(br#"{"device_code":"d"}"#, "device_code").unwrap();
        assert_eq!(lifetime(&member), LONGEST);
    }
}
