//! Authorization requests with the `request_uri` of a pushed one (RFC 9126 section 4). All that counts was pushed; the
//! `request_uri` works once, and for the client that pushed it.

use std::borrow::Cow;

use http::{Response, StatusCode};

use crate::clock;
use crate::flow::submission::{Sign, is_urn};
use crate::flow::{Handle, Key, Presented, Purpose, Settlement};
use crate::oauth::{AuthorizationCode, ClientId, CodeChallenge, CodeKind};
use crate::policy::{Cleared, Violation, nothing_to_judge};
use crate::store::{Claim, Redeemed};

use super::fresh::{location, may_be_redirected};
use super::parsed::Fresh;
use super::pass::pass;
use super::refuse::refuse;
use super::rewrite::{Way, send};
use crate::gateway::exchange::Exchange;
use crate::gateway::issued::pushed::{URN, split};
use crate::gateway::received::Received;
use crate::gateway::reply::with_cookies;
use crate::gateway::settings::{Correlation, Entry};
use crate::gateway::subject::About;
use crate::gateway::{reply, sign_in_cookies};
use crate::http::body::Body;

/// Whether the request brings a `request_uri` that may have been pushed.
pub(super) fn is_pushed(exchange: &Exchange<'_>, fresh: &Fresh<'_>) -> bool {
    let endpoints = &exchange.site.settings.endpoints;
    let is_by_reference = fresh.parsed.request_uri.is_some() && fresh.parsed.request.is_none();
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
        hint: None,
    }
}

/// Handles such a request.
pub(super) async fn pushed(
    exchange: &Exchange<'_>,
    request: Received,
    fresh: &Fresh<'_>,
) -> Response<Body> {
    let claim = match take(exchange, fresh).await {
        Taken::Now(claim) => claim,
        Taken::Before => return pass(exchange, nothing_to_judge(request), None).await,
        Taken::Not(violation) => {
            let decided = exchange.decide(fresh.rule, request, Some(violation), &fresh.about());
            return match decided {
                Ok(cleared) => pass(exchange, cleared, None).await,
                Err((request, violation)) => refuse(exchange, &request, fresh, &violation).await,
            };
        }
    };
    let rule = exchange.rule(Some(claim.bound().application.client));
    let names = about(fresh, &claim);
    let kept = claim.bound().code.clone();
    // If the store fails here, the claim stays, and the request cannot be used again.
    let _ = exchange.store().settle(claim, Settlement::Burn).await;
    let cleared = match exchange.decide(rule, request, None, &names) {
        Ok(cleared) => cleared,
        // Nothing was violated.
        Err((_, violation)) => return exchange.page(StatusCode::BAD_REQUEST, &violation, None),
    };
    let Some((state, uri)) = split(kept.expose()) else {
        return pass(exchange, cleared, None).await;
    };
    let Some(handle) = exchange.site.state.key.recognise(Purpose::State, state) else {
        return pass(exchange, cleared, None).await;
    };
    enter(exchange, cleared, fresh, &handle, uri).await
}

/// Answers with a redirect that has the upstream's `request_uri`, and the handle as `state` or the mark; or forwards the request so
/// rewritten. From then on the sign-in is recognised like any other.
async fn enter(
    exchange: &Exchange<'_>,
    cleared: Cleared<Received>,
    fresh: &Fresh<'_>,
    handle: &Handle,
    uri: &str,
) -> Response<Body> {
    let mark = sign_in_cookies::name(handle);
    let mut cookies = Vec::new();
    let sign = match exchange.site.settings.correlation {
        Correlation::State => Sign::State(handle),
        Correlation::Cookie => {
            let mut flows = cleared.get().flows.clone();
            let (lifetime, now) = (exchange.store().lifetime(), clock::wall());
            let set = flows.add(handle, handle.expose(), lifetime, now);
            cookies = set.unwrap_or_default();
            Sign::Mark {
                handle,
                mark: &mark,
            }
        }
    };
    let parts = fresh.submission.towards_pushed(sign, fresh.part, uri);
    let query = parts.as_query(fresh.part, sign);
    let request = cleared.get();
    // A continuation may have a URN only.
    let redirects = is_urn(uri)
        && exchange.site.settings.entry == Entry::Redirect
        && may_be_redirected(exchange, fresh, request);
    if let (true, Some(location)) = (redirects, location(exchange, request.path(), &query)) {
        return with_cookies(reply::redirect(location), cookies);
    }
    let way = Way {
        sign,
        begins: true,
        browser: exchange.browser(&request.headers),
    };
    let response = send(exchange, cleared, parts, way, || fresh.about()).await;
    with_cookies(response, cookies)
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
