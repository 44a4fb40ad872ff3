//! Fresh authorization requests: judged, stored, and answered with a redirect (step 1 of the crate documentation).

use http::Response;
use http::header::{self, HeaderValue};

use crate::clock;
use crate::flow::submission::{Part, Sign};
use crate::flow::{Key, PendingAuthorization, Submission};
use crate::policy::{Cleared, nothing_to_judge};
use crate::store::{Held, Place, StoreError};

use super::correlated::Correlated;
use super::form::is_json;
use super::parsed::Fresh;
use super::pass::pass;
use super::pushed::{is_pushed, pushed};
use super::refuse::{fresh_unavailable, refuse, state_too_long};
use super::rewrite::{SignIn, rewritten};
use super::unreadable::doubtful;
use crate::gateway::browser::Tie;
use crate::gateway::exchange::Exchange;
use crate::gateway::received::Received;
use crate::gateway::reply::with_cookies;
use crate::gateway::settings::{Correlation, Entry};
use crate::gateway::{browser, reply, sign_in_cookies};
use crate::http::body::Body;

/// Judges a fresh request, stores it, and redirects or forwards it.
pub(super) async fn fresh(
    exchange: &Exchange<'_>,
    request: Received,
    submission: &Submission<'_>,
    part: Part,
) -> Response<Body> {
    let mut fresh = match Fresh::read(exchange, submission, part) {
        Ok(fresh) => fresh,
        Err(doubt) => return doubtful(exchange, request, doubt).await,
    };
    if is_pushed(exchange, &fresh) {
        return Box::pin(pushed(exchange, request, &fresh)).await;
    }
    let tie = if fresh.rule.may_change_requests() {
        browser::tie(exchange, &request.headers)
    } else {
        Ok(Tie::default())
    };
    let tie = match tie {
        Ok(tie) => tie,
        Err(error) => return Box::pin(fresh_unavailable(exchange, &fresh, error, &request)).await,
    };
    let judged = fresh.judge();
    let pending = fresh.pending(&judged, tie.digest);
    fresh.take_hint(exchange, &judged, &pending);
    // With handles, too: the sign-in may have begun before handles were configured, or before its client's exception ended.
    let may_correlate = !fresh.uses_handles() || exchange.rules().any_upstream_codes();
    let correlated = may_correlate.then(|| Correlated::of(&pending));
    if let Some(correlated) = &correlated
        && let Some(key) = correlated.goes_on(exchange, &request.method, &fresh).await
    {
        return pass(exchange, nothing_to_judge(request), Some(key.into())).await;
    }
    let correlated = correlated.filter(|_| !fresh.uses_handles());
    let violation = judged.err();
    let decided = match &correlated {
        None => exchange.decide(fresh.rule, request, violation, &fresh.about()),
        Some(own) => own.decide(exchange, &fresh, request, violation).await,
    };
    let cleared = match decided {
        Ok(cleared) => cleared,
        Err((request, violation)) => {
            return Box::pin(refuse(exchange, &request, &fresh, &violation)).await;
        }
    };
    if let Some(correlated) = correlated {
        let response = pass(exchange, cleared, Some(correlated.key.into())).await;
        let cookie = tie
            .set_cookie
            .and_then(|set| HeaderValue::try_from(set).ok());
        return with_cookies(response, cookie.into_iter().collect());
    }
    if pending.challenge.is_none() && fresh.response_type().yields_nothing() {
        // The response cannot contain a code or token.
        return pass(exchange, cleared, None).await;
    }
    match exchange.own_verifier(fresh.rule) {
        Ok(own) => {
            let own = own.filter(|_| fresh.response_type().yields_code());
            let pending = PendingAuthorization { own, ..pending };
            enter(exchange, cleared, &fresh, &pending, tie).await
        }
        Err(error) => {
            let request = cleared.get();
            Box::pin(fresh_unavailable(exchange, &fresh, error, request)).await
        }
    }
}

