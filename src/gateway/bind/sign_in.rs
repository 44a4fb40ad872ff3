//! Finds the sign-in that a carrier belongs to: by the handle in its `state`, or, under `codes = "upstream"`, by the values that
//! the answer repeats.

use crate::answer::carrier::{Carried, Carrier};
use crate::answer::{Leads, SignIn};
use crate::flow::{Handle, Key, PendingAuthorization};
use crate::oauth::redirect::is_out_of_band;
use crate::oauth::{ClientId, Digest};
use crate::store::Pending;

use super::asked::{Asked, Unsafe, pending};
use super::belongs::{Belongs, is_target, targets};
use super::by_cookie::{by_cookie, own};
use crate::gateway::exchange::Exchange;
use crate::gateway::settings::BrowserBinding;

/// The key of a record under `codes = "upstream"`: a digest of the redirect target, the state, and the gate's cookie if the
/// browser has one. The client is not part of it, because the answer does not name the client; if two different requests get the
/// same key, both records become unusable.
pub(in crate::gateway) fn correlation(
    target: Option<Digest>,
    state: &str,
    browser: Option<Digest>,
) -> Digest {
    let bytes = |digest: Option<Digest>| {
        digest
            .map(|digest| digest.as_bytes().to_vec())
            .unwrap_or_default()
    };
    let (target, browser) = (bytes(target), bytes(browser));
    Digest::of("correlation", &[&target, state.as_bytes(), &browser])
}

/// Finds the sign-in of a carrier.
pub(super) async fn find<'g>(
    exchange: &Exchange<'g>,
    asked: &Asked<'_>,
    place: &dyn Carrier,
    carried: &Carried,
) -> Result<Belongs, Unsafe<'g>> {
    let leads = if !place.has_url() || exchange.site.origins.is_foreign(&place.url()) {
        Leads::Away
    } else {
        Leads::Home
    };
    let no_sign_in = Belongs {
        key: Digest::from_bytes([0; 16]).into(),
        handle: None,
        leads,
        whose: SignIn::None,
    };
    match carried.handles.as_slice() {
        [] if !place.has_url() && asked.own().is_some() => {
            Box::pin(own(exchange, asked, no_sign_in)).await
        }
        [] if exchange.site.reads_flows => {
            let found = by_cookie(exchange, asked, place, carried, no_sign_in);
            let found = Box::pin(found).await?;
            if matches!(found.whose, SignIn::None) {
                without_cookie(exchange, asked, place, carried, found).await
            } else {
                Ok(found)
            }
        }
        [] => without_cookie(exchange, asked, place, carried, no_sign_in).await,
        [handle] => by_handle(exchange, place, carried, handle, no_sign_in).await,
        [handle, ..] => Ok(Belongs {
            handle: Some(handle.clone()),
            whose: SignIn::Several,
            ..no_sign_in
        }),
    }
}

/// Finds the sign-in of a carrier that has no handle, by the values that the answer repeats.
async fn without_cookie<'g>(
    exchange: &Exchange<'g>,
    asked: &Asked<'_>,
    place: &dyn Carrier,
    carried: &Carried,
    no_sign_in: Belongs,
) -> Result<Belongs, Unsafe<'g>> {
    if is_shown(carried, asked, no_sign_in.leads) {
        return out_of_band(exchange, asked, place, no_sign_in).await;
    }
    if !place.has_url() && exchange.site.observes_only {
        // Nothing in the answer says whose it is, and an observed client gets no cookie.
        let whose = SignIn::Uncertain;
        return Ok(Belongs {
            whose,
            ..no_sign_in
        });
    }
    if exchange.rules().any_upstream_codes() {
        return correlated(exchange, asked, place, carried, no_sign_in).await;
    }
    Ok(no_sign_in)
}

async fn by_handle<'g>(
    exchange: &Exchange<'g>,
    place: &dyn Carrier,
    carried: &Carried,
    handle: &Handle,
    no_sign_in: Belongs,
) -> Result<Belongs, Unsafe<'g>> {
    let found = Belongs {
        key: handle.into(),
        handle: Some(handle.clone()),
        ..no_sign_in
    };
    match pending(exchange, &handle.into()).await? {
        Pending::Live(record) => {
            let to_client = match record.application.redirect {
                _ if !place.has_url() => true,
                Some(redirect) => is_target(exchange, redirect, place, found.leads),
                // Without a redirect URI to compare, only an authorization response that leaves the server's origin goes to the
                // client.
                None => found.leads == Leads::Away && carried.is_response(),
            };
            let leads = if to_client {
                Leads::ToClient
            } else {
                found.leads
            };
            Ok(Belongs {
                leads,
                whose: SignIn::Live(record),
                ..found
            })
        }
        Pending::Expired | Pending::Conflict | Pending::Unknown => Ok(Belongs {
            whose: SignIn::Dead,
            ..found
        }),
    }
}

