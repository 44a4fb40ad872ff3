//! Authorization requests with the `request_uri` of a pushed one (RFC 9126 section 4). All that counts was pushed; the
//! `request_uri` works once, and for the client that pushed it.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderValue, Response, StatusCode};

use crate::flow::submission::is_urn;
use crate::flow::{
    self, Application, Handle, Key, PendingAuthorization, Presented, Purpose, Settlement,
};
use crate::oauth::{AuthorizationCode, AuthorizationRequest, ClientId, CodeChallenge, CodeKind};
use crate::policy::{Cleared, Rule, Violation, nothing_to_judge};
use crate::route::Endpoints;
use crate::store::{Claim, Pending, Place, Redeemed};

use super::begin::{NotBegun, begin};
use super::correlated::Correlated;
use super::parsed::Fresh;
use super::pass::pass;
use super::redirect::{location, may_be_redirected};
use super::refuse::refuse;
use super::rewrite::{Way, send};
use crate::gateway::browser::{self, Tie};
use crate::gateway::exchange::Exchange;
use crate::gateway::issued::pushed::{URN, split};
use crate::gateway::received::Received;
use crate::gateway::reply;
use crate::gateway::reply::with_cookies;
use crate::gateway::settings::Entry;
use crate::gateway::subject::About;
use crate::http::body::Body;
use crate::telemetry::Step;

/// Whether the request brings a `request_uri` that may have been pushed.
pub(super) fn is_pushed(exchange: &Exchange<'_>, fresh: &Fresh<'_>) -> bool {
    may_be_pushed(&exchange.site.settings.endpoints, &fresh.parsed)
}

/// The same by the endpoints of the upstream.
pub(super) fn may_be_pushed(endpoints: &Endpoints, parsed: &AuthorizationRequest<'_>) -> bool {
    let is_by_reference = parsed.request_uri.is_some() && parsed.request.is_none();
    is_by_reference && !endpoints.pushed_authorization_request.is_empty()
}

/// What became of the pushed request.
enum Taken {
    /// It is taken, and cannot be used again.
    Now(Claim),
    /// It was taken before by this client. With `codes = "upstream"` the browser may have reloaded the page.
    Before,
    Not(Violation),
}

/// Takes the pushed request of this client.
async fn take(exchange: &Exchange<'_>, fresh: &Fresh<'_>) -> Taken {
    let uri = fresh.parsed.request_uri.unwrap_or_default();
    let own = uri.strip_prefix(URN);
    let own = own.and_then(|own| {
        let key = &exchange.site.state.key;
        key.recognise(Purpose::PushedRequest, own)
    });
    let raw = || AuthorizationCode::of(CodeKind::PushedRequest, uri);
    let key = own
        .map(Key::Handle)
        .or_else(|| Some(raw()?.digest().into()));
    let Some(key) = key else {
        return Taken::Not(Violation::UnknownRequestUri);
    };
    let client = fresh.client.as_ref().map(ClientId::digest);
    let redeemed = exchange.store().redeem(&key, |bound| {
        if client == Some(bound.application.client) {
            Presented::Unproven
        } else {
            Presented::Differs
        }
    });
    match redeemed.await {
        Ok(Redeemed::Claimed(claim)) => Taken::Now(claim),
        Ok(Redeemed::AlreadyRedeemed(owner) | Redeemed::Burnt(owner))
            if key.handle().is_none() && client == Some(owner) =>
        {
            Taken::Before
        }
        Ok(
            Redeemed::Mismatch(_)
            | Redeemed::AlreadyRedeemed(_)
            | Redeemed::Burnt(_)
            | Redeemed::Expired(_)
            | Redeemed::Unknown(_),
        ) => Taken::Not(Violation::UnknownRequestUri),
        Err(error) => Taken::Not(error.into()),
    }
}

/// The names for the log.
fn about<'f>(fresh: &'f Fresh<'_>, claim: &Claim) -> About<'f> {
    let challenge = claim.bound().challenge();
    About {
        client: fresh.client.as_ref().map(Cow::Borrowed),
        redirect_uri: None,
        method: challenge.map(CodeChallenge::method),
        keeps_code: false,
        step: Step::Other,
        is_uncertain: false,
        hint: None,
    }
}

/// Handles such a request.
pub(super) async fn pushed(
    exchange: &Exchange<'_>,
    request: Received,
    fresh: &Fresh<'_>,
) -> Response<Body> {
    let rule = exchange.rule(fresh.client.as_ref().map(ClientId::digest));
    let claim = match take(exchange, fresh).await {
        Taken::Now(claim) => claim,
        Taken::Before => {
            return correlate(exchange, nothing_to_judge(request), fresh, rule).await;
        }
        Taken::Not(violation) => {
            let decided = exchange.decide(fresh.rule, request, Some(violation), &fresh.about());
            return match decided {
                Ok(cleared) => pass(exchange, cleared, None).await,
                Err((request, violation)) => refuse(exchange, &request, fresh, &violation).await,
            };
        }
    };
    let names = about(fresh, &claim);
    let kept = claim.bound().code.clone();
    // If the store fails here, the claim stays, and the request cannot be used again.
    let _ = exchange.store().settle(claim, Settlement::Burn).await;
    let cleared = match exchange.decide(rule, request, None, &names) {
        Ok(cleared) => cleared,
        // Nothing was violated.
        Err((_, violation)) => return exchange.page(StatusCode::BAD_REQUEST, &violation, None),
    };
    let key = &exchange.site.state.key;
    let of_handle = split(kept.expose())
        .and_then(|(state, uri)| Some((key.recognise(Purpose::State, state)?, uri)));
    match of_handle {
        Some((handle, uri)) => enter(exchange, cleared, fresh, &handle, uri).await,
        None => correlate(exchange, cleared, fresh, rule).await,
    }
}

