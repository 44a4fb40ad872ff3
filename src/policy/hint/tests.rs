use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::oauth::pkce::MAX_LENGTH;
use crate::oauth::{AuthorizationRequest, Params, TokenRequest};
use crate::policy::{Rule, authorize};

const VERIFIER: &str = "a-verifier-that-is-not-the-example_0123456789";

fn verifier(text: &str) -> CodeVerifier {
    CodeVerifier::parse(text, MAX_LENGTH).unwrap()
}

fn s256(text: &str) -> String {
    verifier(text).challenge().encoded().into_owned()
}

/// The hint on an authorization request with these parameters, by the verdict on it.
fn hint_by(rule: &Rule, challenge: Option<&str>, method: Option<&str>) -> Option<Hint> {
    let mut query = b"client_id=a&response_type=code".to_vec();
    for (name, value) in [
        ("code_challenge", challenge),
        ("code_challenge_method", method),
    ] {
        if let Some(value) = value {
            crate::oauth::params::append_pair(&mut query, name, value);
        }
    }
    let params = Params::parse(&query, 64).unwrap();
    match authorize::judge(rule, &AuthorizationRequest::parse(&params).unwrap()) {
        Ok(accepted) => accepted.as_ref().and_then(Hint::of_challenge),
        Err(violation) => Hint::of_violation(&violation, challenge, method),
    }
}

fn hint(challenge: &str, method: &str) -> Option<Hint> {
    hint_by(&Rule::default(), Some(challenge), Some(method))
}

#[test]
fn codes_are_snake_case_and_sentences_fit_into_error_descriptions() {
    let codes: BTreeSet<_> = Hint::ALL.iter().map(|hint| hint.code()).collect();
    let sentences: BTreeSet<_> = Hint::ALL.iter().map(|hint| hint.sentence()).collect();
    assert_eq!(
        (codes.len(), sentences.len()),
        (Hint::ALL.len(), Hint::ALL.len())
    );
    for hint in Hint::ALL {
        let (code, sentence) = (hint.code(), hint.sentence());
        let is_code = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        assert!(code.bytes().all(is_code), "{code}");
        assert_eq!(crate::oauth::error::description(sentence), sentence);
        assert!(!sentence.ends_with('.') && sentence.len() < 150, "{code}");
    }
}

#[test]
fn a_challenge_in_a_wrong_encoding_gets_the_hint_for_it() {
    let hex = "13d31e961a1ad8ec2f16b10c4c982e0876a878ad6df144566ee1894acb70f9c3";
    let right = s256(VERIFIER);
    // The hash has all of the characters that the encodings write differently.
    let mixed = "-_fK1t8URWbuGJSstw-cMUaoE9Melhoa2OwvFrEMTJg";
    let standard = mixed.replace('-', "+").replace('_', "/");
    for (challenge, expected) in [
        (hex.to_owned(), Some(Hint::HexChallenge)),
        (hex.to_uppercase(), Some(Hint::HexChallenge)),
        (format!("{right}="), Some(Hint::PaddedChallenge)),
        (format!("{standard}="), Some(Hint::StandardBase64Challenge)),
        (standard.clone(), Some(Hint::StandardBase64Challenge)),
        (
            standard.replace('+', " "),
            Some(Hint::StandardBase64Challenge),
        ),
        (right, None),
        (mixed.to_owned(), None),
    ] {
        assert_eq!(hint(&challenge, "S256"), expected, "{challenge}");
    }
}

#[test]
fn a_challenge_that_the_change_would_not_make_valid_gets_no_hint() {
    let hex = "13d31e961a1ad8ec2f16b10c4c982e0876a878ad6df144566ee1894acb70f9c3";
    for challenge in [
        hex.trim_start_matches('1'),
        &format!("{hex}0"),
        &hex.replace('c', "g"),
        &format!("{}=", "a".repeat(60)),
        &format!("{}=", "!".repeat(43)),
        "hello world",
        "a+b/c",
        "=",
        "plain",
        &"a".repeat(5000),
    ] {
        assert_eq!(hint(challenge, "S256"), None, "{challenge}");
    }
    // A verifier in hexadecimal, under plain, which is not allowed here.
    assert_eq!(hint(hex, "plain"), None);
    assert_eq!(hint_by(&Rule::default(), Some(hex), None), None);
}

#[test]
fn other_spellings_of_s256_are_recognised_and_other_methods_are_not() {
    let challenge = s256(VERIFIER);
    for method in [
        "s256", "SHA256", "sha256", "SHA-256", "sha_256", "S-256", " S256", "S256 ", "\"S256\"",
        "S256;", "SHA2-256",
    ] {
        assert_eq!(
            hint(&challenge, method),
            Some(Hint::MisspeltMethod),
            "{method}"
        );
    }
    for method in [
        "S512", "RS256", "HS256", "none", "PLAIN", "256", "S2561", "sha", "S265",
    ] {
        assert_eq!(hint(&challenge, method), None, "{method}");
    }
    assert_eq!(hint(&challenge, &format!("s256{}", ".".repeat(99))), None);
    assert_eq!(hint(&challenge, "S256"), None);
}

