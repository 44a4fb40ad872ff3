//! Answers: step 3 of the walk. Find the code, bind it, hand the answer on with our handle in its place.
//!
//! Whatever is not recognised here fails closed later: the client holds a code that nobody bound, and it redeems
//! nothing.

use http::{HeaderValue, Response, StatusCode, header};
use url::Url;

use crate::carrier::form_post::{Form, forms};
use crate::carrier::location::Location;
use crate::carrier::metadata::Issuer;
use crate::carrier::{Carried, Replacement, beacon};
use crate::flow::{Handle, PendingAuthorization, Purpose};
use crate::oauth::{AuthorizationCode, Digest};
use crate::policy::{Mode, Violation};
use crate::store::{Bound, Pending, Place};
use crate::telemetry::{Decided, Event};

use super::body::{Body, Peeked};
use super::exchange::Exchange;
use super::{BrowserBinding, headers, reply};

/// What is known of the request that is being answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// The browser's cookie.
    pub(super) browser: Option<Digest>,
    /// The pending authorization that this very request began.
    pub(super) begun: Option<Digest>,
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

/// Under what a request is found again when nothing on the wire is rewritten: where its answer leads, and its state.
/// The client is not among them, because an answer does not name it; two clients under one key kill both records.
pub(super) fn correlation(target: Option<Digest>, state: &str) -> Digest {
    let target = target
        .map(|target| target.as_bytes().to_vec())
        .unwrap_or_default();
    Digest::of("correlation", &[&target, state.as_bytes()])
}

/// An answer in which nothing can be ours: only the upstream's own origin is translated.
pub(super) fn pass_through(
    exchange: &Exchange<'_>,
    mut response: Response<Body>,
) -> Response<Body> {
    if let Some(location) =
        text(&response, &header::LOCATION).and_then(|location| public_url(exchange, location))
    {
        headers::set(response.headers_mut(), header::LOCATION, &location);
    }
    public_cookies(exchange, &mut response);
    response
}

/// Looks for codes to bind, and changes not one byte.
pub(super) async fn observe(
    exchange: &Exchange<'_>,
    mut response: Response<Body>,
) -> Response<Body> {
    let asked = Asked {
        browser: None,
        begun: None,
    };
    if response.status().is_redirection() {
        if let Some(location) = text(&response, &header::LOCATION).map(str::to_owned) {
            let carried = Location::new(&location).read(&exchange.site.key);
            if is_foreign(exchange, &location) {
                report(
                    exchange,
                    bind_upstream_code(exchange, asked, &location, &carried).await,
                );
            }
        }
    } else if let Some(page) = readable(exchange, &mut response).await {
        for form in forms(&page)
            .iter()
            .filter(|form| is_foreign(exchange, &form.action))
        {
            let carried = form.read(&exchange.site.key);
            report(
                exchange,
                bind_upstream_code(exchange, asked, &form.action, &carried).await,
            );
        }
    }
    pass_through(exchange, response)
}

fn report(exchange: &Exchange<'_>, bound: Result<(), Unsafe>) {
    if let Err(found) = bound {
        exchange.tell(
            Decided::Reported,
            Some(&Violation::UnboundCodeInResponse(found.why)),
            None,
        );
    }
}

