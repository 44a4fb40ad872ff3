//! Codes that an endpoint issues in a JSON document: the device authorization response (RFC 8628 section 3.2), and the answer to a
//! pushed authorization request (RFC 9126 section 2.2), and that of an authorization challenge endpoint (first-party apps). The
//! code is bound, and replaced.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::exchange::Exchange;
use super::received::Sent;
use super::subject::About;
use super::{bind, reply};
use crate::flow::{self, Handle, Key, PendingAuthorization};
use crate::http::body::{Body, Peeked};
use crate::http::headers;
use crate::oauth::json_text::{self, Pointer};
use crate::oauth::{AuthorizationCode, CodeKind, json};
use crate::policy::{Rule, Violation};
use crate::spelling::{Twins, says};
use crate::store::{Bound, Held, Issued, Place};

/// A request whose answer has a code to be bound.
pub(super) struct Issuing<'r> {
    pub(super) key: Key,
    pub(super) record: PendingAuthorization,
    pub(super) rule: &'r Rule,
    /// What the client gets.
    pub(super) issued: Issued,
}

/// What a client gets by its rule.
pub(super) fn by_rule(rule: &Rule) -> Issued {
    if rule.uses_handles() {
        Issued::Handle
    } else {
        Issued::Raw
    }
}

/// The member of an answer that has the code.
#[derive(Clone, Copy)]
pub(super) struct Carries {
    pub(super) member: &'static str,
    pub(super) kind: CodeKind,
}

impl Carries {
    /// How long the code can be redeemed here. `None`: as configured. Real servers give a device five to thirty minutes, and a
    /// browser up to ten.
    ///
    /// A device code that the gate has forgotten counts as one that was never bound, and passes without a verifier. So the client
    /// gets the server's own device code only if the gate remembers it for as long as the server accepts it.
    fn lifetime(
        self,
        issued: Issued,
        promised: Option<Promised>,
    ) -> Result<Option<Duration>, &'static str> {
        let longest = match (self.kind, issued) {
            (CodeKind::Authorization, _) => return Ok(None),
            (CodeKind::Device, Issued::Raw) => REMEMBERED,
            (CodeKind::Device, Issued::Handle) => Duration::from_mins(30),
            (CodeKind::PushedRequest, _) => Duration::from_mins(10),
        };
        let is_raw_device = (self.kind, issued) == (CodeKind::Device, Issued::Raw);
        match promised {
            Some(Promised::Readable(promised)) if promised <= longest => Ok(Some(promised)),
            Some(Promised::Readable(_)) if is_raw_device => {
                Err("a device code that is valid for more than 24 hours")
            }
            Some(Promised::Unreadable) if is_raw_device => {
                Err("a device code with an expires_in that cannot be read")
            }
            None | Some(Promised::Readable(_) | Promised::Unreadable) => Ok(Some(longest)),
        }
    }

    /// What the record keeps as the code. To a pushed request belongs the handle that was pushed as its `state`.
    fn kept(self, key: &Key, code: &str) -> String {
        match (self.kind, key.handle()) {
            (CodeKind::PushedRequest, Some(handle)) => pushed::join(handle, code),
            _ => code.to_owned(),
        }
    }

    /// What the client gets.
    fn shown(self, handle: &Handle) -> String {
        match self.kind {
            CodeKind::PushedRequest => [pushed::URN, handle.expose()].concat(),
            CodeKind::Authorization | CodeKind::Device => handle.expose().to_owned(),
        }
    }
}

/// The longest time for which a device code of the server is remembered.
const REMEMBERED: Duration = Duration::from_hours(24);

/// `expires_in` of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Promised {
    Readable(Duration),
    /// No number of seconds: negative, or a text.
    Unreadable,
}

/// The value that replaces the `request_uri` of the upstream, and what the record of it has.
pub(super) mod pushed {
    use crate::flow::Handle;

    /// RFC 9126 section 2.2.
    pub(in crate::gateway) const URN: &str = "urn:ietf:params:oauth:request_uri:";

