//! Judges a redemption: a token request with a code.
//!
//! The rules are checked in this order; the first that fails is the verdict:
//!
//! 1. The grant is allowed, if grants are listed. (A request with a code is a redemption, whatever its grant.)
//! 2. The gate issued the code, and it is not expired, redeemed or being redeemed (RFC 6749 section 4.1.2). A device code
//!    (RFC 8628) is never an authorization code, and the other way round.
//! 3. The client is the one that began the flow (RFC 6749 section 4.1.3).
//! 4. `redirect_uri` is equal to that of the authorization request, byte for byte (RFC 6749 section 4.1.3).
//! 5. The verifier matches the challenge, in all four combinations of absence (RFC 7636 section 4.6, RFC 9700 section 2.1.1). No
//!    check is skipped because a value is absent.

use std::sync::Arc;

use crate::flow::{Application, BoundCode, ClientState, PendingAuthorization, Presented};
use crate::oauth::{CodeChallenge, CodeVerifier, Digest, ErrorCode, Redemption, RedirectUri};

use super::{Decision, Mode, Rule, Violation, apply};

/// The state of the code in the store.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// It may be redeemed.
    Live(&'a BoundCode),
    /// It cannot be redeemed, for this reason.
    Gone(Violation),
    /// It was issued, but its sign-in is uncertain. Only the request itself can be judged.
    Uncertain,
}

/// Judges a redemption by the rule of its client.
pub(crate) fn judge(
    rule: &Rule,
    redemption: &Redemption<'_>,
    found: Found<'_>,
) -> Result<(), Violation> {
    grant(rule, redemption.grant_type)?;
    let decoy = BoundCode::decoy();
    let (bound, alive) = match found {
        Found::Uncertain => return without_code(rule, redemption),
        Found::Live(bound) => (bound, Ok(())),
        Found::Gone(gone) => (decoy.ok_or_else(|| gone.clone())?, Err(gone)),
    };
    // All comparisons are made, for a dead code with a decoy, so that the time of a refusal does not show which check failed.
    let client = redemption
        .client
        .as_ref()
        .is_some_and(|client| client.may_be(bound.application.client));
    let redirect = match (bound.application.redirect, redemption.redirect_uri) {
        (Some(recorded), Some(sent)) => recorded.is(sent),
        (Some(_), None) => false,
        // The authorization request named none. The upstream knows the only registered one, and compares it itself.
        (None, Some(_) | None) => true,
    };
    let verifier = verifier(rule, redemption, bound);
    alive?;
    // The store keeps them apart already.
    if bound.code.kind() != redemption.code.kind() {
        return Err(Violation::UnknownCode);
    }
    if !client {
        return Err(Violation::ClientMismatch);
    }
    if !redirect {
        return Err(Violation::RedirectMismatch);
    }
    verifier
}

/// Judges a redemption by the request alone: the verdict if its code is alive and belongs to the sign-in that fits the request best.
/// Whatever the code is, a request that this refuses is refused.
pub(crate) fn at_best(rule: &Rule, redemption: &Redemption<'_>) -> Result<(), Violation> {
    let client = redemption.client.as_ref();
    let none = || Digest::from_bytes([0; 16]);
    let redirect = redemption
        .redirect_uri
        .map(|uri| RedirectUri::new(uri).digest());
    let verifier = redemption
        .code_verifier
        .map(|verifier| CodeVerifier::parse(verifier.expose(), rule.verifier_max));
    let fitting = PendingAuthorization {
        application: Arc::new(Application {
            client: client.map_or_else(none, |client| client.id().digest()),
            redirect,
            response_type: None,
            response_mode: None,
            pushed: None,
        }),
        challenge: match verifier {
            Some(Ok(verifier)) => Some(verifier.challenge()),
            None if !rule.challenge_required => None,
            Some(Err(_)) | None => Some(CodeChallenge::S256([0; 32])),
        },
        own: None,
        state: ClientState::Absent,
        browser: None,
    };
    judge(
        rule,
        redemption,
        Found::Live(&fitting.bind(redemption.code.clone())),
    )
}

