//! The pushed authorization request endpoint (RFC 9126). The request is judged here, and its record is made here; the browser
//! brings only the `request_uri` of the answer ([`super::pushed`]).

use http::{Method, Response, StatusCode, header};

use crate::flow::submission::{Part, Sign};
use crate::flow::{Key, PendingAuthorization, Submission};
use crate::oauth::authorize::PROTECTED;
use crate::oauth::token::unambiguous;
use crate::oauth::{Ambiguous, AuthorizationRequest, ClientId, ClientIdentity, CodeKind};
use crate::policy::{Cleared, Violation};
use crate::store::{Held, Place, StoreError};

use super::correlated::Correlated;
use super::parsed::{Fresh, unwrapped};
use super::rewrite::towards;
use crate::gateway::exchange::Exchange;
use crate::gateway::issued::{self, Issuing};
use crate::gateway::received::Received;
use crate::gateway::settings::Correlation;
use crate::gateway::sign_in_cookies;
use crate::gateway::token::form::{Unreadable, body};
use crate::gateway::token::{self, has_document, preflight};
use crate::gateway::{bind, concern, elsewhere, reply};
use crate::http::body::Body;

/// Handles a request on a path of that endpoint.
pub(in crate::gateway) async fn push(
    exchange: &Exchange<'_>,
    mut request: Received,
) -> Response<Body> {
    if exchange.rules().all_off() {
        return pass(exchange, request).await;
    }
    if request.method == Method::OPTIONS {
        return preflight(exchange, request).await;
    }
    if request.method != Method::POST {
        let violation = Violation::malformed("a pushed authorization request must be a POST");
        let status = StatusCode::METHOD_NOT_ALLOWED;
        return refuse_unreadable(exchange, request, (violation, status)).await;
    }
    if !exchange.site.observes_only {
        request.remove_cookies_like(&PROTECTED);
    }
    let body = match body(exchange, &mut request).await {
        Ok(body) => body,
        Err(unreadable) => return refuse_unreadable(exchange, request, unreadable).await,
    };
    // A server may serve token requests here, too.
    if let Some(refused) = elsewhere::guard(exchange, &mut request).await {
        return refused;
    }
    let authorization = request.authorization().map(<[u8]>::to_vec);
    let is_document = has_document(exchange, &mut request, &body).await;
    let pairs = exchange.snapshot.limits.form_pairs;
    let read = Submission::read(b"", Some(&body), pairs).map_err(Violation::from);
    let object;
    let read = read.and_then(|submission| {
        let identity = read_client(&submission, authorization.as_deref(), is_document)?;
        Ok((submission, identity))
    });
    match read {
        Ok((submission, identity)) => {
            match unwrapped(exchange, &submission, Part::Form, identity.as_ref()) {
                Ok(None) => judged(exchange, request, &submission, identity.as_ref()).await,
                Ok(Some(form)) => {
                    object = form;
                    match Submission::read(b"", Some(&object), pairs) {
                        Ok(inner) => judged(exchange, request, &inner, identity.as_ref()).await,
                        Err(doubt) => {
                            let unreadable = (doubt.into(), StatusCode::BAD_REQUEST);
                            refuse_unreadable(exchange, request, unreadable).await
                        }
                    }
                }
                Err(doubt) => {
                    let unreadable = (doubt.into(), StatusCode::BAD_REQUEST);
                    refuse_unreadable(exchange, request, unreadable).await
                }
            }
        }
        Err(violation) => {
            refuse_unreadable(exchange, request, (violation, StatusCode::BAD_REQUEST)).await
        }
    }
}

