//! Judges a redemption and claims its code.

use std::borrow::Cow;

use crate::flow::{BoundCode, Key, Purpose};
use crate::gateway::exchange::Exchange;
use crate::gateway::hints;
use crate::gateway::subject::About;
use crate::oauth::{CodeChallenge, CodeChallengeMethod, CodeKind, Digest, Redemption};
use crate::policy::redeem::{self, Found};
use crate::policy::{Hint, Rule, Violation};
use crate::store::{Claim, Redeemed};
use crate::telemetry::Step;

/// The verdict on a redemption, with the claim unless it is refused.
pub(super) struct Judged<'g> {
    pub(super) rule: &'g Rule,
    pub(super) violation: Option<Violation>,
    pub(super) claim: Option<Claim>,
    /// The client that the code was issued to, if known.
    owner: Option<Digest>,
    /// The challenge method of its sign-in.
    method: Option<CodeChallengeMethod>,
    /// Whether the gate cannot tell to which sign-in the code belongs.
    is_uncertain: bool,
    /// The hint for the log.
    hint: Option<Hint>,
}

impl Judged<'_> {
    /// The client is the one that the code was issued to, if the request names none.
    pub(super) fn about<'r>(
        &self,
        exchange: &Exchange<'_>,
        redemption: &'r Redemption<'_>,
    ) -> About<'r> {
        let client = match (&redemption.client, self.owner) {
            (Some(named), _) => Some(Cow::Borrowed(named.id())),
            (None, Some(owner)) => exchange.site.state.client_name(owner).map(Cow::Owned),
            (None, None) => None,
        };
        About {
            client,
            redirect_uri: redemption.redirect_uri.map(Cow::Borrowed),
            method: self.method,
            keeps_code: false,
            step: match redemption.code.kind() {
                // A device asks again and again.
                CodeKind::Device if self.violation.is_none() => Step::Other,
                CodeKind::Authorization | CodeKind::Device | CodeKind::PushedRequest => {
                    Step::Redeems
                }
            },
            is_uncertain: self.is_uncertain,
            hint: self.hint,
        }
    }
}

/// Judges the request by the stricter of two rules: that of the client that it names, and that of the client that the code was
/// issued to. Claims the code unless the request is refused. Both happen in one store operation, so that a refused request does
/// not block another one.
pub(super) async fn judge<'g>(
    exchange: &Exchange<'g>,
    redemption: &Redemption<'_>,
    key: &Key,
) -> Judged<'g> {
    let rules = exchange.rules();
    let named = exchange.rule_of_identity(redemption.client.as_ref());
    let strictest = || named.stricter(exchange.strictest());
    let of = |owner| match owner {
        Some(owner) => rules.stricter(named, exchange.rule(Some(owner))),
        // The code may belong to any client. This includes a code that the server may read differently than the gate.
        None if redemption.client.is_none() || !redemption.code.is_plain() => strictest(),
        None => named,
    };
    // The caller logs the decision: the store may call this closure more than once.
    let mut judged = None;
    let redeemed = exchange.store().redeem(key, |bound| {
        let rule = of(Some(bound.application.client));
        let violation = redeem::judge(rule, redemption, Found::Live(bound)).err();
        let method = bound.challenge().map(CodeChallenge::method);
        let hint = hints::of_redemption(exchange, rule, redemption, bound, violation.as_ref());
        judged = Some((rule, violation.clone(), method, hint));
        redeem::presented(rule.mode, bound, violation)
    });
    let without_claim = |rule: &'g Rule, violation: Option<Violation>, owner| Judged {
        rule,
        violation,
        claim: None,
        owner,
        method: None,
        is_uncertain: false,
        hint: None,
    };
    let dead = |gone, owner| {
        let rule = of(owner);
        let violation = redeem::judge(rule, redemption, Found::Gone(gone)).err();
        let hint = BoundCode::decoy().and_then(|decoy| {
            hints::of_redemption(exchange, rule, redemption, decoy, violation.as_ref())
        });
        Judged {
            hint,
            ..without_claim(rule, violation, owner)
        }
    };
    match (redeemed.await, judged) {
        (Ok(Redeemed::Claimed(claim)), Some((rule, violation, method, hint))) => {
            let owner = Some(claim.bound().application.client);
            Judged {
                claim: Some(claim),
                method,
                hint,
                ..without_claim(rule, violation, owner)
            }
        }
        (Ok(Redeemed::Mismatch(owner)), Some((rule, violation, method, hint))) => Judged {
            method,
            hint,
            ..without_claim(rule, violation, Some(owner))
        },
        (Ok(Redeemed::AlreadyRedeemed(owner)), _) => dead(Violation::ReplayedCode, Some(owner)),
        (Ok(Redeemed::Burnt(owner)), _) => dead(Violation::BurntCode, Some(owner)),
        (Ok(Redeemed::Expired(owner)), _) => dead(Violation::ExpiredCode, owner),
        // An observed client gets no cookie, which would have distinguished its sign-ins.
        (Ok(Redeemed::Unknown(None)), _)
            if !named.may_change_requests() && exchange.site.state.is_uncertain(key.digest()) =>
        {
            let judged = redeem::judge(named, redemption, Found::Uncertain);
            Judged {
                is_uncertain: true,
                ..without_claim(named, judged.err(), None)
            }
        }
        (Ok(Redeemed::Unknown(owner)), _) => dead(Violation::UnknownCode, owner),
        // The store failed, or answered without calling the closure. The owner of the code is unknown.
        (Ok(Redeemed::Claimed(_) | Redeemed::Mismatch(_)), None) | (Err(_), _) => {
            without_claim(strictest(), Some(Violation::StoreUnavailable), None)
        }
    }
}

/// The key of the code in the store: of a handle, or of the upstream's own code.
pub(super) fn key(exchange: &Exchange<'_>, redemption: &Redemption<'_>) -> Key {
    let (key, code) = (&exchange.site.state.key, &redemption.code);
    let purpose = Purpose::from(code.kind());
    let handle = key.recognise(purpose, code.expose());
    handle.map_or_else(|| code.digest().into(), Key::Handle)
}
