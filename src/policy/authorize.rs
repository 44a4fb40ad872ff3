//! Judges an authorization request.
//!
//! The rules are checked in this order; the first that fails is the verdict:
//!
//! 1. `client_id` is present (RFC 6749 section 4.1.1).
//! 2. `request` and `request_uri` are absent: the gate cannot judge their content (RFC 9101, RFC 9126).
//! 3. `redirect_uri` contains no `code` parameter: the response would repeat it like an issued code.
//! 4. `response_type` is present (RFC 6749 section 4.1.2.1) and allowed. The order of its words does not matter.
//! 5. `response_mode`, if present, is allowed.
//! 6. Challenge and method are valid, in all four combinations of absence (RFC 7636 sections 4.3 and 4.4.1). A response type
//!    without a code needs no challenge, but a challenge that is sent must be valid.

use crate::flow::submission::Doubt;
use crate::oauth::pkce::Useless;
use crate::oauth::redirect;
use crate::oauth::{
    AuthorizationRequest, CodeChallenge, CodeChallengeMethod, DirectRequest, ResponseMode,
    ResponseType,
};

use super::{Rule, Violation};

/// The challenge that was accepted, if any.
pub(crate) type Accepted = Option<CodeChallenge>;

/// Judges a fresh request by its client's rule.
pub(crate) fn judge(
    rule: &Rule,
    request: &AuthorizationRequest<'_>,
) -> Result<Accepted, Violation> {
    client(request)?;
    request_object(request)?;
    redirect_uri(request)?;
    let yields_code = response_type(rule, request)?.yields_code();
    response_mode(rule, request)?;
    let sent = (request.code_challenge, request.code_challenge_method);
    challenge(rule, sent, yields_code)
}

/// What [`judge`] checks, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    Client,
    RequestObject,
    RedirectUri,
    ResponseType,
    ResponseMode,
    /// Whether there is a challenge.
    Challenge,
    Method,
    /// Whether a verifier can match the challenge.
    ChallengeForm,
}

/// The verdict of every check, for a person who wants to repair all mistakes at once. The first violation is that of [`judge`]. The
/// method and the form of a challenge are checked only if there is a challenge.
pub(crate) fn each(
    rule: &Rule,
    request: &AuthorizationRequest<'_>,
) -> Vec<(Check, Result<(), Violation>)> {
    let is_required = request
        .response_type
        .is_none_or(|kind| ResponseType::parse(kind).yields_code());
    let sent = (request.code_challenge, request.code_challenge_method);
    let is_present = match challenge(rule, sent, is_required) {
        Err(Violation::MissingChallenge) => Err(Violation::MissingChallenge),
        Ok(_) | Err(_) => Ok(()),
    };
    let mut verdicts = vec![
        (Check::Client, client(request)),
        (Check::RequestObject, request_object(request)),
        (Check::RedirectUri, redirect_uri(request)),
        (
            Check::ResponseType,
            response_type(rule, request).map(|_| ()),
        ),
        (Check::ResponseMode, response_mode(rule, request)),
        (Check::Challenge, is_present),
    ];
    if let (Some(challenge), method) = sent {
        let allowed = usable_method(rule, method).map(|_| ());
        // A method that is wrong will become S256.
        let method = if allowed.is_ok() {
            method
        } else {
            Some(CodeChallengeMethod::S256.as_str())
        };
        let form = usable(rule, challenge, method).map(|_| ());
        verdicts.push((Check::Method, allowed.map_err(Violation::from)));
        verdicts.push((Check::ChallengeForm, form.map_err(Violation::from)));
    }
    verdicts
}

fn client(request: &AuthorizationRequest<'_>) -> Result<(), Violation> {
    request
        .client_id
        .map(|_| ())
        .ok_or(Violation::MissingClient)
}

fn request_object(request: &AuthorizationRequest<'_>) -> Result<(), Violation> {
    if request.request.is_some() {
        return Err(Violation::RequestObjectRefused);
    }
    if request.request_uri.is_some() {
        return Err(Violation::RequestUriRefused);
    }
    Ok(())
}

