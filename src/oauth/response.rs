//! Response types and response modes (OAuth 2.0 Multiple Response Type Encoding Practices, Form Post Response Mode).

/// How an authorization response travels to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResponseMode {
    /// In the query of the redirect URI.
    Query,
    /// In its fragment.
    Fragment,
    /// As a form that posts itself.
    FormPost,
}

impl ResponseMode {
    /// The three modes that carry plain parameters; the signed ones (`jwt`, `query.jwt`, …) are none of them.
    pub fn parse(mode: &str) -> Option<Self> {
        match mode {
            "query" => Some(Self::Query),
            "fragment" => Some(Self::Fragment),
            "form_post" => Some(Self::FormPost),
            _ => None,
        }
    }

    /// As it is written on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Fragment => "fragment",
            Self::FormPost => "form_post",
        }
    }
}

/// A `response_type`: a set of words whose order does not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseType(String);

impl ResponseType {
    /// Words in alphabetical order. Salesforce's `code_credentials` is a word of its own.
    pub fn parse(response_type: &str) -> Self {
        if !response_type.contains(' ') {
            return Self(response_type.to_owned());
        }
        let mut words: Vec<&str> = response_type
            .split(' ')
            .filter(|word| !word.is_empty())
            .collect();
        words.sort_unstable();
        Self(words.join(" "))
    }

    /// Canonical order.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the response carries a code; `code_credentials` (headless login) does.
    pub fn yields_code(&self) -> bool {
        self.words().any(|word| word.starts_with("code"))
    }

    /// Whether the response carries a token itself.
    pub fn yields_token(&self) -> bool {
        self.words()
            .any(|word| matches!(word, "token" | "id_token"))
    }

    /// Whether the response carries nothing that is of use to anybody (`none`).
    pub fn yields_nothing(&self) -> bool {
        self.0 == "none"
    }

    /// The mode when none is asked for: fragment as soon as anything but a code comes back.
    pub fn default_mode(&self) -> ResponseMode {
        if self.yields_token() {
            ResponseMode::Fragment
        } else {
            ResponseMode::Query
        }
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter_but_spelling_does() {
        assert_eq!(
            ResponseType::parse("code id_token"),
            ResponseType::parse("id_token code")
        );
        assert_ne!(ResponseType::parse("CODE"), ResponseType::parse("code"));
        assert_eq!(ResponseType::parse("code ").as_str(), "code");
    }

    #[test]
    fn hybrid_responses_default_to_the_fragment() {
        for (response_type, mode, code) in [
            ("code", ResponseMode::Query, true),
            ("code_credentials", ResponseMode::Query, true),
            ("none", ResponseMode::Query, false),
            ("id_token token", ResponseMode::Fragment, false),
            ("code id_token", ResponseMode::Fragment, true),
        ] {
            let parsed = ResponseType::parse(response_type);
            assert_eq!(
                (parsed.default_mode(), parsed.yields_code()),
                (mode, code),
                "{response_type}"
            );
        }
    }
}
