//! What the endpoints have in common that give a code to the client itself, in JSON: the device authorization endpoint (RFC 8628)
//! and the authorization challenge endpoint (first-party apps). There is no browser and no redirect. So a request that begins a
//! sign-in and the answer with its code belong together, or by a value that both contain.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};

use crate::answer::carrier::member::Member;
use crate::flow::{Application, ClientState, Key, OwnVerifier, PendingAuthorization};
use crate::oauth::direct::PROTECTED;
use crate::oauth::params::{Params, append_pair};
use crate::oauth::{
    Ambiguous, AuthorizationCode, ClientId, CodeChallenge, CodeChallengeMethod, CodeKind,
    DirectRequest,
};
use crate::policy::{Rule, Violation};
use crate::spelling::Twins;
use crate::store::{Bound, Held, Issued, Place, StoreError};

use super::exchange::Exchange;
use super::received::{Received, Sent};
use super::settings::ToUpstream;
use super::subject::About;
use super::token::form::{Unreadable, body};
use super::token::{has_document, preflight};
use super::{bind, concern, elsewhere, reply};
use crate::http::body::{Body, Peeked};
use crate::http::headers;

/// The longest time that a device code can be redeemed here. Real servers give five to thirty minutes.
const LONGEST: Duration = Duration::from_mins(30);

/// The forms of a request that was read, or the answer to one that goes no further.
pub(super) type Read = Result<(Received, Bytes), Box<Response<Body>>>;

/// Reads the form of a request at such an endpoint. `wrong_method`: the reason for the log.
pub(super) async fn read(
    exchange: &Exchange<'_>,
    mut request: Received,
    wrong_method: &str,
) -> Read {
    if exchange.rules().all_off() {
        return Err(Box::new(pass(exchange, request).await));
    }
    if request.method == Method::OPTIONS {
        return Err(Box::new(preflight(exchange, request).await));
    }
    if request.method != Method::POST {
        let violation = Violation::malformed(wrong_method);
        let unreadable = (violation, StatusCode::METHOD_NOT_ALLOWED);
        return Err(Box::new(
            refuse_unreadable(exchange, request, unreadable).await,
        ));
    }
    if !exchange.site.observes_only {
        request.remove_cookies_like(&PROTECTED);
    }
    let body = match body(exchange, &mut request).await {
        Ok(body) => body,
        Err(unreadable) => {
            let refused = refuse_unreadable(exchange, request, unreadable).await;
            return Err(Box::new(refused));
        }
    };
    // A server may serve token requests here, too.
    if let Some(refused) = elsewhere::guard(exchange, &mut request).await {
        return Err(Box::new(refused));
    }
    if has_document(exchange, &mut request, &body).await {
        let unreadable = (Ambiguous::Document.into(), StatusCode::BAD_REQUEST);
        let refused = refuse_unreadable(exchange, request, unreadable).await;
        return Err(Box::new(refused));
    }
    Ok((request, body))
}

/// Refuses a malformed request, or forwards it if the rule of the clients that it may concern does not enforce.
pub(super) async fn refuse_unreadable(
    exchange: &Exchange<'_>,
    mut request: Received,
    (violation, status): Unreadable,
) -> Response<Body> {
    let rule = concern::rule(exchange, &mut request).await;
    match exchange.decide_unreadable(rule, request, violation) {
        Ok(cleared) => pass(exchange, cleared.into_inner()).await,
        Err(_) if status == StatusCode::METHOD_NOT_ALLOWED => {
            reply::method_not_allowed("POST", true)
        }
        Err((_, violation)) => reply::token_refused(&violation, Some(status)),
    }
}

/// Forwards a request whose answer is not bound.
pub(super) async fn pass(exchange: &Exchange<'_>, request: Received) -> Response<Body> {
    let asked = bind::Asked {
        sent: Box::new(request.sent()),
        ..bind::Asked::default()
    };
    let sent = exchange.send(request).await;
    bind::deliver(exchange, asked, sent).await
}

/// The subject of a decision about a request.
pub(super) fn about<'r>(parsed: &'r DirectRequest<'_>) -> About<'r> {
    let client = parsed.client.as_ref();
    About {
        client: client.map(|client| Cow::Borrowed(client.id())),
        redirect_uri: None,
        method: parsed
            .code_challenge
            .and_then(|_| CodeChallengeMethod::parse(parsed.code_challenge_method)),
    }
}

/// A sign-in whose answer will be bound.
pub(super) struct Issuing<'r> {
    pub(super) key: Key,
    pub(super) record: PendingAuthorization,
    pub(super) rule: &'r Rule,
}

