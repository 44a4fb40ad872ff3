//! Hints on requests, for the log: what a request says, and what the gate remembers of recent sign-ins.

use crate::flow::{BoundCode, PendingAuthorization};
use crate::oauth::{AuthorizationRequest, CodeChallenge, CodeVerifier, DirectRequest, Redemption};
use crate::policy::hint::SignIn;
use crate::policy::{Hint, Mode, Rule, Violation};

use super::exchange::Exchange;

/// The verdict on the challenge of a request.
pub(super) type Verdict = Result<Option<CodeChallenge>, Violation>;

/// The hint on a fresh authorization request. Remembers the challenge of an allowed one.
pub(super) fn of_sign_in(
    exchange: &Exchange<'_>,
    rule: &Rule,
    request: &AuthorizationRequest<'_>,
    verdict: &Verdict,
    record: &PendingAuthorization,
) -> Option<Hint> {
    let sent = (request.code_challenge, request.code_challenge_method);
    let hint = of_verdict(rule, verdict, sent.0, sent.1);
    let challenge = match verdict {
        Ok(Some(challenge)) if rule.mode != Mode::Off => challenge,
        Ok(_) | Err(_) => return hint,
    };
    let challenges = &exchange.site.state.challenges;
    let now = SignIn {
        client: record.application.client,
        state: record.state.as_str().map(|state| challenges.hash(state)),
    };
    let before = challenges.note(challenge, now);
    // That the challenge is public explains more than that it was sent before.
    hint.or_else(|| Hint::of_repetition(before?, now))
}

/// The hint on a request that gets its code in JSON.
pub(super) fn of_direct_request(
    rule: &Rule,
    request: &DirectRequest<'_>,
    verdict: &Verdict,
) -> Option<Hint> {
    let (challenge, method) = (request.code_challenge, request.code_challenge_method);
    of_verdict(rule, verdict, challenge, method)
}

/// The hint on the verdict about a challenge.
pub(super) fn of_verdict(
    rule: &Rule,
    verdict: &Verdict,
    challenge: Option<&str>,
    method: Option<&str>,
) -> Option<Hint> {
    match verdict {
        _ if rule.mode == Mode::Off => None,
        Ok(accepted) => accepted.as_ref().and_then(Hint::of_challenge),
        Err(violation) => Hint::of_violation(violation, challenge, method),
    }
}

/// The hint on a redemption, judged with this record: that of the code, or the decoy for a dead code. For the log only, except
/// [`Hint::of_verifier`], which is made again for the answer.
///
/// A request that is refused is compared with the record whatever the reason is, so that the time of a refusal does not show it.
pub(super) fn of_redemption(
    exchange: &Exchange<'_>,
    rule: &Rule,
    redemption: &Redemption<'_>,
    bound: &BoundCode,
    violation: Option<&Violation>,
) -> Option<Hint> {
    if rule.mode == Mode::Off {
        return None;
    }
    let sent = redemption.code_verifier?;
    if let Some(hint) = Hint::of_verifier(sent) {
        return Some(hint);
    }
    let challenge = bound.challenge()?;
    let challenges = &exchange.site.state.challenges;
    let is_own = |sign_in: &SignIn| sign_in.client == bound.application.client;
    let state = challenges.hash(sent.expose());
    let sign_in = challenges.find(challenge).filter(is_own);
    let is_state = sign_in.is_some_and(|sign_in| sign_in.state == Some(state));
    let is_state = is_state.then_some(Hint::VerifierIsState);
    let Some(violation) = violation else {
        return is_state;
    };
    let verifier = CodeVerifier::parse(sent.expose(), rule.verifier_max).ok()?;
    let is_challenge = Hint::of_mismatch(challenge, &verifier);
    let other = challenges.find(&verifier.challenge()).filter(is_own);
    let is_of_other = other.map(|_| Hint::VerifierOfOtherSignIn);
    let hint = is_challenge.or(is_state).or(is_of_other);
    hint.filter(|_| *violation == Violation::VerifierMismatch)
}
