//! The authorization endpoint: steps 1 and 2 of the walk.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode};

use crate::flow::submission::{Doubt, Part, Towards};
use crate::flow::{Handle, PendingAuthorization, Submission};
use crate::oauth::authorize::is_own_parameter;
use crate::oauth::error::AuthorizationError;
use crate::oauth::{
    AuthorizationRequest, ClientId, CodeChallenge, Digest, RedirectUri, ResponseMode, ResponseType,
};
use crate::policy::{
    Cleared, Decision, Mode, Rule, Verdict, Violation, apply, authorize, nothing_to_judge,
};
use crate::store::{Held, Pending, Place};
use crate::telemetry::Decided;

use super::body::{Body, Peeked};
use super::exchange::{Exchange, Received};
use super::{Entry, ToUpstream, bind, browser, reply};

/// What stands in the body of a request on an authorization path.
enum Form {
    None,
    Urlencoded(Bytes),
    /// Only on a continuation: its handle has to stand in the query.
    Multipart,
}

/// Judges a request on an authorization path and acts.
pub(super) async fn handle(exchange: &Exchange<'_>, mut request: Received) -> Response<Body> {
    if request.method != Method::GET && request.method != Method::POST {
        return reply::method_not_allowed("GET, POST", false);
    }
    let form = match form(exchange, &mut request).await {
        Ok(form) => form,
        Err((violation, status)) => return unreadable(exchange, request, violation, status).await,
    };
    let query = request.query().to_owned();
    let encoded = match &form {
        Form::Urlencoded(form) => Some(form.as_ref()),
        Form::None | Form::Multipart => None,
    };
    let pairs = exchange.shared.limits.form_pairs;
    let read = Submission::read(query.as_bytes(), encoded, pairs).and_then(|submission| {
        submission
            .handle(&exchange.site.key)
            .map(|handle| (submission, handle))
    });
    let (submission, handle) = match read {
        Ok(read) => read,
        Err(doubt) => return doubtful(exchange, request, &doubt).await,
    };
    if let Some(handle) = handle {
        return continuation(exchange, request, &submission, &handle).await;
    }
    if matches!(form, Form::Multipart) {
        let violation =
            Violation::MalformedRequest("multipart is accepted on a continuation only".to_owned());
        return unreadable(
            exchange,
            request,
            violation,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        )
        .await;
    }
    match submission.fresh(request.method == Method::GET) {
        Err(ambiguous) => doubtful(exchange, request, &ambiguous.into()).await,
        Ok(Some(part)) => fresh(exchange, request, &submission, part).await,
        Ok(None) => pass(exchange, nothing_to_judge(request), None).await,
    }
}

/// Judges and records, and changes not one byte.
pub(super) async fn observe(exchange: &Exchange<'_>, mut request: Received) -> Response<Body> {
    let all_off = exchange.site.settings.rules.all_off();
    if !all_off && (request.method == Method::GET || request.method == Method::POST) {
        watch(exchange, &mut request).await;
    }
    match exchange.send(request).await {
        Ok(response) if all_off => bind::pass_through(exchange, response),
        Ok(response) => bind::observe(exchange, response).await,
        Err(failed) => exchange.upstream_failed(failed),
    }
}

