//! Finds the sign-in of an answer that has no handle: of a page that is an application. It asks for the code in requests of its
//! own, and builds the redirect to the client itself.

use crate::answer::carrier::{Carried, Carrier};
use crate::answer::{Leads, SignIn};
use crate::flow::{ClientState, Handle, Key, PendingAuthorization, Purpose};
use crate::oauth::ClientId;
use crate::store::Pending;

use super::asked::{Asked, Unsafe, pending};
use super::belongs::{Belongs, is_target};
use crate::gateway::exchange::Exchange;
use crate::gateway::received::Named;
use crate::gateway::sign_in_cookies;

/// The sign-in that the request itself began or continued. Its answer is a code without a URL.
pub(super) async fn own<'g>(
    exchange: &Exchange<'g>,
    asked: &Asked<'_>,
    no_sign_in: Belongs,
) -> Result<Belongs, Unsafe<'g>> {
    let Some(key) = asked.own() else {
        return Ok(no_sign_in);
    };
    Ok(match pending(exchange, &key).await? {
        Pending::Live(record) => Belongs {
            handle: key.handle().cloned(),
            key,
            leads: Leads::ToClient,
            whose: SignIn::Live(record),
        },
        Pending::Expired | Pending::Conflict | Pending::Unknown => no_sign_in,
    })
}

/// The sign-in whose cookie the request has (`correlation = "cookie"`). The page says by its URL whose requests it makes; where
/// browsers do not send that, there must be only one sign-in that fits, of all that this browser has. One that had its answer counts
/// only if no other fits.
pub(super) async fn by_cookie<'g>(
    exchange: &Exchange<'g>,
    asked: &Asked<'_>,
    place: &dyn Carrier,
    carried: &Carried,
    no_sign_in: Belongs,
) -> Result<Belongs, Unsafe<'g>> {
    let key = &exchange.site.state.key;
    let own = asked.begun.as_ref().and_then(Key::handle);
    let (mark, named) = (asked.sent.mark(), asked.sent.named());
    // Then an answer with a code is refused, whichever sign-in fits.
    let is_unclear = own.is_none() && (mark.is_err() || named.is_err());
    let mark = mark.unwrap_or_default();
    let answer = Answer {
        exchange,
        asked,
        place,
        carried,
        leads: no_sign_in.leads,
        named: named.unwrap_or_default(),
    };
    if own.is_none() && mark.is_none() && asked.sent.flows.are_incomplete() {
        let whose = SignIn::Ambiguous;
        return Ok(Belongs {
            whose,
            ..no_sign_in
        });
    }
    for is_answered in [false, true] {
        let cookies = asked.sent.flows.all(is_answered);
        let cookies = cookies.filter_map(|(name, text)| {
            let is_named = mark.as_deref().is_none_or(|mark| mark == name);
            let handle = is_named.then(|| key.recognise(Purpose::State, text))??;
            (sign_in_cookies::name(&handle) == name).then_some(handle)
        });
        let candidates: Vec<Handle> = match own {
            Some(own) => vec![own.clone()],
            // A cookie from another host of the domain may have the same name, and then the same handle.
            None if mark.is_some() => cookies.take(1).collect(),
            None => cookies.collect(),
        };
        let mut fitting = Vec::new();
        for handle in candidates {
            if let Pending::Live(record) = pending(exchange, &Key::from(&handle)).await?
                && answer.fits(&handle, &record)
            {
                fitting.push((handle, record));
            }
        }
        let whose = match fitting.len() {
            0 => continue,
            1 if !is_unclear => None,
            _ => Some(SignIn::Ambiguous),
        };
        if let Some((handle, record)) = fitting.pop() {
            return Ok(Belongs {
                key: Key::from(&handle),
                handle: Some(handle),
                leads: Leads::ToClient,
                whose: whose.unwrap_or(SignIn::Live(record)),
            });
        }
    }
    Ok(no_sign_in)
}

/// An answer, compared with sign-ins.
struct Answer<'a, 'g> {
    exchange: &'a Exchange<'g>,
    asked: &'a Asked<'a>,
    place: &'a dyn Carrier,
    carried: &'a Carried,
    leads: Leads,
    named: Named,
}

impl Answer<'_, '_> {
    /// Whether the request names no other client and no other redirect URI than the sign-in, and the answer has its redirect URI
    /// and state, if it has a URL.
    fn fits(&self, handle: &Handle, record: &PendingAuthorization) -> bool {
        let application = &record.application;
        let mut clients = self.named.clients.iter();
        let mut redirects = self.named.redirects.iter();
        let is_client = |id: &String| ClientId::new(id).digest() == application.client;
        let is_redirect =
            |uri: &String| application.redirect.is_none_or(|redirect| redirect.is(uri));
        let is_of_request = clients.all(is_client) && redirects.all(is_redirect);
        is_of_request && (!self.place.has_url() || self.leads_to(handle, record))
    }

    fn leads_to(&self, handle: &Handle, record: &PendingAuthorization) -> bool {
        let is_target = match record.application.redirect {
            Some(redirect) => is_target(self.exchange, redirect, self.place, self.leads),
            None => self.leads == Leads::Away,
        };
        let kept = || {
            let sealed = self.asked.sent.states.of(handle)?;
            self.exchange.store().spilled_state(handle, sealed)
        };
        let kept = (record.state == ClientState::InCookie).then(kept).flatten();
        let state = kept.as_ref().unwrap_or(&record.state);
        let state = state.as_str().unwrap_or_default();
        is_target && self.carried.state.as_deref().unwrap_or_default() == state
    }
}