#[test]
fn a_missing_method_is_recognised_by_the_form_of_the_challenge_unless_plain_is_allowed() {
    let challenge = s256(VERIFIER);
    let by = |rule: &Rule, challenge: &str| hint_by(rule, Some(challenge), None);
    assert_eq!(by(&Rule::default(), &challenge), Some(Hint::MissingMethod));
    for other in [&"~".repeat(43), &"a".repeat(44), VERIFIER] {
        assert_eq!(by(&Rule::default(), other), None, "{other}");
    }
    let plain = Rule {
        plain_allowed: true,
        ..Rule::default()
    };
    let assumed = Rule {
        assume_method: Some(CodeChallengeMethod::S256),
        ..Rule::default()
    };
    assert_eq!(by(&plain, &challenge), None);
    assert_eq!(by(&assumed, &challenge), None);
    assert_eq!(hint(&challenge, "plain"), None, "it is not missing");
    assert_eq!(hint_by(&Rule::default(), None, None), None);
    assert_eq!(hint_by(&Rule::default(), None, Some("s256")), None);
}

#[test]
fn the_example_of_the_rfc_is_recognised_in_allowed_requests_and_verifiers() {
    let example = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    assert_eq!(hint(example, "S256"), Some(Hint::RfcTestVector));
    let plain = Rule {
        plain_allowed: true,
        ..Rule::default()
    };
    let by_plain = hint_by(&plain, Some(EXAMPLE_VERIFIER), Some("plain"));
    assert_eq!(by_plain, Some(Hint::RfcTestVector));
    for (text, expected) in [
        (EXAMPLE_VERIFIER, Some(Hint::RfcTestVector)),
        (VERIFIER, None),
        (example, None),
    ] {
        let body = format!("grant_type=authorization_code&code=x&code_verifier={text}");
        let params = Params::parse(body.as_bytes(), 64).unwrap();
        let Ok(TokenRequest::Redemption(redemption)) = TokenRequest::parse(&params, None) else {
            unreachable!()
        };
        let verifier = redemption.code_verifier.unwrap();
        assert_eq!(Hint::of_verifier(verifier), expected, "{text}");
    }
}

#[test]
fn a_repeated_challenge_gets_a_hint_unless_it_is_the_same_request() {
    let [one, other] = [b"one", b"two"].map(|name| Digest::of("client_id", &[name]));
    let sign_in = |client, state| SignIn { client, state };
    for (before, now, expected) in [
        ((one, Some(1)), (one, Some(1)), None),
        ((one, None), (one, None), None),
        (
            (one, Some(1)),
            (one, Some(2)),
            Some(Hint::ConstantChallenge),
        ),
        ((one, Some(1)), (one, None), Some(Hint::ConstantChallenge)),
        (
            (one, Some(1)),
            (other, Some(1)),
            Some(Hint::SharedChallenge),
        ),
        (
            (one, Some(1)),
            (other, Some(2)),
            Some(Hint::SharedChallenge),
        ),
    ] {
        let (before, now) = (sign_in(before.0, before.1), sign_in(now.0, now.1));
        assert_eq!(Hint::of_repetition(before, now), expected);
    }
}

#[test]
fn a_hint_explains_a_violation_instead_of_its_text() {
    let violation = Violation::UnknownMethod;
    assert_eq!(told(&violation, None), violation.to_string());
    let hint = Hint::MisspeltMethod;
    assert_eq!(told(&violation, Some(hint)), hint.sentence());
    let violation = Violation::VerifierMismatch;
    let both = told(&violation, Some(Hint::RfcTestVector));
    assert!(both.starts_with(&violation.to_string()) && both.contains("appendix B"));
}

proptest! {
    #[test]
    fn a_right_request_gets_no_hint(text in "[A-Za-z0-9._~-]{43,128}") {
        prop_assume!(text != EXAMPLE_VERIFIER);
        prop_assert_eq!(hint(&s256(&text), "S256"), None);
        let plain = Rule { plain_allowed: true, ..Rule::default() };
        prop_assert_eq!(hint_by(&plain, Some(&text), Some("plain")), None);
        prop_assert_eq!(hint_by(&plain, Some(&text), None), None);
    }

    /// Each hint on a challenge is true: the challenge is valid after the change that the hint asks for.
    #[test]
    fn a_hint_is_certain(challenge in "[0-9a-fA-F]{63,65}|[A-Za-z0-9_-]{42,44}={0,2}|[A-Za-z0-9_+/ -]{42,44}={0,2}|[ -~\u{e9}\u{212b}]{0,90}", method in "S256|plain|[sS][hH]?[aA]?-?256|[ -~\u{e9}]{0,12}") {
        for method in [None, Some(method.as_str())] {
            match hint_by(&Rule::default(), Some(&challenge), method) {
                Some(Hint::HexChallenge) => {
                    prop_assert!(challenge.len() == 64 && challenge.bytes().all(|byte| byte.is_ascii_hexdigit()));
                }
                Some(Hint::PaddedChallenge) => prop_assert!(is_s256(challenge.trim_end_matches('='))),
                Some(Hint::StandardBase64Challenge) => {
                    prop_assert!(challenge.contains(['+', '/', ' ']) && (43..=45).contains(&challenge.len()));
                }
                Some(Hint::MissingMethod) => prop_assert!(method.is_none() && is_s256(&challenge)),
                Some(Hint::MisspeltMethod) => prop_assert!(method.unwrap().ends_with("256") || method.unwrap().contains("256")),
                None => {}
                Some(other) => prop_assert!(false, "{other:?}"),
            }
        }
    }

    #[test]
    fn only_the_challenge_itself_is_taken_for_the_challenge(a in "[A-Za-z0-9._~-]{43,128}", b in "[A-Za-z0-9_-]{43}") {
        let challenge = verifier(&a).challenge();
        let itself = verifier(&challenge.encoded());
        prop_assert_eq!(Hint::of_mismatch(&challenge, &itself), Some(Hint::VerifierIsChallenge));
        let other = verifier(&b);
        prop_assert_eq!(Hint::of_mismatch(&challenge, &other).is_some(), b == challenge.encoded());
    }
}
