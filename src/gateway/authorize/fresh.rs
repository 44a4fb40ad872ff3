//! Fresh authorization requests: judged, stored, and answered with a redirect (step 1 of the crate documentation).

use http::Response;
use http::header::HeaderValue;

use crate::flow::submission::Part;
use crate::flow::{Key, PendingAuthorization, Submission};
use crate::policy::{Cleared, nothing_to_judge};
use crate::store::Place;

use super::begin::{NotBegun, begin};
use super::correlated::Correlated;
use super::parsed::Fresh;
use super::pass::pass;
use super::pushed::{is_pushed, pushed};
use super::redirect::{location, may_be_redirected};
use super::refuse::{fresh_unavailable, refuse, state_too_long};
use super::rewrite::{SignIn, rewritten};
use super::unreadable::doubtful;
use crate::gateway::browser::Tie;
use crate::gateway::exchange::Exchange;
use crate::gateway::received::Received;
use crate::gateway::reply::with_cookies;
use crate::gateway::settings::Entry;
use crate::gateway::{browser, reply};
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
    let mut begun = match begin(exchange, request, pending, place).await {
        Ok(begun) => begun,
        Err(NotBegun::Store(error)) => {
            return Box::pin(fresh_unavailable(exchange, fresh, error, request)).await;
        }
        Err(NotBegun::StateTooLong) => {
            return Box::pin(state_too_long(exchange, fresh, request)).await;
        }
    };
    let mut cookies = std::mem::take(&mut begun.cookies);
    cookies.extend(
        tie.set_cookie
            .and_then(|set| HeaderValue::try_from(set).ok()),
    );
    let sign = begun.sign(exchange);
    if redirects {
        let query = fresh.submission.entry_query(fresh.part, sign);
        if let Some(location) = location(exchange, request.path(), &query) {
            return with_cookies(reply::redirect(location), cookies);
        }
        // No redirect will be followed: read the record, so that the store does not evict it as unfollowed.
        if let Err(error) = exchange.store().pending(&Key::from(&begun.handle)).await {
            return Box::pin(fresh_unavailable(exchange, fresh, error, request)).await;
        }
    }
    let sign_in = SignIn {
        sign,
        record: pending,
        browser: exchange.browser(&request.headers),
        is_pushed: false,
    };
    // The answer may end the sign-in.
    let cleared = cleared.with(|request| begun.bring_cookies(request));
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