/// Hands an answer on, codes bound and replaced; one that cannot be delivered safely becomes a 502.
pub(super) async fn deliver(
    exchange: &Exchange<'_>,
    asked: Asked,
    mut response: Response<Body>,
) -> Response<Body> {
    let checked = if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        Err(Unsafe::stray("an upgrade that nobody asked for"))
    } else if response.status().is_redirection() {
        redirect(exchange, asked, &mut response).await
    } else if response.status().is_success() {
        page(exchange, asked, &mut response).await
    } else {
        Ok(())
    };
    let Err(Unsafe { why, pending }) = checked else {
        return pass_through(exchange, response);
    };
    let violation = Violation::UnboundCodeInResponse(why);
    if exchange.site.settings.rules.default_rule().mode != Mode::Enforce {
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

/// A `Location`.
async fn redirect(
    exchange: &Exchange<'_>,
    asked: Asked,
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
    let Some(location) = text(response, &header::LOCATION).map(str::to_owned) else {
        return Ok(());
    };
    let parsed = Location::new(&location);
    let carried = parsed.read(&exchange.site.key);
    let Some((handle, record)) = live(exchange, &carried).await? else {
        return stray(exchange, asked, &location, &carried).await;
    };
    if !record
        .redirect
        .is_none_or(|redirect| redirect.is_target_of(&location))
        || !leads_to_client(&carried, &record)
    {
        return elsewhere(&carried, &handle);
    }
    let code = bind(exchange, asked, &handle, &record, &carried).await?;
    let replacement = Replacement {
        handle: &handle,
        state: &record.state,
        code: code.as_ref(),
    };
    let rewritten = parsed.rewrite(replacement);
    let raw = carried.codes.first();
    if raw.is_some_and(|raw| rewritten.contains(raw.expose())) {
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
    let body = std::mem::take(response.body_mut());
    *response.body_mut() = body.replaced(Vec::new());
    Ok(())
}

/// An answer without a redirect URI of its own to compare is the client's only if it is an answer at all.
fn leads_to_client(carried: &Carried, record: &PendingAuthorization) -> bool {
    carried.is_response() || record.redirect.is_some()
}

/// A live handle in an answer that does not lead to the client: an own page of the server's, unless a code goes along.
fn elsewhere(carried: &Carried, handle: &Handle) -> Result<(), Unsafe> {
    if carried.codes.is_empty() && !carried.tokens {
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
    asked: Asked,
    handle: &Handle,
    record: &PendingAuthorization,
    carried: &Carried,
) -> Result<Option<Handle>, Unsafe> {
    let dead = |why| Unsafe {
        why,
        pending: Some(handle.digest()),
    };
    let asked_for = |word: &str| {
        record
            .response_type
            .as_deref()
            .is_some_and(|types| types.contains(word))
    };
    if carried.tokens && !asked_for("token") {
        return Err(dead("a token that was not asked for"));
    }
    if carried.signed {
        return Err(dead("a signed response, whose code cannot be replaced"));
    }
    if let Some(issuer) = &carried.issuer {
        exchange.site.learn_issuer(Issuer {
            issuer: Some(issuer.clone()),
            in_responses: true,
        });
    }
    let code = match carried.codes.as_slice() {
        [] => return Ok(None),
        [code] => code.clone(),
        [..] => return Err(dead("two codes in one answer")),
    };
    let same_browser = record.browser.is_none() || asked.browser == record.browser;
    let same_exchange = asked.begun == Some(handle.digest());
    if !same_browser && !same_exchange {
        match exchange.site.settings.browser_binding {
            BrowserBinding::Hard => {
                return Err(dead("a sign-in that was begun in another browser"));
            }
            BrowserBinding::Soft => {
                let upstream = &exchange.site.settings.name;
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
            Ok(Some(ours))
        }
        Ok(Bound::TooMany) => Err(Unsafe::stray("more codes than one sign-in may yield")),
        Ok(Bound::Digest | Bound::Unknown) | Err(_) => {
            Err(Unsafe::stray("a code that could not be bound"))
        }
    }
}

/// No other field of the answer may hold the code that was replaced.
fn leak(
    response: &Response<Body>,
    raw: Option<&AuthorizationCode>,
    handle: &Handle,
) -> Result<(), Unsafe> {
    let Some(raw) = raw.map(AuthorizationCode::expose) else {
        return Ok(());
    };
    let holds = |value: &HeaderValue| {
        value
            .as_bytes()
            .windows(raw.len())
            .any(|window| window == raw.as_bytes())
    };
    if response.headers().values().any(holds) {
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
    asked: Asked,
    target: &str,
    carried: &Carried,
) -> Result<(), Unsafe> {
    if !is_foreign(exchange, target) || (carried.codes.is_empty() && !carried.tokens) {
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
    let types = &exchange.site.settings.rules.default_rule().response_types;
    types
        .iter()
        .any(|response_type| !response_type.yields_code())
}

/// Binds a code that travels as it is, to the request that was held under the same values.
async fn bind_upstream_code(
    exchange: &Exchange<'_>,
    asked: Asked,
    target: &str,
    carried: &Carried,
) -> Result<(), Unsafe> {
    let code = match carried.codes.as_slice() {
        [] => return Ok(()),
        [code] => code.clone(),
        [..] => return Err(Unsafe::stray("two codes in one answer")),
    };
    let state = carried.state.as_deref().unwrap_or_default();
    let leads = crate::oauth::redirect::target_digest(target);
    for key in [correlation(Some(leads), state), correlation(None, state)] {
        let Ok(Pending::Live(record)) = exchange.site.store.pending(key).await else {
            continue;
        };
        let rule = exchange.rule(Some(record.client));
        let same_browser = record
            .browser
            .is_none_or(|browser| asked.browser == Some(browser));
        if rule.mode == Mode::Enforce && !same_browser && asked.begun != Some(key) {
            return Err(Unsafe::stray("a sign-in that was begun in another browser"));
        }
        let place = Place::Digest(code.digest());
        return match exchange.site.store.bind(key, place, code).await {
            Ok(Bound::Digest) => {
                if let Some(redirect) = record.redirect {
                    exchange.site.learn_redirect(record.client, redirect);
                }
                Ok(())
            }
            Ok(Bound::Handle(_) | Bound::TooMany | Bound::Unknown) | Err(_) => {
                Err(Unsafe::stray("a code that could not be bound"))
            }
        };
    }
    Err(Unsafe::stray("a code without a live sign-in"))
}

/// The whole of a page or document that may carry something, left ready to be sent on.
async fn readable(exchange: &Exchange<'_>, response: &mut Response<Body>) -> Option<bytes::Bytes> {
    let kind = text(response, &header::CONTENT_TYPE)
        .unwrap_or("text/html")
        .to_ascii_lowercase();
    let is_text = kind.contains("html") || kind.contains("json");
    if !is_text || response.headers().contains_key(header::CONTENT_ENCODING) {
        return None;
    }
    match response
        .body_mut()
        .peek(exchange.shared.limits.response_scan_bytes)
        .await
    {
        Peeked::Whole(page) if !page.is_empty() => Some(page),
        Peeked::Whole(_) | Peeked::TooLong | Peeked::Broken => None,
    }
}

/// A page: a form that posts itself to the client, or something with a code in it that is none.
async fn page(
    exchange: &Exchange<'_>,
    asked: Asked,
    response: &mut Response<Body>,
) -> Result<(), Unsafe> {
    let Some(page) = readable(exchange, response).await else {
        return Ok(());
    };
    origin_in_page(exchange, &page);
    for form in forms(&page) {
        let carried = form.read(&exchange.site.key);
        if !carried.is_response() {
            continue;
        }
        match live(exchange, &carried).await? {
            Some((handle, record)) => {
                let to_client = record
                    .redirect
                    .is_none_or(|redirect| redirect.is_target_of(&form.action));
                if to_client && is_foreign(exchange, &form.action) {
                    return form_post(
                        exchange,
                        asked,
                        response,
                        (&page, &form, &carried),
                        (&handle, &record),
                    )
                    .await;
                }
            }
            None => stray(exchange, asked, &form.action, &carried).await?,
        }
    }
    let Ok(text) = std::str::from_utf8(&page) else {
        return Ok(());
    };
    let handles: Vec<Handle> = exchange.site.key.find_all(Purpose::State, text).collect();
    if handles.is_empty() || !beacon::carries_code(text) {
        return Ok(());
    }
    for handle in handles {
        if matches!(
            exchange.site.store.pending(handle.digest()).await,
            Ok(Pending::Live(_))
        ) {
            return Err(Unsafe {
                why: "a code in a page of an unknown shape",
                pending: Some(handle.digest()),
            });
        }
    }
    Ok(())
}

/// A form that posts itself to the client.
async fn form_post(
    exchange: &Exchange<'_>,
    asked: Asked,
    response: &mut Response<Body>,
    (page, form, carried): (&[u8], &Form, &Carried),
    (handle, record): (&Handle, &PendingAuthorization),
) -> Result<(), Unsafe> {
    let code = bind(exchange, asked, handle, record, carried).await?;
    let replacement = Replacement {
        handle,
        state: &record.state,
        code: code.as_ref(),
    };
    let rewritten = form.rewrite(page, replacement);
    let raw = carried.codes.first();
    let twice = raw.map(AuthorizationCode::expose).is_some_and(|raw| {
        rewritten
            .windows(raw.len())
            .any(|window| window == raw.as_bytes())
    });
    if twice {
        return Err(Unsafe {
            why: "the code stands twice in a page",
            pending: Some(handle.digest()),
        });
    }
    leak(response, raw, handle)?;
    headers::forget_body(response.headers_mut());
    reply::not_to_be_stored(response.headers_mut());
    let body = std::mem::take(response.body_mut());
    *response.body_mut() = body.replaced(rewritten);
    Ok(())
}

/// A page that names the upstream's own origin leads the browser around the gate: told, so that an operator can set
/// the server's public URL.
fn origin_in_page(exchange: &Exchange<'_>, page: &[u8]) {
    let origin = exchange.site.origin.as_bytes();
    let differs = exchange.site.origin != exchange.site.settings.public_origin;
    if differs && page.windows(origin.len()).any(|window| window == origin) {
        let upstream = &exchange.site.settings.name;
        exchange
            .shared
            .telemetry()
            .tell(&Event::UpstreamOriginInBody {
                request: exchange.id,
                upstream,
            });
    }
}

fn text<'r>(response: &'r Response<Body>, name: &header::HeaderName) -> Option<&'r str> {
    response
        .headers()
        .get(name)
        .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
}

/// Whether a URL leads away from the server and from the gate. What does not parse on its own is relative.
fn is_foreign(exchange: &Exchange<'_>, url: &str) -> bool {
    let site = exchange.site;
    let Ok(target) = Url::parse(url) else {
        return url.starts_with("//");
    };
    let own = [site.origin.as_str(), site.settings.public_origin.as_str()];
    !own.into_iter()
        .filter_map(|own| Url::parse(own).ok())
        .any(|own| own.origin() == target.origin())
}

/// A URL at the upstream's own origin, as clients reach it.
fn public_url(exchange: &Exchange<'_>, location: &str) -> Option<String> {
    let own = Url::parse(&exchange.site.origin).ok()?;
    let target = Url::parse(location).ok()?;
    if target.origin() != own.origin() {
        return None;
    }
    let authority = location.find("://")? + 3;
    let rest = location.get(authority..)?;
    let path = rest
        .find(['/', '?', '#'])
        .and_then(|at| rest.get(at..))
        .unwrap_or_default();
    Some(format!("{}{path}", exchange.site.settings.public_origin))
}

/// Cookies for the upstream's own host become cookies for whatever host the client talks to.
fn public_cookies(exchange: &Exchange<'_>, response: &mut Response<Body>) {
    let host = exchange
        .site
        .authority
        .split(':')
        .next()
        .unwrap_or_default();
    let names_host = |cookie: &str| {
        cookie.split(';').skip(1).any(|attribute| {
            attribute.split_once('=').is_some_and(|(name, value)| {
                let value = value.trim().trim_start_matches('.');
                name.trim().eq_ignore_ascii_case("domain") && value.eq_ignore_ascii_case(host)
            })
        })
    };
    let cookies: Vec<HeaderValue> = response
        .headers()
        .get_all(header::SET_COOKIE)
        .iter()
        .cloned()
        .collect();
    if !cookies
        .iter()
        .any(|cookie| cookie.to_str().is_ok_and(names_host))
    {
        return;
    }
    response.headers_mut().remove(header::SET_COOKIE);
    for cookie in cookies {
        let rewritten = cookie
            .to_str()
            .ok()
            .filter(|text| names_host(text))
            .map(|text| {
                let is_domain = |part: &&str| {
                    part.trim_start()
                        .to_ascii_lowercase()
                        .starts_with("domain=")
                };
                text.split(';')
                    .filter(|part| !is_domain(part))
                    .collect::<Vec<_>>()
                    .join(";")
            });
        let rewritten = rewritten.and_then(|text| HeaderValue::try_from(text).ok());
        response
            .headers_mut()
            .append(header::SET_COOKIE, rewritten.unwrap_or(cookie));
    }
}