/// The client, if every server reads the same parameters.
fn read_client(
    submission: &Submission<'_>,
    authorization: Option<&[u8]>,
    is_document: bool,
) -> Result<Option<ClientIdentity>, Violation> {
    if is_document {
        return Err(Ambiguous::Document.into());
    }
    let params = submission.part(Part::Form);
    unambiguous(params, &PROTECTED)?;
    let identity = ClientIdentity::read(authorization, params).map_err(Ambiguous::from)?;
    Ok(identity)
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

/// Forwards a request whose `request_uri` is not bound.
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
    submission: &Submission<'_>,
    identity: Option<&ClientIdentity>,
) -> Response<Body> {
    let parsed = match submission.request(Part::Form) {
        Ok(parsed) => parsed,
        Err(doubt) => {
            let unreadable = (doubt.into(), StatusCode::BAD_REQUEST);
            return refuse_unreadable(exchange, request, unreadable).await;
        }
    };
    // The client may name itself only where it authenticates.
    let client = identity.map(|identity| identity.id().clone());
    let named = client.as_ref().map(ClientId::as_str).or(parsed.client_id);
    let fresh = Fresh {
        submission,
        part: Part::Form,
        parsed: AuthorizationRequest {
            client_id: named,
            ..parsed
        },
        client: client.clone(),
        rule: exchange.rule_of_identity(identity),
    };
    let judged = if fresh.parsed.request_uri.is_some() {
        let text =
            "a pushed authorization request must not contain request_uri (RFC 9126 section 2.1)";
        Err(Violation::malformed(text))
    } else {
        fresh.judge()
    };
    let pending = fresh.pending(&judged, None);
    let violation = judged.err();
    if !fresh.rule.uses_handles() {
        let correlated = Correlated::of(&pending);
        let key = correlated.key.into();
        let decided = correlated
            .decide(exchange, &fresh, request, violation)
            .await;
        return match decided {
            Ok(cleared) => forward(exchange, cleared, &fresh, key, pending.clone()).await,
            Err((_, violation)) => reply::request_refused(&violation),
        };
    }
    let cleared = match exchange.decide(fresh.rule, request, violation, &fresh.about()) {
        Ok(cleared) => cleared,
        Err((_, violation)) => return reply::request_refused(&violation),
    };
    fresh.note(exchange);
    let network = exchange.network();
    let held = exchange.store().hold(Place::Entry, &pending, network).await;
    let violation = match held {
        Ok(Held::Handle(handle)) => {
            let key = Key::Handle(handle);
            return forward(exchange, cleared, &fresh, key, pending).await;
        }
        // No browser is here to keep it.
        Ok(Held::Spilled(_)) => Violation::malformed(
            "state is too long for a pushed request here; send a short random value, and keep the rest in the client",
        ),
        // Not for a new handle.
        Ok(Held::New | Held::Again | Held::Conflict) => StoreError::Entropy.into(),
        Err(error) => error.into(),
    };
    exchange.refuse(&violation, &fresh.about());
    reply::request_refused(&violation)
}

/// Forwards the request, and binds the `request_uri` of the answer.
async fn forward(
    exchange: &Exchange<'_>,
    cleared: Cleared<Received>,
    fresh: &Fresh<'_>,
    key: Key,
    record: PendingAuthorization,
) -> Response<Body> {
    let rule = fresh.rule;
    let form = key.handle().map(|handle| {
        let mark = sign_in_cookies::name(handle);
        let sign = match exchange.site.settings.correlation {
            Correlation::State => Sign::State(handle),
            Correlation::Cookie => Sign::Mark {
                handle,
                mark: &mark,
            },
        };
        let towards = towards(exchange, &record);
        let parts = fresh
            .submission
            .towards_upstream(sign, Some(Part::Form), towards);
        parts.form
    });
    let cleared = cleared.with(|request| {
        if !rule.may_change_requests() {
            return;
        }
        // Some servers read parameters from cookies, too.
        request.headers.remove(header::COOKIE);
        // A request_uri in a compressed answer cannot be found.
        Exchange::ask_for_identity(&mut request.headers);
        if let Some(form) = form.flatten() {
            request.body.replace(form);
        }
    });
    let sent_request = cleared.get().sent();
    let issuing = Issuing {
        key,
        record,
        rule,
        kind: CodeKind::PushedRequest,
    };
    match exchange.forward(cleared).await {
        Ok(response) if response.status().is_success() => {
            issued::deliver(exchange, &issuing, &sent_request, response).await
        }
        // An error of the server, or a redirect, which is no answer of this endpoint.
        sent => token::answer(exchange, rule, sent),
    }
}
