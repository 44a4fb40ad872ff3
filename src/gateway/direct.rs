//! What the endpoints have in common that give a code to the client itself, in JSON: the device authorization endpoint (RFC 8628)
//! and the authorization challenge endpoint (first-party apps). There is no browser and no redirect. So a request that begins a
//! sign-in and the answer with its code belong together, or by a value that both contain.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};

use crate::flow::{Application, ClientState, Key, OwnVerifier, PendingAuthorization};
use crate::oauth::direct::PROTECTED;
use crate::oauth::params::{Malformed, Params, append_pair};
use crate::oauth::{Ambiguous, ClientId, CodeChallenge, CodeChallengeMethod, DirectRequest};
use crate::policy::{Rule, Violation};
use crate::store::{Held, Place, StoreError};

use super::exchange::Exchange;
use super::issued::{self, Issuing};
use super::received::Received;
use super::settings::ToUpstream;
use super::subject::About;
use super::token::form::{Unreadable, body, is_empty};
use super::token::{has_document, preflight};
use super::{bind, concern, elsewhere, reply};
use crate::http::body::Body;
use crate::telemetry::Step;

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
        let is_watched = exchange.site.observes_only;
        if !is_watched {
            return Err(Box::new(preflight(exchange, request).await));
        }
        // Another one is recorded below, and passes, too.
        if is_empty(exchange, &request) {
            return Err(Box::new(pass(exchange, request).await));
        }
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
        let refused = unreadable(exchange, request, Ambiguous::Document.into()).await;
        return Err(Box::new(refused));
    }
    Ok((request, body))
}

/// Parses what [`read`] returned. `params`: the body.
pub(super) fn parse<'p>(
    params: &'p Result<Params<'p>, Malformed>,
    request: &Received,
) -> Result<(&'p Params<'p>, DirectRequest<'p>), Violation> {
    let params = params.as_ref().map_err(|why| Violation::from(*why))?;
    let parsed = DirectRequest::parse(params, request.authorization())?;
    Ok((params, parsed))
}

/// Refuses a request that cannot be parsed.
pub(super) async fn unreadable(
    exchange: &Exchange<'_>,
    request: Received,
    violation: Violation,
) -> Response<Body> {
    refuse_unreadable(exchange, request, (violation, StatusCode::BAD_REQUEST)).await
}

/// Refuses a malformed request, or forwards it if the rule of the clients that it may concern does not enforce.
async fn refuse_unreadable(
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
pub(super) fn about<'r>(parsed: &'r DirectRequest<'_>, step: Step) -> About<'r> {
    let client = parsed.client.as_ref();
    About {
        client: client.map(|client| Cow::Borrowed(client.id())),
        redirect_uri: None,
        method: parsed
            .code_challenge
            .and_then(|_| CodeChallengeMethod::parse(parsed.code_challenge_method)),
        keeps_code: false,
        step,
        is_uncertain: false,
        hint: None,
    }
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
            pushed: None,
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
    let issued = issued::by_rule(rule);
    Ok(Issuing {
        key,
        record,
        rule,
        issued,
    })
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