    /// The handle in the pushed `state`, and the upstream's `request_uri`.
    pub(super) fn join(handle: &Handle, uri: &str) -> String {
        [handle.expose(), " ", uri].concat()
    }

    pub(in crate::gateway) fn split(kept: &str) -> Option<(&str, &str)> {
        kept.split_once(' ')
    }
}

/// Sends a success to the client, with its code bound. One whose code cannot be bound becomes an error.
pub(super) async fn deliver(
    exchange: &Exchange<'_>,
    issuing: &Issuing<'_>,
    carries: Carries,
    sent: &Sent,
    mut response: Response<Body>,
) -> Response<Body> {
    match bound(exchange, issuing, carries, sent, &mut response).await {
        Ok(None) => bind::pass_through(exchange, response),
        Ok(Some(rewritten)) => {
            headers::forget_body(response.headers_mut());
            reply::not_to_be_stored(response.headers_mut());
            response.body_mut().replace(rewritten);
            bind::pass_through(exchange, response)
        }
        Err(violation) => refuse(exchange, issuing, violation, response).await,
    }
}

/// Refuses an answer, or reports it, by the rule of its client.
pub(super) async fn refuse(
    exchange: &Exchange<'_>,
    issuing: &Issuing<'_>,
    violation: Violation,
    response: Response<Body>,
) -> Response<Body> {
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

/// The JSON document of an answer. `Err`: why there is none.
pub(super) async fn document(
    exchange: &Exchange<'_>,
    response: &mut Response<Body>,
) -> Result<Bytes, &'static str> {
    if response.headers().contains_key(header::CONTENT_ENCODING) {
        return Err("a compressed answer with a code in JSON");
    }
    let limit = exchange.snapshot.limits.response_scan_bytes;
    match response.body_mut().peek(limit).await {
        Peeked::Whole(document) => Ok(document),
        Peeked::TooLong | Peeked::Broken => {
            Err("an answer with a code in JSON that is too long or breaks off")
        }
    }
}

/// Binds the code. Returns the document with a handle in its place, or `None` if the client gets the code itself.
async fn bound(
    exchange: &Exchange<'_>,
    issuing: &Issuing<'_>,
    carries: Carries,
    sent: &Sent,
    response: &mut Response<Body>,
) -> Result<Option<Vec<u8>>, Violation> {
    let unsafe_because = Violation::UnboundCodeInResponse;
    let document = document(exchange, response).await.map_err(unsafe_because)?;
    let unreadable = "an answer that is no JSON document with the code that was asked for";
    let coded = Coded::read(&document, carries).ok_or(unsafe_because(unreadable))?;
    let of = |text: &str| AuthorizationCode::of(carries.kind, text);
    let code = of(&coded.code).filter(|code| code.is_plain() && !code.is_too_long());
    let code = code.ok_or(unsafe_because(
        "a code in JSON that servers read differently",
    ))?;
    let twins = Twins::of(code.expose());
    if sent.may_hold(&twins) {
        return Err(unsafe_because("a code in JSON that the request contains"));
    }
    let issued = issuing.issued;
    if carries.kind == CodeKind::PushedRequest && issued == Issued::Raw {
        by_uri(exchange, issuing, &coded.code).await?;
    }
    let kept = match issued {
        Issued::Handle => of(&carries.kept(&issuing.key, code.expose())),
        Issued::Raw => Some(code),
    };
    let kept = kept.ok_or(unsafe_because(unreadable))?;
    let lifetime = carries.lifetime(issued, coded.promised());
    let lifetime = lifetime.map_err(unsafe_because)?;
    let (key, record, store) = (&issuing.key, &issuing.record, exchange.store());
    let bound = store.bind_within(key, record, issued, kept, lifetime).await;
    let handle = match bound.map_err(Violation::from)? {
        Bound::Handle(handle) => handle,
        Bound::Raw => return Ok(None),
        Bound::Elsewhere => {
            let why = "a code that belongs to another sign-in or has expired";
            return Err(unsafe_because(why));
        }
        Bound::TooMany => return Err(unsafe_because("more codes than one sign-in may yield")),
        Bound::Unknown => return Err(unsafe_because("a code that could not be bound")),
    };
    let rewritten = coded.with(&carries.shown(&handle));
    let mut fields = response.headers().values();
    if twins.stand_in(&rewritten) || fields.any(|value| twins.stand_in(value.as_bytes())) {
        return Err(unsafe_because("the code is in the answer a second time"));
    }
    Ok(Some(rewritten))
}