/// The observing half of [`observe`].
async fn watch(exchange: &Exchange<'_>, request: &mut Received) {
    let form = match form(exchange, request).await {
        Ok(Form::Urlencoded(form)) => Some(form),
        Ok(Form::None) => None,
        Ok(Form::Multipart) | Err(_) => return,
    };
    let query = request.query().to_owned();
    let submission = Submission::read(
        query.as_bytes(),
        form.as_deref(),
        exchange.shared.limits.form_pairs,
    );
    let part = submission
        .as_ref()
        .map_err(Clone::clone)
        .and_then(|submission| {
            Ok(submission
                .fresh(request.method == Method::GET)?
                .map(|part| (submission, part)))
        });
    let (submission, part) = match part {
        Ok(None) => return,
        Ok(Some(found)) => found,
        Err(doubt) => {
            return exchange.tell(
                Decided::Reported,
                Some(&authorize::unreadable(&doubt)),
                None,
            );
        }
    };
    match submission.request(part) {
        Ok(parsed) => {
            let client = parsed.client_id.map(ClientId::new);
            let rule = exchange.rule(client.as_ref().map(ClientId::digest));
            let verdict = authorize::judge(rule, &parsed);
            let pending = pending(submission, part, &parsed, verdict.subject.clone(), None);
            drop(hold_correlated(exchange, rule, verdict, &pending, client.as_ref()).await);
        }
        Err(doubt) => exchange.tell(
            Decided::Reported,
            Some(&authorize::unreadable(&doubt)),
            None,
        ),
    }
}

/// Reads the body, if there is one, leaving it ready to be sent on.
async fn form(
    exchange: &Exchange<'_>,
    request: &mut Received,
) -> Result<Form, (Violation, StatusCode)> {
    let malformed =
        |text: &str, status| Err((Violation::MalformedRequest(text.to_owned()), status));
    if request.method == Method::GET {
        return if http_body::Body::is_end_stream(&request.body) {
            Ok(Form::None)
        } else {
            malformed("a GET request with a body", StatusCode::BAD_REQUEST)
        };
    }
    let media_type = request
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or_default().to_ascii_lowercase();
    if media_type.starts_with("multipart/form-data") {
        return Ok(Form::Multipart);
    }
    let limit = exchange.shared.limits.form_bytes;
    let unsupported = "the body has to be application/x-www-form-urlencoded";
    match request.body.peek(limit).await {
        Peeked::Whole(body) if body.is_empty() => Ok(Form::None),
        Peeked::Whole(_) if request.headers.contains_key(header::CONTENT_ENCODING) => {
            malformed(unsupported, StatusCode::UNSUPPORTED_MEDIA_TYPE)
        }
        Peeked::Whole(body) if is_form(&media_type) => Ok(Form::Urlencoded(body)),
        Peeked::Whole(_) => malformed(unsupported, StatusCode::UNSUPPORTED_MEDIA_TYPE),
        Peeked::TooLong => malformed("the body is too long", StatusCode::PAYLOAD_TOO_LARGE),
        Peeked::Broken => malformed("the body ends early", StatusCode::BAD_REQUEST),
    }
}

/// Exactly a form, in UTF-8.
pub(super) fn is_form(media_type: &str) -> bool {
    let mut parts = media_type.split(';').map(str::trim);
    let form = parts
        .next()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("application/x-www-form-urlencoded"));
    form && parts.all(|parameter| {
        let parameter = parameter.to_ascii_lowercase();
        matches!(
            parameter.as_str(),
            "" | "charset=utf-8" | "charset=\"utf-8\""
        )
    })
}

async fn doubtful(exchange: &Exchange<'_>, request: Received, doubt: &Doubt) -> Response<Body> {
    unreadable(
        exchange,
        request,
        authorize::unreadable(doubt),
        StatusCode::BAD_REQUEST,
    )
    .await
}

/// A request that cannot be read belongs to no client: the upstream's own rule holds.
async fn unreadable(
    exchange: &Exchange<'_>,
    request: Received,
    violation: Violation,
    status: StatusCode,
) -> Response<Body> {
    let accept = request.accept();
    let verdict = Verdict {
        subject: request,
        violation: Some(violation),
    };
    match exchange.decide(exchange.site.settings.rules.default_rule(), verdict, None) {
        Decision::Allow(cleared) | Decision::Report(cleared, _) => {
            pass(exchange, cleared, None).await
        }
        Decision::Refuse(_, violation) => {
            exchange.page(status, &violation, Vec::new(), accept.as_ref())
        }
    }
}

