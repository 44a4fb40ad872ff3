//! Makes a decision from a verdict and the mode of a rule, and logs it once. No other module logs decisions.

use crate::oauth::{ClientId, Endpoint, redirect};
use crate::policy::{Cleared, Decision, Hint, Rule, Violation, apply};
use crate::telemetry::{self, Event, Step};

use super::exchange::Exchange;
use super::received::Received;
use super::subject::About;

/// A request that may be forwarded, or a refused one and the reason.
pub(super) type Decided<T> = Result<Cleared<T>, (T, Violation)>;

impl Exchange<'_> {
    /// Decides by the mode of the rule, and logs the decision.
    pub(super) fn decide<T>(
        &self,
        rule: &Rule,
        subject: T,
        violation: Option<Violation>,
        about: &About<'_>,
    ) -> Decided<T> {
        let decision = apply(rule.mode, subject, violation);
        if let Decision::Allow(_) = &decision {
            self.tell(telemetry::Decided::Allowed, None, about);
        }
        self.told_if_wrong(decision, about)
    }

    /// The same for a request that continues an earlier one: only a violation is logged.
    pub(super) fn decide_on<T>(
        &self,
        rule: &Rule,
        subject: T,
        violation: Option<Violation>,
        about: &About<'_>,
    ) -> Decided<T> {
        self.told_if_wrong(apply(rule.mode, subject, violation), about)
    }

    /// Decides about a request that cannot be read, by the rule of the clients that it may concern ([`super::concern`]). The log
    /// gets the names in it.
    pub(super) fn decide_unreadable(
        &self,
        rule: &Rule,
        request: Received,
        violation: Violation,
    ) -> Decided<Received> {
        let names = self.about_unreadable(&request);
        self.decide(rule, request, Some(violation), &names)
    }

    /// The subject of a decision about a request that cannot be read.
    pub(super) fn about_unreadable(&self, request: &Received) -> About<'static> {
        About {
            step: match self.caller.kind {
                Endpoint::Authorization
                | Endpoint::PushedAuthorizationRequest
                | Endpoint::DeviceAuthorization
                | Endpoint::AuthorizationChallenge => Step::Begins,
                Endpoint::Token | Endpoint::Metadata | Endpoint::Other => Step::Other,
            },
            ..request.names()
        }
    }

    /// Logs a violation of a request that is not refused.
    pub(super) fn record(&self, rule: &Rule, violation: Violation, about: &About<'_>) {
        drop(self.decide(rule, (), Some(violation), about));
    }

    /// Logs a refusal that is independent of the mode: the request cannot be forwarded, or the store failed.
    pub(super) fn refuse(&self, violation: &Violation, about: &About<'_>) {
        self.tell(telemetry::Decided::Refused, Some(violation), about);
    }

    /// Logs what a stricter setting would refuse. Nothing is refused, whatever the mode.
    pub(super) fn foretell(&self, rule: &Rule, violation: Violation, about: &About<'_>) {
        match apply(rule.mode, (), Some(violation)) {
            Decision::Allow(_) => {}
            Decision::Report(_, violation) | Decision::Refuse((), violation) => {
                self.tell(telemetry::Decided::Reported, Some(&violation), about);
            }
        }
    }

    fn told_if_wrong<T>(&self, decision: Decision<T>, about: &About<'_>) -> Decided<T> {
        match decision {
            Decision::Allow(cleared) => Ok(cleared),
            Decision::Report(cleared, violation) => {
                self.tell(telemetry::Decided::Reported, Some(&violation), about);
                Ok(cleared)
            }
            Decision::Refuse(subject, violation) => {
                self.refuse(&violation, about);
                Err((subject, violation))
            }
        }
    }

    fn tell(&self, decided: telemetry::Decided, violation: Option<&Violation>, about: &About<'_>) {
        if let (Some(access), Some(client)) = (&self.access, about.client.as_deref()) {
            access.names(client);
        }
        let node = self.caller.node;
        let forwarded = node.client().map(|client| client.to_string());
        let peer = forwarded.as_deref();
        self.shared.telemetry.tell(&Event::Decision {
            request: self.id,
            upstream: &self.site.state.telemetry,
            endpoint: self.caller.kind,
            step: about.step,
            decided,
            violation,
            client: about.client.as_deref().map(ClientId::as_str),
            method: about.method,
            redirect_origin: about.redirect_uri.as_deref().and_then(redirect::origin),
            codes: about.keeps_code.then_some("upstream"),
            is_uncertain: about.is_uncertain,
            hint: about.hint.map(Hint::code),
            peer: peer.unwrap_or_else(|| node.as_str()),
        });
    }
}