/// Stores the record of a pushed request a second time, by its `request_uri`: with `codes = "upstream"` the browser brings nothing else.
async fn by_uri(
    exchange: &Exchange<'_>,
    issuing: &Issuing<'_>,
    uri: &str,
) -> Result<(), Violation> {
    let (record, network) = (&issuing.record, exchange.network());
    let place = Place::Digest(flow::pushed(uri));
    match exchange.store().hold(place, record, network).await? {
        Held::Conflict => Err(Violation::UnboundCodeInResponse(
            "a request_uri that belongs to another request",
        )),
        Held::New | Held::Again | Held::Handle(_) | Held::Spilled(_) => Ok(()),
    }
}

/// The string in a member of a JSON object. `None`: the bytes are not a JSON object without duplicate members, or it has no such
/// string that is not empty.
pub(super) fn member(document: &[u8], name: &str) -> Option<Zeroizing<String>> {
    let document = json::parse(document)?;
    let value = document.as_object()?.get(name)?.as_str()?;
    (!value.is_empty()).then(|| Zeroizing::new(value.to_owned()))
}

/// Whether an answer seems to be JSON, but has duplicate members or is broken, so that clients may read another value in it.
pub(super) fn is_unclear(response: &Response<Body>, document: &[u8]) -> bool {
    let kind = headers::value(response.headers(), header::CONTENT_TYPE);
    let text = document.trim_ascii_start();
    let is_json =
        matches!(text.first(), Some(b'{' | b'[')) || kind.is_some_and(|kind| says(kind, b"json"));
    is_json && !text.is_empty() && json::parse(document).is_none()
}

/// A JSON object with a code.
struct Coded<'d> {
    text: &'d str,
    members: Map<String, Value>,
    code: String,
    member: &'static str,
}

impl<'d> Coded<'d> {
    /// `None`: the bytes are not a JSON object without duplicate members, or it has no such code.
    fn read(bytes: &'d [u8], carries: Carries) -> Option<Self> {
        let Value::Object(members) = json::parse(bytes)? else {
            return None;
        };
        let code = members.get(carries.member)?.as_str()?.to_owned();
        let text = str::from_utf8(bytes).ok()?;
        (!code.is_empty()).then_some(Self {
            text,
            members,
            code,
            member: carries.member,
        })
    }

    /// `expires_in` (RFC 8628 section 3.2, RFC 9126 section 2.2), which some servers write as a string. `None`: it is absent.
    fn promised(&self) -> Option<Promised> {
        let expires_in = self.members.get("expires_in")?;
        if expires_in.is_null() {
            return None;
        }
        let text = || {
            expires_in
                .as_str()
                .and_then(|text| text.parse::<f64>().ok())
        };
        let seconds = expires_in.as_f64().or_else(text);
        let seconds = seconds.filter(|seconds| *seconds >= 0.0);
        Some(seconds.map_or(Promised::Unreadable, |seconds| {
            let promised = Duration::try_from_secs_f64(seconds);
            Promised::Readable(promised.unwrap_or(Duration::MAX))
        }))
    }

    /// The document with another code; all other bytes stay.
    fn with(&self, code: &str) -> Vec<u8> {
        let place = Pointer::to_member(self.member).find(self.text);
        let edit = place.map(|place| (place, json_text::quoted(code)));
        json_text::replace(self.text, edit.as_slice()).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: Carries = Carries {
        member: "device_code",
        kind: CodeKind::Device,
    };

    fn read(document: &str) -> Option<Coded<'_>> {
        Coded::read(document.as_bytes(), DEVICE)
    }

