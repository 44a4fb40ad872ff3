//! Makes a decision from a verdict and the mode of a rule, and logs it once. No other module logs decisions.

use crate::oauth::{ClientId, redirect};
use crate::policy::{Decision, Rule, Verdict, Violation, apply};
use crate::telemetry::{Decided, Event};

use super::exchange::Exchange;
use super::received::Received;
use super::subject::About;

impl Exchange<'_> {
    /// Turns a verdict into a decision by the mode of the rule, and logs it.
    pub(super) fn decide<T>(
        &self,
        rule: &Rule,
        verdict: Verdict<T>,
        about: About<'_>,
    ) -> Decision<T> {
        let decision = apply(rule.mode, verdict);
        if let Decision::Allow(_) = &decision {
            self.tell(Decided::Allowed, None, about);
        }
        self.told_if_wrong(decision, about)
    }

    /// The same for a request that continues an earlier one: only a violation is logged.
    pub(super) fn decide_on<T>(
        &self,
        rule: &Rule,
        verdict: Verdict<T>,
        about: About<'_>,
    ) -> Decision<T> {
        self.told_if_wrong(apply(rule.mode, verdict), about)
    }

    /// Decides about a violation, by the rule of the clients that it may concern ([`super::concern`]).
    pub(super) fn decide_unread<T>(
        &self,
        rule: &Rule,
        subject: T,
        violation: Violation,
        about: About<'_>,
    ) -> Decision<T> {
        let verdict = Verdict {
            subject,
            violation: Some(violation),
        };
        self.decide(rule, verdict, about)
    }

    /// The same for a request. The log gets the names in it.
    pub(super) fn decide_unreadable(
        &self,
        rule: &Rule,
        request: Received,
        violation: Violation,
    ) -> Decision<Received> {
        let names = request.names();
        self.decide_unread(rule, request, violation, names.about())
    }

    /// Logs a violation of a request that is not refused.
    pub(super) fn record(&self, rule: &Rule, violation: Violation, about: About<'_>) {
        drop(self.decide_unread(rule, (), violation, about));
    }

    /// Logs a refusal that is independent of the mode: the request cannot be forwarded, or the store failed.
    pub(super) fn refuse(&self, violation: &Violation, about: About<'_>) {
        self.tell(Decided::Refused, Some(violation), about);
    }

    /// Logs what a stricter setting would refuse. Nothing is refused, whatever the mode.
    pub(super) fn foretell(&self, rule: &Rule, violation: Violation, about: About<'_>) {
        let verdict = Verdict {
            subject: (),
            violation: Some(violation),
        };
        match apply(rule.mode, verdict) {
            Decision::Allow(_) => {}
            Decision::Report(_, violation) | Decision::Refuse((), violation) => {
                self.tell(Decided::Reported, Some(&violation), about);
            }
        }
    }

    fn told_if_wrong<T>(&self, decision: Decision<T>, about: About<'_>) -> Decision<T> {
        match &decision {
            Decision::Allow(_) => {}
            Decision::Report(_, violation) => self.tell(Decided::Reported, Some(violation), about),
            Decision::Refuse(_, violation) => self.tell(Decided::Refused, Some(violation), about),
        }
        decision
    }

    fn tell(&self, decided: Decided, violation: Option<&Violation>, about: About<'_>) {
        if let (Some(access), Some(client)) = (self.access(), about.client) {
            access.names(client);
        }
        let node = self.node();
        let forwarded = node.client().map(|client| client.to_string());
        let peer = forwarded.as_deref();
        self.shared.telemetry().tell(&Event::Decision {
            request: self.id,
            upstream: &self.site.state.telemetry,
            endpoint: self.kind(),
            decided,
            violation,
            client: about.client.map(ClientId::as_str),
            method: about.method,
            redirect_origin: about.redirect_uri.and_then(redirect::origin),
            peer: peer.unwrap_or_else(|| node.as_str()),
        });
    }
}
