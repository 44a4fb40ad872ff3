//! What the verdicts and codes of a review mean, and which section of the manual explains each.

use serde::Serialize;

use super::model::Verdict;
use crate::policy::Hint;

/// An explained violation or hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Code {
    pub(super) label: &'static str,
    /// The page of the manual. Its section has the code as its title.
    pub(super) manual: &'static str,
    pub(super) text: &'static str,
}

/// A part of a sentence.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Piece<'t> {
    pub(super) text: &'t str,
    pub(super) is_code: bool,
}

/// What each violation says about the requests of a client. The manual says more.
const VIOLATIONS: [(&str, &str); 32] = [
    (
        "missing_challenge",
        "The authorization request has no code_challenge.",
    ),
    (
        "malformed_challenge",
        "The code_challenge has a form that no verifier can match.",
    ),
    (
        "method_not_allowed",
        "The code_challenge_method is plain, unknown, or absent, which means plain.",
    ),
    (
        "missing_verifier",
        "The token request has no code_verifier, although its sign-in began with a challenge.",
    ),
    (
        "malformed_verifier",
        "The code_verifier is not 43 to 128 unreserved characters.",
    ),
    (
        "verifier_mismatch",
        "The code_verifier does not match the challenge of the code.",
    ),
    (
        "unexpected_verifier",
        "The token request has a code_verifier, although its sign-in began without a challenge.",
    ),
    (
        "unknown_code",
        "The code belongs to no sign-in that the gate knows.",
    ),
    ("replayed_code", "The code was redeemed before."),
    ("expired_code", "The code was redeemed too late."),
    (
        "burnt_code",
        "The code was invalidated after too many tries.",
    ),
    (
        "client_mismatch",
        "The token request is from another client than the authorization request, or names none.",
    ),
    (
        "redirect_mismatch",
        "The redirect_uri of the token request is not that of the authorization request.",
    ),
    (
        "missing_client",
        "The authorization request has no client_id.",
    ),
    (
        "missing_response_type",
        "The authorization request has no response_type.",
    ),
    (
        "response_type_not_allowed",
        "The response_type is not in response_types.",
    ),
    (
        "response_mode_not_allowed",
        "The response_mode is not in response_modes.",
    ),
    ("grant_not_allowed", "The grant_type is not in grants."),
    (
        "request_object_refused",
        "The authorization request has a request object, or a request_uri that is not accepted.",
    ),
    (
        "unknown_request_uri",
        "The request_uri is not that of a pushed request of this client, or it was used or has expired.",
    ),
    ("duplicate_parameter", "A parameter occurs more than once."),
    (
        "malformed_request",
        "The request is malformed or ambiguous. The log has the reason.",
    ),
    (
        "expired_sign_in",
        "The user came back to a sign-in that is over or took too long.",
    ),
    (
        "continuation_mismatch",
        "A later request of a sign-in differs from its first one.",
    ),
    (
        "browser_mismatch",
        "A sign-in went on in another browser than the one in which it began.",
    ),
    (
        "state_lost",
        "The browser did not send the cookie with the long state of the client.",
    ),
    (
        "cookie_lost",
        "The browser did not send the cookie of the sign-in.",
    ),
    (
        "store_unavailable",
        "The gate could not store another sign-in.",
    ),
    ("too_many_sign_ins", "One network began too many sign-ins."),
    (
        "ambiguous_path",
        "Some servers treat the path as that of a protected endpoint.",
    ),
    (
        "token_request_elsewhere",
        "A token request was sent to another path than the token endpoint.",
    ),
    (
        "unbound_code_in_response",
        "The upstream answered with a code that belongs to no sign-in, or that cannot be delivered safely.",
    ),
];

/// The explanation of a code. `None`: a snapshot may have codes of another version.
pub(super) fn find(code: &str) -> Option<Code> {
    let violation = VIOLATIONS.iter().find(|(known, _)| *known == code);
    if let Some((label, text)) = violation {
        return Some(Code {
            label,
            manual: "Violations",
            text,
        });
    }
    let hint = Hint::ALL.into_iter().find(|hint| hint.code() == code)?;
    Some(Code {
        label: hint.code(),
        manual: "Hints",
        text: hint.sentence(),
    })
}

/// The sentence in pieces: its codes, and the text between them.
pub(super) fn pieces(sentence: &str) -> Vec<Piece<'_>> {
    let is_part = |letter: char| letter.is_ascii_lowercase() || matches!(letter, '0'..='9' | '_');
    let mut pieces = Vec::new();
    let mut rest = sentence;
    while let Some(first) = rest.chars().next() {
        let is_word = is_part(first);
        let end = rest.find(|letter| is_part(letter) != is_word);
        let (text, after) = rest.split_at(end.unwrap_or(rest.len()));
        let is_code = is_word && find(text).is_some();
        pieces.push(Piece { text, is_code });
        rest = after;
    }
    pieces
}

/// What a verdict means, as in the manual.
pub(super) const fn meaning(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::WouldBreak => {
            "The last sign-in, or one of the last day, would fail under enforcement."
        }
        Verdict::Uncertain => {
            "The server accepted codes, and the gate cannot tell to which sign-ins they belong. Enforcement may refuse them."
        }
        Verdict::ServerInitiated => {
            "The server sends codes to this address without an authorization request. Enforcement refuses them."
        }
        Verdict::Exempt => "The client has an exception with an end, which is still in force.",
        Verdict::CouldBeRequired => {
            "A confidential client that always sends PKCE, although require = \"public\" does not demand that."
        }
        Verdict::Ready => {
            "Complete sign-ins with a verified challenge, and none in the last day that would fail."
        }
        Verdict::NotSeen => {
            "No request yet, or no sign-in that ended with a verified challenge. So it is not known whether this client would break."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The labels are in the one function that makes them.
    #[test]
    fn every_violation_and_hint_is_explained() {
        let source = include_str!("../../policy/violation.rs");
        let labels = source.split("fn names(").nth(1).unwrap();
        let labels = labels.split("\n    }\n").next().unwrap();
        let labels: Vec<_> = labels.split('"').skip(1).step_by(2).collect();
        assert!(labels.len() > 20, "{labels:?}");
        for label in &labels {
            let code = find(label).unwrap_or_else(|| panic!("{label}"));
            assert_eq!(code.manual, "Violations");
        }
        for (known, text) in VIOLATIONS {
            assert!(labels.contains(&known), "{known}");
            assert!(text.ends_with('.'), "{text}");
        }
        for hint in Hint::ALL {
            assert_eq!(find(hint.code()).unwrap().manual, "Hints");
        }
        assert_eq!(find("future_code"), None);
    }

    #[test]
    fn only_codes_become_links() {
        let sentence =
            "exempt until 2027-03-31; would break: missing_challenge (3), a_missing_challenge";
        let pieces = pieces(sentence);
        let whole: String = pieces.iter().map(|piece| piece.text).collect();
        assert_eq!(whole, sentence);
        let codes = pieces.iter().filter(|piece| piece.is_code);
        let codes: Vec<_> = codes.map(|piece| piece.text).collect();
        assert_eq!(codes, ["missing_challenge"]);
    }
}
