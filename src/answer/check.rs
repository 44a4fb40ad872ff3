//! Checks that a rewritten answer does not contain the code, or another credential.

use http::{HeaderMap, header};

use super::carrier::Rewritten;
use super::carrier::detect::{Credential, Kind, carries};
use crate::spelling::Twins;
use crate::spelling::shortcuts::may_hold_handle;

/// The parameters that explain an error (RFC 6749 section 4.1.2.1).
pub(crate) const EXPLANATIONS: [&str; 2] = ["error_description", "error_uri"];

/// What a rewritten answer must not contain.
#[derive(Debug)]
pub(crate) struct Check<'a> {
    /// The spellings of the code that was replaced.
    pub twins: Option<Twins>,
    /// The handle that replaced it, which is allowed.
    pub ours: Option<&'a str>,
    /// The kind of token that the sign-in may not have.
    pub unasked: Option<Credential>,
}

/// A rewritten carrier, in the versions that are checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written<'w> {
    /// As it is sent.
    pub whole: &'w Rewritten,
    /// Without the client's `state`, which may look like a credential.
    pub without_state: &'w Rewritten,
    /// Also without [`EXPLANATIONS`]: `error_uri` may lead to an error page of the server with a `code` parameter.
    pub unexplained: &'w Rewritten,
}

impl Check<'_> {
    /// Searches the rewritten carrier, and the header fields of its answer.
    pub(crate) fn nothing_is_left(
        &self,
        written: &Written<'_>,
        headers: &HeaderMap,
    ) -> Result<(), &'static str> {
        if self.stands_in(written.whole.bytes()) {
            return Err("the code is in the answer a second time");
        }
        let kind = match written.whole {
            Rewritten::Location(_) | Rewritten::Document(_) => Kind::Text,
            Rewritten::Body(_) => Kind::Html,
        };
        if self.is_code_in(written.unexplained.bytes(), kind)
            || self.is_token_in(written.without_state.bytes(), kind)
        {
            return Err("another possible code or token is in the answer");
        }
        let is_location = matches!(written.whole, Rewritten::Location(_));
        for (name, value) in headers {
            if is_location && *name == header::LOCATION {
                continue;
            }
            let value = value.as_bytes();
            // The server's own cookie may be named like a credential.
            let may_be_own = *name == header::SET_COOKIE && !may_hold_handle(value);
            if self.stands_in(value) || !may_be_own && self.is_another_in(value, Kind::Text) {
                return Err("a code or token is in another header field");
            }
        }
        Ok(())
    }

    fn stands_in(&self, text: &[u8]) -> bool {
        self.twins
            .as_ref()
            .is_some_and(|twins| twins.stand_in(text))
    }

    fn is_another_in(&self, text: &[u8], kind: Kind) -> bool {
        self.is_code_in(text, kind) || self.is_token_in(text, kind)
    }

    fn is_code_in(&self, text: &[u8], kind: Kind) -> bool {
        carries(Credential::Code, text, kind, self.ours)
    }

    fn is_token_in(&self, text: &[u8], kind: Kind) -> bool {
        self.unasked
            .is_some_and(|unasked| carries(unasked, text, kind, None))
    }
}
