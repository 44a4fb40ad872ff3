//! The sign-in that a carrier belongs to, and whether the carrier leads to its redirect URI.

use std::borrow::Cow;

use crate::answer::carrier::{Carried, Carrier};
use crate::answer::{Leads, OTHER_BROWSER, SignIn};
use crate::flow::{ClientState, Handle, Key, PendingAuthorization};
use crate::oauth::Digest;
use crate::oauth::redirect::{RedirectDigest, target_digest};
use crate::policy::{Rule, Violation};

use super::asked::{Asked, Unsafe, Whose};
use crate::gateway::browser;
use crate::gateway::exchange::Exchange;

/// The sign-in of a carrier.
pub(super) struct Belongs {
    /// The key of its record.
    pub(super) key: Key,
    /// The handle of its record. `None` under `codes = "upstream"`.
    pub(super) handle: Option<Handle>,
    /// Where the carrier leads.
    pub(super) leads: Leads,
    pub(super) whose: SignIn,
}

impl Belongs {
    pub(super) fn record(&self) -> Option<&PendingAuthorization> {
        match &self.whose {
            SignIn::Live(record) => Some(record),
            SignIn::None
            | SignIn::Several
            | SignIn::Ambiguous
            | SignIn::Dead
            | SignIn::Uncertain => None,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.record().is_some()
    }

    /// The rule that applies to the carrier. A dead handle may have belonged to any client, and a carrier that leads away from
    /// the redirect URI of its sign-in may concern any client: both get the strictest rule.
    pub(super) fn rule<'g>(&self, exchange: &Exchange<'g>, asked: &Asked<'_>) -> &'g Rule {
        let rules = exchange.rules();
        match &self.whose {
            SignIn::Live(record) if self.leads == Leads::Away => rules.stricter(
                asked.rule_of(exchange, record.application.client),
                exchange.strictest(),
            ),
            SignIn::Live(record) => asked.rule_of(exchange, record.application.client),
            SignIn::Dead | SignIn::Several | SignIn::Ambiguous if self.handle.is_some() => {
                exchange.strictest()
            }
            SignIn::Dead
            | SignIn::Several
            | SignIn::Ambiguous
            | SignIn::None
            | SignIn::Uncertain => rules.default_rule(),
        }
    }

    /// Whether the request was for another client with a stricter rule.
    pub(super) fn is_of_other_client(&self, exchange: &Exchange<'_>, asked: &Asked<'_>) -> bool {
        self.record().is_some_and(|record| {
            asked.rule_of(exchange, record.application.client)
                != exchange.rule(Some(record.application.client))
        })
    }

    /// The reason to refuse an answer of this sign-in.
    pub(super) fn unsafe_because<'g>(
        &self,
        exchange: &Exchange<'g>,
        asked: &Asked<'_>,
        why: &'static str,
    ) -> Unsafe<'g> {
        let has_sign_in = self.is_live() || self.handle.is_some();
        Unsafe {
            violation: Violation::UnboundCodeInResponse(why),
            // Only a sign-in with a handle is discarded: without one, the key consists of values that others may know.
            pending: self.record().and(self.handle.as_ref()).map(Key::from),
            rule: has_sign_in.then(|| self.rule(exchange, asked)),
            whose: self.record().map(|record| record.application.client).into(),
        }
    }

    /// The same for a carrier with a code that the server sends without a request: it belongs to no sign-in, and answers no request of
    /// one.
    pub(super) fn unsafe_code<'g>(
        &self,
        exchange: &Exchange<'g>,
        asked: &Asked<'_>,
        place: &dyn Carrier,
        carried: &Carried,
        why: &'static str,
    ) -> Unsafe<'g> {
        let found = self.unsafe_because(exchange, asked, why);
        let is_sent = matches!(self.whose, SignIn::None) && !carried.codes.is_empty();
        let leads_away = place.has_url() && self.leads == Leads::Away;
        if is_sent && leads_away && asked.own().is_none() {
            let whose = Whose::Unrequested(place.url().into());
            return Unsafe { whose, ..found };
        }
        found
    }

    /// The client's state, for the answer: that of the record, or the one that the browser has kept.
    pub(super) fn state<'r, 'g>(
        &self,
        exchange: &Exchange<'g>,
        asked: &Asked<'_>,
        record: &'r PendingAuthorization,
    ) -> Result<Cow<'r, ClientState>, Unsafe<'g>> {
        if record.state != ClientState::InCookie {
            return Ok(Cow::Borrowed(&record.state));
        }
        let kept = self.handle.as_ref().and_then(|handle| {
            let sealed = asked.sent.states.of(handle)?;
            exchange.store().spilled_state(handle, sealed)
        });
        kept.map(Cow::Owned).ok_or_else(|| Unsafe {
            violation: Violation::StateLost,
            // It can still end in the browser that began it.
            pending: None,
            ..self.unsafe_because(exchange, asked, "")
        })
    }

    /// Logs what `browser_binding = "hard"` would refuse here, unless it was logged for the request already.
    pub(super) fn foretell(&self, exchange: &Exchange<'_>, asked: &Asked<'_>) {
        let is_told = asked
            .handle
            .is_some_and(|sent| self.key.handle() == Some(sent));
        if let (Some(record), false) = (self.record(), is_told) {
            let violation = Violation::UnboundCodeInResponse(OTHER_BROWSER);
            browser::foretell(exchange, record, self.rule(exchange, asked), violation);
        }
    }
}

/// Whether a carrier leads to this redirect URI, in any form that [`targets`] lists.
pub(super) fn is_target(
    exchange: &Exchange<'_>,
    redirect: RedirectDigest,
    place: &dyn Carrier,
    leads: Leads,
) -> bool {
    let targets = targets(exchange, place, leads);
    targets.contains(&redirect.target)
}

/// The target of a carrier in every form that the redirect URI of its sign-in may have: as written, and at the server's own
/// origin also in the form that [`Origins::own_target`](crate::answer::origins::Origins::own_target) makes of it.
pub(super) fn targets(exchange: &Exchange<'_>, place: &dyn Carrier, leads: Leads) -> Vec<Digest> {
    let target = place.target();
    let own = (leads == Leads::Home).then(|| exchange.site.origins.own_target(&target));
    let own = own.flatten().map(|own| target_digest(&own));
    let mut targets = vec![target_digest(&target)];
    targets.extend(own.filter(|own| !targets.contains(own)));
    targets
}