/// What [`at_best`] checks, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    Grant,
    Client,
    Verifier,
}

/// The verdict of every check. The first violation is that of [`at_best`].
pub(crate) fn each(
    rule: &Rule,
    redemption: &Redemption<'_>,
) -> [(Check, Result<(), Violation>); 3] {
    let client = match redemption.client {
        Some(_) => Ok(()),
        None => Err(Violation::ClientMismatch),
    };
    [
        (Check::Grant, grant(rule, redemption.grant_type)),
        (Check::Client, client),
        (Check::Verifier, without_code(rule, redemption)),
    ]
}

/// Judges a request without a code.
pub(crate) fn other_grant(rule: &Rule, grant_type: Option<&str>) -> Result<(), Violation> {
    if grant_type == Some("authorization_code") {
        return Err(Violation::malformed("code is missing"));
    }
    grant(rule, grant_type)
}

/// Judges a redemption without its code: a verifier must be present, whatever the challenge is.
fn without_code(rule: &Rule, redemption: &Redemption<'_>) -> Result<(), Violation> {
    match redemption.code_verifier {
        None if rule.challenge_required => Err(Violation::MissingVerifier),
        None => Ok(()),
        Some(verifier) => CodeVerifier::parse(verifier.expose(), rule.verifier_max)
            .map(drop)
            .map_err(Violation::MalformedVerifier),
    }
}

/// Rule 1. Applies to other grants, too.
pub(crate) fn grant(rule: &Rule, grant_type: Option<&str>) -> Result<(), Violation> {
    let allowed = rule.grants.is_empty()
        || rule
            .grants
            .iter()
            .any(|grant| Some(grant.as_str()) == grant_type);
    if allowed {
        Ok(())
    } else {
        Err(Violation::GrantNotAllowed)
    }
}

fn verifier(rule: &Rule, redemption: &Redemption<'_>, bound: &BoundCode) -> Result<(), Violation> {
    match (bound.challenge(), redemption.code_verifier) {
        (None, None) if rule.challenge_required => Err(Violation::MissingChallenge),
        (None, None) => Ok(()),
        (None, Some(_)) => Err(Violation::UnexpectedVerifier),
        // In report mode a code may belong to an invalid challenge. The violation is the same as in the authorization request.
        (Some(CodeChallenge::Useless(why)), _) => Err((*why).into()),
        (Some(_), None) => Err(Violation::MissingVerifier),
        (Some(challenge), Some(verifier)) => {
            let verifier = CodeVerifier::parse(verifier.expose(), rule.verifier_max)
                .map_err(Violation::MalformedVerifier)?;
            if !challenge.is_met_by(&verifier) {
                return Err(Violation::VerifierMismatch);
            }
            // The current rule applies, not the one at the time of the authorization request.
            if !super::authorize::method_allowed(rule, challenge.method()) {
                return Err(Violation::MethodNotAllowed { by_omission: false });
            }
            Ok(())
        }
    }
}

/// The violation that a refused client is told. It depends on the request alone. A missing or malformed verifier is reported,
/// which helps developers, for dead codes as for live ones, so that an attacker does not learn whether a stolen code is still
/// valid.
pub(crate) fn told(rule: &Rule, redemption: &Redemption<'_>, violation: Violation) -> Violation {
    if violation.error_at_token() != ErrorCode::InvalidGrant {
        return violation;
    }
    match redemption.code_verifier {
        None if rule.challenge_required => Violation::MissingVerifier,
        // The rule does not require a verifier.
        None => Violation::VerifierMismatch,
        Some(verifier) => match CodeVerifier::parse(verifier.expose(), rule.verifier_max) {
            Err(malformed) => Violation::MalformedVerifier(malformed),
            Ok(_) if matches!(violation, Violation::MethodNotAllowed { .. }) => violation,
            Ok(_) => Violation::VerifierMismatch,
        },
    }
}

