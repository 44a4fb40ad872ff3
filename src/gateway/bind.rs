//! Answers: step 3 of the walk. Find the code, bind it, hand the answer on with our handle in its place.
//!
//! Whatever is not recognised here fails closed later: the client holds a code that nobody bound, and it redeems
//! nothing.

mod page;
mod public;
mod unchanged;

use http::{HeaderValue, Response, header};

use crate::carrier::location::Location;
use crate::carrier::metadata::Issuer;
use crate::carrier::{Carried, Ours, Replacement, beacon, holds};
use crate::clock;
use crate::flow::{Handle, PendingAuthorization, Purpose, handle};
use crate::oauth::{AuthorizationCode, Digest};
use crate::policy::{Mode, Rule, Violation};
use crate::store::{Bound, Pending, Place};
use crate::telemetry::{Decided, Event};

use super::body::Body;
use super::exchange::{Exchange, Sent};
use super::{BrowserBinding, headers, reply};

pub(super) use public::pass_through;
use public::{as_text, is_foreign};
use unchanged::bind_upstream_code;
pub(super) use unchanged::{correlation, observe};

/// What is known of the request that is being answered.
#[derive(Clone)]
pub(super) struct Asked<'a> {
    /// What it said.
    pub(super) sent: Sent,
    /// The browser's cookie.
    pub(super) browser: Option<Digest>,
    /// The pending authorization that this very request began.
    pub(super) begun: Option<Digest>,
    /// The handle that the request was sent on with.
    pub(super) handle: Option<&'a Handle>,
}

impl Asked<'_> {
    /// The handles that may stand in its answer.
    fn ours<'o>(&'o self, exchange: &Exchange<'o>) -> Ours<'o> {
        Ours {
            key: &exchange.site.key,
            sent: self.handle,
        }
    }
}

/// Why an answer must not go out, and the sign-in that dies with it.
struct Unsafe {
    why: &'static str,
    pending: Option<Digest>,
}

impl Unsafe {
    fn stray(why: &'static str) -> Self {
        Self { why, pending: None }
    }
}

/// Hands an answer on, codes bound and replaced; one that cannot be delivered safely becomes a 502.
pub(super) async fn deliver(
    exchange: &Exchange<'_>,
    asked: Asked<'_>,
    mut response: Response<Body>,
) -> Response<Body> {
    let checked = match other_fields(exchange, suspects(&response)).await {
        Err(found) => Err(found),
        Ok(()) if response.status().is_redirection() => {
            redirect(exchange, &asked, &mut response).await
        }
        Ok(()) if response.status().is_success() => {
            page::check(exchange, &asked, &mut response).await
        }
        Ok(()) => Ok(()),
    };
    let Err(Unsafe { why, pending }) = checked else {
        return pass_through(exchange, response);
    };
    let violation = Violation::UnboundCodeInResponse(why);
    let rule = concerned(exchange, pending).await;
    if rule.mode != Mode::Enforce {
        exchange.tell(Decided::Reported, Some(&violation), None);
        return pass_through(exchange, response);
    }
    exchange.tell(Decided::Refused, Some(&violation), None);
    if let Some(pending) = pending {
        // What the store cannot forget now it forgets by expiry.
        let _ = exchange.site.store.discard(pending).await;
    }
    exchange.bad_answer(&violation)
}

/// The rule for an answer that cannot be delivered: that of the client whose sign-in it is, and the upstream's own where
/// there is none: nothing ties such a code to a client that is protected.
async fn concerned<'g>(exchange: &Exchange<'g>, pending: Option<Digest>) -> &'g Rule {
    let rules = &exchange.site.settings.rules;
    let Some(pending) = pending else {
        return rules.default_rule();
    };
    match exchange.site.store.pending(pending).await {
        Ok(Pending::Live(record)) => exchange.rule(Some(record.client)),
        Ok(Pending::Expired | Pending::Conflict | Pending::Unknown) | Err(_) => {
            rules.strictest(clock::today())
        }
    }
}

/// `Refresh`, `Content-Location`, `Link` and whatever vendors redirect with: a live handle there beside a code is an
/// answer that nobody can deliver. `Location` counts only where it is no redirect.
async fn other_fields(exchange: &Exchange<'_>, suspects: Vec<String>) -> Result<(), Unsafe> {
    for text in suspects {
        if let Some(pending) = live_handle(exchange, &text).await {
            return Err(Unsafe {
                why: "a code in a header field other than Location",
                pending: Some(pending),
            });
        }
    }
    Ok(())
}

