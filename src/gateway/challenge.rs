//! The authorization challenge endpoint of first-party apps (draft-ietf-oauth-first-party-apps): the app asks its user for
//! credentials itself, sends them in one or several requests, and gets the code in JSON.
//!
//! The requests of one sign-in are connected by the server's `auth_session`, which an error answer gives and may change. The gate
//! stores the sign-in under a digest of each. So the challenge has to be in the first request only, and no other request can bring
//! another one.

mod session;

use http::Response;

use crate::flow::PendingAuthorization;
use crate::oauth::{CodeChallenge, CodeKind, Digest, DirectRequest, Params};
use crate::policy::{Hint, Mode, Rule, Violation, authorize};
use crate::store::{Held, Pending, Place};

use super::direct;
use super::exchange::Exchange;
use super::issued::{self, Carries, Issuing};
use super::received::Received;
use super::subject::About;
use super::{bind, hints, reply, token};
use crate::http::body::Body;
use crate::telemetry::Step;

const AUTHORIZATION_CODE: Carries = Carries {
    member: "authorization_code",
    kind: CodeKind::Authorization,
};

/// Handles a request on an authorization challenge path.
pub(super) async fn handle(exchange: &Exchange<'_>, request: Received) -> Response<Body> {
    let wrong_method = "an authorization challenge request must be a POST";
    let (request, body) = match direct::read(exchange, request, wrong_method).await {
        Ok(read) => read,
        Err(answer) => return *answer,
    };
    let params = Params::parse(&body, exchange.snapshot.limits.form_pairs);
    match direct::parse(&params, &request) {
        Ok((params, parsed)) => judged(exchange, request, params, &parsed).await,
        Err(violation) => direct::unreadable(exchange, request, violation).await,
    }
}

/// The verdict on a request, and its sign-in unless the request is refused.
struct Judged<'g> {
    rule: &'g Rule,
    violation: Option<Violation>,
    issuing: Option<Issuing<'g>>,
    hint: Option<Hint>,
    /// Whether the upstream gets a challenge with this request.
    with_challenge: bool,
}

async fn judged(
    exchange: &Exchange<'_>,
    request: Received,
    params: &Params<'_>,
    parsed: &DirectRequest<'_>,
) -> Response<Body> {
    let judged = judge(exchange, parsed).await;
    let step = match parsed.auth_session {
        None => Step::Begins,
        Some(_) => Step::Other,
    };
    let (rule, violation, hint) = (judged.rule, judged.violation, judged.hint);
    let about = About {
        hint,
        ..direct::about(parsed, step)
    };
    let cleared = match exchange.decide(rule, request, violation, &about) {
        Ok(cleared) => cleared,
        Err((_, violation)) => return reply::request_refused(&violation, hint),
    };
    let Some(issuing) = judged.issuing else {
        return direct::pass(exchange, cleared.into_inner()).await;
    };
    let with_challenge = judged.with_challenge;
    let cleared = cleared
        .with(|request| direct::prepare(exchange, request, params, &issuing, with_challenge));
    let sent = cleared.get().sent();
    match exchange.forward(cleared).await {
        Ok(response) if response.status().is_success() => {
            issued::deliver(exchange, &issuing, AUTHORIZATION_CODE, &sent, response).await
        }
        Ok(response) if response.status().is_client_error() => {
            goes_on(exchange, &issuing, response).await
        }
        answer => token::answer(exchange, rule, answer),
    }
}

async fn judge<'g>(exchange: &Exchange<'g>, parsed: &DirectRequest<'_>) -> Judged<'g> {
    let rule = exchange.rule_of_identity(parsed.client.as_ref());
    let refused = |rule, violation| Judged {
        rule,
        violation: Some(violation),
        issuing: None,
        hint: None,
        with_challenge: false,
    };
    let key = parsed.auth_session.map(session::key);
    if key == Some(None) {
        // It may be that of any client.
        let violation = Violation::malformed("an auth_session that servers read differently");
        return refused(exchange.strictest(), violation);
    }
    let key = key.flatten();
    let found = match key {
        Some(key) => exchange.store().pending(&key.into()).await,
        None => Ok(Pending::Unknown),
    };
    match (found, key) {
        (Ok(Pending::Live(record)), Some(key)) => continued(exchange, parsed, *record, key),
        (Ok(Pending::Conflict), _) => refused(rule, Violation::ExpiredSignIn),
        (Err(error), _) => refused(exchange.strictest(), error.into()),
        // Also with an `auth_session` that the token endpoint gave, to step up.
        (Ok(_), _) => fresh(exchange, parsed, rule).await,
    }
}

