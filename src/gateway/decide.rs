//! Decisions: made by the mode of a rule, and told once. Nothing else tells of one.

use crate::oauth::{ClientId, redirect};
use crate::policy::{Decision, Rule, Verdict, Violation, apply};
use crate::telemetry::{Decided, Event};

use super::about::About;
use super::exchange::Exchange;
use super::received::Received;

impl Exchange<'_> {
    /// Turns a verdict into a decision by the mode of the rule, and tells it.
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

    /// The same about a request that goes on with what was decided before: only that something is wrong is told.
    pub(super) fn decide_on<T>(
        &self,
        rule: &Rule,
        verdict: Verdict<T>,
        about: About<'_>,
    ) -> Decision<T> {
        self.told_if_wrong(apply(rule.mode, verdict), about)
    }

    /// Decides about what cannot be read, by the rule of whom it may concern ([`super::concern`]).
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

    /// The same about a request. What it names is told.
    pub(super) fn decide_unreadable(
        &self,
        rule: &Rule,
        request: Received,
        violation: Violation,
    ) -> Decision<Received> {
        let names = request.names();
        self.decide_unread(rule, request, violation, names.about())
    }

    /// Records what is wrong where nothing is refused.
    pub(super) fn record(&self, rule: &Rule, violation: Violation, about: About<'_>) {
        drop(self.decide_unread(rule, (), violation, about));
    }

    /// What is refused in every mode: there is nothing that could be sent on, or the store cannot be asked.
    pub(super) fn refuse(&self, violation: &Violation, about: About<'_>) {
        self.tell(Decided::Refused, Some(violation), about);
    }

    /// What a stricter setting would refuse is told as such, and refused in no mode.
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