/// Stores the record of a request that begins a sign-in. Its redirect URI is none, so none is compared.
pub(super) async fn begin<'r>(
    exchange: &Exchange<'_>,
    parsed: &DirectRequest<'_>,
    challenge: Option<CodeChallenge>,
    rule: &'r Rule,
) -> Result<Issuing<'r>, StoreError> {
    let client = parsed.client.as_ref().map(|client| client.id().clone());
    let client = client.unwrap_or_else(|| ClientId::new(""));
    exchange.site.state.note_client(&client);
    let record = PendingAuthorization {
        application: Arc::new(Application {
            client: client.digest(),
            redirect: None,
            response_type: None,
            response_mode: None,
        }),
        challenge,
        own: exchange.own_verifier(rule)?,
        state: ClientState::Absent,
        browser: None,
    };
    // Nobody else gets the handle, so the record ends with this request unless it gets a code.
    let held = exchange
        .store()
        .hold(Place::Entry, &record, exchange.network());
    let key: Key = match held.await? {
        Held::Handle(handle) => handle.into(),
        Held::Spilled(spilled) => spilled.handle.into(),
        // Not for a new handle.
        Held::New | Held::Again | Held::Conflict => return Err(StoreError::Entropy),
    };
    Ok(Issuing { key, record, rule })
}

/// Prepares a request for the upstream. `with_challenge`: whether a challenge goes along.
pub(super) fn prepare(
    exchange: &Exchange<'_>,
    request: &mut Received,
    params: &Params<'_>,
    issuing: &Issuing<'_>,
    with_challenge: bool,
) {
    if !issuing.rule.may_change_requests() {
        return;
    }
    // Some servers read parameters from cookies, too.
    request.headers.remove(header::COOKIE);
    // A code in a compressed answer cannot be found.
    Exchange::ask_for_identity(&mut request.headers);
    if issuing.rule.uses_handles() {
        let strips = exchange.site.settings.to_upstream == ToUpstream::Strip;
        let own = issuing.record.own.as_ref().map(OwnVerifier::challenge);
        let sent = issuing.record.challenge.as_ref().filter(|_| !strips);
        let challenge = own.as_ref().or(sent).filter(|_| with_challenge);
        request.body.replace(canonical(params, challenge));
    }
}

/// The body, encoded again from the parsed parameters, with this challenge or with none.
fn canonical(params: &Params<'_>, challenge: Option<&CodeChallenge>) -> Vec<u8> {
    let mut out = Vec::with_capacity(params.input_length());
    for pair in params.iter() {
        match pair.name() {
            "code_challenge" | "code_challenge_method" | "code_verifier" => {}
            name => append_pair(&mut out, name, pair.value()),
        }
    }
    if let Some(challenge) = challenge.and_then(CodeChallenge::useful) {
        append_pair(&mut out, "code_challenge", &challenge.encoded());
        let method = challenge.method().as_str();
        append_pair(&mut out, "code_challenge_method", method);
    }
    out
}

/// The member of an answer that has the code.
#[derive(Clone, Copy)]
pub(super) struct Carries {
    pub(super) member: &'static str,
    pub(super) kind: CodeKind,
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
    Carries { member, kind }: Carries,
    sent: &Sent,
    response: &mut Response<Body>,
) -> Result<Option<Vec<u8>>, Violation> {
    let unsafe_because = Violation::UnboundCodeInResponse;
    let document = document(exchange, response).await.map_err(unsafe_because)?;
    let unreadable = "an answer that is no JSON document with the code that was asked for";
    let member = Member::find(&document, member).ok_or(unsafe_because(unreadable))?;
    let code = AuthorizationCode::of(kind, &member.value)
        .filter(|code| code.is_plain() && !code.is_too_long());
    let code = code.ok_or(unsafe_because(
        "a code in JSON that servers read differently",
    ))?;
    let twins = Twins::of(code.expose());
    if sent.may_hold(&twins) {
        return Err(unsafe_because("a code in JSON that the request contains"));
    }
    let issued = if issuing.rule.uses_handles() {
        Issued::Handle
    } else {
        Issued::Raw
    };
    let lifetime = match kind {
        CodeKind::Authorization => None,
        CodeKind::Device => Some(lifetime(&member)),
    };
    let (key, record, store) = (&issuing.key, &issuing.record, exchange.store());
    let bound = store.bind_within(key, record, issued, code, lifetime).await;
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
    let rewritten = member.replaced(&document, handle.expose());
    let rewritten = rewritten.ok_or(unsafe_because(unreadable))?;
    let mut fields = response.headers().values();
    if twins.stand_in(&rewritten) || fields.any(|value| twins.stand_in(value.as_bytes())) {
        return Err(unsafe_because("the code is in the answer a second time"));
    }
    Ok(Some(rewritten))
}

/// How long a device code can be redeemed: `expires_in`, which some servers write as a string, up to [`LONGEST`].
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