/// Judges a request that begins a sign-in.
async fn fresh<'g>(
    exchange: &Exchange<'g>,
    parsed: &DirectRequest<'_>,
    rule: &'g Rule,
) -> Judged<'g> {
    let verdict = authorize::judge_challenge(rule, parsed);
    let hint = hints::of_direct_request(rule, parsed, &verdict);
    let recorded = match &verdict {
        Ok(accepted) => accepted.clone(),
        Err(_) => authorize::recorded(rule, parsed.code_challenge, parsed.code_challenge_method),
    };
    let mut violation = verdict.err();
    let is_refused = rule.mode == Mode::Enforce && violation.is_some();
    let mut issuing = None;
    if !is_refused && rule.mode != Mode::Off {
        match direct::begin(exchange, parsed, recorded, rule).await {
            Ok(begun) => issuing = Some(begun),
            Err(error) => violation = violation.or(Some(error.into())),
        }
    }
    Judged {
        rule,
        violation,
        issuing,
        hint,
        with_challenge: true,
    }
}

/// Judges a request that continues a sign-in: it may repeat client and challenge, but not change them.
fn continued<'g>(
    exchange: &Exchange<'g>,
    parsed: &DirectRequest<'_>,
    record: PendingAuthorization,
    key: Digest,
) -> Judged<'g> {
    let named = exchange.rule_of_identity(parsed.client.as_ref());
    let owner = record.application.client;
    let rule = exchange.rules().stricter(named, exchange.rule(Some(owner)));
    let sent = (parsed.code_challenge, parsed.code_challenge_method);
    let is_its_own = |challenge: &str| {
        let recorded = record.challenge.as_ref().and_then(CodeChallenge::useful);
        recorded.is_some_and(|recorded| {
            recorded.encoded() == challenge
                && sent
                    .1
                    .is_none_or(|method| method == recorded.method().as_str())
        })
    };
    let client = parsed.client.as_ref();
    let violation = match sent {
        _ if client.is_none_or(|client| !client.may_be(owner)) => {
            Some(Violation::ContinuationMismatch("client_id"))
        }
        (None, None) => None,
        (Some(challenge), _) if is_its_own(challenge) => None,
        (Some(_), _) => Some(Violation::ContinuationMismatch("code_challenge")),
        (None, Some(_)) => Some(Violation::MissingChallenge),
    };
    let (key, with_challenge) = (key.into(), sent.0.is_some());
    let issuing = (rule.mode != Mode::Off).then_some(Issuing {
        key,
        record,
        rule,
        issued: issued::by_rule(rule),
    });
    Judged {
        rule,
        violation,
        issuing,
        hint: None,
        with_challenge,
    }
}

/// Sends an error to the client: the sign-in goes on with the `auth_session` in it, or on the web.
async fn goes_on(
    exchange: &Exchange<'_>,
    issuing: &Issuing<'_>,
    mut response: Response<Body>,
) -> Response<Body> {
    let judged = judge_error(exchange, issuing, &mut response).await;
    match judged {
        Ok(()) => bind::pass_through(exchange, response),
        Err(violation) => issued::refuse(exchange, issuing, violation, response).await,
    }
}

async fn judge_error(
    exchange: &Exchange<'_>,
    issuing: &Issuing<'_>,
    response: &mut Response<Body>,
) -> Result<(), Violation> {
    let unsafe_because = Violation::UnboundCodeInResponse;
    // An `auth_session` that is not found here would begin another sign-in.
    let document = issued::document(exchange, response).await;
    let document = document.map_err(unsafe_because)?;
    if issued::is_unclear(response, &document) {
        return Err(unsafe_because(
            "an error in JSON that servers read differently",
        ));
    }
    let has = |name| issued::member(&document, name);
    if has(AUTHORIZATION_CODE.member).is_some() {
        return Err(unsafe_because("an error with a code"));
    }
    if has("request_uri").is_some() {
        // The authorization endpoint would refuse it.
        return Err(Violation::RequestUriRefused);
    }
    match has("auth_session") {
        Some(next) => follow(exchange, issuing, &next).await,
        None => Ok(()),
    }
}

/// Stores the sign-in under its next `auth_session`.
async fn follow(
    exchange: &Exchange<'_>,
    issuing: &Issuing<'_>,
    next: &str,
) -> Result<(), Violation> {
    let unsafe_because = Violation::UnboundCodeInResponse;
    let key = session::key(next);
    let key = key.ok_or(unsafe_because(
        "an auth_session that servers read differently",
    ))?;
    let (place, network) = (Place::Digest(key), exchange.network());
    let held = exchange.store().hold(place, &issuing.record, network);
    match held.await? {
        // Both sign-ins have ended: the server does not tell them apart.
        Held::Conflict => Err(unsafe_because(
            "an auth_session that belongs to another sign-in",
        )),
        Held::New | Held::Again | Held::Handle(_) | Held::Spilled(_) => Ok(()),
    }
}