fn redirect_uri(request: &AuthorizationRequest<'_>) -> Result<(), Violation> {
    if request.redirect_uri.is_some_and(redirect::brings_code) {
        let text = "redirect_uri contains a code parameter";
        return Err(Violation::malformed(text));
    }
    Ok(())
}

fn response_type(
    rule: &Rule,
    request: &AuthorizationRequest<'_>,
) -> Result<ResponseType, Violation> {
    let response_type = request
        .response_type
        .ok_or(Violation::MissingResponseType)?;
    let response_type = ResponseType::parse(response_type);
    if rule.response_types.contains(&response_type) {
        Ok(response_type)
    } else {
        Err(Violation::ResponseTypeNotAllowed)
    }
}

fn response_mode(rule: &Rule, request: &AuthorizationRequest<'_>) -> Result<(), Violation> {
    let Some(mode) = request.response_mode else {
        return Ok(());
    };
    let mode = ResponseMode::parse(mode).ok_or(Violation::ResponseModeNotAllowed)?;
    // In a signed response no code can be replaced.
    if !rule.response_modes.contains(&mode) || mode.is_signed() && rule.uses_handles() {
        return Err(Violation::ResponseModeNotAllowed);
    }
    Ok(())
}

/// Judges a device authorization request (`device = "if_present"`): it needs no challenge, but one that is sent must be valid, and
/// its client must be named, because the device code is bound to both.
pub(crate) fn judge_device(
    rule: &Rule,
    request: &DirectRequest<'_>,
) -> Result<Accepted, Violation> {
    let sent = (request.code_challenge, request.code_challenge_method);
    let accepted = challenge(rule, sent, false)?;
    if accepted.is_some() && request.client.is_none() {
        return Err(Violation::MissingClient);
    }
    Ok(accepted)
}

/// Judges a request that begins the sign-in of a first-party app: it yields a code, so the rule for authorization requests applies.
pub(crate) fn judge_challenge(
    rule: &Rule,
    request: &DirectRequest<'_>,
) -> Result<Accepted, Violation> {
    if request.client.is_none() {
        return Err(Violation::MissingClient);
    }
    if !rule.response_types.contains(&ResponseType::parse("code")) {
        return Err(Violation::ResponseTypeNotAllowed);
    }
    let sent = (request.code_challenge, request.code_challenge_method);
    challenge(rule, sent, true)
}

fn challenge(
    rule: &Rule,
    sent: (Option<&str>, Option<&str>),
    is_required: bool,
) -> Result<Accepted, Violation> {
    match sent {
        (None, None) if rule.challenge_required && is_required => Err(Violation::MissingChallenge),
        (None, None) => Ok(None),
        // A method without a challenge is an error, never "no PKCE": the challenge may have been removed.
        (None, Some(_)) => Err(Violation::MissingChallenge),
        (Some(challenge), method) => Ok(Some(usable(rule, challenge, method)?)),
    }
}

/// The challenge, if the rule allows it and a verifier can match it.
fn usable(rule: &Rule, challenge: &str, method: Option<&str>) -> Result<CodeChallenge, Useless> {
    let method = usable_method(rule, method)?;
    CodeChallenge::parse(method, challenge).map_err(Useless::Malformed)
}

/// The method of a challenge, if the rule allows it.
fn usable_method(rule: &Rule, method: Option<&str>) -> Result<CodeChallengeMethod, Useless> {
    let by_omission = method.is_none();
    let method = match (method, rule.assume_method) {
        (None, Some(assumed)) => assumed,
        (method, _) => CodeChallengeMethod::parse(method).ok_or(Useless::UnknownMethod)?,
    };
    if !method_allowed(rule, method) {
        return Err(Useless::Plain { by_omission });
    }
    Ok(method)
}

/// The challenge for the record of a request that has a violation. In report mode the token request is judged by the challenge
/// that was sent.
pub(crate) fn recorded(rule: &Rule, challenge: Option<&str>, method: Option<&str>) -> Accepted {
    let usable = usable(rule, challenge?, method);
    Some(usable.unwrap_or_else(CodeChallenge::Useless))
}

/// Whether the rule allows the method: S256 always, `plain` if it is listed.
pub(super) fn method_allowed(rule: &Rule, method: CodeChallengeMethod) -> bool {
    match method {
        CodeChallengeMethod::S256 => true,
        CodeChallengeMethod::Plain => rule.plain_allowed,
    }
}

