//! What must not be left of an answer that is written anew.

use http::{HeaderMap, header};

use super::carrier::Rewritten;
use super::carrier::beacon::{Credential, Kind, carries};
use crate::spelling::Twins;
use crate::spelling::shortcuts::may_hold_handle;

/// What an error response has beside the error (RFC 6749 section 4.1.2.1).
pub(crate) const EXPLANATIONS: [&str; 2] = ["error_description", "error_uri"];

/// What must not be left over when a carrier is written anew.
#[derive(Debug)]
pub(crate) struct Check<'a> {
    /// Of the code that was replaced.
    pub twins: Option<Twins>,
    /// What stands in its place.
    pub ours: Option<&'a str>,
    /// The tokens that may not leave with it.
    pub unasked: Option<Credential>,
}

/// What was written in place of a carrier.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written<'w> {
    /// As it goes out.
    pub whole: &'w Rewritten,
    /// Without the client's `state`, which may look like anything.
    pub without_state: &'w Rewritten,
    /// Without what explains an error, too: it may lead to a page of the server's for errors of a `code`.
    pub unexplained: &'w Rewritten,
}

impl Check<'_> {
    /// Looks through what was written, and through the fields of the answer that it was written for.
    pub(crate) fn nothing_is_left(
        &self,
        written: &Written<'_>,
        headers: &HeaderMap,
    ) -> Result<(), &'static str> {
        let Written {
            whole,
            without_state,
            unexplained,
        } = *written;
        if self.stands_in(whole.bytes()) {
            return Err("the code stands in it once more");
        }
        let kind = match without_state {
            Rewritten::Location(_) => Kind::Text,
            Rewritten::Body(_) => Kind::Html,
        };
        if self.is_code_in(unexplained.bytes(), kind)
            || self.is_token_in(without_state.bytes(), kind)
        {
            return Err("something like another code or token stands beside it");
        }
        let is_location = matches!(whole, Rewritten::Location(_));
        for (name, value) in headers {
            if is_location && *name == header::LOCATION {
                continue;
            }
            let value = value.as_bytes();
            // A cookie of the server's own may be called like that.
            let may_be_own = *name == header::SET_COOKIE && !may_hold_handle(value);
            if self.stands_in(value) || !may_be_own && self.is_another_in(value, Kind::Text) {
                return Err("a code or token stands in another header field");
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