/// Fields that hold what could be a handle and a code.
fn suspects(response: &Response<Body>) -> Vec<String> {
    let is_redirect = response.status().is_redirection();
    let others = response
        .headers()
        .iter()
        .filter(|(name, _)| !is_redirect || *name != header::LOCATION);
    others
        .map(|(_, value)| value.as_bytes())
        .filter(|value| handle::may_stand_in(value))
        .filter_map(|value| std::str::from_utf8(value).ok())
        .filter(|text| beacon::carries_code(text))
        .map(str::to_owned)
        .collect()
}

/// The first live handle that stands anywhere in a text.
async fn live_handle(exchange: &Exchange<'_>, text: &str) -> Option<Digest> {
    for handle in exchange.site.key.find_all(Purpose::State, text) {
        if matches!(
            exchange.site.store.pending(handle.digest()).await,
            Ok(Pending::Live(_))
        ) {
            return Some(handle.digest());
        }
    }
    None
}

/// A `Location`.
async fn redirect(
    exchange: &Exchange<'_>,
    asked: &Asked<'_>,
    response: &mut Response<Body>,
) -> Result<(), Unsafe> {
    if response
        .headers()
        .get_all(header::LOCATION)
        .iter()
        .nth(1)
        .is_some()
    {
        return Err(Unsafe::stray("two Location fields"));
    }
    let field = response.headers().get(header::LOCATION).cloned();
    let Some(location) = field.as_ref().and_then(as_text) else {
        return Ok(());
    };
    let parsed = Location::new(location);
    let carried = parsed.read(asked.ours(exchange));
    let Some((handle, record)) = live(exchange, &carried).await? else {
        // Parameters that cannot be read, or too many of them.
        if beacon::carries_code(location)
            && let Some(pending) = live_handle(exchange, location).await
        {
            return Err(Unsafe {
                why: "a code in a Location of an unknown shape",
                pending: Some(pending),
            });
        }
        return stray(exchange, asked, location, &carried).await;
    };
    if !record
        .redirect
        .is_none_or(|redirect| redirect.is_target_of(location))
        || !leads_to_client(exchange, location, &carried, &record)
    {
        return elsewhere(&carried, &handle);
    }
    let raw = carried.codes.first().map(bytes_of);
    let code = bind(exchange, asked, (&handle, &record), &carried, raw).await?;
    let replacement = Replacement {
        handle: &handle,
        state: &record.state,
        code: code.as_ref(),
    };
    let rewritten = parsed.rewrite(replacement);
    if raw.is_some_and(|raw| holds(rewritten.as_bytes(), raw)) {
        return Err(Unsafe {
            why: "the code stands twice in a Location",
            pending: Some(handle.digest()),
        });
    }
    headers::set(response.headers_mut(), header::LOCATION, &rewritten);
    leak(response, raw, &handle)?;
    // Express, Koa and others repeat the redirect URL, code included, in the body.
    headers::forget_body(response.headers_mut());
    response.headers_mut().remove(header::CONTENT_TYPE);
    reply::not_to_be_stored(response.headers_mut());
    response.body_mut().replace(Vec::new());
    Ok(())
}

/// An answer without a redirect URI of its own to compare is the client's only if it is an answer at all, and leads away.
fn leads_to_client(
    exchange: &Exchange<'_>,
    location: &str,
    carried: &Carried,
    record: &PendingAuthorization,
) -> bool {
    record.redirect.is_some() || (carried.is_response() && is_foreign(exchange, location))
}

/// A live handle in an answer that does not lead to the client: an own page of the server's, unless a code goes along.
fn elsewhere(carried: &Carried, handle: &Handle) -> Result<(), Unsafe> {
    if carried.codes.is_empty() && !carried.has_tokens() {
        return Ok(());
    }
    Err(Unsafe {
        why: "a code for another redirect URI",
        pending: Some(handle.digest()),
    })
}

/// The live sign-in that an answer belongs to.
async fn live(
    exchange: &Exchange<'_>,
    carried: &Carried,
) -> Result<Option<(Handle, Box<PendingAuthorization>)>, Unsafe> {
    let handle = match carried.handles.as_slice() {
        [] => return Ok(None),
        [handle] => handle,
        [..] => return Err(Unsafe::stray("two sign-ins in one answer")),
    };
    match exchange.site.store.pending(handle.digest()).await {
        Ok(Pending::Live(record)) => Ok(Some((handle.clone(), record))),
        Ok(Pending::Expired | Pending::Conflict | Pending::Unknown) | Err(_)
            if carried.codes.is_empty() =>
        {
            Ok(None)
        }
        Ok(Pending::Expired | Pending::Conflict | Pending::Unknown) | Err(_) => {
            Err(Unsafe::stray("a code for a sign-in that has expired"))
        }
    }
}

