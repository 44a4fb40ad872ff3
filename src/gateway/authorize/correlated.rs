//! Requests whose values travel unchanged.

use http::Method;

use crate::flow::PendingAuthorization;
use crate::gateway::bind;
use crate::gateway::exchange::Exchange;
use crate::gateway::settings::BrowserBinding;
use crate::oauth::Digest;
use crate::policy::{Decision, Mode, Verdict};
use crate::store::{Held, Network, Pending, Place, StoreError};

use super::parsed::Fresh;

/// A request whose values travel unchanged, and under what it is found again.
pub(super) struct Correlated<'p> {
    pending: &'p PendingAuthorization,
    pub(super) key: Digest,
    network: Option<Network>,
}

impl<'p> Correlated<'p> {
    pub(super) fn of(pending: &'p PendingAuthorization, network: Option<Network>) -> Self {
        Self {
            pending,
            key: correlation(pending, pending.browser),
            network,
        }
    }

    /// Decides about the request, and holds it. The same request once more (a login that comes back to the authorization path) is no
    /// second decision.
    pub(super) async fn decide<T>(
        &self,
        exchange: &Exchange<'_>,
        fresh: &Fresh<'_>,
        verdict: Verdict<T>,
    ) -> Decision<T> {
        let (rule, about) = (fresh.rule, fresh.about());
        if rule.mode == Mode::Enforce && verdict.violation.is_some() {
            return exchange.decide(rule, verdict, about);
        }
        fresh.note(exchange);
        match self.hold(exchange).await {
            Ok(Held::Again) => exchange.decide_on(rule, verdict, about),
            Ok(Held::New | Held::Conflict | Held::Handle(_)) => {
                exchange.decide(rule, verdict, about)
            }
            Err(error) => {
                let violation = Some(error.into());
                let subject = verdict.subject;
                exchange.decide(rule, Verdict { subject, violation }, about)
            }
        }
    }

    /// The key of the sign-in that a form of the server's own goes on with: a server that knows nothing of PKCE writes a consent
    /// with all parameters but those. The form says what the sign-in began with, and brings no challenge; what comes of it is bound
    /// to the one that is there.
    pub(super) async fn goes_on(
        &self,
        exchange: &Exchange<'_>,
        method: &Method,
        fresh: &Fresh<'_>,
    ) -> Option<Digest> {
        let parsed = &fresh.parsed;
        let is_silent = parsed.code_challenge.is_none() && parsed.code_challenge_method.is_none();
        // An object may say anything.
        let has_object = parsed.request.is_some() || parsed.request_uri.is_some();
        if *method != Method::POST || !is_silent || has_object {
            return None;
        }
        let (pending, store) = (self.pending, &exchange.site.state.store);
        let is_its = |record: &PendingAuthorization| {
            record.challenge.is_some()
                && (record.client, record.redirect) == (pending.client, pending.redirect)
                && record.state == pending.state
                && record.response_type == pending.response_type
                && parsed
                    .response_mode
                    .is_none_or(|mode| record.has_mode(mode))
        };
        if let Ok(Pending::Live(record)) = store.pending(self.key).await {
            return is_its(&record).then_some(self.key);
        }
        // One that began when no cookie was set is still found without.
        let key = correlation(pending, None);
        match store.pending(key).await {
            Ok(Pending::Live(record)) if record.browser.is_none() && is_its(&record) => Some(key),
            _ => None,
        }
    }

    /// Under the browser's cookie, where it has one: a stranger who knows the state cannot get in between. Under `soft` a sign-in is
    /// found without the cookie, too, unless there is a stranger's: it may end in another browser (a link in a mail), and a browser
    /// may keep no cookies. Not under a state that can be guessed, or none: a stranger's own code would be taken for the answer.
    async fn hold(&self, exchange: &Exchange<'_>) -> Result<Held, StoreError> {
        /// Bytes of a state that is not guessed: 96 bits in base64url.
        const UNGUESSABLE: usize = 16;
        let (store, pending) = (&exchange.site.state.store, self.pending);
        let held = store
            .hold(Place::Digest(self.key), pending, self.network)
            .await?;
        let is_soft = exchange.site.settings.browser_binding == BrowserBinding::Soft;
        let state = pending.state.as_str().unwrap_or_default();
        let is_elsewhere = is_soft && pending.browser.is_some() && state.len() >= UNGUESSABLE;
        if is_elsewhere && !matches!(held, Held::Again) {
            let place = Place::Digest(correlation(pending, None));
            store.hold(place, pending, self.network).await?;
        }
        Ok(held)
    }
}

fn correlation(pending: &PendingAuthorization, browser: Option<Digest>) -> Digest {
    let target = pending.redirect.map(|redirect| redirect.target());
    bind::correlation(target, pending.state.as_str().unwrap_or_default(), browser)
}
