//! Whose sign-in a carrier belongs to: that of the handle in its `state`, or where nothing on the wire is rewritten the one that
//! is found again under the same values.

use crate::answer::carrier::{Carried, Carrier};
use crate::answer::{Leads, OTHER_BROWSER, SignIn};
use crate::clock;
use crate::flow::{Handle, PendingAuthorization};
use crate::oauth::redirect::{RedirectDigest, is_out_of_band, target_digest};
use crate::oauth::{ClientId, Digest};
use crate::policy::{Rule, Violation};
use crate::store::Pending;

use super::asked::{Asked, Unsafe};
use crate::gateway::browser;
use crate::gateway::exchange::Exchange;
use crate::gateway::settings::BrowserBinding;

/// Under what a request is found again when nothing on the wire is rewritten: where its answer leads, its state, and the
/// browser that it came from, where that has our cookie. The client is not among them, because an answer does not name it; two
/// requests under one key kill both records.
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

/// A carrier's sign-in.
pub(super) struct Belongs {
    /// Under which it is kept.
    pub(super) key: Digest,
    /// The handle that stands for it, where one does.
    pub(super) handle: Option<Handle>,
    /// Where the carrier leads.
    pub(super) leads: Leads,
    whose: Whose,
}

enum Whose {
    Nobodys,
    Several,
    Dead,
    Uncertain,
    Live(Box<PendingAuthorization>),
}

impl Belongs {
    pub(super) fn sign_in(&self) -> SignIn<'_> {
        match &self.whose {
            Whose::Nobodys => SignIn::None,
            Whose::Several => SignIn::Several,
            Whose::Dead => SignIn::Dead,
            Whose::Uncertain => SignIn::Uncertain,
            Whose::Live(record) => SignIn::Live(record),
        }
    }

    pub(super) fn record(&self) -> Option<&PendingAuthorization> {
        match &self.whose {
            Whose::Live(record) => Some(record),
            Whose::Nobodys | Whose::Several | Whose::Dead | Whose::Uncertain => None,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.record().is_some()
    }

    /// The rule of its client. What is dead may have been anybody's, and so may what leads to another client than the one that began.
    pub(super) fn rule<'g>(&self, exchange: &Exchange<'g>, asked: &Asked<'_>) -> &'g Rule {
        let rules = &exchange.site.settings.rules;
        match &self.whose {
            Whose::Live(record) if self.leads == Leads::Away => rules.stricter(
                asked.rule_of(exchange, record.client),
                rules.strictest(clock::today()),
            ),
            Whose::Live(record) => asked.rule_of(exchange, record.client),
            Whose::Dead | Whose::Several if self.handle.is_some() => {
                rules.strictest(clock::today())
            }
            Whose::Dead | Whose::Several | Whose::Nobodys | Whose::Uncertain => {
                rules.default_rule()
            }
        }
    }

    /// Whether the request was one of another client, whose rule is the stricter one.
    pub(super) fn is_anothers(&self, exchange: &Exchange<'_>, asked: &Asked<'_>) -> bool {
        self.record().is_some_and(|record| {
            asked.rule_of(exchange, record.client) != exchange.rule(Some(record.client))
        })
    }

    /// The sign-in dies with an answer that must not go out.
    pub(super) fn unsafe_because<'g>(
        &self,
        exchange: &Exchange<'g>,
        asked: &Asked<'_>,
        why: &'static str,
    ) -> Unsafe<'g> {
        let is_somebodys = self.is_live() || self.handle.is_some();
        Unsafe {
            violation: Violation::UnboundCodeInResponse(why),
            // Where nothing is rewritten the key is made of what others may know, too.
            pending: self.record().and(self.handle.as_ref()).map(|_| self.key),
            rule: is_somebodys.then(|| self.rule(exchange, asked)),
            client: self.record().map(|record| record.client),
        }
    }

    /// Tells what `browser_binding = "hard"` would refuse here. What a request with its handle was told already is not told again.
    pub(super) fn foretell(&self, exchange: &Exchange<'_>, asked: &Asked<'_>) {
        let is_told = asked.handle.is_some_and(|sent| sent.digest() == self.key);
        if let (Some(record), false) = (self.record(), is_told) {
            let violation = Violation::UnboundCodeInResponse(OTHER_BROWSER);
            browser::foretell(exchange, record, self.rule(exchange, asked), violation);
        }
    }
}

