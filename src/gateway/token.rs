//! The token endpoint (step 4 of the crate documentation).

mod asks;
pub(super) mod form;
mod judge;
mod parsed;
mod preview;
mod settle;

use std::borrow::Cow;

use http::{Method, Response, StatusCode, header};

use crate::flow::{Candidate, OwnVerifier};
use crate::oauth::client::is_authenticated;
use crate::oauth::params::{Params, append_pair};
use crate::oauth::token;
use crate::oauth::{Ambiguous, ClientIdentity, Edit, Redemption, TokenRequest};
use crate::policy::{Hint, Rule, Violation, redeem};
use crate::store::Claim;
use crate::suspicion::Look;
use crate::upstream::UpstreamError;

use super::decide::Decided;
use super::exchange::Exchange;
use super::received::Received;
use super::settings::ToUpstream;
use super::subject::About;
use super::{bind, concern, reply};
use crate::http::body::Body;
use asks::Asks;
use form::{Unreadable, body, is_empty};
use judge::{judge, key};
use parsed::{may_be_unbound, parsed, unknown_method};
pub(super) use preview::preview;
use settle::settle;

/// Handles a request on a token path.
pub(super) async fn handle(exchange: &Exchange<'_>, mut request: Received) -> Response<Body> {
    if request.method == Method::OPTIONS {
        return preflight(exchange, request).await;
    }
    if request.method != Method::POST {
        return wrong_method(exchange, request).await;
    }
    request.remove_cookies_like(&token::PROTECTED);
    let body = match body(exchange, &mut request).await {
        Ok(body) => body,
        Err(unreadable) => return refuse_unreadable(exchange, request, unreadable).await,
    };
    if has_document(exchange, &mut request, &body).await {
        let unreadable = (Ambiguous::Document.into(), StatusCode::BAD_REQUEST);
        return refuse_unreadable(exchange, request, unreadable).await;
    }
    let pairs = exchange.snapshot.limits.form_pairs;
    let params = match Params::parse(&body, pairs) {
        Ok(params) => params,
        Err(malformed) => {
            let unreadable = (malformed.into(), StatusCode::BAD_REQUEST);
            return refuse_unreadable(exchange, request, unreadable).await;
        }
    };
    let authorization = request.authorization().map(<[u8]>::to_vec);
    if let Some((rule, violation)) = concern::misnamed_code(exchange, &request, &params).await {
        let names = request.names();
        let decided = exchange.decide(rule, (), Some(violation), &names);
        if let Err(((), violation)) = decided {
            return reply::token_refused(&violation, None);
        }
    }
    match parse(exchange, &params, authorization.as_deref()).await {
        Ok(TokenRequest::Redemption(redemption)) => {
            redeem(exchange, request, &params, &redemption).await
        }
        Ok(TokenRequest::Other { grant_type, client }) => {
            other_grant(exchange, request, &params, grant_type, client).await
        }
        Err(violation) => {
            refuse_unreadable(exchange, request, (violation, StatusCode::BAD_REQUEST)).await
        }
    }
}

/// Handles a CORS preflight. It must be empty: a server that reads parameters from any method would accept a token request here.
pub(super) async fn preflight(exchange: &Exchange<'_>, mut request: Received) -> Response<Body> {
    if !is_empty(exchange, &request) {
        return reply::bad_request(
            StatusCode::BAD_REQUEST,
            "an OPTIONS request here must have no body, and no query except a configured one",
        );
    }
    // Preflights have no credentials (Fetch standard, CORS-preflight fetch).
    for credentials in [header::COOKIE, header::AUTHORIZATION] {
        request.headers.remove(credentials);
    }
    let rule = exchange.strictest();
    let asked = asked(&request);
    let sent = exchange.send(request).await;
    other_answer(exchange, rule, asked, sent).await
}

