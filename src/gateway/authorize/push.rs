//! The pushed authorization request endpoint (RFC 9126). The request is judged here, and its record is made here; the browser
//! brings only the `request_uri` of the answer ([`super::pushed`]).

use http::{Response, header};

use crate::flow::submission::{Part, Sign};
use crate::flow::{Key, OwnVerifier, PendingAuthorization, Submission};
use crate::oauth::authorize::PROTECTED;
use crate::oauth::client::ClientProblem;
use crate::oauth::token::unambiguous;
use crate::oauth::{Ambiguous, AuthorizationRequest, ClientId, ClientIdentity, CodeKind};
use crate::policy::{Cleared, Violation};
use crate::store::{Held, Issued, Place, StoreError};

use super::correlated::Correlated;
use super::parsed::{Fresh, unwrapped};
use super::rewrite::towards;
use crate::gateway::exchange::Exchange;
use crate::gateway::issued::{self, Carries, Issuing};
use crate::gateway::received::Received;
use crate::gateway::settings::Correlation;
use crate::gateway::sign_in_cookies;
use crate::gateway::{direct, reply, token};
use crate::http::body::Body;

const REQUEST_URI: Carries = Carries {
    member: "request_uri",
    kind: CodeKind::PushedRequest,
};

/// Handles a request on a path of that endpoint.
pub(in crate::gateway) async fn push(exchange: &Exchange<'_>, request: Received) -> Response<Body> {
    let wrong_method = "a pushed authorization request must be a POST";
    let (request, body) = match direct::read(exchange, request, wrong_method).await {
        Ok(read) => read,
        Err(answer) => return *answer,
    };
    let authorization = request.authorization().map(<[u8]>::to_vec);
    let pairs = exchange.snapshot.limits.form_pairs;
    let read = Submission::read(b"", Some(&body), pairs).map_err(Violation::from);
    let read = read.and_then(|submission| {
        let identity = read_client(&submission, authorization.as_deref())?;
        Ok((submission, identity))
    });
    let (submission, identity) = match read {
        Ok(read) => read,
        Err(violation) => return direct::unreadable(exchange, request, violation).await,
    };
    let identity = identity.as_ref();
    let object = match unwrapped(exchange, &submission, Part::Form, identity) {
        Ok(None) => return judged(exchange, request, &submission, identity).await,
        Ok(Some(object)) => object,
        Err(doubt) => return direct::unreadable(exchange, request, doubt.into()).await,
    };
    match Submission::read(b"", Some(&object), pairs) {
        Ok(submission) => judged(exchange, request, &submission, identity).await,
        Err(doubt) => direct::unreadable(exchange, request, doubt.into()).await,
    }
}

/// The client, if every server reads the same parameters.
fn read_client(
    submission: &Submission<'_>,
    authorization: Option<&[u8]>,
) -> Result<Option<ClientIdentity>, Violation> {
    let params = submission.part(Part::Form);
    unambiguous(params, &PROTECTED)?;
    let identity = ClientIdentity::read(authorization, params).map_err(Ambiguous::from)?;
    Ok(identity)
}

async fn judged(
    exchange: &Exchange<'_>,
    request: Received,
    submission: &Submission<'_>,
    identity: Option<&ClientIdentity>,
) -> Response<Body> {
    let parsed = match submission.request(Part::Form) {
        Ok(parsed) => parsed,
        Err(doubt) => return direct::unreadable(exchange, request, doubt.into()).await,
    };
    // A request object may name another client than the one that authenticates.
    let is_own = match (identity, parsed.client_id) {
        (Some(identity), Some(named)) => identity.may_be(ClientId::new(named).digest()),
        (Some(_) | None, _) => true,
    };
    if !is_own {
        let differs = Ambiguous::from(ClientProblem::Disagreement);
        return direct::unreadable(exchange, request, differs.into()).await;
    }
    // The client may name itself only where it authenticates.
    let client = identity.map(|identity| identity.id().clone());
    let named = client.as_ref().map(ClientId::as_str).or(parsed.client_id);
    let mut fresh = Fresh {
        submission,
        part: Part::Form,
        parsed: AuthorizationRequest {
            client_id: named,
            ..parsed
        },
        client: client.clone(),
        rule: exchange.rule_of_identity(identity),
        hint: None,
    };
    let judged = if fresh.parsed.request_uri.is_some() {
        let text =
            "a pushed authorization request must not contain request_uri (RFC 9126 section 2.1)";
        Err(Violation::malformed(text))
    } else {
        fresh.judge()
    };
    let pending = fresh.pending(&judged, None);
    fresh.take_hint(exchange, &judged, &pending);
    let violation = judged.err();
    if !fresh.rule.may_change_requests() {
        let correlated = Correlated::of(&pending);
        let key = correlated.key.into();
        let decided = correlated
            .decide(exchange, &fresh, request, violation)
            .await;
        return match decided {
            Ok(cleared) => forward(exchange, cleared, &fresh, key, pending.clone()).await,
            Err((_, violation)) => refused(&fresh, &violation),
        };
    }
    let cleared = match exchange.decide(fresh.rule, request, violation, &fresh.about()) {
        Ok(cleared) => cleared,
        Err((_, violation)) => return refused(&fresh, &violation),
    };
    fresh.note(exchange);
    let own = match exchange.own_verifier(fresh.rule) {
        Ok(own) => own.filter(|_| fresh.uses_handles() && fresh.response_type().yields_code()),
        Err(error) => return unavailable(exchange, &fresh, &error.into()),
    };
    let pending = PendingAuthorization { own, ..pending };
    let network = exchange.network();
    // With `codes = "upstream"`, too: the browser that will bring the request_uri is unknown, and its records are made then.
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
    unavailable(exchange, &fresh, &violation)
}

fn unavailable(
    exchange: &Exchange<'_>,
    fresh: &Fresh<'_>,
    violation: &Violation,
) -> Response<Body> {
    exchange.refuse(violation, &fresh.about());
    reply::request_refused(violation, None)
}

fn refused(fresh: &Fresh<'_>, violation: &Violation) -> Response<Body> {
    reply::request_refused(violation, fresh.hint_on(violation))
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
    let handle = key.handle().filter(|_| fresh.uses_handles());
    let form = handle.map(|handle| {
        let mark = sign_in_cookies::name(handle);
        let sign = match exchange.site.settings.correlation {
            Correlation::State => Sign::State(handle),
            Correlation::Cookie => Sign::Mark {
                handle,
                mark: &mark,
            },
        };
        let own = record.own.as_ref().map(OwnVerifier::challenge);
        let towards = towards(exchange, &record, own.as_ref());
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
        issued: if fresh.uses_handles() {
            Issued::Handle
        } else {
            Issued::Raw
        },
    };
    match exchange.forward(cleared).await {
        Ok(response) if response.status().is_success() => {
            issued::deliver(exchange, &issuing, REQUEST_URI, &sent_request, response).await
        }
        // An error of the server, or a redirect, which is no answer of this endpoint.
        sent => token::answer(exchange, rule, sent),
    }
}