/// Binds the one code of an answer to a live sign-in, and learns from it. `None`: an answer without a code.
async fn bind(
    exchange: &Exchange<'_>,
    asked: &Asked<'_>,
    (handle, record): (&Handle, &PendingAuthorization),
    carried: &Carried,
    raw: Option<&[u8]>,
) -> Result<Option<Handle>, Unsafe> {
    let dead = |why| Unsafe {
        why,
        pending: Some(handle.digest()),
    };
    let asked_for = |word: &str| {
        record
            .response_type
            .as_deref()
            .is_some_and(|types| types.split(' ').any(|asked| asked == word))
    };
    let unasked =
        carried.access_token && !asked_for("token") || carried.id_token && !asked_for("id_token");
    if unasked {
        return Err(dead("a token that was not asked for"));
    }
    if carried.signed {
        return Err(dead("a signed response, whose code cannot be replaced"));
    }
    let code = match the_code(asked, carried, raw) {
        Ok(None) => return Ok(None),
        Ok(Some(code)) => code,
        Err(why) => return Err(dead(why)),
    };
    let same_browser = record.browser.is_none() || asked.browser == record.browser;
    let same_exchange = asked.begun == Some(handle.digest());
    if !same_browser && !same_exchange {
        match exchange.site.settings.browser_binding {
            BrowserBinding::Hard => {
                return Err(dead("a sign-in that was begun in another browser"));
            }
            BrowserBinding::Soft => {
                let upstream = &exchange.site.telemetry;
                exchange.shared.telemetry().tell(&Event::OtherBrowser {
                    request: exchange.id,
                    upstream,
                });
            }
            BrowserBinding::Off => {}
        }
    }
    match exchange
        .site
        .store
        .bind(handle.digest(), Place::Handle, code)
        .await
    {
        Ok(Bound::Handle(ours)) => {
            if let Some(redirect) = record.redirect {
                exchange.site.learn_redirect(record.client, redirect);
            }
            // With a code, and not with an error: a server may repeat what it was asked for.
            if let Some(issuer) = carried
                .issuer
                .clone()
                .filter(|issuer| !asked.sent.holds(issuer.as_bytes()))
            {
                exchange.site.learn_issuer(Issuer {
                    issuer: Some(issuer),
                    in_responses: true,
                });
            }
            Ok(Some(ours))
        }
        Ok(Bound::TooMany) => Err(Unsafe::stray("more codes than one sign-in may yield")),
        Ok(Bound::Digest | Bound::Elsewhere | Bound::Unknown) | Err(_) => {
            Err(Unsafe::stray("a code that could not be bound"))
        }
    }
}

/// The one code that the upstream has issued with an answer. What a client could have put there is none: a code that
/// somebody else's sign-in yielded would be bound to a challenge of the thief's.
fn the_code(
    asked: &Asked<'_>,
    carried: &Carried,
    raw: Option<&[u8]>,
) -> Result<Option<AuthorizationCode>, &'static str> {
    match carried.codes.as_slice() {
        [] => Ok(None),
        [_] if carried.error => Err("a code in an error response"),
        [_] if raw.is_none_or(|raw| asked.sent.holds(raw)) => {
            Err("a code that came with the request")
        }
        [code] => Ok(Some(code.clone())),
        [..] => Err("two codes in one answer"),
    }
}

fn bytes_of(code: &AuthorizationCode) -> &[u8] {
    code.expose().as_bytes()
}

/// No other field of the answer may hold the code that was replaced.
fn leak(response: &Response<Body>, code: Option<&[u8]>, handle: &Handle) -> Result<(), Unsafe> {
    let Some(code) = code else {
        return Ok(());
    };
    let is_in = |value: &HeaderValue| holds(value.as_bytes(), code);
    if response.headers().values().any(is_in) {
        return Err(Unsafe {
            why: "the code stands in another header field",
            pending: Some(handle.digest()),
        });
    }
    Ok(())
}

/// An answer without a live handle: a code in it may leave only for a client whose codes travel as they are.
async fn stray(
    exchange: &Exchange<'_>,
    asked: &Asked<'_>,
    target: &str,
    carried: &Carried,
) -> Result<(), Unsafe> {
    if !is_foreign(exchange, target) || (carried.codes.is_empty() && !carried.has_tokens()) {
        return Ok(());
    }
    if exchange.site.settings.rules.any_upstream_codes() {
        return bind_upstream_code(exchange, asked, target, carried).await;
    }
    if carried.codes.is_empty() && implicit_allowed(exchange) {
        return Ok(());
    }
    Err(Unsafe::stray("a code or token without a live sign-in"))
}

fn implicit_allowed(exchange: &Exchange<'_>) -> bool {
    exchange.site.settings.rules.any_response_without_code()
}
