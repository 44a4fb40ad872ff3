//! What `doctor` can find. Codes and severities are stable: other programs read them.

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// Good to know.
    Note,
    /// It helps an attacker a little, or breaks some clients.
    Low,
    /// It helps an attacker, or sign-ins fail.
    Medium,
    /// A stolen code can be redeemed.
    High,
}

/// What a severity means elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scale {
    pub(super) name: &'static str,
    /// The range of CVSS scores with this name (the qualitative scale of CVSS v4.0); `None`: it is not a weakness.
    pub(super) cvss: Option<Range>,
    /// The level in SARIF (section 3.27.10).
    pub(super) level: &'static str,
}

/// The lowest and the highest score, with one digit after the point.
type Range = (&'static str, &'static str);

impl Severity {
    /// The one table of severities.
    pub(super) const fn scale(self) -> Scale {
        let (name, cvss, level) = match self {
            Self::High => ("high", Some(("7.0", "8.9")), "error"),
            Self::Medium => ("medium", Some(("4.0", "6.9")), "warning"),
            Self::Low => ("low", Some(("0.1", "3.9")), "warning"),
            Self::Note => ("note", None, "note"),
        };
        Scale { name, cvss, level }
    }
}

/// A kind of finding.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) code: &'static str,
    pub(super) severity: Severity,
    /// What is so, in one sentence.
    pub(super) title: &'static str,
    /// The specification.
    pub(super) clause: &'static str,
    /// What to do.
    pub(super) remediation: &'static str,
}

/// A finding at one upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) kind: &'static Kind,
    /// What was asked and answered: without codes, tokens, states and secrets.
    pub(super) evidence: String,
}

/// What a group of questions brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) findings: Vec<Finding>,
    /// What was asked and is in order.
    pub(super) cleared: Vec<&'static Kind>,
    /// What was seen and is not a finding.
    pub(super) observed: Vec<String>,
    /// What could not be asked, and why.
    pub(super) skipped: Vec<String>,
}

impl Part {
    pub(super) fn find(&mut self, kind: &'static Kind, evidence: impl Into<String>) {
        let evidence = evidence.into();
        self.findings.push(Finding { kind, evidence });
    }

    pub(super) fn clear(&mut self, kind: &'static Kind) {
        self.cleared.push(kind);
    }

    /// Records a finding if there is evidence for it, else that this is in order.
    pub(super) fn settle(&mut self, kind: &'static Kind, evidence: Option<String>) {
        match evidence {
            Some(evidence) => self.find(kind, evidence),
            None => self.clear(kind),
        }
    }

    pub(super) fn has(&self, kind: &Kind) -> bool {
        self.findings.iter().any(|finding| finding.kind == kind)
    }

    pub(super) fn see(&mut self, observed: impl Into<String>) {
        self.observed.push(observed.into());
    }

    pub(super) fn skip(&mut self, skipped: impl Into<String>) {
        self.skipped.push(skipped.into());
    }

    pub(super) fn add(&mut self, other: Self) {
        self.findings.extend(other.findings);
        self.cleared.extend(other.cleared);
        self.observed.extend(other.observed);
        self.skipped.extend(other.skipped);
    }
}

/// All kinds, each with a constant of its name.
macro_rules! kinds {
    ($($name:ident: $code:literal $severity:ident $title:literal $clause:literal $remediation:literal)*) => {
        $(pub(super) static $name: Kind = Kind {
            code: $code,
            severity: Severity::$severity,
            title: $title,
            clause: $clause,
            remediation: $remediation,
        };)*
        pub(super) static ALL: &[&Kind] = &[$(&$name),*];
    };
}