impl From<Doubt> for Violation {
    fn from(doubt: Doubt) -> Self {
        match doubt {
            Doubt::Ambiguous(why) => why.into(),
            Doubt::Malformed(why) => why.into(),
            Doubt::Object(_) | Doubt::SeveralHandles => Self::malformed(&doubt.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::Params;
    use crate::oauth::pkce::MalformedChallenge;
    use crate::policy::Codes;
    use proptest::prelude::*;
    use proptest::sample::{select, subsequence};

    const S256: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn violation(rule: &Rule, query: &str) -> Option<Violation> {
        let query = query.replace("S256CHALLENGE", S256);
        let params = Params::parse(query.as_bytes(), 64).unwrap();
        judge(rule, &AuthorizationRequest::parse(&params).unwrap()).err()
    }

    #[test]
    fn the_four_cells_of_challenge_and_method() {
        let rule = Rule::default();
        let base = "client_id=a&response_type=code";
        for (query, expected) in [
            ("", Some(Violation::MissingChallenge)),
            ("&code_challenge=", Some(Violation::MissingChallenge)),
            (
                "&code_challenge_method=S256",
                Some(Violation::MissingChallenge),
            ),
            (
                "&code_challenge=S256CHALLENGE",
                Some(Violation::MethodNotAllowed { by_omission: true }),
            ),
            (
                "&code_challenge=S256CHALLENGE&code_challenge_method=plain",
                Some(Violation::MethodNotAllowed { by_omission: false }),
            ),
            (
                "&code_challenge=S256CHALLENGE&code_challenge_method=s256",
                Some(Violation::UnknownMethod),
            ),
            (
                "&code_challenge=abc&code_challenge_method=S256",
                Some(Violation::MalformedChallenge(MalformedChallenge::Length)),
            ),
            (
                "&code_challenge=S256CHALLENGE&code_challenge_method=S256",
                None,
            ),
        ] {
            assert_eq!(
                violation(&rule, &format!("{base}{query}")),
                expected,
                "{query}"
            );
        }
    }

    #[test]
    fn clients_may_be_given_plain_or_an_assumed_method() {
        let plain = Rule {
            plain_allowed: true,
            ..Rule::default()
        };
        let query = "client_id=a&response_type=code&code_challenge=S256CHALLENGE";
        assert_eq!(violation(&plain, query), None);
        let assumed = Rule {
            assume_method: Some(CodeChallengeMethod::S256),
            ..Rule::default()
        };
        let params = format!("client_id=a&response_type=code&code_challenge={S256}");
        let params = Params::parse(params.as_bytes(), 64).unwrap();
        let judged = judge(&assumed, &AuthorizationRequest::parse(&params).unwrap());
        assert_eq!(judged.unwrap().unwrap().method(), CodeChallengeMethod::S256);
    }

    #[test]
    fn response_types_modes_and_request_objects_are_allowed_only_when_listed() {
        let rule = Rule::default();
        let pkce = "&code_challenge=S256CHALLENGE&code_challenge_method=S256";
        for (query, expected) in [
            ("client_id=a", Some(Violation::MissingResponseType)),
            (
                "client_id=a&response_type=",
                Some(Violation::MissingResponseType),
            ),
            (
                "client_id=a&response_type=token",
                Some(Violation::ResponseTypeNotAllowed),
            ),
            (
                "client_id=a&response_type=code+id_token",
                Some(Violation::ResponseTypeNotAllowed),
            ),
            (
                "client_id=a&response_type=code_credentials",
                Some(Violation::ResponseTypeNotAllowed),
            ),
            (
                "client_id=a&response_type=code&response_mode=query.jwt",
                Some(Violation::ResponseModeNotAllowed),
            ),
            (
                "client_id=a&response_type=code&response_mode=form_post",
                None,
            ),
            (
                "client_id=a&response_type=code&request=x",
                Some(Violation::RequestObjectRefused),
            ),
            (
                "client_id=a&request_uri=x",
                Some(Violation::RequestUriRefused),
            ),
            ("response_type=code", Some(Violation::MissingClient)),
        ] {
            assert_eq!(
                violation(&rule, &format!("{query}{pkce}")),
                expected,
                "{query}"
            );
        }
        let hybrid = Rule {
            response_types: vec![ResponseType::parse("code id_token")],
            ..Rule::default()
        };
        assert_eq!(
            violation(
                &hybrid,
                &format!("client_id=a&response_type=id_token+code{pkce}")
            ),
            None
        );
    }

    #[test]
    fn a_response_type_without_a_code_needs_no_challenge() {
        let rule = Rule {
            response_types: vec![ResponseType::parse("id_token")],
            ..Rule::default()
        };
        assert_eq!(violation(&rule, "client_id=a&response_type=id_token"), None);
    }

    proptest! {
        #[test]
        fn the_first_violation_of_all_checks_is_that_of_the_judge(
            flags in proptest::array::uniform3(any::<bool>()),
            assumed in select(vec![None, Some(CodeChallengeMethod::S256)]),
            types in subsequence(vec!["code", "token", "code id_token"], 0..=3),
            query in pairs(),
        ) {
            let rule = Rule {
                challenge_required: flags[0],
                plain_allowed: flags[1],
                codes: if flags[2] { Codes::Handle } else { Codes::Upstream },
                assume_method: assumed,
                response_types: types.into_iter().map(ResponseType::parse).collect(),
                response_modes: vec![ResponseMode::Query, ResponseMode::parse("jwt").unwrap()],
                ..Rule::default()
            };
            let params = Params::parse(query.as_bytes(), 64).unwrap();
            let request = AuthorizationRequest::parse(&params).unwrap();
            let first = each(&rule, &request).into_iter().find_map(|(_, verdict)| verdict.err());
            prop_assert_eq!(first, judge(&rule, &request).err(), "{}", query);
        }
    }

    /// The parameters that are judged, each absent or with one of these values.
    fn pairs() -> impl Strategy<Value = String> {
        let one = |name: &'static str, values: Vec<&'static str>| {
            proptest::option::weighted(0.7, select(values))
                .prop_map(move |value| value.map(|value| format!("{name}={value}&")))
        };
        let long = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        (
            one("client_id", vec!["a", "a", ""]),
            one(
                "response_type",
                vec!["code", "code", "token", "id_token+code", "x"],
            ),
            one("response_mode", vec!["query", "query", "jwt", "x"]),
            one("redirect_uri", vec!["https://a/cb", "https://a/cb?code=1"]),
            one("code_challenge", vec![S256, S256, "abc", long]),
            one(
                "code_challenge_method",
                vec!["S256", "S256", "plain", "s256", ""],
            ),
            proptest::option::weighted(0.1, select(vec!["request=x", "request_uri=x"])),
        )
            .prop_map(|(a, b, c, d, e, f, g)| {
                let all = [a, b, c, d, e, f].into_iter().flatten();
                all.chain(g.map(str::to_owned)).collect()
            })
    }

    #[test]
    fn all_mistakes_are_found_at_once() {
        let query =
            "response_type=token&response_mode=x&code_challenge=abc&code_challenge_method=s256";
        let params = Params::parse(query.as_bytes(), 64).unwrap();
        let request = AuthorizationRequest::parse(&params).unwrap();
        let wrong = each(&Rule::default(), &request).into_iter();
        let wrong: Vec<_> = wrong
            .filter_map(|(check, verdict)| verdict.err().map(|_| check))
            .collect();
        let expected = [
            Check::Client,
            Check::ResponseType,
            Check::ResponseMode,
            Check::Method,
            Check::ChallengeForm,
        ];
        assert_eq!(wrong, expected);
    }

    #[test]
    fn a_wrong_challenge_is_refused_even_if_none_is_required() {
        let rule = Rule {
            challenge_required: false,
            ..Rule::default()
        };
        assert_eq!(violation(&rule, "client_id=a&response_type=code"), None);
        let wrong = violation(
            &rule,
            "client_id=a&response_type=code&code_challenge=x&code_challenge_method=S256",
        );
        assert_eq!(
            wrong,
            Some(Violation::MalformedChallenge(MalformedChallenge::Length))
        );
    }
}