    /// The lifetime in seconds of a device code with this `expires_in`.
    fn lifetime(issued: Issued, expires_in: &str) -> Result<u64, &'static str> {
        let document = format!(r#"{{"device_code":"d"{expires_in}}}"#);
        let promised = read(&document).unwrap().promised();
        let lifetime = DEVICE.lifetime(issued, promised)?;
        Ok(lifetime.unwrap().as_secs())
    }

    #[test]
    fn a_code_lives_as_long_as_the_answer_says() {
        for (expires_in, seconds) in [
            ("600", 600),
            ("600.0", 600),
            ("\"300\"", 300),
            ("0", 0),
            ("1800", 1800),
        ] {
            let expires_in = format!(",\"expires_in\":{expires_in}");
            for issued in [Issued::Handle, Issued::Raw] {
                assert_eq!(lifetime(issued, &expires_in), Ok(seconds), "{expires_in}");
            }
        }
    }

    /// The server may accept its own for longer, but the client does not know it.
    #[test]
    fn a_handle_lives_for_thirty_minutes_at_most() {
        for expires_in in [
            "1801", "86401", "1e300", "-1", "null", "\"soon\"", "\"inf\"",
        ] {
            let expires_in = format!(",\"expires_in\":{expires_in}");
            assert_eq!(
                lifetime(Issued::Handle, &expires_in),
                Ok(1800),
                "{expires_in}"
            );
        }
        assert_eq!(lifetime(Issued::Handle, ""), Ok(1800));
    }

    #[test]
    fn a_device_code_that_travels_is_remembered_until_it_expires_or_refused() {
        let day = 24 * 60 * 60;
        for (expires_in, expected) in [
            ("1801", Ok(1801)),
            ("86400", Ok(day)),
            ("\"86400\"", Ok(day)),
            ("null", Ok(day)),
            ("86400.5", Err("24 hours")),
            ("86401", Err("24 hours")),
            ("\"86401\"", Err("24 hours")),
            ("1e300", Err("24 hours")),
            ("\"inf\"", Err("24 hours")),
            ("-1", Err("cannot be read")),
            ("\"soon\"", Err("cannot be read")),
            ("\"NaN\"", Err("cannot be read")),
            ("\"\"", Err("cannot be read")),
            ("[600]", Err("cannot be read")),
            ("true", Err("cannot be read")),
        ] {
            let expires_in = format!(",\"expires_in\":{expires_in}");
            match (lifetime(Issued::Raw, &expires_in), expected) {
                (Err(why), Err(expected)) => assert!(why.contains(expected), "{expires_in}: {why}"),
                (lifetime, expected) => assert_eq!(lifetime, expected, "{expires_in}"),
            }
        }
        assert_eq!(lifetime(Issued::Raw, ""), Ok(day));
    }

    #[test]
    fn only_the_code_is_replaced() {
        let document = "{\"x\":\"d\", \"de\\u0076ice_code\" :\t\"d\\u0041\" , \"y\":[{\"device_code\":\"d\"}]}\n";
        let found = read(document).unwrap();
        assert_eq!(found.code, "dA");
        let expected =
            "{\"x\":\"d\", \"de\\u0076ice_code\" :\t\"NEW\" , \"y\":[{\"device_code\":\"d\"}]}\n";
        assert_eq!(found.with("NEW"), expected.as_bytes());
        for other in [
            "",
            "{}",
            r#"{"device_code":""}"#,
            r#"{"device_code":1}"#,
            r#"[{"device_code":"d"}]"#,
            r#"{"x":{"device_code":"d"}}"#,
            r#"{"device_code":"d","device_code":"d"}"#,
            r#"{"device_code":"d","x":{"y":1,"y":2}}"#,
            r#"{"device_code":"d"} {}"#,
        ] {
            assert!(read(other).is_none(), "{other}");
        }
    }
}