/// Whether the server may show the code to the user itself: the answer leads to a page of the server, with a code in its URL.
fn is_shown(carried: &Carried, asked: &Asked<'_>, leads: Leads) -> bool {
    leads == Leads::Home && asked.handle.is_some() && !carried.codes.is_empty()
}

/// Out of band (`urn:ietf:wg:oauth:2.0:oob`): the answer redirects to no client and has no state. It belongs to the sign-in that
/// the request continued, if its redirect URI is an out-of-band one. If the carrier leads to the sign-in's redirect URI instead,
/// the answer lacks its state and is treated as leading away.
async fn out_of_band<'g>(
    exchange: &Exchange<'g>,
    asked: &Asked<'_>,
    place: &dyn Carrier,
    no_sign_in: Belongs,
) -> Result<Belongs, Unsafe<'g>> {
    let Some(handle) = asked.handle else {
        return Ok(no_sign_in);
    };
    let key = Key::from(handle);
    let Pending::Live(record) = pending(exchange, &key).await? else {
        return Ok(no_sign_in);
    };
    match record.application.redirect {
        Some(redirect) if is_out_of_band(redirect) => Ok(Belongs {
            key,
            handle: Some(handle.clone()),
            leads: Leads::ToClient,
            whose: SignIn::Live(record),
        }),
        Some(redirect) if is_target(exchange, redirect, place, no_sign_in.leads) => Ok(Belongs {
            key,
            leads: Leads::Away,
            whose: SignIn::Live(record),
            ..no_sign_in
        }),
        Some(_) | None => Ok(no_sign_in),
    }
}

/// Finds the sign-in under `codes = "upstream"`: by target, state and browser.
async fn correlated<'g>(
    exchange: &Exchange<'g>,
    asked: &Asked<'_>,
    place: &dyn Carrier,
    carried: &Carried,
    no_sign_in: Belongs,
) -> Result<Belongs, Unsafe<'g>> {
    let state = carried.state.as_deref().unwrap_or_default();
    let targets = targets(exchange, place, no_sign_in.leads);
    let leads = no_sign_in.leads;
    let keys = |browser| {
        let known = targets.iter().copied().map(Some).chain([None]);
        known.map(move |target| Key::from(correlation(target, state, browser)))
    };
    // First the record that this request created, or continued after a comparison.
    let live = |key, record| Belongs {
        key,
        handle: None,
        leads: Leads::ToClient,
        whose: SignIn::Live(record),
    };
    if let Some(key) = &asked.begun
        && let Pending::Live(record) = pending(exchange, key).await?
        && is_its(&record, &targets, state, leads)
    {
        return Ok(live(key.clone(), record));
    }
    // If the request names clients, the record of another client is not its record.
    let named = asked.sent.said(&exchange.site.state.key).clients;
    let names_other = |client: Digest| {
        let mut others = named.iter().map(|id| ClientId::new(id).digest());
        !named.is_empty() && others.all(|named| named != client)
    };
    let is_watched = exchange.rules().any_watched()
        && named.iter().all(|id| {
            let rule = exchange.rule_of(Some(&ClientId::new(id)));
            !rule.may_change_requests()
        });
    let mut found = no_sign_in;
    // With the cookie first: a browser that has one got it from a sign-in whose key includes it.
    for browser in asked.browser.map(Some).into_iter().chain([None]) {
        for key in keys(browser) {
            match pending(exchange, &key).await? {
                Pending::Live(record) if names_other(record.application.client) => {}
                Pending::Live(record) if is_its(&record, &targets, state, leads) => {
                    if found.is_live() {
                        // Two keys have a matching record. (For equal keys the store reports a conflict.)
                        let whose = SignIn::Several;
                        return Ok(Belongs { whose, ..found });
                    }
                    found = live(key, record);
                }
                Pending::Conflict if !found.is_live() => {
                    // In enforce mode the browser's cookie would have distinguished them; an observed client gets no cookie.
                    let told_apart = exchange.site.settings.browser_binding != BrowserBinding::Off;
                    let whose = if told_apart && is_watched && browser.is_none() {
                        SignIn::Uncertain
                    } else {
                        SignIn::Dead
                    };
                    found = Belongs {
                        key,
                        whose,
                        ..found
                    };
                }
                Pending::Live(_) | Pending::Conflict | Pending::Expired | Pending::Unknown => {}
            }
        }
        if !matches!(found.whose, SignIn::None) {
            break;
        }
    }
    Ok(found)
}

/// Whether a record matches the answer. The answer to a request need not belong to the record of that request.
fn is_its(record: &PendingAuthorization, targets: &[Digest], state: &str, leads: Leads) -> bool {
    let same_target = match record.application.redirect {
        Some(redirect) => targets.contains(&redirect.target),
        None => leads == Leads::Away,
    };
    same_target && record.state.as_str().unwrap_or_default() == state
}