/// Finds the sign-in of a carrier.
pub(super) async fn find<'g>(
    exchange: &Exchange<'g>,
    asked: &Asked<'_>,
    place: &dyn Carrier,
    carried: &Carried,
) -> Result<Belongs, Unsafe<'g>> {
    let leads = if exchange.site.origins.is_foreign(&place.url()) {
        Leads::Away
    } else {
        Leads::Home
    };
    let nobodys = Belongs {
        key: Digest::from_bytes([0; 16]),
        handle: None,
        leads,
        whose: Whose::Nobodys,
    };
    match carried.handles.as_slice() {
        [] if is_shown(carried, asked, leads) => out_of_band(exchange, asked, place, nobodys).await,
        [] if exchange.site.settings.rules.any_upstream_codes() => {
            correlated(exchange, asked, (place, carried), nobodys).await
        }
        [] => Ok(nobodys),
        [handle] => by_handle(exchange, (place, carried), handle, nobodys).await,
        [handle, ..] => Ok(Belongs {
            handle: Some(handle.clone()),
            whose: Whose::Several,
            ..nobodys
        }),
    }
}

async fn by_handle<'g>(
    exchange: &Exchange<'g>,
    (place, carried): (&dyn Carrier, &Carried),
    handle: &Handle,
    nobodys: Belongs,
) -> Result<Belongs, Unsafe<'g>> {
    let found = Belongs {
        key: handle.digest(),
        handle: Some(handle.clone()),
        ..nobodys
    };
    match exchange.site.state.store.pending(handle.digest()).await {
        Ok(Pending::Live(record)) => {
            let to_client = match record.redirect {
                Some(redirect) => is_target(exchange, redirect, place, found.leads),
                // An answer without a redirect URI of its own to compare is the client's only if it is an answer at all,
                // and leads away.
                None => found.leads == Leads::Away && carried.is_response(),
            };
            let leads = if to_client {
                Leads::ToClient
            } else {
                found.leads
            };
            let whose = Whose::Live(record);
            Ok(Belongs {
                leads,
                whose,
                ..found
            })
        }
        Ok(Pending::Expired | Pending::Conflict | Pending::Unknown) => Ok(Belongs {
            whose: Whose::Dead,
            ..found
        }),
        Err(error) => Err(Unsafe::in_doubt(exchange, error)),
    }
}

/// Whether a carrier leads to a redirect URI. One at the server's own origin may be written without it, or with the one that only
/// the gate knows.
fn is_target(
    exchange: &Exchange<'_>,
    redirect: RedirectDigest,
    place: &dyn Carrier,
    leads: Leads,
) -> bool {
    let targets = targets(exchange, place, leads);
    targets.contains(&redirect.target())
}

/// Whether an answer may be one that the server shows to the user itself: a page of its own with a code in its address.
fn is_shown(carried: &Carried, asked: &Asked<'_>, leads: Leads) -> bool {
    leads == Leads::Home && asked.handle.is_some() && !carried.codes.is_empty()
}

/// Out of band (`urn:ietf:wg:oauth:2.0:oob`): there is no client to redirect to, and no state in the answer. It belongs to the
/// sign-in that the request went on with, if that has such a redirect URI. If it has this very place for one, the state is missing.
async fn out_of_band<'g>(
    exchange: &Exchange<'g>,
    asked: &Asked<'_>,
    place: &dyn Carrier,
    nobodys: Belongs,
) -> Result<Belongs, Unsafe<'g>> {
    let Some(handle) = asked.handle else {
        return Ok(nobodys);
    };
    match exchange.site.state.store.pending(handle.digest()).await {
        Ok(Pending::Live(record)) if record.redirect.is_some_and(is_out_of_band) => Ok(Belongs {
            key: handle.digest(),
            handle: Some(handle.clone()),
            leads: Leads::ToClient,
            whose: Whose::Live(record),
        }),
        Ok(Pending::Live(record))
            if record
                .redirect
                .is_some_and(|redirect| is_target(exchange, redirect, place, nobodys.leads)) =>
        {
            Ok(Belongs {
                key: handle.digest(),
                leads: Leads::Away,
                whose: Whose::Live(record),
                ..nobodys
            })
        }
        Ok(_) => Ok(nobodys),
        Err(error) => Err(Unsafe::in_doubt(exchange, error)),
    }
}

