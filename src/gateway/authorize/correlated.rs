//! Authorization requests of clients that get no handles (`codes = "upstream"`): forwarded unchanged. The record is stored under
//! a digest of values that the authorization response repeats.

use http::Method;

use crate::flow::PendingAuthorization;
use crate::gateway::bind;
use crate::gateway::decide::Decided;
use crate::gateway::exchange::Exchange;
use crate::gateway::settings::BrowserBinding;
use crate::oauth::Digest;
use crate::policy::{Mode, Violation};
use crate::store::{Held, Pending, Place, StoreError};

use super::parsed::Fresh;

/// A request that is forwarded unchanged, and the key of its record.
pub(super) struct Correlated<'p> {
    pending: &'p PendingAuthorization,
    pub(super) key: Digest,
}

impl<'p> Correlated<'p> {
    pub(super) fn of(pending: &'p PendingAuthorization) -> Self {
        let key = correlation(pending, pending.browser);
        Self { pending, key }
    }

    /// Decides about the request and stores its record. An identical request (a login that returns to the authorization path) is
    /// not logged as a second decision: the review would count the sign-in twice. Without a `state`, sign-ins of the same client
    /// are identical as well, so the violation of each request is logged.
    pub(super) async fn decide<T>(
        &self,
        exchange: &Exchange<'_>,
        fresh: &Fresh<'_>,
        subject: T,
        violation: Option<Violation>,
    ) -> Decided<T> {
        let (rule, about) = (fresh.rule, &fresh.about());
        if rule.mode == Mode::Enforce && violation.is_some() {
            return exchange.decide(rule, subject, violation, about);
        }
        fresh.note(exchange);
        match self.hold(exchange).await {
            Ok(Held::Again) => {
                let has_state = self.pending.state.as_str().is_some_and(|it| !it.is_empty());
                let violation = violation.filter(|_| !has_state);
                exchange.decide_on(rule, subject, violation, about)
            }
            Ok(Held::New | Held::Conflict | Held::Handle(_) | Held::Spilled(_)) => {
                exchange.decide(rule, subject, violation, about)
            }
            Err(error) => exchange.decide(rule, subject, Some(error.into()), about),
        }
    }

    /// The key of the sign-in that a form of the server continues. A server without PKCE writes all parameters into its consent
    /// form, except those of PKCE. A POST that repeats a recorded request without a challenge is therefore a continuation; its
    /// code is bound to the recorded challenge.
    pub(super) async fn goes_on(
        &self,
        exchange: &Exchange<'_>,
        method: &Method,
        fresh: &Fresh<'_>,
    ) -> Option<Digest> {
        let parsed = &fresh.parsed;
        let is_silent = parsed.code_challenge.is_none() && parsed.code_challenge_method.is_none();
        // The parameters in a request object are unknown.
        let has_object = parsed.request.is_some() || parsed.request_uri.is_some();
        if *method != Method::POST || !is_silent || has_object {
            return None;
        }
        let (pending, store) = (self.pending, exchange.store());
        let matches = |record: &PendingAuthorization| {
            let (of, asks) = (&record.application, &pending.application);
            record.challenge.is_some()
                && (of.client, of.redirect) == (asks.client, asks.redirect)
                && record.state == pending.state
                && of.response_type == asks.response_type
                && parsed.response_mode.is_none_or(|mode| of.has_mode(mode))
        };
        if let Ok(Pending::Live(record)) = store.pending(&self.key.into()).await {
            return matches(&record).then_some(self.key);
        }
        // A sign-in that began before cookies were set has no browser in its key.
        let key = correlation(pending, None);
        match store.pending(&key.into()).await {
            Ok(Pending::Live(record)) if record.browser.is_none() && matches(&record) => Some(key),
            _ => None,
        }
    }

    /// Stores the record. If the browser has the gate's cookie, the key includes it: an attacker who knows the state cannot get
    /// the same key.
    ///
    /// Under `browser_binding = "soft"` a second record has a key without the cookie: the sign-in may end in another browser (a
    /// link in a mail), or the browser may drop cookies. There is no second record if the state is absent or short enough to
    /// guess: the gate would take an attacker's own code for the response to it.
    pub(super) async fn hold(&self, exchange: &Exchange<'_>) -> Result<Held, StoreError> {
        /// The shortest state, in bytes, that counts as unguessable: 96 bits in base64url.
        const UNGUESSABLE: usize = 16;
        let (store, pending, network) = (exchange.store(), self.pending, exchange.network());
        let held = store
            .hold(Place::Digest(self.key), pending, network)
            .await?;
        let is_soft = exchange.site.settings.browser_binding == BrowserBinding::Soft;
        let state = pending.state.as_str().unwrap_or_default();
        let is_elsewhere = is_soft && pending.browser.is_some() && state.len() >= UNGUESSABLE;
        if is_elsewhere && !matches!(held, Held::Again) {
            let place = Place::Digest(correlation(pending, None));
            store.hold(place, pending, network).await?;
        }
        Ok(held)
    }
}

fn correlation(pending: &PendingAuthorization, browser: Option<Digest>) -> Digest {
    let target = pending.application.redirect.map(|redirect| redirect.target);
    bind::correlation(target, pending.state.as_str().unwrap_or_default(), browser)
}