/// Parses a token request. One with a one-time password of another grant as its `code` is none with a code, nor is one with a device
/// code that is not bound.
async fn parse<'p>(
    exchange: &Exchange<'_>,
    params: &'p Params<'_>,
    authorization: Option<&[u8]>,
) -> Result<TokenRequest<'p>, Violation> {
    match parsed(
        &exchange.site.settings,
        &exchange.site.state.key,
        params,
        authorization,
    )? {
        TokenRequest::Redemption(redemption)
            if is_one_time_password(exchange, &redemption).await
                || is_unbound_device_code(exchange, &redemption).await =>
        {
            Ok(TokenRequest::Other {
                grant_type: redemption.grant_type,
                client: redemption.client,
            })
        }
        parsed @ (TokenRequest::Redemption(_) | TokenRequest::Other { .. }) => Ok(parsed),
    }
}

/// Whether `code` is a one-time password of another grant: it does not look like an authorization code, and the store does not
/// know it. (If the store fails, the redemption asks it again and refuses.)
async fn is_one_time_password(exchange: &Exchange<'_>, redemption: &Redemption<'_>) -> bool {
    if !redemption.may_be_one_time_password() {
        return false;
    }
    let code = Candidate::Code(key(exchange, redemption));
    let owners = exchange.store().owners(&[code]).await;
    owners.is_ok_and(|owners| owners.iter().all(Option::is_none))
}

/// Whether the request has a device code from a request without a challenge: one that the store does not know. (If the store fails, the
/// redemption asks it again and refuses.) With a verifier it is a redemption all the same, which fails: the challenge may have been
/// removed (RFC 9700 section 2.1.1).
async fn is_unbound_device_code(exchange: &Exchange<'_>, redemption: &Redemption<'_>) -> bool {
    if !may_be_unbound(&exchange.site.state.key, redemption) {
        return false;
    }
    let code = Candidate::Code(key(exchange, redemption));
    let owners = exchange.store().owners(&[code]).await;
    owners.is_ok_and(|owners| owners.iter().all(Option::is_none))
}

/// Whether some server reads the form as JSON or JavaScript (after a comment, or as an argument of a call), and as a token
/// request. Form encoders escape braces.
pub(super) async fn has_document(
    exchange: &Exchange<'_>,
    request: &mut Received,
    body: &[u8],
) -> bool {
    if memchr::memchr(b'{', body).is_none() {
        return false;
    }
    let heard = concern::hear(exchange, request, Look::Names).await;
    heard.said.in_document.ask_for_token()
}

async fn wrong_method(exchange: &Exchange<'_>, mut request: Received) -> Response<Body> {
    let rule = concern::rule(exchange, &mut request).await;
    match exchange.decide_unreadable(rule, request, unknown_method()) {
        Ok(cleared) => {
            let asked = asked(cleared.get());
            let sent = exchange.forward(cleared).await;
            other_answer(exchange, rule, asked, sent).await
        }
        Err(_) => reply::method_not_allowed("POST", true),
    }
}

/// Judges and logs a request, and forwards it unchanged.
pub(super) async fn observe(exchange: &Exchange<'_>, mut request: Received) -> Response<Body> {
    let rules = exchange.rules();
    let (all_off, default) = (rules.all_off(), rules.default_rule());
    let (claim, asks) = match request.method {
        _ if all_off => Default::default(),
        Method::POST => watch(exchange, &mut request).await,
        Method::OPTIONS if is_empty(exchange, &request) => Default::default(),
        _ => {
            record(exchange, &request, unknown_method());
            Default::default()
        }
    };
    let sent = exchange.send(request).await;
    asks.answered(exchange, &sent);
    match settle(exchange, claim, sent).await {
        Ok(response) if all_off => bind::pass_through(exchange, response),
        response => answer(exchange, default, response),
    }
}