kinds! {
    MISSING_VERIFIER_ACCEPTED: "missing_verifier_accepted" High
        "A code of a request with a challenge is redeemed without a verifier."
        "RFC 7636 section 4.6"
        "Keep every client behind the gate with mode = \"enforce\", and close every other way to the server."
    WRONG_VERIFIER_ACCEPTED: "wrong_verifier_accepted" High
        "A code is redeemed with a wrong verifier."
        "RFC 7636 section 4.6"
        "Keep every client behind the gate with mode = \"enforce\", and close every other way to the server."
    DOWNGRADE_ACCEPTED: "downgrade_accepted" High
        "A token request with a verifier is granted although the authorization request had no challenge."
        "RFC 9700 section 2.1.1"
        "Keep every client behind the gate with mode = \"enforce\": an attacker who removes the challenge defeats PKCE at this server."
    PKCE_OPTIONAL: "pkce_optional" High
        "A client that does not use PKCE gets a token."
        "RFC 9700 section 2.1.1"
        "Require PKCE at the server if it has such a setting; else keep every client behind the gate with mode = \"enforce\"."
    ADVERTISED_NOT_ENFORCED: "advertised_not_enforced" High
        "The metadata promises S256, but a token is issued without the right verifier."
        "RFC 8414 section 2"
        "Do not rely on the metadata. Keep every client behind the gate with mode = \"enforce\"."
    CODE_REDEEMED_TWICE: "code_redeemed_twice" High
        "A code is redeemed a second time."
        "RFC 6749 section 4.1.2"
        "Keep every client behind the gate with mode = \"enforce\", which redeems each code once."
    UNKNOWN_CODE_ACCEPTED: "unknown_code_accepted" High
        "A code that the server never issued gets a token."
        "RFC 6749 section 4.1.3"
        "Take this server for tests only."
    STATE_ALTERED: "state_altered" Medium
        "The server does not return the state of a request unchanged."
        "RFC 6749 section 4.1.2.1"
        "Under enforcement the gate finds a sign-in by its state. Try correlation = \"cookie\"."
    STATE_LIMIT: "state_limit" Low
        "The server returns only states of less than 512 characters."
        "RFC 6749 section 4.1.1"
        "Use a store of kind \"memory\" or \"redis\": the handles of a sealed store have up to 512 characters."
    CHALLENGE_REFUSED: "challenge_refused" Medium
        "The server refuses an authorization request because it has a challenge."
        "RFC 6749 section 3.1"
        "Write to_upstream = \"strip\" in [upstream.pkce]."
    UNKNOWN_PARAMETER_REFUSED: "unknown_parameter_refused" Low
        "The server refuses an authorization request with an unknown parameter."
        "RFC 6749 section 3.1"
        "If sign-ins with a challenge fail as well, write to_upstream = \"strip\" in [upstream.pkce]."
    CHALLENGE_NOT_DEMANDED: "challenge_not_demanded" Medium
        "The server begins a sign-in without a challenge."
        "RFC 9700 section 2.1.1"
        "Require PKCE at the server if it has such a setting, and set mode = \"enforce\" at the gate. --login tells what happens later."
    MALFORMED_CHALLENGE_ACCEPTED: "malformed_challenge_accepted" Medium
        "The server begins a sign-in with a challenge that no verifier can have."
        "RFC 7636 section 4.2"
        "Set mode = \"enforce\" at the gate, which refuses it."
    UNKNOWN_METHOD_ACCEPTED: "unknown_method_accepted" Medium
        "The server begins a sign-in with an unknown code_challenge_method."
        "RFC 7636 section 4.4.1"
        "Set mode = \"enforce\" at the gate, which refuses it."
    PLAIN_ACCEPTED: "plain_accepted" Medium
        "The server begins a sign-in with code_challenge_method=plain."
        "RFC 9700 section 2.1.1"
        "Set mode = \"enforce\" at the gate, which refuses it unless an [[upstream.client]] lists \"plain\"."
    PLAIN_ADVERTISED: "plain_advertised" Low
        "The metadata offers the challenge method plain."
        "RFC 9700 section 2.1.1"
        "Leave rewrite = true in [upstream.metadata]: the gate says S256 only."
    S256_NOT_ADVERTISED: "s256_not_advertised" Note
        "The metadata does not say that the server supports S256."
        "RFC 8414 section 2"
        "Leave rewrite = true in [upstream.metadata]: the gate says S256."
    ENDPOINT_NOT_CONFIGURED: "endpoint_not_configured" Medium
        "The metadata names an endpoint that the configuration does not list."
        "RFC 8414 section 2"
        "Add its path to [upstream.endpoints]."
    ENDPOINT_ELSEWHERE: "endpoint_elsewhere" Medium
        "The metadata names an endpoint that this gate cannot guard."
        "RFC 8414 section 2"
        "Put a gate in front of that host as well, or correct the metadata of the server."
    ISSUER_DIFFERS: "issuer_differs" Note
        "The configured issuer is not that of the metadata."
        "RFC 8414 section 3.3"
        "Correct issuer in [upstream.metadata], unless the server says another one through the gate."
    TOKEN_BY_GET: "token_by_get" Low
        "The token endpoint takes GET requests."
        "RFC 6749 section 3.2"
        "Nothing if every client is behind the gate, which refuses them under enforcement. Close every other way to the server."
    TOKEN_BY_QUERY: "token_by_query" Low
        "The token endpoint reads parameters from the query of a POST request."
        "RFC 6749 section 3.2"
        "Nothing if every client is behind the gate, which refuses them under enforcement. Close every other way to the server."
    TOKEN_BY_JSON: "token_by_json" Note
        "The token endpoint takes JSON instead of a form."
        "RFC 6749 section 3.2"
        "Clients that send JSON have to send forms under enforcement."
    DUPLICATE_PARAMETER_ACCEPTED: "duplicate_parameter_accepted" Low
        "The token endpoint takes a request with two values of one parameter."
        "RFC 6749 section 3.2"
        "Nothing if every client is behind the gate, which refuses them under enforcement."
    TOKEN_PATH_VARIANTS: "token_path_variants" Note
        "The token endpoint answers at other spellings of its path."
        "RFC 6749 section 3.2"
        "Nothing: the gate guards these spellings as well. A rule in another proxy might not."
    OTHER_ORIGIN_ADVERTISED: "other_origin_advertised" Note
        "The metadata names an origin that is neither url nor public_url: clients could go around the gate there."
        "RFC 8414 section 2"
        "Correct the metadata of the server, or public_url. If the server answers at that origin, close it. It was not asked there."
    REACHABLE_AROUND_THE_GATE: "reachable_around_the_gate" Medium
        "The server was reached over a network, without the gate."
        "RFC 9700 section 2.1.1"
        "Let only the gate connect to the server (a firewall, a network policy, or a loopback address), and ask again from a machine that is not the gate's."
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_words() {
        let codes: BTreeSet<&str> = ALL.iter().map(|kind| kind.code).collect();
        assert_eq!(codes.len(), ALL.len());
        let is_word = |code: &&str| {
            code.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit())
        };
        assert!(codes.iter().all(is_word), "{codes:?}");
    }

    #[test]
    fn ranges_of_scores_follow_each_other() {
        let all = [Severity::Low, Severity::Medium, Severity::High];
        let ranges = all.map(|it| it.scale().cvss.unwrap());
        let tenths = |score: &str| -> u32 { score.replace('.', "").parse().unwrap() };
        let mut next = 1;
        for (low, high) in ranges {
            assert_eq!(tenths(low), next, "{low}");
            assert!(tenths(low) < tenths(high));
            next = tenths(high) + 1;
        }
        assert_eq!(next, 90, "critical begins here");
        assert_eq!(Severity::Note.scale().cvss, None);
    }

    #[test]
    fn severities_are_ordered() {
        assert!(Severity::Note < Severity::Low && Severity::Low < Severity::Medium);
        assert!(Severity::Medium < Severity::High);
    }
}