/// Sends a cleared request on; its answer may carry a code.
async fn pass(
    exchange: &Exchange<'_>,
    cleared: Cleared<Received>,
    begun: Option<Digest>,
) -> Response<Body> {
    let cleared = cleared.map(|mut request| {
        Exchange::ask_for_identity(&mut request.headers);
        request
    });
    let browser = exchange.browser(&cleared.get().headers);
    match exchange.forward(cleared).await {
        Ok(response) => bind::deliver(exchange, bind::Asked { browser, begun }, response).await,
        Err(failed) => exchange.upstream_failed(failed),
    }
}

/// Rule 2: the sign-in goes on.
async fn continuation(
    exchange: &Exchange<'_>,
    request: Received,
    submission: &Submission<'_>,
    handle: &Handle,
) -> Response<Body> {
    let accept = request.accept();
    let record = match exchange.site.store.pending(handle.digest()).await {
        Ok(Pending::Live(record)) => record,
        Ok(Pending::Expired | Pending::Conflict | Pending::Unknown) => {
            // Rule 5: a dead handle is never a state of the client's own.
            let violation = Violation::ExpiredSignIn;
            exchange.tell(Decided::Refused, Some(&violation), None);
            return exchange.page(
                StatusCode::BAD_REQUEST,
                &violation,
                Vec::new(),
                accept.as_ref(),
            );
        }
        Err(_) => return store_unavailable(exchange, accept.as_ref()),
    };
    let said = submission
        .continues(handle, &record)
        .map_err(|mismatch| Violation::ContinuationMismatch(mismatch.0));
    let violation = said
        .and_then(|()| browser::check(exchange, &record, &request.headers))
        .err();
    let rule = exchange.rule(Some(record.client));
    match apply(
        rule.mode,
        Verdict {
            subject: request,
            violation,
        },
    ) {
        Decision::Refuse(_, violation) => {
            exchange.tell(Decided::Refused, Some(&violation), None);
            exchange.page(
                StatusCode::BAD_REQUEST,
                &violation,
                Vec::new(),
                accept.as_ref(),
            )
        }
        Decision::Report(cleared, violation) => {
            exchange.tell(Decided::Reported, Some(&violation), None);
            rewritten(
                exchange,
                cleared,
                submission,
                (handle, record.challenge.as_ref()),
                None,
            )
            .await
        }
        Decision::Allow(cleared) => {
            rewritten(
                exchange,
                cleared,
                submission,
                (handle, record.challenge.as_ref()),
                None,
            )
            .await
        }
    }
}

/// Forwards with the handle in every `state` and PKCE as configured.
async fn rewritten(
    exchange: &Exchange<'_>,
    cleared: Cleared<Received>,
    submission: &Submission<'_>,
    (handle, challenge): (&Handle, Option<&CodeChallenge>),
    fresh: Option<Part>,
) -> Response<Body> {
    let towards = match (exchange.site.settings.to_upstream, challenge) {
        (ToUpstream::Strip, _) => Towards::Strip,
        (ToUpstream::Forward, Some(challenge)) => Towards::Forward(challenge),
        (ToUpstream::Forward, None) => Towards::AsSent,
    };
    let parts = submission.towards_upstream(handle, fresh, towards);
    let cleared = cleared.map(|mut request| {
        let query = String::from_utf8(parts.query).unwrap_or_default();
        request.query = (request.query.is_some() || !query.is_empty()).then_some(query);
        if let Some(form) = parts.form {
            request.body = request.body.replaced(form);
        }
        request
    });
    pass(exchange, cleared, fresh.map(|_| handle.digest())).await
}