/// The observing half of [`observe`].
async fn watch(exchange: &Exchange<'_>, request: &mut Received) -> (Option<Claim>, Asks) {
    let body = match body(exchange, request).await {
        Ok(body) => body,
        Err((violation, _)) => {
            record(exchange, request, violation);
            return Default::default();
        }
    };
    if has_document(exchange, request, &body).await {
        record(exchange, request, Ambiguous::Document.into());
        return Default::default();
    }
    let params = Params::parse(&body, exchange.snapshot.limits.form_pairs);
    if let Ok(params) = &params
        && let Some((rule, violation)) = concern::misnamed_code(exchange, request, params).await
    {
        let names = request.names();
        exchange.record(rule, violation, &names);
    }
    let is_authenticated = params
        .as_ref()
        .is_ok_and(|params| is_authenticated(request.authorization(), params));
    let parsed = match &params {
        Ok(params) => parse(exchange, params, request.authorization()).await,
        Err(malformed) => Err((*malformed).into()),
    };
    match parsed {
        Ok(TokenRequest::Redemption(redemption)) => {
            let key = key(exchange, &redemption);
            let judged = judge(exchange, &redemption, &key).await;
            let about = judged.about(exchange, &redemption);
            let violation = judged.violation.as_ref();
            let asks = Asks::for_code(&about, violation, redemption.code.kind(), is_authenticated);
            drop(exchange.decide(judged.rule, (), judged.violation, &about));
            (judged.claim, asks)
        }
        Ok(TokenRequest::Other { grant_type, client }) => {
            let client = client.as_ref();
            drop(decide_other(exchange, (), grant_type, client));
            (None, Asks::for_other(client, grant_type, is_authenticated))
        }
        Err(violation) => {
            record(exchange, request, violation);
            Default::default()
        }
    }
}

/// Logs a violation of a request that is not refused.
fn record(exchange: &Exchange<'_>, request: &Received, violation: Violation) {
    let rule = exchange.rules().default_rule();
    exchange.record(rule, violation, &request.names());
}

/// Refuses a malformed request, or forwards it if the rule of the clients that it may concern does not enforce.
async fn refuse_unreadable(
    exchange: &Exchange<'_>,
    mut request: Received,
    (violation, status): Unreadable,
) -> Response<Body> {
    let rule = concern::rule(exchange, &mut request).await;
    match exchange.decide_unreadable(rule, request, violation) {
        Ok(cleared) => answer(exchange, rule, exchange.forward(cleared).await),
        Err((_, violation)) => reply::token_refused(&violation, Some(status)),
    }
}

/// Handles a grant without a code: forwarded unchanged, except that a verifier is removed unless `to_upstream = "forward"`.
async fn other_grant(
    exchange: &Exchange<'_>,
    mut request: Received,
    params: &Params<'_>,
    grant_type: Option<&str>,
    client: Option<ClientIdentity>,
) -> Response<Body> {
    let rule = exchange.rule_of_identity(client.as_ref());
    let forwards = exchange.site.settings.to_upstream == ToUpstream::Forward;
    if rule.uses_handles() && !forwards && params.contains("code_verifier") {
        let kept = params.edit(|pair| match pair.name() {
            "code_verifier" => Edit::Drop,
            _ => Edit::Keep,
        });
        request.body.replace(kept);
    }
    let is_authenticated = is_authenticated(request.authorization(), params);
    let asks = Asks::for_other(client.as_ref(), grant_type, is_authenticated);
    match decide_other(exchange, request, grant_type, client.as_ref()) {
        Ok(cleared) => {
            let sent = exchange.forward(cleared).await;
            asks.answered(exchange, &sent);
            answer(exchange, rule, sent)
        }
        Err((_, violation)) => reply::token_refused(&violation, None),
    }
}

fn decide_other<T>(
    exchange: &Exchange<'_>,
    subject: T,
    grant_type: Option<&str>,
    client: Option<&ClientIdentity>,
) -> Decided<T> {
    let named = About {
        client: client.map(|client| Cow::Borrowed(client.id())),
        ..About::default()
    };
    let rule = exchange.rule_of_identity(client);
    let violation = redeem::other_grant(rule, grant_type).err();
    exchange.decide(rule, subject, violation, &named)
}