/// Where a carrier leads, as the redirect URI of its sign-in may have it: as it is written, and one at the server's own origin as
/// only the gate knows it.
fn targets(exchange: &Exchange<'_>, place: &dyn Carrier, leads: Leads) -> Vec<Digest> {
    let target = place.target();
    let own = (leads == Leads::Home).then(|| exchange.site.origins.own_target(&target));
    let own = own.flatten().map(|own| target_digest(&own));
    let mut targets = vec![target_digest(&target)];
    targets.extend(own.filter(|own| !targets.contains(own)));
    targets
}

/// The request that was held under the values that come back.
async fn correlated<'g>(
    exchange: &Exchange<'g>,
    asked: &Asked<'_>,
    (place, carried): (&dyn Carrier, &Carried),
    nobodys: Belongs,
) -> Result<Belongs, Unsafe<'g>> {
    let state = carried.state.as_deref().unwrap_or_default();
    let targets = targets(exchange, place, nobodys.leads);
    let leads = nobodys.leads;
    let keys = |browser| {
        let known = targets.iter().copied().map(Some).chain([None]);
        known.map(move |target| correlation(target, state, browser))
    };
    // That of the request itself: what it says was compared when it was held.
    if let Some(key) = asked.begun {
        match exchange.site.state.store.pending(key).await {
            Ok(Pending::Live(record)) if is_its(&record, &targets, state, leads) => {
                return Ok(Belongs {
                    key,
                    handle: None,
                    leads: Leads::ToClient,
                    whose: Whose::Live(record),
                });
            }
            Ok(_) => {}
            Err(error) => return Err(Unsafe::in_doubt(exchange, error)),
        }
    }
    // Another client's record under the same values is not that of whom the request names.
    let named = asked.sent.said(&exchange.site.state.key).clients;
    let names_other = |client: Digest| {
        let mut others = named.iter().map(|id| ClientId::new(id).digest());
        !named.is_empty() && others.all(|named| named != client)
    };
    let is_watched = exchange.site.settings.rules.any_watched()
        && named.iter().all(|id| {
            let rule = exchange.rule_of(Some(&ClientId::new(id)));
            !rule.may_change_requests()
        });
    let mut found = nobodys;
    // With the cookie first: who sends one was given it by a sign-in that is found with it.
    for browser in asked.browser.map(Some).into_iter().chain([None]) {
        for key in keys(browser) {
            match exchange.site.state.store.pending(key).await {
                // Whose it is cannot be said. (Under one key the store sees to that.)
                Ok(Pending::Live(record)) if names_other(record.client) => {}
                Ok(Pending::Live(record)) if is_its(&record, &targets, state, leads) => {
                    if found.is_live() {
                        let whose = Whose::Several;
                        return Ok(Belongs { whose, ..found });
                    }
                    found = Belongs {
                        key,
                        handle: None,
                        leads: Leads::ToClient,
                        whose: Whose::Live(record),
                    };
                }
                Ok(Pending::Conflict) if !found.is_live() => {
                    // Enforced, the browser's cookie would have told them apart.
                    let told_apart = exchange.site.settings.browser_binding != BrowserBinding::Off;
                    let whose = if told_apart && is_watched && browser.is_none() {
                        Whose::Uncertain
                    } else {
                        Whose::Dead
                    };
                    found = Belongs {
                        key,
                        whose,
                        ..found
                    };
                }
                Ok(Pending::Live(_) | Pending::Conflict | Pending::Expired | Pending::Unknown) => {}
                Err(error) => return Err(Unsafe::in_doubt(exchange, error)),
            }
        }
        if !matches!(found.whose, Whose::Nobodys) {
            break;
        }
    }
    Ok(found)
}

/// Whether a record that was found is that of an answer: under the key of the request that is being answered it may be another
/// one's.
fn is_its(record: &PendingAuthorization, targets: &[Digest], state: &str, leads: Leads) -> bool {
    let same_target = match record.redirect {
        Some(redirect) => targets.contains(&redirect.target()),
        None => leads == Leads::Away,
    };
    same_target && record.state.as_str().unwrap_or_default() == state
}