/// Stores the request under a handle. Answers with a redirect that has the handle as `state`, or forwards the request so
/// rewritten.
async fn enter(
    exchange: &Exchange<'_>,
    cleared: Cleared<Received>,
    fresh: &Fresh<'_>,
    pending: &PendingAuthorization,
    tie: Tie,
) -> Response<Body> {
    fresh.note(exchange);
    let request = cleared.get();
    let redirects = exchange.site.settings.entry == Entry::Redirect
        && may_be_redirected(exchange, fresh, request);
    let place = if redirects {
        Place::Entry
    } else {
        Place::Handle
    };
    let held = exchange.store().hold(place, pending, exchange.network());
    let (handle, spilled) = match held.await {
        Ok(Held::Handle(handle)) => (handle, None),
        Ok(Held::Spilled(spilled)) => (spilled.handle.clone(), Some(spilled)),
        // The store does not return these for a handle.
        Ok(Held::New | Held::Again | Held::Conflict) => {
            return Box::pin(fresh_unavailable(
                exchange,
                fresh,
                StoreError::Unreachable,
                request,
            ))
            .await;
        }
        Err(error) => return Box::pin(fresh_unavailable(exchange, fresh, error, request)).await,
    };
    let (mut states, mut flows) = (request.states.clone(), request.flows.clone());
    let kept =
        spilled.map(|kept| states.add(&kept.handle, &kept.sealed, kept.lifetime, clock::wall()));
    let mut cookies = match kept {
        Some(None) => return Box::pin(state_too_long(exchange, fresh, request)).await,
        Some(Some(set)) => set,
        None => Vec::new(),
    };
    let mark;
    let sign = match exchange.site.settings.correlation {
        Correlation::State => Sign::State(&handle),
        Correlation::Cookie => {
            mark = sign_in_cookies::name(&handle);
            let lifetime = exchange.store().lifetime();
            let set = flows.add(&handle, handle.expose(), lifetime, clock::wall());
            cookies.extend(set.unwrap_or_default());
            Sign::Mark {
                handle: &handle,
                mark: &mark,
            }
        }
    };
    cookies.extend(
        tie.set_cookie
            .and_then(|set| HeaderValue::try_from(set).ok()),
    );
    if redirects {
        let query = fresh.submission.entry_query(fresh.part, sign);
        if let Some(location) = location(exchange, request.path(), &query) {
            return with_cookies(reply::redirect(location), cookies);
        }
        // No redirect will be followed: read the record, so that the store does not evict it as unfollowed.
        if let Err(error) = exchange.store().pending(&Key::from(&handle)).await {
            return Box::pin(fresh_unavailable(exchange, fresh, error, request)).await;
        }
    }
    let sign_in = SignIn {
        sign,
        record: pending,
        browser: exchange.browser(&request.headers),
    };
    // The answer may end the sign-in.
    let cleared = cleared.with(|request| (request.states, request.flows) = (states, flows));
    let response = rewritten(
        exchange,
        cleared,
        fresh.submission,
        sign_in,
        Some(fresh.part),
    )
    .await;
    with_cookies(response, cookies)
}

/// The URL of the redirect. `None`: a form is too long for a request target, or not ASCII. Then it is forwarded instead.
pub(super) fn location(exchange: &Exchange<'_>, path: &str, query: &[u8]) -> Option<HeaderValue> {
    let location = [path.as_bytes(), b"?", query].concat();
    let fits = location.len() <= exchange.snapshot.limits.uri_bytes && location.is_ascii();
    HeaderValue::from_bytes(&location).ok().filter(|_| fits)
}

/// Whether the request is nothing but an authorization request of a browser. A script does not follow a redirect with its JSON.
pub(super) fn may_be_redirected(
    exchange: &Exchange<'_>,
    fresh: &Fresh<'_>,
    request: &Received,
) -> bool {
    let own = &exchange.site.settings.endpoints.query;
    fresh.submission.is_pure_request(own)
        && !is_json(exchange, request)
        && !request.headers.contains_key(header::AUTHORIZATION)
}