/// Handles a redemption: judges it and claims the code, forwards it, settles the claim.
async fn redeem(
    exchange: &Exchange<'_>,
    request: Received,
    params: &Params<'_>,
    redemption: &Redemption<'_>,
) -> Response<Body> {
    let key = key(exchange, redemption);
    let judged = judge(exchange, redemption, &key).await;
    let about = judged.about(exchange, redemption);
    let (rule, claim) = (judged.rule, judged.claim);
    let is_authenticated = is_authenticated(request.authorization(), params);
    let violation = judged.violation.as_ref();
    let asks = Asks::for_code(&about, violation, redemption.code.kind(), is_authenticated);
    let cleared = match exchange.decide(rule, request, judged.violation, &about) {
        Ok(cleared) => cleared,
        Err((_, violation)) => {
            let rule = exchange.rule_of_identity(redemption.client.as_ref());
            let told = redeem::told(rule, redemption, violation);
            // A hint of the verifier alone, whatever the code is.
            let hint = redemption.code_verifier.and_then(Hint::of_verifier);
            return reply::redemption_refused(&told, hint);
        }
    };
    let cleared = cleared.with(|request| {
        if rule.may_change_requests() {
            // Some servers read parameters from cookies, too.
            request.headers.remove(header::COOKIE);
            // An error in a compressed answer cannot be read, and would burn the code.
            Exchange::ask_for_identity(&mut request.headers);
        }
        let sent = redemption.code.expose();
        let code = claim
            .as_ref()
            .map_or(sent, |claim| claim.bound().code.expose());
        // A handle that was issued under an earlier configuration is replaced, too.
        if rule.uses_handles() || code != sent {
            // If the code is the upstream's own, the upstream has seen the challenge and needs the verifier.
            let has_seen = claim.is_some() && code == sent;
            let own = claim.as_ref().and_then(|claim| claim.bound().pkce.own());
            let strips = exchange.site.settings.to_upstream == ToUpstream::Strip;
            let canonical = Canonical {
                name: redemption.code.kind().parameter(),
                code,
                verifier: match own {
                    Some(own) => Verifier::Own(own),
                    None if strips && !has_seen => Verifier::None,
                    None => Verifier::AsSent,
                },
            };
            request.body.replace(canonical.of(params));
        }
    });
    let sent = exchange.forward(cleared).await;
    asks.answered(exchange, &sent);
    answer(exchange, rule, settle(exchange, claim, sent).await)
}

/// How a redemption is written for the upstream.
struct Canonical<'c> {
    /// The parameter of the code.
    name: &'static str,
    code: &'c str,
    verifier: Verifier<'c>,
}

/// The verifier that the upstream gets.
enum Verifier<'c> {
    AsSent,
    None,
    /// The one of the challenge that it got, whatever is configured by now.
    Own(&'c OwnVerifier),
}

impl Canonical<'_> {
    /// The body, encoded again from the parsed parameters, so that the upstream gets no other bytes of the client.
    fn of(&self, params: &Params<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(params.input_length() + self.code.len());
        for pair in params.iter() {
            match pair.name() {
                "code_verifier" if !matches!(self.verifier, Verifier::AsSent) => {}
                name if name == self.name => append_pair(&mut out, name, self.code),
                name => append_pair(&mut out, name, pair.value()),
            }
        }
        if let Verifier::Own(own) = self.verifier {
            append_pair(&mut out, "code_verifier", &own.expose());
        }
        out
    }
}

/// What the answer to a request other than a token request is compared with.
fn asked(request: &Received) -> bind::Asked<'static> {
    bind::Asked {
        sent: Box::new(request.sent()),
        ..bind::Asked::default()
    }
}

/// Sends the answer to such a request to the client. It is checked like an answer on any other path.
async fn other_answer(
    exchange: &Exchange<'_>,
    rule: &Rule,
    asked: bind::Asked<'_>,
    sent: Result<Response<Body>, UpstreamError>,
) -> Response<Body> {
    match sent {
        Ok(response) if response.status().is_redirection() => answer(exchange, rule, Ok(response)),
        sent => bind::deliver(exchange, asked, sent).await,
    }
}

/// Sends the upstream's answer to the client unchanged. Redirects of token requests are not followed, and in enforce mode not
/// relayed.
pub(super) fn answer(
    exchange: &Exchange<'_>,
    rule: &Rule,
    sent: Result<Response<Body>, UpstreamError>,
) -> Response<Body> {
    match sent {
        Ok(response) if response.status().is_redirection() => {
            let violation = Violation::UnboundCodeInResponse("a redirect of a token request");
            match exchange.decide(rule, response, Some(violation), &About::default()) {
                Ok(cleared) => bind::pass_through(exchange, cleared.into_inner()),
                Err(_) => reply::token_unavailable(
                    StatusCode::BAD_GATEWAY,
                    "the server behind this gate redirects token requests",
                ),
            }
        }
        Ok(response) => bind::pass_through(exchange, response),
        Err(failed) => exchange.upstream_failed(failed),
    }
}
