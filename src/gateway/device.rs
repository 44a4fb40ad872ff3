//! The device authorization endpoint (RFC 8628 section 3.1). Its answer has no browser and no redirect: the client gets the device
//! code at once, and redeems it at the token endpoint. So a challenge in the request binds the device code of the answer
//! (`device = "if_present"`). The record of such a sign-in ends here; its key never leaves the gate.

use std::borrow::Cow;
use std::sync::Arc;

use http::{Method, Response, StatusCode, header};

use crate::flow::{Application, ClientState, Key, PendingAuthorization};
use crate::oauth::params::{Params, append_pair};
use crate::oauth::{
    Ambiguous, ClientId, CodeChallenge, CodeChallengeMethod, CodeKind, DeviceRequest, device,
};
use crate::policy::{Mode, Rule, Violation, authorize};
use crate::store::{Held, Place, StoreError};

use super::exchange::Exchange;
use super::issued::{self, Issuing};
use super::received::Received;
use super::settings::ToUpstream;
use super::subject::About;
use super::token::form::{Unreadable, body};
use super::token::{has_document, preflight};
use super::{bind, concern, elsewhere, reply, token};
use crate::http::body::Body;

/// Handles a request on a device authorization path.
pub(super) async fn handle(exchange: &Exchange<'_>, mut request: Received) -> Response<Body> {
    if exchange.rules().all_off() {
        return pass(exchange, request).await;
    }
    if request.method == Method::OPTIONS {
        return preflight(exchange, request).await;
    }
    if request.method != Method::POST {
        let unreadable = (
            Violation::malformed("a device authorization request must be a POST"),
            StatusCode::METHOD_NOT_ALLOWED,
        );
        return refuse_unreadable(exchange, request, unreadable).await;
    }
    if !exchange.site.observes_only {
        request.remove_cookies_like(&device::PROTECTED);
    }
    let body = match body(exchange, &mut request).await {
        Ok(body) => body,
        Err(unreadable) => return refuse_unreadable(exchange, request, unreadable).await,
    };
    // A server may serve token requests here, too.
    if let Some(refused) = elsewhere::guard(exchange, &mut request).await {
        return refused;
    }
    let pairs = exchange.snapshot.limits.form_pairs;
    let authorization = request.authorization().map(<[u8]>::to_vec);
    let params = Params::parse(&body, pairs);
    let is_document = has_document(exchange, &mut request, &body).await;
    let parsed = match &params {
        Err(malformed) => Err((*malformed).into()),
        Ok(_) if is_document => Err(Ambiguous::Document.into()),
        Ok(params) => DeviceRequest::parse(params, authorization.as_deref())
            .map(|parsed| (params, parsed))
            .map_err(Violation::from),
    };
    match parsed {
        Ok((params, parsed)) => judged(exchange, request, params, &parsed).await,
        Err(violation) => {
            refuse_unreadable(exchange, request, (violation, StatusCode::BAD_REQUEST)).await
        }
    }
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

/// Forwards a request whose device code is not bound.
async fn pass(exchange: &Exchange<'_>, request: Received) -> Response<Body> {
    let asked = bind::Asked {
        sent: Box::new(request.sent()),
        ..bind::Asked::default()
    };
    let sent = exchange.send(request).await;
    bind::deliver(exchange, asked, sent).await
}

async fn judged(
    exchange: &Exchange<'_>,
    request: Received,
    params: &Params<'_>,
    parsed: &DeviceRequest<'_>,
) -> Response<Body> {
    let rule = exchange.rule_of_identity(parsed.client.as_ref());
    let about = About {
        client: parsed
            .client
            .as_ref()
            .map(|client| Cow::Borrowed(client.id())),
        redirect_uri: None,
        method: parsed
            .code_challenge
            .and_then(|_| CodeChallengeMethod::parse(parsed.code_challenge_method)),
    };
    let verdict = authorize::judge_device(rule, parsed);
    let recorded = match &verdict {
        Ok(accepted) => accepted.clone(),
        Err(_) => {
            let (challenge, method) = (parsed.code_challenge, parsed.code_challenge_method);
            authorize::recorded(rule, challenge, method)
        }
    };
    let mut violation = verdict.err();
    let is_refused = rule.mode == Mode::Enforce && violation.is_some();
    let issuing = match recorded {
        Some(challenge) if !is_refused && rule.mode != Mode::Off => {
            let begun = begin(exchange, parsed, challenge, rule).await;
            begun.map_err(|error| violation = violation.take().or(Some(error.into())))
        }
        Some(_) | None => Err(()),
    };
    let cleared = match exchange.decide(rule, request, violation, &about) {
        Ok(cleared) => cleared,
        Err((_, violation)) => return reply::request_refused(&violation),
    };
    let Ok(issuing) = issuing else {
        return pass(exchange, cleared.into_inner()).await;
    };
    let cleared = cleared.with(|request| {
        if !rule.may_change_requests() {
            return;
        }
        // Some servers read parameters from cookies, too.
        request.headers.remove(header::COOKIE);
        // A device code in a compressed answer cannot be found.
        Exchange::ask_for_identity(&mut request.headers);
        if rule.uses_handles() {
            let strips = exchange.site.settings.to_upstream == ToUpstream::Strip;
            let challenge = issuing.challenge().filter(|_| !strips);
            request.body.replace(canonical(params, challenge));
        }
    });
    let sent_request = cleared.get().sent();
    match exchange.forward(cleared).await {
        Ok(response) if response.status().is_success() => {
            issued::deliver(exchange, &issuing, &sent_request, response).await
        }
        // An error of the server, or a redirect, which is no answer of this endpoint.
        sent => token::answer(exchange, rule, sent),
    }
}

/// Stores the record of a request. Its redirect URI is none, so none is compared.
async fn begin<'r>(
    exchange: &Exchange<'_>,
    parsed: &DeviceRequest<'_>,
    challenge: CodeChallenge,
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
        challenge: Some(challenge),
        state: ClientState::Absent,
        browser: None,
    };
    let network = exchange.network();
    let held = exchange
        .store()
        .hold(Place::Entry, &record, network)
        .await?;
    let key: Key = match held {
        Held::Handle(handle) => handle.into(),
        Held::Spilled(spilled) => spilled.handle.into(),
        // Not for a new handle.
        Held::New | Held::Again | Held::Conflict => return Err(StoreError::Entropy),
    };
    Ok(Issuing {
        key,
        record,
        rule,
        kind: CodeKind::Device,
    })
}

/// The body, encoded again from the parsed parameters, with this challenge or with none.
fn canonical(params: &Params<'_>, challenge: Option<&CodeChallenge>) -> Vec<u8> {
    let mut out = Vec::with_capacity(params.input_length());
    for pair in params.iter() {
        match pair.name() {
            "code_challenge" | "code_challenge_method" => {}
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