/// What the store has to do after a redemption was judged. Only a request that is not refused claims the code. Only a wrong
/// verifier counts as an attempt: other refusals are no guess at the verifier, and must not use up the code of the rightful
/// client.
pub(crate) fn presented(mode: Mode, bound: &BoundCode, violation: Option<Violation>) -> Presented {
    let is_proved = violation.is_none() && bound.challenge().is_some();
    match apply(mode, (), violation) {
        Decision::Allow(_) | Decision::Report(..) if is_proved => Presented::Matches,
        Decision::Allow(_) | Decision::Report(..) => Presented::Unproven,
        Decision::Refuse((), Violation::VerifierMismatch) => Presented::WrongVerifier,
        Decision::Refuse((), _) => Presented::Differs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::{AuthorizationCode, ClientId, CodeChallengeMethod, Params, TokenRequest};

    const GONE: [Violation; 4] = [
        Violation::ReplayedCode,
        Violation::BurntCode,
        Violation::ExpiredCode,
        Violation::UnknownCode,
    ];

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn bound(challenge: Option<(CodeChallengeMethod, &str)>, redirect: Option<&str>) -> BoundCode {
        let pending = PendingAuthorization {
            application: Application {
                client: ClientId::new("app").digest(),
                redirect: redirect.map(|uri| RedirectUri::new(uri).digest()),
                response_type: None,
                response_mode: None,
                pushed: None,
            }
            .into(),
            challenge: challenge
                .map(|(method, value)| CodeChallenge::parse(method, value).unwrap()),
            own: None,
            state: ClientState::Absent,
            browser: None,
        };
        pending.bind(AuthorizationCode::new("upstream-code").unwrap())
    }

    fn violation(rule: &Rule, body: &str, found: Found<'_>) -> Option<Violation> {
        let body = format!("grant_type=authorization_code&code=x&{body}");
        let params = Params::parse(body.as_bytes(), 64).unwrap();
        match TokenRequest::parse(&params, None).unwrap() {
            TokenRequest::Redemption(redemption) => judge(rule, &redemption, found).err(),
            TokenRequest::Other { .. } => unreachable!(),
        }
    }

    #[test]
    fn a_request_alone_is_refused_only_if_no_code_could_save_it() {
        let strict = Rule::default();
        let lax = Rule {
            challenge_required: false,
            ..Rule::default()
        };
        let listed = Rule {
            grants: vec!["refresh_token".to_owned()],
            ..Rule::default()
        };
        let right = format!("client_id=app&redirect_uri=https://a/cb&code_verifier={VERIFIER}");
        let malformed = crate::oauth::pkce::MalformedVerifier::Length;
        for (rule, body, expected) in [
            (&strict, right.as_str(), None),
            (&strict, "client_id=app", Some(Violation::MissingVerifier)),
            (&lax, "client_id=app", None),
            (&strict, "", Some(Violation::ClientMismatch)),
            (
                &lax,
                "client_id=app&code_verifier=short",
                Some(Violation::MalformedVerifier(malformed)),
            ),
            (&listed, right.as_str(), Some(Violation::GrantNotAllowed)),
        ] {
            let body = format!("grant_type=authorization_code&code=x&{body}");
            let params = Params::parse(body.as_bytes(), 64).unwrap();
            let Ok(TokenRequest::Redemption(redemption)) = TokenRequest::parse(&params, None)
            else {
                unreachable!()
            };
            assert_eq!(at_best(rule, &redemption).err(), expected, "{body}");
            let mut each = each(rule, &redemption).into_iter();
            let first = each.find_map(|(_, verdict)| verdict.err());
            assert_eq!(first, expected, "{body}");
        }
    }

    #[test]
    fn the_four_cells_of_challenge_and_verifier() {
        let s256 = bound(Some((CodeChallengeMethod::S256, CHALLENGE)), None);
        let none = bound(None, None);
        let strict = Rule::default();
        let lax = Rule {
            challenge_required: false,
            ..Rule::default()
        };
        let right = format!("client_id=app&code_verifier={VERIFIER}");
        for (rule, bound, body, expected) in [
            (&strict, &s256, right.as_str(), None),
            (
                &strict,
                &s256,
                "client_id=app",
                Some(Violation::MissingVerifier),
            ),
            (
                &strict,
                &s256,
                "client_id=app&code_verifier=",
                Some(Violation::MissingVerifier),
            ),
            (
                &strict,
                &none,
                right.as_str(),
                Some(Violation::UnexpectedVerifier),
            ),
            (
                &strict,
                &none,
                "client_id=app",
                Some(Violation::MissingChallenge),
            ),
            (&lax, &none, "client_id=app", None),
            (
                &lax,
                &none,
                right.as_str(),
                Some(Violation::UnexpectedVerifier),
            ),
            (
                &lax,
                &s256,
                "client_id=app",
                Some(Violation::MissingVerifier),
            ),
        ] {
            assert_eq!(
                violation(rule, body, Found::Live(bound)),
                expected,
                "{body}"
            );
        }
    }

    #[test]
    fn wrong_and_malformed_verifiers_are_told_apart() {
        let s256 = bound(Some((CodeChallengeMethod::S256, CHALLENGE)), None);
        let check = |verifier: &str| {
            let body = format!("client_id=app&code_verifier={verifier}");
            violation(&Rule::default(), &body, Found::Live(&s256))
        };
        assert_eq!(check(CHALLENGE), Some(Violation::VerifierMismatch));
        assert_eq!(
            check(&VERIFIER.replace('d', "e")),
            Some(Violation::VerifierMismatch)
        );
        assert!(matches!(
            check("short"),
            Some(Violation::MalformedVerifier(_))
        ));
        assert!(matches!(
            check(&"a".repeat(129)),
            Some(Violation::MalformedVerifier(_))
        ));
    }

    #[test]
    fn a_code_belongs_to_its_client_and_redirect_uri() {
        let bound = bound(
            Some((CodeChallengeMethod::S256, CHALLENGE)),
            Some("https://c/cb"),
        );
        let check = |body: &str| {
            let body = format!("{body}&code_verifier={VERIFIER}");
            violation(&Rule::default(), &body, Found::Live(&bound))
        };
        assert_eq!(check("client_id=app&redirect_uri=https://c/cb"), None);
        assert_eq!(
            check("client_id=other&redirect_uri=https://c/cb"),
            Some(Violation::ClientMismatch)
        );
        assert_eq!(
            check("redirect_uri=https://c/cb"),
            Some(Violation::ClientMismatch)
        );
        for redirect in [
            "",
            "&redirect_uri=",
            "&redirect_uri=https://c/cb/",
            "&redirect_uri=https://C/cb",
        ] {
            assert_eq!(
                check(&format!("client_id=app{redirect}")),
                Some(Violation::RedirectMismatch),
                "{redirect}"
            );
        }
    }

    #[test]
    fn a_dead_code_is_refused_for_the_reason_that_the_store_gives() {
        for gone in GONE {
            assert_eq!(
                violation(&Rule::default(), "client_id=app", Found::Gone(gone.clone())),
                Some(gone)
            );
        }
    }

    #[test]
    fn a_plain_code_is_refused_once_plain_is_no_longer_allowed() {
        let plain = bound(Some((CodeChallengeMethod::Plain, VERIFIER)), None);
        let body = format!("client_id=app&code_verifier={VERIFIER}");
        let allowed = Rule {
            plain_allowed: true,
            ..Rule::default()
        };
        assert_eq!(violation(&allowed, &body, Found::Live(&plain)), None);
        let refused = Violation::MethodNotAllowed { by_omission: false };
        assert_eq!(
            violation(&Rule::default(), &body, Found::Live(&plain)),
            Some(refused)
        );
    }

    #[test]
    fn an_error_does_not_show_whether_the_code_is_live() {
        let alive = bound(Some((CodeChallengeMethod::S256, CHALLENGE)), None);
        let none = bound(None, None);
        let rule = Rule::default();
        for body in [
            "client_id=app",
            "client_id=app&code_verifier=short",
            &format!("client_id=app&code_verifier={CHALLENGE}"),
        ] {
            let body = format!("grant_type=authorization_code&code=x&{body}");
            let params = Params::parse(body.as_bytes(), 64).unwrap();
            let TokenRequest::Redemption(redemption) = TokenRequest::parse(&params, None).unwrap()
            else {
                unreachable!()
            };
            let gone = GONE.map(Found::Gone);
            let hints: Vec<String> = [Found::Live(&alive), Found::Live(&none)]
                .into_iter()
                .chain(gone)
                .filter_map(|found| judge(&rule, &redemption, found).err())
                .map(|violation| told(&rule, &redemption, violation).to_string())
                .collect();
            assert!(
                hints.len() > 4 && hints.iter().all(|hint| *hint == hints[0]),
                "{hints:?}"
            );
        }
    }

    #[test]
    fn a_client_that_needs_no_challenge_is_not_told_that_its_verifier_is_missing() {
        let body = "grant_type=authorization_code&code=x&client_id=app";
        let params = Params::parse(body.as_bytes(), 64).unwrap();
        let Ok(TokenRequest::Redemption(redemption)) = TokenRequest::parse(&params, None) else {
            unreachable!()
        };
        let free = Rule {
            challenge_required: false,
            ..Rule::default()
        };
        for gone in GONE {
            let told = |rule| {
                let violation = judge(rule, &redemption, Found::Gone(gone.clone())).err();
                violation.map(|violation| told(rule, &redemption, violation))
            };
            assert_eq!(told(&free), Some(Violation::VerifierMismatch));
            assert_eq!(told(&Rule::default()), Some(Violation::MissingVerifier));
        }
    }

    #[test]
    fn only_an_accepted_request_claims_and_only_a_wrong_verifier_counts_as_an_attempt() {
        let method = CodeChallengeMethod::S256;
        let (with, without) = (bound(Some((method, CHALLENGE)), None), bound(None, None));
        for mode in [Mode::Enforce, Mode::Report, Mode::Off] {
            assert_eq!(presented(mode, &with, None), Presented::Matches);
            // No violation, but no proof either.
            assert_eq!(presented(mode, &without, None), Presented::Unproven);
        }
        for (violation, enforced) in [
            (Some(Violation::VerifierMismatch), Presented::WrongVerifier),
            (Some(Violation::ClientMismatch), Presented::Differs),
            (Some(Violation::RedirectMismatch), Presented::Differs),
            (Some(Violation::MissingVerifier), Presented::Differs),
            (Some(Violation::UnexpectedVerifier), Presented::Differs),
        ] {
            for bound in [&with, &without] {
                let mode = Mode::Enforce;
                assert_eq!(presented(mode, bound, violation.clone()), enforced);
                for mode in [Mode::Report, Mode::Off] {
                    let presented = presented(mode, bound, violation.clone());
                    assert_eq!(presented, Presented::Unproven);
                }
            }
        }
    }

    #[test]
    fn listed_grants_are_compared_exactly() {
        let rule = Rule {
            grants: vec!["authorization_code".to_owned()],
            ..Rule::default()
        };
        for (grant_type, ok) in [
            (Some("authorization_code"), true),
            (Some("authorization_code "), false),
            (Some("openid"), false),
            (None, false),
        ] {
            assert_eq!(grant(&rule, grant_type).is_ok(), ok, "{grant_type:?}");
        }
    }
}