/// Forwards a request whose client gets the upstream's own code. Now that the browser is known, the record is stored as that of any
/// other request ([`Correlated`]), so that another one with equal values makes both unusable. Of the parameters that the gate judges
/// only those that were pushed count.
async fn correlate(
    exchange: &Exchange<'_>,
    cleared: Cleared<Received>,
    fresh: &Fresh<'_>,
    rule: &Rule,
) -> Response<Body> {
    if !rule.may_change_requests() {
        return pass(exchange, cleared, None).await;
    }
    let uri = fresh.parsed.request_uri.unwrap_or_default();
    let request = cleared.get();
    let begun = async {
        let record = match exchange.store().pending(&flow::pushed(uri).into()).await? {
            Pending::Live(record) => record,
            Pending::Expired | Pending::Conflict | Pending::Unknown => {
                return Err(Violation::UnknownRequestUri);
            }
        };
        let tie = browser::tie(exchange, &request.headers)?;
        let pending = PendingAuthorization {
            browser: tie.digest,
            ..*record
        };
        let correlated = Correlated::of(&pending);
        correlated.hold(exchange).await?;
        Ok((correlated.key, tie))
    };
    let (key, tie) = match begun.await {
        Ok(begun) => begun,
        Err(violation) => {
            exchange.refuse(&violation, &fresh.about());
            return refuse(exchange, request, fresh, &violation).await;
        }
    };
    let parts = fresh.submission.towards_pushed(None, fresh.part, uri);
    let way = Way {
        sign: None,
        begun: Some(key.into()),
        browser: tie.digest,
        is_pushed: true,
    };
    let response = send(exchange, cleared, parts, way, || fresh.about()).await;
    with_cookies(response, set_cookie(tie).into_iter().collect())
}

/// Answers with a redirect that has the upstream's `request_uri`, and a handle as `state` or the mark; or forwards the request so
/// rewritten. From then on the sign-in is recognised like any other. Its record is a new one: it has the browser, and the
/// `request_uri`, which no other sign-in may go on with. The record of the pushed `state` stays, because the upstream repeats that.
async fn enter(
    exchange: &Exchange<'_>,
    cleared: Cleared<Received>,
    fresh: &Fresh<'_>,
    handle: &Handle,
    uri: &str,
) -> Response<Body> {
    let request = cleared.get();
    // A continuation may have a URN only.
    let redirects = is_urn(uri)
        && exchange.site.settings.entry == Entry::Redirect
        && may_be_redirected(exchange, fresh, request);
    let place = if redirects {
        Place::Entry
    } else {
        Place::Handle
    };
    let begun = async {
        let record = match exchange.store().pending(&handle.into()).await {
            Ok(Pending::Live(record)) => record,
            Ok(Pending::Expired | Pending::Conflict | Pending::Unknown) => {
                return Err(Violation::UnknownRequestUri);
            }
            Err(error) => return Err(error.into()),
        };
        let tie = browser::tie(exchange, &request.headers)?;
        let application = Application {
            pushed: Some(flow::pushed(uri)),
            ..Application::clone(&record.application)
        };
        let pending = PendingAuthorization {
            application: Arc::new(application),
            browser: tie.digest,
            ..*record
        };
        match begin(exchange, request, &pending, place).await {
            Ok(begun) => Ok((begun, tie)),
            Err(NotBegun::Store(error)) => Err(error.into()),
            Err(NotBegun::StateTooLong) => Err(Violation::malformed("state is too long")),
        }
    };
    let (mut begun, tie) = match begun.await {
        Ok(begun) => begun,
        Err(violation) => {
            exchange.refuse(&violation, &fresh.about());
            return refuse(exchange, request, fresh, &violation).await;
        }
    };
    let mut cookies = std::mem::take(&mut begun.cookies);
    let browser = tie.digest;
    cookies.extend(set_cookie(tie));
    let sign = begun.sign(exchange);
    let parts = fresh.submission.towards_pushed(Some(sign), fresh.part, uri);
    let query = parts.as_query(fresh.part, sign);
    if let (true, Some(location)) = (redirects, location(exchange, request.path(), &query)) {
        return with_cookies(reply::redirect(location), cookies);
    }
    let way = Way {
        sign: Some(sign),
        begun: Some((&begun.handle).into()),
        browser,
        is_pushed: true,
    };
    let cleared = cleared.with(|request| begun.bring_cookies(request));
    let response = send(exchange, cleared, parts, way, || fresh.about()).await;
    with_cookies(response, cookies)
}

fn set_cookie(tie: Tie) -> Option<HeaderValue> {
    tie.set_cookie
        .and_then(|set| HeaderValue::try_from(set).ok())
}

/// The same for an upstream that is only observed: the request is forwarded unchanged.
pub(super) async fn watch(exchange: &Exchange<'_>, fresh: &Fresh<'_>) {
    match take(exchange, fresh).await {
        Taken::Now(claim) => {
            let names = about(fresh, &claim);
            let _ = exchange.store().settle(claim, Settlement::Burn).await;
            drop(exchange.decide(fresh.rule, (), None, &names));
        }
        Taken::Before => {}
        Taken::Not(violation) => exchange.record(fresh.rule, violation, &fresh.about()),
    }
}
