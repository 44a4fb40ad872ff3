//! Response types and response modes (OAuth 2.0 Multiple Response Type Encoding Practices, Form Post Response Mode).

/// How the authorization response is sent to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResponseMode {
    /// In the query of the redirect URI.
    Query,
    /// In its fragment.
    Fragment,
    /// In a page with a form that submits itself.
    FormPost,
    /// The default of the response type, in a signed JWT (JARM).
    Jwt,
    QueryJwt,
    FragmentJwt,
    FormPostJwt,
}

impl ResponseMode {
    pub const ALL: [Self; 7] = [
        Self::Query,
        Self::Fragment,
        Self::FormPost,
        Self::Jwt,
        Self::QueryJwt,
        Self::FragmentJwt,
        Self::FormPostJwt,
    ];

    /// `None`: not a mode of these.
    pub fn parse(mode: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == mode)
    }

    /// The value of the `response_mode` parameter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Fragment => "fragment",
            Self::FormPost => "form_post",
            Self::Jwt => "jwt",
            Self::QueryJwt => "query.jwt",
            Self::FragmentJwt => "fragment.jwt",
            Self::FormPostJwt => "form_post.jwt",
        }
    }

    /// Whether the parameters are in a JWT, which only the server can sign (JARM).
    pub const fn is_signed(self) -> bool {
        match self {
            Self::Query | Self::Fragment | Self::FormPost => false,
            Self::Jwt | Self::QueryJwt | Self::FragmentJwt | Self::FormPostJwt => true,
        }
    }
}

/// A `response_type`: a set of words whose order does not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseType(String);

impl ResponseType {
    /// Sorts the words. Salesforce's `code_credentials` counts as one word.
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

    /// The words in alphabetical order.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the response contains a code; `code_credentials` (headless login) does.
    pub fn yields_code(&self) -> bool {
        self.words().any(|word| word.starts_with("code"))
    }

    /// Whether the response itself contains a token.
    pub fn yields_token(&self) -> bool {
        self.words()
            .any(|word| matches!(word, "token" | "id_token"))
    }

    /// Whether the response contains an `id_token` with hashes of the code and the `state` beside it (OpenID Connect Core section
    /// 3.3.2.11).
    pub fn hashes_code(&self) -> bool {
        self.yields_code() && self.words().any(|word| word == "id_token")
    }

    /// Whether the response contains neither a code nor a token (`none`).
    pub fn yields_nothing(&self) -> bool {
        self.0 == "none"
    }

    /// The mode if the request does not name one: fragment if the response contains a token.
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
    fn response_types_ignore_order_but_not_case() {
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
