//! A fresh authorization request, parsed, and the record that is made from it.

use std::borrow::Cow;
use std::sync::Arc;

use crate::flow::submission::{Doubt, Part};
use crate::flow::{Application, PendingAuthorization, Submission};
use crate::gateway::exchange::Exchange;
use crate::gateway::hints;
use crate::gateway::subject::About;
use crate::oauth::{
    AuthorizationRequest, ClientId, ClientIdentity, CodeChallenge, CodeChallengeMethod, Digest,
    Params, RedirectUri, ResponseType, request_object,
};
use crate::policy::{Hint, Rule, Violation, authorize};
use crate::telemetry::Step;

/// A fresh request and the rule that judges it.
#[derive(Debug)]
pub(super) struct Fresh<'s> {
    pub(super) submission: &'s Submission<'s>,
    pub(super) part: Part,
    pub(super) parsed: AuthorizationRequest<'s>,
    pub(super) client: Option<ClientId>,
    pub(super) rule: &'s Rule,
    /// The hint for the log, once the request is judged.
    pub(super) hint: Option<Hint>,
}

impl<'s> Fresh<'s> {
    pub(super) fn read(
        exchange: &Exchange<'s>,
        submission: &'s Submission<'s>,
        part: Part,
    ) -> Result<Self, Doubt> {
        let parsed = submission.request(part)?;
        let client = parsed.client_id.map(ClientId::new);
        let own = exchange.rule_of(client.as_ref());
        let rule = rule_of(&parsed, own, || exchange.strictest());
        Ok(Self {
            submission,
            part,
            parsed,
            client,
            rule,
            hint: None,
        })
    }

    pub(super) fn judge(&self) -> Result<Option<CodeChallenge>, Violation> {
        authorize::judge(self.rule, &self.parsed)
    }

    pub(super) fn about(&self) -> About<'_> {
        About {
            client: self.client.as_ref().map(Cow::Borrowed),
            redirect_uri: self.parsed.redirect_uri.map(Cow::Borrowed),
            method: self.method(),
            keeps_code: self.rule.uses_handles() && !self.uses_handles(),
            step: Step::Begins,
            is_uncertain: false,
            hint: self.hint,
        }
    }

    /// Whether handles replace the values of this request.
    pub(super) fn uses_handles(&self) -> bool {
        // Only a response type of several words can hash its code.
        let is_plain = self
            .parsed
            .response_type
            .is_none_or(|kind| !kind.contains(' '));
        if is_plain {
            self.rule.uses_handles()
        } else {
            self.rule.uses_handles_for(&self.response_type())
        }
    }

    /// The method of the challenge, if there is a challenge.
    fn method(&self) -> Option<CodeChallengeMethod> {
        self.parsed.code_challenge?;
        CodeChallengeMethod::parse(self.parsed.code_challenge_method)
    }

    /// The record of the request.
    pub(super) fn pending(
        &self,
        judged: &Result<Option<CodeChallenge>, Violation>,
        browser: Option<Digest>,
    ) -> PendingAuthorization {
        let parsed = &self.parsed;
        PendingAuthorization {
            own: None,
            application: Arc::new(Application {
                client: match &self.client {
                    Some(client) => client.digest(),
                    None => ClientId::new("").digest(),
                },
                redirect: parsed
                    .redirect_uri
                    .map(|uri| RedirectUri::new(uri).digest()),
                response_type: parsed.response_type.map(Into::into),
                response_mode: parsed.response_mode.map(Into::into),
                pushed: None,
            }),
            challenge: match judged {
                Ok(accepted) => accepted.clone(),
                Err(_) => {
                    let (challenge, method) = (parsed.code_challenge, parsed.code_challenge_method);
                    authorize::recorded(self.rule, challenge, method)
                }
            },
            state: self.submission.client_state(self.part),
            browser,
        }
    }

    /// Looks for a hint, once for each request.
    pub(super) fn take_hint(
        &mut self,
        exchange: &Exchange<'_>,
        judged: &Result<Option<CodeChallenge>, Violation>,
        record: &PendingAuthorization,
    ) {
        self.hint = hints::of_sign_in(exchange, self.rule, &self.parsed, judged, record);
    }

    /// The hint on a violation, for the client.
    pub(super) fn hint_on(&self, violation: &Violation) -> Option<Hint> {
        let (challenge, method) = (
            self.parsed.code_challenge,
            self.parsed.code_challenge_method,
        );
        Hint::of_violation(violation, challenge, method)
    }

    /// Remembers the client's name and its redirect URI.
    pub(super) fn note(&self, exchange: &Exchange<'_>) {
        if let Some(client) = &self.client {
            exchange.site.state.note_client(client);
        }
        if let Some(uri) = self.parsed.redirect_uri {
            exchange.site.state.note_redirect(&RedirectUri::new(uri));
        }
    }

    pub(super) fn response_type(&self) -> ResponseType {
        ResponseType::parse(self.parsed.response_type.unwrap_or_default())
    }
}

/// The rule that judges a request whose client has the rule `own`. A request object may name any client.
pub(super) fn rule_of<'r>(
    parsed: &AuthorizationRequest<'_>,
    own: &'r Rule,
    strictest: impl FnOnce() -> &'r Rule,
) -> &'r Rule {
    if parsed.request.is_some() || parsed.request_uri.is_some() {
        own.stricter(strictest())
    } else {
        own
    }
}

/// The form of a request whose parameters are in a request object, if the rule of its client allows that (`request_objects`). The
/// request itself is forwarded as it came, because the gate cannot change what the client has signed.
pub(super) fn unwrapped(
    exchange: &Exchange<'_>,
    submission: &Submission<'_>,
    part: Part,
    pushed_by: Option<&ClientIdentity>,
) -> Result<Option<Vec<u8>>, Doubt> {
    if !submission.part(part).contains("request") {
        return Ok(None);
    }
    let parsed = submission.request(part)?;
    let rule = match pushed_by {
        Some(_) => exchange.rule_of_identity(pushed_by),
        None => exchange.rule_of(parsed.client_id.map(ClientId::new).as_ref()),
    };
    content(rule, &parsed, submission.part(part), pushed_by.is_some())
}

/// The same by the rule of the client. `params`: the part of the request with the request object.
pub(super) fn content(
    rule: &Rule,
    parsed: &AuthorizationRequest<'_>,
    params: &Params<'_>,
    is_pushed: bool,
) -> Result<Option<Vec<u8>>, Doubt> {
    match (parsed.request, parsed.request_uri) {
        (Some(object), None) if rule.reads_request_objects && !rule.uses_handles() => {
            Ok(Some(request_object::read(object, params, is_pushed)?))
        }
        _ => Ok(None),
    }
}