/// Rule 3: a fresh authorization request.
async fn fresh(
    exchange: &Exchange<'_>,
    request: Received,
    submission: &Submission<'_>,
    part: Part,
) -> Response<Body> {
    let parsed = match submission.request(part) {
        Ok(parsed) => parsed,
        Err(doubt) => return doubtful(exchange, request, &doubt).await,
    };
    let client = parsed.client_id.map(ClientId::new);
    let rule = exchange.rule(client.as_ref().map(ClientId::digest));
    let verdict = authorize::judge(rule, &parsed);
    let Ok(tie) = browser::tie(exchange, &request.headers) else {
        return store_unavailable(exchange, request.headers.get(header::ACCEPT));
    };
    let pending = pending(
        submission,
        part,
        &parsed,
        verdict.subject.clone(),
        tie.digest,
    );
    if !rule.uses_handles() {
        let decision = hold_correlated(exchange, rule, verdict, &pending, client.as_ref()).await;
        return match decision {
            Decision::Allow(cleared) | Decision::Report(cleared, _) => {
                let begun = Some(correlation(&pending));
                let response = pass(exchange, cleared.map(|_| request), begun).await;
                with_cookie(
                    response,
                    tie.set_cookie.filter(|_| rule.mode == Mode::Enforce),
                )
            }
            Decision::Refuse(_, violation) => refuse(
                exchange,
                rule,
                &request,
                (submission, part, &parsed),
                &violation,
            ),
        };
    }
    let cleared = match exchange.decide(rule, verdict, client.as_ref()) {
        Decision::Allow(cleared) | Decision::Report(cleared, _) => cleared,
        Decision::Refuse(_, violation) => {
            return refuse(
                exchange,
                rule,
                &request,
                (submission, part, &parsed),
                &violation,
            );
        }
    };
    if !ResponseType::parse(parsed.response_type.unwrap_or_default()).yields_code()
        && pending.challenge.is_none()
    {
        return pass(exchange, cleared.map(|_| request), None).await;
    }
    let handle = match exchange.site.store.hold(Place::Handle, &pending).await {
        Ok(Held::Handle(handle)) => handle,
        Ok(Held::New | Held::Again | Held::Conflict) | Err(_) => {
            return store_unavailable(exchange, request.headers.get(header::ACCEPT));
        }
    };
    let redirectable =
        submission.is_pure_request() && !request.headers.contains_key(header::AUTHORIZATION);
    if exchange.site.settings.entry == Entry::Redirect && redirectable {
        let query = String::from_utf8(submission.entry_query(part, &handle)).unwrap_or_default();
        return reply::entry(
            &format!("{}?{query}", request.path),
            tie.set_cookie.as_deref(),
        );
    }
    let cleared = cleared.map(|_| request);
    let challenge = pending.challenge.as_ref();
    let response = rewritten(
        exchange,
        cleared,
        submission,
        (&handle, challenge),
        Some(part),
    )
    .await;
    with_cookie(response, tie.set_cookie)
}

