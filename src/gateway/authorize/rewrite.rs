//! Rewrites a request for the upstream: every `state` becomes the handle.

use http::{HeaderValue, Response, StatusCode, header};

use crate::flow::submission::{Part, Rewritten, Sign, Towards};
use crate::flow::{Key, OwnVerifier, PendingAuthorization, Submission};
use crate::gateway::browser;
use crate::gateway::exchange::Exchange;
use crate::gateway::received::Received;
use crate::gateway::settings::ToUpstream;
use crate::gateway::subject::About;
use crate::http::body::Body;
use crate::oauth::{CodeChallenge, Digest, json_form};
use crate::policy::{Cleared, Violation};

use super::form::is_json;
use super::pass::{Of, pass_of};

/// The rewritten request is not valid.
struct Unwritable;

/// The sign-in that a request begins or continues.
pub(super) struct SignIn<'s> {
    pub(super) sign: Sign<'s>,
    pub(super) record: &'s PendingAuthorization,
    /// The digest of the cookie in the request.
    pub(super) browser: Option<Digest>,
    /// Whether the request has the `request_uri` that the sign-in began with.
    pub(super) is_pushed: bool,
}

/// Forwards the request with the handle in every `state` if that is the sign, and with the PKCE parameters that `to_upstream` says.
pub(super) async fn rewritten(
    exchange: &Exchange<'_>,
    cleared: Cleared<Received>,
    submission: &Submission<'_>,
    sign_in: SignIn<'_>,
    fresh: Option<Part>,
) -> Response<Body> {
    let SignIn { sign, record, .. } = sign_in;
    let own = record.own.as_ref().map(OwnVerifier::challenge);
    let towards = towards(exchange, record, own.as_ref());
    let parts = submission.towards_upstream(sign, fresh, towards);
    let name = || {
        let client = exchange.site.state.client_name(record.application.client);
        About::default().or_of(client, record.challenge.as_ref())
    };
    let begun = match sign {
        Sign::State(handle) => fresh.map(|_| handle.into()),
        Sign::Mark { handle, .. } => Some(handle.into()),
    };
    let way = Way {
        sign: Some(sign),
        begun,
        browser: browser::of(exchange, record, sign_in.browser),
        is_pushed: sign_in.is_pushed,
    };
    send(exchange, cleared, parts, way, name).await
}

/// How a rewritten request goes on.
pub(super) struct Way<'s> {
    /// `None`: its answer is found by the values that it repeats (`codes = "upstream"`).
    pub(super) sign: Option<Sign<'s>>,
    /// The record that it begins, or to which its answer belongs.
    pub(super) begun: Option<Key>,
    /// The digest of the cookie that its answer is bound to.
    pub(super) browser: Option<Digest>,
    /// Whether its `request_uri` is the one that its sign-in began with.
    pub(super) is_pushed: bool,
}

/// Forwards a request with these parts in place of its own. `name`: the names for the log, if that cannot be done.
pub(super) async fn send<'n>(
    exchange: &Exchange<'_>,
    cleared: Cleared<Received>,
    parts: Rewritten,
    way: Way<'_>,
    name: impl FnOnce() -> About<'n>,
) -> Response<Body> {
    let accept = cleared.get().accept();
    let cleared = cleared.amend(|request| {
        if request.target.query().is_some() || !parts.query.is_empty() {
            request.set_query(&parts.query).map_err(|_| Unwritable)?;
        }
        if let Some(form) = parts.form {
            let form = if is_json(exchange, request) {
                json_form::write(&request.body.read(), &form)
            } else {
                Some(form)
            };
            request.body.replace(form.ok_or(Unwritable)?);
        }
        Ok::<(), Unwritable>(())
    });
    let Ok(cleared) = cleared else {
        // Forwarding the original request instead would bypass the rewrite.
        let text = "the rewritten request would be too long, or not ASCII";
        let violation = Violation::malformed(text);
        exchange.refuse(&violation, &name());
        return exchange.page(StatusCode::BAD_REQUEST, &violation, accept.as_ref());
    };
    let of = Of {
        begun: way.begun,
        handle: match way.sign {
            Some(Sign::State(handle)) => Some(handle),
            Some(Sign::Mark { .. }) | None => None,
        },
        browser: way.browser,
        is_pushed: way.is_pushed,
    };
    let mut response = pass_of(exchange, cleared, of).await;
    if let Some(Sign::Mark { .. }) = way.sign {
        show_mark(&mut response);
    }
    response
}

/// The PKCE parameters for the upstream (`to_upstream`). `own`: the challenge of the gate's own pair.
pub(super) fn towards<'r>(
    exchange: &Exchange<'_>,
    record: &'r PendingAuthorization,
    own: Option<&'r CodeChallenge>,
) -> Towards<'r> {
    let challenge = record.challenge.as_ref().and_then(CodeChallenge::useful);
    match (own, exchange.site.settings.to_upstream, challenge) {
        // Whatever is configured by now: the token request will have its verifier.
        (Some(own), _, _) => Towards::Forward(own),
        (None, ToUpstream::Strip, _) => Towards::Strip,
        (None, ToUpstream::Forward | ToUpstream::Replace, Some(challenge)) => {
            Towards::Forward(challenge)
        }
        (None, ToUpstream::Forward | ToUpstream::Replace, None) => Towards::AsSent,
    }
}

/// Lets requests of this page tell the gate its URL, and so the mark in it: with two tabs, cookies alone would not tell which of
/// them a request comes from. Other sites see as little as under `no-referrer`.
fn show_mark(response: &mut Response<Body>) {
    let same_origin = HeaderValue::from_static("same-origin");
    let headers = response.headers_mut();
    headers.insert(header::REFERRER_POLICY, same_origin);
}