fn with_cookie(mut response: Response<Body>, cookie: Option<String>) -> Response<Body> {
    if let Some(Ok(cookie)) = cookie.map(HeaderValue::try_from) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// The record of a fresh request.
fn pending(
    submission: &Submission<'_>,
    part: Part,
    parsed: &AuthorizationRequest<'_>,
    challenge: Option<CodeChallenge>,
    browser: Option<Digest>,
) -> PendingAuthorization {
    PendingAuthorization {
        challenge,
        client: ClientId::new(parsed.client_id.unwrap_or_default()).digest(),
        redirect: parsed
            .redirect_uri
            .map(|uri| RedirectUri::new(uri).digest()),
        state: submission.client_state(part),
        response_type: parsed.response_type.map(Into::into),
        response_mode: parsed.response_mode.map(Into::into),
        browser,
    }
}

/// Under what a request is found again when nothing on the wire is rewritten.
fn correlation(pending: &PendingAuthorization) -> Digest {
    let target = pending.redirect.map(|redirect| redirect.target());
    bind::correlation(target, pending.state.as_str().unwrap_or_default())
}

/// Decides about a request whose values travel unchanged, and holds it under them. The same request once more (a
/// login that comes back to the authorization path) is no second decision.
async fn hold_correlated(
    exchange: &Exchange<'_>,
    rule: &Rule,
    verdict: Verdict<Option<CodeChallenge>>,
    pending: &PendingAuthorization,
    client: Option<&ClientId>,
) -> Decision<Option<CodeChallenge>> {
    let refused = rule.mode == Mode::Enforce && verdict.violation.is_some();
    if refused {
        return exchange.decide(rule, verdict, client);
    }
    match exchange
        .site
        .store
        .hold(Place::Digest(correlation(pending)), pending)
        .await
    {
        Ok(Held::Again) => apply(rule.mode, verdict),
        Ok(Held::New | Held::Conflict | Held::Handle(_)) => exchange.decide(rule, verdict, client),
        Err(_) => {
            let violation = Some(Violation::StoreUnavailable);
            exchange.decide(
                rule,
                Verdict {
                    subject: verdict.subject,
                    violation,
                },
                client,
            )
        }
    }
}

fn store_unavailable(exchange: &Exchange<'_>, accept: Option<&HeaderValue>) -> Response<Body> {
    let violation = Violation::StoreUnavailable;
    exchange.tell(Decided::Refused, Some(&violation), None);
    exchange.page(
        StatusCode::SERVICE_UNAVAILABLE,
        &violation,
        Vec::new(),
        accept,
    )
}

/// An error response to the client where that is safe, a page of ours where it is not (RFC 6749 section 4.1.2.1).
fn refuse(
    exchange: &Exchange<'_>,
    rule: &Rule,
    request: &Received,
    (submission, part, parsed): (&Submission<'_>, Part, &AuthorizationRequest<'_>),
    violation: &Violation,
) -> Response<Body> {
    let mode = match parsed.response_mode {
        // A signed mode cannot be answered without the server's key.
        Some(mode) => ResponseMode::parse(mode),
        None => Some(ResponseType::parse(parsed.response_type.unwrap_or("code")).default_mode()),
    };
    let to = parsed
        .client_id
        .zip(parsed.redirect_uri)
        .and_then(|(client, uri)| {
            exchange
                .site
                .registered(ClientId::new(client).digest(), rule, &RedirectUri::new(uri))
        });
    if *violation == Violation::StoreUnavailable {
        return exchange.page(
            StatusCode::SERVICE_UNAVAILABLE,
            violation,
            Vec::new(),
            request.headers.get(header::ACCEPT),
        );
    }
    match (to, mode) {
        (Some(to), Some(mode)) => {
            let (state, issuer) = (
                submission.client_state(part),
                exchange.site.response_issuer(),
            );
            let error = AuthorizationError {
                error: violation.error(),
                description: &violation.hint(),
                state: state.as_str(),
                issuer: issuer.as_deref(),
            };
            reply::authorization_error(&error, &to, mode)
        }
        (None, _) | (_, None) => {
            let shown = redacted(submission, part);
            exchange.page(
                StatusCode::BAD_REQUEST,
                violation,
                shown,
                request.headers.get(header::ACCEPT),
            )
        }
    }
}

/// The request as it may be shown: what could be a secret is only measured.
fn redacted(submission: &Submission<'_>, part: Part) -> Vec<(String, String)> {
    const SHOWN: [&str; 7] = [
        "client_id",
        "redirect_uri",
        "response_type",
        "response_mode",
        "scope",
        "code_challenge_method",
        "prompt",
    ];
    let own = submission
        .part(part)
        .iter()
        .filter(|pair| is_own_parameter(pair.name()));
    own.map(|pair| {
        let shown = if SHOWN.contains(&pair.name()) {
            pair.value().chars().take(200).collect()
        } else {
            format!("({} characters)", pair.value().chars().count())
        };
        (pair.name().to_owned(), shown)
    })
    .collect()
}
